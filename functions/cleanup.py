"""Remove the renditions that a key's row does not name: those of a version that is no longer shown or never was, an
overtaken execution's, a deleted picture's. With them go the other sizes of such a version, which Deliver made."""

from __future__ import annotations

import os
from functools import cache
from typing import TypedDict

from functions.keys import DERIVED, derived_folder, folders, is_rendition, last_alike, version_of
from functions.results import Results, results
from functions.storage import Storage, storage
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics, step

# In any other, an execution is at work on the picture or may be sent again: it cleans up at its own end.
SETTLED = {"SUCCEEDED", "REJECTED", "DELETED"}

# Pages of 1,000 files, of each folder. The files of one picture are a page; more are there only if its key is also a
# folder of other uploads, whose files S3 cannot leave out of the list.
LOOKS = 100


class Key(TypedDict):
    key: str


class CleanupRequest(TypedDict):
    source: Key
    execution: str


class Cleaned(TypedDict):
    removed: int


class CrowdedError(Exception):
    """Too many files of other uploads lie in the picture's folder to look at all. What was found is removed."""


@cache
def settings() -> tuple[str, str, bool]:
    """The upload prefix, the renditions bucket, and whether other sizes are made."""
    return os.environ["UPLOAD_PREFIX"], os.environ["RENDITIONS_BUCKET"], "DERIVED_SIZES" in os.environ


@step
def handler(
    event: CleanupRequest, context: LambdaContext, pictures: Storage | None = None, table: Results | None = None
) -> Cleaned:
    """The files are listed before the row is read: who made one of them claimed the row before that, so that no file
    of an execution at work can be taken for a leftover."""
    pictures, table = pictures or storage(), table or results()
    prefix, bucket, derived = settings()
    key = event["source"]["key"]
    found: list[str] = []
    looked_in = [*folders(key.removeprefix(prefix)), *([derived_folder(key)] if derived else [])]
    complete = [_find(found, pictures, bucket, folder) for folder in looked_in]
    row = table.row(key)
    if row is None or row.status not in SETTLED:
        return {"removed": 0}
    shown = {version_of(file) for file in row.renditions}
    leftovers = [
        file
        for file in found
        if (version_of(file) not in shown if file.startswith(DERIVED) else file not in row.renditions)
    ]
    pictures.remove(bucket, leftovers)
    metrics.add_metric("RenditionsRemoved", MetricUnit.Count, len(leftovers))
    logger.info("cleaned up", extra={"removed": leftovers})
    if not all(complete):
        raise CrowdedError(f"{key} is a folder of others: among {LOOKS},000 files, more of its own may be left")
    return {"removed": len(leftovers)}


def _find(found: list[str], pictures: Storage, bucket: str, folder: str) -> bool:
    """Adds the renditions in the folder, and says whether they are all. Others' files are passed over, as far as they
    can be without being listed."""
    after = folder
    for _ in range(LOOKS):
        keys, more = pictures.list(bucket, folder, after)
        found += [file for file in keys if is_rendition(file, folder)]
        if not more:
            return True
        after = last_alike(keys[-1], folder)
    return False
