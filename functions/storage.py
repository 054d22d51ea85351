"""Reads originals, writes and removes renditions: the only file of the functions that knows S3."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict

import boto3
from botocore.exceptions import ClientError

from functions.imaging import Rejected
from functions.keys import NO_VERSION

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# No object, no such version, the version is a delete marker, or another ETag stands there now.
GONE = {"NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "PreconditionFailed"}

# Of a KMS key that does not exist any more, or is disabled, about to be deleted, or made for something else:
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
UNUSABLE_KEY = {f"KMS.{name}Exception" for name in ("NotFound", "Disabled", "KMSInvalidState", "InvalidKeyUsage")}

# How S3 words it where a role may not use a KMS key; the second where that is another account's.
FORBIDDEN_KEY = re.compile(r"kms:Decrypt|ciphertext refers to a customer master key", re.IGNORECASE)


class Source(TypedDict):
    """Which object version an execution works on. `version_id` is `NO_VERSION` where the event named none. `etag` is
    empty where only a version can be read."""

    bucket: str
    key: str
    version_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class Original:
    """`focus` is what its uploader wrote about it, as `x-amz-meta-focus`; empty if nothing."""

    data: bytes
    version_id: str
    focus: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """The newest of a key, as S3's event of it would name it."""

    version_id: str
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """`data` is None where there is more of it than was wanted."""

    size: int
    data: bytes | None


class Storage:
    """`own_key` is the ARN of the KMS key that the stack encrypts with, if it has one."""

    def __init__(self, s3: S3Client, own_key: str | None = None) -> None:
        self._s3 = s3
        self._own_key = own_key

    def read(self, source: Source, at_most: int | None = None) -> Original:
        """Read exactly the version of the event: by its id, or by its ETag where the event carries no id.

        Raises Rejected: `gone` if that version is no longer there, `unreadable` if S3 keeps it from everybody like us,
        `too_large`, before a byte is read, if it has more than `at_most` bytes.
        """
        pinned = source["version_id"] != NO_VERSION
        if not (pinned or source["etag"]):
            raise Rejected("gone", f"{source['key']} was overwritten, and its bucket keeps no versions")
        which = {"VersionId": source["version_id"]} if pinned else {"IfMatch": source["etag"]}
        try:
            answer = self._s3.get_object(Bucket=source["bucket"], Key=source["key"], **which)  # type: ignore[arg-type]
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                raise Rejected("gone", f"{source['key']} was deleted or overwritten before it was read") from error
            if why := self._why_unreadable(error):
                raise Rejected("unreadable", why) from error
            raise
        size = answer["ContentLength"]
        if at_most is not None and size > at_most:
            answer["Body"].close()
            raise Rejected("too_large", f"{size:,} bytes, limit {at_most:,} bytes")
        focus = answer.get("Metadata", {}).get("focus", "")
        return Original(answer["Body"].read(), answer.get("VersionId", NO_VERSION), focus)

    def _why_unreadable(self, error: ClientError) -> str | None:
        """What is the matter with the object, and what to do. None where it is with us: a grant that is missing, also
        of the stack's own key, and what may pass by itself."""
        response: Any = error.response
        code, message = response["Error"]["Code"], response["Error"].get("Message", "")
        if code == "InvalidObjectState":
            where = response.get("AccessTier") or response.get("StorageClass") or "an archive"
            return f"archived ({where}): restore it, then start it again with `darkroom redrive --include-rejected`"
        if code == "InvalidRequest" and "encryption" in message.lower():
            return "encrypted under a key that S3 does not keep (SSE-C): upload it again without such a key"
        if code in UNUSABLE_KEY or (code == "AccessDenied" and FORBIDDEN_KEY.search(message)):
            if self._own_key and self._own_key in message:
                return None
            named = re.search(r"arn:[\w-]+:kms:[\w:/-]+", message)
            key = f"the KMS key {named[0]}" if named else "a KMS key"
            how = "upload it again under the bucket's own encryption"
            return f"encrypted under {key}, which Validate cannot use: {how}"
        return None

    def newest(self, bucket: str, key: str) -> Version | None:
        """As it stands now; None where the key holds nothing, or is hidden by a delete marker. Of a bucket without
        versions too. S3 lists a key before those that begin with it, and its newest version first."""
        answer = self._s3.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=1)
        for one in answer.get("Versions", []):
            if one["Key"] == key and one["IsLatest"]:
                return Version(one["VersionId"], one["ETag"].strip('"'), one["Size"])
        return None

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Write a rendition. Its key holds a hash of what it was made from, so that caches may keep it for ever."""
        self._s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=data,
            ContentType=content_type,
            CacheControl="public, max-age=31536000, immutable",  # a year in seconds, the longest that caches heed
        )

    def stored(self, bucket: str, key: str, at_most: int) -> Stored | None:
        """What `write` wrote, if it is there. No byte is read of what has more than `at_most`."""
        try:
            answer = self._s3.get_object(Bucket=bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            return None
        size = answer["ContentLength"]
        if size <= at_most:
            return Stored(size, answer["Body"].read())
        answer["Body"].close()
        return Stored(size, None)

    def list(self, bucket: str, prefix: str, after: str) -> tuple[Sequence[str], bool]:
        """The first 1,000 keys that begin with `prefix` and come after `after`, and whether there are more."""
        answer = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix, StartAfter=after)
        return [one["Key"] for one in answer.get("Contents", [])], answer["IsTruncated"]

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove renditions; one that is not there is no error. Raises OSError if S3 refused any."""
        for batch in (keys[at : at + 1000] for at in range(0, len(keys), 1000)):  # as many as S3 takes at once
            objects: Any = [{"Key": key} for key in batch]
            answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if refused := answer.get("Errors"):
                why = f"{refused[0]['Key']}: {refused[0]['Code']}"
                raise OSError(f"S3 kept {len(refused)} of {len(batch)} files, {why}")


@cache
def storage() -> Storage:
    return Storage(boto3.client("s3"), os.environ.get("KMS_KEY"))
