"""The page in a real browser, on the deployed stack: what a person does with it, from an upload to a redrive."""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from darkroom.local.pictures import photo
from darkroom.pipeline import backfill as backfills
from tests.browser import Served, chromium, console, serious_violations
from tests.e2e.conftest import PATIENCE, Deployed, eventually
from tests.e2e.filled import lost_events

MILLISECONDS = PATIENCE * 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=MILLISECONDS)  # 5 seconds, otherwise
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(deployed: Deployed) -> Iterator[Served]:
    with console(deployed.cloud.home) as served:
        yield served


@pytest.fixture
def context(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """Logged in by the address with the secret. A page that says anything in the browser's console fails its test."""
    context = browser.new_context(base_url=served.at("/"))
    context.set_default_timeout(MILLISECONDS)
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    context.on("weberror", lambda error: said.append(str(error.error)))
    served.enter(context.new_page())
    yield context
    context.close()
    # of an answer that is no success the browser says so, and htmx does
    expected = ("Failed to load resource", "Response Status Error Code 503")
    assert [text for text in said if not text.startswith(expected)] == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.pages[0]


def upload(page: Page, name: str, data: bytes) -> None:
    """Dropped on the page."""
    page.goto("/upload")
    page.locator(".target").evaluate(
        """(target, [name, bytes]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/jpeg"}));
            target.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
        }""",
        [name, list(data)],
    )


def drawing(page: Page) -> Locator:
    """Of an execution, for the width of the page: until its stylesheet is there, the narrow and the wide one show."""
    page.wait_for_url(re.compile("/execution[?]"), wait_until="load")
    return page.get_by_role("group", name="The workflow")


def test_a_picture_is_followed_to_its_row_without_reloading(page: Page, deployed: Deployed):
    """Upload, its way live, its execution drawn, its row, and each rendition really shown."""
    page.goto("/upload")
    page.evaluate("window.neverReloaded = true")
    page.get_by_label("Folder").fill("light table")
    picture = {"name": "cat & dog.jpg", "mimeType": "image/jpeg", "buffer": photo(1200, 800)}
    page.get_by_label("Drop pictures here").set_input_files(picture)
    way = page.locator('li.way[data-key="raw/light table/cat & dog.jpg"]')
    expect(way).to_have_attribute("data-status", "SUCCEEDED")
    expect(way.get_by_role("list", name="Steps so far")).to_contain_text("Record")
    assert page.evaluate("window.neverReloaded")

    way.get_by_role("link", name="execution").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("raw/light table/cat & dog.jpg")
    drawn = drawing(page)
    expect(drawn.get_by_role("link", name="Record: succeeded")).to_be_visible()
    expect(drawn.get_by_role("link", name=re.compile("^Resize.*: succeeded in .*, visited 4 times"))).to_be_visible()
    drawn.get_by_role("link", name=re.compile("^Validate: succeeded")).click()
    expect(page.get_by_label("Output of Validate")).to_contain_text('"accepted": true')

    page.get_by_role("link", name="Row: SUCCEEDED").click()
    film = page.locator(".strip-of-film li")
    expect(film).to_have_count(4)
    for number in range(4):
        image = film.nth(number).locator("img.shown")
        image.scroll_into_view_if_needed()
        expect(image).to_have_class(re.compile("there"))
        assert image.evaluate("image => image.naturalWidth") in (128, 480, 1024, 1200)
    row = deployed.row("raw/light table/cat & dog.jpg")
    expect(page.locator(".large img.placeholder").first).to_have_attribute("src", re.compile("^data:image/png;base64,"))
    small = row["renditions"]["small"]["key"]
    assert (
        f"{deployed.aws.output('DeliveryUrl')}/{quote(small)} 480w"
        in page.get_by_label("A srcset to copy").input_value()
    )


def test_the_wall_is_filtered_and_searched(page: Page, deployed: Deployed):
    """By status, by the beginning of the key, and by a piece of it; and why a picture was rejected is on the wall."""
    deployed.picture("raw/wall/bad.jpg", b"only words")
    deployed.picture("raw/wall/good.jpg", photo(300, 200))
    page.goto("/results?prefix=raw/wall/")
    keys = page.locator(".wall .key")
    expect(keys).to_have_text(["raw/wall/bad.jpg", "raw/wall/good.jpg"])
    page.get_by_role("link", name=re.compile("^Rejected")).click()
    expect(keys).to_have_text(["raw/wall/bad.jpg"])
    expect(page.locator(".wall .error")).to_have_text(re.compile("unsupported_format not JPEG"))
    page.goto("/results")
    page.get_by_label("Key", exact=True).fill("wall/goo")
    page.get_by_role("button", name="Find").click()
    expect(keys).to_have_text(["raw/wall/good.jpg"])
    page.get_by_label("Key", exact=True).fill("wall/good.jpg")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("raw/wall/good.jpg")


def test_an_open_page_sees_what_others_upload(page: Page, deployed: Deployed):
    """The executions by themselves, the wall as a link that moves nothing under the reader's eyes."""
    page.goto("/executions")
    page.evaluate("window.neverReloaded = true")
    deployed.picture("raw/elsewhere.jpg", b"only words")
    first = page.locator("tbody tr").first
    expect(first).to_contain_text("raw/elsewhere.jpg")
    expect(first).to_contain_text("REJECTED")
    assert page.evaluate("window.neverReloaded")
    page.goto("/results")
    deployed.picture("raw/elsewhere again.jpg", b"only words")
    page.get_by_role("link", name="Pictures have changed: show them").click()
    expect(page.locator(".wall .key").first).to_have_text("raw/elsewhere again.jpg")


def test_a_broken_picture_is_found_among_the_dead_letters_and_redriven(page: Page, deployed: Deployed, without_grant):
    """The failed state and its error, the letter, what a redrive will do, and that it did it."""
    with without_grant("resize", "s3:PutObject"):
        upload(page, "broken.jpg", photo(600, 400))
        way = page.locator('li.way[data-key="raw/broken.jpg"]')
        expect(way).to_have_attribute("data-status", "FAILED")
        eventually(deployed.letters, "the dead letter")
    way.get_by_role("link", name="execution").click()
    drawn = drawing(page)
    expect(
        drawn.get_by_role("link", name=re.compile("^Renditions Map: failed, and its error was caught"))
    ).to_be_visible()
    expect(drawn.get_by_role("link", name="Failed: the execution failed here")).to_be_visible()
    expect(page.locator("main")).to_contain_text("AccessDenied")
    assert serious_violations(page) == []

    page.get_by_role("navigation", name="Views").get_by_role("link", name="Dead letters 1 waiting").click()
    letter = page.locator(".letters > li")
    expect(letter).to_have_count(1)
    expect(letter).to_contain_text("raw/broken.jpg")
    expect(letter.locator("img.shown")).to_have_class(re.compile("there"))
    assert serious_violations(page) == []
    letter.get_by_role("link", name="Redrive raw/broken.jpg").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Redrive 1 letter?")
    assert deployed.row("raw/broken.jpg")["status"] == "FAILED"  # said before, and not yet done
    page.get_by_role("button", name="Redrive 1 letter").click()
    expect(page.locator("main")).to_contain_text("1 of 1 started")
    expect(page.locator("tbody tr")).to_contain_text("SUCCEEDED")
    assert serious_violations(page) == []
    assert deployed.row("raw/broken.jpg")["status"] == "SUCCEEDED"
    assert deployed.letters() == []
    page.goto("/letters")
    expect(page.locator("main")).to_contain_text("No letter waits")


def test_a_backfill_is_watched_and_stopped(page: Page, deployed: Deployed):
    """Live, by the button, after the question; then its end is there, and what was at work ends by itself."""
    folder = "backfilled on the page/"
    with lost_events(deployed):
        for number in range(60):  # more than are made before it is stopped
            deployed.upload(f"raw/{folder}{number:02}.png", photo(24, 16))
    backfills.start(deployed.aws, "missing", folder, at_once=1)
    page.goto("/backfills")
    page.evaluate("window.neverReloaded = true")
    runs = page.get_by_role("region", name="It runs")
    expect(runs).to_contain_text("of 60 objects looked at")
    expect(runs.locator(".succeeded dd")).not_to_have_text("0")
    assert page.evaluate("window.neverReloaded")
    runs.get_by_role("link", name="Stop").click()
    page.get_by_role("button", name="Stop it").click()
    ended = page.get_by_role("region", name="The last one")
    expect(ended).to_contain_text("ABORTED")
    expect(ended).to_contain_text("darkroom backfill --go-on")
    eventually(lambda: not deployed.at_work(), "the end of what was at work")


def test_the_logs_of_an_execution_are_found(page: Page, deployed: Deployed):
    """Every line that names it, of every function."""
    row = deployed.picture("raw/logged on the page.jpg", photo(300, 200))

    def there() -> bool:
        page.goto(f"/execution/logs?arn={quote(row['execution'])}")
        functions = set(page.locator("tbody td:nth-child(2)").all_text_contents())
        return {"Validate", "Resize", "Caption"} <= functions

    eventually(there, "the lines of three functions")


def test_a_read_only_page_offers_nothing_that_writes(browser: Browser, deployed: Deployed, eventful):
    """It says so on every view, and shows each; there is no upload."""
    with console(deployed.cloud.home, "--read-only") as served:
        page = browser.new_page()
        served.enter(page)
        expect(page.get_by_role("note")).to_contain_text("Read-only")
        page.goto(served.at("/upload"))
        expect(page.locator("main")).to_contain_text("This page is read-only: it cannot upload")
        expect(page.locator("input, main button")).to_have_count(0)
        paths = views(eventful) | {"rendition": f"/rendition?key={quote(eventful['renditions']['small']['key'])}"}
        answers = {name: page.goto(served.at(path)) for name, path in paths.items()}
        statuses = {name: answer and answer.status for name, answer in answers.items()}
        assert statuses == {**dict.fromkeys(paths, 200), "trouble": 404}
        page.close()


def test_an_open_page_says_what_is_wrong_until_it_is_right_again(page: Page):
    """The cloud went away and came back: nobody has to reload."""
    wrong = '<p class="trouble">No local cloud is running: <code>darkroom up</code> starts it</p>'
    page.goto("/executions")
    page.route("**/executions*", lambda route: route.fulfill(status=503, content_type="text/html", body=wrong))
    expect(page.get_by_role("alert")).to_contain_text("darkroom up starts it")
    expect(page.locator("tbody tr").first).to_be_visible()  # what was there stays
    page.unroute("**/executions*")
    expect(page.get_by_role("alert")).to_be_empty()


def test_it_says_when_its_server_was_stopped(browser: Browser, deployed: Deployed):
    """Also on a page that is open already."""
    with console(deployed.cloud.home) as served:
        page = browser.new_page()
        served.enter(page)
        page.goto(served.at("/executions"))
    expect(page.get_by_role("alert")).to_contain_text("Run `darkroom console` again")
    page.close()


@pytest.fixture(scope="module")
def eventful(deployed: Deployed) -> dict[str, Any]:
    """One of each: a picture, a rejected one, a failed one with its letter, one that is stuck, an unreadable letter."""
    deployed.picture("raw/fine.jpg", photo(900, 600))
    deployed.picture("raw/odd.jpg", b"only words")
    row = deployed.row("raw/fine.jpg")
    stuck = {name: row[name] for name in ("execution", "etag", "sequencer", "size", "version_id")}
    long_ago = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 3600))
    deployed.aws.results.put_item(
        Item={**stuck, "key": "raw/stuck.jpg", "status": "PROCESSING", "created_at": long_ago, "updated_at": long_ago}
    )
    return row


VIEWS = {
    "upload": "/upload",
    "executions": "/executions",
    "results": "/results",
    "rejected": "/results?status=REJECTED",
    "processing": "/results?status=PROCESSING",
    "nothing": "/results?prefix=nothing/",
    "letters": "/letters",
    "backfills": "/backfills",
    "health": "/health",
    "trouble": "/picture?key=nowhere",
}


def views(row: dict[str, Any]) -> dict[str, str]:
    """All of them, those of one picture with its row."""
    arn = quote(row["execution"])
    way = urlencode({"key": "raw/fine.jpg", "version": row["version_id"], "etag": row["etag"]})
    return {
        **VIEWS,
        "picture": "/picture?key=raw/fine.jpg",
        "a way": f"/upload?way={quote(way, safe='')}",
        "stuck picture": "/picture?key=raw/stuck.jpg",
        "execution": f"/execution?arn={arn}",
        "logs": f"/execution/logs?arn={arn}",
        "redrive": "/letters/redrive?all=yes",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nobody_is_kept_out_of_any_view(browser: Browser, served: Served, deployed: Deployed, eventful, theme, width):
    """axe-core finds nothing serious or critical, and nothing is wider than the window."""
    queue = deployed.aws.output("DeadLetterQueueUrl")
    deployed.aws.sqs.send_message(QueueUrl=queue, MessageBody="no letter at all")
    context = browser.new_context(base_url=served.at("/"), color_scheme=theme, viewport={"width": width, "height": 900})
    page = context.new_page()
    served.enter(page)
    try:
        found = {}
        for name, path in views(eventful).items():
            page.goto(path)
            found[name] = serious_violations(page)
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wider > 0:
                found[name].append(f"{wider} pixels wider than the window")
        assert {name: problems for name, problems in found.items() if problems} == {}
    finally:
        context.close()
        for letter in deployed.letters():
            deployed.forget(letter)
