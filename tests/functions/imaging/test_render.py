"""The right pixels: what a rendition shows, against what was drawn."""

import base64
import io
import struct
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageStat

from darkroom.local.pictures import ORIENTATION, STORED, animated_gif, encoded, landscape, photo, with_chunk
from functions.imaging import Limits, Target, examine, for_caption, plan, render
from functions.imaging.plan import RenditionSetting

ARTIST, COPYRIGHT, MAKE = 0x013B, 0x8298, 0x010F
RED, GREEN, BLUE, WHITE = (200, 30, 40), (20, 160, 60), (30, 50, 190), (250, 250, 250)
QUARTERS = (RED, GREEN, BLUE, WHITE)  # top left, top right, bottom left, bottom right


def opened(rendered):
    picture = Image.open(io.BytesIO(rendered.data))
    picture.load()
    return picture


def rendition(data, width, height, format_name="png", **options):
    quality = None if format_name == "png" else 90
    return opened(render(data, Target(format_name, width, height, quality=quality, **options)))


def quarters(width, height):
    """Four colours, so that where up and left are can be read off four points."""
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    for number, colour in enumerate(QUARTERS):
        x, y = number % 2 * (width // 2), number // 2 * (height // 2)
        draw.rectangle((x, y, x + width // 2 - 1, y + height // 2 - 1), fill=colour)
    return picture


def stored(picture, orientation, format_name, **options):
    """As a camera held that way stores it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    turn = STORED.get(orientation)
    return encoded(picture if turn is None else picture.transpose(turn), format_name, exif=exif, **options)


def difference(one, other):
    """Mean difference of the channels, of 255."""
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGBA"), other.convert("RGBA"))).mean)


def near(pixel, expected, off):
    assert all(abs(a - b) <= off for a, b in zip(pixel, expected, strict=True)), (
        f"{pixel}, expected {expected} within {off}"
    )


# Upright

LOSSLESS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}, "AVIF": {"quality": 95, "speed": 10}}


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_whatever_way_it_was_stored(format_name, orientation):
    data = stored(quarters(160, 96), orientation, format_name, **LOSSLESS.get(format_name, {}))
    shown = rendition(data, 80, 48).convert("RGB")
    for point, colour in zip([(20, 12), (60, 12), (20, 36), (60, 36)], QUARTERS, strict=True):
        near(shown.getpixel(point), colour, 6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_upright(orientation):
    shown = rendition(stored(quarters(80, 48), orientation, "JPEG", quality=95, subsampling=0), 80, 48)
    near(shown.getpixel((20, 12)), RED, 6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_crop_is_of_the_upright_picture(orientation):
    """The middle third of three stripes side by side is all of the middle one."""
    stripes = Image.new("RGB", (300, 100), RED)
    ImageDraw.Draw(stripes).rectangle((100, 0, 199, 99), fill=GREEN)
    ImageDraw.Draw(stripes).rectangle((200, 0, 299, 99), fill=BLUE)
    shown = rendition(stored(stripes, orientation, "PNG"), 50, 50, fit="cover")
    for point in [(2, 2), (47, 2), (2, 47), (47, 47)]:
        near(shown.getpixel(point), GREEN, 1)


# Colours


def profile_of(primaries, gamma):
    """An RGB matrix profile, put together from ICC.1:2022: colorants adapted to D50 and one gamma."""

    def s15(value):
        return struct.pack(">i", round(value * 65536))

    entries = {name: b"XYZ \0\0\0\0" + b"".join(map(s15, xyz)) for name, xyz in primaries.items()}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    entries |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    entries[b"desc"] = b"desc\0\0\0\0\0\0\0\x05test\0" + bytes(78 + 1)
    table, body, at = struct.pack(">I", len(entries)), b"", 128 + 4 + 12 * len(entries)
    for name, entry in entries.items():
        entry += bytes(-len(entry) % 4)
        table += name + struct.pack(">II", at + len(body), len(entry))
        body += entry
    header = struct.pack(">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + s15(0.9642) + s15(1.0) + s15(0.8249)
    return header.ljust(128, b"\0") + table + body


# Adobe RGB (1998), 4.3.5.3 and annex C: gamma 2.19921875, colorants adapted to D50 by Bradford.
ADOBE_COLORANTS = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
    b"wtpt": (0.9642, 1.0, 0.8249),
}
ADOBE_RGB = profile_of(ADOBE_COLORANTS, 2.19921875)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_embedded_profile_is_converted_to_srgb(format_name):
    """Adobe RGB 100, 150, 50 is 66, 151, 34 in sRGB. By hand: raised to 2.2 it is .128 .311 .028; the published
    matrices to XYZ and on to linear sRGB give 1.3984 R - .3984 G = .0544, G = .3113, -.0429 G + 1.0429 B = .0156;
    coded again: 66, 151, 34."""
    options = LOSSLESS.get(format_name, {})
    data = encoded(Image.new("RGB", (64, 64), (100, 150, 50)), format_name, icc_profile=ADOBE_RGB, **options)
    near(rendition(data, 32, 32).convert("RGB").getpixel((16, 16)), (66, 151, 34), 3)


def test_a_profile_that_is_srgb_changes_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    drawn = landscape(64, 48)
    assert difference(rendition(encoded(drawn, "PNG", icc_profile=srgb), 64, 48), drawn) == 0


def test_a_broken_profile_changes_nothing():
    drawn = landscape(64, 48)
    assert difference(rendition(encoded(drawn, "PNG", icc_profile=b"RGB " * 50), 64, 48), drawn) == 0


def test_a_profile_keeps_transparency():
    drawn = Image.new("RGBA", (20, 20), (100, 150, 50, 77))
    assert rendition(encoded(drawn, "PNG", icc_profile=ADOBE_RGB), 20, 20).getpixel((5, 5))[3] == 77


# Inks, 255 of each at most, and what libvips 8.18 makes of them: icc_transform with its own `cmyk`, relative.
INKS = {
    (0, 0, 0, 0): (255, 255, 255),
    (255, 0, 0, 0): (0, 156, 228),
    (0, 255, 0, 0): (234, 23, 133),
    (0, 0, 255, 0): (255, 240, 0),
    (0, 255, 255, 0): (232, 31, 42),
    (0, 0, 0, 255): (41, 35, 43),
    (100, 0, 0, 51): (120, 171, 198),
}


@pytest.mark.parametrize("inks", INKS, ids=str)
@pytest.mark.parametrize("format_name", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_what_a_press_prints(inks, format_name):
    """Not the neon of computing with ideal inks. Pillow writes those of a JPEG inverted and says so, as Adobe does."""
    data = encoded(Image.new("CMYK", (64, 64), inks), format_name, quality=95)
    near(rendition(data, 32, 32).convert("RGB").getpixel((9, 9)), INKS[inks], 4)


def test_cmyk_without_adobes_marker_is_not_inverted():
    """The same stored numbers without the marker are 155 cyan, 255 magenta and yellow, 204 black; libvips as above."""
    data = encoded(Image.new("CMYK", (64, 64), (100, 0, 0, 51)), "JPEG", quality=95)
    marker = data.index(b"\xff\xee\0\x0eAdobe")
    near(rendition(data[:marker] + data[marker + 16 :], 32, 32).convert("RGB").getpixel((9, 9)), (52, 29, 41), 4)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


# By hand, for 100, 150, 50: .1274 .3050 .0319 in light; the matrix from Display P3 to linear sRGB (both D65)
# 1.2249 R - .2247 G, -.0420 R + 1.0419 G, -.0197 R - .0786 G + 1.0979 B gives .0875 .3124 .0085; coded: 84 152 23.
P3_GREEN, SRGB_GREEN = (100, 150, 50), (84, 152, 23)


def test_a_png_that_only_names_display_p3_is_converted():
    """cICP: primaries 12, transfer 13, no matrix, full range."""
    data = with_chunk(encoded(Image.new("RGB", (64, 64), P3_GREEN), "PNG"), b"cICP", bytes([12, 13, 0, 1]))
    near(rendition(data, 32, 32).getpixel((9, 9)), SRGB_GREEN, 2)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([12, 13, 0, 1], SRGB_GREEN),
        ([1, 13, 0, 1], P3_GREEN),
        ([1, 1, 0, 1], P3_GREEN),
        ([9, 13, 0, 1], (48, 155, 9)),
        ([22, 13, 0, 1], (66, 151, 34)),
        ([12, 8, 0, 1], (66, 151, 34)),
        ([12, 13, 5, 1], (66, 151, 34)),
        ([12, 13, 0, 0], (66, 151, 34)),
        ([12], (66, 151, 34)),
    ],
    ids=[
        "Display P3",
        "sRGB",
        "BT.709",
        "BT.2020",
        "unknown primaries",
        "unknown curve",
        "with a matrix",
        "narrow",
        "cut short",
    ],
)
@pytest.mark.parametrize("last", [False, True], ids=["before the profile", "behind it"])
def test_known_code_points_of_a_png_count_for_more_than_its_profile(points, expected, last):
    """The profile is Adobe RGB; it counts where the numbers are none that are known here."""
    data = encoded(Image.new("RGB", (64, 64), P3_GREEN), "PNG", icc_profile=None if last else ADOBE_RGB)
    data = with_chunk(data, b"cICP", bytes(points))
    if last:
        data = with_chunk(data, b"iCCP", b"Adobe RGB\0\0" + zlib.compress(ADOBE_RGB))
    near(rendition(data, 32, 32).getpixel((9, 9)), expected, 3)
    near(bytes.fromhex(examine(data, Limits(10**6, 10**6)).color[1:]), expected, 3)


def test_an_avif_that_only_names_display_p3_is_converted():
    """The same numbers, two bytes each, in the box `colr`."""
    data = encoded(Image.new("RGB", (64, 64), P3_GREEN), "AVIF", quality=95, speed=10)
    at = data.index(b"colrnclx") + 8
    near(rendition(data, 32, 32).getpixel((9, 9)), P3_GREEN, 3)
    named = data[:at] + struct.pack(">2H", 12, 13) + data[at + 4 :]
    near(rendition(named, 32, 32).getpixel((9, 9)), SRGB_GREEN, 3)


def test_a_png_with_a_profile_of_more_than_a_megabyte_is_taken_and_converted():
    """Pillow alone would refuse it. Of a profile that has no end the picture does without."""
    data = encoded(Image.new("RGB", (64, 64), (100, 150, 50)), "PNG")
    large = with_chunk(data, b"iCCP", b"large\0\0" + zlib.compress(ADOBE_RGB + bytes(2_000_000)))
    near(rendition(large, 32, 32).getpixel((9, 9)), (66, 151, 34), 3)
    endless = with_chunk(data, b"iCCP", b"endless\0\0" + zlib.compress(bytes(20_000_000)))
    assert rendition(endless, 32, 32).getpixel((9, 9)) == (100, 150, 50)
    assert examine(endless, Limits(10**6, 10**6)).notes[0].startswith("ICC profile ignored")


@pytest.mark.parametrize("place", [33, -12], ids=["before the pixels", "behind them"])
def test_a_png_with_a_long_text_is_taken(place):
    """Nobody reads it here; Pillow would read it, and refuse more than a megabyte."""
    data = encoded(landscape(64, 48), "PNG")
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(2_000_000)))
    assert difference(rendition(data[:place] + text + data[place:], 64, 48), landscape(64, 48)) == 0


def png(width, height, kind, rows, *others):
    """A PNG of 16 bits a channel, of that colour type, with chunks before and after its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + struct.pack(f">{len(row)}H", *row) for row in rows))
    before = b"".join(chunk(*other) for other in others if other[0] == b"tRNS")
    after = b"".join(chunk(*other) for other in others if other[0] != b"tRNS")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND", b"")


def grey_ramp_16(width=256):
    """Column x is 257 x, so that 8 bits of it are exactly x."""
    return png(width, 8, 0, [[257 * x for x in range(width)]] * 8)


def test_an_orientation_behind_the_pixels_of_a_png_counts():
    """A row of black, white turned by orientation 2 is white, black."""
    data = png(2, 1, 0, [[0, 65_535]], (b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x02\0\0\0\0\0\0\0"))
    assert [rendition(data, 2, 1).getpixel((x, 0)) for x in (0, 1)] == [255, 0]


def ramp(mode, scale):
    """Columns 0 to 255, times the scale, in a mode of more than 8 bits."""
    picture = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90).crop((0, 0, 256, 8))
    return picture.convert("I" if mode != "F" else "F").point(lambda value: value * scale + 0).convert(mode)


@pytest.mark.parametrize(
    "data",
    [
        grey_ramp_16(),
        encoded(ramp("I;16", 257), "TIFF"),
        encoded(ramp("I", 257), "TIFF"),
        encoded(ramp("F", 1 / 255), "TIFF"),
        encoded(ramp("F", 257.0), "TIFF"),
    ],
    ids=["png 16", "tiff 16", "tiff 32", "tiff float 0..1", "tiff float 0..65535"],
)
def test_more_than_8_bits_are_neither_clipped_nor_banded(data):
    """Each of 256 steps of grey arrives as itself."""
    shown = rendition(data, 256, 8).convert("L")
    assert [shown.getpixel((x, 4)) for x in range(256)] == list(range(256))


def test_grey_stays_grey():
    assert rendition(encoded(landscape(64, 48).convert("L"), "JPEG"), 32, 24).mode == "L"


def test_16_bit_colours_keep_their_upper_8_bits():
    """4660 is 0x1234: 18 of 255; 43981 is 0xABCD: 171; 65535 is 255."""
    shown = rendition(png(2, 1, 2, [[4660, 43_981, 65_535, 0, 65_535, 4660]]), 2, 1)
    near(shown.getpixel((0, 0)), (18, 171, 255), 1)
    near(shown.getpixel((1, 0)), (0, 255, 18), 1)


# Formats that Pillow reads and cannot write

# The four quarters on 32x32 by libjpeg-turbo's own program: cjpeg -arithmetic -quality 90 -sample 1x1.
ARITHMETIC = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBD
AQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/yQARCAAgACADAREAAhEBAxEB/8wACgAQ
EAUBEBEF/9oADAMBAAIRAxEAPwD/AMkXHgF7SMd3NulzGGhAhsc6YrUgbA7m1IA9wybEmY1Zl25ieGD/2Q=="""


def adam7(picture):
    """An interlaced PNG: seven smaller pictures, each with its own start and step (PNG, 8.2)."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = []
    for left, top, across, down in passes:
        for y in range(top, picture.height, down):
            row = [picture.getpixel((x, y)) for x in range(left, picture.width, across)]
            rows += [b"\0" + bytes(value for pixel in row for value in pixel)] if row else []
    header = struct.pack(">IIBBBBB", *picture.size, 8, 2, 0, 0, 1)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [base64.b64decode(ARITHMETIC), adam7(quarters(32, 32)), encoded(quarters(32, 32), "TIFF", big_tiff=True)],
    ids=["arithmetic JPEG", "interlaced PNG", "BigTIFF"],
)
def test_the_rarer_kinds_show_what_was_drawn(data):
    assert examine(data, Limits(10**6, 10**6)).width == 32
    shown = rendition(data, 16, 16).convert("RGB")
    for point, colour in zip([(4, 4), (12, 4), (4, 12), (12, 12)], QUARTERS, strict=True):
        near(shown.getpixel(point), colour, 6)


# Transparency


@pytest.mark.parametrize("format_name", ["webp", "png", "avif"])
def test_transparency_stays_where_the_format_has_it(format_name):
    drawn = Image.new("RGBA", (64, 64), (*GREEN, 0))
    drawn.paste((*GREEN, 255), (0, 0, 32, 64))
    shown = rendition(encoded(drawn, "PNG"), 32, 32, format_name).convert("RGBA")
    assert shown.getpixel((28, 16))[3] <= 4
    assert shown.getpixel((4, 16))[3] >= 251


def test_a_transparent_edge_gets_no_dark_fringe():
    """Green beside transparent black: at the edge there is less green, not darker green."""
    drawn = Image.new("RGBA", (90, 90), (0, 0, 0, 0))
    drawn.paste((*GREEN, 255), (0, 0, 43, 90))
    shown = rendition(encoded(drawn, "PNG"), 30, 30)
    edge = [shown.getpixel((x, 15)) for x in range(30) if 40 < shown.getpixel((x, 15))[3] < 250]
    assert edge
    for pixel in edge:
        near(pixel[:3], GREEN, 4)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_averaged_in_strips_as_it_is_as_a_whole(mode):
    """Sides that are no multiple of what is averaged, and more rows than one strip has."""
    drawn = Image.merge(mode, [Image.effect_noise((203, 605), 80) for _ in mode])
    shown = rendition(encoded(drawn, "PNG"), 50, 149, "png").convert(mode)
    whole = drawn.convert(mode[:-1] + "a").resize((50, 149), Image.Resampling.LANCZOS, reducing_gap=2.0).convert(mode)
    assert difference(shown, whole) < 0.5


@pytest.mark.parametrize("background", ["#ffffff", "#102030"])
def test_jpeg_shows_the_background_through(background):
    drawn = Image.new("RGBA", (40, 40), (*RED, 128))
    shown = rendition(encoded(drawn, "PNG"), 20, 20, "jpeg", background=background)
    paper = tuple(bytes.fromhex(background[1:]))
    near(shown.getpixel((9, 9)), [round(r * 128 / 255 + p * 127 / 255) for r, p in zip(RED, paper, strict=True)], 3)


def test_a_transparent_palette_colour_is_transparent():
    drawn = Image.new("P", (40, 40), 0)
    drawn.putpalette([*RED, *BLUE])
    drawn.paste(1, (0, 0, 20, 40))
    for data in (encoded(drawn, "PNG", transparency=1), encoded(drawn, "GIF", transparency=1)):
        shown = rendition(data, 20, 20)
        assert shown.getpixel((4, 10))[3] == 0
        near(shown.getpixel((15, 10)), (*RED, 255), 2)


@pytest.mark.parametrize(("mode", "see_through"), [("L", 90), ("RGB", GREEN)])
def test_a_png_with_one_transparent_colour_is_transparent_there(mode, see_through):
    drawn = Image.new(mode, (40, 40), see_through)
    drawn.paste(200 if mode == "L" else BLUE, (20, 0, 40, 40))
    shown = rendition(encoded(drawn, "PNG", transparency=see_through), 40, 40).convert("RGBA")
    assert (shown.getpixel((5, 5))[3], shown.getpixel((30, 5))[3]) == (0, 255)


# Animation, privacy


def test_an_animation_shows_its_first_frame():
    data = animated_gif(80, 60, frames=3)
    first = Image.open(io.BytesIO(data)).convert("RGB")
    assert difference(rendition(data, 80, 60), first) == 0
    assert not rendition(data, 80, 60, "webp").is_animated


@pytest.mark.parametrize("format_name", ["WEBP", "PNG", "AVIF", "TIFF", "MPO"])
def test_of_many_pictures_in_a_file_the_first_is_shown(format_name):
    options = LOSSLESS.get("JPEG" if format_name == "MPO" else format_name, {})
    first, second = quarters(64, 64), Image.new("RGB", (64, 64), GREEN)
    shown = rendition(encoded(first, format_name, save_all=True, append_images=[second], **options), 32, 32)
    near(shown.convert("RGB").getpixel((8, 8)), RED, 6)


def secretive(format_name):
    exif = Image.Exif()
    exif.update({MAKE: "secret camera", ARTIST: "Ada", COPYRIGHT: "(c) Ada 2026", ORIENTATION: 1})
    exif.get_ifd(0x8825)[1] = "N"  # GPS latitude reference
    options = {"exif": exif, "icc_profile": ADOBE_RGB}
    if format_name in ("JPEG", "WEBP", "PNG"):
        options["xmp" if format_name != "PNG" else "comment"] = b"<x:secret/>"
    if format_name == "JPEG":
        options["comment"] = b"secret comment"
    return encoded(landscape(64, 48), format_name, **options)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("format_name", ["webp", "jpeg", "png", "avif"])
def test_nothing_that_came_with_the_pixels_goes_out(source, format_name):
    rendered = render(secretive(source), Target(format_name, 64, 48, quality=None if format_name == "png" else 80))
    shown = opened(rendered)
    assert dict(shown.getexif()) == {}
    assert not {"icc_profile", "xmp", "exif", "comment"} & set(shown.info)
    assert b"secret" not in rendered.data
    assert b"Ada" not in rendered.data


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("format_name", ["webp", "jpeg", "png", "avif"])
def test_copyright_and_artist_alone_are_kept_on_request(source, format_name):
    quality = None if format_name == "png" else 80
    rendered = render(secretive(source), Target(format_name, 64, 48, quality=quality, keep_copyright=True))
    assert dict(opened(rendered).getexif()) == {ARTIST: "Ada", COPYRIGHT: "(c) Ada 2026"}
    assert b"secret" not in rendered.data


# Sizes and quality


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 20_000), (3000, 1), (7, 5), (641, 479), (1023, 3)])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_every_planned_rendition_has_exactly_its_planned_size(width, height, format_name):
    data = encoded(landscape(width, height), format_name)
    settings = [RenditionSetting("thumb", 128, 128, "cover", ("webp", "jpeg")), RenditionSetting("small", 480, 480)]
    for one in plan(width, height, settings):
        assert rendition(data, one.width, one.height, one.format, fit=one.fit, crop=one.crop).size == (
            one.width,
            one.height,
        )


def ramps(width, height):
    """Red grows from 0 to 255 to the right, green downwards."""
    red = Image.frombytes("L", (width, 1), bytes(255 * (2 * x + 1) // (2 * width) for x in range(width)))
    green = Image.frombytes("L", (1, height), bytes(255 * (2 * y + 1) // (2 * height) for y in range(height)))
    blue = Image.new("L", (width, height), 128)
    return Image.merge("RGB", (red.resize((width, height)), green.resize((width, height)), blue))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    box=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    fit=st.sampled_from(["cover", "inside"]),
    crop=st.sampled_from(["center", "entropy"]),
    orientation=st.integers(1, 8),
    source=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    format_name=st.sampled_from(["png", "webp", "jpeg"]),
)
@example((500, 333), (100, 300), "cover", "center", 1, "PNG", "png")
@example((700, 3), (300, 300), "inside", "center", 6, "JPEG", "webp")
@example((7, 650), (300, 300), "cover", "entropy", 1, "JPEG", "png")
def test_every_size_goes_into_every_box(size, box, fit, crop, orientation, source, format_name):
    """Of a picture whose colours say where they are: all of it, its middle, or a part in the shape of the box."""
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "PNG": {"compress_level": 1}, "WEBP": {"lossless": True}}
    data = stored(ramps(*size), orientation, source, **options[source])
    (one,) = plan(*size, [RenditionSetting("a", *box, fit, (format_name,), crop)])
    shown = rendition(data, one.width, one.height, format_name, fit=one.fit, crop=one.crop).convert("RGB")
    assert shown.size == (one.width, one.height)
    if format_name != "png":  # it mixes the colours of neighbours
        return
    first, last = shown.getpixel((0, 0)), shown.getpixel((one.width - 1, one.height - 1))
    scaling = min(size[0] / one.width, size[1] / one.height)
    for side in (0, 1):
        length = (one.width, one.height)[side]
        kept = length * scaling / size[side] if one.fit == "cover" else 1
        step = 255 * kept / length  # from one pixel to the next; the first and the last show the middle of their part
        assert abs(last[side] - first[side] - (255 * kept - step)) < 24 + step / 2
        if one.crop == "center":
            assert abs(first[side] + last[side] - 255) < 24 + step / 4


@pytest.mark.parametrize("smaller", [1.3, 2, 3.7, 5, 9, 17])
def test_scaling_shows_what_a_full_decode_with_lanczos_shows(smaller):
    """Whatever part of its size the JPEG is decoded at: no shift, no other brightness, no other colour."""
    data = photo(1640, 1230)
    size = round(1640 / smaller), round(1230 / smaller)
    expected = Image.open(io.BytesIO(data)).resize(size, Image.Resampling.LANCZOS)
    assert difference(rendition(data, *size), expected) < 1.5
    lossy, theirs = rendition(data, *size, "webp"), opened_webp(expected)
    assert difference(lossy, expected) < difference(theirs, expected) + 0.5


def opened_webp(picture):
    return Image.open(io.BytesIO(encoded(picture, "WEBP", quality=90)))


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"progressive": True}, {"keep_rgb": True}], ids=str)
@pytest.mark.parametrize("format_name", ["webp", "jpeg", "png"])
def test_jpegs_of_every_kind_keep_their_colours(options, format_name):
    shown = rendition(encoded(quarters(640, 384), "JPEG", quality=95, **options), 80, 48, format_name)
    for point, colour in zip([(20, 12), (60, 12), (20, 36), (60, 36)], QUARTERS, strict=True):
        near(shown.getpixel(point), colour, 6)


@pytest.mark.parametrize("body", [b"JFIF\0\1\1", b"JFIF\0\1\1\0\0\1\0\1\0", b"JFIFX\1\1\0\0\1\0\1\0\0"])
@pytest.mark.parametrize("format_name", ["webp", "jpeg", "avif", "png"])
def test_colours_of_a_jpeg_that_only_seems_to_be_jfif_are_what_libjpeg_takes_them_for(body, format_name):
    """It heeds no JFIF marker of fewer than 14 bytes, or without a zero behind the name."""
    red_green_blue = encoded(Image.new("RGB", (64, 48), RED), "JPEG", keep_rgb=True, quality=95)
    marker = b"\xff\xe0" + struct.pack(">H", len(body) + 2) + body
    data = red_green_blue[:2] + marker + red_green_blue[2:]
    assert examine(data, Limits(10**6, 10**6)).width == 64
    near(rendition(data, 32, 24, format_name).convert("RGB").getpixel((16, 12)), RED, 6)


def lossless_jpeg(side):
    """ITU T.81, annex H: every sample is the one before it, the first 128, so that each costs the one bit 0."""
    frame = struct.pack(">BHHB", 8, side, side, 3) + b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    codes = bytes([0, 1]) + bytes(15) + b"\0"  # the one code 0, for the difference 0
    scan = b"\x03\x01\0\x02\0\x03\0\x01\0\0"  # three components, predictor 1
    segments = [(b"\xc3", frame), (b"\xc4", codes), (b"\xda", scan)]
    head = b"".join(b"\xff" + marker + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + bytes(side * side * 3 // 8) + b"\xff\xd9"


def test_a_lossless_jpeg_cannot_be_shrunk_and_is_decoded_whole():
    data = lossless_jpeg(1600)
    assert examine(data, Limits(10**7, 10**7)).color == "#808080"
    for side in (16, 780):
        near(rendition(data, side, side, "webp").getpixel((5, 5)), (128, 128, 128), 2)


def test_entropy_crops_to_the_busiest_part():
    """Grey but for a chequered patch on the right: that is what a square of it shows."""
    drawn = Image.new("L", (600, 200), 128)
    for x in range(420, 580, 8):
        for y in range(20, 180, 8):
            drawn.paste((x * 7 + y * 3) % 256, (x, y, x + 8, y + 8))
    data = encoded(drawn, "PNG")
    busy, plain = (
        ImageStat.Stat(rendition(data, 100, 100, fit="cover", crop=crop).convert("L")).stddev[0]
        for crop in ("entropy", "center")
    )
    assert plain < 10 < 30 < busy


@pytest.mark.parametrize("shape", ["black", "white"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_entropy_sees_a_shape_on_nothing(shape, mode):
    """Below what is transparent the colour is the shape's, so that only alpha shows it."""
    drawn = Image.new("RGBA", (600, 200), shape)
    drawn.putalpha(0)
    drawn.paste(Image.new("RGBA", (120, 120), shape), (440, 40))
    shown = rendition(encoded(drawn.convert(mode), "PNG"), 200, 200, fit="cover", crop="entropy").convert("RGBA")
    assert ImageStat.Stat(shown.getchannel("A")).sum[0] > 255 * 120 * 120 / 2


def test_entropy_is_that_of_the_colours_that_are_seen():
    """A profile with the gamma 50 leaves of the left half's chequers only black; the right half's are light enough."""
    drawn = Image.new("RGB", (400, 200), "black")
    for x in range(0, 400, 8):
        for y in range(0, 200, 8):
            grey = (x * 7 + y * 3) % 256 * 2 // 3 if x < 200 else 235 + (x + y) % 16
            drawn.paste((grey, grey, grey), (x, y, x + 8, y + 8))
    dark = profile_of(ADOBE_COLORANTS, 50)
    shown = rendition(encoded(drawn, "PNG", icc_profile=dark), 200, 200, fit="cover", crop="entropy")
    assert ImageStat.Stat(shown.convert("L")).mean[0] > 20


@pytest.mark.parametrize("short", range(1, 10))
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_strip_of_a_jpeg_is_shown_from_end_to_end(short, mode):
    """libjpeg cannot decode at 1/8 what has less than 8 rows: what it made was taken for the whole at 1/8."""
    ramp = ramps(2000, 1).getchannel("R").resize((2000, short)).convert(mode)
    for strip in (ramp, ramp.transpose(Image.Transpose.ROTATE_90)):
        data = encoded(strip, "JPEG", quality=95)
        whole = rendition(data, *strip.size).convert("L")
        for one in plan(*strip.size, [RenditionSetting("a", side, side) for side in (90, 1100)]):
            for format_name in ("png", "webp"):
                shown = rendition(data, one.width, one.height, format_name).convert("L")
                for part in (0, 0.5, 1):
                    here, there = [(round(part * (w - 1)), round(part * (h - 1))) for w, h in (shown.size, whole.size)]
                    assert abs(shown.getpixel(here) - whole.getpixel(there)) <= 8, (one, format_name, part)


def test_the_placeholder_of_a_strip_shows_all_of_it():
    """A quarter red, the rest blue, 3 pixels wide: of the JPEG the same as of the PNG, each term within 1 of 15."""
    drawn = Image.new("RGB", (3, 4000), RED)
    drawn.paste(BLUE, (0, 1000, 3, 4000))
    strips = [encoded(drawn, "PNG"), encoded(drawn, "JPEG", quality=98, subsampling=0)]
    one, other = (examine(data, Limits(10**6, 10**6)) for data in strips)
    near(bytes.fromhex(one.color[1:]), bytes.fromhex(other.color[1:]), 4)
    terms = [base64.b64decode(facts.placeholder)[5:] for facts in (one, other)]
    near(*([nibble for byte in each for nibble in (byte & 15, byte >> 4)] for each in terms), 1)


@pytest.mark.parametrize(
    ("format_name", "content_type"),
    [("webp", "image/webp"), ("jpeg", "image/jpeg"), ("png", "image/png"), ("avif", "image/avif")],
)
def test_a_rendition_is_what_it_says_it_is(format_name, content_type):
    rendered = render(photo(90, 60), Target(format_name, 45, 30, quality=None if format_name == "png" else 80))
    assert (rendered.content_type, opened(rendered).get_format_mimetype()) == (content_type, content_type)


@pytest.mark.parametrize("scaling", [1, 1.5, 1.95, 2.7, 3.7, 7.4])
@pytest.mark.parametrize("format_name", ["webp", "jpeg", "avif"])
def test_a_large_rendition_is_the_picture_however_little_of_it_is_decoded(format_name, scaling):
    """Decoded whole, at 1/2 or at 1/4: against a full decode by Pillow, resized with Lanczos."""
    data = encoded(landscape(round(520 * scaling), round(520 * scaling), "large"), "JPEG", quality=95)
    plain = Image.open(io.BytesIO(data)).resize((520, 520), Image.Resampling.LANCZOS)
    different = ImageStat.Stat(ImageChops.difference(rendition(data, 520, 520, format_name).convert("RGB"), plain)).mean
    assert max(different) < 3, different


@pytest.mark.parametrize(("side", "how", "method"), [(1000, "BICUBIC", 4), (1024, "LANCZOS", 2)])
def test_only_a_webp_that_is_written_with_less_effort_is_scaled_with_the_sharper_filter(side, how, method):
    drawn = landscape(1536, 1536)
    rendered = render(encoded(drawn, "PNG"), Target("webp", side, side, quality=80))
    assert rendered.data == encoded(
        drawn.resize((side, side), Image.Resampling[how]), "WEBP", quality=80, method=method
    )


def test_for_the_largest_webp_a_jpeg_is_decoded_whole_where_half_of_it_would_lose_detail():
    """Noise is detail of every size. Half of it differs by 6 of 255, and is decoded for a WebP that is smaller."""
    drawn = Image.effect_noise((2800, 2800), 60)
    data = encoded(drawn, "JPEG", quality=95)
    plain = drawn.resize((1024, 1024), Image.Resampling.LANCZOS)
    shown = opened(render(data, Target("webp", 1024, 1024, quality=100))).convert("L")
    assert ImageStat.Stat(ImageChops.difference(shown, plain)).mean[0] < 2


@pytest.mark.parametrize(("width", "height", "method"), [(1023, 1100, 4), (1100, 1024, 2)])
def test_a_webp_is_written_with_less_effort_if_both_its_sides_are_large(width, height, method):
    drawn = landscape(width, height)
    rendered = render(encoded(drawn, "PNG"), Target("webp", width, height, quality=80))
    assert rendered.data == encoded(drawn, "WEBP", quality=80, method=method)


def test_a_target_comes_from_an_item_of_the_plan():
    item = {"name": "thumb", "key": "a/b", "format": "webp", "width": 9, "height": 8, "fit": "cover", "crop": "entropy"}
    assert Target.of({**item, "quality": 70, "background": "#000000"}) == Target(
        "webp", 9, 8, "cover", "entropy", 70, "#000000"
    )


# For the caption


def test_a_caption_gets_a_small_upright_jpeg():
    kind, data = for_caption(photo(800, 600, orientation=6), longest_edge=400)
    picture = Image.open(io.BytesIO(data))
    assert (kind, picture.format, picture.size) == ("jpeg", "JPEG", (300, 400))


def test_a_caption_gets_a_picture_under_the_limit():
    noise = encoded(Image.effect_noise((400, 400), 90), "PNG")
    _, large = for_caption(noise)
    _, small = for_caption(noise, max_bytes=len(large) * 3 // 4)
    assert len(small) <= len(large) * 3 // 4


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_validate_and_resize_agree_on_the_colours_of_a_profile(format_name):
    options = LOSSLESS.get(format_name, {})
    data = encoded(Image.new("RGB", (64, 64), (100, 150, 50)), format_name, icc_profile=ADOBE_RGB, **options)
    colour = examine(data, Limits(10**6, 10**6)).color
    near(bytes.fromhex(colour[1:]), rendition(data, 8, 8).convert("RGB").getpixel((4, 4)), 1)
