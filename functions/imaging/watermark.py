"""Lays a picture of the project's own over a rendition, such as a logo in a corner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parents[2] / "watermarks"  # beside `functions`, here and in a function's code

_ACROSS = {"left": 0.0, "right": 1.0}
_DOWN = {"top": 0.0, "bottom": 1.0}


@dataclass(frozen=True, slots=True)
class Watermark:
    """`file` is one in FOLDER. `position` is a side, two of them such as `bottom-right`, or `center`. `size` is its
    width, as a part of the rendition's; `margin` its distance from the sides, as a part of the shorter side."""

    file: str
    position: str = "bottom-right"
    size: float = 0.25
    opacity: float = 1.0
    margin: float = 0.03


def marked(picture: Image.Image, mark: Watermark) -> Image.Image:
    """With the watermark on it. It is made smaller where it is too high for the picture."""
    base = picture.convert("RGBA" if picture.mode in ("LA", "RGBA") else "RGB")
    margin = round(mark.margin * min(base.size))
    logo = _scaled(mark.file, mark.opacity, max(1, round(mark.size * base.width)), max(1, base.height - 2 * margin))
    sides = mark.position.split("-")
    place = (
        _place(base.width, logo.width, margin, next((_ACROSS[side] for side in sides if side in _ACROSS), 0.5)),
        _place(base.height, logo.height, margin, next((_DOWN[side] for side in sides if side in _DOWN), 0.5)),
    )
    if base.mode == "RGBA":
        over = Image.new("RGBA", base.size)
        over.paste(logo, place)
        return Image.alpha_composite(base, over)
    base.paste(logo, place, logo)
    return base


def _place(whole: int, part: int, margin: int, at: float) -> int:
    """Where it begins; a margin only where there is room for it."""
    return round(min(margin, max(0, (whole - part) // 2)) * (1 - 2 * at) + (whole - part) * at)


@lru_cache(maxsize=32)  # a warm function makes the same few sizes again and again
def _scaled(file: str, opacity: float, width: int, highest: int) -> Image.Image:
    with Image.open(FOLDER / file) as logo:
        whole = logo.convert("RGBA")
    height = max(1, round(whole.height * width / whole.width))
    if height > highest:
        width, height = max(1, round(width * highest / height)), highest
    # A transparent pixel's colour must not bleed into its neighbours.
    scaled = whole.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    scaled.putalpha(scaled.getchannel("A").point(lambda value: round(value * opacity)))
    return scaled
