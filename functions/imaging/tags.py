"""Reads the tag directories of TIFF and EXIF: orientation, copyright, pages. Validate and Resize both ask.

Only the tags asked for are read, and a directory that makes no sense has none: a broken or hostile EXIF block
neither fails a picture nor costs memory.
Layout: TIFF 6.0 section 2 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), BigTIFF
(https://www.awaresystems.be/imaging/tiff/bigtiff.html).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

WIDTH, HEIGHT, ORIENTATION, ARTIST, COPYRIGHT = 0x0100, 0x0101, 0x0112, 0x013B, 0x8298
TILE_WIDTH, TILE_HEIGHT = 0x0142, 0x0143
MP_ENTRIES = 0xB002  # CIPA DC-007: 16 bytes for each picture of a multi-picture file

ENTRIES_READ = 1000  # of one directory; real ones have tens
DIRECTORIES_READ = 1000  # of one file

Tags = dict[int, int | bytes]

_INTEGERS = {3: "H", 4: "L", 16: "Q"}  # SHORT, LONG, LONG8
_BYTES = {1, 2, 7}  # BYTE, ASCII, UNDEFINED


def first_directory(block: bytes, wanted: Collection[int]) -> Tags:
    """The wanted tags of an EXIF or MPF block, with or without the `Exif` prefix of a JPEG segment."""
    return next(directories(block.removeprefix(b"Exif\0\0"), wanted), {})


def directories(data: bytes, wanted: Collection[int]) -> Iterator[Tags]:
    """One dict per directory of the chain. A number is its first value, a text the bytes as they are."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return
    big = struct.unpack_from(order + "H", data, 2)[0] == 43  # 42 is TIFF, 43 BigTIFF
    counter, offset, first = ("Q", "Q", 8) if big else ("H", "L", 4)
    seen: set[int] = set()
    try:
        (position,) = struct.unpack_from(order + offset, data, first)
        while position and position not in seen and len(seen) < DIRECTORIES_READ:
            seen.add(position)
            (count,) = struct.unpack_from(order + counter, data, position)
            entry = struct.Struct(order + "HH" + offset)
            size = entry.size + struct.calcsize(order + offset)
            start = position + struct.calcsize(order + counter)
            tags: Tags = {}
            for at in range(start, start + size * min(count, ENTRIES_READ), size):
                tag, kind, values = entry.unpack_from(data, at)
                if tag in wanted:
                    value = _value(data, order, offset, kind, values, at + entry.size)
                    if value is not None:
                        tags[tag] = value
            yield tags
            (position,) = struct.unpack_from(order + offset, data, start + size * count)
    except struct.error:
        return  # the directory points out of the data


def _value(data: bytes, order: str, offset: str, kind: int, values: int, at: int) -> int | bytes | None:
    """One entry's value: it lies in the entry itself where it fits there, else where the entry points to."""
    unit = struct.calcsize(order + _INTEGERS[kind]) if kind in _INTEGERS else 1
    if values * unit > struct.calcsize(order + offset):
        (at,) = struct.unpack_from(order + offset, data, at)
    if kind in _INTEGERS and values:
        number: int = struct.unpack_from(order + _INTEGERS[kind], data, at)[0]
        return number
    return data[at : at + values] if kind in _BYTES else None
