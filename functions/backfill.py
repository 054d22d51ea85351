"""Say which objects of a batch need work, and what is to be started for each: a picture made anew, or its caption.

The machine of the same name lists the bucket and asks this for each batch. For a picture it starts what an event of S3
would have, so the answer is such an event. A newer upload or deletion always wins over it, whenever that comes:

- The row is read first, the newest version of the key afterwards. What happens to the object later than that has an
  event with a greater sequencer than any that the row was written by.
- The event has the row's own sequencer, and names the row's execution as the one that it redrives. So Claim gives it
  the row only if no other event has had it meanwhile, and any newer event takes the row from it.
- Without a row it has the least sequencer: Claim gives it a row that nobody else has made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, Literal, NotRequired, TypedDict

from functions.keys import NO_VERSION
from functions.results import Results, results
from functions.storage import Storage, storage
from functions.telemetry import LambdaContext, logger

Only = Literal["missing", "stale", "failed", "captions", "all"]
Row = Mapping[str, Any]

LEAST_SEQUENCER = "0"


class Listed(TypedDict):
    """An object as the listing has it; `modified` in seconds since 1970."""

    key: str
    etag: str
    size: int
    modified: float


class Asked(TypedDict):
    """`backfill`: the name of its execution; not in a count, nor if it began before the last deployment. `since`: what
    was written later is done already, if all are asked for. `recipe`: to count what would be stale by other settings
    than today's."""

    backfill: NotRequired[str]
    only: Only
    since: str
    pictures_at_once: int
    recipe: NotRequired[str]


class Batch(TypedDict):
    """As the Map gives it to each of its children. `count`: only how many need work, for a price before the start."""

    BatchInput: Asked
    Items: list[Listed]
    count: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class Settings:
    bucket: str
    prefix: str
    recipe: str
    pictures: str  # the machine that makes them
    captions: str | None  # the one that captions again, where captions are on

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        return cls(
            bucket=environment["UPLOADS_BUCKET"],
            prefix=environment["UPLOAD_PREFIX"],
            recipe=environment["RECIPE"],
            pictures=environment["STATE_MACHINE"],
            captions=environment.get("RECAPTION_STATE_MACHINE"),
        )


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    results: Results
    storage: Storage


@cache
def services() -> Services:
    return Services(Settings.read(os.environ), results(), storage())


@logger.inject_lambda_context(clear_state=True)
def handler(event: Batch, context: LambdaContext, using: Services | None = None) -> dict[str, Any]:
    """What to start; only its number if that is asked for."""
    using = using or services()
    asked, pictures = event["BatchInput"], [one for one in event["Items"] if _is_picture(one, using.settings)]
    rows = using.results.of([one["key"] for one in pictures])
    needs_work = partial(NEEDS[asked["only"]], using.settings, asked)
    keys = [one["key"] for one in pictures if needs_work(one, rows.get(one["key"]))]
    if event.get("count"):
        return {"pictures": len(keys)}
    start = _caption if asked["only"] == "captions" else _picture
    started = [one for key in keys if (one := start(using, key, rows.get(key)))]
    logger.info("looked", extra={"only": asked["only"], "objects": len(pictures), "started": len(started)})
    return {"at_once": asked["pictures_at_once"], "backfill": asked.get("backfill"), "pictures": started}


def _is_picture(listed: Listed, settings: Settings) -> bool:
    """A folder's marker, as consoles make them, has no row."""
    of_a_folder = listed["key"].endswith("/") and not listed["size"]
    return listed["key"].startswith(settings.prefix) and not of_a_folder


def _is_missing(settings: Settings, asked: Asked, listed: Listed, row: Row | None) -> bool:
    """Whether no event of this object has reached the row: the ETag alone does not tell of the same bytes uploaded
    again."""
    if row is None or row.get("etag") != listed["etag"].strip('"'):
        return True
    return datetime.fromisoformat(row["updated_at"]).timestamp() < listed["modified"]


def _is_stale(settings: Settings, asked: Asked, listed: Listed, row: Row | None) -> bool:
    """Only of a picture that can be made: of one that was rejected, an older version may be shown, by older settings,
    for good."""
    return (
        row is not None and row["status"] == "SUCCEEDED" and row.get("recipe") != asked.get("recipe", settings.recipe)
    )


def _has_failed(settings: Settings, asked: Asked, listed: Listed, row: Row | None) -> bool:
    return row is not None and row["status"] == "FAILED"


def _lacks_its_caption(settings: Settings, asked: Asked, listed: Listed, row: Row | None) -> bool:
    """As `darkroom redrive --caption-failed` has it: of the version that is shown, if that can still be read."""
    if row is None or settings.captions is None or row["status"] == "PROCESSING":
        return False
    shown = _shown_version(row)
    is_there = shown is not None and (shown != NO_VERSION or row["status"] == "SUCCEEDED")
    return is_there and bool(row["caption"]["status"] != "OK")


def _shown_version(row: Row) -> str | None:
    """A row of before 1.1.0 names it only if it is the newest."""
    return row.get("shown_version_id") or (row.get("version_id") if row["status"] == "SUCCEEDED" else None)


def _is_not_done_since(settings: Settings, asked: Asked, listed: Listed, row: Row | None) -> bool:
    """All but those that this backfill, or the one that it goes on with, has begun or found begun."""
    if row is None or _is_missing(settings, asked, listed, row):
        return True
    return row["status"] != "PROCESSING" and str(row["updated_at"]) < asked["since"]


NEEDS: Mapping[Only, Callable[[Settings, Asked, Listed, Row | None], bool]] = {
    "missing": _is_missing,
    "stale": _is_stale,
    "failed": _has_failed,
    "captions": _lacks_its_caption,
    "all": _is_not_done_since,
}


def _picture(using: Services, key: str, row: Row | None) -> dict[str, Any] | None:
    """None if nothing is there any more."""
    bucket = using.settings.bucket
    newest = using.storage.newest(bucket, key)
    if newest is None:
        return None
    picture = {
        "key": key,
        "size": newest.size,
        "etag": newest.etag,
        "version-id": newest.version_id,
        "sequencer": row["sequencer"] if row else LEAST_SEQUENCER,
    }
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": picture},
        **({"redrives": row["execution"]} if row else {}),
    }
    return {"key": key, "machine": using.settings.pictures, "input": event}


def _caption(using: Services, key: str, row: Row | None) -> dict[str, Any] | None:
    assert row is not None  # what has no row lacks no caption
    source = {
        "bucket": using.settings.bucket,
        "key": key,
        "version_id": _shown_version(row),
        "etag": row.get("etag", ""),
    }
    given = {"source": source, "content_hash": row["content_hash"]}
    return {"key": key, "machine": using.settings.captions, "input": given}
