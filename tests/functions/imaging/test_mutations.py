"""What Validate takes, Resize and Caption can render, and nothing costs much: tried on damaged files of every format.

`DARKROOM_MUTATIONS=5000` tries that many of each kind; a failure prints the file. `make fuzz` goes on from here
(fuzzing.py); what it found once is in `found` and tried each time.
"""

import base64
import os
import random
import struct
import time
import zlib
from pathlib import Path

import pytest

from darkroom.local.pictures import landscape
from functions.imaging import Limits, Rejected, Target, examine, for_caption, render
from tests.functions.imaging.test_every_kind import KINDS, chunk, encoded

MUTATIONS = int(os.environ.get("DARKROOM_MUTATIONS", "20"))
LIMITS = Limits(max_bytes=10**6, max_pixels=50_000, optional={"jxl"})
MOST_CPU = 1  # seconds for one file within these limits: a hundred times what one takes
FOUND = sorted(Path(__file__).with_name("found").glob("*.bin"))

PICTURE = landscape(40, 24)
TIFFS = {
    "strips": {},
    "lzw": {"compression": "tiff_lzw"},
    "deflate": {"compression": "tiff_adobe_deflate"},
    "packbits": {"compression": "packbits"},
    "jpeg": {"compression": "jpeg"},
    "big": {"big_tiff": True},
}
SEEDS = {
    **{f"tiff {name}": encoded(PICTURE, "TIFF", **options) for name, options in TIFFS.items()},
    **{f"tiff {mode}": encoded(PICTURE.convert("L").convert(mode), "TIFF") for mode in ("1", "L", "I", "F", "CMYK")},
    "tiff of 16 bits": encoded(PICTURE.convert("I").convert("I;16"), "TIFF"),
    "tiff of a palette": encoded(PICTURE.quantize(16), "TIFF"),
    "tiff with alpha": encoded(PICTURE.convert("RGBA"), "TIFF"),
    "tiff of fax": encoded(PICTURE.convert("1"), "TIFF", compression="group4"),
    **{f"bmp {mode}": encoded(PICTURE.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")},
    **{f"avif {mode}": encoded(PICTURE.convert(mode), "AVIF", speed=10) for mode in ("RGB", "RGBA")},
    "avif of two": encoded(PICTURE, "AVIF", speed=10, save_all=True, append_images=[PICTURE]),
    "webp of two": encoded(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(180)]),
    "gif of two": encoded(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    "png of two": encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)]),
    "mpo": encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE]),
    **{name: kind.data for name, kind in KINDS.items() if "orientation" not in name or name.endswith("orientation 6")},
}
NUMBERS = (0, 1, 2, 3, 5, 7, 8, 16, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def damaged(data, dice):
    """Up to six bytes, pieces or numbers of the file are others, missing, or there twice."""
    file = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        if not file:
            break
        at, length = dice.randrange(len(file)), dice.randint(1, 40)
        how = dice.randrange(6)
        if how == 0:
            file[at] = dice.randrange(256)
        elif how == 1:
            file[at] ^= 1 << dice.randrange(8)
        elif how == 2:
            del file[at : at + length]
        elif how == 3:
            file[at:at] = file[at : at + length]
        elif how == 4:
            size = dice.choice("HI")
            number = dice.choice(NUMBERS) & (0xFFFF if size == "H" else 0xFFFFFFFF)
            file[at : at + struct.calcsize(size)] = struct.pack(dice.choice("<>") + size, number)
        elif dice.randrange(4) == 0:
            del file[at:]
    return bytes(file)


def damaged_png(data, dice):
    """The same of its chunks, with checksums that are right: the faults get past the first look."""
    chunks = []
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(dice.randint(1, 3)):
        number = dice.randrange(len(chunks))
        name, body = chunks[number]
        how = dice.randrange(6)
        if how == 0:
            del chunks[number]
        elif how == 1:
            chunks.insert(dice.randrange(len(chunks)), chunks[number])
        elif how == 2:
            extra = dice.choice(
                (b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"cICP", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"sBIT")
            )
            chunks.insert(
                dice.randrange(len(chunks) + 1), (extra, dice.randbytes(dice.choice((0, 1, 2, 3, 6, 26, 768))))
            )
        elif how == 3 and name == b"IDAT":
            chunks[number] = name, zlib.compress(damaged(zlib.decompress(body), dice))
        else:
            chunks[number] = name, damaged(body, dice) if body else b"\0"
        if not chunks:
            break
    return data[:8] + b"".join(chunk(*one) for one in chunks)


def mutated(data, dice):
    """A PNG half the time by its chunks."""
    if dice.randrange(2) and data.startswith(b"\x89PNG"):
        try:
            return damaged_png(data, dice)
        except (zlib.error, struct.error, ValueError):  # damaged before
            pass
    return damaged(data, dice)


@pytest.mark.parametrize("name", SEEDS)
def test_what_is_taken_can_be_rendered(name):
    dice = random.Random(name)
    for _ in range(MUTATIONS):
        try_out(mutated(SEEDS[name], dice))


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.name)
def test_what_was_found_once_is_mended(file):
    try_out(file.read_bytes())


def try_out(data):
    """Raises AssertionError, which holds the file in base64."""
    began = time.process_time()
    what = "not refused, but"
    try:
        facts = examine(data, LIMITS)
        what = "taken, and then"
        show(data, facts)
    except Exception as fault:
        if what == "taken, and then" or not isinstance(fault, Rejected):
            raise AssertionError(f"{what} {fault!r}: {base64.b64encode(data).decode()}") from fault
    spent = time.process_time() - began
    assert spent < MOST_CPU, f"{spent:.1f} s of CPU, limit {MOST_CPU} s: {base64.b64encode(data).decode()}"


def show(data, facts):
    """At full size, smaller, cropped, and for a caption."""
    small = max(1, facts.width // 3), max(1, facts.height // 3)
    render(data, Target("png", facts.width, facts.height, keep_copyright=True))
    render(data, Target("webp", *small, quality=50))
    render(data, Target("jpeg", small[0], min(small), "cover", "entropy", quality=50))
    for_caption(data, longest_edge=30)
