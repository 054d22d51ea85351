"""The verdict on a picture: what is taken, what is refused and with which words, and the facts of what is taken."""

import io
import random
import re
import struct
import sys
import zlib

import pytest
from PIL import Image, ImageCms

from darkroom.local.pictures import (
    ORIENTATION,
    STORED,
    animated_gif,
    cmyk_jpeg,
    corrupt_jpeg,
    encoded,
    landscape,
    photo,
    transparent_png,
)
from functions.imaging import Limits, Rejected, Target, examine, formats, render
from tests.functions.imaging.verdicts import LIMITS, rejected


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width, height):
    """A PNG of that size that goes no further than its header and 2 bytes of pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0\0")) + png_chunk(b"IEND", b"")


SMALL = landscape(60, 40)
TAKEN = {
    "jpeg": encoded(SMALL, "JPEG"),
    "progressive": encoded(SMALL, "JPEG", progressive=True),
    "grey": encoded(SMALL.convert("L"), "JPEG"),
    "cmyk": cmyk_jpeg(60, 40),
    "png": encoded(SMALL, "PNG"),
    "palette": encoded(SMALL.quantize(16), "PNG"),
    "bilevel": encoded(SMALL.convert("1"), "PNG"),
    "transparent": transparent_png(60, 40),
    "gif": encoded(SMALL, "GIF"),
    "webp": encoded(SMALL, "WEBP"),
    "lossless webp": encoded(SMALL, "WEBP", lossless=True),
    "tiff": encoded(SMALL, "TIFF"),
    "compressed tiff": encoded(SMALL, "TIFF", compression="tiff_lzw"),
    "float tiff": encoded(SMALL.convert("F"), "TIFF"),
    "bmp": encoded(SMALL, "BMP"),
    "avif": encoded(SMALL, "AVIF", speed=10),
}


@pytest.mark.parametrize("name", TAKEN)
def test_every_format_is_taken_for_what_it_is(name):
    facts = examine(TAKEN[name], LIMITS)
    expected = {"progressive": "jpeg", "grey": "jpeg", "cmyk": "jpeg", "palette": "png", "bilevel": "png"}
    expected |= {"transparent": "png", "lossless webp": "webp", "compressed tiff": "tiff", "float tiff": "tiff"}
    assert (facts.format, facts.width, facts.height, facts.frames) == (expected.get(name, name), 60, 40, 1)


def test_nothing_is_empty():
    assert rejected(b"") == ("empty", "0 bytes")


def test_too_many_bytes_are_named_with_the_limit():
    assert rejected(bytes(1_001), Limits(1_000, 1)) == ("too_large", "1,001 bytes, limit 1,000 bytes")


def test_too_many_pixels_are_named_with_the_limit():
    assert rejected(png_header(12000, 9000), Limits(10**6, 100_000_000)) == (
        "too_many_pixels",
        "12000x9000 = 108.0 MP, limit 100 MP",
    )


def test_a_picture_of_exactly_the_limit_is_taken():
    data = encoded(Image.new("RGB", (100, 50)), "PNG")
    assert examine(data, Limits(10**6, 5_000)).width == 100
    assert rejected(data, Limits(10**6, 4_999))[0] == "too_many_pixels"


@pytest.mark.parametrize(
    "data",
    [b"This is a text file.", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"\0" * 100, b"RIFF....WAVE"],
    ids=["text", "svg", "pdf", "zeros", "wav"],
)
def test_what_is_no_picture_of_ours_is_unsupported(data):
    assert rejected(data)[0] == "unsupported_format"


def test_a_decoder_of_pillow_that_we_do_not_take_is_out_of_reach():
    for name in ("PPM", "ICO", "TGA", "PCX", "EPS"):
        assert rejected(encoded(SMALL, name))[0] == "unsupported_format"


@pytest.mark.parametrize(
    ("data", "name", "setting"),
    [
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC", "heic"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL", "jxl"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL", "jxl"),
    ],
)
def test_a_format_whose_decoder_is_not_there_names_its_setting(data, name, setting):
    assert rejected(data) == ("unsupported_format", f"{name} is taken only where the setting `{setting}` is on")


@pytest.mark.parametrize("name", [name for name in TAKEN if name not in ("bmp", "tiff")])
def test_a_picture_cut_short_is_corrupt(name):
    data = TAKEN[name]
    assert rejected(data[: len(data) * 6 // 10])[0] == "corrupt"


def test_a_broken_transfer_is_corrupt():
    assert rejected(corrupt_jpeg())[0] == "corrupt"


@pytest.mark.parametrize("kind", ["jpeg", "grey", "cmyk", "progressive", "restarts"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_an_end_mark_does_not_make_a_jpeg_whole(kind, part):
    """libjpeg would paint what is missing grey: the pixels, or the later scans, end after that part of them."""
    picture = landscape(640, 480)
    whole = {
        "jpeg": encoded(picture, "JPEG"),
        "grey": encoded(picture.convert("L"), "JPEG"),
        "cmyk": encoded(picture.convert("CMYK"), "JPEG"),
        "progressive": encoded(picture, "JPEG", progressive=True),
        "restarts": encoded(picture, "JPEG", restart_marker_rows=1),
    }[kind]
    assert examine(whole, LIMITS).width == 640
    pixels = whole.index(b"\xff\xda")
    last = whole.rindex(b"\xff\xda") if kind == "progressive" else len(whole)
    cut = whole[: pixels + int((last - pixels) * part)]
    assert rejected(cut + b"\xff\xd9")[0] == "corrupt"


def test_a_jpeg_behind_its_own_thumbnail_is_taken():
    """The end of the thumbnail in its EXIF block is not the end of the picture."""
    exif = b"Exif\0\0" + TAKEN["jpeg"]
    data = TAKEN["jpeg"][:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + TAKEN["jpeg"][2:]
    assert examine(data, LIMITS).width == 60
    assert rejected(data[:-200] + b"\xff\xd9")[0] == "corrupt"


def test_a_png_with_a_flipped_bit_in_its_header_is_corrupt():
    data = bytearray(TAKEN["png"])
    data[20] ^= 1
    assert rejected(bytes(data))[0] == "corrupt"


# Whole in their pixels, and wrong elsewhere


def chunks(data):
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length], at + 8 + length
        at += 12 + length


def with_a_wrong_checksum(data, wanted):
    (at,) = (at for name, _, at in chunks(data) if name == wanted)
    return data[:at] + bytes(byte ^ 255 for byte in data[at : at + 4]) + data[at + 4 :]


ANCILLARY = (b"pHYs", b"gAMA", b"tEXt", b"iCCP", b"eXIf", b"tRNS", b"prIv", b"acTL")


@pytest.mark.parametrize("name", ANCILLARY)
@pytest.mark.parametrize("place", [33, -12], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize("body", [b"", b"\0" * 6, b"\xff" * 40], ids=len)
def test_a_chunk_of_a_png_that_is_not_pixels_may_be_wrong(name, place, body):
    """With a wrong checksum it is not there; of nonsense what makes sense is taken. The picture is the same."""
    data = TAKEN["png"]
    plain = render(data, Target("png", 60, 40)).data
    whole = data[:place] + png_chunk(name, body) + data[place:]
    broken = with_a_wrong_checksum(whole, name)
    assert examine(broken, LIMITS).frames == 1
    assert render(broken, Target("png", 60, 40)).data == plain
    assert examine(whole, LIMITS).frames == 1


def test_a_wrong_checksum_makes_a_chunk_that_counts_not_count():
    """Neither orientation nor transparency of a chunk that is not as it was written."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned = encoded(SMALL, "PNG", exif=exif)
    assert examine(turned, LIMITS).width == 40
    assert examine(with_a_wrong_checksum(turned, b"eXIf"), LIMITS).width == 60


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_of_what_pixels_are_made_of_is_corrupt(name):
    assert rejected(with_a_wrong_checksum(TAKEN["palette"], name))[0] == "corrupt"


def png_of(packed, *before, kind=2, depth=8, size=(60, 40), end=True):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
    before = b"".join(png_chunk(*one) for one in before)
    pixels = b"".join(png_chunk(b"IDAT", one) for one in packed)
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + (png_chunk(b"IEND", b"") if end else b"")


ROWS = b"".join(b"\0" + SMALL.tobytes()[at : at + 180] for at in range(0, 180 * 40, 180))


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("pieces", [1, 2, 200])
def test_of_the_two_checksums_of_a_pngs_pixels_one_may_be_wrong(level, pieces):
    """zlib's, or those of the chunks: one that is right says that the pixels are as they were written."""
    packed = zlib.compress(ROWS, level)
    wrong = packed[:-4] + bytes(byte ^ 255 for byte in packed[-4:])
    step = -(-len(packed) // pieces)

    def split(data):
        return [data[at : at + step] for at in range(0, len(data), step)]

    right = png_of(split(packed))
    assert examine(png_of(split(wrong)), LIMITS) == examine(right, LIMITS)
    shown = [Image.open(io.BytesIO(render(one, Target("png", 60, 40)).data)) for one in (png_of(split(wrong)), right)]
    assert shown[0].tobytes() == shown[1].tobytes() == SMALL.tobytes()

    def with_wrong_chunks(data):
        for at in [at for name, _, at in chunks(data) if name == b"IDAT"]:
            data = data[:at] + bytes(4) + data[at + 4 :]
        return data

    assert examine(with_wrong_chunks(right), LIMITS) == examine(right, LIMITS)
    assert rejected(with_wrong_chunks(png_of(split(wrong))))[0] == "corrupt"


@pytest.mark.parametrize(
    ("kind", "depth", "before", "size"),
    [(6, 16, (), 8), (2, 16, (), 6), (4, 16, (), 4), (6, 8, (), 4), (2, 8, (), 3), (2, 16, ((b"tRNS", bytes(6)),), 12)],
    ids=["RGBA of 16 bits", "RGB of 16 bits", "grey with alpha of 16 bits", "RGBA", "RGB", "with a transparent colour"],
)
def test_a_png_has_few_bytes_for_each_pixel_that_is_taken(kind, depth, before, size):
    """A filter takes as long for each of them, and a transparent colour of 16 bits takes two looks at all."""
    length = {6: 4, 2: 3, 4: 2}[kind] * depth // 8 * 60
    data = png_of([zlib.compress((b"\0" + bytes(length)) * 40)], *before, kind=kind, depth=depth)
    least = -(-size * 60 * 40 // 3)
    assert examine(data, Limits(10**6, max(least, 60 * 40))).width == 60
    if size > 3:
        code, message = rejected(data, Limits(10**6, least - 1))
        assert code == "too_costly"
        assert message.startswith(f"PNG of {size * 60 * 40 / 1e6:.6g} MB")


@pytest.mark.parametrize("name", ["png", "palette", "gif", "jpeg", "progressive", "grey", "cmyk"])
@pytest.mark.parametrize("behind", [b"", b"\0", b"\xff", b"junk"], ids=repr)
def test_an_end_mark_may_be_missing(name, behind):
    """With anything in its place, or nothing."""
    data = TAKEN[name]
    cut = {"png": 12, "palette": 12, "gif": 1}.get(name, 2)
    facts = examine(data[:-cut] + behind, LIMITS)
    assert facts == examine(data, LIMITS)
    same = [render(one, Target("png", 60, 40)).data for one in (data[:-cut] + behind, data)]
    assert same[0] == same[1]


def test_a_last_scan_cut_short_without_an_end_mark_is_corrupt():
    """Of 60 places in it none passes for its end."""
    data = TAKEN["progressive"][:-2]
    last = data.rindex(b"\xff\xda") + 12
    for cut in range(last, len(data) - 3, max(1, (len(data) - last) // 60)):
        assert rejected(data[:cut])[0] == "corrupt"


@pytest.mark.parametrize("behind", [b"\xff\xdb\0\x03\0", b"\xff\xc4\0\x04\xff\xff", b"\xff\xc0\0\x05abc", b"\xff\xda"])
@pytest.mark.parametrize("name", ["jpeg", "progressive", "grey"])
def test_nonsense_behind_the_pixels_of_a_jpeg_does_not_matter(name, behind):
    """libjpeg reads on to the end mark, and would stop at a broken table."""
    data = TAKEN[name]
    broken = data[:-2] + behind + data[-2:]
    if name == "progressive" and behind == b"\xff\xda":  # the header of another scan
        assert rejected(broken)[0] == "corrupt"
        return
    assert examine(broken, LIMITS) == examine(data, LIMITS)
    same = [render(one, Target("png", 60, 40)).data for one in (broken, data)]
    assert same[0] == same[1]


def webp_chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


@pytest.mark.parametrize("name", ["webp", "lossless webp", "with alpha", "two"])
def test_a_webp_whose_container_is_wrong_is_taken(name):
    two = encoded(SMALL, "WEBP", save_all=True, append_images=[landscape(60, 40, "other")])
    with_alpha = encoded(SMALL.convert("RGBA"), "WEBP", exif=Image.Exif())
    data = {"with alpha": with_alpha, "two": two}.get(name) or TAKEN[name]
    for size in (0, len(data) - 20, len(data) + 100, 0xFFFFFFFF):
        wrong = data[:4] + struct.pack("<I", size) + data[8:]
        assert examine(wrong, LIMITS) == examine(data, LIMITS)
        same = [render(one, Target("png", 60, 40)).data for one in (wrong, data)]
        assert same[0] == same[1]
    text = webp_chunk(b"XMP ", b"x" * 90)
    for broken in (data + text[:50], data[:4] + struct.pack("<I", len(data) + 90) + data[8:] + text[:50]):
        assert examine(broken, LIMITS) == examine(data, LIMITS)
    cut = data[:-60]
    if name == "two":
        assert examine(cut, LIMITS).frames == 1
    else:
        assert rejected(cut) == ("corrupt", "WEBP that cannot be decoded: its pixels are cut short")


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("place", ["nowhere", "behind the pixels"])
def test_a_palette_png_without_a_palette_before_its_pixels_is_corrupt(depth, place):
    rows = zlib.compress((b"\0" + bytes(60 * depth // 8 + 1)) * 40)
    data = png_of([rows], kind=3, depth=depth, end=False)
    if place != "nowhere":
        data += png_chunk(b"PLTE", bytes(3 * 2**depth))
    data += png_chunk(b"IEND", b"")
    assert rejected(data) == ("corrupt", "PNG that cannot be decoded: a palette picture without its palette")
    assert examine(png_of([rows], (b"PLTE", bytes(3 * 2**depth)), kind=3, depth=depth), LIMITS).color == "#000000"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_width_and_height_are_those_a_person_sees(orientation):
    """A photo stored 60x40 is 40x60 upright where it lies on its side: orientations 5 to 8."""
    facts = examine(photo(60, 40, orientation), LIMITS)
    assert (facts.width, facts.height) == ((40, 60) if orientation >= 5 else (60, 40))


def test_frames_of_an_animation_are_counted():
    assert examine(animated_gif(40, 30, frames=5), LIMITS).frames == 5
    drawn = [Image.new("RGB", (40, 30), (40 * number, 0, 0)) for number in range(4)]
    for name in ("WEBP", "PNG", "TIFF", "AVIF"):
        assert examine(encoded(drawn[0], name, save_all=True, append_images=drawn[1:]), LIMITS).frames == 4


def test_frames_that_a_file_only_announces_are_not_counted():
    """Cut behind the second of four: of a GIF and a PNG two pictures are there; of an MPO, the first of two."""
    drawn = [Image.new("RGB", (40, 30), (40 * number, 0, 0)) for number in range(4)]
    gif, png = (encoded(drawn[0], name, save_all=True, append_images=drawn[1:]) for name in ("GIF", "PNG"))
    third = [found.start() for found in re.finditer(rb"!\xf9\x04", gif)][-2]
    assert examine(gif[: third + 22], LIMITS).frames == 2
    assert examine(png[: [found.start() for found in re.finditer(b"fcTL", png)][2] + 40], LIMITS).frames == 2
    mpo = encoded(SMALL, "MPO", save_all=True, append_images=[landscape(300, 200)])
    assert examine(mpo[: mpo.rindex(b"\xff\xd8") + 3_000], LIMITS).frames == 1


def test_the_pictures_of_an_mpo_share_the_segments_that_are_looked_at():
    """An index of thousands of pictures, each behind thousands of segments, took a minute: two may have 5,000 each."""
    mpo = encoded(SMALL, "MPO", save_all=True, append_images=[SMALL, SMALL])
    last = mpo.rindex(b"\xff\xd8\xff") + 2
    assert examine(mpo[:last] + b"\xff\xfe\0\2" * 4_900 + mpo[last:], LIMITS).frames == 3
    assert "more than 5,000 segments" in rejected(mpo[:last] + b"\xff\xfe\0\2" * 5_001 + mpo[last:])[1]


def test_the_second_picture_of_an_mpo_counts():
    data = encoded(SMALL, "MPO", save_all=True, append_images=[landscape(300, 200)])
    facts = examine(data, LIMITS)
    assert (facts.format, facts.width, facts.frames) == ("jpeg", 60, 2)
    assert rejected(data, Limits(10**6, 50_000)) == ("too_many_pixels", "300x200 = 0.1 MP, limit 0.05 MP")


def test_a_later_page_of_a_tiff_counts():
    data = encoded(SMALL, "TIFF", save_all=True, append_images=[landscape(300, 200)])
    assert rejected(data, Limits(10**7, 50_000))[0] == "too_many_pixels"


def test_a_later_frame_of_a_gif_counts():
    """The second frame's descriptor asks for a canvas of 20000x20000, in 40 bytes."""
    frame = b",\0\0\0\0%s\0\x02\x02D\x01\0"
    palette = b"\0\0\0\xff\xff\xff"
    screen = b"GIF89a\x01\0\x01\0\x80\0\0" + palette
    bomb = screen + frame % struct.pack("<HH", 1, 1) + frame % struct.pack("<HH", 20000, 20000) + b";"
    assert rejected(bomb) == ("too_many_pixels", "20000x20000 = 400.0 MP, limit 1 MP")


def test_a_large_frame_of_a_gif_is_refused_before_pillow_makes_room_for_it(monkeypatch):
    """For a frame that is to be cleared afterwards it does so when it opens the file: 4 GB, for 40 bytes."""
    control = b"!\xf9\4\x08\0\0\0\0"
    frame = b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0"
    monkeypatch.setattr("PIL.GifImagePlugin.GifImageFile", None)
    assert rejected(b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + control + frame + b";")[0] == "too_many_pixels"


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded():
    """A scan of nothing costs 10 bytes to send, and a whole picture to paint."""
    data = encoded(landscape(64, 64), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    bomb = data[:second] + data[first:second] * 200 + data[second:]
    scans = 200 + data.count(b"\xff\xda")
    assert rejected(bomb) == ("corrupt", f"JPEG that cannot be decoded: {scans} scans, limit 100")


def test_scans_behind_a_comment_with_an_end_mark_are_counted():
    """What looks like the end of the picture in a comment is none for libjpeg either."""
    data = encoded(landscape(64, 64), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    bomb = data[:second] + b"\xff\xfe\0\4\xff\xd9" + data[first:second] * 200 + data[second:]
    assert "scans, limit 100" in rejected(bomb)[1]


def refined(times, size=(64, 64), mode="L"):
    """A progressive JPEG with its last scan, which refines, so many times more."""
    data = encoded(landscape(*size).convert(mode), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + data[-2:]


def test_scans_cost_by_the_pixels_that_they_paint():
    """98 scans of nothing over 99 megapixels took 10 s, and are fewer than 100."""
    limits = Limits(10**6, 64 * 64)
    assert examine(refined(26), limits).width == 64
    assert rejected(refined(27), limits) == ("too_costly", "33 scans of 64x64 paint 0.135168 MP, limit 0.131072 MP")
    assert examine(refined(27), Limits(10**6, 2 * 64 * 64)).width == 64


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_progressive_jpeg_of_as_many_pixels_as_are_taken_is_taken(mode, subsampling):
    picture = landscape(60, 40).convert(mode)
    data = encoded(picture, "JPEG", progressive=True, subsampling=subsampling)
    assert examine(data, Limits(10**6, 60 * 40)).width == 60


def test_arithmetic_code_counts_eightfold():
    """The frame's marker says that it is; what the scans hold is not looked at for this."""
    data = refined(0)
    data = data.replace(b"\xff\xc2", b"\xff\xca")
    assert rejected(data, Limits(10**6, 64 * 64)) == (
        "too_costly",
        "6 scans of 64x64 paint 0.196608 MP, limit 0.131072 MP",
    )


def test_without_an_end_mark_a_jpeg_is_decoded_four_times_and_counts_so():
    assert rejected(refined(3)[:-2], Limits(10**6, 64 * 64))[0] == "too_costly"
    assert examine(refined(0)[:-2], Limits(10**6, 64 * 64)).width == 64
    large = refined(0)[:-2].replace(b"\xff\xda", jpeg_segment(0xFE, bytes(65_000)) * 320 + b"\xff\xda", 1)
    assert rejected(large, Limits(10**8, 10**8))[1].endswith("bytes without an end mark, limit 20,000,000")
    assert examine(large + b"\xff\xd9", Limits(10**8, 10**8)).width == 64


def jpeg_segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def test_pillow_gets_nothing_of_a_jpeg_but_what_its_pixels_are_made_of():
    """It would add up EXIF blocks, and parse resources and tables, however many there are."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(SMALL, "JPEG", exif=exif, icc_profile=profile, comment=b"words")
    blocks = jpeg_segment(0xE1, b"Exif\0\0" + b"x" * 60_000) + jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 9_000)
    tables = data.index(b"\xff\xdb")
    many = data[:2] + bytes(5_000) + data[2:tables] + blocks * 9 + data[tables:]
    for one in (formats.open_picture(data, "jpeg"), formats.open_picture(many, "jpeg")):
        assert [name for name, _ in one.applist] == ["APP0"]
        assert (formats.orientation(one), one.info["icc_profile"]) == (6, profile)
    cmyk = formats.open_picture(cmyk_jpeg(60, 40), "jpeg")
    assert [name for name, _ in cmyk.applist] == ["APP14"]


def test_the_index_of_an_mpo_has_few_pictures():
    directory = b"MM\0*" + struct.pack(">IHHHIII", 8, 1, 0xB002, 7, 101 * 16, 26, 0) + bytes(101 * 16)
    data = TAKEN["jpeg"][:2] + jpeg_segment(0xE2, b"MPF\0" + directory) + TAKEN["jpeg"][2:]
    assert rejected(data) == ("corrupt", "JPEG that cannot be decoded: an index of 101 pictures, limit 100")


SCREEN = b"GIF89a\x01\0\x01\0\x80\0\0" + b"\0\0\0\xff\xff\xff"  # one pixel, two colours
DOT = b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
PIECES = {
    "png": (TAKEN["png"][:33] + png_chunk(b"teXt", b"") * 100_001 + TAKEN["png"][33:], "100,000 chunks"),
    "jpeg": (b"\xff\xd8" + b"\xff\xfe\0\2" * 10_001 + TAKEN["jpeg"][2:], "10,000 segments"),
    "jpeg of junk": (
        b"\xff\xd8\xff\xfe\0\2" + bytes(1_000_001) + TAKEN["jpeg"][2:],
        "1,000,000 bytes between segments",
    ),
    "jpeg of tables": (
        b"\xff\xd8" + jpeg_segment(0xDB, (b"\0" + b"\1" * 64) * 900) * 5 + TAKEN["jpeg"][2:],
        "262,144 bytes of tables",
    ),
    "jpeg with junk": (b"\xff\xd8\xff\xfe\0\2junk" + b"\xff\xfe\0\2" * 10_001 + TAKEN["jpeg"][2:], "10,000 segments"),
    "gif": (SCREEN + b"!\xfe\x01a\0" * 500_001 + DOT + b";", "1,000,000 blocks"),
}


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (b"\0" * 9, "no block of a GIF at byte 19"),
        (b"!\x01\0", "an extension without data at byte 19"),
        (b"!\xf9\0", "an extension without data at byte 19"),
        (b"!\xff\x0bNETSCAPE2.0\0", "an extension without data at byte 19"),
    ],
)
def test_a_gif_in_which_pillow_would_find_another_first_image_is_refused(before, says):
    """It looks for one byte by byte, and takes blocks for the data of an extension that has none: neither was
    counted."""
    assert rejected(SCREEN + before + DOT + b";") == ("corrupt", f"GIF that cannot be decoded: {says}")


def test_what_is_odd_about_a_gif_and_harmless_is_taken():
    """A comment without text, an extension that loops, and something behind the first image."""
    loops = b"!\xff\x0bNETSCAPE2.0\x03\1\0\0\0"
    assert examine(SCREEN + b"!\xfe\0" + loops + DOT + b"\0\0!\x01\0", LIMITS).frames == 1


@pytest.mark.parametrize("name", PIECES)
def test_a_file_of_a_million_pieces_is_refused_before_it_is_read(name):
    """A decoder's time and memory go by the piece: 50 MB of them took Pillow up to 24 s, or 1.7 GB."""
    data, limit = PIECES[name]
    assert rejected(data) == ("corrupt", f"{name[:4].strip().upper()} that cannot be decoded: more than {limit}")


def test_a_tile_larger_than_its_tiff_counts():
    """10x10 pixels in one tile of 40000x40000, for which a decoder makes room."""
    pixels = zlib.compress(bytes(1000))
    entries = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (322, 40000), (323, 40000), (324, 8), (325, 20)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, to) for tag, to in entries)
    data = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory + bytes(4)
    assert rejected(data) == ("too_many_pixels", "40000x40000 = 1600.0 MP, limit 1 MP")


def test_a_hostile_exif_block_is_ignored():
    """Its directory points to itself, then out of the file."""
    for block in (b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 300):
        data = encoded(SMALL, "JPEG")
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
        assert examine(data, LIMITS).width == 60


def test_a_tiff_whose_pages_go_round_in_a_circle_ends():
    """The one directory names itself as the next."""
    data = bytearray(TAKEN["tiff"])
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert examine(bytes(data), LIMITS).frames == 1


def test_a_broken_profile_is_noted_and_does_not_matter():
    broken = b"\0" * 16 + b"RGB " + b"\0" * 200
    assert examine(encoded(SMALL, "JPEG", icc_profile=broken), LIMITS).notes == ("ICC profile ignored: it is broken",)


def test_a_profile_for_other_colours_is_noted():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (note,) = examine(encoded(SMALL.convert("CMYK"), "JPEG", icc_profile=srgb), LIMITS).notes
    assert note == "ICC profile ignored: it does not describe this kind of picture"


def test_the_processing_elements_of_a_profile_do_not_count():
    """A table of one that turns all to white is not read: of any number each would cost 7 ms."""
    white = b"matf\0\0\0\0" + struct.pack(">HH12f", 3, 3, *[0] * 9, 0.96, 1, 0.82)
    elements = b"mpet\0\0\0\0" + struct.pack(">HHIII", 3, 3, 1, 24, len(white)) + white
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (count,) = struct.unpack_from(">I", srgb, 128)
    end = 132 + 12 * count
    entries = [struct.unpack_from(">4sII", srgb, 132 + 12 * number) for number in range(count)]
    moved = b"".join(struct.pack(">4sII", name, at + 12, length) for name, at, length in entries)
    moved += struct.pack(">4sII", b"D2B1", len(srgb) + 12, len(elements))
    profile = srgb[8:128] + struct.pack(">I", count + 1) + moved + srgb[end:] + elements
    profile = struct.pack(">I4s", 8 + len(profile), srgb[4:8]) + profile
    facts = examine(encoded(Image.new("RGB", (8, 8), (200, 30, 60)), "PNG", icc_profile=profile), LIMITS)
    assert (facts.color, facts.notes) == ("#c81e3c", ())


def test_the_dominant_colour_is_seen_upright_and_in_srgb():
    assert examine(encoded(Image.new("RGB", (50, 50), (200, 30, 60)), "PNG"), LIMITS).color == "#c81e3c"


def test_the_placeholder_lies_as_the_picture_does():
    """The same landscape, stored in eight ways without loss, has one placeholder."""
    upright, placeholders = landscape(48, 32), set()
    for orientation, turn in STORED.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = encoded(upright if turn is None else upright.transpose(turn), "PNG", exif=exif)
        placeholders.add(examine(stored, LIMITS).placeholder)
    assert len(placeholders) == 1


@pytest.mark.parametrize("name", TAKEN)
def test_whatever_happens_to_the_bytes_there_is_a_verdict(name):
    """Each file with bytes changed, cut out, doubled: taken or rejected, and what is taken can be rendered."""
    dice = random.Random(name)
    for _ in range(40):
        data = bytearray(TAKEN[name])
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(data))
            kind = dice.randrange(4)
            if kind == 0:
                data[at] = dice.randrange(256)
            elif kind == 1:
                del data[at : at + dice.randrange(1, 40)]
            elif kind == 2:
                data[at:at] = data[at : at + dice.randrange(1, 40)]
            else:
                data[at : at + 4] = struct.pack(
                    dice.choice("<>") + "I", dice.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(data)])
                )
            if not data:
                break
        try:
            facts = examine(bytes(data), LIMITS)
        except Rejected:
            continue
        assert render(bytes(data), Target("png", min(8, facts.width), min(8, facts.height))).data


@pytest.mark.parametrize("fault", [MemoryError(), OSError("out of memory when reading image file")])
def test_what_lacks_memory_is_too_large_and_not_corrupt(monkeypatch, fault):
    """Pillow says it in words where a decoder in C finds none."""

    def load(_):
        raise fault

    monkeypatch.setattr(sys.modules[examine.__module__], "load", load)
    message = "PNG that takes more memory than there is"
    assert rejected(encoded(Image.new("RGB", (9, 9)), "PNG")) == ("too_many_pixels", message)
