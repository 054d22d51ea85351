"""Reads and writes the results table: the only file of the functions that knows DynamoDB.

The rows of pictures whose execution comes to its end are written by the state machine itself; those that are written
here are of executions that died.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


Typed = dict[str, Any]  # a row as DynamoDB types it: {"size": {"N": "480"}}

# As Claim compares them: the shorter one filled with zeros.
SEQUENCER_DIGITS = 40

# Of two calls for one execution, the second is turned away for as long as this after the first. If the first broke off,
# the schedule's next sweep after that follows it.
LEASE = timedelta(minutes=5)

A_WHILE = 0.2  # seconds, until DynamoDB is asked for what it has not given

# What a row shows: all that Record writes of the last version that succeeded. A deletion alone takes it away.
SHOWN = (
    "#format, width, height, frames, content_hash, placeholder, color, perceptual_hash, notes, metadata,"
    " renditions, recipe, caption, shown_version_id"
)

# What tells whether a picture needs work.
JUDGED_BY = (
    "#key, #status, version_id, etag, sequencer, execution, updated_at, recipe, shown_version_id, content_hash,"
    " caption.#status"
)
SHOWS_NO_OTHER = "(attribute_not_exists(shown_version_id) OR shown_version_id = :version_id)"


@dataclass(frozen=True, slots=True)
class Row:
    status: str
    renditions: frozenset[str]  # the keys of those that it shows, whatever its status


@dataclass(frozen=True, slots=True)
class File:
    """One of the row's renditions."""

    key: str
    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Shown:
    """The version of a picture that is shown: the newest that succeeded. `etag` is only known while no other version is
    newer; width and height are the original's, upright."""

    version_id: str
    etag: str
    width: int
    height: int
    renditions: Mapping[str, File]


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

    def picture(self, key: str) -> dict[str, Any] | None:
        """The whole row, in plain types, as it stands now: a consistent read."""
        answer = self._dynamodb.get_item(TableName=self._table, Key={"key": {"S": key}}, ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    def of(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows of at most 100 keys, which DynamoDB gives at once, in plain types, as they stand now, by their keys.
        What they show is not among it."""
        found: dict[str, dict[str, Any]] = {}
        wanted: Any = {
            "Keys": [{"key": {"S": key}} for key in keys],
            "ConsistentRead": True,
            "ProjectionExpression": JUDGED_BY,
            "ExpressionAttributeNames": {"#key": "key", "#status": "status"},
        }
        while wanted["Keys"]:
            answer = self._dynamodb.batch_get_item(RequestItems={self._table: wanted})
            found |= {row["key"]: row for row in map(plain, answer["Responses"][self._table])}
            wanted = answer["UnprocessedKeys"].get(self._table, {"Keys": []})  # of more than 16 MB, or throttled
            if wanted["Keys"]:
                time.sleep(A_WHILE)
        return found

    def newest(
        self, statuses: Sequence[str], *, since: str, until: str, limit: int, after: Mapping[str, Mapping[str, str]]
    ) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]] | None]:
        """Whole rows of these statuses, the newest change first, and where the next page begins, by status; None at the
        end. `since` and `until` are beginnings of `updated_at`, none of them whole. A row that changes while pages are
        read may be missed.

        Raises ValueError for an `after` that is of other statuses or times.
        """
        found = [
            row
            for status in statuses
            for row in islice(self._of_status(status, since, until, limit + 1, after.get(status)), limit + 1)
        ]
        found.sort(key=lambda row: str(row["updated_at"]), reverse=True)
        shown = found[:limit]
        last = {row["status"]: {"key": row["key"], "updated_at": row["updated_at"]} for row in shown}
        return shown, {**{status: dict(place) for status, place in after.items()}, **last} if found[limit:] else None

    def _of_status(
        self, status: str, since: str, until: str, at_once: int, after: Mapping[str, str] | None
    ) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": "by-status",
            "KeyConditionExpression": "#status = :status AND updated_at BETWEEN :since AND :until",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":status": {"S": status}, ":since": {"S": since}, ":until": {"S": until}},
            "ScanIndexForward": False,
            "Limit": at_once,
        }
        if after:
            place = {name: {"S": text} for name, text in after.items()}
            request["ExclusiveStartKey"] = {"status": {"S": status}, **place}
        pages = self._dynamodb.get_paginator("query").paginate(**request)
        try:
            for page in pages:
                yield from map(plain, page["Items"])
        except self._dynamodb.exceptions.ClientError as error:
            if after and error.response["Error"]["Code"] == "ValidationException":
                raise ValueError(after) from error
            raise

    def shown(self, key: str) -> Shown | None:
        """As it stands now: a consistent read."""
        answer = self._dynamodb.get_item(
            TableName=self._table,
            Key={"key": {"S": key}},
            ConsistentRead=True,
            ProjectionExpression="#status, version_id, shown_version_id, etag, width, height, renditions",
            ExpressionAttributeNames={"#status": "status"},
        )
        row = answer.get("Item", {})
        newest = row.get("status", {}).get("S") == "SUCCEEDED"
        version = row.get("shown_version_id") or (row.get("version_id") if newest else None)
        if version is None or not row.get("renditions", {}).get("M"):
            return None
        return Shown(
            version_id=version["S"],
            etag=row.get("etag", {}).get("S", "") if newest else "",
            width=int(row["width"]["N"]),
            height=int(row["height"]["N"]),
            renditions={name: _file(one["M"]) for name, one in row["renditions"]["M"].items()},
        )

    def whole(self, key: str) -> Typed | None:
        """All that is in the row as it stands now, as DynamoDB types it."""
        answer = self._dynamodb.get_item(TableName=self._table, Key={"key": {"S": key}}, ConsistentRead=True)
        return answer.get("Item")

    def keep_answer(self, key: str, answer: Mapping[str, str | int]) -> None:
        """What the webhook answered last, beside what the row says; a row that is gone stays gone."""
        typed = {name: {"N": str(one)} if isinstance(one, int) else {"S": one} for name, one in answer.items()}
        self._write(
            key,
            condition="attribute_exists(#status)",
            update="SET webhook = :answer",
            names={"#status": "status"},
            values={":answer": {"M": typed}},
        )

    def at_work_since(self, before: datetime) -> Iterator[dict[str, Any]]:
        """The rows that are PROCESSING and were last written before that time, oldest first, as DynamoDB types them."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="by-status",
            KeyConditionExpression="#status = :processing AND updated_at < :before",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":processing": {"S": "PROCESSING"}, ":before": {"S": written(before)}},
        )
        for page in pages:
            yield from page["Items"]

    def take(self, event: Mapping[str, Any], execution: str, now: datetime, *, letter_owed: bool) -> bool:
        """Write the row as the first state would have, in the name of an execution that died, and say whether it was
        its to write: not so if a newer event has it, if it is settled, or if another call is at it or has been.

        PROCESSING is what the schedule finds, should the caller die too. A row that is final already may still owe a
        letter, once; then nothing but `swept` tells that it was sent. What the row shows stays, unless it is deleted.
        """
        detail = event["detail"]["object"]
        final, of_upload, of_a_version = _final(event), event["detail-type"] == "Object Created", _of_a_version(event)
        texts = {
            ":processing": "PROCESSING",
            ":unfinished": final if letter_owed else "PROCESSING",
            ":version_id": detail.get("version-id") or "null",
            ":sequencer": detail["sequencer"].ljust(SEQUENCER_DIGITS, "0"),
            ":execution": execution,
            ":redriven": str(event.get("redrives")),
            ":now": written(now),
            ":expired": written(now - LEASE),
            **({":etag": detail["etag"]} if of_upload else {}),
        }
        values: dict[str, Any] = {name: {"S": value} for name, value in texts.items()}
        if of_upload:
            values[":size"] = {"N": str(detail["size"])}
        taken = self._write(
            detail["key"],
            condition=(
                f"({_older_rows(event)} OR execution = :redriven"
                " OR (execution = :execution AND #status IN (:processing, :unfinished)"
                " AND (attribute_not_exists(swept) OR (swept < :expired AND #status = :processing))))"
                + (f" AND {SHOWS_NO_OTHER}" if of_a_version else "")
            ),
            update=(
                "SET #status = :processing, swept = :now, version_id = :version_id, sequencer = :sequencer,"
                " execution = :execution, created_at = if_not_exists(created_at, :now), updated_at = :now"
                + (
                    ", etag = :etag, #size = :size REMOVE #error"
                    if of_upload
                    else f" REMOVE #error, etag, #size, {SHOWN}"
                )
            ),
            names={"#status": "status", "#size": "size", "#error": "error"}
            | ({} if of_upload else {"#format": "format"}),
            values=values,
        )
        return taken or (of_a_version and self._withdraw(event, execution, now, letter_owed=letter_owed))

    def _withdraw(self, event: Mapping[str, Any], execution: str, now: datetime, *, letter_owed: bool) -> bool:
        """As the deletion's Withdraw: where the version that was removed is the newest, but not the one that is shown,
        the row speaks of that one again, and is final. If the dead execution had done so, it still owes a letter, once:
        it may not have looked what is left of the picture."""
        detail = event["detail"]["object"]
        texts = {
            ":succeeded": "SUCCEEDED",
            ":version_id": detail["version-id"],
            ":sequencer": detail["sequencer"].ljust(SEQUENCER_DIGITS, "0"),
            ":execution": execution,
            ":redriven": str(event.get("redrives")),
            ":now": written(now),
        }
        return self._write(
            detail["key"],
            condition=(
                "attribute_exists(shown_version_id) AND (execution = :redriven"
                f" OR {_older_rows(event)}"
                + (" OR (execution = :execution AND attribute_not_exists(swept)))" if letter_owed else ")")
            ),
            update=(
                "SET #status = :succeeded, swept = :now, version_id = shown_version_id, sequencer = :sequencer,"
                " execution = :execution, updated_at = :now REMOVE #error, etag, #size"
            ),
            names={"#status": "status", "#size": "size", "#error": "error"},
            values={name: {"S": value} for name, value in texts.items()},
        )

    def settle(self, event: Mapping[str, Any], execution: str, error: Mapping[str, str], now: datetime) -> None:
        """The end of a row that was taken, unless a newer event has it by now, or a write of the dead execution itself
        arrived late: an upload's says what went wrong."""
        final = _final(event)
        failed = final == "FAILED"
        values: dict[str, Any] = {
            ":processing": {"S": "PROCESSING"},
            ":final": {"S": final},
            ":execution": {"S": execution},
            ":now": {"S": written(now)},
        }
        if failed:
            values[":error"] = {"M": {name: {"S": text} for name, text in error.items()}}
        self._write(
            event["detail"]["object"]["key"],
            condition="execution = :execution AND swept = :now AND #status = :processing",
            update="SET #status = :final" + (", #error = :error" if failed else ""),
            names={"#status": "status", **({"#error": "error"} if failed else {})},
            values=values,
        )

    def _write(self, key: str, *, condition: str, update: str, names: dict[str, str], values: dict[str, Any]) -> bool:
        """Whether the condition held."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"key": {"S": key}},
                ConditionExpression=condition,
                UpdateExpression=update,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _file(rendition: Mapping[str, Any]) -> File:
    """From DynamoDB's types."""
    return File(
        key=rendition["key"]["S"],
        format=rendition["format"]["S"],
        width=int(rendition["width"]["N"]),
        height=int(rendition["height"]["N"]),
    )


def _older_rows(event: Mapping[str, Any]) -> str:
    """Which rows the event takes from whoever had them, and whether it makes one, as Claim and MarkDeleted have it: the
    deletion of one version takes only a row that speaks of it, and neither it nor a folder's marker makes a row."""
    detail, older = event["detail"]["object"], "sequencer < :sequencer"
    if event["detail-type"] == "Object Created" or not _of_a_version(event):
        of_a_folder = detail["key"].endswith("/") and not detail.get("size")
        return older if of_a_folder else f"{older} OR attribute_not_exists(#status)"
    return f"({older} AND version_id = :version_id)"


def _of_a_version(event: Mapping[str, Any]) -> bool:
    """Whether it is the deletion of one version, which may leave others."""
    deletion = event["detail-type"] == "Object Deleted"
    hides = event["detail"].get("deletion-type") == "Delete Marker Created"
    return deletion and not hides and "version-id" in event["detail"]["object"]


def _final(event: Mapping[str, Any]) -> str:
    """What the row says when its execution died: a deletion took place all the same."""
    return "FAILED" if event["detail-type"] == "Object Created" else "DELETED"


def written(time: datetime) -> str:
    """As JSONata's `$now()` writes it, so that the texts compare."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item without DynamoDB's types, as JSON has it."""
    read = TypeDeserializer()
    return {name: _plain(read.deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)  # a place and a focus have fractions
    return value


@cache
def results() -> Results:
    return Results(boto3.client("dynamodb"), os.environ["RESULTS_TABLE"])
