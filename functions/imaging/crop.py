"""Which part of a picture a `cover` keeps: its middle, its busiest part, what the eye goes to, or the surroundings of a
point that its uploader named."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import cache

from PIL import Image

from functions.imaging.color import to_srgb
from functions.imaging.plan import fit_inside

Size = tuple[int, int]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels
Point = tuple[float, float]  # across and down, each 0 to 1, of the picture as a person sees it

MIDDLE: Point = (0.5, 0.5)

GLANCE = 128  # pixels a side in which the busiest part is looked for
LOOK = 32  # and what the eye goes to, whatever the picture's shape, as libvips does

_PART = r"\s*(0|0?\.[0-9]{1,6}|1(?:\.0{1,6})?)\s*"
FOCUS = f"{_PART},{_PART}"  # as darkroom/pipeline/uploads.py has it. Not compiled: few uploads have one

# Rec. 709 to XYZ, IEC 61966-2-1; white is D65.
_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = 95.047, 100.0, 108.883
_SKIN = 0.78, 0.57, 0.44  # the direction of its colours in XYZ
_DARK = 5.0  # Y below which a colour counts for nothing


def focal_point(text: str) -> Point | None:
    """Of `0.3,0.6`. None for what is no such point."""
    found = re.fullmatch(FOCUS, text) if text else None
    return (float(found[1]), float(found[2])) if found else None


def about(point: Point, whole: Size, size: Size) -> Box:
    """The largest part of the whole that has the shape of `size`, its centre as near to the point as it goes."""
    scaling = min(Fraction(whole[0], size[0]), Fraction(whole[1], size[1]))  # a float's last bits could stick out
    room = float(whole[0] - size[0] * scaling), float(whole[1] - size[1] * scaling)
    left, top = (
        min(max(0.0, at * all_of_it - (all_of_it - spare) / 2), spare)
        for at, all_of_it, spare in zip(point, whole, room, strict=True)
    )
    return left, top, whole[0] - (room[0] - left), whole[1] - (room[1] - top)


def stored(point: Point, turn: int) -> Point:
    """Where it is in the rows and columns as they are stored. turn: EXIF's orientation."""
    across, down = point
    return {
        2: (1 - across, down),
        3: (1 - across, 1 - down),
        4: (across, 1 - down),
        5: (down, across),
        6: (down, 1 - across),
        7: (1 - down, 1 - across),
        8: (1 - down, across),
    }.get(turn, point)


def busiest(picture: Image.Image, box: Box, whole: tuple[float, float], profile: bytes | None) -> Box:
    """Move the box along the longer side of the picture to where what a person sees of it carries most entropy."""
    small = picture.resize(fit_inside(*picture.size, GLANCE, GLANCE), Image.Resampling.BOX)
    seen = _on_black_and_on_white(to_srgb(small, profile)[0])
    scale_x, scale_y = small.width / picture.width, small.height / picture.height
    width, height = max(1, round((box[2] - box[0]) * scale_x)), max(1, round((box[3] - box[1]) * scale_y))
    places = [(x, y) for x in range(small.width - width + 1) for y in range(small.height - height + 1)]

    def entropy(place: tuple[int, int]) -> float:
        part = *place, place[0] + width, place[1] + height
        return sum(grey.crop(part).entropy() for grey in seen)

    x, y = max(places, key=entropy)
    left, right = _moved(box[2] - box[0], x / scale_x, whole[0])
    top, bottom = _moved(box[3] - box[1], y / scale_y, whole[1])
    return left, top, right, bottom


def attention(picture: Image.Image, box: Box, whole: tuple[float, float], profile: bytes | None) -> Box:
    """Move the box to about the place that the eye goes to."""
    seen = to_srgb(picture.resize((LOOK, LOOK), Image.Resampling.BOX, (0, 0, *whole)), profile)[0]
    flat = on_background(seen, "#808080") if seen.mode in ("LA", "RGBA") else seen.convert("RGB")
    across, down = _salient(flat, LOOK * (box[2] - box[0]) / whole[0], LOOK * (box[3] - box[1]) / whole[1])
    left, right = _moved(box[2] - box[0], across * whole[0] - (box[2] - box[0]) / 2, whole[0])
    top, bottom = _moved(box[3] - box[1], down * whole[1] - (box[3] - box[1]) / 2, whole[1])
    return left, top, right, bottom


def _salient(picture: Image.Image, width: float, height: float) -> Point:
    """Where edges, the colours of skin and strong reds are most, as libvips weighs them (its `smartcrop`, after
    https://github.com/jwagner/smartcrop.js): 5 times the edge, 100 less the distance from skin, and a* of L*a*b*.

    picture: RGB, of LOOK x LOOK. width, height: of what is kept, in its pixels; a larger part is judged more widely.
    """
    raw = picture.tobytes()
    xyz = [_to_xyz(raw[at], raw[at + 1], raw[at + 2]) for at in range(0, len(raw), 3)]
    light = [y for _, y, _ in xyz]
    score = [
        5 * edge + (_colourful(*one) if one[1] > _DARK else 0) for edge, one in zip(_edges(light), xyz, strict=True)
    ]
    blurred = _blurred(score, max(1.0, math.hypot(width, height) / 10))
    best = max(range(len(blurred)), key=blurred.__getitem__)
    return (best % LOOK + 0.5) / LOOK, (best // LOOK + 0.5) / LOOK


@cache
def _light() -> list[float]:
    """Of each of the 256 values of a channel of sRGB."""
    from functions.imaging.code_points import srgb

    return [srgb(value / 255) for value in range(256)]


def _to_xyz(red: int, green: int, blue: int) -> tuple[float, float, float]:
    light = _light()
    linear = light[red], light[green], light[blue]
    x, y, z = (100 * sum(part * value for part, value in zip(row, linear, strict=True)) for row in _XYZ)
    return x, y, z


def _colourful(x: float, y: float, z: float) -> float:
    length = math.hypot(x, y, z)
    from_skin = math.dist((x / length, y / length, z / length), _SKIN)
    return 100 - 100 * from_skin + 500 * (_lab(x / _WHITE[0]) - _lab(y / _WHITE[1]))


def _lab(part: float) -> float:
    return part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116


def _edges(light: list[float]) -> list[float]:
    """How much each pixel differs from its four neighbours; at a border the pixel itself stands for one."""
    found = []
    for at, here in enumerate(light):
        x, y = at % LOOK, at // LOOK
        beside = (light[at - (x > 0)], light[at + (x < LOOK - 1)])
        above = (light[at - LOOK * (y > 0)], light[at + LOOK * (y < LOOK - 1)])
        found.append(abs(4 * here - sum(beside) - sum(above)))
    return found


def _blurred(score: list[float], sigma: float) -> list[float]:
    """By a Gaussian down to a fifth of its height, rows first."""
    reach = int(sigma * math.sqrt(-2 * math.log(0.2)))
    weights = [math.exp(-((at / sigma) ** 2) / 2) for at in range(-reach, reach + 1)]
    rows = [_convolved(score[start : start + LOOK], weights) for start in range(0, LOOK * LOOK, LOOK)]
    columns = [_convolved(list(column), weights) for column in zip(*rows, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in row]


def _convolved(line: list[float], weights: list[float]) -> list[float]:
    reach = len(weights) // 2
    padded = [line[0]] * reach + line + [line[-1]] * reach
    return [sum(map(float.__mul__, padded[at : at + len(weights)], weights)) for at in range(len(line))]


LOOKING = {"entropy": busiest, "attention": attention}


def _moved(length: float, to: float, whole: float) -> tuple[float, float]:
    start = max(0.0, min(to, whole - length))
    return start, min(start + length, whole)


def _on_black_and_on_white(picture: Image.Image) -> list[Image.Image]:
    """The grey levels; of a picture with transparency on both, because one may hide what the other shows."""
    if picture.mode not in ("LA", "RGBA"):
        return [picture.convert("L")]
    return [on_background(picture, background).convert("L") for background in ("#000000", "#ffffff")]


def on_background(picture: Image.Image, background: str) -> Image.Image:
    flat = Image.new("RGB", picture.size, background)
    flat.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
    return flat
