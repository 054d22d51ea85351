"""Files that cost a decoder the most for what they are, up to 50 MiB and 100 megapixels: one maker for each kind.

Drawn with Pillow where it can; by hand where no program would write such a file.
"""

from __future__ import annotations

import importlib
import lzma
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any, cast

from PIL import Image, ImageChops, TiffImagePlugin

from darkroom.local.pictures import encoded, photo

MAX_BYTES = 50 * 1024 * 1024
SIDE = 10_000

Maker = Callable[[], bytes]


def _noise(mode: str = "L", size: tuple[int, int] = (SIDE, SIDE), strength: float = 40) -> Image.Image:
    """A square of it, side by side."""
    part = Image.effect_noise((1_000, 1_000), strength)
    bands = [part.transpose(turn) for turn in (*Image.Transpose,)[: len(Image.new(mode, (1, 1)).getbands())]]
    part = Image.merge(mode, bands) if len(bands) > 1 else part.convert(mode)
    picture = Image.new(mode, size)
    for left in range(0, size[0], 1_000):
        for top in range(0, size[1], 1_000):
            picture.paste(part, (left, top))
    return picture


# JPEG


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _small_jpeg(*said: bytes) -> bytes:
    data = encoded(Image.new("RGB", (64, 64), "teal"), "JPEG")
    return b"".join([data[:2], *said, data[2:]])


def _scans(times: int, before: bytes = b"", size: tuple[int, int] = (SIDE, 9_900), end: bytes = b"\xff\xd9") -> bytes:
    """The last scan, which refines, so many times more."""
    data = encoded(Image.new("L", size, 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + before + data[last:-2] * times + end


def _noisy_jpeg(mode: str, quality: int, size: tuple[int, int] = (SIDE, SIDE), **options: Any) -> bytes:
    return encoded(_noise(mode, size), "JPEG", quality=quality, subsampling=0, **options)


def _lossless_jpeg() -> bytes:
    """SOF3: each difference is none, and takes one bit."""
    frame = _segment(0xC3, struct.pack(">BHHB", 8, SIDE, SIDE, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0]))
    table = _segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    scan = _segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 1, 0, 0]))
    return b"\xff\xd8" + frame + table + scan + bytes(3 * SIDE * SIDE // 8) + b"\xff\xd9"


def _arithmetic() -> bytes:
    """A restart behind each block, of which nothing is there: 63 decisions are made before that is noticed."""
    frame = _segment(0xC9, struct.pack(">BHHB", 8, SIDE, SIDE, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0]))
    quantizer, every = _segment(0xDB, b"\0" + b"\1" * 64), _segment(0xDD, b"\0\1")
    blocks = b"".join(bytes([0xFF, 0xD0 + number]) for number in range(8)) * ((SIDE // 8) ** 2 // 8)
    scans = (_segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + blocks for number in (1, 2, 3))
    return b"".join([b"\xff\xd8", quantizer, frame, every, *scans, b"\xff\xd9"])


def _elements() -> bytes:
    """A profile of 8,000 processing elements, which are all the same one: ICC.1:2022, 10.16."""
    curve = b"curf\0\0\0\0\0\1\0\0parf" + bytes(8) + struct.pack(">4f", 1.0001, 1, 0, 0)
    curves = b"cvst\0\0\0\0" + struct.pack(">HH", 3, 3) + struct.pack(">II", 36, len(curve)) * 3 + curve
    count = 8_000
    table = struct.pack(">II", 16 + 8 * count, len(curves)) * count
    body = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, count) + table + curves
    white = struct.pack(">3i", 63190, 65536, 54061)
    head = struct.pack(">I4xI4s4s4s12x4s28x", 144 + len(body), 0x04300000, b"scnr", b"RGB ", b"XYZ ", b"acsp") + white
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"D2B1", 144, len(body)) + body


def _index() -> bytes:
    """An MPO of 4,000 pictures, each behind 8,000 comments."""
    entries = b"".join(struct.pack(">5I", 0, 100, 70_000 + 4 * at, 0, 0)[:16] for at in range(4_000))
    directory = b"MM\0*" + struct.pack(">IHHHIII", 8, 1, 0xB002, 7, len(entries), 26, 0) + entries
    return _small_jpeg(_segment(0xE2, b"MPF\0" + directory)) + b"\xff\xd8\xff\xfe\0\2" * 10_000


JPEG: dict[str, Maker] = {
    "hidden scans": lambda: _scans(1_000, _segment(0xFE, b"\xff\xd9")),
    "deep refinement": lambda: _scans(92),
    "as many scans as are taken": lambda: _scans(26),
    "the same without an end mark": lambda: _scans(26, size=(4_900, 4_900), end=b""),
    "progressive noise": lambda: _noisy_jpeg("RGB", 58, progressive=True),
    "progressive noise of inks": lambda: _noisy_jpeg("CMYK", 20, progressive=True),
    "progressive noise without an end mark": lambda: _noisy_jpeg("RGB", 80, (7_000, 7_000), progressive=True)[:-2],
    "noise": lambda: _noisy_jpeg("RGB", 58),
    "lossless": _lossless_jpeg,
    "arithmetic code": _arithmetic,
    "EXIF in 780 pieces": lambda: _small_jpeg(*[_segment(0xE1, b"Exif\0\0" + bytes(65_000))] * 780),
    "resources": lambda: _small_jpeg(*[_segment(0xED, b"Photoshop 3.0\0" + (b"8BIM" + bytes(8)) * 5_000)] * 800),
    "tables": lambda: _small_jpeg(*[_segment(0xDB, (b"\0" + b"\1" * 64) * 1_000)] * 780),
    "junk": lambda: _small_jpeg(_segment(0xFE, b"") + bytes(MAX_BYTES - 10_000)),
    "junk of marks": lambda: _small_jpeg(_segment(0xFE, b"") + b"\xff\0" * (MAX_BYTES // 2 - 5_000)),
    "index of pictures": _index,
    "profile of elements": lambda: encoded(Image.new("RGB", (64, 64)), "JPEG", icc_profile=_elements()),
}


# PNG


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(packed: bytes, *before: bytes, depth: int = 8, kind: int = 2, side: int = 8, interlaced: int = 0) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


# Adam7 (PNG, 8.2): where each pass begins, and its steps, across and down.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _rows(size: int, side: int, *, noise: bool) -> Iterator[bytes]:
    """Of pixels of so many bytes, interlaced, each row with the filter Paeth, and the same noise at another place."""
    dice = random.Random(1)
    pool = (dice.randbytes(4_000) if noise else bytes(4_000)) * (size * side // 4_000 + 2)
    for left, top, across, down in _PASSES:
        length = -(-(side - left) // across) * size
        for _ in range(top, side, down):
            start = dice.randrange(4_000)
            yield b"\4" + pool[start : start + length]


def _packed(rows: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(4)
    return b"".join([*(packer.compress(row) for row in rows), packer.flush()])


def _filtered(kind: int, depth: int, *before: bytes, noise: bool = True, side: int = SIDE) -> bytes:
    size = {2: 3, 6: 4}[kind] * depth // 8
    return _png(_packed(_rows(size, side, noise=noise)), *before, depth=depth, kind=kind, side=side, interlaced=1)


def _small_png(*before: bytes) -> bytes:
    return _png(zlib.compress(bytes(25 * 8)), *before)


def _text(name: bytes) -> bytes:
    """16 MB of zeros in 16 KB."""
    return _chunk(name, b"Title\0" + bytes(5 if name == b"iTXt" else 1) + zlib.compress(bytes(1 << 24), 9))


def _frames_of_a_png() -> bytes:
    control = _chunk(b"acTL", struct.pack(">II", 45_000, 0))
    frame = _chunk(b"fcTL", struct.pack(">5I2H2B", 0, 8, 8, 0, 0, 1, 1, 0, 0)) + _chunk(b"fdAT", bytes(30))
    return _small_png(control)[:-12] + frame * 45_000 + _chunk(b"IEND", b"")


PNG_OF_16_BITS: dict[str, Maker] = {
    "interlaced, of 16 bits, with alpha": lambda: _filtered(6, 16, noise=False),
    "noise, interlaced, of 16 bits, with alpha": lambda: _filtered(6, 16, side=6_120),
    "transparent colour of 16 bits": lambda: _filtered(2, 16, _chunk(b"tRNS", bytes(6)), side=5_000),
}
PNG: dict[str, Maker] = {
    **PNG_OF_16_BITS,
    "noise, interlaced, with alpha": lambda: _filtered(6, 8, side=8_660),
    "noise, interlaced": lambda: _filtered(2, 8),
    "3,000 profiles": lambda: _small_png(*[_text(b"iCCP")] * 3_000),
    "texts": lambda: _small_png(*[_text(b"zTXt"), _text(b"iTXt")] * 1_500),
    "chunks": lambda: _small_png(*[_chunk(b"teXt", b"")] * 99_000),
    "frames": _frames_of_a_png,
    "profile of elements": lambda: _small_png(_chunk(b"iCCP", b"p\0\0" + zlib.compress(_elements()))),
}


# TIFF

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, ROWS, PLANES = 256, 257, 258, 259, 262, 277, 278, 284
PREDICTOR, TILE_WIDTH, TILE_HEIGHT, EXTRA, FORMAT, SUBSAMPLING = 317, 322, 323, 338, 339, 530
GROUP4, JPEG_CODE, DEFLATE, LZMA = 4, 7, 8, 34925
GREY, RGB, YCC, LAB = 1, 2, 6, 8

Numbers = dict[int, list[int]]


def _tiff(numbers: Numbers, piece: bytes, count: int) -> bytes:
    """`count` strips or tiles of the same bytes; where those are many, all are in one place."""
    places = (0x0144, 0x0145) if TILE_WIDTH in numbers else (0x0111, 0x0117)
    copies = count if len(piece) * count < MAX_BYTES // 2 else 1
    offsets = [8 + len(piece) * (number % copies) for number in range(count)]
    lists = numbers | {places[0]: offsets, places[1]: [len(piece)] * count}
    body, lines = bytearray(b"II*\0\0\0\0\0" + piece * copies), dict[int, bytes]()
    for tag, values in lists.items():
        raw = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            raw, added = struct.pack("<I", len(body)), raw
            body += added
        lines[tag] = struct.pack("<HHI", tag, 4, len(values)) + raw
    struct.pack_into("<I", body, 4, len(body))
    return bytes(body + struct.pack("<H", len(lines)) + b"".join(lines[tag] for tag in sorted(lines)) + bytes(4))


def _strips(
    compression: int,
    raw: Callable[[bytes], bytes],
    *,
    size: tuple[int, int] = (SIDE, SIDE),
    rows: int = 500,
    bits: int = 8,
    samples: int = 1,
    noise: bool = False,
    more: Numbers | None = None,
) -> bytes:
    """Each strip the same, which `raw` makes of its bytes."""
    length = size[0] * rows * samples * bits // 8
    pixels = random.Random(1).randbytes(20_000) * (length // 20_000 + 1) if noise else bytes(length)
    numbers = {WIDTH: [size[0]], HEIGHT: [size[1]], BITS: [bits] * samples, COMPRESSION: [compression]}
    numbers |= {PHOTOMETRIC: [RGB if samples > 2 else GREY], SAMPLES: [samples], ROWS: [rows], **(more or {})}
    return _tiff(numbers, raw(pixels[:length]), -(-size[1] // rows))


def _deflated(raw: bytes) -> bytes:
    return zlib.compress(raw, 1)


def _lzma(raw: bytes) -> bytes:
    return lzma.compress(raw, preset=0)


def _incompressible(raw: bytes) -> bytes:
    return lzma.compress(random.Random(1).randbytes(len(raw)), preset=0)


def _fax(raw: bytes) -> bytes:
    """Black and white in turn, 10,000 to a row."""
    picture = Image.frombytes("1", (SIDE, len(raw) * 8 // SIDE), b"\x55" * len(raw))
    data = encoded(picture, "TIFF", compression="group4", strip_size=1 << 30)
    tags = cast(TiffImagePlugin.TiffImageFile, Image.open(BytesIO(data))).tag_v2
    return data[tags[0x0111][0] :][: tags[0x0117][0]]


def _jpeg_piece(width: int, rows: int, **options: Any) -> Callable[[bytes], bytes]:
    return lambda _: encoded(Image.new("L", (width, rows), 90), "JPEG", **options)


def _overhanging(packed: Callable[[bytes], bytes]) -> bytes:
    numbers = {WIDTH: [1], HEIGHT: [6400], BITS: [8], PHOTOMETRIC: [GREY], TILE_WIDTH: [6_000_000], TILE_HEIGHT: [16]}
    compression = DEFLATE if packed is _deflated else LZMA
    return _tiff(numbers | {COMPRESSION: [compression]}, packed(bytes(96_000_000)), 400)


def _tagged(tags: Iterable[int]) -> bytes:
    """A small page, and tags that each say all of the file."""
    numbers = {WIDTH: [8], HEIGHT: [8], BITS: [8], COMPRESSION: [1], PHOTOMETRIC: [GREY], ROWS: [8]}
    data = _tiff(numbers, bytes(64), 1)
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    length = MAX_BYTES - 100_000
    lines = [data[at + 2 + 12 * n :][:12] for n in range(count)]
    lines += [struct.pack("<HHII", tag, 7, length, 8) for tag in tags]
    lines.sort(key=lambda line: struct.unpack_from("<H", line))
    head = data[:4] + struct.pack("<I", length)
    return head + data[8:at].ljust(length - 8, b"\0") + struct.pack("<H", len(lines)) + b"".join(lines) + bytes(4)


def _directories() -> bytes:
    """1,000 pages of 1,000 tags."""
    lines = b"".join(struct.pack("<HHII", tag, 3, 1, 8 if tag < 258 else 1) for tag in range(256, 1_256))
    length = len(lines) + 6
    pages = (struct.pack("<H", 1_000) + lines + struct.pack("<I", 8 + length * number) for number in range(1, 1_001))
    return b"II*\0\x08\0\0\0" + b"".join(pages)


THOUSAND_ROWS = (1_000, 100_000)

TIFF: dict[str, Maker] = {
    "overhanging tiles": lambda: _overhanging(_deflated),
    "overhanging tiles of LZMA": lambda: _overhanging(_lzma),
    "5,000,000 strips": lambda: _strips(DEFLATE, _deflated, size=(20, 5_000_000), rows=1),
    "100,000 strips": lambda: _strips(DEFLATE, _deflated, size=THOUSAND_ROWS, rows=1),
    "100,000 strips of LZMA": lambda: _strips(LZMA, _lzma, size=THOUSAND_ROWS, rows=1),
    "100,000 strips of JPEG": lambda: _strips(JPEG_CODE, _jpeg_piece(1_000, 1), size=THOUSAND_ROWS, rows=1),
    "progressive JPEG in strips": lambda: _strips(JPEG_CODE, _jpeg_piece(SIDE, 1_000, progressive=True), rows=1_000),
    "strips that are all one of 6 MB": lambda: _strips(LZMA, _incompressible, samples=4, rows=160),
    "8 bytes a pixel": lambda: _strips(DEFLATE, _deflated, bits=16, samples=4, noise=True, more={PREDICTOR: [2]}),
    "8 bytes a pixel in one strip": lambda: _strips(DEFLATE, _deflated, bits=16, samples=4, rows=SIDE),
    "6 bytes a pixel in one strip": lambda: _strips(DEFLATE, _deflated, bits=16, samples=3, rows=SIDE),
    "L*a*b* in one strip": lambda: _strips(DEFLATE, _deflated, samples=3, rows=SIDE, more={PHOTOMETRIC: [LAB]}),
    "deep L*a*b* in one strip": lambda: _strips(
        DEFLATE, _deflated, bits=16, samples=3, rows=SIDE, more={PHOTOMETRIC: [LAB]}
    ),
    "YCbCr in one strip": lambda: _strips(
        DEFLATE, _deflated, samples=3, rows=SIDE, more={PHOTOMETRIC: [YCC], SUBSAMPLING: [1, 1]}
    ),
    "deep grey with alpha in one strip": lambda: _strips(
        DEFLATE, _deflated, bits=16, samples=2, rows=SIDE, more={EXTRA: [2]}
    ),
    "double precision": lambda: _strips(
        LZMA, _lzma, size=(7_500, SIDE), bits=64, noise=True, more={PREDICTOR: [3], FORMAT: [3]}
    ),
    "floats in one strip": lambda: _strips(
        DEFLATE, _deflated, bits=32, rows=SIDE, noise=True, more={PREDICTOR: [3], FORMAT: [3]}
    ),
    "fax": lambda: _strips(GROUP4, _fax, bits=1),
    "tags that are the whole file": lambda: _tagged(range(60_000, 60_060)),
    "a profile 900 times": lambda: _tagged([0x8773] * 900),
    "directories": _directories,
}


# BMP


def _bmp(size: tuple[int, int], bits: int, compression: int, code: bytes, *masks: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, compression, len(code), 0, 0, 0, 0)
    head += struct.pack(f"<{len(masks)}I", *masks) + (bytes(1 << bits + 2) if bits <= 8 else b"")
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(code), 0, 0, 14 + len(head)) + head + code


def _runs(code: bytes, size: int, *, bits: int = 8, shape: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    return _bmp(shape, bits, 1 if bits == 8 else 2, (code * (size // len(code)))[:size] + b"\0\1")


MOST_CODE = (8 << 20) - 1_000

BMP: dict[str, Maker] = {
    "rows of one run": lambda: _runs(b"\1\0\0\0", 9_000, shape=(50_000, 1_980)),
    "50 MB of runs": lambda: _runs(b"\1\1", MAX_BYTES - 2_000),
    "runs": lambda: _runs(b"\1\1", MOST_CODE, shape=(SIDE * SIDE, 1)),
    "short literals": lambda: _runs(b"\0\3\1\2\3\0\1\1", MOST_CODE, shape=(SIDE * SIDE, 1)),
    "short literals of 4 bits": lambda: _runs(b"\0\3\x12\x30\1\1", MOST_CODE, bits=4, shape=(SIDE * SIDE, 1)),
    "moves": lambda: _runs(b"\0\2\1\0\1\1", MOST_CODE, shape=(SIDE * SIDE, 1)),
    "short rows": lambda: _runs(b"\0\0\1\1", 1_990_000, shape=(200, 499_000)),
    "16 bits in fields": lambda: _bmp((5_100, 5_100), 16, 3, b"\x5a\xa5" * 5_100**2, 0xF000, 0xF00, 0xF0),
    "32 bits in fields": lambda: _bmp(
        (3_600, 3_600), 32, 3, b"\x5a\xa5\x12\x34" * 3_600**2, 0x3FF, 0xFFC00, 0x3FF00000
    ),
    "bilevel": lambda: _bmp((9_984, SIDE), 1, 0, bytes(9_984 * SIDE // 8)),
}


# GIF


def _gif(blocks: bytes, frame: bytes = b"", side: int = 1) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return screen + blocks + (frame or b",\0\0\0\0\1\0\1\0\0\2\2D\1\0") + b";"


def _clearing_gif() -> bytes:
    """Codes of 3 bits, of which every second one clears the table: 4 pixels in 3 bytes."""
    side = 8_000
    code = int(("000" + "100") * 4, 2).to_bytes(3, "little") * (side * side // 4 + 1)
    blocks = b"".join(b"\xff" + code[at : at + 255] for at in range(0, len(code) - 255, 255))
    return _gif(b"", b"," + struct.pack("<4HB", 0, 0, side, side, 0) + b"\2" + blocks + b"\0", side)


GIF: dict[str, Maker] = {
    "comments": lambda: _gif(b"!\xfe\1a\0" * 499_990),
    "a comment of 50 MB": lambda: _gif(b"!\xfe" + (b"\xff" + b"a" * 255) * 200_000 + b"\0"),
    "frames": lambda: _gif(b",\0\0\0\0\1\0\1\0\0\2\2D\1\0" * 490_000),
    "a hidden frame": lambda: _gif(b",\0\0\0\0\1\0\1\0\0\2\2D\1\0", b",\0\0\0\0\x20\x4e\x20\x4e\0\2\2D\1\0"),
    "noise": lambda: encoded(_noise("L").point(lambda value: value & 7), "GIF"),
    "noise, interlaced": lambda: encoded(_noise("L").point(lambda value: value & 7), "GIF", interlace=True),
    "codes of one pixel": _clearing_gif,
}


# WebP and AVIF


def _empty_webp() -> bytes:
    """34 bytes: codes of one symbol, so that a pixel takes no bit. RFC 9649, 3.4."""
    side = SIDE - 1
    bits = 0x2F | side << 8 | side << 22 | 1 << 36 | 0b0001_0001_0001_0001_0001_000 << 40
    body = bits.to_bytes(14, "little")
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body


def _animation(name: str, frames: int, side: int, **options: Any) -> bytes:
    drawn = [Image.new("RGB", (side, side), (number % 256, 99, number // 256)) for number in range(frames)]
    return encoded(drawn[0], name, save_all=True, append_images=drawn[1:], **options)


def _smaller_outside(side: int) -> bytes:
    """The container says 16x16."""
    data = encoded(Image.new("RGB", (side, side), "teal"), "AVIF", speed=10)
    return data.replace(struct.pack(">2I", side, side), struct.pack(">2I", 16, 16))


def _frames_in_one() -> bytes:
    """The picture's frame twenty times in its place."""
    data = encoded(Image.new("RGB", (SIDE, SIDE), "teal"), "AVIF", speed=10)
    start = data.index(b"mdat") + 4
    more = data[start:][2:] * 19 if data[start:][:2] == b"\x12\0" else data[start:] * 19
    place = data.index(struct.pack(">I", len(data) - start), data.index(b"iloc"))
    grown = data[:place] + struct.pack(">I", len(data) - start + len(more)) + data[place + 4 :] + more
    return grown[: start - 8] + struct.pack(">I", len(grown) - start + 8) + grown[start - 4 :]


def _boxes(name: bytes, count: int) -> bytes:
    data = encoded(Image.new("RGB", (16, 16), "teal"), "AVIF", speed=10)
    at = data.index(name) - 4
    (length,) = struct.unpack_from(">I", data, at)
    grown = bytearray(data[:at] + data[at : at + length] * count + data[at + length :])
    for parent in (b"meta", b"iprp"):
        start = grown.index(parent) - 4
        if start < at:
            (size,) = struct.unpack_from(">I", grown, start)
            struct.pack_into(">I", grown, start, size + length * (count - 1))
    return bytes(grown)


WEBP: dict[str, Maker] = {
    "34 bytes": _empty_webp,
    "noise": lambda: encoded(_noise("RGB"), "WEBP", quality=1, method=0),
    "noise with alpha": lambda: encoded(_noise("RGBA"), "WEBP", quality=1, alpha_quality=30, method=0),
    "lossless noise": lambda: encoded(
        _noise("RGBA").point(lambda value: value & 128), "WEBP", lossless=True, quality=0, method=0
    ),
    "frames": lambda: _animation("WEBP", 2_000, 8),
    "large frames": lambda: _animation("WEBP", 3, 8_000, method=0),
}

AVIF: dict[str, Maker] = {
    "144 MP in 16x16": lambda: _smaller_outside(12_000),
    "100 MP in 16x16": lambda: _smaller_outside(SIDE),
    "frames in one": _frames_in_one,
    "noise": lambda: encoded(_noise("RGB"), "AVIF", quality=10, speed=10, subsampling="4:4:4"),
    "noise with alpha": lambda: encoded(_noise("RGBA"), "AVIF", quality=5, speed=10, subsampling="4:4:4"),
    "the same of fewer colours": lambda: encoded(_noise("RGBA"), "AVIF", quality=5, speed=10, subsampling="4:2:0"),
    "frames": lambda: _animation("AVIF", 300, 16, speed=10),
    "large frames": lambda: _animation("AVIF", 3, SIDE, speed=10),
    "properties of items": lambda: _boxes(b"ipma", 19_000),
    "items": lambda: _boxes(b"infe", 19_000),
}

# JPEG XL, whose encoder comes with its decoder


def _jxl(picture: Image.Image, *boxes: bytes, **options: Any) -> bytes:
    """At little effort, of which an encoder takes a minute for the dearest."""
    importlib.import_module("pillow_jxl")
    return encoded(picture, "JXL", **({"effort": 3} | options)) + b"".join(boxes)


def _jxl_box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def _boxed_jxl(*boxes: bytes) -> bytes:
    return _jxl(Image.new("RGB", (64, 64), "teal"), *boxes, use_container=True)


def _packed_boxes() -> bytes:
    """16 MB of zeros in 20 bytes."""
    packed = importlib.import_module("brotli").compress(bytes(1 << 24), quality=1)
    return _boxed_jxl(*[_jxl_box(b"brob", name + packed) for name in (b"Exif", b"xml ")] * 8_000)


def _deep_grey() -> Image.Image:
    ramp = Image.linear_gradient("L").resize((8_000, 8_000))
    return ramp.convert("I").point(lambda value: value * 257 + 0).convert("I;16")


JXL: dict[str, Maker] = {
    "photo without loss": lambda: _jxl(_photo("RGB", 5_000).crop((0, 0, 5_000, 4_400)), lossless=True),
    "photo with alpha without loss": lambda: _jxl(_photo("RGBA", 4_000), lossless=True),
    "noise without loss": lambda: _jxl(_noise("RGB", (4_000, 4_000)), lossless=True),
    "deep grey without loss": lambda: _jxl(_deep_grey(), lossless=True),
    "more of them": lambda: _jxl(_photo("RGB", 6_000), lossless=True, effort=1),
    "noise": lambda: _jxl(_noise("RGB", (6_300, 6_300)), quality=50),
    "noise with alpha": lambda: _jxl(_noise("RGBA", (4_000, 4_000)), quality=50),
    "boxes": lambda: _boxed_jxl(*[_jxl_box(b"free", b"")] * 19_900),
    "compressed boxes": _packed_boxes,
}

# What an honest program writes of a photo, in the dearest of the usual ways: a square of so many pixels a side, however
# many bytes that takes.


def _photo(mode: str, side: int) -> Image.Image:
    """Drawn, with the grain of a sensor in dim light, and for transparency a gradient. In thousands of pixels."""
    drawn = Image.open(BytesIO(photo(2_000, 2_000))).resize((side, side), Image.Resampling.BICUBIC)
    drawn = ImageChops.add(drawn, _noise("RGB", (side, side), strength=8), offset=-128)
    if mode == "RGBA":
        drawn.putalpha(Image.linear_gradient("L").resize((side, side)))
    return drawn.convert(mode)


def _png_of_16_bits(side: int) -> bytes:
    """With transparency. A sensor's low bits are noise. Each byte less the mean of the one before it and the one above
    it (filter 3, PNG 9.2)."""
    photo = _photo("RGBA", side).tobytes()
    raw = bytearray(2 * len(photo))
    raw[::2], raw[1::2] = photo, random.Random(1).randbytes(len(photo))
    bytes_a_row = side * 8
    rows = Image.frombytes("L", (bytes_a_row, side), bytes(raw))
    before, above = Image.new("L", rows.size), Image.new("L", rows.size)
    before.paste(rows, (8, 0))
    above.paste(rows, (0, 1))
    filtered = ImageChops.subtract_modulo(rows, ImageChops.add(before, above, scale=2)).tobytes()
    starts = range(0, len(filtered), bytes_a_row)
    return _png(_packed(b"\3" + filtered[at : at + bytes_a_row] for at in starts), depth=16, kind=6, side=side)


def _flat_bmp(side: int) -> bytes:
    """Runs of 250 pixels, and each row ends: no more than Windows wrote."""
    row = b"\xfa\1" * (side // 250) + b"\0\0"
    return _runs(row, len(row) * side, shape=(side // 250 * 250, side))


HONEST: dict[str, Callable[[int], bytes]] = {
    "jpeg": lambda side: encoded(_photo("RGB", side), "JPEG", quality=90, subsampling=0, progressive=True),
    "png": lambda side: encoded(_photo("RGBA" if side <= 8_660 else "RGB", side), "PNG"),
    "png of 16 bits": _png_of_16_bits,
    "tiff": lambda side: encoded(_photo("RGBA", side), "TIFF", compression="tiff_lzw", tiffinfo={PREDICTOR: 2}),
    "bmp": _flat_bmp,
    "gif": lambda side: encoded(_photo("RGB", side).quantize(256), "GIF", interlace=True),
    "webp": lambda side: encoded(_photo("RGBA", side), "WEBP", quality=80, method=0),
    "avif": lambda side: encoded(_photo("RGBA", side), "AVIF", quality=75, speed=10),
    "jxl": lambda side: _jxl(_photo("RGB", side), quality=90),
}

FORMATS: dict[str, dict[str, Maker]] = {
    "jpeg": JPEG,
    "png": PNG,
    "tiff": TIFF,
    "bmp": BMP,
    "gif": GIF,
    "webp": WEBP,
    "avif": AVIF,
    "jxl": JXL,
}
