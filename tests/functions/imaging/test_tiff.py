"""TIFFs of every kind, written by hand: what is shown is what was drawn, or the verdict says what it is."""

import io
import itertools
import math
import struct

import pytest
from PIL import Image, ImageCms

from functions.imaging import Limits, Target, examine, for_caption, formats, render, tags
from tests.functions.imaging.tiffs import DOUBLE, FLOAT, LONG, SHORT, SIGNED, SINGLE, TEXT, UNSIGNED, container, tiff
from tests.functions.imaging.verdicts import LIMITS, rejected

SIGNED_LONG = 9
PHOTOMETRIC, PLANES, ORIENTATION, PALETTE, INKS, EXTRA, COMPRESSION, SUBFILE = 262, 284, 274, 320, 332, 338, 259, 254
BITS, FORMAT, SAMPLES_EACH, PROFILE, NO_DATA, LEAST, MOST, DNG = 258, 339, 277, 34675, 42113, 340, 341, 50706
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, IN_PALETTE, CMYK, YCC, LAB = 0, 1, 2, 3, 5, 6, 8

WIDE, HIGH = 7, 5
# Nothing is symmetrical, and black and white are among them: of a pixel red, green, blue and alpha, of 15 each.
DRAWN = [
    [((x * 5 + y * 3) % 16, (x * 3 + y * 7 + 2) % 16, (x + y * 2) % 16, 15 - (x * y) % 16) for x in range(WIDE)]
    for y in range(HIGH)
]
DRAWN[0][0], DRAWN[4][6] = (0, 0, 0, 15), (15, 15, 15, 0)


def shown(data, width=WIDE, height=HIGH):
    """Validate takes it, Caption can have it, and this is what Resize makes of it at its own size."""
    facts = examine(data, LIMITS)
    assert (facts.format, facts.width, facts.height) == ("tiff", width, height)
    assert for_caption(data)[0] == "jpeg"
    return pixels_of(render(data, Target("png", width, height)).data)


def pixels_of(png):
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    return [[picture.getpixel((x, y)) for x in range(picture.width)] for y in range(picture.height)]


def same(ours, drawn, within=1):
    """Colours count only where something can be seen of them."""
    for y, (row, expected_row) in enumerate(zip(ours, drawn, strict=True)):
        for x, (pixel, expected) in enumerate(zip(row, expected_row, strict=True)):
            colours = 0 if expected[3] == 0 else 3
            compared = [*zip(pixel[:colours], expected[:colours], strict=True), (pixel[3], expected[3])]
            assert all(abs(a - b) <= within for a, b in compared), f"{pixel} at {x};{y}, expected {expected}"


def eight(pixel):
    return tuple(value * 17 for value in pixel)


GREY_DRAWN = [[(*eight(pixel[:1] * 3), 255) for pixel in row] for row in DRAWN]
RGB_DRAWN = [[(*eight(pixel[:3]), 255) for pixel in row] for row in DRAWN]
RGBA_DRAWN = [[eight(pixel) for pixel in row] for row in DRAWN]


def grey_rows(number):
    """Each of 15 levels by that arithmetic, as the one sample of a pixel."""
    return [[(number(pixel[0] / 15),) for pixel in row] for row in DRAWN]


def unsigned(bits):
    return lambda level: round(level * (2**bits - 1))


def signed(bits):
    """From the least to the most that it holds."""
    return lambda level: round(level * (2**bits - 1)) - 2 ** (bits - 1)


def positive(bits):
    """A signed number from 0."""
    return lambda level: round(level * (2 ** (bits - 1) - 1))


GREYS = {
    **{f"{bits} bits": (UNSIGNED, bits, unsigned(bits)) for bits in (4, 8, 12, 16, 32)},
    **{f"{bits} bits signed": (SIGNED, bits, signed(bits)) for bits in (8, 16, 32)},
    **{f"{bits} bits signed, none below 0": (SIGNED, bits, positive(bits)) for bits in (8, 16, 32)},
    "32 bits signed that hold 16": (SIGNED, 32, unsigned(16)),
    "32 bits signed that hold 8": (SIGNED, 32, unsigned(8)),
    "32 bits signed that hold 16 signed": (SIGNED, 32, signed(16)),
    **{f"float of {bits} bits": (FLOAT, bits, lambda level: level) for bits in (32, 64)},
    "float to 255": (FLOAT, 32, lambda level: level * 255),
    "float to 65535": (FLOAT, 32, lambda level: level * 65535),
    "float from -3 to 1": (FLOAT, 32, lambda level: level * 4 - 3),
    "float to 10**6": (FLOAT, 64, lambda level: level * 1e6),
}
WAYS = list(itertools.product("<>", (False, True), (False, True), (None, 2), (False, True)))


def in_every_way(rows, *, apart=True, **options):
    """Both byte orders, TIFF and BigTIFF, plain and deflated, in one strip and in several, and, if asked, in planes."""
    for order, big, deflated, strip, in_planes in WAYS:
        if apart or not in_planes:
            yield tiff(rows, order=order, big=big, deflated=deflated, strip=strip, apart=in_planes, **options)


@pytest.mark.parametrize("name", GREYS)
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_black_and_white_of_grey_come_from_the_tags(name, photometric):
    kind, bits, number = GREYS[name]
    numbers = number if photometric == BLACK_IS_ZERO else lambda level: number(1 - level)
    for data in in_every_way(grey_rows(numbers), kind=kind, bits=bits, tags=[(PHOTOMETRIC, SHORT, [photometric])]):
        same(shown(data), GREY_DRAWN)


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_grey_of_few_bits(bits, photometric):
    most = 2**bits - 1
    drawn = [[pixel[0] * most // 15 for pixel in row] for row in DRAWN]
    expected = [[(value * 255 // most,) * 3 + (255,) for value in row] for row in drawn]
    rows = [[(value if photometric else most - value,) for value in row] for row in drawn]
    for data in in_every_way(rows, bits=bits, tags=[(PHOTOMETRIC, SHORT, [photometric])]):
        same(shown(data), expected, within=0)


def with_alpha(pixel, extra, scale):
    """Multiplied by alpha where the file says so."""
    *colours, alpha = (value * scale for value in pixel)
    if extra == (1,):
        colours = [round(value * alpha / (15 * scale)) for value in colours]
    return (*colours, alpha)


@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,)], ids=["unsaid", "unknown", "multiplied", "alpha"])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_and_alpha(bits, extra):
    """What is multiplied by alpha is known to one part in alpha: the least here is 1 of 15."""
    rows = [[with_alpha(pixel, extra, 17 if bits == 8 else 4369) for pixel in row] for row in DRAWN]
    tags = [(PHOTOMETRIC, SHORT, [RGB])] + ([(EXTRA, SHORT, extra)] if extra else [])
    for data in in_every_way(rows, bits=bits, tags=tags):
        same(shown(data), RGB_DRAWN if extra == (0,) else RGBA_DRAWN, within=8 if extra == (1,) else 1)
    if not extra:
        rows = [[pixel[:3] for pixel in row] for row in rows]
        for data in in_every_way(rows, bits=bits, tags=tags):
            same(shown(data), RGB_DRAWN)


@pytest.mark.parametrize("extra", [(0,), (1,), (2,)], ids=["unknown", "multiplied", "alpha"])
@pytest.mark.parametrize("bits", [8, 16])
def test_grey_and_alpha(bits, extra):
    expected = [[(*eight(pixel[:1] * 3), 255 if extra == (0,) else pixel[3] * 17) for pixel in row] for row in DRAWN]
    scale = 17 if bits == 8 else 4369
    rows = [[with_alpha((pixel[0], pixel[3]), extra, scale) for pixel in row] for row in DRAWN]
    for data in in_every_way(rows, bits=bits, apart=False, tags=[(EXTRA, SHORT, extra)]):
        same(shown(data), expected, within=8 if extra == (1,) else 1)


@pytest.mark.parametrize("bits", [1, 4, 8, 16, 32])
def test_a_plane_beside_grey_that_nobody_knows_the_meaning_of_is_left_out(bits):
    most = 2**bits - 1
    drawn = [[pixel[0] * min(most, 15) // 15 for pixel in row] for row in DRAWN]
    rows = [[(value * most // min(most, 15), most - value) for value in row] for row in drawn]
    expected = [[(value * 255 // min(most, 15),) * 3 + (255,) for value in row] for row in drawn]
    same(shown(tiff(rows, bits=bits, apart=True, tags=[(EXTRA, SHORT, [0])])), expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_plane_behind_alpha_that_nobody_knows_the_meaning_of_is_left_out(bits):
    scale = 17 if bits == 8 else 4369
    rows = [[(*(value * scale for value in pixel), 7) for pixel in row] for row in DRAWN]
    tags = [(PHOTOMETRIC, SHORT, [RGB]), (EXTRA, SHORT, [2, 0])]
    same(shown(tiff(rows, bits=bits, apart=True, tags=tags)), RGBA_DRAWN)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("depth", [8, 16], ids=["palette of 8 bits", "palette of 16"])
def test_palettes(bits, depth):
    """16 bits by the specification; a palette whose numbers are all below 256 is one of 8."""
    colours = [((n * 37 + 90) % 256, (n * 91) % 256, (n * 53 + 7) % 256) for n in range(2**bits)]
    stored = [(colour[part] * (257 if depth == 16 else 1)) for part in range(3) for colour in colours]
    drawn = [[pixel[0] % 2**bits for pixel in row] for row in DRAWN]
    tags = [(PHOTOMETRIC, SHORT, [IN_PALETTE]), (PALETTE, SHORT, stored)]
    for data in in_every_way([[(number,) for number in row] for row in drawn], bits=bits, tags=tags):
        same(shown(data), [[(*colours[number], 255) for number in row] for row in drawn], within=0)


# What libvips makes of inks without a profile, as in test_render.
INKED = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 156, 228), (0, 255, 0, 0): (234, 23, 133)}
INKED |= {(0, 0, 255, 0): (255, 240, 0), (0, 255, 255, 0): (232, 31, 42), (0, 0, 0, 255): (41, 35, 43)}


@pytest.mark.parametrize("bits", [8, 16])
def test_inks(bits):
    rows = [[tuple(ink * (257 if bits == 16 else 1) for ink in inks) for inks in INKED]] * 2
    expected = [[(*colour, 255) for colour in INKED.values()]] * 2
    for data in in_every_way(rows, bits=bits, tags=[(PHOTOMETRIC, SHORT, [CMYK])]):
        same(shown(data, 6, 2), expected, within=4)


# Bradford-adapted from D50 to linear sRGB: http://www.brucelindbloom.com/Eqn_RGB_XYZ_Matrix.html
D50 = (0.96422, 1.0, 0.82521)
TO_SRGB = [(3.1338561, -1.6168667, -0.4906146), (-0.9787684, 1.9161415, 0.0334540), (0.0719453, -0.2289914, 1.4052427)]


def srgb(light, a, b):
    """CIE 15, 8.2.1: L*a*b* back to XYZ, and that to sRGB (IEC 61966-2-1)."""
    middle = (light + 16) / 116
    roots = (middle + a / 500, middle, middle - b / 200)
    xyz = [
        white * (root**3 if root > 6 / 29 else (root - 4 / 29) * 108 / 841)
        for root, white in zip(roots, D50, strict=True)
    ]
    linear = [sum(part * value for part, value in zip(row, xyz, strict=True)) for row in TO_SRGB]
    coded = [12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055 for value in linear]
    return tuple(round(255 * min(max(value, 0), 1)) for value in coded)


@pytest.mark.parametrize("bits", [8, 16])
def test_lab_is_converted(bits):
    """a* and b* are signed: in 8 bits whole steps, in 16 bits 256ths."""
    deep = 256 if bits == 16 else 1
    colours = [(100, 0, 0), (0, 0, 0), (40, 14, 14), (60, -20, 30), (50, -5, -22), (80, 5, 60)]
    rows = [[(light * (2**bits - 1) // 100, a * deep % 2**bits, b * deep % 2**bits) for light, a, b in colours]]
    for data in in_every_way(rows, bits=bits, tags=[(PHOTOMETRIC, SHORT, [LAB])]):
        same(shown(data, 6, 1), [[(*srgb(*colour), 255) for colour in colours]], within=4)


def ycc(red, green, blue):
    """ITU-T T.871."""
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return tuple(round(part) for part in (light, 128 + (blue - light) / 1.772, 128 + (red - light) / 1.402))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_brightness_and_colour_apart(orientation):
    """YCbCr without compression, which libtiff itself would turn, and must not."""
    rows = [[ycc(*pixel[:3]) for pixel in row] for row in RGB_DRAWN]
    tags = [(PHOTOMETRIC, SHORT, [YCC]), (530, SHORT, [1, 1]), (ORIENTATION, SHORT, [orientation])]
    for order in "<>":
        data = tiff(rows, order=order, tags=tags)
        size = (WIDE, HIGH) if orientation < 5 else (HIGH, WIDE)
        same(shown(data, *size), turned(RGB_DRAWN, orientation), within=3)


@pytest.mark.parametrize("orientation", [1, 4, 6])
@pytest.mark.parametrize(
    ("mode", "compression", "within"),
    [
        *(("1", name, 0) for name in ("tiff_ccitt", "group3", "group4")),
        *(("RGB", name, 0) for name in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd")),
        *(("L", "jpeg", 4), ("RGB", "jpeg", 4), ("YCbCr", "jpeg", 8), ("CMYK", "jpeg", 8), ("LAB", "tiff_lzw", 0)),
        *(("I;16", "tiff_lzw", 0), ("I;16B", "tiff_lzw", 0), ("F", "tiff_lzw", 0), ("RGBA", "zstd", 0)),
    ],
)
def test_every_compression_that_pillow_can_write(mode, compression, within, orientation):
    """Deep grey by another program than the tests' own is among them."""
    drawn = Image.linear_gradient("L").resize((32, 24)).rotate(90).resize((48, 32))
    picture = {"F": lambda: drawn.convert("F").point(lambda value: value / 255 + 0)}.get(
        mode, lambda: drawn.convert(mode)
    )
    if mode.startswith("I;16"):
        picture = lambda: drawn.convert("I").point(lambda value: value * 257 + 0).convert(mode)  # noqa: E731
    stored = picture() if mode != "LAB" else Image.merge("LAB", [drawn, *[Image.new("L", drawn.size, 128)] * 2])
    file = io.BytesIO()
    stored.save(file, "TIFF", compression=compression, tiffinfo={ORIENTATION: orientation})
    size = stored.size if orientation < 5 else stored.size[::-1]
    ours = shown(file.getvalue(), *size)
    if mode == "LAB":
        expected = [[(*srgb(drawn.getpixel((x, y)) / 2.55, 0, 0), 255) for x in range(48)] for y in range(32)]
        return same(ours, turned(expected, orientation), within=2)
    if mode == "CMYK":
        stored = Image.open(io.BytesIO(render(tiff_of(stored), Target("png", *stored.size)).data))
    shades = (stored if mode not in ("F", "I;16", "I;16B") else drawn).convert("RGBA")
    expected = [[shades.getpixel((x, y)) for x in range(48)] for y in range(32)]
    return same(ours, turned(expected, orientation), within=within + 1)


def tiff_of(picture):
    file = io.BytesIO()
    picture.save(file, "TIFF")
    return file.getvalue()


def turned(rows, orientation):
    """As a person sees what is stored that way: TIFF 6.0, Orientation, row by row."""
    if orientation in (2, 3, 6, 7):
        rows = [row[::-1] for row in rows] if orientation in (2, 3) else rows
    if orientation in (3, 4):
        rows = rows[::-1]
    if orientation >= 5:
        rows = [list(column) for column in zip(*rows, strict=True)]
        if orientation in (6, 7):
            rows = [row[::-1] for row in rows]
        if orientation in (7, 8):
            rows = rows[::-1]
    return rows


TURNED = {
    "bilevel": (1, UNSIGNED, 1, BLACK_IS_ZERO),
    "grey": (8, UNSIGNED, 1, WHITE_IS_ZERO),
    "12 bits": (12, UNSIGNED, 1, BLACK_IS_ZERO),
    "16 bits": (16, UNSIGNED, 1, BLACK_IS_ZERO),
    "floats": (32, FLOAT, 1, BLACK_IS_ZERO),
    "colours of 8 bits": (8, UNSIGNED, 3, RGB),
    "colours of 16 bits": (16, UNSIGNED, 3, RGB),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", TURNED)
def test_every_orientation_of_every_kind(name, orientation):
    """A mark in the first pixel stored is where the orientation says."""
    bits, kind, samples, photometric = TURNED[name]
    most = 1.0 if kind == FLOAT else 2**bits - 1
    low, high = (most, 0) if photometric == WHITE_IS_ZERO else (0, most)
    rows = [[(high if (x, y) in ((0, 0), (1, 0)) else low,) * samples for x in range(8)] for y in range(4)]
    drawn = [
        [(255, 255, 255, 255) if (x, y) in ((0, 0), (1, 0)) else (0, 0, 0, 255) for x in range(8)] for y in range(4)
    ]
    tags = [(PHOTOMETRIC, SHORT, [photometric]), (ORIENTATION, SHORT, [orientation])]
    for order, apart in itertools.product("<>", (False, True)):
        data = tiff(rows, bits=bits, kind=kind, order=order, apart=apart, tags=tags)
        same(shown(data, *((8, 4) if orientation < 5 else (4, 8))), turned(drawn, orientation))


def test_tiles_at_the_edges():
    """Tiles of 16x16 for 20x18 pixels of 16 bits: what overhangs is not shown."""
    drawn = [[((x * 13) % 256, (y * 11) % 256, (x * y) % 256) for x in range(32)] for y in range(32)]
    tiles = [
        b"".join(
            struct.pack(">48H", *(value * 257 for x in range(16) for value in drawn[top + y][left + x]))
            for y in range(16)
        )
        for top in (0, 16)
        for left in (0, 16)
    ]
    entries = {256: (LONG, [20]), 257: (LONG, [18]), BITS: (SHORT, [16] * 3), COMPRESSION: (SHORT, [1])}
    entries |= {PHOTOMETRIC: (SHORT, [RGB]), SAMPLES_EACH: (SHORT, [3]), 322: (LONG, [16]), 323: (LONG, [16])}
    data = container([(entries, tiles)], ">")
    same(shown(data, 20, 18), [[(*pixel, 255) for pixel in row[:20]] for row in drawn[:18]])


def test_the_bits_of_a_byte_may_come_the_other_way():
    """FillOrder 2."""
    rows = [[(1,), (1,), (0,), (1,), (0,), (0,), (0,), (0,)]]
    data = tiff([row[::-1] for row in rows], bits=1, tags=[(266, SHORT, [2])])
    assert [pixel[0] for pixel in shown(data, 8, 1)[0]] == [255, 255, 0, 255, 0, 0, 0, 0]


def test_a_profile_counts():
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = tiff(
        [[pixel[:3] for pixel in row] for row in RGB_DRAWN], tags=[(PHOTOMETRIC, SHORT, [RGB]), (PROFILE, 7, grey)]
    )
    assert examine(data, LIMITS).notes == ()
    same(shown(data), RGB_DRAWN)
    (note,) = examine(tiff(grey_rows(unsigned(8)), tags=[(PROFILE, 7, grey)]), LIMITS).notes or ("",)
    assert note == ""
    broken = tiff(
        [[pixel[:3] for pixel in row] for row in RGB_DRAWN], tags=[(PHOTOMETRIC, SHORT, [RGB]), (PROFILE, 7, b"x")]
    )
    assert examine(broken, LIMITS).notes


# Numbers that are none


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize("place", [(0, 0), (3, 2)], ids=["first", "amid"])
def test_what_is_not_a_number_is_transparent_and_the_rest_shows(bits, photometric, place):
    rows = grey_rows(lambda level: level if photometric else 1 - level)
    rows[place[1]][place[0]] = (math.nan,)
    expected = [list(row) for row in GREY_DRAWN]
    expected[place[1]][place[0]] = (0, 0, 0, 0)
    for data in in_every_way(rows, kind=FLOAT, bits=bits, tags=[(PHOTOMETRIC, SHORT, [photometric])]):
        same(shown(data), expected)


def test_infinity_is_black_or_white():
    rows = grey_rows(lambda level: level)
    rows[1][1], rows[2][2] = (math.inf,), (-math.inf,)
    expected = [list(row) for row in GREY_DRAWN]
    expected[1][1], expected[2][2] = (255, 255, 255, 255), (0, 0, 0, 255)
    for data in in_every_way(rows, kind=FLOAT, bits=32):
        same(shown(data), expected)


@pytest.mark.parametrize(
    ("kind", "bits", "empty", "number"),
    [
        (FLOAT, 32, -9999, lambda level: level),
        (FLOAT, 32, -3.4028234663852886e38, lambda level: level * 255),
        (FLOAT, 64, 1e30, lambda level: level),
        (SIGNED, 16, -32768, positive(16)),
        (SIGNED, 32, -2147483648, unsigned(16)),
        (UNSIGNED, 16, 77, unsigned(16)),
        (UNSIGNED, 32, 2**32 - 2, unsigned(30)),
    ],
    ids=lambda value: "" if callable(value) else str(value),  # a function's own text is its address
)
def test_the_number_for_no_data_is_transparent_and_no_black_or_white(kind, bits, empty, number):
    """GDAL_NODATA, a number as text."""
    rows = grey_rows(number)
    rows[3][1] = (empty,)
    most = {UNSIGNED: 2**bits - 1}.get(kind, number(1))
    expected = [[(*(round(sample / most * 255),) * 3, 255) for (sample,) in row] for row in grey_rows(number)]
    expected[3][1] = (0, 0, 0, 0)
    for data in in_every_way(rows, kind=kind, bits=bits, tags=[(NO_DATA, TEXT, f"{empty!r}\0".encode())]):
        same(shown(data), expected)


@pytest.mark.parametrize("text", [b"nan\0", b"\0", b"none at all\0", b"inf\0"])
def test_a_declared_number_that_is_none_does_not_matter(text):
    same(shown(tiff(grey_rows(unsigned(16)), bits=16, tags=[(NO_DATA, TEXT, text)])), GREY_DRAWN)


def test_nothing_but_holes():
    data = tiff([[(math.nan,)] * 4] * 3, kind=FLOAT, bits=32)
    assert {pixel[3] for row in shown(data, 4, 3) for pixel in row} == {0}


@pytest.mark.parametrize("of", [SINGLE, DOUBLE])
def test_declared_black_and_white_count(of):
    """SMinSampleValue and SMaxSampleValue, for numbers whose type does not say it."""
    rows = grey_rows(lambda level: level * 40 - 20)
    data = tiff(rows, kind=FLOAT, bits=32, tags=[(LEAST, of, [-20.0]), (MOST, of, [20.0])])
    same(shown(data), GREY_DRAWN)


# Not taken


def one(samples=1, **options):
    return tiff([[(1,) * samples] * 8] * 8, **options)


NOT_TAKEN = {
    "LogLuv": (one(3, tags=[(PHOTOMETRIC, SHORT, [32845])]), "PhotometricInterpretation 32845 (LogLuv)"),
    "LogL": (one(tags=[(PHOTOMETRIC, SHORT, [32844])]), "PhotometricInterpretation 32844 (LogL)"),
    "ICC L*a*b*": (one(3, tags=[(PHOTOMETRIC, SHORT, [9])]), "PhotometricInterpretation 9 (ICC L*a*b*)"),
    "a mask": (one(bits=1, tags=[(PHOTOMETRIC, SHORT, [4])]), "PhotometricInterpretation 4 (a mask)"),
    "an unknown one": (one(tags=[(PHOTOMETRIC, SHORT, [777])]), "PhotometricInterpretation 777"),
    "WebP": (one(3, tags=[(PHOTOMETRIC, SHORT, [RGB]), (COMPRESSION, SHORT, [50001])]), "Compression 50001 (WebP)"),
    "JPEG 2000": (one(3, tags=[(PHOTOMETRIC, SHORT, [RGB]), (COMPRESSION, SHORT, [34712])]), "34712 (JPEG 2000)"),
    "fax in words": (one(bits=1, tags=[(COMPRESSION, SHORT, [32771])]), "32771 (CCITT RLE in words)"),
    "LERC": (one(tags=[(COMPRESSION, SHORT, [34887])]), "34887 (LERC)"),
    "an unknown compression": (one(tags=[(COMPRESSION, SHORT, [4711])]), "Compression 4711"),
    "inks and alpha": (one(5, tags=[(PHOTOMETRIC, SHORT, [CMYK]), (EXTRA, SHORT, [2])]), "5 samples of 8 bits"),
    "other inks": (one(4, tags=[(PHOTOMETRIC, SHORT, [CMYK]), (INKS, SHORT, [2])]), "InkSet 2"),
    "floats of 16 bits": (one(kind=FLOAT, bits=16), "1 samples of 16 bits, SampleFormat 3"),
    "64 bits": (one(bits=64), "1 samples of 64 bits"),
    "colours of 32 bits": (one(3, bits=32, tags=[(PHOTOMETRIC, SHORT, [RGB])]), "3 samples of 32 bits"),
    "colours of floats": (one(3, kind=FLOAT, bits=32, tags=[(PHOTOMETRIC, SHORT, [RGB])]), "SampleFormat 3"),
    "colours of 4 bits": (one(3, bits=4, tags=[(PHOTOMETRIC, SHORT, [RGB])]), "3 samples of 4 bits"),
    "signed colours": (one(3, kind=SIGNED, tags=[(PHOTOMETRIC, SHORT, [RGB])]), "SampleFormat 2"),
    "565": (one(3, tags=[(PHOTOMETRIC, SHORT, [RGB]), (BITS, SHORT, [5, 6, 5])]), "BitsPerSample 5 6 5"),
    "mixed kinds": (one(3, tags=[(PHOTOMETRIC, SHORT, [RGB]), (FORMAT, SHORT, [1, 2, 3])]), "SampleFormat 1 2 3"),
    "two greys": (one(2), "2 samples of 8 bits"),
    "grey and alpha in planes": (one(2, apart=True, tags=[(EXTRA, SHORT, [2])]), "in planes"),
    "palette of 16 bits": (one(bits=16, tags=[(PHOTOMETRIC, SHORT, [IN_PALETTE])]), "(palette), 1 samples of 16 bits"),
    "JPEG of 12 bits": (one(bits=12, tags=[(COMPRESSION, SHORT, [7])]), "JPEG of 12 bits"),
    "many samples": (one(40, tags=[(PHOTOMETRIC, SHORT, [RGB])]), "40 samples of 8 bits"),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_a_valid_kind_that_is_not_taken_is_named_and_not_called_corrupt(name):
    data, what = NOT_TAKEN[name]
    code, message = rejected(data)
    assert code == "unsupported_format"
    assert message.startswith("TIFF with ")
    assert what in message


def directory(side, **tags):
    entries = {256: (LONG, [side]), 257: (LONG, [side]), BITS: (SHORT, [8]), COMPRESSION: (SHORT, [1])}
    entries |= {PHOTOMETRIC: (SHORT, [BLACK_IS_ZERO]), SAMPLES_EACH: (SHORT, [1]), 278: (LONG, [side])}
    return entries | tags.get("tags", {}), [bytes(side * side)]


THUMBNAIL = directory(8, tags={SUBFILE: (LONG, [1])})
SENSOR = directory(32, tags={PHOTOMETRIC: (SHORT, [32803])})
RAW_FILES = {
    "DNG": container([directory(8, tags={SUBFILE: (LONG, [1]), DNG: (1, b"\1\4\0\0")})], inner=[SENSOR]),
    "a DNG that is all there is": container([directory(8, tags={DNG: (1, b"\1\4\0\0")})]),
    "thumbnail, then the sensor in a directory of its own": container([THUMBNAIL, SENSOR]),
    "a preview that is not called a thumbnail": container([directory(16)], ">", inner=[directory(8), SENSOR]),
    "NEF, ARW": container([THUMBNAIL], ">", inner=[directory(32)]),
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + container([directory(16)])[8:],
    "the sensor first": container([SENSOR]),
}


@pytest.mark.parametrize("name", RAW_FILES)
def test_the_thumbnail_of_a_raw_file_is_not_the_picture(name):
    code, message = rejected(RAW_FILES[name])
    assert code == "unsupported_format"
    assert "raw pixels" in message or "is a thumbnail of another" in message


def test_a_picture_that_calls_itself_a_thumbnail_and_is_all_there_is_is_taken():
    assert examine(container([THUMBNAIL]), LIMITS).width == 8


def test_pages_are_counted_and_thumbnails_and_masks_are_not():
    mask = directory(8, tags={SUBFILE: (LONG, [4]), PHOTOMETRIC: (SHORT, [4])})
    page = directory(8, tags={SUBFILE: (LONG, [2])})
    file = [directory(16), THUMBNAIL, mask, page]
    for order, big in itertools.product("<>", (False, True)):
        assert examine(container(file, order, big), LIMITS).frames == 2
        assert examine(container([directory(16)], order, big, inner=[directory(8)]), LIMITS).frames == 1


def test_a_tiff_without_a_size_is_corrupt():
    assert rejected(tiff([[(1,)]], tags=[(256, LONG, [0])])) == (
        "corrupt",
        "TIFF that cannot be decoded: its tags say no size: 0x1",
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_pixels_end_early_is_corrupt(bits):
    data = tiff([[(1,)] * 64] * 64, bits=bits, tags=[(279, LONG, [100])])
    entries = {256: (LONG, [64]), 257: (LONG, [64]), BITS: (SHORT, [bits]), PHOTOMETRIC: (SHORT, [1])}
    assert examine(data, LIMITS)
    assert rejected(container([(entries, [bytes(100)])]))[0] == "corrupt"


# What costs more than its pixels should


def page(size, pieces, *, tile=None, rows=None, compression=1, bits=8, tags=()):
    """Grey, with all its strips or tiles in one place if there is only one."""
    entries = {256: (LONG, [size[0]]), 257: (LONG, [size[1]]), BITS: (SHORT, [bits]), PHOTOMETRIC: (SHORT, [1])}
    entries |= {COMPRESSION: (SHORT, [compression])} | dict(tags)
    if tile:
        entries |= {322: (LONG, [tile[0]]), 323: (LONG, [tile[1]])}
    if rows:
        entries |= {278: (LONG, [rows])}
    return entries, pieces


def pointing(entries, count):
    """So many strips or tiles that are the same ten bytes."""
    places = (324, 325) if 322 in entries else (273, 279)
    entries |= dict(zip(places, ((LONG, [8] * count), (LONG, [10] * count)), strict=True))
    return container([(entries, [])])


def test_tiles_that_overhang_count_in_full():
    """A page one pixel wide, of which each row of tiles unpacks 6,000,000x16."""
    entries, _ = page((1, 6400), [], tile=(6_000_000, 16))
    data = pointing(entries, 400)
    assert rejected(data) == ("too_many_pixels", "6000000x6400 = 38400.0 MP, limit 1 MP")
    assert rejected(container([directory(16), (entries, [])]))[0] == "too_many_pixels"  # a later page


def test_the_tiles_of_an_honest_picture_may_overhang():
    """70x70 pixels in tiles of 16x16 are 80x80."""
    data = container([page((70, 70), [bytes(256)] * 25, tile=(16, 16))])
    assert examine(data, Limits(10**6, 70 * 70)).width == 70


def test_a_small_page_in_a_large_tile_is_rejected():
    entries, _ = page((10, 10), [], tile=(8192, 4096))
    assert rejected(pointing(entries, 1), Limits(10**7, 10**8)) == (
        "too_costly",
        "TIFF of 10x10 pixels whose tiles of 8192x4096 cover 33.6 MP, limit 16.8 MP",
    )


def test_a_kind_of_number_that_is_not_read_here_is_not_read_by_the_decoder():
    """Tiles whose width has a sign, which libtiff would take."""
    entries, _ = page((1, 64), [], tile=(6_000_000, 16))
    entries[322] = (SIGNED_LONG, struct.pack("<i", 6_000_000)[:4])
    data = pointing(entries, 4)
    kind = data.index(struct.pack("<HH", 322, SIGNED_LONG)) + 4
    assert rejected(data[:kind] + struct.pack("<I", 1) + data[kind + 4 :], Limits(10**7, 10**8))[0] == "corrupt"


@pytest.mark.parametrize("apart", [False, True])
def test_strips_are_counted(apart):
    """For each the decoder begins anew; in planes each has them all."""
    height = 33_400 if apart else 100_001
    entries, _ = page((1, height), [], rows=1, tags={SAMPLES_EACH: (SHORT, [3])}.items() if apart else ())
    if apart:
        entries |= {PHOTOMETRIC: (SHORT, [RGB]), BITS: (SHORT, [8] * 3), PLANES: (SHORT, [2])}
    assert rejected(pointing(entries, 9)) == (
        "too_costly",
        f"TIFF of {height * (3 if apart else 1):,} strips or tiles, limit 100,000",
    )


def test_a_strip_has_few_bytes_for_each_pixel():
    """Unpacked it lies beside the picture: 800 MB for 100 megapixels of 16 bits with alpha in one strip."""
    rows, limits = [[(9, 9, 9, 9)] * 8] * 8, Limits(10**6, 64)
    tags = [(PHOTOMETRIC, SHORT, [RGB]), (EXTRA, SHORT, [2])]
    assert examine(tiff(rows, bits=16, tags=tags, strip=4), limits).width == 8
    assert examine(tiff(rows, bits=16, tags=tags), Limits(10**6, 86)).width == 8
    assert rejected(tiff(rows, bits=16, tags=tags), limits) == (
        "too_costly",
        "TIFF with a strip or tile of 0.0 MB, limit 0.000384 MB",
    )


def test_double_precision_has_few_bytes_for_each_pixel_in_all():
    data = tiff([[(0.5,)] * 8] * 8, kind=FLOAT, bits=64, strip=2)
    assert examine(data, Limits(10**6, 86)).width == 8
    assert rejected(data, Limits(10**6, 85)) == ("too_costly", "TIFF with doubles of 0.0 MB, limit 0.00051 MB")


@pytest.mark.parametrize("counted", [True, False])
def test_the_jpeg_of_a_tile_paints_once(counted):
    """Progressive code costs a whole tile with each scan, and no program writes it there."""
    entries, _ = page((16, 32), [], rows=16, compression=7)
    once, often = (jpeg_of(Image.linear_gradient("L").resize((16, 16)), progressive=way) for way in (False, True))
    strips = container([(entries, [once, once])])
    assert examine(strips, LIMITS).height == 32
    bomb = container([(entries, [once, often])])
    if not counted:
        bomb = bomb.replace(struct.pack("<HH", 279, LONG), struct.pack("<HH", 280, LONG))
    assert rejected(bomb) == ("too_costly", "TIFF with a strip or tile that paints 1 components 6 times, limit 1")


def jpeg_of(picture, **options):
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("compression", [8, 34925, 7, 5])
def test_strips_that_are_the_same_one_are_small(compression, counted):
    """What a megabyte of noise costs would be paid for each."""
    entries, _ = page((16, 160), [], rows=16, compression=compression)
    entries |= {273: (LONG, [8 + at for at in range(10)]), 279: (LONG, [200_000] * 10)}
    if not counted:
        del entries[279]
    data = container([(entries, [])])
    data += bytes(400_000)
    read, most = 10 * (200_000 if counted else len(data)), len(data) + 1_000_000
    assert rejected(data) == (
        "too_costly",
        f"TIFF with {read:,} bytes in strips or tiles that overlap, limit {most:,}",
    )


def test_libtiff_gets_only_the_tags_that_pixels_are_made_of():
    """It would keep what any other says: 50 MB for each, which may all lie in one place."""
    rows = grey_rows(unsigned(8))
    for order, big in itertools.product("<>", (False, True)):
        more = [(60_000 + number, TEXT, b"x" * 100) for number in range(9)]
        data = tiff(rows, order=order, big=big, tags=more)
        picture = formats.open_picture(data, "tiff")
        (left,) = tags.directories(picture.fp.getvalue(), {*range(65536)})
        assert set(left) == {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 339}
        same(shown(data), GREY_DRAWN)


def test_a_file_of_a_million_tags_is_read_in_part():
    """60 directories of 1,000 tags: 50 of them count."""
    entries, strips = directory(1)
    full = entries | {number: (SHORT, [0]) for number in range(1000, 2000 - len(entries) - 2)}
    assert examine(container([(full, strips)] * 60), LIMITS).frames == 50
