"""Remove the renditions that a key's row does not name: an older version's, an overtaken execution's, a deleted
picture's."""

from __future__ import annotations

import os
from functools import cache
from typing import TypedDict

from functions.keys import folders, is_rendition
from functions.results import Results, results
from functions.storage import Storage, storage
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics, step

# In any other, an execution is at work on the picture or may be sent again: it cleans up at its own end.
SETTLED = {"SUCCEEDED", "REJECTED", "DELETED"}


class Key(TypedDict):
    key: str


class CleanupRequest(TypedDict):
    source: Key
    execution: str


class Cleaned(TypedDict):
    removed: int


@cache
def settings() -> tuple[str, str]:
    return os.environ["UPLOAD_PREFIX"], os.environ["RENDITIONS_BUCKET"]


@step
def handler(
    event: CleanupRequest, context: LambdaContext, pictures: Storage | None = None, table: Results | None = None
) -> Cleaned:
    """The files are listed before the row is read: who made one of them claimed the row before that, so that no file
    of an execution at work can be taken for a leftover."""
    pictures, table = pictures or storage(), table or results()
    prefix, bucket = settings()
    key = event["source"]["key"]
    found = [
        file
        for folder in folders(key.removeprefix(prefix))
        for file in pictures.list(bucket, folder)
        if is_rendition(file, folder)
    ]
    row = table.row(key)
    if row is None or row.status not in SETTLED:
        return {"removed": 0}
    leftovers = [file for file in found if file not in row.renditions]
    pictures.remove(bucket, leftovers)
    metrics.add_metric("RenditionsRemoved", MetricUnit.Count, len(leftovers))
    logger.info("cleaned up", extra={"removed": leftovers})
    return {"removed": len(leftovers)}
