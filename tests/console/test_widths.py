"""Every view in Chromium, on a telephone's screen and on a desk's, over a stack in moto."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Route
from starlette.testclient import TestClient

from darkroom.console import executions as view
from darkroom.local.pictures import photo
from darkroom.pipeline import backfill as backfills
from darkroom.pipeline import executions
from darkroom.pipeline.executions import State
from darkroom.pipeline.target import Target
from tests.browser import chromium
from tests.console.conftest import HOST
from tests.console.test_backfills import count_maps
from tests.console.test_views import row, run
from tests.darkroom.test_letters import pipelines, put

PIPELINE = Path(__file__).parents[2] / "statemachine" / "image_pipeline.asl.json"
NARROW, WIDE = 390, 1280
LONG_KEY = "raw/" + "a-folder-whose-name-never-ends-" * 4 + "x.jpg"
DENIED = (
    "An error occurred (AccessDenied) when calling the PutObject operation: User: arn:aws:sts::123456789012:"
    "assumed-role/Darkroom-StepsResizeServiceRole1A2B3C4D-5E6F7G8H9I0J/Darkroom-StepsResize1A2B3C4D-5E6F7G8H9I0J is not"
    ' authorized to perform: s3:PutObject on resource: "arn:aws:s3:::darkroom-renditionsbucket/raw/bridge.jpg"'
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(page: TestClient, browser: Browser) -> Iterator[Any]:
    """A window of that width, whose requests the application answers in this process."""

    def answer(route: Route) -> None:
        asked = route.request
        path = asked.url.removeprefix(f"http://{HOST}")
        headers = {"hx-request": "true"} if "hx-request" in asked.headers else {}
        given = page.request(asked.method, path, headers=headers)
        route.fulfill(status=given.status_code, headers=dict(given.headers), body=given.content)

    contexts = []

    def opened(width: int) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 844}, base_url=f"http://{HOST}")
        contexts.append(context)
        context.route("**/*", answer)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()


def failed_states() -> list[State]:
    """A picture whose renditions could not be written: each of the four sizes was tried three times."""
    now = datetime.now(UTC)
    at = [now + timedelta(seconds=0.7 * number) for number in range(20)]
    given = {"detail": {"object": {"key": LONG_KEY, "sequencer": "0" * 200}}}
    renditions = State("Renditions", "Map", at[3], given, exited=at[9], output=[])
    errors = [{"error": "Lambda.ClientError", "cause": json.dumps({"errorMessage": DENIED})}] * 3
    sizes = [
        State("Resize", "Task", at[3], given, renditions, number, size, attempts=3, failures=list(errors))
        for number, size in enumerate(("thumb", "small", "medium", "large"))
    ]
    return [
        State("Claim", "Task", at[0], given, exited=at[1], output={}, attempts=1),
        State("Validate", "Task", at[1], given, exited=at[2], output={"accepted": True}, attempts=1),
        State("Accepted?", "Choice", at[2], given, exited=at[3], output={}),
        renditions,
        *sizes,
        State("Explain", "Pass", at[9], given, exited=at[10], output={}),
        State("RecordFailure", "Task", at[10], given, exited=at[11], output={}, attempts=1),
        State("DeadLetter", "Task", at[11], given, exited=at[12], output={}, attempts=1),
        State("Failed", "Fail", at[12], given),
    ]


@pytest.fixture
def paths(target: Target, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One of everything, with the longest key and the longest error."""
    monkeypatch.setattr(executions, "visits", lambda *_: failed_states())
    monkeypatch.setattr(view, "log_groups", lambda _: {"Resize": "/resize"})
    target.s3.create_bucket(
        Bucket="renditions", CreateBucketConfiguration={"LocationConstraint": target.session.region_name}
    )
    target.states.update_state_machine(
        stateMachineArn=target.output("StateMachineArn"), definition=PIPELINE.read_text()
    )
    for name in ("raw/cat.jpg", "raw/dog.jpg", LONG_KEY):
        target.s3.put_object(Bucket="uploads", Key=name, Body=photo(96, 64))
    renditions = {}
    for name, width in (("thumb", 128), ("small", 480), ("medium", 1024), ("large", 1600)):
        key = f"cat.jpg/0123456789abcdef/{name}.webp"
        target.s3.put_object(Bucket="renditions", Key=key, Body=photo(96, 64))
        renditions[name] = {"key": key, "width": width, "height": width * 2 // 3, "format": "webp", "bytes": 12345}
    fine = run(target, "raw/cat.jpg")
    facts = {"width": 1600, "height": 1067, "format": "jpeg", "size": 345678, "etag": "0" * 32, "sequencer": "0" * 40}
    row(target, "raw/cat.jpg", execution=fine, renditions=renditions, color="#6a7f93", **facts)
    failed = run(target, LONG_KEY)
    error = {"code": "Lambda.ClientError", "message": DENIED}
    row(target, LONG_KEY, "FAILED", execution=failed, error=error, ago=2)
    for number in range(2):
        execution = run(target, f"raw/bridge-{number}.jpg")
        row(target, f"raw/bridge-{number}.jpg", "FAILED", execution=execution, error=error, ago=3)
    row(target, "raw/dog.jpg", "PROCESSING", execution=run(target, "raw/dog.jpg"), ago=50)
    rejected = {
        "code": "unsupported_format",
        "message": "not JPEG, PNG, GIF, WebP, TIFF, BMP or AVIF: begins with 576f",
    }
    words = run(target, "raw/words.jpg")
    target.states.stop_execution(executionArn=words)
    row(target, "raw/words.jpg", "REJECTED", execution=words, error=rejected, ago=4)
    for key in (LONG_KEY, "raw/bridge-0.jpg", "raw/bridge-1.jpg"):
        put(target, pipelines(key) | {"error": error, "execution": failed}, reason="FAILED")
    put(target, pipelines("raw/slow.jpg"), reason="TIMED_OUT")
    put(target, "no letter at all " * 30)
    logged(target, failed)
    count_maps(monkeypatch, total=2_345_678, succeeded=1_234_567, running=1000, failed=100)
    for prefix in ("", LONG_KEY.removesuffix("x.jpg"), ""):
        backfills.start(target, "captions", prefix)
        backfills.stop(target)
    backfills.start(target, "captions")
    for number in range(2):
        row(target, f"{LONG_KEY}{number}", "FAILED", error=error, ago=-1)
    arn = quote(failed, safe="")
    return {
        "results": "/results",
        "rejected": "/results?status=REJECTED",
        "processing": "/results?status=PROCESSING",
        "nothing": "/results?prefix=nothing/",
        "picture": "/picture?key=raw/cat.jpg",
        "failed picture": f"/picture?key={quote(LONG_KEY)}",
        "stuck picture": "/picture?key=raw/dog.jpg",
        "executions": "/executions",
        "failed execution": f"/execution?arn={arn}",
        "execution": f"/execution?arn={quote(fine, safe='')}&state=Validate",
        "logs": f"/execution/logs?arn={arn}",
        "letters": "/letters",
        "before": "/letters/redrive?all=yes",
        "backfills": "/backfills",
        "before it is stopped": "/backfills/stop",
        "health": "/health",
        "upload": f"/upload?way={quote('key=raw/cat.jpg&version=null')}&way={quote('key=raw/new.jpg&version=x')}",
        "trouble": "/picture?key=nowhere",
    }


def logged(target: Target, execution: str) -> None:
    target.logs.create_log_group(logGroupName="/resize")
    target.logs.create_log_stream(logGroupName="/resize", logStreamName="one")
    line = {"level": "ERROR", "message": "Resize failed", "execution": execution, "exception": f"Traceback\n{DENIED}"}
    started = {"level": "INFO", "message": "started", "execution": execution}
    texts = [json.dumps(one) for one in (started, line, line, line)] + [f"START RequestId {execution} " + "x" * 300]
    now = int(datetime.now(UTC).timestamp() * 1000)
    events = [{"timestamp": now + number, "message": text} for number, text in enumerate(texts)]
    target.logs.put_log_events(logGroupName="/resize", logStreamName="one", logEvents=events)


# Unfolds all, and finds what reaches out of the window or is cut off at the right by what it stands in.
WIDER = """() => {
    for (const one of document.querySelectorAll("details")) one.open = true;
    const cut = (one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible";
    return [document.scrollingElement, ...document.querySelectorAll("body *:not(.unseen, .frame, img, input, svg *)")]
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 || one.clientWidth && cut(one))
        .slice(0, 4).map((one) => one.outerHTML.slice(0, 150));
}"""


def test_no_view_is_wider_than_the_window(visit: Any, paths: dict[str, str], page: TestClient):
    """Nor does anything in it scroll sideways: tables leave columns out, the drawing is another, the rest wraps."""
    window = visit(NARROW)
    found = {}
    for name, path in [*paths.items(), ("redrive", "")]:
        answer = window.goto(path or page.post("/letters/redrive", data={"all": "yes"}).headers["location"])
        assert answer.status in (200, 404), name
        for width in (NARROW, WIDE):
            window.set_viewport_size({"width": width, "height": 844})
            found[f"{name}, {width} pixels"] = window.evaluate(WIDER)
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_the_drawing_is_the_one_for_the_width(visit: Any, paths: dict[str, str]):
    """Each shows what became of every state, and a screen reader and the keyboard find only one of them."""
    window = visit(NARROW)
    window.goto(paths["failed execution"])
    said = {}
    for kind, width in (("narrow", NARROW), ("wide", WIDE)):
        window.set_viewport_size({"width": width, "height": 844})
        [drawn] = window.get_by_role("group", name="The workflow").all()
        assert kind in drawn.get_attribute("class")
        said[kind] = sorted(state.get_attribute("aria-label") for state in drawn.locator("[aria-label]").all())
    assert "Failed: the execution failed here" in said["narrow"]
    assert said["narrow"] == said["wide"]


def test_what_was_unfolded_stays_unfolded_while_the_page_asks_again(visit: Any, paths: dict[str, str]):
    window = visit(WIDE)
    window.goto(paths["failed execution"])
    window.locator("#identifiers summary").click()
    window.evaluate("document.querySelector('#identifiers').dataset.old = 'yes'")
    window.wait_for_selector("#identifiers:not([data-old])")
    assert window.locator("#identifiers").get_attribute("open") is not None
