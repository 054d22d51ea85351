"""The chunks of a PNG (https://www.w3.org/TR/png-3/) that Pillow refuses for their size, or does not know."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

# Pillow refuses a whole picture for a profile or a text that unpacks to more than this: PngImagePlugin.MAX_TEXT_CHUNK.
PILLOWS_LIMIT = 1 << 20

# Unpacked bytes of a profile: those of presses have 2.5 MB. What is longer is cut off here, and then is a broken one.
LARGEST_PROFILE = 1 << 24

# Pillow takes microseconds for each, and 50 MB hold 4 million. Of 8 KiB each, as they usually are, 6,000.
MAX_CHUNKS = 100_000

_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}


def lightened(data: bytes) -> tuple[bytes, bytes | None]:
    """The PNG without texts, which nobody reads here, and without a profile that is too large for Pillow: that comes
    unpacked beside it.

    Raises ValueError for more chunks than MAX_CHUNKS.
    """
    profile, kept, since = None, [], 0
    for name, start, end in _chunks(data):
        large = _large_profile(data[start + 8 : end - 4]) if name == b"iCCP" else None
        if large or name in _TEXTS:
            profile = large or profile
            kept.append(memoryview(data)[since:start])
            since = end
    return (b"".join((*kept, memoryview(data)[since:])) if since else data), profile


def code_points(data: bytes) -> bytes:
    """Colour primaries, transfer, matrix and range, each a number of ITU-T H.273; empty if not said."""
    return next((data[start + 8 : end - 4] for name, start, end in _chunks(data) if name == b"cICP"), b"")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The name of each chunk and where it begins and ends, its length and its checksum included."""
    start = 8
    for _ in range(MAX_CHUNKS):
        if start + 12 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            return
        yield name, start, end
        start = end
    raise ValueError(f"more than {MAX_CHUNKS:,} chunks")


def _large_profile(chunk: bytes) -> bytes | None:
    """Of an iCCP chunk: a name, a zero, the method of compression, and the profile."""
    packed = chunk[chunk.find(b"\0") + 2 :]
    try:
        profile = zlib.decompressobj().decompress(packed, LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if len(profile) > PILLOWS_LIMIT else None
