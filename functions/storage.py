"""Reads originals, writes and removes renditions: the only file of the functions that knows S3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict

import boto3
from botocore.exceptions import ClientError

from functions.imaging import Rejected

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


# No object, no such version, the version is a delete marker, or another ETag stands there now.
GONE = {"NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "PreconditionFailed"}


class Source(TypedDict):
    """Which object version an execution works on. `version_id` is S3's own word `null` where the event named none."""

    bucket: str
    key: str
    version_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class Original:
    data: bytes
    version_id: str


class Storage:
    def __init__(self, s3: S3Client) -> None:
        self._s3 = s3

    def read(self, source: Source, at_most: int | None = None) -> Original:
        """Read exactly the version of the event: by its id, or by its ETag where the event carries no id.

        Raises Rejected: `gone` if that version is no longer there, `too_large`, before a byte is read, if it has more
        than `at_most` bytes.
        """
        which = {"IfMatch": source["etag"]} if source["version_id"] == "null" else {"VersionId": source["version_id"]}
        try:
            answer = self._s3.get_object(Bucket=source["bucket"], Key=source["key"], **which)  # type: ignore[arg-type]
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                raise Rejected("gone", f"{source['key']} was deleted or overwritten before it was read") from error
            raise
        size = answer["ContentLength"]
        if at_most is not None and size > at_most:
            answer["Body"].close()
            raise Rejected("too_large", f"{size:,} bytes, limit {at_most:,} bytes")
        return Original(answer["Body"].read(), answer.get("VersionId", "null"))

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Write a rendition. Its key holds a hash of what it was made from, so that caches may keep it for ever."""
        self._s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=data,
            ContentType=content_type,
            CacheControl="public, max-age=31536000, immutable",  # a year in seconds, the longest that caches heed
        )

    def list(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys that begin with it."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (one["Key"] for one in page.get("Contents", []))

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove renditions; one that is not there is no error. Raises OSError if S3 refused any."""
        for batch in (keys[at : at + 1000] for at in range(0, len(keys), 1000)):  # as many as S3 takes at once
            objects: Any = [{"Key": key} for key in batch]
            answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if refused := answer.get("Errors"):
                raise OSError(
                    f"S3 kept {len(refused)} of {len(batch)} files, {refused[0]['Key']}: {refused[0]['Code']}"
                )


@cache
def storage() -> Storage:
    return Storage(boto3.client("s3"))
