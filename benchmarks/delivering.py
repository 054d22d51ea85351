"""What a view costs: Deliver, as it is deployed, for a new size against Resize for the same, and for a stored one.

With the real clients, whose requests are answered in this process.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from benchmarks import first_call
from benchmarks.clock import least
from benchmarks.cold_start import ENVIRONMENT
from benchmarks.cost import CONTEXT
from benchmarks.photos import Photo
from benchmarks.report import Figure, begin, show

NEW_BAR = 1.1  # of Resize's CPU
STORED_BAR = 10  # ms of CPU
ROUNDS = 5
SIZE = 1024  # pixels


def measure(photos: Sequence[Photo]) -> list[Figure]:
    """On the first photo: of 12 megapixels, if it is drawn."""
    photo = photos[0]
    begin(f"delivery: {photo.path.name}")
    os.environ.update(ENVIRONMENT)
    from functions import deliver, imaging, resize, telemetry  # the environment comes first, as on Lambda

    answers = first_call.Answers(photo.path)
    first_call.answer_by(answers)
    asked = first_call.view(f"w_{SIZE},h_{SIZE},f_webp")
    written = io.StringIO()
    telemetry.logger.registered_handler.stream = written  # type: ignore[attr-defined]
    with redirect_stdout(written):  # metrics are printed
        stored = answers.stored = imaging.render(photo.data, _target(photo)).data

        def new() -> None:
            answers.stored = None
            assert deliver.handler(asked, CONTEXT)["statusCode"] == 200

        def again() -> None:
            answers.stored = stored
            assert deliver.handler(asked, CONTEXT)["statusCode"] == 200

        def resized() -> None:
            resize.handler(_request(photo), CONTEXT)

        made, read, alone = least([new, again, resized], ROUNDS)
    rows = [("a new size", made), ("a stored one", read), ("Resize, the same size", alone)]
    show((f"{SIZE} pixels of {photo.path.name}", "CPU ms"), [(name, f"{one.cpu * 1000:.1f}") for name, one in rows])
    return [
        Figure("CPU of Deliver for a new size / of Resize", made.cpu / alone.cpu, NEW_BAR),
        Figure("CPU ms of Deliver for a stored size", read.cpu * 1000, STORED_BAR),
    ]


def _target(photo: Photo) -> Any:
    from functions.imaging import Target

    return Target.of(_request(photo)["rendition"])


def _request(photo: Photo) -> Any:
    from functions.imaging.plan import fit_inside

    width, height = fit_inside(photo.facts.width, photo.facts.height, SIZE, SIZE)
    rendition = {"name": "size", "key": "size.webp", "format": "webp", "width": width, "height": height, "quality": 80}
    source = {"bucket": "uploads", "key": "raw/photo.jpg", "version_id": "1", "etag": "1"}
    return {"source": source, "rendition": rendition, "execution": "arn"}
