"""What the views show, and how they say what they cannot."""

import io
import json
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.testclient import TestClient

from darkroom.console import health, pages, uploads
from darkroom.errors import TargetError
from darkroom.local.pictures import photo
from darkroom.pipeline import by_key, executions, letters
from darkroom.pipeline.executions import Definitions, State
from darkroom.pipeline.target import Target
from tests.console.conftest import Chosen, Open
from tests.darkroom.test_letters import inputs, left, pipelines, put

NASTY = "raw/\"><script>alert(1)</script>&'{{ 7 * 7 }}.jpg"


def row(target: Target, key: str, status: str = "SUCCEEDED", ago: float = 0, **more: Any) -> None:
    updated = (datetime.now(UTC) - timedelta(minutes=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    item = {"key": key, "status": status, "updated_at": updated, "created_at": updated, "version_id": "null", **more}
    target.results.put_item(Item=item)


def run(target: Target, key: str, **more: Any) -> str:
    event = {"detail": {"object": {"key": key}}, **more}
    machine = target.output("StateMachineArn")
    return target.states.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]


def keys(html: str) -> list[str]:
    return [unescape(key) for key in re.findall(r'<span class="key"[^>]*>([^<]*)</span>', html)]


def plain(html: str) -> str:
    """What is read, without its marks."""
    return unescape(re.sub(r"<[^>]*>", "", html))


def next_page(html: str) -> str | None:
    found = re.search(r'rel="next" href="([^"]*)"', html)
    return unescape(found[1]) if found else None


def walked(page: TestClient, path: str | None) -> tuple[list[str], str]:
    """The keys of all pages from that one on, and the last page."""
    seen: list[str] = []
    while path:
        html = page.get(path).text
        seen += keys(html)
        path = next_page(html) if len(seen) <= 100 else None
    return seen, html


def test_pages_of_results_are_all_rows_once_newest_first(target: Target, page: TestClient):
    for number in range(100):
        row(target, f"raw/{number:03}.jpg", ("SUCCEEDED", "REJECTED", "FAILED")[number % 3], ago=number)
    seen, _ = walked(page, "/results")
    assert seen == [f"raw/{number:03}.jpg" for number in range(100)]


def test_pages_below_a_prefix_are_all_its_rows_once_by_key(target: Target, page: TestClient):
    """With counts of what is below it."""
    for number in range(120):
        row(target, f"raw/{number:03}.jpg", ("SUCCEEDED", "REJECTED", "FAILED")[number % 3], ago=number)
    seen, html = walked(page, "/results?prefix=raw/0")
    assert seen == [f"raw/{number:03}.jpg" for number in range(100)]
    assert "All 100" in plain(html)
    rejected = page.get("/results?prefix=raw/11&status=REJECTED").text
    assert keys(rejected) == ["raw/112.jpg", "raw/115.jpg", "raw/118.jpg"]
    assert "In the order of their keys." in plain(rejected)


def test_a_search_says_how_far_it_looked_and_goes_on_there(target: Target, page: TestClient, monkeypatch):
    """Two keys at a time."""
    monkeypatch.setattr(by_key, "LOOKED_AT", 2)
    for number in range(5):
        row(target, f"raw/{number}.jpg")
    html = page.get("/results?key=4.jp").text
    assert "None among these." in plain(html)
    assert "This search looked at 2 keys, as far as raw/1.jpg" in plain(html)
    found = keys(html)
    for _ in range(9):
        if (following := next_page(html)) is None:
            break
        html = page.get(following).text
        found += keys(html)
    assert (found, next_page(html)) == (["raw/4.jpg"], None)


@pytest.mark.parametrize(
    ("by", "says"), [("pipeline", "a redrive of another"), ("deletion", "an undelete, by a deletion")]
)
def test_an_execution_says_from_which_one_it_took_the_row_over(target: Target, page: TestClient, by: str, says: str):
    """With a link to it."""
    before = target.output("StateMachineArn").replace(":stateMachine:pipeline", f":execution:{by}") + ":<b>"
    html = page.get(f"/execution?arn={run(target, 'raw/cat.jpg', redrives=before)}").text
    assert says in plain(html)
    [linked] = re.findall(r'id="to-redriven" href="([^"]*)"', html)
    assert parse_qs(urlsplit(unescape(linked)).query)["arn"] == [before]


def test_among_the_executions_an_undelete_is_no_redrive(target: Target, page: TestClient):
    for by in ("pipeline", "deletion"):
        before = target.output("StateMachineArn").replace(":stateMachine:pipeline", f":execution:{by}") + ":b"
        run(target, f"raw/by-{by}.jpg", redrives=before)
    html = page.get("/executions").text
    assert html.count("a redrive") == 1
    assert re.search(r"by-deletion\.jpg.*a redrive.*by-pipeline\.jpg", plain(html), re.DOTALL)


def test_the_verdict_stands_beside_the_status_where_it_says_more(target: Target, page: TestClient, monkeypatch):
    """A picture that was rejected reads SUCCEEDED otherwise."""
    now = datetime.now(UTC)
    ended = {"status": "SUCCEEDED", "startDate": now, "stopDate": now}
    listed = [{"executionArn": run(target, key), "name": "x", **ended} for key in ("raw/bad.jpg", "raw/fine.jpg")]
    for one, verdict in zip(listed, ("REJECTED", "SUCCEEDED"), strict=True):
        row(target, f"raw/{verdict}.jpg", verdict, execution=one["executionArn"])
    monkeypatch.setattr(executions, "listing", lambda *_, **__: (listed, None))
    badges = re.findall(r"</svg>([A-Z]+)</span>", page.get("/executions").text)
    assert badges == ["SUCCEEDED", "REJECTED", "SUCCEEDED"]


def test_an_error_of_every_item_of_a_map_is_said_once(target: Target, page: TestClient, monkeypatch):
    """With how often it came; each item is folded, and says how often it was tried."""
    machine = {"StartAt": "Resize", "States": {"Resize": {"Type": "Pass", "End": True}}}
    monkeypatch.setattr(Definitions, "of", lambda *_: machine)
    failures = [{"error": "Sandbox.Failed", "cause": '{"errorMessage": "no room left"}'}] * 3
    now = datetime.now(UTC)
    states = [
        State("Resize", "Task", now, {}, item=name, exited=now, attempts=3, failures=list(failures))
        for name in ("thumb", "small")
    ]
    monkeypatch.setattr(executions, "visits", lambda *_: states)
    text = plain(page.get("/execution", params={"arn": run(target, "raw/cat.jpg")}).text)
    assert text.count("no room left") == 1
    assert "Sandbox.Failed 6 times no room left" in text
    assert re.findall(r"(thumb|small) 0.00 s, 3 attempts, Sandbox.Failed", text) == ["thumb", "small"]


def test_identifiers_are_folded_away(target: Target, page: TestClient):
    """What a person seldom reads, below what they came for."""
    arn = run(target, "raw/cat.jpg")
    row(target, "raw/cat.jpg", execution=arn, etag="0123456789abcdef", width=7, height=5, format="webp")
    for path in ("/picture?key=raw/cat.jpg", f"/execution?arn={arn}"):
        shown = re.sub(r"<details.*?</details>|<(?:[^>]*)>", "", page.get(path).text, flags=re.DOTALL)
        assert arn not in shown
        assert "0123456789abcdef" not in shown
        assert ("webp" in shown) == path.startswith("/picture")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("one line\nand more", "one line…"),
        ("word " * 100, "word " * 29 + "word…"),
        ("x" * 500, "x" * 150 + "…"),
        ("so: " + "x" * 500, "so: " + "x" * 146 + "…"),
    ],
)
def test_the_beginning_of_a_long_error_is_short(text: str, shown: str):
    assert pages.brief(text) == shown
    assert len(shown) <= pages.BRIEF + 1


def test_what_is_asked_for_again_keeps_the_keyboard_where_it_is(target: Target, page: TestClient):
    """htmx finds what had the focus by its id; and what is read out stands where nothing is replaced."""
    arn = run(target, "raw/a cat.jpg")
    row(target, "raw/a cat.jpg", "PROCESSING", execution=arn, version_id="v1")
    put(target, pipelines("raw/a cat.jpg"), reason="FAILED")
    redrive = page.post("/letters/redrive", data={"all": "yes"}).headers["location"]
    ended(page, redrive)
    parts = (f"/execution?arn={arn}", "/executions?key=cat", "/upload/way?key=raw/a cat.jpg&version=v1", redrive)
    for path in parts:
        html = page.get(path, headers={"hx-request": "true"}).text
        reached = re.findall(r"<(?:a|button|pre|[^>]*tabindex)[ >=][^>]*>?", html)
        assert reached, html
        assert [tag for tag in reached if 'id="' not in tag] == [], path
        ids = re.findall(r' id="([^"]*)"', html)
        assert len(set(ids)) == len(ids)
        assert not any(" " in one for one in ids)
        assert "aria-live" not in html


@pytest.mark.parametrize("query", ["/executions", "/executions?status=RUNNING", "/executions?key=even"])
def test_pages_of_executions_are_all_of_them_once(target: Target, page: TestClient, query):
    """Each page asks for its own and for no more, a search for a key for a bounded number."""
    for number in range(120):
        run(target, f"raw/{'even' if number % 2 == 0 else 'odd'}-{number:03}.jpg")
    seen: list[str] = []
    path: str | None = query
    while path:
        html = page.get(path).text
        seen += re.findall(r"raw/\w+-\d{3}\.jpg(?=</a></td>)", html)
        path = next_page(html) if len(seen) <= 120 else None
    assert len(seen) == len(set(seen)) == (60 if "even" in query else 120)


def test_a_page_of_executions_that_never_was_is_said(page: TestClient):
    assert page.get("/executions", params={"older": "nonsense"}).status_code == 404
    assert page.get("/results", params={"older": "nonsense"}).status_code == 404


def test_keys_are_shown_and_never_run(target: Target, page: TestClient):
    """Whoever uploads chooses the key, and what an error says may come from a file."""
    execution = run(target, NASTY)
    error = {"code": "<b>code</b>", "message": NASTY}
    row(target, NASTY, "FAILED", error=error, execution=execution, caption={"status": "OK", "text": NASTY})
    row(target, "raw/said.jpg", caption={"status": "OK", "text": NASTY}, color='"><script>alert(1)</script>')
    put(target, pipelines(NASTY), reason="FAILED")
    put(target, f"{NASTY} is no letter")
    paths = {
        "wall": "/results",
        "search": "/results?key=" + "%3Cscript%3E",
        "executions": "/executions?key=" + "%3Cscript%3E",
        "letters": "/letters",
        "before": "/letters/redrive?all=yes",
        "picture": "/picture?" + "key=" + page.build_request("GET", "/", params={"k": NASTY}).url.query.decode()[2:],
        "other": "/picture?key=raw/said.jpg",
        "health": "/health",
        "nothing": "/picture?key=%3Cscript%3E",
        "execution": f"/execution?arn={execution}&state=%3Cscript%3E",
    }
    for name, path in paths.items():
        answer = page.get(path)
        assert answer.status_code in (200, 404), f"{name}: {answer.text}"
        assert "<script>alert" not in answer.text, name
        assert "<b>code" not in answer.text, name
        assert "49.jpg" not in answer.text, name
    assert keys(page.get("/results").text)[-1] == NASTY


def test_an_error_and_a_dead_letter_name_their_entry_in_the_documentation(target: Target, page: TestClient):
    row(target, "raw/cat.jpg", "REJECTED", error={"code": "corrupt", "message": "half of it"})
    row(target, "raw/dog.jpg", caption={"status": "FAILED", "reason": "ModelBusy"})
    put(target, pipelines("raw/cow.jpg"), reason="FAILED")
    shown = {
        path: plain(page.get(path).text)
        for path in ("/picture?key=raw/cat.jpg", "/picture?key=raw/dog.jpg", "/letters")
    }
    assert [re.findall(r"Explained in (\S+)", text) for text in shown.values()] == [
        ["docs/results.md#corrupt"],
        ["docs/runbook.md#failedcaptions"],
        ["docs/executions.md#dead-letters"],
    ]


def test_a_command_to_copy_does_only_what_it_says(target: Target, page: TestClient):
    """A key is one word of it; one that a shell or a terminal would obey is in none."""
    error = {"code": "Lambda.Unknown", "message": "the function died"}
    for key in ("raw/a;touch b.jpg", "raw/a\ntouch b.jpg"):
        row(target, key, "FAILED", error=error)
    quoted = page.get("/picture", params={"key": "raw/a;touch b.jpg"}).text
    assert "or darkroom redrive 'raw/a;touch b.jpg'." in plain(quoted)
    assert "darkroom redrive" not in page.get("/picture", params={"key": "raw/a\ntouch b.jpg"}).text


def test_a_picture_is_shown_by_its_bytes_and_not_by_its_name(target: Target, page: TestClient):
    """A page that calls itself a picture arrives as a file, and nothing that is opened by itself runs."""
    target.s3.put_object(
        Bucket="uploads", Key="raw/page.jpg", Body=b"<script>alert(1)</script>", ContentType="image/jpeg"
    )
    target.s3.put_object(Bucket="uploads", Key="raw/drawn.svg", Body=b"<svg onload='x'/>", ContentType="image/svg+xml")
    target.s3.put_object(Bucket="uploads", Key="raw/cat.txt", Body=photo(64, 48), ContentType="text/html")
    for key in ("raw/page.jpg", "raw/drawn.svg"):
        answer = page.get("/original", params={"key": key})
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"
    picture = page.get("/original", params={"key": "raw/cat.txt"})
    assert picture.headers["content-type"] == "image/jpeg"
    assert "sandbox" in picture.headers["content-security-policy"]
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(picture.content)).size == (64, 48)
    assert page.get("/original", params={"key": "raw/nothing.jpg"}).status_code == 404


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
def test_what_browsers_show_is_known_by_its_first_bytes(target: Target, page: TestClient, format_name):
    target.s3.put_object(Bucket="uploads", Key="raw/x", Body=photo(64, 48, format_name=format_name))
    answer = page.get("/original", params={"key": "raw/x"})
    assert answer.headers["content-type"] == f"image/{format_name.lower()}"


def test_an_upload_gets_its_key_and_is_followed(target: Target, page: TestClient):
    answer = page.post("/upload", data={"folder": "a b"}, files={"pictures": ("c&d.jpg", photo(64, 48), "text/html")})
    assert answer.status_code == 303
    stored = target.s3.get_object(Bucket="uploads", Key="raw/a b/c&d.jpg")
    assert stored["ContentType"] == "image/jpeg"
    shown = page.get(answer.headers["location"]).text
    assert "waiting for its execution" in shown  # also without script
    [way] = [unescape(one) for one in re.findall(r'hx-get="(/upload/way[^"]*)"', shown)]
    asked = parse_qs(urlsplit(way).query)
    assert (asked["key"], asked["version"]) == (["raw/a b/c&d.jpg"], [stored["VersionId"]])
    assert "waiting for its execution" in page.get(way).text
    execution = run(target, "raw/a b/c&d.jpg")
    row(target, "raw/a b/c&d.jpg", version_id=stored["VersionId"], execution=execution, renditions={})
    ended = page.get(way).text
    assert 'data-status="SUCCEEDED"' in ended
    assert "data-moving" not in ended


def test_an_upload_beyond_the_limit_of_the_stack_is_refused(account, target: Target, page: TestClient):
    """And so is one without a length; nothing of either reaches S3."""
    account.deployed["Darkroom"]["UploadLimitBytes"] = "1000"
    answer = page.post("/upload", files={"pictures": ("big.jpg", b"x" * 1001)}, headers={"hx-request": "true"})
    assert (answer.status_code, "the limit of this stack: big.jpg" in answer.text) == (422, True)
    assert page.post("/upload", content=iter([b"x"])).status_code == 411
    assert page.post("/upload", headers={"content-length": str(2**40)}, content=b"x").status_code == 413
    one = {"hx-request": "true", "content-length": str(1000 + uploads.FORM_BYTES + 1)}
    assert page.post("/upload", headers=one, content=b"x").status_code == 413
    assert page.post("/upload", data={"pictures": "words"}).status_code == 400
    many = [("pictures", (f"{number}.jpg", b"x")) for number in range(uploads.FILES + 1)]
    assert page.post("/upload", files=many).status_code == 400
    assert "Contents" not in target.s3.list_objects_v2(Bucket="uploads")


def test_no_more_of_a_file_is_kept_than_may_be_one(account, target: Target, page: TestClient, monkeypatch):
    """Not even on the disk, while a form is read. The others of the form are taken."""
    account.deployed["Darkroom"]["UploadLimitBytes"] = "1000"
    kept: Counter[str] = Counter()
    write = UploadFile.write

    async def counted(file: UploadFile, data: bytes) -> None:
        kept[file.filename or ""] += len(data)
        await write(file, data)

    monkeypatch.setattr(UploadFile, "write", counted)
    sent = [("pictures", ("big.jpg", b"x" * 300_000)), ("pictures", ("fits.jpg", b"x" * 1000))]
    answer = page.post("/upload", files=sent)
    assert kept == {"big.jpg": 1001, "fits.jpg": 1000}
    assert "refused=too_large" in answer.headers["location"]
    shown = plain(page.get(answer.headers["location"]).text)
    assert "has more than 1000 B" in shown
    assert [one["Key"] for one in target.s3.list_objects_v2(Bucket="uploads")["Contents"]] == ["raw/fits.jpg"]


def test_an_address_asks_for_no_more_ways_than_a_form_has_files(page: TestClient):
    """Each is asked after by itself."""
    html = page.get("/upload", params={"way": [f"key=raw/{number}.jpg" for number in range(200)]}).text
    assert len(re.findall(r'<li class="way ', html)) == uploads.FILES


ENDED = "Your session has ended: run curl"


@pytest.mark.parametrize(
    "address",
    [
        "/upload?refused=",
        "/picture?key=",
        "/results?status=",
        "/results?older=",
        "/executions?status=",
        "/executions?older=",
        "/execution?arn=",
        "/execution/logs?arn=",
        "/original?key=",
        "/original?key=x&version=",
        "/rendition?key=",
        "/letters/redrive?letter=",
        "/letters/redrives/",
        "/health?span=",
        "/",
    ],
)
def test_no_text_of_an_address_becomes_words_of_the_page(page: TestClient, address):
    """A link may be anybody's: what the page says itself is written in its code."""
    assert ENDED not in plain(page.get(address + quote(ENDED)).text)


@pytest.mark.parametrize(("name", "key"), [("../../x.jpg", "raw/../../x.jpg"), ("a/b.jpg", "raw/a/b.jpg")])
def test_a_name_is_a_key_as_it_is(target: Target, page: TestClient, name, key):
    """S3 knows no folders: two dots lead nowhere."""
    page.post("/upload", files={"pictures": (name, photo(64, 48))})
    assert [one["Key"] for one in target.s3.list_objects_v2(Bucket="uploads")["Contents"]] == [key]


def test_a_redrive_of_one_leaves_the_others(target: Target, page: TestClient):
    """Said before, done after a POST, shown then; the letter goes, the others stay."""
    other = put(target, pipelines("raw/other.jpg"), reason="FAILED")
    wanted = put(target, pipelines("raw/one.jpg"), reason="FAILED")
    before = page.get("/letters/redrive", params={"letter": wanted}).text
    assert "raw/one.jpg" in before
    assert "raw/other.jpg" not in before
    assert letters.count(target) == (2, 0)
    answer = page.post("/letters/redrive", data={"letter": wanted})
    happened = ended(page, answer.headers["location"])
    assert "1 of 1 started" in happened
    assert left(target) == [other]


def test_a_redrive_of_all_starts_all_and_leaves_what_is_unreadable(target: Target, page: TestClient):
    for number in range(12):
        put(target, pipelines(f"raw/{number}.jpg"), reason="FAILED")
    unreadable = put(target, "no letter")
    answer = page.post("/letters/redrive", data={"all": "yes"})
    happened = ended(page, answer.headers["location"])
    assert "12 of 13 started, 1 not" in happened
    assert left(target) == [unreadable]


@pytest.mark.parametrize("by", ["the button", "Ctrl-C"])
def test_a_redrive_that_is_stopped_leaves_the_rest_in_the_queue(target: Target, page: TestClient, by):
    """Nothing half done: what was started has no letter any more, what was not has its own."""
    for number in range(30):
        put(target, pipelines(f"raw/{number}.jpg"), reason="FAILED")
    with page:  # the server begins and ends with this block
        path = page.post("/letters/redrive", data={"all": "yes"}).headers["location"]
        assert any("0 of 30 started" not in page.get(path).text for _ in range(500))
        if by == "the button":
            assert page.post(f"{path}/stop").headers["location"] == path
            assert "Stopped: the rest is in the queue." in ended(page, path)
    started = len(inputs(target))
    assert 0 < started < 30
    assert letters.count(target) == (30 - started, 0)


@pytest.mark.usefixtures("target")
def test_a_letter_that_somebody_else_redrove_is_said(page: TestClient):
    answer = page.post("/letters/redrive", data={"letter": "gone"})
    assert "is not in the queue any more" in ended(page, answer.headers["location"])


def ended(page: TestClient, path: str) -> str:
    """The page of a redrive, once that has ended."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        html = page.get(path).text
        if "/stop" not in html:
            return html
    pytest.fail("the redrive did not end")


@pytest.mark.parametrize("status", ["PROCESSING", "REJECTED", "FAILED"])
def test_an_older_version_is_shown_until_a_newer_one_succeeds(target: Target, page: TestClient, status: str):
    """On the wall and on the picture's page, which says of which version it is, and calls nothing of it the newest's.
    The execution that has the row does not claim those renditions."""
    rendition = {"key": "cat.jpg/1/small.webp", "width": 480, "height": 360, "format": "webp", "bytes": 7}
    older = {"renditions": {"small": rendition}, "width": 640, "height": 480, "format": "jpeg"}
    error = {} if status == "PROCESSING" else {"error": {"code": "corrupt", "message": "no room"}}
    arn = run(target, "raw/cat.jpg")
    newest = {"version_id": "newest", "size": 9, "execution": arn, **error}
    row(target, "raw/cat.jpg", status, shown_version_id="the shown one", **older, **newest)
    wall, one = page.get("/results").text, page.get("/picture?key=raw/cat.jpg").text
    assert "small.webp" in wall
    assert "Shown is an older version, the shown one: the last that succeeded" in plain(one)
    assert f"The newest is {status} · 9 B" in plain(one)
    assert "small.webp" in one
    assert "The original" not in plain(one)
    assert "Renditions: small" not in plain(page.get("/execution", params={"arn": arn}).text)
    way = page.get("/upload/way", params={"key": "raw/cat.jpg", "version": "newest", "etag": "e", "begun": "0"}).text
    assert status in way
    assert "small" not in way


def test_what_is_stuck_says_so(target: Target, page: TestClient):
    """PROCESSING for long, on the wall and on Health; not what has just begun, nor what waits for a busy model."""
    execution = run(target, "raw/slow.jpg")
    row(target, "raw/slow.jpg", "PROCESSING", ago=45, execution=execution)
    row(target, "raw/quick.jpg", "PROCESSING", ago=1, execution=execution)
    row(target, "raw/captioned.jpg", "PROCESSING", ago=18, execution=execution)
    wall = page.get("/results").text
    assert "1 is stuck" in plain(wall)
    assert wall.count('<li class="stuck">') == 1
    needs = page.get("/health").text
    assert "raw/slow.jpg" in needs
    assert "raw/captioned.jpg" not in needs
    assert "goes on by itself" in needs


def test_health_counts_what_there_is(target: Target, page: TestClient):
    for number in range(3):
        row(target, f"raw/{number}.jpg", "REJECTED", error={"code": "corrupt", "message": "m"}, execution="arn:x")
    execution = run(target, "raw/fine.jpg")
    row(target, "raw/fine.jpg", execution=execution)
    html = page.get("/health").text
    assert re.search(r'<th scope="row">corrupt</th>.*?<td class="number">3</td>', html)
    assert "of the last hour: 3 REJECTED, 1 SUCCEEDED" in html
    assert ": 1 picture of the newest 1,000 executions." in html


def test_health_says_how_far_back_it_looked(target: Target, page: TestClient, monkeypatch):
    """What is older is of no status."""
    monkeypatch.setattr(health, "MOST", 2)
    for number in range(4):
        row(target, f"raw/{number}.jpg", ago=number)
    row(target, "raw/old.jpg", "REJECTED", ago=30, error={"code": "corrupt", "message": "m"}, execution="arn:x")
    html = plain(page.get("/health").text)
    assert re.search(r"2 rows changed after [\d :-]+ UTC; each", html)
    assert "as far back as the newest 2 rows of one status reach" in html
    assert "corrupt" not in html


@pytest.mark.parametrize(("times", "said"), [([], (None, None)), ([2.0], (2.0, 2.0)), ([1.0, 3.0], (2.0, 2.9))])
def test_no_picture_is_said_to_be_slower_than_the_slowest(times, said):
    assert health.half_and_most(times) == pytest.approx(said)


def test_a_row_without_an_execution_is_shown(target: Target, page: TestClient):
    """As one that another program wrote."""
    execution = run(target, "raw/cat.jpg")
    row(target, "raw/cat.jpg", "PROCESSING", ago=45, version_id="v1")
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    for path in ("/results", "/picture?key=raw/cat.jpg", "/executions?key=raw/cat.jpg", f"/execution?arn={execution}"):
        assert page.get(path).status_code == 200, path
    for path in ("/health", "/letters/redrive?all=yes", "/upload/way?key=raw/cat.jpg&version=v1"):
        answer = page.get(path)
        assert (answer.status_code, "raw/cat.jpg" in answer.text) == (200, True), path


def test_a_live_execution_goes_on_to_the_state_it_is_in(target: Target, page: TestClient, monkeypatch):
    """Unless somebody chose one."""
    arn = run(target, "raw/cat.jpg")
    state = next(iter(Definitions().of(target, executions.one(target, arn))["States"]))
    entered = State(state, "Pass", datetime.now(UTC), {})
    monkeypatch.setattr(executions, "visits", lambda *_: [entered])

    def asks_again(**chosen: str) -> dict[str, list[str]]:
        html = page.get("/execution", params={"arn": arn, **chosen}).text
        assert 'id="state"' in html
        [again] = re.findall(r'id="execution" hx-get="([^"]*)"', html)
        return parse_qs(urlsplit(unescape(again)).query)

    assert asks_again() == {"arn": [arn]}
    assert asks_again(state=state) == {"arn": [arn], "state": [state]}


def test_a_beginning_is_meant_with_or_without_the_upload_prefix(target: Target, page: TestClient):
    """As on the command line."""
    row(target, "raw/2026/cat.jpg")
    row(target, "raw/2025/cat.jpg")
    for prefix in ("2026/", "raw/2026/"):
        assert keys(page.get("/results", params={"prefix": prefix}).text) == ["raw/2026/cat.jpg"]


def test_another_status_is_of_the_same_keys(target: Target, page: TestClient):
    row(target, "raw/cat.jpg")
    html = page.get("/results", params={"key": "ca"}).text
    tabs = re.search(r'<nav class="tabs".*?</nav>', html, re.DOTALL)
    assert tabs
    hrefs = [parse_qs(urlsplit(unescape(href)).query) for href in re.findall(r'href="([^"]*)"', tabs[0])]
    assert [href["key"] for href in hrefs] == [["ca"]] * 6


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoCredentialsError(), "sign in, or set AWS_PROFILE"),
        (TargetError("no local cloud is running: `darkroom up` starts it"), "`darkroom up` starts it"),
        (TargetError("no stack Darkroom in a cloud: run `make deploy`"), "run `make deploy`"),
    ],
)
@pytest.mark.parametrize("path", ["/results", "/executions", "/upload", "/letters", "/health", "/picture?key=x"])
def test_what_is_missing_is_said_with_what_to_run(open_page: Open, path, error, says):
    def choose() -> Target:
        raise error

    answer = open_page(choose).get(path)
    assert answer.status_code == 503
    assert says.replace("`", "") in plain(answer.text)
    part = open_page(choose).get(path, headers={"hx-request": "true"})
    assert (part.status_code, "<html" in part.text) == (503, False)
    assert says.replace("`", "") in plain(part.text)


def test_a_cloud_that_went_away_and_came_back_is_found_again(target: Target, open_page: Open):
    """The page was open all the time; the cloud may be another one by then, at another port."""
    chosen = Chosen(target)
    page = open_page(chosen)
    assert page.get("/results").status_code == 200
    broken = EndpointConnectionError(endpoint_url="https://localhost:4566")

    def refuse(**_: object) -> None:
        raise broken

    chosen[-1].results.meta.client.meta.events.register("before-call", refuse)
    answer = page.get("/results")
    assert answer.status_code == 503
    assert "is it running?" in answer.text
    assert page.get("/results").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/original", "/rendition?key=", "/execution", "/execution?arn=nonsense", "/execution/logs", "/picture"),
        *("/results?status=NONE", "/executions?status=NONE", "/letters/redrives/7", "/nowhere"),
    ],
)
def test_what_is_not_there_is_said(page: TestClient, path):
    answer = page.get(path)
    assert answer.status_code == 404
    assert "This cannot be shown" in answer.text


def test_the_stack_is_not_there(account, open_page: Open):
    account.deployed.clear()
    answer = open_page().get("/results")
    assert (answer.status_code, "run make deploy" in plain(answer.text)) == (503, True)


def test_on_aws_an_execution_links_to_its_own_page_in_the_console(target: Target, page: TestClient):
    """In AWS's own way of writing it, and in the region of the execution."""
    execution = run(target, "raw/cat.jpg")
    html = page.get("/execution", params={"arn": execution}).text
    console = "https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1"
    assert f'href="{console}#/v2/executions/details/{execution}"' in html


@pytest.mark.parametrize("path", ["/results", "/picture?key=raw/cat.jpg"])
def test_a_row_that_speaks_of_an_older_version_again_has_no_size(target: Target, page: TestClient, path: str):
    """Until that version is made anew."""
    row(target, "raw/cat.jpg", width=640, height=480, format="jpeg")
    answer = page.get(path)
    assert answer.status_code == 200
    assert "jpeg" in answer.text
