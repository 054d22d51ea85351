"""Opens a Windows bitmap by its header: https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-storage

Pillow's raw decoder makes pixels of the rows. Its own BMP reader is not used: it decodes run lengths byte by byte in
Python, refuses some that are legal, and knows only eleven ways of bit fields.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from io import BytesIO
from typing import Any, cast

from PIL import Image, ImageChops, ImageFile, ImagePalette

from functions.imaging.errors import Rejected

# What the length of the header says it is. Of OS/2's second kind there is a short form.
_OS2, _OS2_LARGE, _WINDOWS, _LATEST = 12, {16, 64}, {40, 52, 56, 108, 124}, 124

_PLAIN, _RLE8, _RLE4, _FIELDS, _FIELDS_WITH_ALPHA = 0, 1, 2, 3, 6
_BITS_IN_RUNS = {_RLE8: 8, _RLE4: 4}
_NAMES = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK in run lengths", 13: "CMYK in run lengths"}
_OS2_NAMES = {3: "Huffman", 4: "run lengths of 24 bits"}

# By the bits of a pixel: Pillow's mode, and how it reads a row. Bit fields are read as so many bytes.
_LAYOUTS = {
    **{bits: ("P", f"P;{bits}") for bits in (1, 2, 4)},
    8: ("P", "P"),
    16: ("RGB", "BGR;15"),
    24: ("RGB", "BGR"),
    32: ("RGB", "BGRX"),
}
_BYTES = {16: ("LA", "LA"), 24: ("RGB", "RGB"), 32: ("RGBA", "RGBA")}
_USUAL_MASKS = {16: (0x7C00, 0x3E0, 0x1F), 24: (0xFF0000, 0xFF00, 0xFF), 32: (0xFF0000, 0xFF00, 0xFF, 0xFF000000)}

_EMBEDDED = b"DEBM"  # PROFILE_EMBEDDED is `MBED`, and numbers are stored backwards

# What run-length code may cost: its bytes take up to 0.35 s a megabyte, and each row, and each move, 4 microseconds.
MAX_CODE, MAX_STEPS = 8 << 20, 500_000

_ENDS_OF_LINES = re.compile(rb"(?:\0\0)+")
_AT_A_TIME = 2 * 4096  # bytes of runs, which make a megabyte at most
_DIGITS = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))


class Bmp(ImageFile.ImageFile):
    """A bitmap of 1 to 32 bits a pixel: plain, in run lengths, or in bit fields."""

    format = "BMP"

    _masks: tuple[int, ...] = ()
    _runs: tuple[int, int] | None = None  # bits of a pixel, and where they begin

    def _open(self) -> None:
        data = cast(BytesIO, self.fp).getvalue()
        length, width, height, bits, compression, colours = _header(data)
        if width <= 0 or not height:
            raise ValueError(f"its header says {width}x{height} pixels")
        self._size = width, abs(height)
        end = 14 + length
        if compression in (_FIELDS, _FIELDS_WITH_ALPHA):
            self._masks = _masks(data, 4 if length >= 56 or compression == _FIELDS_WITH_ALPHA else 3, bits)
            end = max(end, 54 + 4 * len(self._masks))
        self._mode, raw = (_BYTES if self._masks else _LAYOUTS)[bits]
        (start,) = struct.unpack_from("<I", data, 10)
        if bits <= 8:
            entry = 3 if length == _OS2 else 4
            palette_end = end + entry * (colours or 1 << bits)
            if start <= end:  # seen: a program that forgets the palette when it says where the pixels begin
                start = palette_end
            raw = self._take_palette(data[end : min(palette_end, start)], entry, bits, raw)
        row = (width * bits + 31) // 32 * 4
        start = start or end
        if compression in _BITS_IN_RUNS:
            self._runs, start, row, raw = (bits, start), 0, width, self.mode
        self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), start, (raw, row, 1 if height < 0 else -1))]
        if length == _LATEST and data[70:74] == _EMBEDDED:
            place, size = struct.unpack_from("<2I", data, 126)
            self.info["icc_profile"] = data[14 + place : 14 + place + size]

    def _take_palette(self, palette: bytes, entry: int, bits: int, raw: str) -> str:
        """Grey stays grey. Returns how the rows are read then."""
        if not palette:
            raise ValueError("it has no palette")
        colours = [palette[at : at + 3] for at in range(0, len(palette), entry)]
        if bits in (1, 8) and colours == [bytes((255 * n // (2**bits - 1),)) * 3 for n in range(2**bits)]:
            self._mode = raw = "1" if bits == 1 else "L"
        else:
            self.palette = ImagePalette.raw("BGR" if entry == 3 else "BGRX", palette[: entry << bits])
        return raw

    def load(self) -> Any:
        if self._runs and self.tile:
            bits, start = self._runs
            pixels = unpacked(cast(BytesIO, self.fp).getvalue(), start, self.size, bits)
            self.fp, self.decodermaxblock = BytesIO(pixels), len(pixels)
        return super().load()

    def load_end(self) -> None:
        if self._masks:
            parts = self.split()
            channels = [_field(parts, mask) for mask in self._masks]
            if len(channels) == 4 and channels[3].getextrema() == (0, 0):
                channels.pop()  # as browsers do: a program that left it out, and not a picture of nothing
            finished = Image.merge("RGB" if len(channels) == 3 else "RGBA", channels)
            self.im, self._mode = finished.im, finished.mode


def _header(data: bytes) -> tuple[int, int, int, int, int, int]:
    """Its length, width, height (negative if the top row comes first), bits of a pixel, compression, colours."""
    (length,) = struct.unpack_from("<I", data, 14)
    if length != _OS2 and length not in _OS2_LARGE | _WINDOWS:
        raise _unsupported(f"a header of {length} bytes")
    width, height, _, bits = struct.unpack_from("<HHHH" if length == _OS2 else "<iiHH", data, 18)
    compression, colours = (*struct.unpack_from("<I12xI", data, 30), 0)[:2] if length >= 40 else (_PLAIN, 0)
    names = _OS2_NAMES if length in _OS2_LARGE else _NAMES
    known = {_PLAIN, *_BITS_IN_RUNS} | ({_FIELDS, _FIELDS_WITH_ALPHA} if length in _WINDOWS else set())
    if compression not in known:
        raise _unsupported(f"Compression {compression}" + (f" ({names[compression]})" if compression in names else ""))
    if bits not in _LAYOUTS or _BITS_IN_RUNS.get(compression, bits) != bits:
        raise _unsupported(f"{bits} bits a pixel in Compression {compression}")
    return length, width, height, bits, compression, colours


def _masks(data: bytes, count: int, bits: int) -> tuple[int, ...]:
    """Which bits are red, green, blue and, of four, alpha. They lie behind the first 40 bytes, whatever the header."""
    masks = struct.unpack_from(f"<{count}I", data, 54)
    whole = all((mask // (mask & -mask or 1) + 1).bit_count() == 1 for mask in masks)  # no gaps
    if bits not in _BYTES or not whole or max(masks) >> bits:
        raise _unsupported(f"bit fields {' '.join(f'{mask:#x}' for mask in masks)} in {bits} bits a pixel")
    used = masks if any(masks) else _USUAL_MASKS[bits]
    return used if used[-1] else used[:3]


def _field(parts: tuple[Image.Image, ...], mask: int) -> Image.Image:
    """The upper 8 bits of a field, of which each byte of a pixel has some, or all of a smaller one; most is 255."""
    top = mask.bit_length()
    low = max((mask & -mask).bit_length() - 1, top - 8, 0)
    most = max(mask >> low, 1)
    field = Image.new("L", parts[0].size)
    for number, part in enumerate(parts):
        here = [(byte << 8 * number & mask) >> low for byte in range(256)]
        if any(here):
            field = ImageChops.add(field, part.point(here))
    return field if most == 255 else field.point([(min(value, most) * 255 + most // 2) // most for value in range(256)])


def unpacked(data: bytes, at: int, size: tuple[int, int], bits: int) -> bytes:
    """A byte for each pixel, the first row first, of the run-length code that begins there; 0 where nothing is painted.

    Many runs and literals are unpacked at once. Raises ValueError for code that ends before the last pixel, Rejected
    for more of it than the limits above.
    """
    if len(data) - at > MAX_CODE:
        raise Rejected("too_costly", f"BMP with {len(data) - at:,} bytes of run lengths, limit {MAX_CODE:,}")
    width, height = size
    pixels = bytearray(width * height)
    one, several = _painting(bits)
    runs = [bytes((value >> 4, value & 15) if bits == 4 else (value, value)) * 128 for value in range(256)]

    def painted(code: bytes) -> bytes:
        if code[0]:
            return runs[code[1]][: code[0]]
        return code[2 : 2 + code[1]] if bits == 8 else code[2:].hex().encode().translate(_DIGITS)[: code[1]]

    x = y = steps = 0
    while y < height:
        steps += 1
        if steps > MAX_STEPS:
            raise Rejected("too_costly", f"BMP whose run lengths go on in more than {MAX_STEPS:,} places")
        row = b""
        if found := several.match(data, at, at + _AT_A_TIME):
            if x < width:
                row = b"".join(map(painted, one.findall(data, at, found.end())))
            at = found.end()
        elif at + 2 > len(data):
            if (x, y) == (width, height - 1):
                break  # only the end mark is missing
            raise ValueError(f"run lengths end in row {y + 1} of {height}")
        elif (code := data[at + 1]) == 1:
            break
        elif code == 0:
            end = cast(re.Match[bytes], _ENDS_OF_LINES.match(data, at)).end()
            x, y, at = 0, y + (end - at) // 2, end
            continue
        elif code == 2:
            right, down = data[at + 2 : at + 4].ljust(2, b"\0")
            x, y, at = min(x + right, width), y + down, at + 4
        else:  # the last literal, of which the end is missing, be it only the byte that makes it even
            row, at = painted(data[at:]), len(data)
        row = row[: width - x]
        place = y * width + x
        pixels[place : place + len(row)] = row
        x += len(row)
    return bytes(pixels)


@cache
def _painting(bits: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """One run or literal, and several. A literal has its number of pixels, of 3 or more, and their bytes, made even."""
    literals = [re.escape(bytes([count])) + b".{%d}" % (-(-count * bits // 16) * 2) for count in range(3, 256)]
    one = rb"[^\0].|\0(?:" + b"|".join(literals) + rb")"
    return re.compile(one, re.DOTALL), re.compile(rb"(?:" + one + rb")++", re.DOTALL)


def _unsupported(what: str) -> Rejected:
    return Rejected("unsupported_format", f"BMP with {what}")
