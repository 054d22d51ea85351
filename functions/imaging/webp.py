"""The container of a WebP: https://www.rfc-editor.org/rfc/rfc9649, section 2."""

from __future__ import annotations

import struct

# A still picture has up to six, an animation one for each frame.
MAX_CHUNKS = 100_000

_PIXELS = {b"VP8 ", b"VP8L", b"ANMF"}
_NAMES = _PIXELS | {b"VP8X", b"ALPH", b"ANIM", b"ICCP", b"EXIF", b"XMP "}


def mended(data: bytes) -> bytes:
    """The chunks that are there to their ends, in a container of their size.

    libwebp refuses a file that is shorter than its container, or another chunk, says, though all pixels may be there.
    Raises ValueError where no pixels are whole, and for more chunks than MAX_CHUNKS.
    """
    end, pixels = 12, False
    for _ in range(MAX_CHUNKS):
        if end + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, end)
        if name not in _NAMES or end + 8 + length > len(data):
            break
        pixels |= name in _PIXELS
        end += 8 + length + length % 2
    else:
        raise ValueError(f"more than {MAX_CHUNKS:,} chunks")
    if not pixels:
        raise ValueError("its pixels are cut short")
    chunks = data[12:end].ljust(end - 12, b"\0")  # of the last the byte that makes it even may be missing
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WEBP") + chunks


def is_animation(data: bytes) -> bool:
    """By its flags, however many frames it has: section 2.7.1."""
    return data[12:16] == b"VP8X" and data[20] & 2 != 0


def canvas(data: bytes) -> tuple[int, int] | None:
    """The size by its first chunk, which is the canvas or the picture itself: RFC 6386, 9.1; RFC 9649, 3.4."""
    name, body = data[12:16], data[20:30]
    if name == b"VP8X" and len(body) == 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if name == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if name == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
