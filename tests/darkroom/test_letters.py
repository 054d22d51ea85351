"""A dead letter sends its picture on its way again, and is gone only when that has begun."""

import json
from typing import Any

import pytest

from darkroom.letters import redrive
from darkroom.target import Target
from tests.darkroom.conftest import darkroom


def event(key: str) -> dict[str, Any]:
    return {"detail-type": "Object Created", "source": "aws.s3", "detail": {"object": {"key": key}}}


def put(target: Target, body: object, **attributes: str) -> str:
    sent = target.sqs.send_message(
        QueueUrl=target.output("DeadLetterQueueUrl"),
        MessageBody=body if isinstance(body, str) else json.dumps(body),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )
    return sent["MessageId"]


def pipelines(key: str) -> dict[str, Any]:
    """What the state machine writes, or the rule on executions that timed out."""
    error = {"code": "Lambda.Unknown", "message": "the function died"}
    return {"key": key, "bucket": "uploads", "error": error, "execution": "arn", "event": event(key)}


def left(target: Target) -> list[str]:
    """The letters that somebody else is given now."""
    answer = target.sqs.receive_message(QueueUrl=target.output("DeadLetterQueueUrl"), MaxNumberOfMessages=10)
    return [message["MessageId"] for message in answer.get("Messages", [])]


def inputs(target: Target, machine: str = "StateMachineArn") -> list[dict[str, Any]]:
    found = target.states.list_executions(stateMachineArn=target.output(machine))["executions"]
    described = [target.states.describe_execution(executionArn=one["executionArn"]) for one in found]
    return sorted((json.loads(one["input"]) for one in described), key=lambda one: one["detail"]["object"]["key"])


@pytest.fixture(autouse=True)
def _no_long_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto waits the whole second that SQS may take to ask all its servers."""
    monkeypatch.setattr("darkroom.letters.WAIT_SECONDS", 0)


def test_the_pipelines_own_letter_is_redriven_with_its_original_event(target: Target):
    put(target, pipelines("raw/a b+c%20é.jpg"), reason="TIMED_OUT")
    [done] = redrive(target)
    assert (done["key"], done["reason"], done["error"]["code"]) == ("raw/a b+c%20é.jpg", "TIMED_OUT", "Lambda.Unknown")
    assert inputs(target) == [{**event("raw/a b+c%20é.jpg"), "redrives": "arn"}]
    assert left(target) == []


def test_an_event_that_eventbridge_could_not_deliver_is_redriven_too(target: Target):
    put(target, event("raw/cat.jpg"), ERROR_CODE="NO_PERMISSIONS", ERROR_MESSAGE="not allowed to start it")
    [done] = redrive(target)
    assert (done["reason"], done["error"]["code"]) == ("UNDELIVERED", "NO_PERMISSIONS")
    assert inputs(target) == [event("raw/cat.jpg")]
    assert left(target) == []


def test_a_deletion_is_redriven_as_one(target: Target):
    """Its event starts the state machine of deletions."""
    deleted = {**event("raw/cat.jpg"), "detail-type": "Object Deleted"}
    put(target, {**pipelines("raw/cat.jpg"), "event": deleted}, reason="FAILED")
    list(redrive(target))
    assert inputs(target) == []
    assert inputs(target, "DeletionStateMachineArn") == [{**deleted, "redrives": "arn"}]


def test_only_the_named_pictures_are_redriven_and_the_others_go_back_at_once(target: Target):
    other = put(target, pipelines("raw/other.jpg"), reason="FAILED")
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    assert [done["key"] for done in redrive(target, ["cat.jpg"])] == ["raw/cat.jpg"]
    assert left(target) == [other]


def test_only_letters_of_the_asked_reason_are_redriven(target: Target):
    put(target, pipelines("raw/failed.jpg"), reason="FAILED")
    put(target, pipelines("raw/stalled.jpg"), reason="STALLED")
    assert [done["key"] for done in redrive(target, reason="STALLED")] == ["raw/stalled.jpg"]
    assert len(left(target)) == 1


def test_a_letter_stays_when_its_execution_cannot_be_started(target: Target, monkeypatch: pytest.MonkeyPatch):
    """An error of Step Functions costs neither this letter nor the others that were read with it."""
    letters = {put(target, pipelines(f"raw/{name}.jpg"), reason="FAILED") for name in ("cat", "dog", "emu")}
    monkeypatch.setitem(target.outputs, "StateMachineArn", "arn:aws:states:eu-central-1:123456789012:stateMachine:gone")
    with pytest.raises(target.states.exceptions.StateMachineDoesNotExist):
        list(redrive(target))
    assert set(left(target)) == letters


def test_a_letter_that_comes_twice_starts_one_execution(target: Target, monkeypatch: pytest.MonkeyPatch):
    """SQS delivers at least once, and a deletion may get lost."""
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    monkeypatch.setattr("darkroom.letters.HIDDEN_SECONDS", 0)
    monkeypatch.setattr(target.sqs, "delete_message", lambda **_: None)
    letters = redrive(target)
    first, second = next(letters), next(letters)
    assert first["execution"] == second["execution"]
    assert len(inputs(target)) == 1


@pytest.mark.parametrize("body", ["no JSON", "[]", '"text"', "{}", '{"event": null}', '{"detail": {"object": {}}}'])
def test_a_letter_that_nobody_can_read_is_shown_and_stays(body: str, target: Target):
    letter = put(target, body)
    result = darkroom("--aws", "redrive", "--json")
    assert result.exit_code == 1
    [done] = json.loads(result.stdout)
    assert (done["letter"], done["redriven"]) == (letter, False)
    assert left(target) == [letter]


@pytest.mark.usefixtures("target")
def test_an_empty_queue_is_a_success():
    result = darkroom("--aws", "redrive", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_a_picture_without_a_letter_is_no_success(target: Target):
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    result = darkroom("--aws", "redrive", "cat.jpg", "dog.jpg", "--json")
    assert result.exit_code == 1
    assert [done["key"] for done in json.loads(result.stdout)] == ["raw/cat.jpg"]
    assert "no dead letter for dog.jpg" in result.stderr
