"""The page asks Step Functions for little: all who look in an account share quotas of a few requests a second."""

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from darkroom.console import executions as executions_view
from darkroom.pipeline import executions
from darkroom.pipeline.executions import Definitions
from darkroom.pipeline.histories import Kept
from darkroom.pipeline.results import written
from darkroom.pipeline.target import AWS_POLL_SECONDS, Target
from tests.console.conftest import Open, again

REFRESHES = 5
# A second, which AWS gives back to an account in most regions:
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
QUOTAS = {
    "DescribeExecution": 10,
    "DescribeStateMachineForExecution": 1,
    "GetExecutionHistory": 20,
    "ListExecutions": 2,
}


@pytest.fixture
def asked(target: Target) -> tuple[Target, Counter[str]]:
    """The stack, and how often Step Functions was asked for what."""
    counted: Counter[str] = Counter()
    counting = again(target)
    counting.session.events.register("before-call.stepfunctions", lambda model, **_: counted.update([model.name]))
    return counting, counted


def start(target: Target, key: str) -> str:
    event = json.dumps({"detail": {"object": {"key": key}}})
    machine = target.output("StateMachineArn")
    return str(target.states.start_execution(stateMachineArn=machine, input=event)["executionArn"])


def row(target: Target, key: str, status: str, execution: str) -> None:
    item = {"key": key, "status": status, "updated_at": written(datetime.now(UTC)), "execution": execution}
    target.results.put_item(Item=item)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stands still until it is set."""
    now = [0.0]
    monkeypatch.setattr(executions_view, "monotonic", lambda: now[0])
    return lambda time: now.__setitem__(0, time)


def test_a_list_of_executions_at_work_is_one_request_a_refresh(target: Target, asked, open_page: Open, clock):
    """However many: the rows tell whose they are. Every few refreshes, one more counts for the tabs."""
    for number in range(20):
        row(target, f"raw/{number}.jpg", "PROCESSING", start(target, f"raw/{number}.jpg"))
    counting, counted = asked
    page = open_page(lambda: counting)
    for _ in range(REFRESHES):
        html = page.get("/executions", headers={"hx-request": "true"}).text
        assert "raw/19.jpg" in html
    assert counted == {"ListExecutions": REFRESHES + 1}
    assert re.search(r'Running <span class="count">20<', html)
    clock(executions_view.COUNTED_EVERY * counting.poll_seconds + 0.1)
    target.states.stop_execution(executionArn=start(target, "raw/20.jpg"))
    html = page.get("/executions", headers={"hx-request": "true"}).text
    assert re.search(r'Aborted <span class="count">1<', html)
    assert counted["ListExecutions"] == REFRESHES + 3


def test_an_execution_without_a_row_of_its_own_is_described_when_it_starts_and_when_it_has_ended(
    target: Target, asked, open_page: Open
):
    """As that of a duplicate event."""
    arn = start(target, "raw/twice.jpg")
    counting, counted = asked
    page = open_page(lambda: counting)
    for _ in range(REFRESHES):
        page.get("/executions")
    target.states.stop_execution(executionArn=arn)
    for _ in range(REFRESHES):
        html = page.get("/executions").text
    assert "raw/twice.jpg" in html
    assert "ABORTED" in html
    assert counted == {"ListExecutions": 2 * REFRESHES + 1, "DescribeExecution": 2}


def test_a_verdict_comes_from_the_row_that_the_execution_wrote(target: Target, asked, open_page: Open, monkeypatch):
    """And of a picture that a newer execution has, not."""
    arn = start(target, "raw/words.jpg")
    row(target, "raw/words.jpg", "PROCESSING", arn)
    counting, counted = asked
    page = open_page(lambda: counting)
    page.get("/executions")
    row(target, "raw/words.jpg", "REJECTED", arn)
    listing = executions.listing
    ended = {"status": "SUCCEEDED", "stopDate": datetime.now(UTC)}
    monkeypatch.setattr(executions, "listing", lambda *_, **__: ([{**listing(target)[0][0], **ended}], None))
    assert "REJECTED" in page.get("/executions").text
    assert counted == {"ListExecutions": 2}


def test_a_live_execution_is_two_requests_a_refresh_and_its_definition_one(target: Target, asked, open_page: Open):
    arn = start(target, "raw/cat.jpg")
    counting, counted = asked
    page = open_page(lambda: counting)
    for _ in range(REFRESHES):
        page.get("/execution", params={"arn": arn})
    once = {"DescribeStateMachineForExecution": 1}
    assert counted == {"DescribeExecution": REFRESHES, "GetExecutionHistory": REFRESHES, **once}


def test_each_live_view_leaves_most_of_every_quota_to_others(target: Target, asked, open_page: Open):
    """On AWS, with one of each open, and as many uploads followed as the page sends at once."""
    arn = start(target, "raw/cat.jpg")
    row(target, "raw/cat.jpg", "PROCESSING", arn)
    counting, counted = asked
    counting.poll_seconds = AWS_POLL_SECONDS
    page = open_page(lambda: counting)
    views = ["/executions", f"/execution?arn={arn}", *["/upload/way?key=raw/cat.jpg&version=null"] * 8]
    for view in views * REFRESHES:
        assert f'hx-trigger="every {AWS_POLL_SECONDS}s"' in page.get(view).text
    rates = {name: number / REFRESHES / AWS_POLL_SECONDS for name, number in counted.items()}
    assert {name: rate / QUOTAS[name] for name, rate in rates.items() if rate > QUOTAS[name] / 5} == {}


class Machine:
    """Step Functions, as far as it tells by which version of a machine an execution started."""

    def __init__(self, *updates: datetime) -> None:
        self.updates, self.asked = updates, 0

    def history(self, _: str) -> Kept:
        return Kept(self, "pipeline", "a cloud for tests")

    def describe_state_machine_for_execution(self, executionArn: str) -> dict[str, Any]:
        self.asked += 1
        started = datetime.fromisoformat(executionArn.split(":", 7)[7])
        updated = max(one for one in self.updates if one <= started)
        return {"updateDate": updated, "definition": json.dumps({"Comment": updated.isoformat()})}


def test_a_definition_is_asked_for_once_for_each_version_of_the_machine():
    """An execution that started after all that are known may have started by a newer version, and is asked for."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    second = first + timedelta(hours=5)
    machine: Any = Machine(first, second)
    definitions = Definitions()

    def asked_for(time: datetime) -> int:
        before, arn = machine.asked, f"arn:aws:states:eu-central-1:123456789012:execution:pipeline:{time.isoformat()}"
        found = definitions.of(machine, {"execution": arn, "started": time})
        assert found["Comment"] == (first if time < second else second).isoformat()
        return machine.asked - before

    hours = [asked_for(first + timedelta(hours=hour)) for hour in (4, 4, 3, 1, 6, 5.5, 2, 4.5, 7, 4.2)]
    assert hours == [1, 0, 0, 0, 1, 0, 0, 1, 1, 0]
