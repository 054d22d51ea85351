"""`workflow: express`: what it changes in the template, and that the waits of its machines fit into their time."""

import json
import re
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from stacks.express import LONGEST_EXECUTION, in_five_minutes
from tests.stacks.conftest import ROOT
from tests.stacks.test_alarms import alarms
from tests.stacks.test_grants import by_role
from tests.statemachine.engine import definition, states
from tests.statemachine.test_definition import follow, machines

FILES = {"ImagePipeline": "image_pipeline", "Recaption": "recaption", "Deletion": "deletion", "Backfill": "backfill"}
EXPRESS = {"workflow": "express", "captions": {"enabled": True}, "api": {"enabled": True}}
SHORTENED = {
    name: json.loads(in_five_minutes(json.dumps(definition(name)))) for name in ("image_pipeline", "recaption")
}
TASKS = {
    f"{file} {name}": state
    for file, machine in SHORTENED.items()
    for name, state in states(machine)
    if state["Type"] == "Task"
}


@pytest.fixture
def express(synth) -> Template:
    return synth(**EXPRESS)


def machine(template: Template, name: str) -> dict[str, Any]:
    found = template.find_resources("AWS::StepFunctions::StateMachine")
    [one] = [one["Properties"] for logical_id, one in found.items() if logical_id.startswith(f"Workflow{name}")]
    return one


@pytest.mark.parametrize(("name", "kind"), [*dict.fromkeys(("ImagePipeline", "Recaption"), "EXPRESS").items()])
def test_what_makes_pictures_and_captions_is_express_and_logs_all(express, name, kind):
    """The log is all that there is of such an execution."""
    properties = machine(express, name)
    assert properties["StateMachineType"] == kind
    logged = properties["LoggingConfiguration"]
    assert (logged["Level"], logged["IncludeExecutionData"]) == ("ALL", True)


@pytest.mark.parametrize("name", ["Deletion", "Backfill"])
def test_what_deletes_and_lists_is_not(express, name):
    assert machine(express, name)["StateMachineType"] == "STANDARD"


def test_deletions_are_the_file(express):
    assert machine(express, "Deletion")["DefinitionString"] == (ROOT / "statemachine/deletion.asl.json").read_text()


@pytest.mark.parametrize("name", FILES)
def test_every_placeholder_is_filled(express, name):
    properties = machine(express, name)
    placeholders = set(re.findall(r"\$\{(\w+)\}", properties["DefinitionString"]))
    assert placeholders == set(properties["DefinitionSubstitutions"])


def test_only_the_stack_that_is_express_says_so(express, template):
    """The operator's commands read it there."""
    express.has_output("WorkflowKind", {"Value": "express"})
    assert template.find_outputs("WorkflowKind") == {}


def waits(retrier: dict[str, Any]) -> list[float]:
    """In seconds, the longest that each may be."""
    steps = range(retrier["MaxAttempts"])
    return [
        min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** one, retrier["MaxDelaySeconds"]) for one in steps
    ]


@pytest.mark.parametrize("name", SHORTENED)
def test_an_execution_ends_when_aws_ends_it(name):
    assert SHORTENED[name]["TimeoutSeconds"] == LONGEST_EXECUTION == 300


@pytest.mark.parametrize("name", TASKS)
def test_no_wait_is_long_and_only_what_is_throttled_waits_to_the_end(name):
    for retrier in TASKS[name]["Retry"]:
        if not retrier["MaxAttempts"]:
            continue
        assert max(waits(retrier)) <= 30
        throttled = re.search("Throttl|TooManyRequests", " ".join(retrier["ErrorEquals"]))
        if throttled and name.split()[1] not in ("Claim", "Take", "RecordFailure", "Caption", "NoCaption"):
            assert sum(waits(retrier)) > 2 * LONGEST_EXECUTION  # which even half of them are longer than
        else:
            assert sum(waits(retrier)) <= 150


def test_where_no_row_can_be_written_there_is_time_for_the_letter():
    """What fails before Claim has the row is remembered by its letter alone: with the longest waits of the retrier that
    waits longest in each of these states, and each attempt at its own limit in the one that is not answered."""
    longest = 0.0
    for name in ("Claim", "Take", "DeadLetter"):
        task = TASKS[f"image_pipeline {name}"]
        longest += max(sum(waits(retrier)) for retrier in task["Retry"] if retrier["MaxAttempts"])
    assert longest + 6 * TASKS["image_pipeline DeadLetter"]["TimeoutSeconds"] < LONGEST_EXECUTION


def test_a_row_is_failed_only_after_its_letter():
    """Nobody can ask an Express execution whether it sent one: so the row says it."""
    there = SHORTENED["image_pipeline"]["States"]
    assert there["Explain"]["Next"] == "Take"
    assert there["Take"]["Arguments"]["ExpressionAttributeValues"][":failed"] == {"S": "PROCESSING"}
    assert follow(SHORTENED["image_pipeline"], "Take") == {"DeadLetter", "Superseded"}
    assert follow(SHORTENED["image_pipeline"], "DeadLetter") == {"RecordFailure", "Failed"}
    assert follow(SHORTENED["image_pipeline"], "RecordFailure") == {"Failed"}
    writes = {name for name, state in there.items() if '"S": "FAILED"' in json.dumps(state)}
    assert writes == {"RecordFailure"}


@pytest.mark.parametrize("name", SHORTENED)
def test_every_next_exists_and_every_state_is_reached(name):
    for part in machines(SHORTENED[name]):
        reached, ahead = set(), {part["StartAt"]}
        while ahead:
            state = ahead.pop()
            reached.add(state)
            ahead |= follow(part, state) - reached
        assert reached == set(part["States"])


def test_the_sweep_and_the_backfill_may_do_what_express_needs(express, synth):
    """And ask nobody of an execution that nobody knows."""
    granted, before = by_role(express), by_role(synth(**{**EXPRESS, "workflow": "standard"}))
    images = "WorkflowImagePipelineMachine"
    changed = {
        role: (sorted(granted[role] - before[role]), sorted(before[role] - granted[role]))
        for role in granted
        if granted[role] != before[role]
    }
    executions = "arn:AWS::Partition:states:AWS::Region:AWS::AccountId:execution"
    assert changed == {
        "StepsSweepRole": (
            ["dynamodb:BatchGetItem on StorageResults", f"states:StartExecution on {images}"],
            [
                f"states:DescribeExecution on {executions}:{images}:*",
                f"states:GetExecutionHistory on {executions}:{images}:*",
                f"states:ListExecutions on {images}",
            ],
        ),
        "WorkflowBackfillRole": (
            [f"states:StartSyncExecution on Workflow{one}Machine" for one in ("ImagePipeline", "Recaption")],
            [
                *(
                    f"states:DescribeExecution on {executions}:Workflow{one}Machine:*"
                    for one in ("ImagePipeline", "Recaption")
                ),
                *(f"states:StartExecution on Workflow{one}Machine" for one in ("ImagePipeline", "Recaption")),
            ],
        ),
        "ApiRole": ([], [f"states:DescribeExecution on {executions}:{images}:redrive-*"]),
    }


def test_a_backfill_waits_by_a_call_that_express_takes(express):
    """Nothing else of it is another, but that what is an error was not started."""
    ours = dict(states(json.loads(machine(express, "Backfill")["DefinitionString"])))
    file = dict(states(definition("backfill")))
    assert file.keys() - ours.keys() == {"Began"}
    assert [name for name in ours if ours[name] != file[name] and name not in ("Objects", "Pictures")] == ["Make"]
    assert [catch["Next"] for catch in ours["Make"]["Catch"]] == ["NotStarted"]
    make = ours["Make"]
    assert make["Resource"] == "arn:aws:states:::aws-sdk:sfn:startSyncExecution"
    assert make["TimeoutSeconds"] > LONGEST_EXECUTION
    assert [retrier["ErrorEquals"][0] for retrier in make["Retry"]] == ["Sfn.ThrottlingException", "Sfn.SfnException"]


def test_a_picture_that_runs_out_of_time_fires_no_alarm(express):
    """The sweep starts it again; what it cannot help is a letter."""
    fired_by = {
        (one["MetricName"], next(iter(dimension["Value"].values())))
        for one in alarms(express)["FailedExecutions"]
        for dimension in one["Dimensions"]
    }
    named = {name: where for name, where in fired_by if "ImagePipeline" in where}
    assert list(named) == ["ExecutionsFailed"]
    assert {name for name, where in fired_by if "Deletion" in where} == {
        *("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
    }


def test_the_sweep_waits_until_an_execution_is_certainly_over(express):
    express.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Handler": "functions.sweep.handler",
            "Environment": {
                "Variables": Match.object_like({"SECONDS_LEFT_ALONE": "360", "STARTS_AGAIN_AT_ONCE": "100"})
            },
        },
    )
