"""A picture as the API shows it: its row, with the URLs of its renditions, a `srcset` and alt text."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from functions.links import rendition_url

FINAL = ("SUCCEEDED", "REJECTED", "FAILED", "DELETED")

# What only the pipeline and its operator need. An ARN names the account.
INTERNAL = ("execution", "sequencer", "swept")

# The message of a failure is that of an error in a function or a service, and may say more than a client should know.
WHY_FAILED = "the pipeline failed; its operator has the reason"

# A presigned URL is valid for so long. A picture gets new ones, and another ETag, twice in that time: who was answered
# 304 has URLs that last for half of it at least.
SIGNED_FOR = timedelta(hours=1)

Row = Mapping[str, Any]


class Addresses:
    """URLs of renditions: those of the distribution, which never change, or presigned ones of the bucket."""

    def __init__(self, base: str | None, presign: Callable[[str], str]) -> None:
        """`base` is `https://<domain>`; without it, `presign` makes a URL of a rendition's key."""
        self._base = base
        self._presign = presign

    def url(self, rendition_key: str) -> str:
        return rendition_url(self._base, rendition_key) if self._base else self._presign(rendition_key)

    def period(self, now: datetime) -> int | None:
        """In which the URLs of an answer may be kept, by its number; None if for ever."""
        return None if self._base else int(now.timestamp() // (SIGNED_FOR / 2).total_seconds())

    def expire_at(self, now: datetime) -> datetime | None:
        return None if self._base else now + SIGNED_FOR


def shown(row: Row, addresses: Addresses, now: datetime) -> dict[str, Any]:
    picture = {name: value for name, value in row.items() if name not in INTERNAL}
    picture["alt"] = row.get("caption", {}).get("text", "")
    picture["srcset"] = {}
    if row["status"] == "FAILED" and "error" in row:
        picture["error"] = {"code": row["error"]["code"], "message": WHY_FAILED}
    if renditions := row.get("renditions"):
        with_urls = {name: {**one, "url": addresses.url(one["key"])} for name, one in renditions.items()}
        picture |= {"renditions": with_urls, "srcset": _srcset(row, with_urls)}
        if ends := addresses.expire_at(now):
            picture["urls_expire_at"] = ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return picture


def etag(row: Row, addresses: Addresses, now: datetime) -> str:
    """Changes with the row, and with the period of its URLs if it has any."""
    told = [row, addresses.period(now) if row.get("renditions") else None]
    return f'"{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]}"'


def _srcset(row: Row, renditions: Mapping[str, Any]) -> dict[str, str]:
    """By media type, of the renditions that show the whole picture, the smallest first."""
    sets: dict[str, list[str]] = {}
    for one in sorted(renditions.values(), key=lambda one: one["width"]):
        if _shows_all(row, one):
            sets.setdefault(one["content_type"], []).append(f"{one['url']} {one['width']}w")
    return {kind: ", ".join(urls) for kind, urls in sets.items()}


def _shows_all(row: Row, rendition: Mapping[str, Any]) -> bool:
    """Whether it has the picture's own shape, but for what rounding to whole pixels makes of that."""
    across, down = rendition["width"] * row["height"], rendition["height"] * row["width"]
    return bool(abs(across - down) <= max(row["width"], row["height"]))


@cache
def addresses() -> Addresses:
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))

    def presign(key: str) -> str:
        where = {"Bucket": os.environ["RENDITIONS_BUCKET"], "Key": key}
        return s3.generate_presigned_url("get_object", where, int(SIGNED_FOR.total_seconds()))

    return Addresses(os.environ.get("DELIVERY_URL"), presign)
