"""The files as they are written: what must hold of every state, whatever it does."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonata
import pytest
from cfnlint.api import lint
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords
from moto.events.models import EventPattern

from darkroom.pipeline.results import SHOWN
from functions import results
from tests.statemachine.engine import (
    DELETION,
    FILES,
    IMAGES,
    RECAPTION,
    ROLE,
    Pipeline,
    definition,
    deletion,
    event,
    inner_machines,
    states,
)

MACHINES = [IMAGES, DELETION, RECAPTION]
EVERY_STATE = {(machine, name): state for machine in MACHINES for name, state in states(definition(machine))}
EVERY_TASK = {name: state for name, state in EVERY_STATE.items() if state["Type"] == "Task"}
STATES = dict(states(definition()))
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
EVERY_UPDATE = {
    name: task["Arguments"] for name, task in EVERY_TASK.items() if task["Resource"].endswith(":updateItem")
}
UPDATES = {name: update for (machine, name), update in EVERY_UPDATE.items() if machine == IMAGES}


def machines(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The state machine and those inside its Parallels and Maps: a Next stays within one of them."""
    yield machine
    for state in machine["States"].values():
        for inner in inner_machines(state):
            yield from machines(inner)


def follow(machine: dict[str, Any], name: str) -> set[str]:
    state = machine["States"][name]
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    catches = [catch["Next"] for catch in state.get("Catch", [])]
    return {name for name in (state.get("Next"), state.get("Default"), *choices, *catches) if name}


def strings(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from strings(inner)


def service(task: dict[str, Any]) -> str:
    return str(task["Resource"].split(":")[5])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_has_its_name_once(machine):
    """A name in a history or a log means one state."""
    names = [name for name, _ in states(definition(machine))]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", EVERY_STATE)
def test_every_state_says_why_it_is_there(name):
    """The console shows the Comment next to the state."""
    assert len(EVERY_STATE[name].get("Comment", "")) > 20


@pytest.mark.parametrize("file", MACHINES)
def test_every_next_exists_and_every_state_is_reached(file):
    """No way leads nowhere, and no state stands beside the way."""
    for machine in machines(definition(file)):
        reached, ahead = set(), {machine["StartAt"]}
        while ahead:
            name = ahead.pop()
            assert name in machine["States"]
            reached.add(name)
            ahead |= follow(machine, name) - reached
        assert reached == set(machine["States"])


@pytest.mark.parametrize("name", EVERY_TASK)
def test_every_task_has_a_time_limit_and_spreads_its_retries(name):
    """Exponential backoff, full jitter, a cap; nothing hangs."""
    task = EVERY_TASK[name]
    assert 0 < task["TimeoutSeconds"] <= 90
    retries = [retry for retry in task["Retry"] if retry["MaxAttempts"]]
    assert retries
    for retry in retries:
        assert retry["BackoffRate"] > 1
        assert retry["JitterStrategy"] == "FULL"
        assert (
            1
            <= retry["IntervalSeconds"]
            < retry["MaxDelaySeconds"]
            <= (600 if _is_for_throttling(retry) else 180 if retry["ErrorEquals"] in (BUSY, *UNNAMED.values()) else 60)
        )
    assert "States.TaskFailed" in retries[-1]["ErrorEquals"]
    of_time = [retry for retry in task["Retry"] if "States.Timeout" in retry["ErrorEquals"]]
    assert of_time == [OUT_OF_TIME if name[1] in {"Validate", "Resize", "Caption"} else retries[-1]]


# Of a function that decodes, which takes as long at the next attempt; the first is Lambda's name for it:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
OUT_OF_TIME = {"ErrorEquals": ["Sandbox.Timedout", "States.Timeout"], "MaxAttempts": 0}

BUSY = ["ModelBusy"]  # what Caption raises where Bedrock has no room

# Of each service, what Step Functions calls an error that its SDK has no class for: a throttling may be among them.
UNNAMED = {
    "dynamodb": ["DynamoDB.AmazonDynamoDBException"],
    "aws-sdk": ["S3.S3Exception"],
    "states": ["StepFunctions.AWSStepFunctionsException"],
}


def _is_for_throttling(retry: dict[str, Any]) -> bool:
    return all(
        re.search("Throttl|TooManyRequests|LimitExceeded|ThroughputExceeded|SlowDown", name)
        for name in retry["ErrorEquals"]
    )


@pytest.mark.parametrize("name", [name for name, task in EVERY_TASK.items() if ":sqs:" not in task["Resource"]])
def test_throttling_has_a_retrier_of_its_own(name):
    """The first one after an answer that is final, so that no other takes the error and gives up sooner; the same
    patience everywhere. SQS has no limit to outlast: its queues take any number of messages a second."""
    retries = [retry for retry in EVERY_TASK[name]["Retry"] if retry["MaxAttempts"]]
    patience = {key: value for key, value in retries[0].items() if key != "ErrorEquals"}
    assert _is_for_throttling(retries[0])
    assert not any(_is_for_throttling(retry) for retry in retries[1:])
    assert patience == {
        "IntervalSeconds": 5,
        "MaxAttempts": 60,
        "BackoffRate": 2,
        "MaxDelaySeconds": 600,
        "JitterStrategy": "FULL",
    }


@pytest.mark.parametrize("name", [name for name, task in EVERY_TASK.items() if service(task) in UNNAMED])
def test_an_error_without_a_name_may_be_throttling(name):
    """Neither given up after half a minute nor waited for till tomorrow, as it may be a fault of ours too: 23 minutes
    at most, half of it in the mean."""
    throttled, unnamed, *_ = [retry for retry in EVERY_TASK[name]["Retry"] if retry["MaxAttempts"]]
    assert unnamed["ErrorEquals"] == UNNAMED[service(EVERY_TASK[name])]
    assert _is_for_throttling(throttled)
    assert 20 * 60 <= sum(pauses(unnamed)) <= 25 * 60


def test_a_busy_model_is_waited_for_a_quarter_of_an_hour_or_so():
    """Before the general retriers, which its error would match too: a picture waits for no caption longer than that,
    half of it in the mean."""
    [busy] = [retry for retry in EVERY_TASK[IMAGES, "Caption"]["Retry"] if retry["ErrorEquals"] == BUSY]
    assert 12 * 60 <= sum(pauses(busy)) <= 18 * 60
    assert EVERY_TASK[IMAGES, "Caption"]["Retry"].index(busy) == 1
    others = [retry for retry in EVERY_TASK[IMAGES, "Caption"]["Retry"] if retry is not busy]
    assert others == EVERY_TASK[IMAGES, "Resize"]["Retry"]
    assert EVERY_TASK[IMAGES, "NoCaption"]["Retry"] == EVERY_TASK[IMAGES, "Cleanup"]["Retry"]


def pauses(retry: dict[str, Any]) -> list[float]:
    """The longest there may be before each attempt."""
    waits = (retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt for attempt in range(retry["MaxAttempts"]))
    return [min(wait, retry["MaxDelaySeconds"]) for wait in waits]


@pytest.mark.parametrize("name", ["Caption", "NoCaption", "Uncounted"])
def test_a_caption_is_made_again_as_it_was_made_first(name):
    """The same states in both files, but for where the picture is named and what comes next."""
    first, again = ({**EVERY_STATE[machine, name]} for machine in (IMAGES, RECAPTION))
    for state in (first, again):
        state.pop("Next", None)
        state.pop("End", None)
        if "Arguments" in state:
            payload = {**state["Arguments"]["Payload"], "source": None}
            state["Arguments"] = {**state["Arguments"], "Payload": payload}
    assert first == again


CATCHING = [(machine, name) for machine, name in EVERY_TASK if name in definition(machine)["States"]]
AROUND = [
    *((IMAGES, name) for name in ("Renditions", "Captions", "Leftovers", "Caption", "NoCaption")),
]
LEFT = (RECAPTION, "Record")  # its failure ends the execution, and leaves the row as it was


@pytest.mark.parametrize("name", [*(name for name in CATCHING if name != LEFT), *AROUND])
def test_every_task_catches_everything(name):
    """Outside a Map by itself, inside one by the state around it; a caption catches its own."""
    assert EVERY_STATE[name]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_the_way_to_the_letter_cannot_be_left():
    """After an error only a lost row ends without a letter, and no letter ends as a success."""
    ways = definition()["States"]
    assert {catch["Next"] for name in TASKS if name in ways for catch in ways[name]["Catch"]} == {
        "Duplicate",
        "Superseded",
        "Explain",
        "DeadLetter",
        "Failed",
    }
    assert follow(definition(), "Superseded") == {"Leftovers"}
    assert follow(definition(), "Leftovers") == {"LeftBehind"}
    assert ways["Explain"]["Next"] == "RecordFailure"
    assert follow(definition(), "RecordFailure") == {"Superseded", "DeadLetter"}
    assert follow(definition(), "DeadLetter") == {"Failed"}


def expressions(update: dict[str, Any]) -> str:
    """What DynamoDB reads; of a condition that JSONata puts together, every part, and no text that it compares with."""
    condition = update["ConditionExpression"]
    put_together = re.findall(r"'([^']*)'", re.sub(r"= '[^']*'", "", condition))
    parts = put_together if condition.startswith("{%") else [condition]
    return " ".join([update["UpdateExpression"], *parts])


def test_a_failure_is_recorded_under_the_condition_of_the_claim():
    """Who may claim a row may say that it failed, and nobody else."""
    claim, failure = UPDATES["Claim"], UPDATES["RecordFailure"]
    assert claim["ConditionExpression"] == failure["ConditionExpression"]
    values, others = claim["ExpressionAttributeValues"], failure["ExpressionAttributeValues"]
    shared = values.keys() & others.keys()
    assert {":sequencer", ":execution", ":redriven"} <= shared
    assert {name: values[name] for name in shared} == {name: others[name] for name in shared}


def test_a_history_has_room_for_every_attempt_of_every_task():
    """Step Functions ends an execution at 25,000 events; each attempt makes three, each state two. Of renditions there
    are at most 20 in four formats, all throttled for good."""
    attempts = {name: 1 + sum(retry["MaxAttempts"] for retry in task["Retry"]) for name, task in TASKS.items()}
    times = {"Resize": 20 * 4}
    assert sum(times.get(name, 1) * (2 + 3 * tries) for name, tries in attempts.items()) < 25_000


@pytest.mark.parametrize("machine", MACHINES)
def test_an_execution_has_time_for_every_attempt_of_every_task(machine):
    """A task that runs out of attempts ends in a letter; an execution that runs out of time would end without one."""

    def longest(task: dict[str, Any]) -> float:
        waits = [pause for retry in task["Retry"] for pause in pauses(retry)]
        return task["TimeoutSeconds"] * (1 + len(waits)) + sum(waits)

    tasks = (task for of, task in EVERY_TASK.items() if of[0] == machine)
    assert sum(map(longest, tasks)) < definition(machine)["TimeoutSeconds"]


@pytest.mark.parametrize("name", EVERY_UPDATE)
def test_every_name_and_value_of_an_update_is_declared_and_used(name):
    """DynamoDB refuses an expression with one too few, and with one too many."""
    update = EVERY_UPDATE[name]
    values = update["ExpressionAttributeValues"]
    declared = set(values) if isinstance(values, dict) else set(re.findall(r"'(:\w+)': ", values))
    assert set(re.findall(r":\w+", expressions(update))) == declared
    assert set(re.findall(r"#\w+", expressions(update))) == set(update["ExpressionAttributeNames"])


@pytest.mark.parametrize("name", EVERY_UPDATE)
def test_no_reserved_word_stands_in_an_update(name):
    """An attribute whose name DynamoDB keeps for itself goes by a #name, and only such a one does."""
    update = EVERY_UPDATE[name]
    reserved = set(ReservedKeywords.get_reserved_keywords())
    grammar = {"SET", "REMOVE", "AND", "OR", "IN"}  # and the functions, which are no reserved words
    bare = {word.upper() for word in re.findall(r"(?<![#:\w])[A-Za-z]\w*", expressions(update))} - grammar
    assert bare.isdisjoint(reserved)


def attributes(update: dict[str, Any], clause: str) -> set[str]:
    """What the expression sets or removes."""
    said = re.split(r"\b(SET|REMOVE)\b", update["UpdateExpression"])
    parts = re.split(r",(?![^(]*\))", said[said.index(clause) + 1])
    return {part.split("=")[0].strip().lstrip("#") for part in parts}


def test_what_is_said_of_the_newest_version_and_what_is_shown_are_written_apart():
    """What Record alone sets is what a row shows: nothing touches it but the next Record and a deletion, which removes
    it as a whole. All else Claim and RecordFailure set or remove; otherwise it would be of two versions."""
    written = {name: attributes(update, "SET") for name, update in UPDATES.items()}
    removed = {name: attributes(UPDATES[name], "REMOVE") for name in ("Claim", "RecordFailure")}
    shown = written["Record"] - written["Claim"]
    assert shown == {name.strip().lstrip("#") for name in results.SHOWN.split(",")} == {*SHOWN}
    for name in ("Claim", "RecordFailure"):
        assert shown.isdisjoint(written[name] | removed[name])
        assert (written["Record"] | written["Reject"]) - shown <= written[name] | removed[name]
    assert shown.isdisjoint(written["Reject"])
    assert shown <= attributes(EVERY_UPDATE[DELETION, "MarkDeleted"], "REMOVE")
    withdraw = EVERY_UPDATE[DELETION, "Withdraw"]
    assert shown.isdisjoint(attributes(withdraw, "SET") | attributes(withdraw, "REMOVE"))


@pytest.mark.parametrize(
    "expression",
    sorted({text for machine in MACHINES for text in strings(definition(machine)) if text.startswith("{%")}),
)
def test_every_expression_is_jsonata(expression):
    """Step Functions refuses the whole definition otherwise."""
    assert expression.endswith("%}")
    jsonata.Jsonata(expression[2:-2].replace("${CaptionsEnabled}", "true"))


@pytest.mark.parametrize("machine", MACHINES)
def test_the_definition_is_valid(pipeline: Pipeline, machine: str):
    """By the schema that cfn-lint has for a state machine in JSONata, with every placeholder filled."""
    filled = pipeline.filled(machine)
    assert "${" not in filled
    known = filled.replace('"MaxConcurrency": "{% 0 %}"', '"MaxConcurrency": 0')  # it does not know the expression yet
    properties = {"RoleArn": ROLE, "Definition": json.loads(known)}
    template = {"Resources": {"Workflow": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}}
    assert [str(match) for match in lint(json.dumps(template))] == []


def takes(rule: str, happened: dict[str, Any]) -> bool:
    file = (FILES / f"{rule}_rule.json").read_text()
    filled = file.replace("${UploadsBucket}", "uploads").replace("${UploadPrefix}", "raw/")
    return EventPattern.load(filled).matches_event(happened)


@pytest.mark.parametrize(("rule", "kind"), [("upload", "Object Created"), ("deletion", "Object Deleted")])
@pytest.mark.parametrize("detail_type", ["Object Created", "Object Deleted", "Object Restore Completed"])
@pytest.mark.parametrize(
    ("bucket", "key", "ours"),
    [
        ("uploads", "raw/cat.jpg", True),
        ("uploads", "raw/2026/a b+c%20é.jpg", True),
        ("uploads", "small/cat.jpg", False),
        ("renditions", "raw/cat.jpg", False),
    ],
)
def test_each_rule_starts_for_its_kind_of_event_under_the_prefix(rule, kind, detail_type, bucket, key, ours):
    """Only of the one bucket, only under the prefix; creations the one, deletions the other."""
    happened = event(key) | {"detail-type": detail_type}
    happened["detail"]["bucket"]["name"] = bucket
    assert takes(rule, happened) is (ours and detail_type == kind)


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize(("reason", "starts"), [("DeleteObject", True), ("Lifecycle Expiration", False)])
def test_an_expiry_is_no_deletion(marker, reason, starts):
    """An old version that the lifecycle removes, a delete marker with nothing behind it, or one that it makes."""
    happened = deletion(marker=marker)
    happened["detail"]["reason"] = reason
    assert takes("deletion", happened) is starts
