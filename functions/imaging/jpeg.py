"""What a JPEG says of itself before it is decoded (ITU T.81): its frame, its scans, and where its pixels end."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

# The markers that start a frame (table B.1); C4, C8 and CC between them are tables.
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
SEQUENTIAL, LOSSLESS, SCAN, END = {0xC0, 0xC1}, 0xC3, 0xDA, 0xD9
PROGRESSIVE = {0xC2, 0xCA}

# A progressive JPEG paints the picture again with each scan; 10 are usual. A small file can ask for thousands,
# each as dear as a whole picture.
MAX_SCANS = 100

# A profile or an index in 64 KiB pieces makes hundreds; 50 MB can hold 12 million, of which Pillow would keep a list.
MAX_SEGMENTS = 10_000

# Ones, which no Huffman code consists of, with the zero that each must be followed by. libjpeg reads up to 8 bytes
# ahead (its bit buffer has 64 bits), and these 8 hold no more than two blocks of 8x8.
_PADDING = b"\xff\0" * 8

_END_MARK = b"\xff\xd9"

# One with a meaning: not an escaped or a filling 0xFF, a restart, or a beginning (B.1.1.3). What stands between two
# segments is skipped, as Pillow and libjpeg do.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def frame(data: bytes, at: int = 0, most: int = MAX_SEGMENTS) -> tuple[int, tuple[int, int]]:
    """The marker and the size of the first frame of the JPEG at that place; zeros if there is none.

    Raises ValueError for more segments than `most` before it.
    """
    for marker, place in _segments(data, at, most):
        if marker in FRAMES and place + 5 <= len(data):
            height, width = struct.unpack_from(">2H", data, place + 1)
            return marker, (width, height)
        if marker == SCAN:
            break
    return 0, (0, 0)


def open_ended(data: bytes) -> bytes:
    """The same JPEG, in a form in which libjpeg misses what is missing, and does not see what stands behind the pixels.

    Where the coded pixels end too early libjpeg paints the rest grey and warns, which Pillow does not pass on. It
    stops only where the whole file ends too early. So a JPEG of one scan ends with that scan, and just enough padding.
    One of several scans needs an end mark; of it the headers of the scans must add up to a whole picture, and a last
    scan cut short is not noticed where anything follows. Neither is it in arithmetic code, which may leave out zeros at
    the end. If nothing follows the last scan, the data are returned as they are.

    Raises ValueError for scans that do not add up, and for more scans or segments than the limits above.
    """
    kind, components, scans, end = _layout(data)
    if kind == LOSSLESS or not scans:
        return data
    if _is_one_scan(kind, components, scans):
        return b"".join((memoryview(data)[:end], _PADDING))
    _check_scans(scans, components, in_steps=kind in PROGRESSIVE)
    return data if end is None else data[:end] + _END_MARK


def closed(data: bytes) -> bytes:
    """The same JPEG with an end mark right behind its last scan, whatever stands there, or nothing."""
    *_, end = _layout(data)
    return data[:end] + _END_MARK


def _layout(data: bytes) -> tuple[int, bytes, list[bytes], int | None]:
    """The marker of the frame and its components, the headers of the scans, and where the last of them ends, if at a
    marker. Of a JPEG of one scan that is the first marker behind it."""
    kind, components, scans, end = LOSSLESS, b"", list[bytes](), None
    for marker, place in _segments(data):
        if scans and end is None:
            end = place - 4
            if _is_one_scan(kind, components, scans):
                break
        if marker in FRAMES and not scans:
            kind, components = marker, _body(data, place)[6::3]
        elif marker == SCAN:
            scans.append(_body(data, place))
            end = None
    return kind, components, scans, end


def _is_one_scan(kind: int, components: bytes, scans: list[bytes]) -> bool:
    return kind in SEQUENTIAL and scans[0][:1] == bytes([len(components)])


def _segments(data: bytes, at: int = 0, most: int = MAX_SEGMENTS) -> Iterator[tuple[int, int]]:
    """The marker of each segment and where its body begins, 4 bytes behind the marker, up to the end of the picture.

    An end mark before the first scan only ends tables.
    """
    scanned = False
    for _ in range(most):
        found = _MARKER.search(data, at)
        if not found:
            return
        at, marker = found.start(), data[found.start() + 1]
        if marker != END or scanned:
            yield marker, at + 4
        if marker == END and scanned:
            return
        scanned |= marker == SCAN
        at += 2 if marker == END else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError(f"more than {most:,} segments")


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
