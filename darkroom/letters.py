"""Where a picture's way broke off: read the dead letters and send their pictures on their way again."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from darkroom.target import Target

# While this long nobody else is given a letter that was read: time to start its execution, and many more.
HIDDEN_SECONDS = 120
WAIT_SECONDS = 1  # makes SQS ask all its servers; without it a short queue may look empty
COLUMNS = ("picture", "reason", "error", "execution")


class UnreadableLetter(ValueError):
    """Its text says what it lacks."""


@dataclass(frozen=True)
class Letter:
    id: str
    receipt: str
    key: str
    reason: str
    error: dict[str, str]
    event: dict[str, Any]
    execution: str | None  # that failed; none where EventBridge could start none


def read_letter(message: Any) -> Letter:
    """One SQS message: the pipeline's own letter, or the bare event that EventBridge could not deliver.

    EventBridge says why in the attributes ERROR_CODE and ERROR_MESSAGE:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html. Raises UnreadableLetter.
    """
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    try:
        body = json.loads(message["Body"])
        own = "event" in body
        event = body["event"] if own else body
        key = event["detail"]["object"]["key"]
    except (ValueError, KeyError, TypeError) as problem:
        raise UnreadableLetter(f"neither a dead letter of the pipeline nor an undelivered event: {problem!r}") from None
    if own:
        reason, error, execution = attributes.get("reason", "FAILED"), body.get("error", {}), body.get("execution")
    else:
        reason, execution = "UNDELIVERED", None
        error = {"code": attributes.get("ERROR_CODE", ""), "message": attributes.get("ERROR_MESSAGE", "")}
    return Letter(message["MessageId"], message["ReceiptHandle"], key, reason, error, event, execution)


def redrive(target: Target, keys: Iterable[str] = (), reason: str | None = None) -> Iterator[dict[str, Any]]:
    """Start again the pictures that have letters, or these keys, or this reason; what became of each.

    A letter is deleted only after its execution was started. That is named after the letter: one which comes
    twice starts one. Those not asked for, and unreadable ones, go back into the queue.
    """
    queue = target.output("DeadLetterQueueUrl")
    wanted = {name for key in keys for name in (key, target.upload_prefix + key)}
    held: list[str] = []  # what was read and not deleted
    try:
        while messages := _read(target, queue):
            held += [message["ReceiptHandle"] for message in messages]
            for message in messages:
                try:
                    letter = read_letter(message)
                except UnreadableLetter as problem:
                    yield {"letter": message["MessageId"], "redriven": False, "problem": str(problem)}
                    continue
                if (wanted and letter.key not in wanted) or reason not in (None, letter.reason):
                    continue
                execution = _start(target, letter)
                target.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter.receipt)
                held.remove(letter.receipt)
                yield {
                    "letter": letter.id,
                    "redriven": True,
                    "key": letter.key,
                    "reason": letter.reason,
                    "error": letter.error,
                    "execution": execution,
                }
    finally:
        for receipt in held:
            target.sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=receipt, VisibilityTimeout=0)


def line(done: dict[str, Any]) -> Sequence[object]:
    """What happened to a letter as a line of a table with COLUMNS."""
    if not done["redriven"]:
        return (f"letter {done['letter']}", "UNREADABLE", done["problem"], "")
    error = done["error"]
    return (done["key"], done["reason"], f"{error.get('code')}: {error.get('message')}", done["execution"])


def _read(target: Target, queue: str) -> list[Any]:
    answer = target.sqs.receive_message(
        QueueUrl=queue,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        VisibilityTimeout=HIDDEN_SECONDS,
        WaitTimeSeconds=WAIT_SECONDS,
    )
    return list(answer.get("Messages", []))


def _start(target: Target, letter: Letter) -> str:
    """The new execution may take the picture's row over from the one that it `redrives`, and from no other."""
    deletion = letter.event.get("detail-type") == "Object Deleted"
    machine = target.output("DeletionStateMachineArn" if deletion else "StateMachineArn")
    name = f"redrive-{letter.id}"
    event = {**letter.event, "redrives": letter.execution} if letter.execution else letter.event
    try:
        started = target.states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(event))
        return started["executionArn"]
    except target.states.exceptions.ExecutionAlreadyExists:
        return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
