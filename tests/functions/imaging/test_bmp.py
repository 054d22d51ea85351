"""Bitmaps of every kind, written by hand: what is shown is what was drawn, or the verdict says what it is."""

import io
import itertools
import random
import struct

import pytest
from PIL import Image, ImageCms

from functions.imaging import Target, examine, for_caption, render
from tests.functions.imaging.verdicts import LIMITS, rejected

HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
PLAIN, RLE8, RLE4, FIELDS, FIELDS_WITH_ALPHA = 0, 1, 2, 3, 6
COLOURS = [((n * 37 + 90) % 256, (n * 91) % 256, (n * 53 + 7) % 256) for n in range(256)]


def bmp(
    size, bits, pixels, *, header=40, compression=PLAIN, masks=(), palette=(), top_down=False, profile=b"", start=None
):
    """`pixels` are the bytes as they are stored. The masks of a short header lie behind it."""
    width, height = size
    if header == 12:
        head = struct.pack("<IHHHH", header, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHH", header, width, -height if top_down else height, 1, bits)
        head += struct.pack("<IIiiII", compression, len(pixels), 0, 0, len(palette), 0)[: header - 16]
        head += struct.pack(f"<{len(masks)}I", *masks) if header != 64 else b""
        head = head.ljust(header, b"\0")
    if profile:
        head = head[:56] + b"DEBM" + head[60:112] + struct.pack("<2I", header + len(pixels), len(profile)) + head[120:]
    head += b"".join(bytes(colour[::-1]) + (b"" if header == 12 else b"\0") for colour in palette)
    at = 14 + len(head) if start is None else start
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(pixels), 0, 0, at) + head + pixels + profile


def stored(rows, bits, *, top_down=False):
    """Rows of numbers of so many bits, each filled up to four bytes, the lowest row first."""
    lines = []
    for row in rows if top_down else rows[::-1]:
        if bits < 8:
            text = "".join(f"{number:0{bits}b}" for number in row)
            line = int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
        else:
            line = b"".join(number.to_bytes(bits // 8, "little") for number in row)
        lines.append(line + bytes(-len(line) % 4))
    return b"".join(lines)


def shown(data, width, height):
    facts = examine(data, LIMITS)
    assert (facts.format, facts.width, facts.height) == ("bmp", width, height)
    assert for_caption(data)[0] == "jpeg"
    picture = Image.open(io.BytesIO(render(data, Target("png", width, height)).data)).convert("RGBA")
    return [[picture.getpixel((x, y)) for x in range(width)] for y in range(height)]


def same(ours, drawn, within=0):
    for y, (row, expected_row) in enumerate(zip(ours, drawn, strict=True)):
        for x, (pixel, expected) in enumerate(zip(row, expected_row, strict=True)):
            assert all(abs(a - b) <= within for a, b in zip(pixel, expected, strict=True)), (
                f"{pixel} at {x};{y}, expected {expected}"
            )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("header", HEADERS)
def test_palettes(bits, header):
    for top_down, width in itertools.product((False, True), (5, 8, 9)):
        if top_down and header == 12:
            continue
        rows = [[(x * 5 + y * 3) % 2**bits for x in range(width)] for y in range(4)]
        data = bmp(
            (width, 4),
            bits,
            stored(rows, bits, top_down=top_down),
            header=header,
            palette=COLOURS[: 2**bits],
            top_down=top_down,
        )
        same(shown(data, width, 4), [[(*COLOURS[number], 255) for number in row] for row in rows])


def test_grey_stays_grey_and_few_greys_are_no_brightness():
    """A palette of 16 greys is no picture of 8 bits."""
    for bits, step in ((1, 255), (4, 17), (4, 1), (8, 1)):
        rows = [[(x + y) % 2**bits for x in range(6)] for y in range(3)]
        data = bmp((6, 3), bits, stored(rows, bits), palette=[(number * step,) * 3 for number in range(2**bits)])
        same(shown(data, 6, 3), [[(number * step,) * 3 + (255,) for number in row] for row in rows])
    assert Image.open(io.BytesIO(render(data, Target("png", 6, 3)).data)).mode == "L"


def test_a_palette_is_found_where_the_pixels_are_said_to_begin_with_it():
    rows = [[(x + y) % 4 for x in range(6)] for y in range(3)]
    data = bmp((6, 3), 8, stored(rows, 8), palette=COLOURS[:4], start=14 + 40)
    same(shown(data, 6, 3), [[(*COLOURS[number], 255) for number in row] for row in rows])


@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize("header", HEADERS)
def test_colours(bits, header):
    """Of 16 bits each colour has 5; of 32 the last 8 mean nothing."""
    drawn = [[COLOURS[(x * 7 + y * 31) % 256] for x in range(5)] for y in range(3)]
    if bits == 16:
        drawn = [[tuple((value >> 3) * 255 // 31 for value in pixel) for pixel in row] for row in drawn]
    rows = [[coded(pixel, bits) for pixel in row] for row in drawn]
    same(
        shown(bmp((5, 3), bits, stored(rows, bits), header=header), 5, 3),
        [[(*pixel, 255) for pixel in row] for row in drawn],
        within=1,
    )


def coded(pixel, bits):
    red, green, blue = pixel
    if bits == 16:
        return (red * 31 + 127) // 255 << 10 | (green * 31 + 127) // 255 << 5 | (blue * 31 + 127) // 255
    return red << 16 | green << 8 | blue


MASKS = {
    "565": (16, 0xF800, 0x7E0, 0x1F, 0),
    "555": (16, 0x7C00, 0x3E0, 0x1F, 0),
    "4444": (16, 0xF00, 0xF0, 0xF, 0xF000),
    "1555": (16, 0x7C00, 0x3E0, 0x1F, 0x8000),
    "332": (16, 0xE0, 0x1C, 0x3, 0),
    "BGRX": (32, 0xFF0000, 0xFF00, 0xFF, 0),
    "BGRA": (32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "RGBA": (32, 0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "ABGR": (32, 0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    "ARGB": (32, 0xFF00, 0xFF0000, 0xFF000000, 0xFF),
    "10 bits each": (32, 0x3FF00000, 0xFFC00, 0x3FF, 0),
    "10 bits each and alpha": (32, 0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),
    "11, 11 and 10 bits": (32, 0xFFE00000, 0x1FFC00, 0x3FF, 0),
    "16, 8 and 8 bits": (32, 0xFFFF, 0xFF0000, 0xFF000000, 0),
    "no blue": (32, 0xFF0000, 0xFF00, 0, 0),
    "24 bits": (24, 0xFF0000, 0xFF00, 0xFF, 0),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
def test_bit_fields(name, header):
    bits, *masks = MASKS[name]
    has_alpha = bool(masks[3])
    if header == 52 and has_alpha:
        return  # it has no place for it
    steps = [[(x * 5 + y * 3) % 16 for x in range(6)] for y in range(4)]
    rows, drawn = [], []
    for line in steps:
        levels = [(step, 15 - step, step * 7 % 16, max(step, 1)) for step in line]
        fields = [
            [round(level / 15 * most(mask)) for level, mask in zip(pixel, masks, strict=True)] for pixel in levels
        ]
        rows.append([sum(value * (mask & -mask) for value, mask in zip(pixel, masks, strict=True)) for pixel in fields])
        eights = [[part(value, mask) for value, mask in zip(pixel, masks, strict=True)] for pixel in fields]
        drawn.append([(*eight[:3], eight[3] if has_alpha else 255) for eight in eights])
    compression = FIELDS_WITH_ALPHA if header == 40 and has_alpha else FIELDS
    wanted = masks if has_alpha or header > 52 else masks[:3]
    for top_down in (False, True):
        data = bmp(
            (6, 4),
            bits,
            stored(rows, bits, top_down=top_down),
            header=header,
            compression=compression,
            masks=wanted,
            top_down=top_down,
        )
        if header == 40:
            assert data[10:14] == struct.pack("<I", 54 + 4 * len(wanted))
        same(shown(data, 6, 4), drawn, within=1)


def most(mask):
    return mask // (mask & -mask) if mask else 0


def part(value, mask):
    return round(value * 255 / most(mask)) if mask else 0


def test_an_alpha_of_nothing_but_zeros_is_none():
    """As browsers have it: a program that left it out, and not a picture of nothing."""
    rows = [[0x123456, 0x00FF00]]
    data = bmp((2, 1), 32, stored(rows, 32), header=108, compression=FIELDS, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    same(shown(data, 2, 1), [[(0x12, 0x34, 0x56, 255), (0, 255, 0, 255)]])


def test_an_embedded_profile_counts():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = stored([[0x123456, 0x00FF00]], 24)
    assert examine(bmp((2, 1), 24, pixels, header=124, profile=srgb), LIMITS).notes == ()
    assert examine(bmp((2, 1), 24, pixels, header=124, profile=b"x" * 200), LIMITS).notes


# Run lengths


def rle(size, code, bits=8, **options):
    return bmp(size, bits, code, compression=RLE8 if bits == 8 else RLE4, palette=COLOURS[: 2**bits], **options)


def painted(rows):
    return [[(*COLOURS[number], 255) for number in row] for row in rows]


END, LINE = b"\0\1", b"\0\0"


def test_runs_literals_and_moves():
    """Rows from below: three of one and two as they are; a move of two to the right and one up; and then nothing."""
    code = b"\3\7" + b"\0\3\1\2\3\0" + b"\0\2\0\1" + b"\1\5" + END
    rows = [[0] * 8, [0] * 6 + [5, 0], [7, 7, 7, 1, 2, 3, 0, 0]]
    same(shown(rle((8, 3), code), 8, 3), painted(rows))
    same(shown(rle((8, 3), code, top_down=True), 8, 3), painted(rows[::-1]))


def test_runs_of_four_bits():
    """An odd run ends with its first colour, an odd literal with half a byte, and a literal takes whole words."""
    code = b"\5\x12" + LINE + b"\0\5\x34\x56\x70\0" + LINE + b"\0\6\x12\x34\x56\0" + b"\2\x89" + END
    rows = [[1, 2, 3, 4, 5, 6, 8, 9], [3, 4, 5, 6, 7, 0, 0, 0], [1, 2, 1, 2, 1, 0, 0, 0]]
    same(shown(rle((8, 3), code, bits=4), 8, 3), painted(rows))


ENDS = {
    "with its mark": (b"\2\1" + LINE + b"\2\2" + END, [[2, 2], [1, 1]]),
    "without a mark, all painted": (b"\2\1" + LINE + b"\2\2", [[2, 2], [1, 1]]),
    "early": (b"\2\1" + END, [[0, 0], [1, 1]]),
    "at once": (END, [[0, 0], [0, 0]]),
    "a mere move": (b"\0\2\1\1" + END, [[0, 0], [0, 0]]),
    "a move out of it": (b"\0\2\xff\xff" + b"\2\1" + END, [[0, 0], [0, 0]]),
    "a run beyond the row": (b"\xff\1" + LINE + b"\1\2" + END, [[2, 0], [1, 1]]),
    "a literal beyond the row": (b"\0\4\1\2\3\4" + LINE + b"\1\2" + END, [[2, 0], [1, 2]]),
    "more rows than there are": (b"\2\1" + LINE * 9 + b"\2\2" + END, [[0, 0], [1, 1]]),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_of_run_lengths(name):
    code, rows = ENDS[name]
    same(shown(rle((2, 2), code), 2, 2), painted(rows))


@pytest.mark.parametrize(
    "code", [b"", b"\2\1", b"\2\1\0", b"\2\1\0\0\1", b"\2\1\0\0\0\4\1\2", b"\2\1\0\0\0\2\1"], ids=repr
)
def test_run_lengths_that_end_before_the_picture_are_corrupt(code):
    verdict, message = rejected(rle((9, 2), code))
    assert verdict == "corrupt"
    assert "run lengths end in row" in message


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("seed", range(6))
def test_any_code_paints_what_the_specification_says(bits, seed):
    """Runs, literals, moves and ends of rows by chance, against a reader of one pixel at a time."""
    dice = random.Random(seed)
    width, height = dice.choice([(1, 9), (7, 5), (300, 4), (9, 60)])
    code = b""
    for _ in range(dice.choice([3, 30, 300])):
        kind = dice.randrange(6)
        if kind == 0:
            code += LINE * dice.randrange(1, 3)
        elif kind == 1:
            code += bytes([0, 2, dice.randrange(4), dice.randrange(2)])
        elif kind == 2:
            count = dice.randrange(3, 40)
            literal = dice.randbytes(count if bits == 8 else (count + 1) // 2)
            code += bytes([0, count]) + literal + bytes(len(literal) % 2)
        else:
            runs = range(dice.choice([1, 3]))
            code += b"".join(bytes([dice.randrange(1, 256 if kind == 5 else 9), dice.randrange(256)]) for _ in runs)
    same(
        shown(rle((width, height), code + END, bits=bits), width, height),
        painted(slowly(code + END, width, height, bits)),
    )


def slowly(code, width, height, bits):
    """https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-compression"""
    rows = [[0] * width for _ in range(height)]
    x = y = at = 0

    def paint(number):
        nonlocal x
        if x < width and y < height:
            rows[y][x] = number
            x += 1

    while True:
        first, second = code[at : at + 2]
        at += 2
        if first:
            for number in range(first):
                paint(second if bits == 8 else (second & 15 if number % 2 else second >> 4))
        elif second == 0:
            x, y = 0, y + 1
        elif second == 1:
            return rows[::-1]
        elif second == 2:
            x, y = min(x + code[at], width), y + code[at + 1]
            at += 2
        else:
            length = second if bits == 8 else (second + 1) // 2
            for number in range(second):
                byte = code[at + (number if bits == 8 else number // 2)]
                paint(byte if bits == 8 else (byte & 15 if number % 2 else byte >> 4))
            at += length + length % 2


@pytest.mark.parametrize("idle", [b"\0\2\0\0", b"\1\1\0\2\0\0", b"\0\0\1\1"], ids=["moves", "runs", "rows"])
def test_code_goes_on_in_few_places(monkeypatch, idle):
    """Each move and each row costs the same, painted or not: 50 MB hold 12 million."""
    monkeypatch.setattr("functions.imaging.bmp.MAX_STEPS", 50)
    assert examine(rle((1, 100), b"\1\1" + idle * 20 + END), LIMITS).height == 100
    assert rejected(rle((1, 100), b"\1\1" + idle * 60 + END)) == (
        "too_costly",
        "BMP whose run lengths go on in more than 50 places",
    )


def test_code_has_few_bytes(monkeypatch):
    monkeypatch.setattr("functions.imaging.bmp.MAX_CODE", 50)
    assert examine(rle((100, 1), b"\2\1" * 24 + END), LIMITS).width == 100
    assert rejected(rle((100, 1), b"\2\1" * 25 + END)) == (
        "too_costly",
        "BMP with 52 bytes of run lengths, limit 50",
    )


NOT_TAKEN = {
    "JPEG": (bmp((4, 4), 0, b"", compression=4), "Compression 4 (JPEG)"),
    "PNG": (bmp((4, 4), 0, b"", compression=5), "Compression 5 (PNG)"),
    "CMYK": (bmp((4, 4), 32, bytes(64), compression=11), "Compression 11 (CMYK)"),
    "Huffman": (bmp((4, 4), 1, bytes(64), header=64, compression=3), "Compression 3 (Huffman)"),
    "RLE24": (bmp((4, 4), 24, bytes(64), header=64, compression=4), "Compression 4 (run lengths of 24 bits)"),
    "an unknown compression": (bmp((4, 4), 24, bytes(64), compression=99), "Compression 99"),
    "64 bits": (bmp((4, 4), 64, bytes(128)), "64 bits a pixel"),
    "runs of 24 bits": (bmp((4, 4), 24, bytes(64), compression=RLE8), "24 bits a pixel in Compression 1"),
    "fields with gaps": (
        bmp((4, 4), 32, bytes(64), compression=FIELDS, masks=(0xF0F, 0xF0, 0xF000)),
        "0xf0f 0xf0 0xf000",
    ),
    "fields of 8 bits": (bmp((4, 4), 8, bytes(64), compression=FIELDS, masks=(0xE0, 0x1C, 3)), "in 8 bits a pixel"),
    "an unknown header": (bmp((4, 4), 24, bytes(64))[:14] + struct.pack("<I", 41) + bytes(200), "a header of 41 bytes"),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_a_valid_kind_that_is_not_taken_is_named_and_not_called_corrupt(name):
    data, what = NOT_TAKEN[name]
    code, message = rejected(data)
    assert code == "unsupported_format"
    assert what in message


@pytest.mark.parametrize(
    "data", [bmp((0, 4), 24, b""), bmp((4, 0), 24, b""), bmp((4, 4), 24, bytes(40)), bmp((4, 4), 8, b"")]
)
def test_a_bitmap_without_pixels_is_corrupt(data):
    assert rejected(data)[0] == "corrupt"


def test_the_size_counts_before_the_pixels():
    assert rejected(rle((2000, 1000), END)) == ("too_many_pixels", "2000x1000 = 2.0 MP, limit 1 MP")
