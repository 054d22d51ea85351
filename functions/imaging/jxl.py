"""Opens a JPEG XL. Its header is read here, and libjxl gets the code of the pixels alone: nothing that another box
holds can cost it anything, neither compressed metadata nor what would make a JPEG of it again.

Code: ISO/IEC 18181-1; boxes: ISO/IEC 18181-2.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from io import BytesIO
from math import prod
from typing import Any, NamedTuple, cast

from PIL import Image, ImageFile

from functions.imaging import isobmff
from functions.imaging.errors import Rejected
from functions.imaging.formats import named_profile

CODE = b"\xff\x0a"  # what the code of the pixels begins with, and so a file without boxes

MAX_METADATA = 1 << 20  # bytes of a compressed box, before and after
LARGEST_PROFILE = 1 << 22  # bytes, as it is stored; those of presses have 2.5 MB
MAX_HELD = 6  # bytes of memory for each pixel that is taken: a noisy photo of 46 megapixels takes a rendition 5.5 s

# Samples for each pixel that is taken, of what is stored without loss: of a photo of 25 megapixels a rendition takes
# 6.4 s, five times what one of a lossy picture takes.
MAX_SAMPLES = 2 / 3

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # of width to height
_GREY, _XYB = 1, 2  # colour spaces
_CUSTOM, _D65 = 2, 1  # white points
_PRIMARIES = {1: 1, 9: 9, 11: 12}  # BT.709, BT.2020 and P3, and their numbers in ITU-T H.273
_SRGB = b"\1\x0d"  # its numbers there
_ALPHA, _SPOT, _BLACK, _FILTER = 0, 2, 4, 5  # what an extra channel holds


class Header(NamedTuple):
    """`size` is as it is stored; `orientation`, a number of EXIF, has three bits, from `turn_at` on. `bits` and
    `is_float` are a sample's. `alpha` is `A`, `a` if the colours are multiplied by it, or empty. `extra` channels are
    those beside the colours, alpha too. `is_xyb`: with loss, if it is no JPEG. `code_points`: colour primaries and
    transfer, numbers of ITU-T H.273, where the file names its colours so. `end`: the bit behind it, where the first
    frame is; None where a profile or a preview stands between, whose end nobody knows who does not decode it."""

    size: tuple[int, int]
    orientation: int = 1
    turn_at: int = 0
    bits: int = 8
    is_float: bool = False
    colours: int = 3
    extra: int = 0
    alpha: str = ""
    is_xyb: bool = True
    code_points: bytes = _SRGB
    end: int | None = None


class Jxl(ImageFile.ImageFile):
    """`orientation` is what the header says; what EXIF says of it does not count. Its profile is known once its pixels
    are."""

    format = "JXL"

    def _open(self) -> None:
        data = cast(BytesIO, self.fp).getvalue()
        self._code = codestream(data)
        self._header = header(self._code)
        self.orientation, self.bits = self._header.orientation, self._header.bits
        self._size = self._header.size
        self._mode = ("L" if self._header.colours == 1 else "RGB") + self._header.alpha.upper()
        self._is_jpeg = any(box.name == b"jbrd" for box in _boxes(data))
        self.info.update(metadata(data))

    def check(self, max_pixels: int) -> None:
        """Raises Rejected for more memory, or more time, than its size explains."""
        samples = self.width * self.height * (self._header.colours + self._header.extra)
        has_loss = self._header.is_xyb or self._is_jpeg
        if samples > MAX_SAMPLES * max_pixels and (not has_loss or is_modular(self._code, self._header.end)):
            what = f"JPEG XL of {samples / 1e6:,.6g} million samples without loss or in modular mode"
            raise Rejected("too_costly", f"{what}, limit {MAX_SAMPLES * max_pixels / 1e6:,.6g} million")
        held = self.width * self.height * _bytes_of_a_pixel(self._header)
        if held > MAX_HELD * max_pixels:
            what = f"JPEG XL that takes {held / 1e6:,.6g} MB of memory"
            raise Rejected("too_costly", f"{what}, limit {MAX_HELD * max_pixels / 1e6:,.6g} MB")

    def load(self) -> Any:
        if self._code:
            code, self._code, self.fp = _as_stored(self._code, self._header), b"", None
            pixels, profile = _decoded(code, self._header)
            picture = _picture(pixels, self._header)
            self.im, self._mode, self.readonly = picture.im, picture.mode, picture.readonly
            self.info["icc_profile"] = named_profile(self._header.code_points, profile)
        return super().load()


def _boxes(data: bytes) -> Iterable[isobmff.Box]:
    return () if data.startswith(CODE) else isobmff.boxes(data, 0, len(data))


def codestream(data: bytes) -> bytes:
    """The code of the pixels: the whole file, or what is in one box, or in several. Raises ValueError where it is not
    there, or out of order."""
    if data.startswith(CODE):
        return data
    view, parts = memoryview(data), list[memoryview]()
    for box in _boxes(data):
        if box.name == b"jxlc":
            return data[box.body : box.end]
        if box.name == b"jxlp":
            if int.from_bytes(view[box.body : box.body + 4], "big") & 0x7FFFFFFF != len(parts):
                raise ValueError("its parts are out of order")
            parts.append(view[box.body + 4 : box.end])
    code = b"".join(parts)
    if not code.startswith(CODE):
        raise ValueError("its pixels are not there")
    return code


def metadata(data: bytes) -> dict[str, bytes]:
    """`exif` and `xmp`, as Pillow calls them, each of its first box."""
    found: dict[bytes, bytes] = {}
    for box in _boxes(data):
        is_packed = box.name == b"brob"
        name = data[box.body : box.body + 4] if is_packed else box.name
        if name in (b"Exif", b"xml ") and name not in found:
            found[name] = _unpacked(data[box.body + 4 : box.end]) if is_packed else data[box.body : box.end]
    exif = found.get(b"Exif", b"")
    if exif[:4] not in (b"II*\0", b"MM\0*"):  # what pillow-jxl-plugin writes
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]  # how many bytes stand before its directories
    return {name: said for name, said in (("exif", exif), ("xmp", found.get(b"xml "))) if said}


def _unpacked(packed: bytes) -> bytes:
    """About MAX_METADATA bytes at most; none of what is broken."""
    if len(packed) > MAX_METADATA:
        return b""
    brotli = importlib.import_module("brotli")
    try:
        unpacked: bytes = brotli.Decompressor().process(packed, output_buffer_limit=MAX_METADATA)
    except brotli.error:
        return b""
    return unpacked


def header(code: bytes) -> Header:
    """Raises ValueError where it is cut short, and Rejected for what the decoder does not show as it is meant."""
    read = _Bits(code, 8 * len(CODE))
    size = _size(read)
    if read.flag():
        _skip_transforms(read, is_xyb=True)
        return Header(size, end=read.at)
    orientation, turn_at, has_more, has_preview = 1, 0, read.flag(), False
    if has_more:
        turn_at = read.at
        orientation = 1 + read.number(3)
        if read.flag():
            _size(read)  # which somebody would rather see it in
        if has_preview := read.flag():
            _skip_preview(read)
        if read.flag():
            raise Rejected("unsupported_format", "JPEG XL that moves: its decoder gives no more than the last frame")
    is_float, bits = _depth(read)
    if bits not in (16, 32) if is_float else bits > 16:
        raise Rejected("unsupported_format", f"JPEG XL of {bits} bits{', floating point' if is_float else ''}")
    read.flag()  # whether 16 bits are enough to work with
    extra = [_extra_channel(read) for _ in range(read.choice((0, 0), (0, 1), (4, 2), (12, 1)))]
    if any(kind == _BLACK for kind, _ in extra):
        raise Rejected("unsupported_format", "JPEG XL in CMYK: its decoder leaves out the black")
    alpha = next(("a" if is_multiplied else "A" for kind, is_multiplied in extra if kind == _ALPHA), "")
    is_xyb = read.flag()
    space, code_points = _colours(read)
    if space == _GREY and is_float and alpha:
        raise Rejected("unsupported_format", "JPEG XL in grey with alpha, floating point")
    if has_more and not read.flag():
        read.number(3 * 16 + 1)  # how bright it is meant to be
    extensions = sum(read.long() for _ in range(read.long().bit_count()))
    read.at += extensions
    _skip_transforms(read, is_xyb=is_xyb)
    if code_points is None:
        _check_profile(read)
    return Header(
        *(size, orientation, turn_at, bits, is_float, 1 if space == _GREY else 3, len(extra), alpha, is_xyb),
        code_points=code_points or b"",
        end=None if code_points is None or has_preview else read.at,
    )


def is_modular(code: bytes, at: int | None) -> bool:
    """Whether the frame is a picture that is stored as those without loss are, although some have loss. False where
    that is not known, and for frames that others are made with: 18181-1, F.2."""
    if at is None:
        return False
    read = _Bits(code, at + -at % 8)
    return not read.flag() and read.number(2) == 0 and read.flag()


class _Bits:
    """Numbers from their lowest bits on: 18181-1, annex B. Raises ValueError behind the end."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def number(self, bits: int) -> int:
        start, self.at = self.at, self.at + bits
        if self.at > 8 * len(self._data):
            raise ValueError("its header is cut short")
        piece = int.from_bytes(self._data[start >> 3 : (self.at + 7) >> 3], "little")
        return piece >> (start & 7) & (1 << bits) - 1

    def flag(self) -> bool:
        return self.number(1) == 1

    def choice(self, *forms: tuple[int, int]) -> int:
        """In one of four forms: so many bits, and what is added to them."""
        bits, least = forms[self.number(2)]
        return least + self.number(bits)

    def enum(self) -> int:
        return self.choice((0, 0), (0, 1), (4, 2), (6, 18))

    def long(self) -> int:
        form = self.number(2)
        if form < 3:
            return (0, 1, 17)[form] + self.number((0, 4, 8)[form])
        value, place = self.number(12), 12
        while place < 64 and self.flag():
            value |= self.number(min(8, 64 - place)) << place
            place += 8
        return value


def _size(read: _Bits) -> tuple[int, int]:
    is_small = read.flag()

    def side() -> int:
        return 8 * (1 + read.number(5)) if is_small else read.choice((9, 1), (13, 1), (18, 1), (30, 1))

    height, ratio = side(), read.number(3)
    across, down = _RATIOS[ratio - 1]
    return height * across // down if ratio else side(), height


def _skip_preview(read: _Bits) -> None:
    sides = ((0, 16), (0, 32), (5, 1), (9, 33)) if read.flag() else ((6, 1), (8, 65), (10, 321), (12, 1345))
    read.choice(*sides)
    if not read.number(3):
        read.choice(*sides)


def _depth(read: _Bits) -> tuple[bool, int]:
    """Whether samples are floating point, and their bits."""
    if not read.flag():
        return False, read.choice((0, 8), (0, 10), (0, 12), (6, 1))
    bits = read.choice((0, 32), (0, 16), (0, 24), (6, 1))
    read.number(4)  # those of the exponent
    return True, bits


def _extra_channel(read: _Bits) -> tuple[int, bool]:
    """What it holds, and whether the colours are multiplied by it."""
    if read.flag():
        return _ALPHA, False
    kind = read.enum()
    _depth(read)
    read.choice((0, 0), (0, 3), (0, 4), (3, 1))  # by how much it is smaller
    read.number(8 * read.choice((0, 0), (4, 0), (5, 16), (10, 48)))  # its name
    if kind == _SPOT:
        read.number(4 * 16)  # its colour
    elif kind == _FILTER:
        read.choice((0, 1), (2, 0), (4, 3), (8, 19))
    return kind, kind == _ALPHA and read.flag()


def _colours(read: _Bits) -> tuple[int, bytes | None]:
    """The colour space, and its numbers if it is named so; None where a profile follows."""
    if read.flag():
        return 0, _SRGB
    has_profile, space = read.flag(), read.enum()
    if has_profile:
        return space, None
    points = b""
    if space != _XYB:
        white = read.enum()
        if white == _CUSTOM:
            _skip_places(read, 1)
        primaries = 1 if space == _GREY else read.enum()
        if primaries == _CUSTOM:
            _skip_places(read, 3)
        if read.flag():
            read.number(24)  # a gamma
        else:
            transfer = read.enum()
            if white == _D65 and primaries in _PRIMARIES:
                points = bytes([_PRIMARIES[primaries], transfer])
    read.enum()  # what is meant to happen to colours that a screen does not have
    return space, points


def _skip_places(read: _Bits, count: int) -> None:
    for _ in range(2 * count):
        read.choice((19, 0), (19, 1 << 19), (20, 1 << 20), (21, 1 << 21))


def _skip_transforms(read: _Bits, *, is_xyb: bool) -> None:
    if not read.flag():
        if is_xyb and not read.flag():
            read.number(16 * 16)  # how XYB becomes RGB
        weights = read.number(3)
        read.number(16 * sum(count for bit, count in ((1, 15), (2, 55), (4, 210)) if weights & bit))


def _check_profile(read: _Bits) -> None:
    """Raises Rejected for one of more than LARGEST_PROFILE."""
    if (size := read.long()) > LARGEST_PROFILE:
        raise Rejected("too_costly", f"JPEG XL with a profile of {size:,} bytes, limit {LARGEST_PROFILE:,} bytes")


def _as_stored(code: bytes, known: Header) -> bytes:
    """The same, but libjxl does not turn it: all pictures are turned in one place."""
    if known.orientation == 1:
        return code
    byte, bit = divmod(known.turn_at, 8)
    turn = int.from_bytes(code[byte : byte + 2], "little") & ~(7 << bit)
    return code[:byte] + turn.to_bytes(2, "little") + code[byte + 2 :]


def _decoded(code: bytes, known: Header) -> tuple[bytes, bytes | None]:
    """The samples of its pixels, 8 bits of each of three colours, all bits of one alone; and their profile."""
    decoder = importlib.import_module("pillow_jxl").Decoder
    bytes(_handed_out(known))  # raises MemoryError, where the plugin would abort the process
    try:
        _, _, samples, profile, _ = decoder(num_threads=0)(code)
    except BaseException as fault:
        if not isinstance(fault, RuntimeError) and type(fault).__name__ != "PanicException":  # Rust's, no Exception
            raise
        raise ValueError("libjxl gives up on its pixels") from fault  # which has no words for why
    return samples, profile or None


def _handed_out(known: Header) -> int:
    """Bytes of the samples and of a copy; of deep ones the plugin makes the copy in a buffer that it doubles again and
    again."""
    sample = _bytes_of_a_sample(known)
    return prod(known.size) * (known.colours + len(known.alpha)) * sample * (2 if sample == 1 else 4)


def _picture(samples: bytes, known: Header) -> Image.Image:
    """Raises ValueError for too few."""

    def of(mode: str, raw: str = "") -> Image.Image:
        return Image.frombuffer(mode, known.size, samples, "raw", raw or mode, 0, 1)

    if known.colours == 3:
        return of("RGBa").convert("RGBA") if known.alpha == "a" else of("RGB" + known.alpha)
    if known.is_float:
        return of("F").point(lambda value: value * 255 + 0.5).convert("L")
    if known.bits <= 8:
        return of("L" + known.alpha)
    if not known.alpha:
        return of("I;16")
    _, grey, _, alpha = of("RGBA").split()  # the upper bytes of each two
    return Image.merge("L" + known.alpha, (grey, alpha))


def _bytes_of_a_pixel(known: Header) -> int:
    """At most, of one frame: libjxl's planes, of four bytes a sample, and the samples that it hands out. In the usual
    file it keeps no plane whole."""
    return 4 * (known.colours + known.extra) + _bytes_of_a_sample(known) * (known.colours + len(known.alpha))


def _bytes_of_a_sample(known: Header) -> int:
    return 4 if known.is_float else 1 if known.bits <= 8 else 2
