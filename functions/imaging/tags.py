"""Reads the tag directories of TIFF and EXIF: orientation, copyright, pages, layout. Validate and Resize both ask.

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
XMP = 0x02BC  # XMP, part 3, 1.1.5
SUBFILE_TYPE, THUMBNAIL, MASK = 0x00FE, 1, 4  # the second and third are bits of the first
MP_ENTRIES = 0xB002  # CIPA DC-007: 16 bytes for each picture of a multi-picture file

ENTRIES_READ = 1000  # of one directory; real ones have tens
DIRECTORIES_READ, ENTRIES_IN_ALL = 1000, 50_000  # of one file
BYTES_READ = 1 << 24  # of one tag; the profile of a press has 2.5 MB
MAX_TEXT = 100  # characters; the longest names of lenses have 60
NUMBERS_READ = 3 * 256  # of one tag: as many as a palette has

Tags = dict[int, int | bytes | tuple[float, ...]]

_INTEGERS = {3: "H", 4: "L", 16: "Q"}  # SHORT, LONG, LONG8
_BYTES = {1, 2, 7}  # BYTE, ASCII, UNDEFINED
_FRACTIONS = {5: "2L", 10: "2l"}  # RATIONAL, SRATIONAL
_NUMBERS = _INTEGERS | {1: "B", 6: "b", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L", 18: "Q"}


class _Format:
    """How a file writes its numbers: 42 behind the byte order is TIFF, 43 BigTIFF."""

    def __init__(self, order: str, offset: str, counter: str, first: int) -> None:  # a NamedTuple takes 1 ms to define
        self.order, self.offset, self.counter, self.first = order, offset, counter, first

    @classmethod
    def of(cls, data: bytes) -> _Format | None:
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None or len(data) < 8:
            return None
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        return cls(order, "Q", "Q", 8) if big else cls(order, "L", "H", 4)


class _Entry:
    """`raw` is all of it, as it is stored; `at` is where its value lies, which may be in the entry itself."""

    __slots__ = ("at", "kind", "raw", "tag", "values")

    def __init__(self, tag: int, kind: int, values: int, at: int, raw: bytes) -> None:
        self.tag, self.kind, self.values, self.at, self.raw = tag, kind, values, at, raw


def first_directory(block: bytes, wanted: Collection[int]) -> Tags:
    """The wanted tags of an EXIF or MPF block, with or without the `Exif` prefix of a JPEG segment."""
    return next(directories(block.removeprefix(b"Exif\0\0"), wanted), {})


def directories(
    data: bytes,
    wanted: Collection[int],
    lists: Collection[int] = (),
    at: int | None = None,
    most: int = NUMBERS_READ,
) -> Iterator[Tags]:
    """One dict per directory of the chain that begins at that place, or with the first.

    Of the wanted tags, a number is its first value, a text the bytes as they are, fractions are a tuple. Of the lists,
    `most` numbers count.
    """
    form = _Format.of(data)
    if form is None:
        return
    for entries in _directories(data, form, at):
        tags: Tags = {}
        for entry in entries:
            if entry.tag in tags:  # of two of a kind the first counts, as in libtiff
                continue
            is_list, is_wanted = entry.tag in lists, entry.tag in wanted
            value = _numbers(data, form, entry, most) if is_list else _value(data, form, entry) if is_wanted else None
            if value is not None:
                tags[entry.tag] = value
        yield tags


def reduced(data: bytes, numbers: Collection[int], others: Collection[int]) -> bytes:
    """The same file with a first directory, at its end, of nothing but those tags: numbers as `directories` reads them,
    and others of any kind. A decoder may take another kind for a number, and what it takes for no tag of its own it
    may keep in memory.
    """
    form = _Format.of(data)
    entries = next(_directories(data, form, None), []) if form else []
    if form is None or not entries:
        return data
    taken = [entry for entry in entries if entry.tag in others or (entry.tag in numbers and entry.kind in _INTEGERS)]
    kept = {entry.tag: entry.raw for entry in reversed(taken)}  # of two of a kind the first
    padding = bytes(len(data) % 2)
    counter, offset = struct.Struct(form.order + form.counter), struct.Struct(form.order + form.offset)
    place = offset.pack(len(data) + len(padding))
    return b"".join(
        [
            *(data[: form.first], place, memoryview(data)[form.first + offset.size :], padding),
            *(counter.pack(len(kept)), *(kept[tag] for tag in sorted(kept)), offset.pack(0)),
        ]
    )


def _directories(data: bytes, form: _Format, position: int | None) -> Iterator[list[_Entry]]:
    seen, left = set[int](), ENTRIES_IN_ALL
    offset, counter = form.order + form.offset, form.order + form.counter
    head = struct.Struct(form.order + "HH" + form.offset)
    room = struct.calcsize(offset)
    size = head.size + room
    try:
        if position is None:
            (position,) = struct.unpack_from(offset, data, form.first)
        while position and position not in seen and len(seen) < DIRECTORIES_READ and left:
            seen.add(position)
            (count,) = struct.unpack_from(counter, data, position)
            start = position + struct.calcsize(counter)
            entries = []
            read = min(count, ENTRIES_READ, left)
            left -= read
            for at in range(start, start + size * read, size):
                tag, kind, values = head.unpack_from(data, at)
                place = at + head.size
                if values * _unit(form, kind) > room:
                    (place,) = struct.unpack_from(offset, data, place)
                entries.append(_Entry(tag, kind, values, place, data[at : at + size]))
            yield entries
            (position,) = struct.unpack_from(offset, data, start + size * count)
    except (struct.error, OverflowError):
        return  # the directory points out of the data


def _unit(form: _Format, kind: int) -> int:
    layout = _NUMBERS.get(kind) or _FRACTIONS.get(kind)
    return struct.calcsize(form.order + layout) if layout else 1


def _value(data: bytes, form: _Format, entry: _Entry) -> int | bytes | tuple[float, ...] | None:
    if entry.kind in _BYTES:
        return data[entry.at : entry.at + min(entry.values, BYTES_READ)]
    if entry.kind in _FRACTIONS:
        return _fractions(data, form, entry)
    numbers = _numbers(data, form, entry, most=1) if entry.kind in _INTEGERS else ()
    return int(numbers[0]) if numbers else None


def _numbers(data: bytes, form: _Format, entry: _Entry, most: int) -> tuple[float, ...] | None:
    """None where they are of no known kind, or lie outside of the data."""
    count = min(entry.values, most)
    if entry.kind not in _NUMBERS or entry.at + count * _unit(form, entry.kind) > len(data):
        return None
    return struct.unpack_from(f"{form.order}{count}{_NUMBERS[entry.kind]}", data, entry.at)


def _fractions(data: bytes, form: _Format, entry: _Entry) -> tuple[float, ...] | None:
    """None where they lie outside of the data, or one is divided by 0."""
    pair = struct.Struct(form.order + _FRACTIONS[entry.kind])
    size = min(entry.values, NUMBERS_READ) * pair.size
    if entry.at + size > len(data):
        return None
    pairs = list(pair.iter_unpack(data[entry.at : entry.at + size]))
    return tuple(above / below for above, below in pairs) if all(below for _, below in pairs) else None


def number(page: Tags, tag: int, default: int = 0) -> int:
    found = page.get(tag)
    return found if isinstance(found, int) else default


def numbers(page: Tags, tag: int) -> tuple[float, ...]:
    found = page.get(tag)
    return found if isinstance(found, tuple) else ()


def text(said: object) -> str | None:
    """Up to its first zero, with single spaces; None for what is no short printable text."""
    found = said.partition(b"\0")[0].decode("utf-8", "replace") if isinstance(said, bytes) else said
    if not isinstance(found, str):
        return None
    found = " ".join(found.split())
    return found if 0 < len(found) <= MAX_TEXT and found.isprintable() and "\ufffd" not in found else None
