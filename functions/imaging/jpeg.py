"""Takes a JPEG apart before it is decoded (ITU T.81): its frame, its scans, and where its pixels end.

Pillow gets the segments that pixels are made of. What is said about the picture is read here, at a bounded cost: Pillow
adds up, copies and parses whatever number of blocks, resources and comments there is, and steps through junk by bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from functions.imaging import tags
from functions.imaging.errors import Rejected

# The markers that start a frame (table B.1); C4, C8 and CC between them are tables.
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
SEQUENTIAL, LOSSLESS, SCAN, END = {0xC0, 0xC1}, 0xC3, 0xDA, 0xD9
PROGRESSIVE, ARITHMETIC = {0xC2, 0xCA}, {0xC9, 0xCA}

# A progressive JPEG paints the picture again with each scan; 10 are usual. A small file can ask for thousands.
MAX_SCANS = 100

# And how often a picture with as many pixels as are taken may be painted, each component of a scan by itself: 2.8 s
# where there is nothing to paint. The usual 10 scans of a colour picture are 14 components, mozjpeg's are up to 20,
# those of CMYK 24. Arithmetic code takes up to 8 times as long as Huffman's.
MAX_PAINTED, ARITHMETIC_COST = 32, 8

# Bytes of one that has scans and no end mark: it is decoded four times (see formats.guarded), each 16 MB in a second.
MAX_UNENDED = 20_000_000

# A profile or an index in 64 KiB pieces makes hundreds; 50 MB can hold 12 million. Between them stands little junk.
MAX_SEGMENTS, JUNK_PER_SEGMENT = 10_000, 100

MAX_PICTURES = 100  # of an MPO; real ones have two or three

# Bytes of tables and other segments that stay before the first scan. Real ones have hundreds.
MAX_HEAD = 1 << 18

# Ones, which no Huffman code consists of, with the zero that each must be followed by. libjpeg reads up to 8 bytes
# ahead (its bit buffer has 64 bits), and these 8 hold no more than two blocks of 8x8.
_PADDING = b"\xff\0" * 8

_END_MARK = b"\xff\xd9"

# One with a meaning: not an escaped or a filling 0xFF, a restart, or a beginning (B.1.1.3). What stands between two
# segments is skipped, as Pillow and libjpeg do.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")

_XMP = b"http://ns.adobe.com/xap/1.0/\0"  # XMP, part 3, 1.1.3

# What is said about the picture: APP0 to APP15, and COM. libjpeg needs of it whether the colours are Y, Cb and Cr.
# Each with the bytes that it must begin with and the least that it must have, or libjpeg does not heed it.
_ABOUT, _NEEDED = {*range(0xE0, 0xF0), 0xFE}, ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12))


def apart(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The JPEG without what is said about it before its first scan; and of that, under Pillow's names for it, `exif`,
    `xmp`, `icc_profile`, and `mp`, the index of an MPO, with `mpoffset`, the place from which that counts.

    Raises ValueError for more segments, junk or tables than the limits above.
    """
    kept, said = [b"\xff\xd8"], dict[str, Any]()
    profile = list[bytes]()
    for marker, place in _segments(data):
        if marker == SCAN:
            break
        body = _body(data, place)
        if marker not in _ABOUT or _is_needed(marker, body):
            kept.append(data[place - 4 : place + len(body)])
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            said.setdefault("exif", body)
        elif marker == 0xE1 and body.startswith(_XMP):
            said.setdefault("xmp", body[len(_XMP) :])
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profile.append(body[12:])
        elif marker == 0xE2 and body.startswith(b"MPF\0"):
            said |= {"mp": body[4:], "mpoffset": place + 4}
    else:
        raise ValueError("it has no scan")
    if sum(map(len, kept)) > MAX_HEAD:
        raise ValueError(f"more than {MAX_HEAD:,} bytes of tables")
    profile.sort()  # by the number of the piece; the next byte is how many there are
    if profile and len(profile[0]) > 1 and profile[0][1] == len(profile):
        said["icc_profile"] = b"".join(piece[2:] for piece in profile)
    return b"".join([*kept, memoryview(data)[place - 4 :]]), said


def _is_needed(marker: int, body: bytes) -> bool:
    return any(marker == one and body.startswith(name) and len(body) >= least for one, name, least in _NEEDED)


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


def open_ended(data: bytes, max_pixels: int) -> bytes:
    """The same JPEG, in a form in which libjpeg misses what is missing, and does not see what stands behind the pixels.

    Where the coded pixels end too early libjpeg paints the rest grey and warns, which Pillow does not pass on. It
    stops only where the whole file ends too early. So a JPEG of one scan ends with that scan, and just enough padding.
    One of several scans needs an end mark; of it the headers of the scans must add up to a whole picture, and a last
    scan cut short is not noticed where anything follows. Neither is it in arithmetic code, which may leave out zeros at
    the end. If nothing follows the last scan, the data are returned as they are.

    Raises ValueError for scans that do not add up, and for more scans or segments than the limits above; Rejected for
    scans that paint too much.
    """
    kind, components, scans, end = _layout(data)
    if kind == LOSSLESS or not scans:
        return data
    if _is_one_scan(kind, components, scans):
        return b"".join((memoryview(data)[:end], _PADDING))
    _check_scans(scans, components, in_steps=kind in PROGRESSIVE)
    if end is None and len(data) > MAX_UNENDED:
        raise Rejected("too_costly", f"JPEG of {len(data):,} bytes without an end mark, limit {MAX_UNENDED:,}")
    decodes = 1 if end is not None else 4
    _check_cost(frame(data)[1], scans, decodes * (ARITHMETIC_COST if kind in ARITHMETIC else 1), max_pixels)
    return data if end is None else data[:end] + _END_MARK


def closed(data: bytes) -> bytes:
    """The same JPEG with an end mark right behind its last scan, whatever stands there, or nothing."""
    *_, end = _layout(data)
    return data[:end] + _END_MARK


def painted(data: bytes, at: int, end: int, most: int) -> tuple[int, int]:
    """How many components all scans of the JPEG at that place paint, and how many its frame has."""
    _, components, scans, _ = _layout(data, at, end, most)
    return sum(header[0] for header in scans if header), len(components)


def appended(data: bytes, info: Mapping[Any, Any]) -> Iterator[tuple[int, int]]:
    """The sizes of the pictures that an MPO (CIPA DC-007) has behind the first: a second eye, a gain map, a preview.

    info: with the index, as `apart` says it. Raises ValueError for more than MAX_PICTURES.
    """
    index: bytes = info.get("mp", b"")
    entries = tags.first_directory(index, {tags.MP_ENTRIES}).get(tags.MP_ENTRIES)
    if not isinstance(entries, bytes):
        return
    order = "<" if index[:2] == b"II" else ">"
    if len(entries) > 16 * MAX_PICTURES:
        raise ValueError(f"an index of {len(entries) // 16:,} pictures, limit {MAX_PICTURES}")
    places = set()
    for at in range(16, len(entries) - 15, 16):  # the first entry is the picture itself
        length, offset = struct.unpack_from(order + "LL", entries, at + 4)
        place = info["mpoffset"] + offset
        if data[place : place + 2] == b"\xff\xd8" and place + length <= len(data):
            places.add(place)
    for place in places:
        marker, size = frame(data, place, most=MAX_SEGMENTS // len(places))
        if marker:
            yield size


def _layout(
    data: bytes, at: int = 0, until: int | None = None, most: int = MAX_SEGMENTS
) -> tuple[int, bytes, list[bytes], int | None]:
    """The marker of the frame and its components, the headers of the scans, and where the last of them ends, if at a
    marker. Of a JPEG of one scan that is the first marker behind it."""
    kind, components, scans, end = LOSSLESS, b"", list[bytes](), None
    for marker, place in _segments(data, at, most, until):
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


def _segments(data: bytes, at: int = 0, most: int = MAX_SEGMENTS, end: int | None = None) -> Iterator[tuple[int, int]]:
    """The marker of each segment and where its body begins, 4 bytes behind the marker, up to the end of the picture.

    An end mark before the first scan only ends tables.
    """
    scanned, junk, end = False, most * JUNK_PER_SEGMENT, len(data) if end is None else min(end, len(data))
    for _ in range(most):
        found = _MARKER.search(data, at, end if scanned else min(at + junk, end))
        if not found and not scanned and at + junk < end:
            raise ValueError(f"more than {most * JUNK_PER_SEGMENT:,} bytes between segments")
        if not found:
            return
        if not scanned:
            junk -= found.start() - at
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


def _check_cost(size: tuple[int, int], scans: list[bytes], each: int, max_pixels: int) -> None:
    painted = size[0] * size[1] * sum(header[0] for header in scans) * each
    if painted > MAX_PAINTED * max_pixels:
        what = f"{len(scans)} scans of {size[0]}x{size[1]} paint {painted / 1e6:,.6g} MP"
        raise Rejected("too_costly", f"{what}, limit {MAX_PAINTED * max_pixels / 1e6:,.6g} MP")


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
