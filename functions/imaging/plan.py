"""Validate's plan of what Resize will make: never larger than the picture, nothing twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functions.imaging.watermark import Watermark

CONTENT_TYPES = {"webp": "image/webp", "jpeg": "image/jpeg", "png": "image/png", "avif": "image/avif"}
EXTENSIONS = {"webp": "webp", "jpeg": "jpg", "png": "png", "avif": "avif"}


@dataclass(frozen=True, slots=True)
class RenditionSetting:
    """A box in pixels, and how a picture goes into it: `inside` fits, `cover` fills it and crops what stands out.
    `animated` keeps all frames of an animation, in WebP. `watermark` is laid over all of it."""

    name: str
    width: int
    height: int
    fit: str = "inside"
    formats: Sequence[str] = ("webp",)
    crop: str = "center"
    animated: bool = False
    watermark: Watermark | None = None

    @classmethod
    def of(cls, setting: Mapping[str, Any]) -> RenditionSetting:
        """From JSON of the settings."""
        return cls(**{**setting, "watermark": watermark_of(setting.get("watermark"))})


def watermark_of(setting: Mapping[str, Any] | None) -> Watermark | None:
    """From JSON."""
    if not setting:
        return None
    from functions.imaging.watermark import Watermark  # 1 ms that only watermarks pay

    return Watermark(**setting)


@dataclass(frozen=True, slots=True)
class PlannedRendition:
    """One file to be made. Width and height are exactly those it will have."""

    name: str
    format: str
    width: int
    height: int
    fit: str
    crop: str
    animated: bool = False
    watermark: Watermark | None = None

    @property
    def file_name(self) -> str:
        """Of a further format the extension says enough: `small_png` is in `small.png`."""
        return f"{self.name.removesuffix('_' + self.format)}.{EXTENSIONS[self.format]}"


def plan(
    width: int, height: int, settings: Sequence[RenditionSetting], *, moves: bool = False
) -> list[PlannedRendition]:
    """The renditions of a picture of that size, in the order of the settings; at least one. `moves`: it is animated.

    Two boxes larger than the picture give the same file: the smaller one's name is kept.
    """
    planned: list[tuple[int, PlannedRendition]] = []
    seen: set[PlannedRendition] = set()
    smallest_first = sorted(enumerate(settings), key=lambda numbered: numbered[1].width * numbered[1].height)
    for position, setting in smallest_first:
        for number, format_name in enumerate(setting.formats):
            still = _rendition(width, height, setting, format_name, first=number == 0)
            animated = moves and setting.animated and format_name == "webp"
            rendition = replace(still, animated=animated, watermark=setting.watermark)
            same = replace(rendition, name="")
            if same not in seen:
                seen.add(same)
                planned.append((position, rendition))
    return [rendition for _, rendition in sorted(planned, key=lambda numbered: numbered[0])]


def _rendition(
    width: int, height: int, setting: RenditionSetting, format_name: str, *, first: bool
) -> PlannedRendition:
    name = setting.name if first else f"{setting.name}_{format_name}"
    if setting.fit == "cover":
        box = min(width, setting.width), min(height, setting.height)
        if box[0] * height != box[1] * width:  # shapes differ, so that something is cropped
            return PlannedRendition(name, format_name, *box, "cover", setting.crop)
    else:
        box = fit_inside(width, height, setting.width, setting.height)
    return PlannedRendition(name, format_name, *box, "inside", "center")


def fit_inside(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """The largest size of that shape in the box, never larger than the picture, at least 1 pixel a side."""
    scale = min(Fraction(box_width, width), Fraction(box_height, height), Fraction(1))
    return max(1, _nearest(width * scale)), max(1, _nearest(height * scale))


def _nearest(size: Fraction) -> int:
    return (size + Fraction(1, 2)).__floor__()
