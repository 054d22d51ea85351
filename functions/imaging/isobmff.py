"""The boxes of an AVIF or HEIC file: what its container says of the picture, before a decoder is asked.

Boxes and tracks: ISO/IEC 14496-12. Items and their properties: ISO/IEC 23008-12. AVIF: https://aomediacodec.github.io/av1-avif/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import ceil, floor
from typing import NamedTuple, cast

# Of one file; real ones have tens, a grid of tiles hundreds. 50 MB can hold 6 million.
MAX_BOXES = 20_000

# For each item libavif goes through all that it has found before.
MAX_ITEMS = 5_000

MOST_WITHOUT_SIZES = 100  # items that are given a size; each moves all that stands behind it

# For each chunk of a track libavif goes through this table of its chunks, which mostly has one entry.
MAX_STEPS_THROUGH_CHUNKS = 10_000_000

Properties = list[tuple[bytes, bytes]]

# What an item may be that has pixels: coded ones, a grid of other items, one above the other, or the same as another.
_PICTURES = {b"av01", b"hvc1", b"grid", b"iovl", b"iden"}

_BROKEN = (struct.error, StopIteration, IndexError)  # what reading boxes raises where they make no sense

_SAMPLE_ENTRY = 78  # bytes of a VisualSampleEntry before its boxes; width and height are at 24


class Box(NamedTuple):
    """`start` is where its length is written, `body` what comes behind its name."""

    name: bytes
    start: int
    body: int
    end: int


class _Item(NamedTuple):
    """What `ipma` says of one: numbers in `ipco`, from 1, counted at `at` and, if `wide`, of two bytes each."""

    number: int
    properties: list[int]
    at: int
    end: int
    wide: bool


def properties(data: bytes) -> Properties:
    """Name and content of each property of the picture that is shown, in their order; none where the boxes are broken.

    As libavif chooses: the major brand says whether it is an item of its own or the first of a track.
    """
    try:
        return _of_track(data) if data[8:12] == b"avis" else _of_primary_item(data)
    except _BROKEN:
        return []


def kind(data: bytes) -> bytes | None:
    """What the item that is shown is made of: `av01`, `grid`, …; None for a track, and where the boxes are broken."""
    try:
        meta = _meta(data)
        return None if data[8:12] == b"avis" else dict(_kinds(data, meta)).get(_primary(data, meta))
    except _BROKEN:
        return None


def size(found: Properties) -> tuple[int, int] | None:
    """Width and height of all that is coded, before anything is cropped or turned."""
    body = next((body for name, body in found if name == b"ispe" and len(body) >= 12), None)
    return cast(tuple[int, int], struct.unpack_from(">2I", body, 4)) if body else None


def clean_aperture(found: Properties) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the part that is the picture, where not all of it is: 14496-12, box `clap`.

    An edge amid a pixel leaves that pixel out. Raises ValueError if the part does not lie within the whole.
    """
    body = next((body for name, body in found if name == b"clap"), None)
    whole = size(found)
    if body is None or whole is None:
        return None
    try:
        numbers = struct.unpack_from(">IIIIiIiI", body)
        width, height, right, down = (numbers[at] / numbers[at + 1] for at in (0, 2, 4, 6))
    except (struct.error, ZeroDivisionError) as fault:
        raise ValueError("its clean aperture makes no sense") from fault
    left, top = (whole[0] - width) / 2 + right, (whole[1] - height) / 2 + down
    exact = 1e-6  # of a pixel: what is less is the division's
    box = ceil(left - exact), ceil(top - exact), floor(left + width + exact), floor(top + height + exact)
    inside = min(left, top) >= -exact and left + width <= whole[0] + exact and top + height <= whole[1] + exact
    if not (inside and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"its clean aperture {width:g}x{height:g} does not lie within {whole[0]}x{whole[1]}")
    return box


def code_points(found: Properties) -> bytes:
    """Colour primaries and transfer, numbers of ITU-T H.273: 14496-12, 12.1.5, box `colr`. Each has two bytes there."""
    colour = next((body for name, body in found if name == b"colr" and body[:4] == b"nclx"), b"")
    return colour[5:6] + colour[7:8]


def with_sizes(data: bytes) -> bytes:
    """The same file, where an item without a size (`ispe`), as some programs write alpha, has that of the picture.

    libavif refuses it. The boxes about the items come a second time, at the end, so that nothing else moves.
    """
    try:
        return _with_sizes(data)
    except _BROKEN:
        return data


def check(data: bytes) -> None:
    """Raises ValueError for so many items, references or chunks that a decoder would take minutes."""
    try:
        tracks = [track for moov in _named(data, None, b"moov") for track in _named(data, moov, b"trak")]
        for parent in (None, *tracks):
            _check_items(data, parent)
        for track in tracks:
            _check_chunks(data, track)
    except (struct.error, IndexError):
        return  # cut short: the decoder says so


def _check_items(data: bytes, parent: Box | None) -> None:
    for meta in _named(data, parent, b"meta"):
        for box in boxes(data, meta.body + 4, meta.end):
            count = 0
            if box.name == b"iloc":
                count = _number(data, box.body + 6, wide=data[box.body] > 1)
            elif box.name == b"iinf":
                count = _number(data, box.body + 4, wide=data[box.body] > 0)
            elif box.name == b"iref":
                count = sum(1 + len(to) for _, _, to in _references(data, box))
            elif box.name == b"iprp":
                count = sum(_number(data, ipma.body + 4, wide=True) for ipma in _named(data, box, b"ipma"))
            if count > MAX_ITEMS:
                raise ValueError(f"more than {MAX_ITEMS:,} items or references to them")


def _check_chunks(data: bytes, track: Box) -> None:
    table = _inside(data, track, b"mdia", b"minf", b"stbl")
    counts = {
        box.name: _number(data, box.body + 4, wide=True)
        for box in boxes(data, table.body, table.end)
        if box.name in (b"stco", b"co64", b"stsc")
    }
    chunks = max(counts.get(b"stco", 0), counts.get(b"co64", 0))
    if chunks * counts.get(b"stsc", 0) > MAX_STEPS_THROUGH_CHUNKS:
        raise ValueError(f"{chunks:,} chunks in {counts[b'stsc']:,} runs")


def _number(data: bytes, at: int, *, wide: bool) -> int:
    return cast(int, struct.unpack_from(">I" if wide else ">H", data, at)[0])


def coded(data: bytes) -> list[memoryview | bytes]:
    """The code that is decoded for the picture, of each item by itself: its own, that of its tiles, and of their alpha.
    Of tracks, that of the first picture of each."""
    try:
        return list(_first_samples(data) if data[8:12] == b"avis" else _code_of_items(data))
    except _BROKEN:
        return []


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """Those that lie side by side in that part. Raises ValueError for more than MAX_BOXES."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        length, name = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, body)
            body += 8
        until = end if length == 0 else min(start + max(length, 8), end)
        yield Box(name, start, body, until)
        start = until
    raise ValueError(f"more than {MAX_BOXES:,} boxes")


def _named(data: bytes, parent: Box | None, name: bytes) -> Iterator[Box]:
    """Those of that name, side by side in the parent or in the file."""
    within = boxes(data, parent.body, parent.end) if parent else boxes(data, 0, len(data))
    return (box for box in within if box.name == name)


def _inside(data: bytes, box: Box | None, *names: bytes) -> Box:
    """The first box of that name, and in it the first of the next. Raises IndexError if there is none."""
    for name in names:
        box = next(_named(data, box, name), None)
        if box is None:
            raise IndexError(f"no box `{name.decode('latin-1')}`")
    return cast(Box, box)


def _meta(data: bytes) -> Box:
    """A version comes before its boxes."""
    meta = _inside(data, None, b"meta")
    return meta._replace(body=meta.body + 4)


def _of_primary_item(data: bytes) -> Properties:
    meta = _meta(data)
    primary = _primary(data, meta)
    numbers = next(item.properties for item in _items(data, _inside(data, meta, b"iprp")) if item.number == primary)
    container = _inside(data, meta, b"iprp", b"ipco")
    held = list(boxes(data, container.body, container.end))
    return [(held[at - 1].name, data[held[at - 1].body : held[at - 1].end]) for at in numbers if 0 < at <= len(held)]


def _primary(data: bytes, meta: Box) -> int:
    pitm = _inside(data, meta, b"pitm")
    return _number(data, pitm.body + 4, wide=data[pitm.body] > 0)


def _code_of_items(data: bytes) -> Iterator[memoryview | bytes]:
    meta = _meta(data)
    found = {box.name: box for box in boxes(data, meta.body, meta.end)}
    references = list(_references(data, found[b"iref"])) if b"iref" in found else []
    wanted = {_primary(data, meta)}
    for _ in range(3):  # tiles of a grid, their alpha; alpha that is a grid, its tiles
        for kind, item, others in references:
            if kind == b"dimg" and item in wanted:
                wanted.update(others)
            elif kind == b"auxl" and wanted.intersection(others):
                wanted.add(item)
    view = memoryview(data)
    for item, within, extents in _locations(data, found[b"iloc"]):
        if item in wanted:
            start = found[b"idat"].body if within else 0
            parts = [view[start + at : start + at + length if length else len(data)] for at, length in extents]
            yield parts[0] if len(parts) == 1 else b"".join(parts)


def _references(data: bytes, iref: Box) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """The kind of each, which item refers, and to which: 14496-12, box `iref`."""
    form = "I" if data[iref.body] else "H"
    size = struct.calcsize(">" + form)
    for box in boxes(data, iref.body + 4, iref.end):
        item, count = struct.unpack_from(f">{form}H", data, box.body)
        yield box.name, item, struct.unpack_from(f">{count}{form}", data, box.body + size + 2)


def _locations(data: bytes, iloc: Box) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Of each item its number, whether its places count within `idat`, and its places and lengths, of which a 0 means
    all: 14496-12, box `iloc`. At most MAX_BOXES of them."""
    version, sizes, more = data[iloc.body], data[iloc.body + 4], data[iloc.body + 5]
    offset, length, base, index = sizes >> 4, sizes & 15, more >> 4, more & 15 if version else 0
    count = _number(data, iloc.body + 6, wide=version > 1)
    at, left = iloc.body + (10 if version > 1 else 8), MAX_BOXES

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(data):
            raise IndexError
        return int.from_bytes(data[at - size : at], "big")

    for _ in range(count):
        item = number(4 if version > 1 else 2)
        within = number(2) & 15 if version else 0
        number(2)  # which file
        start = number(base)
        extents = []
        for _ in range(number(2)):
            number(index)
            extents.append((start + number(offset), number(length)))
            left -= 1
            if left < 0:
                raise ValueError(f"more than {MAX_BOXES:,} pieces of items")
        yield item, within, extents


def _first_samples(data: bytes) -> Iterator[memoryview]:
    for track in _named(data, _inside(data, None, b"moov"), b"trak"):
        table = _inside(data, track, b"mdia", b"minf", b"stbl")
        found = {box.name: box for box in boxes(data, table.body, table.end)}
        places, sizes = found.get(b"stco") or found[b"co64"], found[b"stsz"]
        (at,) = struct.unpack_from(">I" if b"stco" in found else ">Q", data, places.body + 8)
        each, _, first = struct.unpack_from(">3I", data, sizes.body + 4)
        yield memoryview(data)[at : at + (each or first)]


def _items(data: bytes, iprp: Box) -> Iterator[_Item]:
    for ipma in _named(data, iprp, b"ipma"):
        version, wide = data[ipma.body], bool(data[ipma.body + 3] & 1)
        (count,) = struct.unpack_from(">I", data, ipma.body + 4)
        at = ipma.body + 8
        for _ in range(min(count, MAX_BOXES)):
            (number,) = struct.unpack_from(">I" if version else ">H", data, at)
            at += 4 if version else 2
            form = f">{data[at]}{'H' if wide else 'B'}"
            end = at + 1 + struct.calcsize(form)
            essential = 0x8000 if wide else 0x80
            associated = [value & ~essential for value in struct.unpack_from(form, data, at + 1)]
            yield _Item(number, associated, at, end, wide)
            at = end


def _of_track(data: bytes) -> Properties:
    """Of the first track with pictures, whose handler is `pict`."""
    for track in _named(data, _inside(data, None, b"moov"), b"trak"):
        handler = _inside(data, track, b"mdia", b"hdlr").body + 8  # behind the version and a number that is 0
        if data[handler : handler + 4] != b"pict":
            continue
        table = _inside(data, track, b"mdia", b"minf", b"stbl", b"stsd")
        entry = next(boxes(data, table.body + 8, table.end))
        width, height = struct.unpack_from(">2H", data, entry.body + 24)
        within = boxes(data, entry.body + _SAMPLE_ENTRY, entry.end)
        return [
            (b"ispe", struct.pack(">3I", 0, width, height)),
            *((box.name, data[box.body : box.end]) for box in within),
        ]
    return []


def _with_sizes(data: bytes) -> bytes:
    meta = _meta(data)
    iprp = _inside(data, meta, b"iprp")
    container = _inside(data, iprp, b"ipco")
    sizes = {at for at, box in enumerate(boxes(data, container.body, container.end), 1) if box.name == b"ispe"}
    items = list(_items(data, iprp))
    pictures = {number for number, kind in _kinds(data, meta) if kind in _PICTURES}
    missing = [item for item in items if item.number in pictures and not sizes.intersection(item.properties)]
    primary = _primary(data, meta)
    taken = next(at for item in items if item.number == primary for at in item.properties if at in sizes)
    if not missing or len(missing) > MOST_WITHOUT_SIZES or any(taken > 127 and not item.wide for item in missing):
        return data
    parents = [meta, iprp, *_named(data, iprp, b"ipma")]
    return _appended(data, parents, [(item, struct.pack(">H" if item.wide else ">B", taken)) for item in missing])


def _kinds(data: bytes, meta: Box) -> Iterator[tuple[int, bytes]]:
    """The number of each item, and what it is."""
    iinf = _inside(data, meta, b"iinf")
    for info in boxes(data, iinf.body + (8 if data[iinf.body] else 6), iinf.end):
        number, _, kind = struct.unpack_from(">IH4s" if data[info.body] > 2 else ">HH4s", data, info.body + 4)
        yield number, kind


def _appended(data: bytes, parents: list[Box], additions: list[tuple[_Item, bytes]]) -> bytes:
    """The file with its `meta`, the first of the parents, as a free box, and behind everything one with more in it."""
    meta = parents[0]
    if any(struct.unpack_from(">I", data, box.start)[0] < 8 for box in parents):
        return data  # lengths of 8 bytes, for boxes of 4 GB; or none
    changed = bytearray(data[meta.start : meta.end])
    for box in parents:
        more = sum(len(added) for item, added in additions if box.start < item.at < box.end)
        struct.pack_into(">I", changed, box.start - meta.start, box.end - box.start + more)
    for item, added in sorted(additions, reverse=True):
        changed[item.at - meta.start] += 1
        changed[item.end - meta.start : item.end - meta.start] = added
    before = bytearray(data)
    before[meta.start + 4 : meta.start + 8] = b"free"
    *_, last = boxes(data, 0, len(data))
    struct.pack_into(">I", before, last.start, last.end - last.start)  # it may say 0: to the end of the file
    return bytes(before + changed)
