"""What Validate's look at a photo costs, against the least it could: one JPEG decode at 1/8 and one SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from statistics import median

from PIL import Image

from benchmarks.clock import least
from benchmarks.photos import LIMITS, Photo
from benchmarks.report import Figure, begin, show
from functions.imaging import examine

BAR = 1.2


def measure(photos: Sequence[Photo]) -> list[Figure]:
    ratios, rows = [], []
    for photo in photos:
        begin(f"validate: {photo.path.name}")
        validate, floor = least([partial(_validate, photo.data), partial(_floor, photo.data)])
        ratios.append(validate.cpu / floor.cpu)
        rows.append((photo.path.name, f"{validate.cpu * 1000:.1f}", f"{floor.cpu * 1000:.1f}"))
    show(("Validate", "CPU ms", "decode at 1/8 and hash"), rows)
    return [Figure("Validate's CPU / (JPEG decode at 1/8 + SHA-256)", median(ratios), BAR)]


def _validate(data: bytes) -> None:
    examine(data, LIMITS)
    hashlib.sha256(data).hexdigest()


def _floor(data: bytes) -> None:
    picture = Image.open(BytesIO(data))
    picture.draft(None, (picture.width // 8, picture.height // 8))
    picture.load()
    hashlib.sha256(data).hexdigest()
