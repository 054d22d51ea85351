"""Express executions on the local cloud: as AWS runs them, and as it refuses to tell of them."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import cloudwatch_logs, eventbridge, stepfunctions

from darkroom.local.ministack import express, history, time_limit, workflow_log
from tests.statemachine import ministack
from tests.statemachine.engine import ACCOUNT, REGION, ROLE

STARTS = (
    *("_start_execution", "_start_sync_execution", "_list_executions", "_invoke_nested_start_execution_sync"),
    *express.OF_ONE,
)
GROUP = "machine-log"
PATIENCE = 60  # seconds
PASSES = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
FAILS = {"StartAt": "Broken", "States": {"Broken": {"Type": "Fail", "Error": "Broken", "Cause": "it broke"}}}


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The events that EventBridge gets."""
    for name in STARTS:
        monkeypatch.setattr(stepfunctions, name, getattr(stepfunctions, name))
    ministack.prepared(monkeypatch, history, time_limit, workflow_log, express)
    events: list[Any] = []
    monkeypatch.setattr(eventbridge, "_put_events", lambda asked, **_: events.append(asked))
    cloudwatch_logs.reset()
    cloudwatch_logs._create_log_group({"logGroupName": GROUP})
    yield events
    stepfunctions.reset()
    cloudwatch_logs.reset()


def machine(definition: Any = PASSES, kind: str = "EXPRESS") -> str:
    destination = {"cloudWatchLogsLogGroup": {"logGroupArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*"}}
    logged = {"level": "ALL", "includeExecutionData": True, "destinations": [destination]}
    text = json.dumps(definition)
    asked = {"name": f"{kind}-{len(text)}", "definition": text, "roleArn": ROLE, "type": kind}
    return answer(stepfunctions._create_state_machine({**asked, "loggingConfiguration": logged}))["stateMachineArn"]


def answer(response: Any) -> Any:
    status, _, body = response
    assert status == 200, body
    return json.loads(body)


def refusal(response: Any) -> tuple[str, str]:
    status, _, body = response
    said = json.loads(body)
    assert status == 400
    return said["__type"], said["message"]


def logged(arn: str) -> list[str]:
    found = answer(cloudwatch_logs._filter_log_events({"logGroupName": GROUP}))["events"]
    lines = [json.loads(one["message"]) for one in found]
    return [line["type"] for line in lines if line["execution_arn"] == arn]


def run(asked: Any) -> str:
    """To its end, which only the log tells."""
    arn: str = answer(stepfunctions._start_execution(asked))["executionArn"]
    deadline = time.monotonic() + PATIENCE
    while not history.ENDS.keys() & set(logged(arn)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return arn


def test_a_name_may_be_used_again():
    """Each start is an execution of its own, with an id behind the name."""
    asked = {"stateMachineArn": machine(), "name": "one", "input": "{}"}
    first, second = (run(asked) for _ in range(2))
    assert first != second
    assert re.fullmatch(rf"arn:aws:states:{REGION}:{ACCOUNT}:express:[\w-]+:one:[0-9a-f-]{{36}}", first)


@pytest.mark.parametrize(("definition", "end"), [(PASSES, "ExecutionSucceeded"), (FAILS, "ExecutionFailed")])
def test_only_the_log_tells_how_it_ended(told, definition, end):
    """EventBridge gets no status change of it."""
    arn = run({"stateMachineArn": machine(definition), "input": "{}"})
    assert (logged(arn)[0], logged(arn)[-1]) == ("ExecutionStarted", end)
    assert told == []
    run({"stateMachineArn": machine(definition, "STANDARD"), "input": "{}"})
    assert len(told) == 2


@pytest.mark.parametrize("ask", express.OF_ONE)
def test_who_asks_for_an_execution_is_refused(ask):
    arn = run({"stateMachineArn": machine(), "input": "{}"})
    assert refusal(getattr(stepfunctions, ask)({"executionArn": arn})) == ("InvalidArn", express.OF_THE_ARN)


def test_who_asks_for_a_list_is_refused():
    """Not of a standard machine."""
    asked = {"stateMachineArn": machine()}
    assert refusal(stepfunctions._list_executions(asked)) == ("StateMachineTypeNotSupported", express.OF_THE_TYPE)
    standard = {"stateMachineArn": machine(kind="STANDARD")}
    assert answer(stepfunctions._list_executions(standard)) == {"executions": []}


def test_who_waits_for_it_is_told_its_end():
    """Also of one that failed: the call itself is a success."""
    asked = {"stateMachineArn": machine(), "input": '{"a": 1}'}
    done = answer(stepfunctions._start_sync_execution(asked))
    assert (done["status"], done["output"], ":express:" in done["executionArn"]) == ("SUCCEEDED", '{"a": 1}', True)
    failed = answer(stepfunctions._start_sync_execution({**asked, "stateMachineArn": machine(FAILS)}))
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Broken", "it broke")
    assert "output" not in failed


def test_nobody_waits_for_a_standard_one_by_that_call():
    asked = {"stateMachineArn": machine(kind="STANDARD"), "input": "{}"}
    assert refusal(stepfunctions._start_sync_execution(asked))[0] == "StateMachineTypeNotSupported"


def test_a_state_waits_for_a_standard_one():
    """By `startExecution.sync:2`, as a backfill does."""
    waits = {"StateMachineArn": machine(kind="STANDARD"), "Input": {"a": 1}}
    task = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "Parameters": waits}
    arn = run(
        {"stateMachineArn": machine({"StartAt": "Waits", "States": {"Waits": {**task, "End": True}}}, "STANDARD")}
    )
    ended = answer(stepfunctions._describe_execution({"executionArn": arn}))
    assert (ended["status"], json.loads(ended["output"] or "{}").get("Output")) == ("SUCCEEDED", {"a": 1}), ended


def test_it_lasts_five_minutes_at_most(monkeypatch: pytest.MonkeyPatch):
    """Whatever its definition allows."""
    limits: list[float] = []
    timer = time_limit.threading.Timer

    class Noted(timer):  # type: ignore[misc, valid-type]
        def __init__(self, seconds: float, *rest: Any) -> None:
            limits.append(seconds)
            super().__init__(seconds, *rest)

    monkeypatch.setattr(time_limit.threading, "Timer", Noted)
    for seconds in ({}, {"TimeoutSeconds": 604800}, {"TimeoutSeconds": 20}):
        answer(stepfunctions._start_sync_execution({"stateMachineArn": machine({**PASSES, **seconds}), "input": "{}"}))
    assert limits == [300, 300, 20]
