"""What Validate's look at a photo costs, against the least it could: one JPEG decode at 1/8 and one SHA-256; and
against the same look without a process beside the handler."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from io import BytesIO
from statistics import median

from PIL import Image

from benchmarks.clock import least
from benchmarks.photos import LIMITS, SETTINGS, Photo
from benchmarks.report import Figure, begin, show
from functions.examiner import Examiner
from functions.imaging import examine

ROUNDS = 7
BAR = 1.2
BAR_OF_THE_PROCESS = 1.03


def measure(photos: Sequence[Photo]) -> list[Figure]:
    spent = []
    with closing(Examiner(LIMITS, SETTINGS.limits.max_cpu_seconds)) as examiner:
        examiner.examine(lambda: photos[0].data)  # starts it
        for photo in photos:
            begin(f"validate: {photo.path.name}")
            works = [partial(_validate, examiner, photo.data), partial(_alone, photo.data), partial(_floor, photo.data)]
            spent.append([one.cpu for one in least(works, ROUNDS)])
    show(
        ("Validate", "CPU ms", "in the handler's process", "decode at 1/8 and hash"),
        [(photo.path.name, *(f"{cpu * 1000:.1f}" for cpu in each)) for photo, each in zip(photos, spent, strict=True)],
    )
    return [
        Figure("Validate's CPU / (JPEG decode at 1/8 + SHA-256)", median(one / floor for one, _, floor in spent), BAR),
        Figure(
            "Validate's CPU / the same in the handler's process",
            median(one / alone for one, alone, _ in spent),
            BAR_OF_THE_PROCESS,
        ),
    ]


def _validate(examiner: Examiner, data: bytes) -> None:
    examiner.examine(lambda: data)
    hashlib.sha256(data).hexdigest()


def _alone(data: bytes) -> None:
    examine(data, LIMITS)
    hashlib.sha256(data).hexdigest()


def _floor(data: bytes) -> None:
    picture = Image.open(BytesIO(data))
    picture.draft(None, (picture.width // 8, picture.height // 8))
    picture.load()
    hashlib.sha256(data).hexdigest()
