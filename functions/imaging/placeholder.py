"""What Validate says about a picture's looks: a ThumbHash to show while it loads, its dominant colour, and a hash that
pictures which look alike nearly share."""

from __future__ import annotations

import base64
import math
from collections import defaultdict
from collections.abc import Sequence

from PIL import Image

Channel = list[float]

HASHED = 16  # pixels a side of what a hash is made of: twice what its 8 cosine terms need, and half of ImageHash's


def thumbhash(picture: Image.Image) -> str:
    """Base64 of a ThumbHash (https://evanw.github.io/thumbhash/), as its own programs write it.

    picture: RGBA, at most 100 pixels a side.
    """
    width, height = picture.size
    lightness, yellow, red, alpha = _channels(picture)
    transparent = min(alpha) < 1
    limit = 5 if transparent else 7  # fewer terms of lightness leave room for those of alpha
    columns = max(1, _round(limit * width / max(width, height)))
    rows = max(1, _round(limit * height / max(width, height)))
    l_mean, l_terms, l_scale = _cosines(lightness, picture.size, max(3, columns), max(3, rows))
    p_mean, p_terms, p_scale = _cosines(yellow, picture.size, 3, 3)
    q_mean, q_terms, q_scale = _cosines(red, picture.size, 3, 3)
    landscape = width > height

    head = _round(63 * l_mean) | _round(31.5 + 31.5 * p_mean) << 6 | _round(31.5 + 31.5 * q_mean) << 12
    head |= _round(31 * l_scale) << 18 | transparent << 23
    shape = (rows if landscape else columns) | _round(63 * p_scale) << 3 | _round(63 * q_scale) << 9 | landscape << 15
    packed = head.to_bytes(3, "little") + shape.to_bytes(2, "little")
    terms = [*l_terms, *p_terms, *q_terms]
    if transparent:
        a_mean, a_terms, a_scale = _cosines(alpha, picture.size, 5, 5)
        packed += bytes([_round(15 * a_mean) | _round(15 * a_scale) << 4])
        terms += a_terms
    nibbles = [_round(15 * term) for term in terms] + [0] * (len(terms) % 2)
    packed += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return base64.b64encode(packed).decode()


def _channels(picture: Image.Image) -> tuple[Channel, Channel, Channel, Channel]:
    """Lightness, yellow against blue, red against green, alpha; transparent pixels take the mean colour."""
    raw = picture.tobytes()
    alpha = [value / 255 for value in raw[3::4]]
    total = sum(alpha)
    lit = []
    for offset in range(3):
        values = [value / 255 for value in raw[offset::4]]
        mean = sum(a * value for a, value in zip(alpha, values, strict=True)) / total if total else 0.0
        lit.append([mean * (1 - a) + a * value for a, value in zip(alpha, values, strict=True)])
    triples = list(zip(*lit, strict=True))
    return (
        [(r + g + b) / 3 for r, g, b in triples],
        [(r + g) / 2 - b for r, g, b in triples],
        [r - g for r, g, _ in triples],
        alpha,
    )


def perceptual_hash(picture: Image.Image) -> str:
    """64 bits as hex digits: whether each of the 8x8 lowest cosine terms of lightness is above the middle one.

    Of the same picture in another size or quality few bits differ; of two pictures, half. As ImageHash's `phash`
    (https://github.com/JohannesBuchner/imagehash) to a few bits, because that looks at more pixels.

    picture: RGBA, of HASHED x HASHED, whatever its shape was; transparent pixels take the mean lightness.
    """
    raw = picture.convert("LA").tobytes()
    light, alpha = raw[::2], raw[1::2]
    total = sum(alpha)
    mean = sum(map(int.__mul__, light, alpha)) / total if total else 0.0
    seen = [mean + (value - mean) * share / 255 for value, share in zip(light, alpha, strict=True)]
    terms = [term for row in _transformed(seen, picture.size, 8, 8) for term in row]
    middle = sum(sorted(terms)[31:33]) / 2
    return f"{sum((term > middle) << 63 - place for place, term in enumerate(terms)):016x}"


def _cosines(channel: Channel, size: tuple[int, int], columns: int, rows: int) -> tuple[float, list[float], float]:
    """The channel's mean, its lowest cosine terms scaled to 0..1, and that scale."""
    terms = _transformed(channel, size, columns, rows)
    mean, *rest = (terms[cy][cx] for cy in range(rows) for cx in range(columns) if cx * rows < columns * (rows - cy))
    scale = max(map(abs, rest))
    return mean, [0.5 + 0.5 / scale * term for term in rest] if scale else rest, scale


def _transformed(channel: Channel, size: tuple[int, int], columns: int, rows: int) -> list[Channel]:
    """So many of its lowest cosine terms, a list for each row of them, as a share of the pixels.

    Rows first, then columns: a fifth of the multiplications that each term by itself would take.
    """
    width, height = size
    wave = _waves(width, columns)
    lines = [channel[start : start + width] for start in range(0, width * height, width)]
    along = [[sum(map(float.__mul__, line, wave[cx])) for line in lines] for cx in range(columns)]
    return [
        # so that the last bits of a float decide nothing
        [round(sum(map(float.__mul__, line, down)) / (width * height), 9) for line in along]
        for down in _waves(height, rows)
    ]


def _waves(length: int, count: int) -> list[list[float]]:
    return [[math.cos(math.pi / length * n * (x + 0.5)) for x in range(length)] for n in range(count)]


def _round(value: float) -> int:
    return math.floor(value + 0.5)  # as JavaScript rounds, where ThumbHash comes from


def dominant_color(picture: Image.Image) -> str:
    """`#rrggbb`: the mean of the fullest of 8x8x8 boxes of similar colours, among pixels at least half opaque.

    picture: RGBA, small: every pixel is looked at.
    """
    raw = picture.tobytes()
    pixels = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    boxes: dict[tuple[int, int, int], list[Sequence[int]]] = defaultdict(list)
    for pixel in [pixel for pixel in pixels if pixel[3] >= 128] or pixels:
        boxes[pixel[0] >> 5, pixel[1] >> 5, pixel[2] >> 5].append(pixel)
    fullest = max(boxes.values(), key=len)
    mean = (round(sum(pixel[channel] for pixel in fullest) / len(fullest)) for channel in range(3))
    return "#" + bytes(mean).hex()
