"""The placeholder of a row, turned into the few pixels it stands for: what is seen until the picture is there."""

import base64
import io
import math
from collections.abc import Iterator
from functools import lru_cache

from PIL import Image

LONGER_SIDE = 20  # pixels; the browser makes it smooth


@lru_cache(2000)
def data_uri(thumbhash: str) -> str | None:
    """A PNG as a `data:` address; None for a text that is no ThumbHash."""
    try:
        picture = decode(base64.b64decode(thumbhash, validate=True))
    except (ValueError, IndexError, StopIteration):
        return None
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def decode(packed: bytes) -> Image.Image:
    """The reverse of https://evanw.github.io/thumbhash/, as its own program does it, but smaller.

    Raises IndexError or StopIteration for one that is cut short.
    """
    head = int.from_bytes(packed[:3], "little")
    shape = packed[3] | packed[4] << 8
    transparent, landscape = head >> 23, shape >> 15
    long, short = 5 if transparent else 7, shape & 7
    columns, rows = (long, short) if landscape else (short, long)
    ratio = columns / rows if rows and columns else 1
    size = (
        (LONGER_SIDE, max(1, round(LONGER_SIDE / ratio)))
        if ratio > 1
        else (max(1, round(LONGER_SIDE * ratio)), LONGER_SIDE)
    )
    terms = (nibble / 7.5 - 1 for byte in packed[6 if transparent else 5 :] for nibble in (byte & 15, byte >> 4))

    lightness = _plane(size, max(3, columns), max(3, rows), (head & 63) / 63, (head >> 18 & 31) / 31, terms)
    # colours 1.25 times as strong, for what was lost in rounding
    yellow = _plane(size, 3, 3, (head >> 6 & 63) / 31.5 - 1, (shape >> 3 & 63) / 63 * 1.25, terms)
    red = _plane(size, 3, 3, (head >> 12 & 63) / 31.5 - 1, (shape >> 9 & 63) / 63 * 1.25, terms)
    opaque = [1.0] * len(red)
    alpha = _plane(size, 5, 5, (packed[5] & 15) / 15, (packed[5] >> 4) / 15, terms) if transparent else opaque
    pixels = bytearray()
    for light, p, q, a in zip(lightness, yellow, red, alpha, strict=True):
        b = light - p * 2 / 3
        r = (3 * light - b + q) / 2
        pixels += bytes(max(0, min(255, int(255 * value))) for value in (r, r - q, b, a))
    return Image.frombytes("RGBA", size, bytes(pixels))


def _plane(
    size: tuple[int, int], columns: int, rows: int, mean: float, scale: float, terms: Iterator[float]
) -> list[float]:
    """One channel: its mean and its lowest cosines, summed along each line of terms first and then down."""
    width, height = size
    across, down = _waves(width, columns), _waves(height, rows)
    lines = []
    for cy in range(rows):
        line = [0.0] * width
        for cx in range(0 if cy else 1, columns):
            if cx * rows < columns * (rows - cy):
                term = 2 * scale * next(terms)
                line = [value + term * wave for value, wave in zip(line, across[cx], strict=True)]
        lines.append(line)
    return [
        mean + sum(line[x] * wave[y] for line, wave in zip(lines, down, strict=True))
        for y in range(height)
        for x in range(width)
    ]


def _waves(length: int, count: int) -> list[list[float]]:
    return [[math.cos(math.pi / length * n * (x + 0.5)) for x in range(length)] for n in range(count)]
