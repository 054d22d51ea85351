"""Pictures that look like another one: by the bits in which their perceptual hashes differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from darkroom.errors import TargetError
from darkroom.pipeline import results
from darkroom.pipeline.results import Row
from darkroom.pipeline.target import Target

AMONG = 2000  # the newest rows, some megabytes: DynamoDB has no index for what is nearly the same
BITS = 64


@dataclass(frozen=True)
class Alike:
    """`differs`: in so many of 64 bits. `same_file`: byte by byte."""

    row: Row
    differs: int
    same_file: bool

    def document(self) -> dict[str, Any]:
        return {**self.row, "differs": self.differs, "same_file": self.same_file}


def alike(target: Target, key: str, most: int, among: int = AMONG) -> tuple[Sequence[Alike], int]:
    """The nearest of the newest rows that succeeded, the nearest first and of them the newest; and how many were looked
    at. Raises TargetError for a key without a row, and for a row without a perceptual hash."""
    found = results.row(target, key)
    if "perceptual_hash" not in found:
        again = "`darkroom backfill --only all --prefix KEY` makes one"
        raise TargetError(f"the row of {found['key']} has no perceptual hash: {again}")
    looked = 0
    others = list[Alike]()
    for row in islice(results.rows(target, "SUCCEEDED", at_once=among), among):
        looked += 1
        if row["key"] != found["key"] and "perceptual_hash" in row:
            differs = (int(row["perceptual_hash"], 16) ^ int(found["perceptual_hash"], 16)).bit_count()
            others.append(Alike(row, differs, row["content_hash"] == found["content_hash"]))
    others.sort(key=lambda one: (one.differs, not one.same_file))
    return others[:most], looked
