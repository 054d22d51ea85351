"""Takes a PNG apart (https://www.w3.org/TR/png-3/): Pillow gets the chunks that hold pixels, the others are read here.

So a fault outside the pixels harms only its own chunk, wherever that stands. The rule: docs/decisions/0059.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from functions.imaging.errors import Rejected
from functions.imaging.patches import Patch

# Bytes that the filters may work on for each pixel that is taken. The dearest takes 10 s for a gigabyte of noise.
MAX_UNFILTERED = 3

# Unpacked bytes of a profile: those of presses have 2.5 MB. What is longer is cut off here, and then is a broken one.
LARGEST_PROFILE = 1 << 24

# 50 MB hold 4 million. Of 8 KiB each, as they usually are, 6,000.
MAX_CHUNKS = 100_000

_XMP = b"XML:com.adobe.xmp\0"

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3  # colour types

# Of the 4 bytes of zlib's checksum. Without them Pillow does not compare it; without the fourth it may find no end.
_CHECKSUM_LEFT_OUT = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """`pixels` is a PNG of the first picture and nothing else; of the rest, what counts here.

    transparent: samples of the colour that is, as they are stored; empty if there is none, or a palette.
    code_points: colour primaries and transfer, each a number of ITU-T H.273; empty if not said.
    frames: how many pictures there are.
    """

    pixels: bytes
    depth: int
    transparent: tuple[int, ...]
    code_points: bytes
    profile: bytes | None
    exif: bytes
    xmp: bytes
    frames: int


class _Chunk:
    """`length` is what it says of its body, though the file may end before; `whole` is all that there is of it."""

    __slots__ = ("length", "name", "whole")

    def __init__(self, name: bytes, length: int, whole: memoryview) -> None:  # a dataclass takes 2 ms to define
        self.name, self.length, self.whole = name, length, whole

    @property
    def body(self) -> memoryview:
        return self.whole[8 : 8 + self.length]

    @property
    def is_complete(self) -> bool:
        return len(self.whole) == self.length + 12

    @property
    def is_intact(self) -> bool:
        return self.is_complete and zlib.crc32(self.whole[4:-4]) == int.from_bytes(self.whole[-4:], "big")


def apart(data: bytes) -> Parts:
    """Raises ValueError for more chunks than MAX_CHUNKS, for no header, and for a palette picture without a palette."""
    chunks = list(_chunks(data))
    first = next((at for at, chunk in enumerate(chunks) if chunk.name == b"IDAT"), len(chunks))
    packed = list(takewhile(lambda chunk: chunk.name == b"IDAT", chunks[first:]))
    before = {chunk.name: chunk for chunk in reversed(chunks[:first]) if _is_critical(chunk) or chunk.is_intact}

    def body(name: bytes) -> bytes:
        return bytes(before[name].body) if name in before else b""

    if len(body(b"IHDR")) < 13:
        raise ValueError("no header")
    depth, kind = body(b"IHDR")[8:10]
    if kind == PALETTE and b"PLTE" not in before:
        raise ValueError("a palette picture without its palette")
    needed = (b"IHDR", b"PLTE", b"tRNS") if kind == PALETTE else (b"IHDR",)
    return Parts(
        pixels=_of_pixels([before[name] for name in needed if name in before], packed),
        depth=depth,
        transparent=_transparent(body(b"tRNS"), depth, kind),
        code_points=_code_points(body(b"cICP")),
        profile=_profile(body(b"iCCP")),
        exif=next((bytes(chunk.body) for chunk in chunks if chunk.name == b"eXIf" and chunk.is_intact), b""),
        xmp=_xmp(chunks),
        frames=_pictures(chunks) if b"acTL" in before else 1,
    )


def patches(data: bytes) -> Iterator[Patch]:
    """Its frames, but for a first picture that is no part of the animation. Raises ValueError for one that is larger
    than the picture, and as `apart` does."""
    chunks = list(_chunks(data))
    head = {chunk.name: bytes(chunk.body) for chunk in reversed(chunks) if chunk.name in (b"IHDR", b"PLTE", b"tRNS")}
    whole = struct.unpack_from(">2I", head[b"IHDR"])
    control, packed = b"", list[bytes]()
    for chunk in [*chunks, _Chunk(b"fcTL", 0, memoryview(b""))]:  # which ends the last frame
        if chunk.name == b"fcTL":
            if control and packed:
                yield _patch(control, head, b"".join(packed), whole)
            control, packed = bytes(chunk.body), []
        elif chunk.name in (b"IDAT", b"fdAT"):
            packed.append(bytes(chunk.body[0 if chunk.name == b"IDAT" else 4 :]))


def plays(data: bytes) -> int:
    """How often an animation is shown, 0 for ever."""
    said = next((bytes(chunk.body) for chunk in _chunks(data) if chunk.name == b"acTL"), b"")
    return int.from_bytes(said[4:8], "big")


def _patch(control: bytes, head: dict[bytes, bytes], packed: bytes, whole: tuple[int, ...]) -> Patch:
    _, width, height, left, top, above, below, leaves, over = struct.unpack(">5I2H2B", control)
    if left + width > whole[0] or top + height > whole[1]:
        raise ValueError(f"a frame of {width}x{height} pixels at {left}, {top} of {whole[0]}x{whole[1]}")
    header = struct.pack(">2I", width, height) + head[b"IHDR"][8:]
    others = {name: body for name, body in head.items() if name != b"IHDR"}
    chunks = {b"IHDR": header, **others, b"IDAT": packed, b"IEND": b""}
    alone = b"".join([SIGNATURE, *(_chunk(name, body) for name, body in chunks.items())])
    return Patch(alone, (left, top), leaves, 1000 * above / (below or 100), blends=over == 1)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def check(raw: str, pixels: int, max_pixels: int, *, twice: bool) -> None:
    """Raises Rejected for more bytes than MAX_UNFILTERED. raw: Pillow's name of what is unpacked, as `RGBA;16B`."""
    channels, _, depth = raw.partition(";")
    size = len(channels) * (2 if depth.startswith("16") else 1) * pixels * (2 if twice else 1)
    if size > MAX_UNFILTERED * max_pixels:
        what = f"PNG of {size / 1e6:,.6g} MB" + (", because it is decoded twice" if twice else "")
        raise Rejected("too_costly", f"{what}, limit {MAX_UNFILTERED * max_pixels / 1e6:,.6g} MB")


def _chunks(data: bytes) -> Iterator[_Chunk]:
    view, start = memoryview(data), len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if start + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, start)
        yield _Chunk(name, length, view[start : start + 12 + length])
        if name == b"IEND":
            return
        start += 12 + length
    raise ValueError(f"more than {MAX_CHUNKS:,} chunks")


def _is_critical(chunk: _Chunk) -> bool:
    return chunk.name[:1].isupper()


def _of_pixels(head: Sequence[_Chunk], packed: Sequence[_Chunk]) -> bytes:
    """The chunks of the head as they are, and the packed pixels in one chunk.

    Where the chunks' own checksums are right, what zlib adds is not needed, and may be wrong.
    """
    bodies = [chunk.body for chunk in packed]
    if all(chunk.is_intact for chunk in packed if chunk.is_complete):
        unneeded = sum(map(len, bodies)) - (sum(chunk.length for chunk in packed) - _CHECKSUM_LEFT_OUT)
        while bodies and unneeded > 0:
            last = bodies.pop()
            bodies += [last[:-unneeded]] if len(last) > unneeded else []
            unneeded -= len(last)
    made: list[bytes | memoryview] = [SIGNATURE, *(chunk.whole for chunk in head)]
    if packed:
        unchecked = bytes(4)  # Pillow asks no checksum of it
        made += [struct.pack(">I4s", sum(map(len, bodies)), b"IDAT"), *bodies, unchecked]
    return b"".join([*made, b"\0\0\0\0IEND\xae\x42\x60\x82"])


def _transparent(samples: bytes, depth: int, kind: int) -> tuple[int, ...]:
    """Of two bytes for each sample only as many bits count as the picture has (11.3.1.1)."""
    count = {GREY: 1, RGB: 3}.get(kind, 0)
    if not count or len(samples) < 2 * count:
        return ()
    return tuple(sample & (1 << depth) - 1 for sample in struct.unpack_from(f">{count}H", samples))


def _code_points(chunk: bytes) -> bytes:
    """Only of RGB in its full range: no matrix, 1 (11.3.2.6)."""
    return chunk[:2] if chunk[2:] == b"\0\1" else b""


def _profile(chunk: bytes) -> bytes | None:
    """Of an iCCP chunk: a name, a zero, the method of compression, and the profile."""
    packed = chunk[chunk.find(b"\0") + 2 :]
    try:
        return zlib.decompressobj().decompress(packed, LARGEST_PROFILE) or None
    except zlib.error:
        return None


def _xmp(chunks: Iterable[_Chunk]) -> bytes:
    """Of an iTXt chunk: its keyword, whether it is compressed, how, its language, its keyword in that (11.3.3.4)."""
    packets = (chunk.body for chunk in chunks if chunk.name == b"iTXt" and chunk.body[: len(_XMP)] == _XMP)
    packet = bytes(next(packets, b""))
    _, _, text = packet[len(_XMP) + 2 :].partition(b"\0")
    return text.partition(b"\0")[2] if packet[len(_XMP) : len(_XMP) + 1] == b"\0" else b""


def _pictures(chunks: Iterable[_Chunk]) -> int:
    """How many begin: `fcTL` announces each but a first that is no part of the animation."""
    count, announced = 0, True
    for chunk in chunks:
        if chunk.name == b"fcTL":
            announced = True
        elif announced and chunk.name in (b"IDAT", b"fdAT") and chunk.is_complete:
            count, announced = count + 1, False
    return count
