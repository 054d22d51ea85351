"""The local cloud's history of an execution is the engine's, event by event."""

import copy
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from threading import Barrier, Event
from typing import Any

import pytest
from ministack.services import cloudwatch_logs, stepfunctions

from darkroom.local.ministack import history
from tests.statemachine import engine, ministack
from tests.statemachine.engine import DELETION, Pipeline, Run, accepts, deletion, event, rejects

Way = Callable[[Pipeline], Run]
PATIENCE = 60  # seconds


def succeeded(pipeline: Pipeline) -> Run:
    return pipeline.run(event())


def retried(pipeline: Pipeline) -> Run:
    pipeline.tasks["Resize"].fails_with("MemoryError", times=1)
    return pipeline.run(event())


def captioned(pipeline: Pipeline) -> Run:
    pipeline.captions = True
    return pipeline.run(event())


def speechless(pipeline: Pipeline) -> Run:
    pipeline.captions = True
    pipeline.tasks["Caption"].fails_with("MemoryError")
    return pipeline.run(event())


def again(pipeline: Pipeline) -> Run:
    pipeline.run(event())
    return pipeline.run(event(sequencer="0B", version="v2"))


def left_behind(pipeline: Pipeline) -> Run:
    pipeline.run(event())
    pipeline.tasks["Cleanup"].fails_with("Lambda.Unknown")
    return pipeline.run(event(sequencer="0B", version="v2"))


def rejected(pipeline: Pipeline) -> Run:
    pipeline.tasks["Validate"].answers = rejects
    return pipeline.run(event())


def duplicate(pipeline: Pipeline) -> Run:
    pipeline.run(event())
    return pipeline.run(event())


def superseded(pipeline: Pipeline) -> Run:
    pipeline.tasks["Validate"].meanwhile(lambda: pipeline.run(event(sequencer="0B", version="v2")))
    return pipeline.run(event())


def failed_inside(pipeline: Pipeline) -> Run:
    pipeline.tasks["Resize"].fails_with("MemoryError")
    return pipeline.run(event())


def timed_out_inside(pipeline: Pipeline) -> Run:
    pipeline.tasks["Resize"].fails_with("States.Timeout")
    return pipeline.run(event())


def without_a_plan(pipeline: Pipeline) -> Run:
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=0)
    return pipeline.run(event())


def without_a_letter(pipeline: Pipeline) -> Run:
    pipeline.tasks["Resize"].fails_with("MemoryError")
    pipeline.tasks["DeadLetter"].fails_with("SQS.InternalErrorException")
    return pipeline.run(event())


def deleted(pipeline: Pipeline) -> Run:
    pipeline.run(event())
    return pipeline.run(deletion(), machine=DELETION)


def undeleted(pipeline: Pipeline) -> Run:
    pipeline.upload()
    pipeline.run(event(sequencer="0A", version="v2"))
    return pipeline.run(deletion(sequencer="0C", version="v2", marker=False), machine=DELETION)


def withdrawn(pipeline: Pipeline) -> Run:
    pipeline.run(event(sequencer="0A", version=pipeline.upload()))
    pipeline.tasks["Validate"].answers = rejects
    pipeline.run(event(sequencer="0B", version="v2"))
    pipeline.tasks["Validate"].answers = accepts
    return pipeline.run(deletion(sequencer="0C", version="v2", marker=False), machine=DELETION)


def not_deleted(pipeline: Pipeline) -> Run:
    pipeline.run(event(sequencer="0E"))
    return pipeline.run(deletion(), machine=DELETION)


def not_cleaned_up(pipeline: Pipeline) -> Run:
    pipeline.tasks["Cleanup"].fails_with("MemoryError")
    return pipeline.run(deletion(), machine=DELETION)


WAYS: dict[str, Way] = {
    one.__name__: one
    for one in (
        *(succeeded, retried, captioned, speechless, again, left_behind, rejected, duplicate, superseded),
        *(failed_inside, timed_out_inside, without_a_plan, without_a_letter),
        *(deleted, undeleted, withdrawn, not_deleted, not_cleaned_up),
    )
}


# What is another one's each time: of an execution its name and its times, of an object its version.
OF_ITS_OWN = re.compile(
    r"arn:aws:states:[\w:-]*:execution:[\w:-]*|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z|\+00:00)"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
# Theirs as well: the services' answers in part, and the words of an error.
NOT_COMPARED = {"inputDetails", "outputDetails", "assignedVariables", "assignedVariablesDetails", "roleArn", "cause"}
NOT_COMPARED |= {"ResponseMetadata", "MD5OfMessageBody", "StartDate", "Cause", "message"}


def told(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what is another one's each time: times, names, the services' answers and their words for an error."""
    return [
        {
            name: _alike(value) if name.endswith("EventDetails") else value
            for name, value in one.items()
            if name != "timestamp"
        }
        for one in events
    ]


def _alike(details: dict[str, Any]) -> dict[str, Any]:
    parsed = ("input", "output", "parameters")
    read = {name: json.loads(value) if name in parsed else value for name, value in details.items()}
    alike: dict[str, Any] = json.loads(OF_ITS_OWN.sub("its own", json.dumps(read)), object_hook=_compared)
    return alike


def _compared(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in NOT_COMPARED}


@pytest.mark.parametrize("way", WAYS)
def test_the_local_cloud_writes_the_history_that_the_engine_writes(monkeypatch: pytest.MonkeyPatch, way: str):
    """With all iterations one after the other, as the engine has them."""
    moto, local = histories(monkeypatch, WAYS[way])
    assert local == moto


def histories(monkeypatch: pytest.MonkeyPatch, way: Way) -> list[list[dict[str, Any]]]:
    """The engine's, and the local cloud's."""
    found = []
    for prepare in (lambda _: None, lambda pipeline: ministack.interprets(pipeline, monkeypatch)):
        for pipeline in engine.start(monkeypatch):
            monkeypatch.setattr(pipeline, "filled", _one_at_a_time(pipeline.filled))
            pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=2)
            prepare(pipeline)
            found.append(told(pipeline.history(way(pipeline))))
    return found


def _one_at_a_time(filled: Callable[[str], str]) -> Callable[[str], str]:
    return lambda machine: filled(machine).replace('"{% 0 %}"', '"{% 1 %}"')


@pytest.mark.parametrize("how", ["ABORTED", "TIMED_OUT"])
@pytest.mark.parametrize("at", ["Claim", "Validate", "Resize", "Record"])
def test_nothing_is_written_after_an_end_from_outside(monkeypatch: pytest.MonkeyPatch, how: str, at: str):
    """Until then it is the engine's, which first lets the task end that is at work."""

    def way(pipeline: Pipeline) -> Run:
        pipeline.tasks[at].meanwhile(lambda: pipeline.end(how))
        run = pipeline.run(event())
        assert (run.status, run.error) == (how, None)
        return run

    moto, local = histories(monkeypatch, way)
    *before, last = local
    assert before == moto[: len(before)]
    assert (before[-1]["type"], moto[len(before)]["type"]) == ("TaskStarted", "TaskSucceeded")
    assert {**last, "id": 0, "previousEventId": 0} == {**moto[-1], "id": 0, "previousEventId": 0}


@pytest.mark.parametrize("how", ["ABORTED", "TIMED_OUT"])
def test_who_comes_too_late_to_end_an_execution_changes_nothing(monkeypatch: pytest.MonkeyPatch, how: str):
    """It had looked a moment before, when the execution was still at work."""
    machine = Machine(monkeypatch, Items=[0])
    machine.played = lambda _: ministack.end(how)  # type: ignore[method-assign]
    execution = stepfunctions._executions[ministack.executed(json.dumps(machine.definition), {}).arn]
    ended = copy.deepcopy(execution)
    with pytest.raises(history.PathEnded):
        stepfunctions._fail_execution(execution, "MemoryError", "too large")
    assert execution == ended


class Machine:
    """Of one Map over three items, each of which calls the service `at`, played by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, parts: Any = ministack.PARTS, **members: Any) -> None:
        ministack.prepared(monkeypatch, *parts)
        called = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
        each = {"StartAt": "Call", "States": {"Call": {**called, "Arguments": "{% $states.input %}"}}}
        mapped = {"Type": "Map", "Items": [0, 1, 2], "ItemProcessor": each, "End": True, **members}
        self.definition = {"QueryLanguage": "JSONata", "StartAt": "All", "States": {"All": mapped}}
        self.heard: dict[str, Event] = defaultdict(Event)
        history.heard.append(lambda _, event: self.heard[event["type"]].set())
        monkeypatch.setattr(stepfunctions, "_invoke_resource", lambda _, item: self.played(item))

    def played(self, item: int) -> Any:
        return item

    def events(self, **options: Any) -> list[dict[str, Any]]:
        return ministack.events(ministack.executed(json.dumps(self.definition), {}, **options).arn)

    def wait_for(self, kind: str) -> None:
        assert self.heard[kind].wait(PATIENCE)


def test_iterations_at_the_same_time_all_follow_the_start_of_their_map(monkeypatch: pytest.MonkeyPatch):
    """And each state what came before it in its own iteration, whichever came first."""
    machine, together = Machine(monkeypatch), Barrier(3)
    machine.played = lambda _: together.wait(PATIENCE) and None  # type: ignore[method-assign]
    events = machine.events()
    paths = [_path(events, one) for one in events if one["type"] == "MapIterationSucceeded"]
    steps = ["MapStateEntered", "MapStateStarted", "MapIterationStarted", "TaskStateEntered"]
    steps += ["TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited", "MapIterationSucceeded"]
    assert [[one["type"] for one in path] for path in paths] == [steps] * 3
    for path in paths:
        begun, entered = path[2]["mapIterationStartedEventDetails"], path[3]["stateEnteredEventDetails"]
        assert entered["input"] == str(begun["index"])
        assert path[-1]["mapIterationSucceededEventDetails"] == begun
    last = max(path[-1]["id"] for path in paths)
    ends = [one for one in events if one["type"] in ("MapStateSucceeded", "MapStateExited")]
    assert [one["previousEventId"] for one in ends] == [last, last]


def _path(events: list[dict[str, Any]], event: dict[str, Any]) -> list[dict[str, Any]]:
    """From the beginning of the execution to this event."""
    path = [event]
    while path[0]["previousEventId"]:
        path.insert(0, events[path[0]["previousEventId"] - 1])
    return path


def test_an_iteration_that_fails_ends_the_others(monkeypatch: pytest.MonkeyPatch):
    """As AWS does, which does not wait for what they do; nothing of them is written any more."""
    machine, together = Machine(monkeypatch), Barrier(3)

    def played(item: int) -> None:
        together.wait(PATIENCE)
        if item == 1:
            raise stepfunctions._ExecutionError("MemoryError", "too large")
        machine.wait_for("MapIterationAborted")

    machine.played = played  # type: ignore[method-assign]
    events = machine.events()
    failed, *rest = events[next(one["id"] for one in events if one["type"] == "TaskFailed") - 1 :]
    assert [
        (one["type"], one.get("mapIterationFailedEventDetails", one.get("mapIterationAbortedEventDetails", {})))
        for one in rest
    ] == [
        ("MapIterationFailed", {"name": "All", "index": 1}),
        ("MapIterationAborted", {"name": "All", "index": 0}),
        ("MapIterationAborted", {"name": "All", "index": 2}),
        ("MapStateFailed", {}),
        ("ExecutionFailed", {}),
    ]
    assert {one["previousEventId"] for one in rest[:-1]} == {failed["id"]}


def test_an_execution_ends_by_its_time_limit(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)
    machine.definition["TimeoutSeconds"] = 0.01
    machine.played = lambda _: machine.wait_for("ExecutionTimedOut")  # type: ignore[method-assign]
    run = ministack.executed(json.dumps(machine.definition), {})
    assert (run.status, run.output) == ("TIMED_OUT", None)
    assert ministack.events(run.arn)[-1]["type"] == "ExecutionTimedOut"


def test_an_iteration_that_is_an_execution_has_a_history_of_its_own(monkeypatch: pytest.MonkeyPatch):
    """Of a distributed Map."""
    ministack.prepared(monkeypatch, *ministack.PARTS)
    each = {"StartAt": "One", "States": {"One": {"Type": "Pass", "Next": "Two"}, "Two": {"Type": "Pass", "End": True}}}
    each["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    states = {"All": {"Type": "Map", "ItemProcessor": each, "Next": "Done"}, "Done": {"Type": "Succeed"}}
    run = ministack.executed(json.dumps({"StartAt": "All", "States": states}), [1, 2])  # type: ignore[arg-type]
    children = [one["events"] for one in stepfunctions._executions.all_values() if "mapRunArn" in one]
    assert [[one["previousEventId"] for one in child] for child in children] == [[0, 1, 2, 3]] * 2
    assert [one["previousEventId"] for one in ministack.events(run.arn)] == [0, 0, 2, 3, 4, 5]


BRANCH = {"StartAt": "One", "States": {"One": {"Type": "Pass", "Output": "{% $states.input.a + 1 %}", "End": True}}}
PARALLEL = {
    "QueryLanguage": "JSONata",
    "StartAt": "Both",
    "States": {
        "Both": {
            "Type": "Parallel",
            "Branches": [BRANCH, BRANCH],
            "Arguments": {"a": "{% $states.input.given %}"},
            "Assign": {"first": "{% $states.result[0] %}"},
            "Output": {"results": "{% $states.result %}"},
            "Next": "Told",
        },
        "Told": {"Type": "Pass", "Output": "{% $merge([$states.input, {'first': $first}]) %}", "End": True},
    },
}


def test_a_parallel_has_its_arguments_output_and_variables(monkeypatch: pytest.MonkeyPatch):
    """And its branches are in the history."""
    ministack.prepared(monkeypatch, *ministack.PARTS)
    run = ministack.executed(json.dumps(PARALLEL), {"given": 4})
    assert run.output == {"results": [5, 5], "first": 5}
    events = ministack.events(run.arn)
    inside = [_path(events, one) for one in events if one.get("stateExitedEventDetails", {}).get("name") == "One"]
    steps = ["ParallelStateEntered", "ParallelStateStarted", "PassStateEntered", "PassStateExited"]
    assert [[one["type"] for one in path] for path in inside] == [steps] * 2


GROUP = "/aws/vendedlogs/states/tried"


def logging(level: str, *, data: bool = True) -> dict[str, Any]:
    """As MiniStack keeps it from a template, into a new group."""
    cloudwatch_logs.reset()
    cloudwatch_logs._create_log_group({"logGroupName": GROUP})
    to = {
        "CloudWatchLogsLogGroup": {"LogGroupArn": f"arn:aws:logs:{engine.REGION}:{engine.ACCOUNT}:log-group:{GROUP}:*"}
    }
    return {"loggingConfiguration": {"Level": level, "IncludeExecutionData": data, "Destinations": [to]}}


def logged() -> list[dict[str, Any]]:
    _, _, body = cloudwatch_logs._filter_log_events({"logGroupName": GROUP})
    return [json.loads(one["message"]) for one in json.loads(body)["events"]]


def test_errors_are_in_the_log_that_the_machine_names(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch, Items=[7])

    def played(_: int) -> None:
        raise stepfunctions._ExecutionError("MemoryError", "too large")

    machine.played = played  # type: ignore[method-assign]
    events = machine.events(**logging("ERROR"))
    arn = json.loads(stepfunctions._list_executions({})[2])["executions"][0]["executionArn"]
    assert [(int(line["id"]), line["type"]) for line in logged()] == [
        (one["id"], one["type"]) for one in events if one["type"].endswith("Failed")
    ]
    first = logged()[0]
    assert int(first.pop("event_timestamp")) > 1_700_000_000_000
    assert first == {
        "id": "8",
        "type": "TaskFailed",
        "details": {"error": "MemoryError", "cause": "too large", "resource": "invoke", "resourceType": "lambda"},
        "previous_event_id": "7",
        "execution_arn": arn,
        "redrive_count": "0",
    }


@pytest.mark.parametrize("data", [True, False])
def test_everything_is_in_the_log_where_the_machine_says_so(monkeypatch: pytest.MonkeyPatch, data: bool):
    """In the order of the history; what the execution works on is left out unless asked for."""
    events = Machine(monkeypatch).events(**logging("ALL", data=data))
    assert [int(line["id"]) for line in logged()] == [one["id"] for one in events]
    assert ("input" in logged()[0]["details"]) is data


@pytest.mark.parametrize("level", ["OFF", "FATAL", "ERROR"])
def test_what_goes_well_is_not_in_the_log(monkeypatch: pytest.MonkeyPatch, level: str):
    assert Machine(monkeypatch).events(**logging(level))
    assert logged() == []


def test_ministack_has_none_of_it_itself(monkeypatch: pytest.MonkeyPatch):
    """Or what is added would have to go."""
    machine = Machine(monkeypatch, parts=())
    machine.definition["TimeoutSeconds"] = 0.01
    machine.played = lambda _: time.sleep(0.05)  # type: ignore[method-assign]
    run = ministack.executed(json.dumps(machine.definition), {}, **logging("ALL"))
    events = ministack.events(run.arn)
    assert run.status == "SUCCEEDED"
    assert not any("previousEventId" in one or one["type"].startswith("MapIteration") for one in events)
    assert logged() == []
    assert "results" not in ministack.executed(json.dumps(PARALLEL), {"given": 4, "a": 0}, "another").output
