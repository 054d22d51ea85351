"""The blocks of a GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod

from functions.imaging.patches import BACKGROUND, KEEP, PREVIOUS, Patch

# Of pixels, at most 255 bytes each, 50 MB have 200,000. They could have 10 million comments, for which Pillow takes
# 1.7 GB and 8 s before it shows the first frame.
MAX_BLOCKS = 1_000_000

# An application extension (section 26) as XMP lays it out (part 3, 1.1.2): the packet as it is, and not in blocks. Who
# reads blocks all the same takes bytes of the packet for lengths, and comes by these 258 to the end of the extension.
_XMP = b"!\xff\x0bXMP DataXMP"
_XMP_END = bytes([1, *range(255, -1, -1), 0])

# Of a graphic control (section 23): what a frame leaves behind. What is not said, or not known, keeps it.
_LEAVES = {2: BACKGROUND, 3: PREVIOUS}

# Hundredths of a second. Browsers and ffmpeg show a frame of 0 or 1 for 10: whoever wrote that did not mean a blur.
_LEAST, _USUAL = 2, 10


def frames(data: bytes) -> tuple[int, tuple[int, int]]:
    """How many are there to their end, and the largest canvas that one asks for (section 20).

    Raises ValueError for more than MAX_BLOCKS, and where Pillow would find the first image elsewhere.
    """
    count, largest = 0, (0, 0)
    for whole, left, top, width, height in _images(data):
        count += whole
        largest = max(largest, (left + width, top + height), key=prod)
    return count, largest


def patches(data: bytes) -> Iterator[Patch]:
    """Its frames that are there to their end. Raises ValueError as `frames` does."""
    head = data[: 13 + _palette(data[10])]
    control = b""
    for at, end in _blocks(data):
        if end > len(data):
            return
        if data[at] == ord("!"):
            control = data[at:end] if data[at + 1 : at + 3] == b"\xf9\x04" and end - at == 8 else control
            continue
        left, top = struct.unpack_from("<2H", data, at + 1)
        flags, hundredths = struct.unpack_from("<BH", control, 3) if control else (0, 0)
        alone = [head[:6], data[at + 5 : at + 9], head[10:], control, b",\0\0\0\0", data[at + 5 : end], b";"]
        milliseconds = 10 * (hundredths if hundredths >= _LEAST else _USUAL)
        yield Patch(b"".join(alone), (left, top), _LEAVES.get(flags >> 2 & 7, KEEP), milliseconds, blends=True)
        control = b""


def xmp(data: bytes) -> bytes:
    """The first packet that is whole; empty if there is none. Raises ValueError as `frames` does."""
    if _XMP not in data:  # which is found out quickly
        return b""
    whole = (data[at:end] for at, end in _blocks(data) if data.startswith(_XMP, at))
    return next((one[len(_XMP) : -len(_XMP_END)] for one in whole if one.endswith(_XMP_END)), b"")


def _images(data: bytes) -> Iterator[tuple[bool, int, int, int, int]]:
    """Whether an image's pixels are followed by the block that ends them, and its place on the canvas."""
    for at, end in _blocks(data):
        if data[at] == ord(","):
            yield end <= len(data), *struct.unpack_from("<4H", data, at + 1)


def _blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each extension and each image begins and ends; the last one may end behind the file."""
    at, left, is_first = 13 + _palette(data[10]), MAX_BLOCKS, True
    while data[at : at + 1] in (b"!", b","):
        start = at
        if data[at] == ord("!"):  # an extension: its label, then blocks
            if is_first and _is_without_data(data, at):
                raise ValueError(f"an extension without data at byte {at}")
            at += 2
        elif at + 11 > len(data):
            return
        else:
            is_first = False
            at += 11 + _palette(data[at + 9])  # 10 bytes of descriptor, 1 of LZW code size
        while at < len(data) and data[at]:
            at += 1 + data[at]
            left -= 1
        at += 1
        left -= 1
        if left < 0:
            raise ValueError(f"more than {MAX_BLOCKS:,} blocks")
        yield start, at
    if is_first and data[at : at + 1] not in (b"", b";"):  # Pillow looks on, byte by byte
        raise ValueError(f"no block of a GIF at byte {at}")


def _is_without_data(data: bytes, at: int) -> bool:
    """Of an extension at that place: Pillow then takes what follows for its data. Not of a comment, which may be."""
    label, size = data[at + 1 : at + 2], data[at + 2 : at + 3]
    if size == b"\0":
        return label != b"\xfe"
    if label != b"\xff" or data[at + 3 : at + 14] != b"NETSCAPE2.0":
        return False
    second = at + 3 + size[0]
    return data[second : second + 1] == b"\0"


def _palette(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
