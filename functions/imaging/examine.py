"""Validate's question: is this a picture we take, and what is it? Every pixel is decoded once, at the least cost."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageFile

from functions.imaging.color import described, straight, to_srgb
from functions.imaging.errors import Rejected, is_of_memory
from functions.imaging.formats import (
    MOVING,
    OPTIONAL,
    bits,
    check_cost,
    declared_size,
    frames,
    guarded,
    load,
    metadata,
    open_picture,
    orientation,
    recognise,
    shrink,
)
from functions.imaging.placeholder import HASHED, dominant_color, perceptual_hash, thumbhash
from functions.imaging.plan import fit_inside
from functions.imaging.render import upright
from functions.imaging.tags import text

SAMPLE = 256  # pixels a side looked at for placeholder and colour, taken evenly
GLANCE = 24  # pixels a side that these are averaged to: three times what a ThumbHash's 7 cosine terms can show

# Pixels. However small a frame is, it takes Resize 0.4 ms, as long as so many do: 50 MB can hold a million of them.
LEAST_OF_A_FRAME = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may cost. `optional`: those of `OPTIONAL` whose decoders are there. `max_animated_pixels`: of all
    frames of an animation together; None where only its first one is rendered."""

    max_bytes: int
    max_pixels: int
    optional: Collection[str] = ()
    max_animated_pixels: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Width and height are those a person sees. `notes` say what was wrong but did not matter. `metadata` says how the
    picture was taken, and how it is stored: `metadata` and `_stored` have its members."""

    format: str
    width: int
    height: int
    frames: int
    placeholder: str
    color: str
    perceptual_hash: str = ""
    notes: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


def examine(data: bytes, limits: Limits) -> Facts:
    """Raises Rejected, and nothing else, whatever the bytes are."""
    name = _accepted_format(data, limits)
    with _decoding(name):
        if declared := declared_size(data, name):
            _check_pixels(*declared, limits)
        picture = open_picture(guarded(data, name, limits.max_pixels), name)
        _check_pixels(*picture.size, limits)
        count, largest = frames(data, name, picture)
        _check_pixels(*largest, limits)
        _check_animation(name, count, largest, limits)
        check_cost(data, name, picture, limits.max_pixels)
        turn = orientation(picture)
        known = metadata(data, picture)
        del data  # a decoder that wants it has it, or a copy
        width, height = picture.size
        shrunk = shrink(picture, _part_to_look_at(*picture.size))
        decoded = load(picture)
        known |= _stored(name, picture, turn, count)
        glance, square, note = _glances(decoded, (width / shrunk, height / shrunk))
        known["has_alpha"] = glance.mode in ("LA", "RGBA")
    if turn >= 5:
        width, height = height, width
    glance = upright(glance, turn).convert("RGBA")
    return Facts(
        *(name, width, height, count),
        placeholder=thumbhash(glance),
        color=dominant_color(glance),
        perceptual_hash=perceptual_hash(upright(square, turn).convert("RGBA")),
        notes=(note,) if note else (),
        metadata=known,
    )


def _stored(name: str, picture: ImageFile.ImageFile, turn: int, count: int) -> dict[str, Any]:
    """`color_profile` is missing where there is none: then the colours are those of sRGB. `bits` are of one channel."""
    profile = text(described(picture.info.get("icc_profile")))
    return {
        "orientation": turn,
        "animated": count > 1 and name in MOVING,
        "bits": bits(picture),
        **({"color_profile": profile} if profile else {}),
    }


def _accepted_format(data: bytes, limits: Limits) -> str:
    if not data:
        raise Rejected("empty", "0 bytes")
    if len(data) > limits.max_bytes:
        raise Rejected("too_large", f"{len(data):,} bytes, limit {limits.max_bytes:,} bytes")
    name = recognise(data)
    if name is None:
        raise Rejected("unsupported_format", "not JPEG, PNG, GIF, WebP, TIFF, BMP or AVIF by its content")
    if name in OPTIONAL and name not in limits.optional:
        raise Rejected("unsupported_format", f"{OPTIONAL[name]} is taken only where the setting `{name}` is on")
    return name


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Whatever a decoder raises is a verdict on the picture. Seen: ValueError, SyntaxError, TypeError, KeyError,
    IndexError, struct.error, MemoryError, OSError, zlib.error, EOFError; the next one is not known yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow finds odd but can read, we take
            yield
    except Rejected:
        raise
    except Exception as fault:
        if is_of_memory(fault):
            raise Rejected("too_many_pixels", f"{name.upper()} that takes more memory than there is") from fault
        reason = " ".join(str(fault).split())[:200] or type(fault).__name__
        raise Rejected("corrupt", f"{name.upper()} that cannot be decoded: {reason}") from fault


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        measured, limit = width * height / 1_000_000, limits.max_pixels / 1_000_000
        raise Rejected("too_many_pixels", f"{width}x{height} = {measured:.1f} MP, limit {limit:g} MP")


def _check_animation(name: str, count: int, size: tuple[int, int], limits: Limits) -> None:
    if name in MOVING and limits.max_animated_pixels is not None:
        each = max(size[0] * size[1], LEAST_OF_A_FRAME)
        if count > 1 and count * each > limits.max_animated_pixels:
            measured, limit = count * each / 1_000_000, limits.max_animated_pixels / 1_000_000
            what = f"{count:,} frames of {size[0]}x{size[1]}"
            counted = f" that count as {each:,} pixels each" if each == LEAST_OF_A_FRAME else ""
            raise Rejected("too_many_pixels", f"{what}{counted} = {measured:.1f} MP, limit {limit:g} MP")


def _part_to_look_at(width: int, height: int) -> int:
    """8, 4, 2 or 1: a JPEG is decoded at one part of that, as small as leaves GLANCE rows and columns."""
    return next((part for part in (8, 4, 2) if min(width, height) >= part * GLANCE), 1)


def _glances(picture: Image.Image, size: tuple[float, float]) -> tuple[Image.Image, Image.Image, str | None]:
    """A few pixels of the picture in sRGB, in its shape and as a square, and a note on its profile. `size`: without the
    padding of a JPEG that was shrunk."""
    sample = picture.resize(fit_inside(*picture.size, SAMPLE, SAMPLE), Image.Resampling.NEAREST, (0, 0, *size))
    sample.info = picture.info
    seen, profile = straight(sample), picture.info.get("icc_profile")
    glance, note = to_srgb(seen.resize(fit_inside(*picture.size, GLANCE, GLANCE), Image.Resampling.BOX), profile)
    return glance, to_srgb(seen.resize((HASHED, HASHED), Image.Resampling.BOX), profile)[0], note
