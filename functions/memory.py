"""What the sweep remembers from one scheduled call to the next: one item, in a table of its own.

It says until when a sweep is at work, so that no other works beside it, and which executions it need not look at again.
"""

from __future__ import annotations

import os
from collections.abc import Set
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BYTES_OF_A_MARK = 8
MOST = 45_000  # marks, 360 KB: an item of DynamoDB has at most 400


def mark(execution: str) -> bytes:
    return blake2b(execution.encode(), digest_size=BYTES_OF_A_MARK).digest()


class Memory:
    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def begin(self, now: datetime, until: datetime) -> Set[bytes] | None:
        """The marks of what was looked at; None while another is at work. Who dies is at work until its time is up."""
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key={"name": {"S": "sweep"}},
                ConditionExpression="attribute_not_exists(at_work_until) OR at_work_until <= :now",
                UpdateExpression="SET at_work_until = :until",
                ExpressionAttributeValues={":now": _milliseconds(now), ":until": _milliseconds(until)},
                ReturnValues="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return None
        marks = answer.get("Attributes", {}).get("looked_at", {}).get("B", b"")
        return {marks[at : at + BYTES_OF_A_MARK] for at in range(0, len(marks), BYTES_OF_A_MARK)}

    def end(self, looked_at: Set[bytes]) -> None:
        """Of more marks than there is room for, some are left out: those are looked at once more."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"name": {"S": "sweep"}},
            UpdateExpression="SET looked_at = :looked_at REMOVE at_work_until",
            ExpressionAttributeValues={":looked_at": {"B": b"".join(list(looked_at)[:MOST])}},
        )


def _milliseconds(time: datetime) -> dict[str, str]:
    return {"N": str(int(time.timestamp() * 1000))}


@cache
def memory() -> Memory:
    return Memory(boto3.client("dynamodb"), os.environ["SWEEPS_TABLE"])
