"""What the functions wrote about an execution: all of it, as far as it is looked for, and nothing of later."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from darkroom.console import executions
from darkroom.pipeline.target import Target
from tests.console.test_views import run

GROUP = "/aws/lambda/resize"


@pytest.fixture
def logged(target: Target, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes lines about an execution, so many seconds after its end."""
    monkeypatch.setattr(executions, "log_groups", lambda _: {"Resize": GROUP})
    target.logs.create_log_group(logGroupName=GROUP)

    def write(execution: str, *messages: str, after: float = 0, stream: str = "one", level: str = "") -> None:
        ended = target.states.describe_execution(executionArn=execution)["stopDate"] + timedelta(seconds=after)
        target.logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        lines = [json.dumps({"message": one, "execution": execution, "level": level}) for one in messages]
        events = [{"timestamp": int(ended.timestamp() * 1000), "message": line} for line in lines]
        target.logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)

    return write


def stopped(target: Target) -> str:
    execution = run(target, "raw/cat.jpg")
    target.states.stop_execution(executionArn=execution)
    return execution


def test_logs_are_read_page_by_page_and_it_is_said_where_that_ended(
    target: Target, page: TestClient, logged: Any, monkeypatch: pytest.MonkeyPatch
):
    execution = stopped(target)
    logged(execution, *[f"line {number:02}" for number in range(30)])
    html = _with_pages_of(10, monkeypatch, page, execution)
    assert all(f"line {number:02}" in html for number in range(30))
    assert "lines may be missing" not in html
    monkeypatch.setattr(executions, "LOG_PAGES", 2)
    html = _with_pages_of(10, monkeypatch, page, execution)
    assert ("line 19" in html, "line 20" in html, "lines may be missing" in html) == (True, False, True)


def test_logs_end_soon_after_the_execution(target: Target, page: TestClient, logged: Any):
    """Or years of them would be looked through for nothing."""
    execution = stopped(target)
    logged(execution, "in time", after=60)
    logged(execution, "long after", after=600, stream="two")
    html = page.get("/execution/logs", params={"arn": execution}).text
    assert ("in time" in html, "long after" in html) == (True, False)


def test_an_error_is_there_once_with_how_many_times_it_was_logged(target: Target, page: TestClient, logged: Any):
    """Whatever came between; what is no error stands as often as it came, and no line takes half the screen."""
    execution = stopped(target)
    long = "denied " + "x" * 500
    for number in range(3):
        logged(execution, "again", after=2 * number, stream=f"info {number}")
        logged(execution, long, after=2 * number + 1, level="ERROR", stream=f"error {number}")
    html = page.get("/execution/logs", params={"arn": execution}).text
    assert html.count('<span class="brief">again</span>') == 3
    [brief] = re.findall(r'3 times, until [\d:.]+</span> .*?<span class="brief">(denied x*…)</span>', html)
    assert len(brief) < 160
    assert html.count(long) == 1


def _with_pages_of(limit: int, monkeypatch: pytest.MonkeyPatch, page: TestClient, execution: str) -> str:
    """CloudWatch itself decides how much is in one; moto gives all that were not bounded."""
    from moto.logs.models import LogGroup

    asked = LogGroup.filter_log_events

    def bounded(self: Any, *arguments: Any) -> Any:
        return asked(self, *arguments[:4], limit, *arguments[5:])

    with monkeypatch.context() as changed:
        changed.setattr(LogGroup, "filter_log_events", bounded)
        return page.get("/execution/logs", params={"arn": execution}).text
