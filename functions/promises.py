"""Uploads that were promised: where each may go, until when, and that it was promised at all.

Nothing that a client says decides whose picture a key is. A key is the upload prefix, a folder that nobody can guess,
and a file name without power. The folder is random, or made of the caller and their Idempotency-Key, so that only the
same caller gets the same folder again.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache, reduce
from operator import or_
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from functions.results import written

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

VALID = timedelta(minutes=15)
REMEMBERED = timedelta(days=90)
FOLDER_DIGITS = 32  # 128 bits
LONGEST_NAME = 100  # characters, of four bytes at most

# What browsers and systems call the formats that are taken, by the endings of file names.
TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "avif": "image/avif",
}
OPTIONAL_TYPES = {"heic": {"heic": "image/heic", "heif": "image/heif"}, "jxl": {"jxl": "image/jxl"}}  # by setting


@dataclass(frozen=True, slots=True)
class Promise:
    """`promised_at` as rows have their times."""

    key: str
    content_type: str
    promised_at: str


class Reused(Exception):
    """The caller's Idempotency-Key promises another upload already."""


class Promises:
    """`prefix` is the upload prefix, `most` the largest file in bytes."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, s3: S3Client, bucket: str, prefix: str, most: int) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix
        self._most = most

    def make(self, name: str, content_type: str, now: datetime, caller_and_key: str | None) -> Promise:
        """The same as before, where the caller has one by that Idempotency-Key. Raises Reused."""
        folder = token_hex(FOLDER_DIGITS // 2) if caller_and_key is None else _digits_of(caller_and_key)
        promise = Promise(f"{self._prefix}{folder}/{safe_name(name)}", content_type, written(now))
        item = {member: {"S": text} for member, text in asdict(promise).items()}
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={"folder": {"S": folder}, **item, "forget_at": {"N": str(int((now + REMEMBERED).timestamp()))}},
                ConditionExpression="attribute_not_exists(folder)",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            before = self._of(folder)
            if before is None or (before.key, before.content_type) != (promise.key, content_type):
                raise Reused from None
            return before
        return promise

    def find(self, key: str) -> Promise | None:
        """What was promised under just that key, and is remembered."""
        folder = key.removeprefix(self._prefix).partition("/")[0]
        found = self._of(folder) if re.fullmatch(rf"[0-9a-f]{{{FOLDER_DIGITS}}}", folder) else None
        return found if found and found.key == key else None

    def form(self, promise: Promise, focus: str | None = None) -> dict[str, Any]:
        """`url` and `fields` of a form that uploads a picture of that type and at most that size under that key, with
        what its uploader says of it."""
        fields = {"Content-Type": promise.content_type} | ({"x-amz-meta-focus": focus} if focus else {})
        return self._s3.generate_presigned_post(
            self._bucket,
            promise.key,
            Fields=fields,
            Conditions=[*({name: value} for name, value in fields.items()), ["content-length-range", 1, self._most]],
            ExpiresIn=int(VALID.total_seconds()),
        )

    def _of(self, folder: str) -> Promise | None:
        answer = self._dynamodb.get_item(TableName=self._table, Key={"folder": {"S": folder}}, ConsistentRead=True)
        if "Item" not in answer:
            return None
        return Promise(**{name: answer["Item"][name]["S"] for name in Promise.__slots__})


def safe_name(name: str) -> str:
    """The last part of a path as a file name without power: letters and digits of any script, `.`, `_` and `-`."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    plain = re.sub(r"[^\w.-]+", "-", last).strip(".-")
    beginning, dot, ending = plain.rpartition(".")
    most = LONGEST_NAME - len(dot + ending)
    short = f"{beginning[:most]}{dot}{ending}" if beginning and most > 0 else plain[:LONGEST_NAME]
    return short or "picture"


def media_types(environment: Mapping[str, str]) -> dict[str, str]:
    """Of what is taken, by the endings of file names."""
    on = [types for name, types in OPTIONAL_TYPES.items() if environment[name.upper()] == "true"]
    return reduce(or_, on, TYPES)


def _digits_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:FOLDER_DIGITS]


@cache
def promises() -> Promises:
    return Promises(
        boto3.client("dynamodb"),
        os.environ["PROMISES_TABLE"],
        boto3.client("s3", config=Config(signature_version="s3v4")),
        os.environ["UPLOADS_BUCKET"],
        os.environ["UPLOAD_PREFIX"],
        int(os.environ["MAX_BYTES"]),
    )
