"""Finish what an execution left unfinished where no Catch could: its row is settled, and one letter is sent.

Called by Step Functions' own event that an execution failed, timed out or was aborted, which AWS delivers at best
effort; and on a schedule, which asks nobody: it looks at the rows that are PROCESSING for longer than an execution may
last, and at every execution that ended badly in the last hours. Each may so be looked at many times, and is finished
once: the row remembers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import boto3

from functions.executions import Ended, Executions, executions
from functions.keys import LONGEST_KEY
from functions.results import Results, results
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# The texts that an event tells of its object, if it has a row.
IDENTITY = {"Object Created": {"key", "etag", "sequencer"}, "Object Deleted": {"key", "sequencer"}}

LARGEST_NUMBER = 10**38  # DynamoDB keeps 38 digits

# How long an execution that ended badly is looked at again: longer than queue and table are away together.
LOOKS_BACK = timedelta(hours=3)
FORGOTTEN = {"code": "STALLED", "message": "the row was left PROCESSING, and its execution is not known any more"}


@dataclass(frozen=True, slots=True)
class Services:
    executions: Executions
    results: Results
    letters: SQSClient


@cache
def services() -> Services:
    return Services(executions(), results(), boto3.client("sqs"))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext, using: Services | None = None) -> dict[str, str]:
    """What became of each execution that was looked at."""
    using = using or services()
    if event["source"] == "aws.states":
        execution = event["detail"]["executionArn"]
        ended = using.executions.ended(execution)
        if ended is None:  # an answer may be older than the event; after an error Lambda calls again
            raise RuntimeError(f"{execution} has ended, and Step Functions still says RUNNING")
        return {execution: _finish(using, ended, told=True)}
    became: dict[str, str] = {}
    problems: list[Exception] = []
    try:
        for execution, look in _suspects(using):
            logger.append_keys(key=None, execution=execution)
            try:
                became[execution] = _finish(using, look(), told=False)
            except Exception as problem:  # one that cannot be finished does not keep the others waiting
                logger.exception("not finished")
                problems.append(problem)
    except Exception as problem:  # what was listed until then is finished
        logger.append_keys(key=None, execution=None)
        logger.exception("not listed")
        problems.append(problem)
    if problems:
        raise ExceptionGroup("not finished: the next sweep tries again", problems)
    return became


def _suspects(using: Services) -> Iterator[tuple[str, Callable[[], Ended | None]]]:
    """The ARN of each execution, with how to ask what became of it: first those of rows, which ask for no listing."""
    since = datetime.now(UTC) - timedelta(seconds=int(os.environ["LONGEST_EXECUTION_SECONDS"]))
    rows = {row["execution"]["S"]: partial(_ended, using, row) for row in using.results.at_work_since(since)}
    metrics.add_metric("Stalled", MetricUnit.Count, len(rows))  # also none: an alarm of it clears by that
    yield from rows.items()
    for arn in using.executions.ended_badly(since - LOOKS_BACK):
        if arn not in rows:
            yield arn, partial(using.executions.ended, arn)


def _ended(using: Services, row: Mapping[str, Any]) -> Ended | None:
    """The execution of a row; where Step Functions has forgotten it, what the row itself remembers."""
    arn = row["execution"]["S"]
    try:
        return using.executions.ended(arn)
    except LookupError:
        return Ended(arn, "STALLED", _event(row), FORGOTTEN, has_sent_its_letter=False)


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event of the upload or of the deletion, as far as the pipeline reads it. Which kind of deletion it was no
    longer matters: the row is its own already."""
    members = {"key": "key", "version_id": "version-id", "sequencer": "sequencer"}
    picture: dict[str, Any] = {theirs: row[ours]["S"] for ours, theirs in members.items()}
    detail = {"bucket": {"name": os.environ["UPLOADS_BUCKET"]}, "object": picture}
    if "etag" not in row:
        deleted = {**detail, "deletion-type": "Delete Marker Created"}
        return {"source": "aws.s3", "detail-type": "Object Deleted", "detail": deleted}
    picture |= {"etag": row["etag"]["S"], "size": int(row["size"]["N"])}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _finish(using: Services, ended: Ended | None, *, told: bool) -> str:
    """The row is taken first and settled last: who comes second finds it taken, and who dies between is followed by
    the schedule. Without a row nothing remembers, so that only who was told of it sends the letter."""
    if ended is None:
        return "RUNNING"
    logger.append_keys(key=_told_of(ended.event, "object", "key"), execution=ended.arn)
    has_row, now = _has_row(ended.event), datetime.now(UTC)
    owed = not ended.has_sent_its_letter
    mine = using.results.take(ended.event, ended.arn, now, letter_owed=owed) if has_row else told and owed
    if not mine:
        return "SETTLED"
    if owed:
        _send_letter(using, ended)
    if has_row:
        using.results.settle(ended.event, ended.arn, ended.error, now)
    metrics.add_metric("Swept", MetricUnit.Count, 1)
    logger.warning("finished what an execution left", extra={"how": ended.how, "letter": owed})
    return ended.how


def _has_row(event: Any) -> bool:
    """Whether the row can be written. An event that lacks one of these, or has what S3 or the table does not take, was
    not sent by S3, and there is no telling which event of its key is newer."""
    kind = str(event.get("detail-type")) if isinstance(event, dict) else ""
    if kind not in IDENTITY:
        return False
    texts = [_told_of(event, "object", name) for name in IDENTITY[kind]]
    texts.append(_told_of(event, "object", "version-id") or "null")  # a bucket may have none
    texts.append(str(event.get("redrives") or None))
    size = 0 if kind == "Object Deleted" else _told_of(event, "object", "size")
    return (
        all(_bytes_of(text) for text in texts)
        and _bytes_of(_told_of(event, "object", "key")) <= LONGEST_KEY
        and type(size) is int  # True is an int too
        and 0 <= size < LARGEST_NUMBER
    )


def _bytes_of(text: Any) -> int:
    """In UTF-8; 0 also of what is no text, and of a text with half a character."""
    try:
        return len(text.encode()) if isinstance(text, str) else 0
    except UnicodeEncodeError:
        return 0


def _told_of(event: Any, *path: str) -> Any:
    """What stands there in the event's detail; None where nothing does, whatever the event is."""
    for name in ("detail", *path):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def _send_letter(using: Services, ended: Ended) -> None:
    """The state machine's own letter, with how the execution ended for a reason."""
    body = {
        "key": _told_of(ended.event, "object", "key"),
        "bucket": _told_of(ended.event, "bucket", "name"),
        "error": ended.error,
        "execution": ended.arn,
        "event": ended.event,
    }
    using.letters.send_message(
        QueueUrl=os.environ["DEAD_LETTER_QUEUE"],
        MessageBody=json.dumps(body),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": ended.how}},
    )
