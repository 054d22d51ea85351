"""Finish what an execution left unfinished where no Catch could: its row becomes FAILED, and one letter is sent.

Called by Step Functions' own event that an execution failed, timed out or was aborted, which AWS delivers at best
effort, and on a schedule, to look for rows that are PROCESSING for longer than an execution may last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from functions.executions import Ended, Executions, executions
from functions.results import Results, results
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

IDENTITY = {"key", "etag", "size", "sequencer"}  # what every event of an uploaded object has
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
    using, now = using or services(), datetime.now(UTC)
    if event["source"] == "aws.states":
        execution = event["detail"]["executionArn"]
        return {execution: _finish(using, using.executions.ended(execution), now)}
    longest = timedelta(seconds=int(os.environ["LONGEST_EXECUTION_SECONDS"]))
    rows = list(using.results.at_work_since(now - longest))
    metrics.add_metric("Stalled", MetricUnit.Count, len(rows))  # also none: an alarm of it clears by that
    return {row["execution"]["S"]: _finish(using, _ended(using, row), now) for row in rows}


def _ended(using: Services, row: Mapping[str, Any]) -> Ended | None:
    """The execution of a row; where Step Functions has forgotten it, what the row itself remembers."""
    arn = row["execution"]["S"]
    try:
        return using.executions.ended(arn)
    except LookupError:
        return Ended(arn, "STALLED", _event(row), FORGOTTEN, has_sent_its_letter=False)


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    """The upload's event as far as the pipeline reads it."""
    members = {"key": "key", "etag": "etag", "version_id": "version-id", "sequencer": "sequencer"}
    picture = {theirs: row[ours]["S"] for ours, theirs in members.items()}
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": os.environ["UPLOADS_BUCKET"]},
            "object": {**picture, "size": int(row["size"]["N"])},
        },
    }


def _finish(using: Services, ended: Ended | None, now: datetime) -> str:
    """The row is taken first and settled last: who comes second finds it taken, and who dies between is followed by
    the schedule."""
    if ended is None:
        return "RUNNING"
    picture = ended.event.get("detail", {}).get("object", {})
    logger.append_keys(key=picture.get("key"), execution=ended.arn)
    # A deletion's row is settled by its first state, and an event that is not S3's has none.
    has_row = ended.event.get("detail-type") == "Object Created" and picture.keys() >= IDENTITY
    owed = not ended.has_sent_its_letter
    if has_row and not using.results.take(ended.event, ended.arn, now, letter_owed=owed):
        return "SETTLED"
    if owed:
        _send_letter(using, ended)
    if has_row:
        using.results.fail(picture["key"], ended.arn, ended.error, now)
    metrics.add_metric("Swept", MetricUnit.Count, 1)
    logger.warning("finished what an execution left", extra={"how": ended.how, "letter": owed})
    return ended.how


def _send_letter(using: Services, ended: Ended) -> None:
    """The state machine's own letter, with how the execution ended for a reason."""
    detail = ended.event.get("detail", {})
    body = {
        "key": detail.get("object", {}).get("key"),
        "bucket": detail.get("bucket", {}).get("name"),
        "error": ended.error,
        "execution": ended.arn,
        "event": ended.event,
    }
    using.letters.send_message(
        QueueUrl=os.environ["DEAD_LETTER_QUEUE"],
        MessageBody=json.dumps(body),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": ended.how}},
    )
