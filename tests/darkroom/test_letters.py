"""A dead letter sends its picture on its way again, and is gone only when that has begun."""

import json
from typing import Any

import pytest

from darkroom.pipeline.letters import count, recaption, redrive, redrive_letters
from darkroom.pipeline.target import Target
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
    monkeypatch.setattr("darkroom.pipeline.letters.WAIT_SECONDS", 0)


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
    monkeypatch.setattr("darkroom.pipeline.letters.HIDDEN_SECONDS", 0)
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


def test_a_key_that_nothing_is_known_of_is_no_success(target: Target):
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    result = darkroom("--aws", "redrive", "cat.jpg", "dog.jpg", "--json")
    assert result.exit_code == 1
    cat, dog = json.loads(result.stdout)
    assert (cat["key"], cat["redriven"]) == ("raw/cat.jpg", True)
    assert dog == {"key": "dog.jpg", "redriven": False, "problem": "no dead letter and no row"}


def test_a_key_that_has_a_row_is_not_suggested_to_who_gave_it(target: Target):
    target.results.put_item(Item={"key": "raw/cat.jpg", "status": "SUCCEEDED", "updated_at": "2024-05-01T10:00:00Z"})
    assert "did you mean" not in darkroom("--aws", "redrive", "cat.jpg").stderr
    assert "cta.jpg: did you mean 'raw/cat.jpg'?" in darkroom("--aws", "redrive", "cta.jpg").stderr


def test_an_error_that_many_letters_have_is_said_once_with_its_count(target: Target):
    for number in range(12):
        error = {"code": "RuntimeError", "message": json.dumps({"errorMessage": "no room"})}
        put(target, {**pipelines(f"raw/{number}.jpg"), "error": error}, reason="FAILED")
    result = darkroom("--aws", "redrive", "--dry-run")
    assert "RuntimeError: no room (12 times)" in result.stderr
    assert "no room" not in result.stdout
    assert result.stdout.count("raw/") == 12


def put_row(target: Target, key: str, status: str, **more: Any) -> dict[str, Any]:
    """The row that an execution left behind, with that execution."""
    machine = target.output("StateMachineArn")
    given = json.dumps({**event(key), "id": "original"})
    name = f"first-{key.rpartition('/')[2]}"
    execution = target.states.start_execution(stateMachineArn=machine, name=name, input=given)["executionArn"]
    row = {
        "key": key,
        "status": status,
        "execution": execution,
        "updated_at": "2026-11-24T10:00:00.000Z",
        **({"error": {"code": "Lambda.Unknown", "message": "it died"}} if status in ("FAILED", "REJECTED") else {}),
        **more,
    }
    target.results.put_item(Item=row)
    return row


def redriven(target: Target) -> list[dict[str, Any]]:
    return [given for given in inputs(target) if "redrives" in given]


def test_a_failed_row_without_a_letter_is_redriven_with_the_event_of_its_execution(target: Target):
    row = put_row(target, "raw/cat.jpg", "FAILED")
    put_row(target, "raw/dog.jpg", "SUCCEEDED")
    [done] = redrive(target, failed=True)
    assert (done["key"], done["reason"], done["error"]["code"]) == ("raw/cat.jpg", "FAILED", "Lambda.Unknown")
    assert redriven(target) == [{**event("raw/cat.jpg"), "id": "original", "redrives": row["execution"]}]


def test_the_event_of_a_forgotten_execution_is_what_the_row_remembers(target: Target):
    """Step Functions forgets an execution after 90 days."""
    forgotten = put_row(target, "raw/cat.jpg", "SUCCEEDED")["execution"].replace("first", "forgotten")
    of_picture = {"version_id": "3", "etag": "abc", "size": 42, "sequencer": "00A1".ljust(40, "0")}
    put_row(target, "raw/dog.jpg", "FAILED", **of_picture, execution=forgotten)
    list(redrive(target, failed=True))
    [given] = redriven(target)
    assert given["detail-type"] == "Object Created"
    assert given["detail"] == {
        "bucket": {"name": "uploads"},
        "object": {
            "key": "raw/dog.jpg",
            "version-id": "3",
            "etag": "abc",
            "size": 42,
            "sequencer": of_picture["sequencer"],
        },
    }
    assert given["redrives"] == forgotten


def test_a_failed_picture_with_a_letter_is_started_once(target: Target):
    """And its letter is deleted; a letter of a picture that has not failed stays."""
    row = put_row(target, "raw/cat.jpg", "FAILED")
    put_row(target, "raw/dog.jpg", "SUCCEEDED")
    put(target, {**pipelines("raw/cat.jpg"), "execution": row["execution"]}, reason="FAILED")
    other = put(target, pipelines("raw/dog.jpg"), reason="FAILED")
    [done] = redrive(target, failed=True)
    assert done["letter"]
    assert [given["redrives"] for given in redriven(target)] == [row["execution"]]
    assert left(target) == [other]


def test_a_failed_picture_is_redriven_by_name_also_without_a_letter(target: Target):
    put_row(target, "raw/cat.jpg", "FAILED")
    put_row(target, "raw/dog.jpg", "FAILED")
    assert [done["key"] for done in redrive(target, ["cat.jpg"])] == ["raw/cat.jpg"]
    assert len(redriven(target)) == 1


@pytest.mark.parametrize("status", ["SUCCEEDED", "REJECTED", "PROCESSING", "DELETED"])
def test_a_picture_that_has_not_failed_is_left_alone(status: str, target: Target):
    """Also if it is named: its row says why."""
    put_row(target, "raw/cat.jpg", status)
    assert list(redrive(target, failed=True)) == []
    [done] = redrive(target, ["cat.jpg"])
    assert done["problem"] == f"no dead letter, and its row is {status}"
    assert redriven(target) == []


def test_rejected_pictures_are_redriven_only_when_included(target: Target):
    rejected = put_row(target, "raw/big.jpg", "REJECTED")
    put_row(target, "raw/bad.jpg", "REJECTED")
    assert list(redrive(target)) == []
    [done] = redrive(target, ["big.jpg"], rejected=True)
    assert (done["key"], done["reason"]) == ("raw/big.jpg", "REJECTED")
    assert [given["redrives"] for given in redriven(target)] == [rejected["execution"]]
    assert len(list(redrive(target, rejected=True))) == 2


def test_a_row_that_is_redriven_twice_starts_one_execution(target: Target):
    """As long as that one runs: the row says FAILED until it has claimed it."""
    put_row(target, "raw/cat.jpg", "FAILED")
    [first], [second] = redrive(target, failed=True), redrive(target, failed=True)
    assert first["execution"] == second["execution"]
    assert len(redriven(target)) == 1


def test_a_row_whose_redrive_died_before_its_claim_is_redriven_again(target: Target):
    put_row(target, "raw/cat.jpg", "FAILED")
    [first] = redrive(target, failed=True)
    target.states.stop_execution(executionArn=first["execution"])
    [second] = redrive(target, failed=True)
    assert first["execution"] != second["execution"]
    assert len(redriven(target)) == 2


def test_the_letter_of_a_redrive_that_died_before_its_claim_takes_the_row_from_its_owner(target: Target):
    """Else Claim would take it for a duplicate, and the letter would be gone for nothing."""
    row = put_row(target, "raw/cat.jpg", "FAILED")
    letter = pipelines("raw/cat.jpg")
    put(target, {**letter, "event": {**letter["event"], "redrives": row["execution"]}}, reason="FAILED")
    list(redrive(target))
    assert [given["redrives"] for given in redriven(target)] == [row["execution"]]


def test_a_dry_run_starts_nothing_and_leaves_every_letter_visible(target: Target):
    letters = {put(target, pipelines(f"raw/{number}.jpg"), reason="FAILED") for number in range(12)}
    put_row(target, "raw/cat.jpg", "FAILED")
    result = darkroom("--aws", "redrive", "cat.jpg", *(f"{number}.jpg" for number in range(12)), "--dry-run", "--json")
    assert result.exit_code == 0
    done = json.loads(result.stdout)
    assert len(done) == 13
    assert not any(one["redriven"] or one["execution"] for one in done)
    assert redriven(target) == []
    assert {*left(target), *left(target)} == letters


def test_a_dry_run_asks_step_functions_nothing(target: Target, monkeypatch: pytest.MonkeyPatch):
    """Of thousands of rows it would take the account's quota away from the sweep."""
    put_row(target, "raw/cat.jpg", "FAILED")
    shown = {"shown_version_id": "v1", "renditions": {"small": {"key": "dog.jpg/1/small.webp"}}}
    put_row(target, "raw/dog.jpg", "SUCCEEDED", caption={"status": "FAILED", "reason": "busy"}, **shown)
    monkeypatch.setattr(target, "states", None)
    assert [one["key"] for one in redrive(target, failed=True, dry_run=True)] == ["raw/cat.jpg"]
    assert [one["key"] for one in recaption(target, captions=["FAILED"], dry_run=True)] == ["raw/dog.jpg"]


def test_executions_are_started_at_a_bounded_rate(target: Target, monkeypatch: pytest.MonkeyPatch):
    for name in ("cat", "dog", "emu"):
        put(target, pipelines(f"raw/{name}.jpg"), reason="FAILED")
    slept: list[float] = []
    monkeypatch.setattr("darkroom.pipeline.letters.monotonic", lambda: 0.0)
    monkeypatch.setattr("darkroom.pipeline.letters.sleep", slept.append)
    assert len(list(redrive(target, rate=4))) == 3
    assert slept == [0.25, 0.25]


def test_an_interrupt_leaves_the_rest_in_the_queue_and_says_what_was_done(
    target: Target, monkeypatch: pytest.MonkeyPatch
):
    letters = {put(target, pipelines(f"raw/{name}.jpg"), reason="FAILED") for name in ("cat", "dog", "emu")}

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("darkroom.pipeline.letters.sleep", interrupt)
    result = darkroom("--aws", "redrive", "--json")
    assert result.exit_code != 0
    [done] = json.loads(result.stdout)
    assert done["redriven"]
    assert set(left(target)) == letters - {done["letter"]}


def test_a_picture_that_fails_again_at_once_is_left_for_the_next_time(target: Target, monkeypatch: pytest.MonkeyPatch):
    """As long as the fault is there, each redrive sends a new letter: without an end."""
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    start = target.states.start_execution

    def fail(**arguments: Any) -> Any:
        started = start(**arguments)
        put(target, {**pipelines("raw/cat.jpg"), "execution": started["executionArn"]}, reason="FAILED")
        return started

    monkeypatch.setattr(target.states, "start_execution", fail)
    assert len(list(redrive(target))) == 1
    assert len(left(target)) == 1


def test_a_letters_reason_and_a_rows_status_are_not_mixed():
    assert darkroom("--aws", "redrive", "--reason", "STALLED", "--status", "FAILED").exit_code == 2


def test_a_redrive_of_chosen_letters_is_stopped_while_it_still_looks_for_them(target: Target):
    """It gives nothing back until it has found one, and the queue may be long. None of it is lost or hidden."""
    for number in range(25):
        put(target, pipelines(f"raw/{number}.jpg"), reason="FAILED")
    looked = iter([False, False, True])
    assert list(redrive_letters(target, {"not there"}, stopped=lambda: next(looked))) == []
    assert next(looked, "asked no more") == "asked no more"
    assert count(target) == (25, 0)
