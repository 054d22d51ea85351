"""The view of the backfills: what is counted, what failed, and how one is stopped. Its numbers are those of
`darkroom backfill --follow`."""

import json
import re
from html import unescape
from typing import Any

import pytest
from moto.stepfunctions.models import StepFunctionBackend
from starlette.testclient import TestClient

from darkroom.console import backfills as view
from darkroom.console.pages import ENOUGH
from darkroom.pipeline import backfill as backfills
from darkroom.pipeline.target import Target
from tests.console.conftest import Open
from tests.console.test_views import plain, row


def count_maps(monkeypatch: pytest.MonkeyPatch, **counted: int) -> None:
    """As Step Functions would, of every Map: moto runs none."""
    counts = dict.fromkeys(("total", "succeeded", "running", "failed", "timedOut", "aborted"), 0) | counted
    run = {"mapRunArn": "arn:aws:states:eu-central-1:123456789012:mapRun:backfill/Objects:1"}
    monkeypatch.setattr(StepFunctionBackend, "list_map_runs", lambda *_: {"mapRuns": [run]})
    monkeypatch.setattr(StepFunctionBackend, "describe_map_run", lambda *_: {"itemCounts": counts})


@pytest.fixture(autouse=True)
def _no_map_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepFunctionBackend, "list_map_runs", lambda *_: {"mapRuns": []})


def numbers(html: str) -> dict[str, str]:
    found = re.findall(r"<dt>(.*?)</dt><dd>([^<]*)</dd>", html)
    return {plain(name): number for name, number in found}


def part(page: TestClient) -> Any:
    return page.get("/backfills", headers={"hx-request": "true"})


@pytest.mark.usefixtures("target")
def test_where_there_was_none_it_says_so(page: TestClient):
    html = page.get("/backfills").text
    assert "There was no backfill yet" in html
    assert "hx-trigger" not in html


def test_one_that_runs_is_counted(target: Target, page: TestClient, monkeypatch: pytest.MonkeyPatch):
    """Its objects as Step Functions counts them, its pictures by their rows: of its prefix, and since it began."""
    count_maps(monkeypatch, total=1200, succeeded=900, running=200, failed=100)
    backfills.start(target, "stale", "2026/", at_once=20)
    statuses = {"PROCESSING": 2, "SUCCEEDED": 4, "REJECTED": 3, "FAILED": 1, "DELETED": 5}
    for status, count in statuses.items():
        for number in range(count):
            row(target, f"raw/2026/{status}-{number}.jpg", status)
        row(target, f"raw/2026/before-{status}.jpg", status, ago=60)
        row(target, f"raw/elsewhere/{status}.jpg", status)
    html = page.get("/backfills").text
    text = plain(html)
    assert "900 of 1,200 objects looked at" in text
    assert ("200 in batches that are at work" in text, "100 not looked at" in text) == (True, True)
    assert "at most 20 pictures at once" in text
    assert numbers(html) == {"needed work": "10", "at work": "2", "made": "4", "rejected": "3", "failed": "1"}
    assert 'hx-get="/backfills" hx-trigger="every' in html
    assert part(page).status_code == 200


def test_what_failed_is_linked_to_its_picture(target: Target, page: TestClient, monkeypatch: pytest.MonkeyPatch):
    """With its error; all of them are one link further."""
    monkeypatch.setattr(view, "FAILED_SHOWN", 2)
    backfills.start(target, "all")
    for number in range(3):
        row(target, f"raw/<{number}>.jpg", "FAILED", error={"code": "E", "message": f"no room {number}"})
    html = page.get("/backfills").text
    links = [unescape(one) for one in re.findall(r'href="(/picture[^"]*)"', html)]
    assert len(links) == 2
    assert page.get(links[0]).status_code == 200
    assert len(re.findall(r"no room \d", html)) == 2
    assert 'href="/results?status=FAILED&amp;prefix=raw%2F"' in html


def test_what_could_not_be_started_is_named(target: Target, page: TestClient):
    """It has no row, so that no link leads to its picture."""
    backfills.start(target, "missing")
    [execution] = backfills.listing(target, 1)
    name = execution.rpartition(":")[2]
    told = {"key": "raw/<cat>.jpg", "failed": {"Error": "StepFunctions.Gone", "Cause": "no machine"}}
    target.s3.put_object(Bucket="reports", Key=f"{backfills.NOT_STARTED}{name}/a.json", Body=json.dumps(told))
    html = page.get("/backfills").text
    assert "1 could not be started" in plain(html)
    assert ("raw/&lt;cat&gt;.jpg" in html, "no machine" in html, "/picture?" in html) == (True, True, False)
    backfills.stop(target)
    assert "--go-on" in part(page).text


def test_more_than_are_counted_say_so(target: Target, page: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backfills, "MOST_COUNTED", 1)
    backfills.start(target, "all")
    for number in range(3):
        row(target, f"raw/{number}.jpg", filler="x" * 390_000)  # a megabyte is read at once
    assert numbers(page.get("/backfills").text)["made"].endswith("+")


def test_it_is_stopped_after_it_was_asked(target: Target, page: TestClient):
    """The question changes nothing."""
    backfills.start(target, "missing")
    [stops] = re.findall(r'class="button"[^>]* href="(/backfills/stop)"', page.get("/backfills").text)
    before = page.get(stops).text
    assert "come to their end" in before
    assert status(target) == ["RUNNING"]
    assert page.post("/backfills/stop").headers["location"] == "/backfills"
    assert status(target) == ["ABORTED"]
    answer = part(page)
    assert (answer.status_code, "ABORTED" in answer.text, "/backfills/stop" in answer.text) == (ENOUGH, True, False)
    assert "--go-on" in answer.text


def test_one_that_has_ended_meanwhile_is_not_stopped(target: Target, page: TestClient):
    """Neither the question nor the answer is an error."""
    backfills.start(target, "missing")
    backfills.stop(target)
    assert page.get("/backfills/stop").headers["location"] == "/backfills"
    assert page.post("/backfills/stop").headers["location"] == "/backfills"


def test_nobody_else_can_stop_it(target: Target, page: TestClient, open_page: Open):
    """No page of somebody else, and no read-only page, which shows no button either."""
    backfills.start(target, "missing")
    assert page.post("/backfills/stop", headers={"origin": "http://elsewhere.example"}).status_code == 403
    reading = open_page(read_only=True)
    assert reading.post("/backfills/stop").status_code == 403
    assert "/backfills/stop" not in reading.get("/backfills").text
    assert "<button>" not in reading.get("/backfills/stop").text
    assert status(target) == ["RUNNING"]


def status(target: Target) -> list[str]:
    machine = target.output("BackfillStateMachineArn")
    return [one["status"] for one in target.states.list_executions(stateMachineArn=machine)["executions"]]


def by_the_schedule(target: Target) -> None:
    machine, search = target.output("BackfillStateMachineArn"), backfills.given("missing", "raw/", 10)
    name = "0f4c2d9e-1f0a-4c6b-9d8e-3a1b2c3d4e5f_7a6b5c4d-0000-4000-8000-000000000000"
    target.states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(search))


def test_a_search_beside_it_is_shown_and_stopped_too(target: Target, page: TestClient):
    backfills.start(target, "stale")
    by_the_schedule(target)
    html = page.get("/backfills").text
    assert html.count('class="panel backfill"') == 2
    assert html.count("by the schedule") == 1
    assert "The schedule started it." in page.get("/backfills/stop").text
    page.post("/backfills/stop")
    assert status(target) == ["ABORTED"] * 2


def test_a_search_that_was_stopped_is_not_gone_on_with(target: Target, page: TestClient):
    """What `--go-on` takes up is a backfill of a person."""
    by_the_schedule(target)
    backfills.stop(target)
    assert "darkroom backfill or the next search makes the rest." in plain(page.get("/backfills").text)


def test_earlier_ones_are_listed_and_asked_for_once(target: Target, page: TestClient, monkeypatch: pytest.MonkeyPatch):
    """The newest is looked into, the others have a line each."""
    count_maps(monkeypatch, total=70, succeeded=60, aborted=10)
    for only in ("missing", "failed", "all"):
        backfills.start(target, only, f"{only}/")  # type: ignore[arg-type]
        backfills.stop(target)
    asked: list[str] = []
    looked = backfills.how_far
    monkeypatch.setattr(backfills, "how_far", lambda *given: asked.append(given[1]) or looked(*given))
    for _ in range(2):
        html = page.get("/backfills").text
        assert html.count('class="panel backfill"') == 1
        assert re.findall(r"below raw/(\w+)/", plain(html)) == ["all", "failed", "missing"]
    assert len(asked) == 3


def test_of_one_that_ended_later_changes_do_not_count(target: Target, page: TestClient):
    """But for what was at work when it was stopped."""
    backfills.start(target, "all")
    backfills.stop(target)
    row(target, "raw/at-work.jpg", ago=-0.5)
    row(target, "raw/later.jpg", ago=-2)
    assert numbers(page.get("/backfills").text)["made"] == "1"
