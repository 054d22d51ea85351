"""What the log of a machine tells of executions is what Step Functions tells of them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.services import cloudwatch_logs, stepfunctions

from darkroom.local.ministack import log_patterns
from darkroom.pipeline.executions import documents, read_history
from darkroom.pipeline.histories import (
    CUT,
    EXECUTIONS,
    NO_END,
    Kept,
    Logged,
    NoExecutionError,
    UnknownPlaceError,
    _of,
)
from tests.statemachine import engine, ministack
from tests.statemachine.engine import Pipeline, Run, accepts, event
from tests.statemachine.test_histories import GROUP, WAYS, Way, logging

STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


class Logs:
    """CloudWatch Logs, asked as boto3 does; so many events in an answer."""

    def __init__(self, at_once: int = 10_000) -> None:
        self.at_once, self.asked = at_once, 0

    def filter_log_events(self, **asked: Any) -> Any:
        self.asked += 1
        status, _, body = cloudwatch_logs._filter_log_events({**asked, "limit": self.at_once})
        assert status == 200, body
        return json.loads(body)


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_compile_filter_pattern", "_filter_log_events"):
        monkeypatch.setattr(cloudwatch_logs, name, getattr(cloudwatch_logs, name))
    log_patterns.add()


@pytest.fixture
def logs() -> Logs:
    return Logs()


def this_second() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def now() -> datetime:
    return this_second()


def logged(logs: Logs, created: datetime | None = None) -> Logged:
    machine = "arn:aws:states:eu-central-1:123456789012:stateMachine:machine"
    return Logged(logs, None, GROUP, machine, where="a cloud for tests", created=created or datetime.now(UTC))


def ended(how: str) -> Way:
    def way(pipeline: Pipeline) -> Run:
        pipeline.tasks["Resize"].meanwhile(lambda: pipeline.end(how))
        return pipeline.run(event())

    way.__name__ = how
    return way


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Way], list[dict[str, Any]]]]:
    """Goes that way on the local cloud, and gives all executions there were, as Step Functions keeps them."""

    def run(way: Way) -> list[dict[str, Any]]:
        for pipeline in engine.start(monkeypatch):
            ministack.interprets(pipeline, monkeypatch)
            monkeypatch.setattr(ministack, "executed", partial(ministack.executed, **logging("ALL")))
            pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=2)
            way(pipeline)
        return list(stepfunctions._executions.all_values())

    yield run
    cloudwatch_logs.reset()


@pytest.mark.parametrize("way", [*WAYS.values(), ended("ABORTED"), ended("TIMED_OUT")], ids=lambda way: way.__name__)
def test_the_log_tells_what_step_functions_keeps(ran, logs: Logs, way: Way):
    """Each event, each execution, and the list of them."""
    kept = ran(way)
    log = logged(logs)
    for one in kept:
        arn = one["executionArn"]
        history = [
            {name: value for name, value in event.items() if value != {}}  # no details are none
            | {"timestamp": datetime.fromisoformat(event["timestamp"])}
            for event in one["events"]
        ]
        assert list(log.events(arn)) == history
        assert documents(read_history(log.events(arn))) == documents(read_history(history))
        described = log.described(arn)
        output = () if one["status"] == "FAILED" else ("output",)  # MiniStack gives one, and AWS does not
        for name in ("status", "name", "input", "error", "cause", *output):
            assert described.get(name) == (one.get(name) or None), name
        assert (described["startDate"], described["stopDate"]) == (history[0]["timestamp"], history[-1]["timestamp"])
    found, older = logged(logs).listed(status=None, limit=1000, token=None)
    assert {(one["executionArn"], one["status"]) for one in found} == {
        (one["executionArn"], one["status"]) for one in kept
    }
    assert older is None


def arn_of(number: int) -> str:
    return f"arn:aws:states:eu-central-1:123456789012:express:machine:{number}:id"


def put(kind: str, number: int, at: datetime, place: int = 1, **details: Any) -> dict[str, Any]:
    """An event of the execution of this number: a line of the log."""
    milliseconds = int(at.timestamp() * 1000)
    line = {"id": str(place), "type": kind, "details": details, "previous_event_id": str(place - 1)}
    line |= {"event_timestamp": str(milliseconds), "execution_arn": arn_of(number)}
    return {"timestamp": milliseconds, "message": json.dumps(line)}


def write(*events: dict[str, Any]) -> None:
    """Into a new log."""
    logging("ALL")
    there = {"logGroupName": GROUP, "logStreamName": "one"}
    cloudwatch_logs._create_log_stream(there)
    cloudwatch_logs._put_log_events({**there, "logEvents": sorted(events, key=lambda one: one["timestamp"])})


def execution(number: int, started: datetime, seconds: float | None, *, fails: bool = False) -> list[dict[str, Any]]:
    """With a state, and with an end after so many seconds."""
    begin = put("ExecutionStarted", number, started, input=json.dumps(number))
    inside = put("PassStateEntered", number, started, 2, name="One", input="{}")
    if seconds is None:
        return [begin, inside]
    end = {"error": "Broken", "cause": "why"} if fails else {"output": "{}"}
    at = started + timedelta(seconds=seconds)
    return [begin, inside, put("ExecutionFailed" if fails else "ExecutionSucceeded", number, at, 3, **end)]


def pages(logs: Callable[[], Logged], status: str | None, limit: int) -> list[dict[str, Any]]:
    """Of all pages, each asked of the next of these logs."""
    found, token = logs().listed(status=status, limit=limit, token=None)
    while token:
        some, token = logs().listed(status=status, limit=limit, token=token)
        assert len(some) <= limit
        found += some
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[datetime, str, str]]:
    return [(one["startDate"], one["executionArn"], one["status"]) for one in found]


# In seconds; some are of the same millisecond.
OF_ANY_AGE = st.one_of(
    st.sampled_from([1, 70, 5_000]), st.integers(0, 400), st.integers(0, 90_000), st.integers(0, 80 * 86_400)
)


@settings(max_examples=40, deadline=None)
@given(
    ages=st.lists(st.tuples(OF_ANY_AGE, st.sampled_from([None, 0.4, 290]), st.booleans()), max_size=40),
    limit=st.integers(1, 50),
    at_once=st.integers(3, 60),
    status=st.sampled_from([None, *STATUSES]),
    anew=st.booleans(),
)
def test_pages_of_a_log_have_each_execution_once_and_the_newest_first(ages, limit, at_once, status, anew: bool):
    """Whatever its age, however many are between two others, however few lines an answer has, and whether what was read
    is remembered or forgotten."""
    now = this_second()
    ages = [(age, took, fails) for age, took, fails in ages if took is None or took < age]
    write(
        *(
            line
            for number, (age, took, fails) in enumerate(ages)
            for line in execution(number, now - timedelta(seconds=age), took, fails=fails)
        )
    )
    wanted = []
    for number, (age, took, fails) in enumerate(ages):
        at = now - timedelta(seconds=age)
        is_over = "TIMED_OUT" if datetime.now(UTC) - at >= timedelta(minutes=6) else "RUNNING"
        how = is_over if took is None else "FAILED" if fails else "SUCCEEDED"
        wanted.append((at, arn_of(number), how))
    log = logged(Logs(at_once), now - timedelta(days=81))
    found = pages(lambda: logged(Logs(at_once), now - timedelta(days=81)) if anew else log, status, limit)
    assert told(found) == [one for one in sorted(wanted, reverse=True) if status in (None, one[2])]


@pytest.mark.parametrize("anew", [False, True])
def test_pages_of_a_busy_log_are_as_true(now: datetime, anew: bool):
    """An answer is full after 25 lines, and executions end after 30 s, and so in the page before their own."""
    begun = [now - timedelta(seconds=1000 - number / 5) for number in range(300)]
    write(*(line for number, at in enumerate(begun) for line in execution(number, at, 30)))
    log = logged(Logs(25), now)
    found = pages(lambda: logged(Logs(25), now) if anew else log, None, 97)
    assert told(found) == [(at, arn_of(number), "SUCCEEDED") for number, at in reversed(list(enumerate(begun)))]


def test_what_was_read_is_read_no_second_time(now: datetime, logs: Logs):
    """And what came since is seen by one request, also the end of an execution that was known at work."""
    begun = execution(1, now - timedelta(seconds=100), None)
    old = [line for number in range(2, 30) for line in execution(number, now - timedelta(days=number), 1)]
    write(*old, *begun)
    log = logged(logs, now - timedelta(days=40))
    assert len(log.listed(status=None, limit=1000, token=None)[0]) == 29
    cloudwatch_logs._put_log_events(
        {
            "logGroupName": GROUP,
            "logStreamName": "one",
            "logEvents": [*execution(1, now - timedelta(seconds=100), 99)[2:], *execution(99, now, None)],
        }
    )
    before = logs.asked
    newest, second, *_ = log.listed(status=None, limit=1000, token=None)[0]
    assert logs.asked == before + 1
    assert (newest["executionArn"], newest["status"]) == (arn_of(99), "RUNNING")
    assert (second["executionArn"], second["status"]) == (arn_of(1), "SUCCEEDED")


def test_a_rare_status_is_not_looked_for_without_an_end(now: datetime, logs: Logs, monkeypatch: pytest.MonkeyPatch):
    """The answer has the place from which to go on."""
    monkeypatch.setattr("darkroom.pipeline.histories.REQUESTS", 3)
    write(*execution(1, now - timedelta(days=60), 1, fails=True), *execution(2, now - timedelta(seconds=50), 1))
    log = logged(logs, now - timedelta(days=80))
    found, token = log.listed(status="FAILED", limit=1, token=None)
    assert (found, logs.asked) == ([], 3)
    assert ", which is some seconds behind, and was read back to " in log.note(of_list=True)
    assert [one["executionArn"] for one in pages(lambda: log, "FAILED", 1)] == [arn_of(1)]
    assert token


def test_a_token_that_was_not_given_out_is_refused(logs: Logs):
    write()
    with pytest.raises(UnknownPlaceError):
        logged(logs).listed(status=None, limit=1, token="AAAA")


@pytest.mark.parametrize("hint", [0, 100_000, None], ids=["at its time", "long after it", "none"])
def test_an_execution_is_found_by_a_time_near_it_or_from_now_on_back(now: datetime, logs: Logs, hint: int | None):
    """A row that the sweep ended was written long after its execution."""
    at = now - timedelta(days=20)
    others = [line for number in range(10, 60) for line in execution(number, now - timedelta(hours=number), 1)]
    write(*others, *execution(1, at, 290))
    log = logged(logs, now - timedelta(days=80))
    before = None if hint is None else (at + timedelta(seconds=hint)).isoformat()
    assert [one["type"] for one in log.events(arn_of(1), before)][::2] == ["ExecutionStarted", "ExecutionSucceeded"]
    asked = logs.asked
    assert log.described(arn_of(1), before)["stopDate"] == at + timedelta(seconds=290)
    assert logs.asked == asked  # it is over, and so all of it is known


def test_an_execution_whose_time_is_known_is_one_request(now: datetime, logs: Logs):
    at = now - timedelta(days=20)
    write(*execution(1, at, 3))
    log = logged(logs, now - timedelta(days=80))
    assert log.described(arn_of(1), (at + timedelta(seconds=3)).isoformat())["status"] == "SUCCEEDED"
    assert logs.asked == 1


@pytest.mark.parametrize("arn", [arn_of(2), "none", '" || $.type = "*', ""])
def test_an_execution_that_the_log_does_not_have_is_an_error_that_says_why(now: datetime, logs: Logs, arn: str):
    write(*execution(1, now, 1))
    log = logged(logs)
    with pytest.raises(NoExecutionError, match="some seconds behind"):
        log.described(arn, "yesterday")
    assert list(log.events(arn)) == []


def test_an_end_that_never_came_into_the_log_is_said(now: datetime, logs: Logs):
    """CloudWatch Logs promises no line. Nor does it that one comes once, or in its order."""
    lines = execution(1, now - timedelta(minutes=20), None)
    write(*lines, *lines[::-1])
    log = logged(logs)
    told = log.described(arn_of(1))
    assert (told["status"], told["cause"]) == ("TIMED_OUT", NO_END)
    assert [one["id"] for one in log.events(arn_of(1))] == [1, 2]


def test_data_that_aws_cut_off_says_so_and_what_is_left_out_is_none(now: datetime, logs: Logs):
    """More than 248 KB; and with a log that has no execution data."""
    cut = put("PassStateEntered", 1, now, 2, name="One", input='{"a": "bb', inputDetails={"truncated": True})
    without = put("PassStateExited", 1, now, 3, name="One", outputDetails={"included": False})
    write(put("ExecutionStarted", 1, now), cut, without)
    [state] = read_history(logged(logs).events(arn_of(1)))
    assert state.input == f'{{"a": "bb{CUT}'
    assert (state.exited, state.output) == (now, None)
    assert "input" not in logged(logs).described(arn_of(1))


def test_lines_of_anybody_else_are_passed_over(now: datetime, logs: Logs):
    write(*execution(1, now, None), {"timestamp": int(now.timestamp() * 1000), "message": '"Execution'})
    found, _ = logged(logs).listed(status=None, limit=9, token=None)
    assert [one["executionArn"] for one in found] == [arn_of(1)]


def test_the_log_is_asked_by_a_pattern(now: datetime, logs: Logs):
    """So that of a picture's hundred lines only two come for the list."""
    write(*execution(1, now - timedelta(seconds=9), 1), *execution(2, now, None))

    def found(pattern: str) -> list[str]:
        answer = logs.filter_log_events(logGroupName=GROUP, filterPattern=pattern)
        return [json.loads(one["message"])["type"] for one in answer["events"]]

    assert found(EXECUTIONS) == ["ExecutionStarted", "ExecutionSucceeded", "ExecutionStarted"]
    assert found(_of(arn_of(2))) == ["ExecutionStarted", "PassStateEntered"]
    assert found('{ $.type = "PassStateEntered" && $.id = "2" }') == ["PassStateEntered"] * 2
    assert found('{ $.type = "passStateEntered" }') == []
    assert len(found('"PassStateEntered"')) == 2


def test_ministack_has_no_patterns_for_json_and_no_second_answer_itself(now: datetime, monkeypatch: pytest.MonkeyPatch):
    """Or what is added would have to go."""
    monkeypatch.undo()
    write(*execution(1, now, None))
    answer = Logs(1).filter_log_events(logGroupName=GROUP, filterPattern='{ $.type = "Nothing" }')
    assert len(answer["events"]) == 1
    assert "nextToken" not in answer


def test_what_step_functions_forgot_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch):
    for pipeline in engine.start(monkeypatch):
        kept = Kept(pipeline._sfn, "machine", "a cloud for tests")
        for arn in (arn_of(1).replace(":express:", ":execution:").removesuffix(":id"), "none"):
            with pytest.raises(NoExecutionError, match="in a cloud for tests: Step Functions keeps one for 90 days"):
                kept.described(arn)
