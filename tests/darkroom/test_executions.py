"""An execution is read out of its history: which states, how long, what they were given, what went wrong.

`histories/nested.json` was recorded from an engine that writes the events AWS does, `histories/local.json` from the
local cloud: a picture of which one rendition failed.
"""

import io
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from darkroom.cli.executions import line
from darkroom.cli.inspect import in_words, tree
from darkroom.pipeline import executions
from darkroom.pipeline.executions import State, documents, read_history
from darkroom.pipeline.results import written
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import darkroom


def history(name: str) -> list[Any]:
    events = json.loads((Path(__file__).parent / "histories" / f"{name}.json").read_text())
    return [{**event, "timestamp": datetime.fromisoformat(event["timestamp"])} for event in events]


@pytest.fixture
def nested() -> list[State]:
    return read_history(history("nested"))


@pytest.fixture
def local() -> list[State]:
    return read_history(history("local"))


def test_every_state_is_shown_inside_the_parallel_or_map_that_ran_it(nested: list[State]):
    places = [(state.name, state.inside.name if state.inside else None, state.iteration) for state in nested]
    assert places == [
        ("Claim", None, None),
        ("Derive", None, None),
        ("Renditions", "Derive", None),
        ("Caption", "Derive", None),
        ("Resize", "Renditions", 0),
        ("Resize", "Renditions", 1),
        ("Note", "Renditions", 0),
        ("Done", None, None),
    ]


def test_every_state_that_was_left_has_its_duration_and_output(nested: list[State]):
    assert all(state.duration is not None and state.output is not None for state in nested)
    derive, resize = nested[1], nested[4]
    assert derive.duration > resize.duration > 1  # there was a retry after one second


def test_retries_and_errors_belong_to_the_state_and_iteration_that_had_them(nested: list[State]):
    assert [(state.retries, len(state.failures)) for state in nested if state.name == "Resize"] == [(1, 2), (0, 0)]
    assert nested[4].failures[0]["error"] == "DynamoDb.ResourceNotFoundException"
    assert not any(state.failures for state in nested if state.name != "Resize")


def test_input_is_data_not_text(nested: list[State]):
    assert nested[5].input == {"name": "small"}


def test_an_execution_that_failed_says_so_at_its_last_state(local: list[State]):
    assert (local[-1].name, local[-1].duration) == ("Failed", None)


def drawn(states: list[State], *, inputs: bool = False) -> list[str]:
    """The tree on a pipe, line by line."""
    console = Console(width=2000, markup=False, file=io.StringIO())
    execution = {"status": "FAILED", "seconds": 2.5, "error": "RuntimeError", "cause": '{"errorMessage": "no room"}'}
    console.print(tree({"execution": execution, "states": documents(states)}, inputs=inputs))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_tree_has_each_state_in_the_parallel_map_and_iteration_that_ran_it(nested: list[State]):
    lines = [re.sub(r"  [\d.]+ s", "", line) for line in drawn(nested)]
    assert [line.partition("  tried")[0] for line in lines] == [
        "FAILED after 2.50 s",
        "├── Claim",
        "├── Derive",
        "│   ├── Renditions",
        "│   │   ├── Resize thumb",
        "│   │   ├── Note thumb",
        "│   │   └── Resize small",
        "│   └── Caption",
        "├── Done",
        "└── RuntimeError: no room",
    ]


def test_each_rendition_is_in_the_tree_by_its_name_with_its_attempts_and_their_error(local: list[State]):
    """In the order of the plan; what began first and ended last does not change it."""
    why = "RuntimeError: broken on purpose for raw/broken.jpg small"
    inside = [line for line in drawn(local) if "Renditions" in line or "Resize" in line]
    assert [re.sub(r"[\d.]+ s", "1 s", line) for line in inside] == [
        "├── Renditions  1 s",
        "│   ├── Resize thumb  1 s",
        f"│   ├── Resize small  not left  tried 3 times: {why}; gave up",
        "│   ├── Resize medium  1 s",
        "│   └── Resize large  1 s",
    ]


def test_an_iteration_that_is_alone_has_no_number(local: list[State]):
    """Of the Map over one picture, whose item has no name."""
    events = [
        ("MapStateEntered", 0, {"stateEnteredEventDetails": {"name": "Captions", "input": "[]"}}),
        ("MapStateStarted", 1, {"mapStateStartedEventDetails": {"length": 1}}),
        ("MapIterationStarted", 2, {"mapIterationStartedEventDetails": {"name": "Captions", "index": 0}}),
        ("TaskStateEntered", 3, {"stateEnteredEventDetails": {"name": "Caption", "input": '{"key": "raw/cat.jpg"}'}}),
    ]
    read = read_history(
        {"id": place, "type": kind, "previousEventId": previous, "timestamp": local[0].entered, **details}
        for place, (kind, previous, details) in enumerate(events, 1)
    )
    assert [(state.name, state.iteration, state.item) for state in read] == [
        ("Captions", None, None),
        ("Caption", 0, None),
    ]


def test_inputs_are_in_the_tree_when_asked_for(nested: list[State]):
    assert '{"name": "small"}' in "".join(drawn(nested, inputs=True))
    assert "given" not in "".join(drawn(nested))


@pytest.mark.parametrize(
    ("retries", "errors", "left", "said"),
    [
        (0, [], True, "Resize thumb  1.00 s"),
        (0, [], False, "Resize thumb  not left"),
        (2, ["slow", "slow"], True, "tried 3 times: RuntimeError: slow; succeeded at the third"),
        (
            2,
            ["slow", "full"],
            True,
            "tried 3 times: RuntimeError: slow; then RuntimeError: full; succeeded at the third",
        ),
        (0, ["slow"], False, "tried once: RuntimeError: slow; gave up"),
        (2, ["slow", "full", "slow"], False, "RuntimeError: slow (2 times); then RuntimeError: full; gave up"),
        (0, ["x" * 400], False, f"{'x' * 286}… (414 characters); gave up"),
        (6, ["slow"] * 6, True, "tried 7 times: RuntimeError: slow; succeeded at the 7th"),
        (0, ["a\x1b[2Jb\nc"], False, r"tried once: RuntimeError: a\x1b[2Jb\nc; gave up"),
    ],
)
def test_tries_are_said_in_words(retries: int, errors: list[str], left: bool, said: str):
    state = {
        "name": "Resize",
        "type": "Task",
        "item": "thumb",
        "seconds": 1.0 if left else None,
        "retries": retries,
        "errors": [{"error": "RuntimeError", "cause": json.dumps({"errorMessage": one})} for one in errors],
    }
    assert in_words(state).endswith(said)


def test_a_state_of_an_execution_that_runs_has_not_given_up():
    error = {"error": "RuntimeError", "cause": "slow"}
    state = {"name": "Resize", "type": "Task", "item": None, "seconds": None, "retries": 1, "errors": [error]}
    assert in_words(state, running=True) == "Resize  at work  tried 2 times: RuntimeError: slow; not at its end"


EVENT = {"detail": {"object": {"key": "raw/cat.jpg"}}}


def test_the_line_of_an_execution_says_the_hour_in_utc_as_the_rows_do():
    """boto3 gives the hour of this machine's own zone."""
    started = datetime.fromisoformat("2024-05-01T00:30:00+02:00")
    execution = {
        "key": "raw/a.jpg",
        "status": "RUNNING",
        "started": started,
        "seconds": None,
        "execution": "arn:a",
        "verdict": None,
    }
    assert line(execution)[3] == "2024-04-30 22:30:00"


@pytest.fixture
def execution(target: Target) -> str:
    started = target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input=json.dumps(EVENT))
    return started["executionArn"]


def test_executions_are_listed_with_their_pictures(execution: str):
    result = darkroom("--aws", "executions", "--json")
    assert result.exit_code == 0
    [found] = json.loads(result.stdout)
    assert (found["execution"], found["key"], found["redrive"]) == (execution, "raw/cat.jpg", False)
    assert datetime.fromisoformat(found["started"]).tzinfo is not None


@pytest.mark.usefixtures("execution")
def test_the_number_of_executions_is_limited(target: Target):
    for _ in range(2):
        target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input="{}")
    assert len(json.loads(darkroom("--aws", "executions", "--limit", "2", "--json").stdout)) == 2


@pytest.mark.usefixtures("execution")
def test_pages_of_executions_follow_one_another(target: Target):
    for _ in range(4):
        target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input="{}")
    some = executions.find(target, limit=2, told={})
    assert (len(some.executions), some.older is None) == (2, False)
    found = some.executions
    while some.older:
        some = executions.find(target, limit=2, token=some.older, told={})
        found += some.executions
    assert [one["execution"] for one in found] == [one["execution"] for one in executions.recent(target)]
    assert len(found) == 5


def test_inspect_shows_the_row_and_the_execution_that_wrote_it(target: Target, execution: str):
    target.results.put_item(Item={"key": "raw/cat.jpg", "status": "PROCESSING", "execution": execution})
    found = json.loads(darkroom("--aws", "inspect", "cat.jpg", "--json").stdout)
    assert found["row"]["status"] == "PROCESSING"
    assert found["execution"]["execution"] == execution
    table = darkroom("--aws", "inspect", "cat.jpg")
    assert table.exit_code == 0
    assert execution.rpartition(":")[2] in table.stdout
    assert table.stdout.index("A State") < table.stdout.index("PROCESSING")  # the steps before what came of them
    assert "version_id" not in table.stdout
    assert "All of the row: `darkroom results raw/cat.jpg`" in table.stderr


def test_the_verdict_is_beside_the_status_where_it_says_something_else(target: Target, execution: str):
    """A rejected picture's execution has SUCCEEDED."""
    at = target.states.describe_execution(executionArn=execution)["startDate"]
    row = {"key": "raw/cat.jpg", "updated_at": written(at), "execution": execution}
    listed = {"executionArn": execution, "name": "e", "startDate": at, "stopDate": at}
    for verdict, said in (("REJECTED", ["SUCCEEDED", "REJECTED"]), ("SUCCEEDED", ["SUCCEEDED"])):
        target.results.put_item(Item={**row, "status": verdict})
        [found] = executions.summaries(target, [{**listed, "status": "SUCCEEDED"}], {})
        assert found["verdict"] == verdict
        assert [one for one in line(found)[1:3] if one] == said


@pytest.mark.parametrize(("by", "says"), [("pipeline", "A redrive of"), ("deletion", "An undelete, by the deletion")])
def test_inspect_says_from_which_execution_one_took_the_row_over(target: Target, execution: str, by: str, says: str):
    """One of the same state machine that failed, or a deletion after which an older version was current again."""
    before = execution.replace(":pipeline:", f":{by}:").rpartition(":")[0] + ":before"
    given = json.dumps({"redrives": before})
    started = target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input=given)
    target.results.put_item(Item={"key": "raw/cat.jpg", "status": "PROCESSING", "execution": started["executionArn"]})
    assert json.loads(darkroom("--aws", "inspect", "cat.jpg", "--json").stdout)["execution"]["redrives"] == before
    assert f"{says} {before}" in darkroom("--aws", "inspect", "cat.jpg").stdout


@pytest.mark.usefixtures("target")
def test_inspect_of_an_unknown_picture_is_no_success():
    assert darkroom("--aws", "inspect", "nowhere.jpg").exit_code == 1
