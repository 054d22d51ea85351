"""What a JPEG says of itself before it is decoded (ITU T.81): its frame, its scans, and where its pixels end."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

# The markers that start a frame (table B.1); C4, C8 and CC between them are tables.
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
SEQUENTIAL, LOSSLESS, SCAN = {0xC0, 0xC1}, 0xC3, 0xDA
PROGRESSIVE = {0xC2, 0xCA}

# A progressive JPEG paints the picture again with each scan; 10 are usual. A small file can ask for thousands,
# each as dear as a whole picture.
MAX_SCANS = 100

# Before the first scan. A profile or an index in 64 KiB pieces makes hundreds; 50 MB can hold 12 million, of which
# Pillow would keep a list.
MAX_SEGMENTS = 10_000

# Ones, which no Huffman code consists of, with the zero that each must be followed by. libjpeg reads up to 8 bytes
# ahead (its bit buffer has 64 bits), and these 8 hold no more than two blocks of 8x8.
_PADDING = b"\xff\0" * 8

# Among coded pixels 0xFF is followed by 0, so that these appear nowhere else. `bytes.find` takes three times as long.
_SCAN, _END = re.compile(rb"\xff\xda"), re.compile(rb"\xff\xd9")

# One with a body: not a filling 0xFF, a mere 0xFF of data, a restart, a beginning or an end (B.1.1.3).
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd9\xff]")


def frame(data: bytes, at: int = 0) -> tuple[int, tuple[int, int]]:
    """The marker and the size of the first frame of the JPEG at that place; zeros if there is none."""
    for marker, place in _segments(data, at):
        if marker in FRAMES and place + 5 <= len(data):
            height, width = struct.unpack_from(">2H", data, place + 1)
            return marker, (width, height)
    return 0, (0, 0)


def open_ended(data: bytes) -> bytes:
    """The same JPEG, in a form in which libjpeg misses what is missing.

    Where the coded pixels end too early libjpeg paints the rest grey and warns, which Pillow does not pass on. It
    stops only where the whole file ends too early. So a JPEG of one scan gets just enough padding for its end mark.
    One of several scans needs its end mark; of it the headers of the scans must add up to a whole picture, and a last
    scan cut short is not noticed. Neither is it in arithmetic code, which may leave out zeros at the end.

    Raises ValueError for scans that do not add up, and for more scans or segments than the limits above.
    """
    places = dict(_segments(data, 0))
    kind = next((marker for marker in places if marker in FRAMES), LOSSLESS)
    if SCAN not in places or kind == LOSSLESS:
        return data
    first = places[SCAN]
    found = _END.search(data, first)
    end = found.start() if found else len(data)
    components = _body(data, places[kind])[6::3]
    if kind in SEQUENTIAL and data[first] == len(components):
        return b"".join((memoryview(data)[:end], _PADDING)) if found else data
    scans = [_body(data, first), *(_body(data, scan.end() + 2) for scan in _SCAN.finditer(data, first, end))]
    _check_scans(scans, components, in_steps=kind in PROGRESSIVE)
    return data


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """The marker of each segment and where its body begins, up to the one that starts the first scan.

    What stands between them is skipped, as Pillow does.
    """
    at += 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if not found or found.end() + 2 > len(data):
            return
        at, marker = found.start(), data[found.start() + 1]
        yield marker, at + 4
        if marker == SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError(f"more than {MAX_SEGMENTS:,} segments")


def _body(data: bytes, place: int) -> bytes:
    return data[place : place - 2 + int.from_bytes(data[place - 2 : place], "big")]


def _check_scans(scans: list[bytes], components: bytes, *, in_steps: bool) -> None:
    """Each scan brings some coefficients of some components, down to the bit that its last nibble names (G.1.2)."""
    if len(scans) > MAX_SCANS:
        raise ValueError(f"{len(scans)} scans, limit {MAX_SCANS}")
    bits_left = {component: [1] * 64 for component in components}
    for header in scans:
        count = header[0]
        start, stop, bits = header[1 + 2 * count :][:3] if in_steps else (0, 63, 0)
        for component in header[1 : 1 + 2 * count : 2]:
            for coefficient in range(start, min(stop, 63) + 1):
                bits_left[component][coefficient] = bits & 15
    if any(map(any, bits_left.values())):
        raise ValueError("scans are missing")
