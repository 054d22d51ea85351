"""What is measured on: the photos of a folder, or else pictures that the project draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import begin
from darkroom.local.pictures import photo
from functions.imaging import OPTIONAL, Facts, Limits, RenditionSetting, Target, examine, plan
from stacks.settings import Settings

SETTINGS = Settings()
LIMITS = Limits(SETTINGS.limits.max_bytes, SETTINGS.limits.max_pixels, optional=OPTIONAL)
SCRATCH = Path(__file__).resolve().parent.parent / "build" / "bench"

_DRAWN = {"landscape.jpg": (4000, 3000, 1), "portrait.jpg": (4000, 3000, 6), "large.jpg": (5472, 3648, 1)}


@dataclass(frozen=True, slots=True)
class Photo:
    path: Path
    data: bytes
    facts: Facts


def photos(folder: Path | None) -> list[Photo]:
    """Those of a folder that Validate accepts; without one, drawn once and kept in `build/bench`."""
    files = sorted(folder.glob("*.jp*g")) if folder else [_drawn(name) for name in _DRAWN]
    found = [(file, file.read_bytes()) for file in files]
    return [Photo(file, data, examine(data, LIMITS)) for file, data in found]


def _drawn(name: str) -> Path:
    file = SCRATCH / name
    if not file.exists():
        begin(f"drawing {name}")
        SCRATCH.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo(*_DRAWN[name]))
    return file


def targets(facts: Facts, format_name: str) -> dict[str, Target]:
    """The default renditions of a photo, in that format, as Resize is told to make them."""
    settings = [
        RenditionSetting(name, one.width, one.height, one.fit, (format_name,), one.crop)
        for name, one in SETTINGS.renditions.items()
    ]
    quality = SETTINGS.quality.model_dump()[format_name]
    return {
        one.name: Target(one.format, one.width, one.height, one.fit, one.crop, quality)
        for one in plan(facts.width, facts.height, settings)
    }
