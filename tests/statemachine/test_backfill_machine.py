"""The machine that lists the bucket, on the local cloud's interpreter with the distributed Map that is added to it; and
its file. The engine has neither batches nor children."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cfnlint.api import lint
from ministack.services import stepfunctions
from ministack.services.stepfunctions import _ExecutionError

from darkroom.local.ministack import distributed_maps, history, time_limit, workflow_roles
from darkroom.pipeline.backfill import NOT_STARTED, given
from stacks.express import waiting_for_express
from tests.statemachine import ministack
from tests.statemachine.engine import FILES, ROLE, Run, definition, states
from tests.statemachine.test_definition import follow, machines

FILE = "backfill"
STATES = dict(states(definition(FILE)))
VALUES = {
    "UploadsBucket": "uploads",
    "ReportsBucket": "reports",
    "BackfillFunction": "arn:aws:lambda:eu-west-1:123456789012:function:backfill",
}
TEXT = (FILES / f"{FILE}.asl.json").read_text()
STANDARD, EXPRESS = (
    re.sub(r"\$\{(\w+)\}", lambda name: VALUES[name[1]], text) for text in (TEXT, waiting_for_express(TEXT))
)

Answer = Callable[[Any], Any]


class Played:
    """Objects in a bucket, the function's answers, and the executions that are started and waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, definition: str) -> None:
        self._definition = definition
        ministack.prepared(monkeypatch, history, time_limit, distributed_maps)
        monkeypatch.setattr(workflow_roles, "ask_to_list", lambda *_: None)
        monkeypatch.setattr(stepfunctions, "_read_map_items", self._read)
        monkeypatch.setattr(stepfunctions, "_invoke_resource", self._call)
        self.keys: list[str] = []
        self.batches: list[Any] = []
        self.made: list[str] = []
        self.files: dict[str, Any] = {}
        self.most_at_once = 0
        self.breaks: Answer = lambda _: None
        self._at_once = 0
        self._lock = threading.Lock()

    def run(self, at_once: int = 4, limit: int | None = None) -> Run:
        return ministack.executed(self._definition, given("all", "raw/", at_once, limit), name=FILE)

    def counts(self, run: Run) -> Any:
        [one] = json.loads(stepfunctions._list_map_runs({"executionArn": run.arn})[2])["mapRuns"]
        return json.loads(stepfunctions._describe_map_run({"mapRunArn": one["mapRunArn"]})[2])

    def _read(self, reader: Any, asked: Any, _: Any) -> list[Any]:
        assert asked["prefix"] == "raw/"
        assert reader["ReaderConfig"] == {"MaxItemsPath": "$.limit"}
        some = self.keys[: asked["limit"]]
        return [{"Key": key, "Etag": '"e"', "Size": 3, "LastModified": 1, "StorageClass": "STANDARD"} for key in some]

    def _call(self, resource: str, given: Any) -> Any:
        if resource.endswith("lambda:invoke"):
            assert given["FunctionName"] == VALUES["BackfillFunction"]
            batch = given["Payload"]
            self.batches.append(batch)
            self.breaks(batch)
            pictures = [{"key": one["key"], "machine": "m", "input": {"of": one["key"]}} for one in batch["Items"]]
            asked = batch["BatchInput"]
            answer = {"at_once": asked["pictures_at_once"], "backfill": asked["backfill"], "pictures": pictures}
            return {"Payload": answer}
        if resource.endswith("aws-sdk:s3:putObject"):
            assert given["Bucket"] == VALUES["ReportsBucket"]
            self.breaks(given["Key"])
            self.files[given["Key"]] = given["Body"]
            return {}
        if self._definition == EXPRESS:
            assert resource.endswith("aws-sdk:sfn:startSyncExecution")
            made = self._make(json.loads(given["Input"])["of"])
            return {"ExecutionArn": f"arn of {made}", "Status": "SUCCEEDED", "Output": json.dumps({"key": made})}
        assert resource.endswith("states:startExecution.sync:2")
        return {"ExecutionArn": "arn", "Output": {"key": self._make(given["Input"]["of"])}}

    def _make(self, key: str) -> str:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.breaks(key)
            self.made.append(key)
        finally:
            with self._lock:
                self._at_once -= 1
        return key


@pytest.fixture(params=[STANDARD, EXPRESS], ids=["standard", "express"])
def played(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Played:
    return Played(monkeypatch, request.param)


def test_all_objects_are_looked_at_in_batches_and_made(played):
    """As many as DynamoDB gives rows at once, each object as the function reads it."""
    played.keys = [f"raw/{number:03}.jpg" for number in range(205)]
    run = played.run()
    assert (run.status, run.states) == ("SUCCEEDED", ["Objects"])
    assert sorted(len(batch["Items"]) for batch in played.batches) == [5, 100, 100]
    assert {*played.batches[0]["BatchInput"]} == {"backfill", "only", "since", "pictures_at_once"}
    [first] = [batch["Items"][0] for batch in played.batches if batch["Items"][0]["key"] == "raw/000.jpg"]
    assert first == {"key": "raw/000.jpg", "etag": '"e"', "size": 3, "modified": 1}
    assert sorted(played.made) == played.keys
    counts = played.counts(run)
    assert (counts["itemCounts"]["succeeded"], counts["executionCounts"]["succeeded"]) == (205, 3)


def test_long_keys_make_smaller_batches(played):
    """What the function answers has to fit into an execution too: 256 KB."""
    played.keys = [f"raw/{number:03}/{'é' * 480}.jpg" for number in range(100)]
    played.run()
    sizes = [len(json.dumps(batch["Items"])) for batch in played.batches]
    assert len(sizes) > 1
    assert max(sizes) < 70_000


@pytest.mark.parametrize("at_once", [1, 3, 20])
def test_no_more_are_at_work_at_once_than_was_asked_for(played, at_once):
    """Of all batches together; and so many are, as soon as there are enough."""
    meet, first = threading.Barrier(at_once), iter(range(at_once))
    played.keys = [f"raw/{number:03}.jpg" for number in range(200)]
    played.breaks = lambda what: meet.wait(20) if isinstance(what, str) and next(first, None) is not None else None
    assert played.run(at_once).status == "SUCCEEDED"
    assert played.most_at_once == at_once
    assert len(played.made) == 200


@pytest.mark.parametrize("error", ["States.TaskFailed", "States.Timeout"])
def test_a_picture_that_fails_keeps_no_other_from_being_made(monkeypatch, error):
    """It is not started again here: it has a row, retries and a letter of its own."""
    played = Played(monkeypatch, STANDARD)
    played.keys = [f"raw/{number}.jpg" for number in range(5)]

    def fails(what: Any) -> None:
        if what == "raw/2.jpg":
            raise _ExecutionError(error, "the execution failed")

    played.breaks = fails
    run = played.run()
    assert run.status == "SUCCEEDED"
    assert sorted(played.made) == [key for key in played.keys if key != "raw/2.jpg"]
    [child] = distributed_maps._children(next(iter(stepfunctions._map_runs.values())))
    assert {"key": "raw/2.jpg", "error": error} in json.loads(child["output"])
    assert played.files == {}


def cannot_start(key: str, *, nor_say_so: bool = False) -> Answer:
    """One picture, for good."""

    def breaks(what: Any) -> None:
        if what == key:
            raise _ExecutionError("StepFunctions.StateMachineDoesNotExistException", "no such machine")
        if nor_say_so and str(what).startswith("backfill/"):
            raise _ExecutionError("S3.S3Exception", "no such bucket")

    return breaks


def test_a_picture_that_cannot_be_started_is_left_as_a_file_of_its_own(played):
    """Where who follows this backfill, and no other of the same beginning, finds it: it has no row. The others of its
    batch are made."""
    played.keys = [f"raw/{number}.jpg" for number in range(5)]
    played.breaks = cannot_start("raw/2.jpg")
    run = played.run()
    assert run.status == "SUCCEEDED"
    assert sorted(played.made) == [key for key in played.keys if key != "raw/2.jpg"]
    [(name, told)] = played.files.items()
    assert name.startswith(f"{NOT_STARTED}{run.arn.rpartition(':')[2]}/")
    error = {"Error": "StepFunctions.StateMachineDoesNotExistException", "Cause": "no such machine"}
    assert (told["key"], told["failed"]) == ("raw/2.jpg", error)


def test_where_that_file_cannot_be_left_the_batch_has_failed(played):
    """So that its objects count as not looked at."""
    played.keys = ["raw/0.jpg"]
    played.breaks = cannot_start("raw/0.jpg", nor_say_so=True)
    assert played.counts(played.run())["itemCounts"]["failed"] == 1


@pytest.mark.parametrize(("objects", "status"), [(109, "SUCCEEDED"), (120, "FAILED")])
def test_a_tenth_of_the_objects_may_remain_unseen(played, objects, status):
    """Of more, something is wrong for good. It says of how many."""
    played.keys = [f"raw/{number:03}.jpg" for number in range(objects)]

    def broken(what: Any) -> None:
        if not isinstance(what, str) and len(what["Items"]) < 100:
            raise _ExecutionError("Lambda.Unknown", "no")

    played.breaks = broken
    run = played.run()
    assert run.status == status
    assert played.counts(run)["itemCounts"]["failed"] == objects - 100
    assert len(played.made) == 100


def test_of_one_that_is_stopped_nothing_more_is_begun(played):
    """What is at work comes to its end; what is not begun is counted as aborted, and no execution goes on."""
    played.keys = [f"raw/{number:03}.jpg" for number in range(300)]

    def stops(what: Any) -> None:
        if what == "raw/002.jpg":
            [running] = [
                one
                for one in stepfunctions._executions.values()
                if one["status"] == "RUNNING" and "mapRunArn" not in one
            ]
            stepfunctions._stop_execution({"executionArn": running["executionArn"]})

    played.breaks = stops
    run = played.run(1)
    assert run.status == "ABORTED"
    assert played.made == played.keys[:3]
    counts = played.counts(run)
    assert counts["status"] == "ABORTED"
    assert (counts["itemCounts"]["aborted"], counts["itemCounts"]["running"]) == (300, 0)
    assert {one["status"] for one in stepfunctions._executions.values()} == {"ABORTED"}


def test_a_limit_is_one_of_objects(played):
    played.keys = [f"raw/{number:03}.jpg" for number in range(20)]
    assert played.run(limit=7).status == "SUCCEEDED"
    assert sorted(played.made) == played.keys[:7]


def test_every_state_says_why_it_is_there_and_every_next_exists():
    assert all(len(state.get("Comment", "")) > 20 for state in STATES.values())
    for machine in machines(definition(FILE)):
        named = {name for state in machine["States"] for name in follow(machine, state)}
        assert named | {machine["StartAt"]} == set(machine["States"])


def test_every_task_has_a_time_limit_and_spreads_its_retries():
    for task in (state for state in STATES.values() if state["Type"] == "Task"):
        assert task["TimeoutSeconds"] > 0
        for retry in task["Retry"]:
            assert retry["BackoffRate"] == 2
            assert retry["JitterStrategy"] == "FULL"
            assert retry["IntervalSeconds"] < retry["MaxDelaySeconds"]
    tried = [name for retry in STATES["Make"]["Retry"] for name in retry["ErrorEquals"]]
    assert not [name for name in tried if name.startswith("States.")]  # a picture that failed is not made twice here


def test_the_report_of_express_executions_says_how_each_ended(monkeypatch):
    """The call is no error if one ended badly; what it names has its row."""
    played = Played(monkeypatch, EXPRESS)
    played.keys = ["raw/0.jpg"]
    played.run()
    [child] = distributed_maps._children(next(iter(stepfunctions._map_runs.values())))
    assert json.loads(child["output"]) == [{"execution": "arn of raw/0.jpg", "status": "SUCCEEDED"}]


def test_a_child_has_room_for_a_batch_in_its_history():
    """25,000 events. Each state makes two, each iteration two and each attempt four; of a hundred pictures ten at once
    may be throttled for good, and the others then come at their first attempt."""
    most = STATES["Objects"]["ItemBatcher"]["MaxItemsPerBatch"]
    attempts = 1 + sum(retry["MaxAttempts"] for retry in STATES["Make"]["Retry"])
    assert most * (2 + 2 + 2 + 4) + 10 * 4 * attempts < 25_000


def test_an_execution_waits_as_long_as_its_picture_may_take():
    assert STATES["Make"]["TimeoutSeconds"] >= definition("image_pipeline")["TimeoutSeconds"]


@pytest.mark.parametrize("definition", [STANDARD, EXPRESS], ids=["standard", "express"])
def test_the_definition_is_valid(definition):
    """By the schema that cfn-lint has for a state machine."""
    properties = {"RoleArn": ROLE, "Definition": json.loads(definition)}
    template = {"Resources": {"Workflow": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}}
    assert [str(match) for match in lint(json.dumps(template))] == []
