"""Tell others that a row has become final: the event bus, the webhook's queue, or both.

DynamoDB's stream calls it with the rows' changes, those of one key in their order. What is wrong with one change is a
letter, and holds no other up. What keeps all of them from being told, such as a bus that cannot be reached, is raised:
the stream then comes with the same changes again.

`darkroom redrive` calls it with keys: it tells what their rows say now, so that no late event speaks of an old state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from functions.keys import NO_VERSION
from functions.links import rendition_url
from functions.results import Results, Typed, plain, results
from functions.telemetry import LambdaContext, logger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SOURCE = "darkroom"
TYPES = {
    "SUCCEEDED": "Picture Succeeded",
    "REJECTED": "Picture Rejected",
    "FAILED": "Picture Failed",
    "DELETED": "Picture Deleted",
}

# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
LARGEST_EVENT = 256 * 1024  # bytes of source, type and detail together
REFUSED = {"ValidationException", "RequestEntityTooLarge"}  # errors of a request that are of its one event
PASSING = {"ThrottlingException", "InternalFailure", "InternalException", "ServiceUnavailable"}  # of an event in it

ID_DIGITS = 32  # 128 bits
NOT_TOLD = {"webhook", "swept"}  # attributes that are of this telling, or of how the row came about

UNTOLD, WEBHOOK = "UNTOLD", "WEBHOOK"  # the reasons of letters: of one from here, of one from the webhook's queue


class Untellable(Exception):
    """Is about one row alone. `code` and text are the letter's error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


class BusUnavailable(Exception):
    """The event bus takes no event at the moment."""


@dataclass(frozen=True, slots=True)
class Services:
    """`bus` and `webhook_queue`: one of them may be missing, by the settings."""

    results: Results
    events: Any
    queues: SQSClient
    bus: str | None
    webhook_queue: str | None
    letters: str
    delivery: str | None  # the URL under which renditions are delivered
    stack: str


@cache
def services() -> Services:
    return Services(
        results(),
        boto3.client("events"),
        boto3.client("sqs"),
        os.environ.get("EVENT_BUS"),
        os.environ.get("WEBHOOK_QUEUE"),
        os.environ["DEAD_LETTER_QUEUE"],
        os.environ.get("DELIVERY_URL"),
        os.environ["STACK"],
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext, using: Services | None = None) -> dict[str, Any]:
    """The keys whose rows were told, and the errors of those that cannot be.

    `keys` are those of a redrive, which has a letter of each already; `webhook_only`: not to the event bus.
    """
    using = using or services()
    told: list[str] = []
    untold: dict[str, dict[str, str]] = {}
    for key, row in _asked_for(using, event["keys"]) if "keys" in event else _that_became_final(event["Records"]):
        logger.append_keys(key=key, execution=row.get("execution", {}).get("S"))
        try:
            _tell(using, row, on_bus=not event.get("webhook_only"))
            told.append(key)
        except Untellable as problem:
            logger.exception("not told")
            untold[key] = problem.error
            if "keys" not in event:
                _send(using, using.letters, UNTOLD, _letter(key, row, problem.error))
        except Exception:
            logger.exception("not told: this one and those behind it wait")
            raise
    return {"told": told, "untold": untold}


def _that_became_final(records: list[dict[str, Any]]) -> Iterator[tuple[str, Typed]]:
    """The mapping's filter leaves some that changed nothing of what is told: the webhook's answer, a write that the
    state machine tried again."""
    for record in records:
        change = record["dynamodb"]
        old, new = change.get("OldImage", {}), change.get("NewImage", {})
        identity = ("status", "version_id", "execution")
        if _is_final(new) and any(old.get(name) != new.get(name) for name in identity):
            yield change["Keys"]["key"]["S"], new


def _asked_for(using: Services, keys: list[str]) -> Iterator[tuple[str, Typed]]:
    """A row that is PROCESSING is told at its own end."""
    for key in keys:
        row = using.results.whole(key)
        if row and _is_final(row):
            yield key, row


def _is_final(row: Typed) -> bool:
    return row.get("status", {}).get("S") in TYPES


def _tell(using: Services, row: Typed, *, on_bus: bool) -> None:
    """Raises Untellable."""
    event = announcement(row, using.stack, using.delivery)
    if using.bus and on_bus:
        _put(using, event)
    if using.webhook_queue:
        _send(using, using.webhook_queue, WEBHOOK, event)
    logger.info("told", extra={"type": event["detail-type"], "id": event["detail"]["id"]})


def announcement(row: Typed, stack: str, delivery: str | None = None) -> dict[str, Any]:
    """The event as docs/schemas/event.json has it. Raises Untellable."""
    try:
        detail = plain({name: value for name, value in row.items() if name not in NOT_TOLD})
        renditions: Mapping[str, Any] = detail.get("renditions", {})
        files = sorted(one["key"] for one in renditions.values())  # others, if other settings made them
        identity = [detail["key"], detail["version_id"], detail["status"], *files]
        if detail["version_id"] == NO_VERSION:  # every upload of the key has that one
            identity.append(detail["sequencer"])
        detail["id"] = sha256(json.dumps(identity).encode()).hexdigest()[:ID_DIGITS]
        detail["stack"] = stack
        if delivery:
            detail["urls"] = {name: rendition_url(delivery, one["key"]) for name, one in renditions.items()}
        kind = TYPES[detail["status"]]
        size = len(SOURCE) + len(kind) + len(json.dumps(detail))  # which is ASCII
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise Untellable("UnknownRow", f"the row is not as the pipeline writes it: {problem!r}") from problem
    if size > LARGEST_EVENT:
        raise Untellable("TooLarge", f"{size:,} bytes, limit {LARGEST_EVENT:,}")
    return {"source": SOURCE, "detail-type": kind, "detail": detail}


def _put(using: Services, event: Mapping[str, Any]) -> None:
    """One alone in a request: of several, the ones behind one that is refused would go before it."""
    entry = {"Source": SOURCE, "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
    try:
        answer = using.events.put_events(Entries=[{**entry, "EventBusName": str(using.bus)}])
    except ClientError as problem:
        code, message = problem.response["Error"]["Code"], problem.response["Error"]["Message"]
        if code in REFUSED:
            raise Untellable(code, message) from problem
        raise
    if answer["FailedEntryCount"]:
        [refused] = answer["Entries"]
        code, message = refused.get("ErrorCode", ""), refused.get("ErrorMessage", "")
        raise BusUnavailable(f"{code}: {message}") if code in PASSING else Untellable(code, message)


def _letter(key: str, row: Typed, error: dict[str, str]) -> dict[str, Any]:
    """Without the row, which may be what is too large."""
    untold = {name: row[name]["S"] for name in ("status", "version_id") if "S" in row.get(name, {})}
    return {"key": key, "error": error, "execution": row.get("execution", {}).get("S"), "untold": untold}


def _send(using: Services, queue: str, reason: str, body: Mapping[str, Any]) -> None:
    """The reason of one for the webhook is read when it is a letter: SQS moves it as it is to the dead letters."""
    using.queues.send_message(
        QueueUrl=queue,
        MessageBody=json.dumps(body),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
    )
