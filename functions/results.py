"""Reads and writes the results table: the only file of the functions that knows DynamoDB.

The rows of pictures whose execution comes to its end are written by the state machine itself; those that are written
here are of executions that died.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


# As Claim compares them: the shorter one filled with zeros.
SEQUENCER_DIGITS = 40

# Of two calls for one execution, the second waits this long for the first to come to its end.
LEASE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Row:
    status: str
    renditions: frozenset[str]  # their keys


class Results:
    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def row(self, key: str) -> Row | None:
        """As it stands now: a consistent read."""
        answer = self._dynamodb.get_item(
            TableName=self._table,
            Key={"key": {"S": key}},
            ConsistentRead=True,
            ProjectionExpression="#status, renditions",
            ExpressionAttributeNames={"#status": "status"},
        )
        if "Item" not in answer:
            return None
        renditions = answer["Item"].get("renditions", {}).get("M", {})
        return Row(answer["Item"]["status"]["S"], frozenset(one["M"]["key"]["S"] for one in renditions.values()))

    def at_work_since(self, before: datetime) -> Iterator[dict[str, Any]]:
        """The rows that are PROCESSING and were last written before that time, oldest first, as DynamoDB types them."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="by-status",
            KeyConditionExpression="#status = :processing AND updated_at < :before",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":processing": {"S": "PROCESSING"}, ":before": {"S": _written(before)}},
        )
        for page in pages:
            yield from page["Items"]

    def take(self, event: Mapping[str, Any], execution: str, now: datetime, *, letter_owed: bool) -> bool:
        """Write the row as Claim would have, in the name of an execution that died, and say whether it was its to
        write: not so if a newer event has it, if it is settled, or if another call is at it or has been."""
        detail = event["detail"]["object"]
        values = {
            ":processing": "PROCESSING",
            ":unfinished": "FAILED" if letter_owed else "PROCESSING",
            ":failed": "FAILED",
            ":version_id": detail.get("version-id", "null"),
            ":etag": detail["etag"],
            ":sequencer": detail["sequencer"].ljust(SEQUENCER_DIGITS, "0"),
            ":execution": execution,
            ":redriven": str(event.get("redrives")),
            ":now": _written(now),
            ":expired": _written(now - LEASE),
        }
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"key": {"S": detail["key"]}},
                ConditionExpression=(
                    "attribute_not_exists(#key) OR sequencer < :sequencer OR execution = :redriven"
                    " OR (execution = :execution AND #status IN (:processing, :unfinished)"
                    " AND (attribute_not_exists(swept) OR (swept < :expired AND #status <> :failed)))"
                ),
                UpdateExpression=(
                    "SET #status = :processing, swept = :now, version_id = :version_id, etag = :etag, #size = :size,"
                    " sequencer = :sequencer, execution = :execution,"
                    " created_at = if_not_exists(created_at, :now), updated_at = :now"
                    " REMOVE #error, #format, width, height, frames, content_hash, placeholder, color, notes,"
                    " renditions, caption"
                ),
                ExpressionAttributeNames={
                    "#key": "key",
                    "#status": "status",
                    "#size": "size",
                    "#error": "error",
                    "#format": "format",
                },
                ExpressionAttributeValues={
                    ":size": {"N": str(detail["size"])},
                    **{name: {"S": value} for name, value in values.items()},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def fail(self, key: str, execution: str, error: Mapping[str, str], now: datetime) -> None:
        """Settle a row that was taken, unless a newer event has it by now."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"key": {"S": key}},
                ConditionExpression="execution = :execution AND swept = :now",
                UpdateExpression="SET #status = :failed, #error = :error",
                ExpressionAttributeNames={"#status": "status", "#error": "error"},
                ExpressionAttributeValues={
                    ":failed": {"S": "FAILED"},
                    ":error": {"M": {name: {"S": text} for name, text in error.items()}},
                    ":execution": {"S": execution},
                    ":now": {"S": _written(now)},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return


def _written(time: datetime) -> str:
    """As JSONata's `$now()` writes it, so that the texts compare."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


@cache
def results() -> Results:
    return Results(boto3.client("dynamodb"), os.environ["RESULTS_TABLE"])
