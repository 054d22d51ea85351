"""The page of an Express machine: its lists and histories are in a log."""

import re
from collections import Counter
from typing import Any

import pytest

from darkroom.console import connection
from darkroom.pipeline.target import Target
from tests.console.conftest import Open, again
from tests.darkroom import conftest as stack
from tests.darkroom.conftest import express_arn, logged
from tests.darkroom.test_executions import history

express = stack.express

REFRESHES = 3
BROKEN = express_arn("broken")


@pytest.fixture
def asked(express: Target) -> tuple[Target, Counter[str]]:
    """The stack, and how often its executions were asked for."""
    logged(express, BROKEN, history("local"), ago=90)
    counted: Counter[str] = Counter()
    counting = again(express)
    for service in ("stepfunctions", "cloudwatch-logs"):
        counting.session.events.register(f"before-call.{service}", lambda model, **_: counted.update([model.name]))
    return counting, counted


def test_a_list_is_one_request_a_refresh_once_the_log_was_read(asked, open_page: Open):
    """And one for the counts, every few refreshes."""
    counting, counted = asked
    page = open_page(lambda: counting)
    first = page.get("/executions").text
    assert re.search(r'Failed <span class="count">1<', first)
    assert "raw/broken.jpg" in first
    assert "some seconds behind" in first
    counted.clear()
    for _ in range(REFRESHES):
        assert "raw/broken.jpg" in page.get("/executions").text
    assert counted == {"FilterLogEvents": REFRESHES}


def test_an_execution_is_drawn_from_the_log(asked, open_page: Open):
    counting, counted = asked
    page = open_page(lambda: counting, read_only=True)
    html = page.get("/execution", params={"arn": BROKEN}).text
    assert "broken on purpose for raw/broken.jpg small" in html
    assert "some seconds behind" in html
    assert html.count("Resize") >= 4  # in the timeline
    assert counted.keys() == {"FilterLogEvents", "DescribeStateMachine"}
    counted.clear()
    page.get("/execution", params={"arn": BROKEN})
    assert counted == {}  # it is over, and so all of it is known


def test_a_read_only_page_may_ask_for_the_definition(asked, open_page: Open, monkeypatch: pytest.MonkeyPatch):
    """And needs to."""
    monkeypatch.setattr(connection, "READS", connection.READS - {"DescribeStateMachine"})
    page = open_page(lambda: asked[0], read_only=True)
    assert page.get("/execution", params={"arn": BROKEN}).status_code == 403


@pytest.mark.parametrize("before", ["2026-01-01T00:00:00Z", "yesterday", "2026-01-01", ""])
def test_an_execution_that_is_not_in_the_log_says_why(express: Target, open_page: Open, before: str):
    page = open_page(lambda: again(express))
    answer = page.get("/execution", params={"arn": BROKEN, "before": before})
    assert answer.status_code == 404
    assert "not in the log of its state machine, which is some seconds behind" in answer.text


def test_a_page_of_executions_that_was_never_given_out_is_a_404(express: Target, open_page: Open):
    answer = open_page(lambda: again(express)).get("/executions", params={"older": "AAAA"})
    assert (answer.status_code, "start with the newest" in answer.text) == (404, True)


def test_an_upload_waits_for_the_log(asked: Any, express: Target, open_page: Open):
    """Its row is there before the first line."""
    row = {"key": "raw/new.jpg", "version_id": "v", "status": "PROCESSING", "updated_at": "2026-01-01T00:00:00.000Z"}
    express.results.put_item(Item={**row, "execution": express_arn("new"), "etag": "e"})
    page = open_page(lambda: asked[0])
    html = page.get("/upload/way", params={"key": "raw/new.jpg", "version": "v", "etag": "e"}).text
    assert "waiting for its execution" in html
