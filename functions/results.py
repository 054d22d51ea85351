"""Reads the results table: the only file of the functions that knows DynamoDB."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


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


@cache
def results() -> Results:
    return Results(boto3.client("dynamodb"), os.environ["RESULTS_TABLE"])
