"""The redrives of the page: what is shown of them, what they ask of AWS, and how they are stopped."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from starlette.testclient import TestClient

from darkroom.console import letters
from darkroom.pipeline.target import Target
from tests.console.conftest import Chosen, Open
from tests.console.test_views import ended, row
from tests.darkroom.test_letters import pipelines, put
from tests.darkroom.test_untold import OF_LAMBDA, UNTOLD, WEBHOOK


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto waits as long as SQS is asked to; and nothing here is too fast for it."""
    monkeypatch.setattr("darkroom.pipeline.letters.WAIT_SECONDS", 0)
    monkeypatch.setattr(letters, "A_SECOND", 1000)


def test_what_was_not_redriven_stays_in_sight(target: Target, page: TestClient, monkeypatch: pytest.MonkeyPatch):
    """And is shown before what went well, of which only the newest is."""
    monkeypatch.setattr(letters, "FOLLOWED", 1)
    unreadable = put(target, "no letter")
    for number in range(4):
        put(target, pipelines(f"raw/{number}.jpg"), reason="FAILED")
    html = ended(page, page.post("/letters/redrive", data={"all": "yes"}).headers["location"])
    assert "4 of 5 started, 1 not" in html
    assert html.index(unreadable) < html.index("raw/")


def test_an_execution_is_followed_from_before_it_is_known_until_it_has_ended(target: Target, open_page: Open):
    """Step Functions may not know at once what it has just started; and what has ended is not asked for again."""
    chosen = Chosen(target)
    asked = []
    page = open_page(chosen)
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    path = page.post("/letters/redrive", data={"all": "yes"}).headers["location"]
    ended(page, path)
    states = chosen[0].states

    def not_yet(**_: Any) -> None:
        raise states.exceptions.ExecutionDoesNotExist({"Error": {}}, "DescribeExecution")

    states.meta.events.register("before-call.sfn.DescribeExecution", not_yet)
    answer = page.get(path)
    assert (answer.status_code, "Some are still running." in answer.text) == (200, True)
    states.meta.events.unregister("before-call.sfn.DescribeExecution", not_yet)
    [started] = target.states.list_executions(stateMachineArn=target.output("StateMachineArn"))["executions"]
    target.states.stop_execution(executionArn=started["executionArn"])
    states.meta.events.register("before-call.sfn.DescribeExecution", lambda **_: asked.append(1))
    assert [("aborted" in page.get(path).text.lower()) for _ in range(2)] == [True, True]
    assert len(asked) == 1


def test_failed_pictures_are_said_to_have_no_letter_only_when_every_letter_was_seen(
    target: Target, page: TestClient, monkeypatch: pytest.MonkeyPatch
):
    row(target, "raw/lost.jpg", "FAILED", error={"code": "c", "message": "m"}, execution="arn:x")
    assert "no letter here" in page.get("/letters").text
    monkeypatch.setattr(letters, "SHOWN", 2)
    for number in range(3):
        put(target, pipelines(f"raw/{number}.jpg"), reason="FAILED")
    assert "no letter here" not in page.get("/letters").text


def test_letters_of_one_error_stand_below_it_and_are_redriven_together(target: Target, page: TestClient):
    """The error is there once, without the JSON around it, and with how many times it came; another is not among it."""
    cause = '{"errorMessage": "no room left", "stackTrace": []}'
    full = [put(target, told(f"raw/{number}.jpg", cause), reason="FAILED") for number in range(3)]
    put(target, pipelines("raw/other.jpg"), reason="FAILED")
    html = page.get("/letters").text
    assert re.findall(r"(\d+) times</span> ([^<]*)<", html) == [("3", "no room left")]
    [together] = re.findall(r'href="([^"]*)">Redrive these 3…', html)
    assert sorted(parse_qs(urlsplit(unescape(together)).query)["letter"]) == sorted(full)
    before = page.get(unescape(together)).text
    assert ("raw/2.jpg" in before, "raw/other.jpg" in before) == (True, False)


def told(key: str, message: str) -> dict[str, Any]:
    return pipelines(key) | {"error": {"code": "Sandbox.Failed", "message": message}}


def test_a_read_only_page_has_nothing_to_press_that_does_nothing(target: Target, open_page: Open):
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    page = open_page(read_only=True)
    for path in ("/letters", "/letters/redrive?all=yes", "/upload", "/results"):
        html = page.get(path).text
        assert re.findall(r"<(?:button|input)(?![^>]*(?:data-theme-switch|search))[^>]*>(?!Find)[^<]*", html) == [], (
            path
        )
        assert 'href="/upload"' not in html
    assert 'href="/upload"' in open_page().get("/results").text


@pytest.mark.usefixtures("target")
def test_a_redrive_that_never_was_cannot_be_stopped(page: TestClient):
    answer = page.post("/letters/redrives/99/stop")
    assert (answer.status_code, "is not known" in answer.text) == (404, True)


@pytest.mark.usefixtures("target")
def test_the_last_redrives_are_kept(page: TestClient, monkeypatch: pytest.MonkeyPatch):
    """A page that is open for weeks does not grow with each."""
    monkeypatch.setattr(letters, "KEPT", 1)
    paths = [page.post("/letters/redrive", data={"letter": "gone"}).headers["location"] for _ in range(1)]
    for _ in range(2):
        ended(page, paths[-1])
        paths.append(page.post("/letters/redrive", data={"letter": "gone"}).headers["location"])
    assert [page.get(path).status_code for path in paths] == [404, 200, 200]


def test_the_page_follows_no_more_uploads_than_it_may_ask_after(target: Target, open_page: Open):
    """Each is asked after every second, and an account of AWS could work on a hundred."""

    def choose() -> Target:
        return Target(boto3.Session(), name=target.name, deploy_with=target.deploy_with, at_once=100)

    assert 'data-at-once="8"' in open_page(choose).get("/upload").text


def test_a_letter_of_what_was_not_told_is_shown_and_redriven_like_any(target: Target, page: TestClient):
    """Without a picture where it has none; here nobody is told any more, and it says so."""
    put(target, UNTOLD, reason="UNTOLD")
    put(target, WEBHOOK, reason="WEBHOOK")
    put(target, OF_LAMBDA)
    html = unescape(page.get("/letters").text)
    for said in ("Nobody was told how this picture ended.", "The webhook did not take", "2 changes of rows"):
        assert said in html
    assert "told again" in unescape(page.get("/letters/redrive", params={"all": "yes"}).text)
    html = ended(page, page.post("/letters/redrive", data={"all": "yes"}).headers["location"])
    assert html.count("nobody is told of rows any more") == 3
