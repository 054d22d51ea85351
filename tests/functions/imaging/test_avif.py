"""AVIFs whose boxes say more than their pixels: a part is the picture, alpha has no size, there are too many pixels."""

import io
import struct

import pytest
from PIL import Image, ImageDraw

from darkroom.local.pictures import ORIENTATION, landscape
from functions.imaging import Limits, Rejected, Target, av1, examine, for_caption, isobmff, render
from tests.functions.imaging.verdicts import LIMITS, rejected

PARENTS = (b"meta", b"iprp", b"ipco", b"ipma", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
SECRET = (250, 10, 10)


def avif(picture, orientation=1, **options):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    picture.save(file, "AVIF", quality=100, subsampling="4:4:4", speed=10, exif=exif, **options)
    return file.getvalue()


def inserted(data, at, added):
    """With more bytes in the boxes that hold that place; what lies behind has moved."""
    changed = bytearray(data)
    for name in PARENTS:
        start = data.find(name) - 4
        length = int.from_bytes(data[start : start + 4], "big") if start >= 0 else 0
        if start < at <= start + length:
            struct.pack_into(">I", changed, start, length + len(added))
    if (sample := data.find(b"stsd") + 12) > 12 and sample < at <= sample + int.from_bytes(
        data[sample : sample + 4], "big"
    ):
        struct.pack_into(">I", changed, sample, int.from_bytes(data[sample : sample + 4], "big") + len(added))
    for place in offsets(data):
        (offset,) = struct.unpack_from(">I", data, place)
        if offset >= at:
            struct.pack_into(">I", changed, place, offset + len(added))
    return bytes(changed[:at]) + added + bytes(changed[at:])


def offsets(data):
    """Where the places of pixels are written: 14496-12, boxes `iloc`, of version 0 with 4 bytes each, and `stco`."""
    at = data.index(b"iloc") + 4
    assert data[at] == 0
    assert data[at + 4] == 0x44
    (count,) = struct.unpack_from(">H", data, at + 6)
    at += 8
    for _ in range(count):
        (extents,) = struct.unpack_from(">H", data, at + 4)
        yield from range(at + 6, at + 6 + 8 * extents, 8)
        at += 6 + 8 * extents
    at = 0
    while (at := data.find(b"stco", at) + 4) > 4:
        yield from range(at + 8, at + 8 + 4 * int.from_bytes(data[at + 4 : at + 8], "big"), 4)


def clap(width, height, right=(0, 1), down=(0, 1)):
    return struct.pack(">I4s", 40, b"clap") + struct.pack(">IIIIiIiI", width, 1, height, 1, *right, *down)


def with_aperture(data, box):
    """The box in `ipco`, and its number, with the bit for essential, first of the properties of picture and alpha."""
    start = data.index(b"ipco") - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    at, number = start + 8, 1
    while at < end:
        at += int.from_bytes(data[at : at + 4], "big")
        number += 1
    data = inserted(data, end, box)
    at = data.index(b"ipma") + 4 + 4 + 4  # behind version, flags and the number of items
    items = int.from_bytes(data[at - 4 : at], "big")
    for _ in range(items):
        count = data[at + 2]
        data = inserted(data[: at + 2] + bytes([count + 1]) + data[at + 3 :], at + 3, bytes([0x80 | number]))
        at += 4 + count
    return data


def pixels(data, size):
    facts = examine(data, LIMITS)
    assert (facts.format, facts.width, facts.height) == ("avif", *size)
    return Image.open(io.BytesIO(render(data, Target("png", *size)).data)).convert("RGBA")


def near(one, other, within=4):
    assert one.size == other.size
    for x in range(0, one.width, 3):
        for y in range(0, one.height, 3):
            a, b = one.getpixel((x, y)), other.convert("RGBA").getpixel((x, y))
            assert all(abs(p - q) <= within for p, q in zip(a, b, strict=True)), f"{a} at {x};{y}, expected {b}"


def framed(left, top, right, bottom, size=(96, 64)):
    """A landscape in a frame of what was cropped away."""
    picture = Image.new("RGB", size, SECRET)
    picture.paste(landscape(*size).crop((left, top, right, bottom)), (left, top))
    return picture


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_only_the_clean_aperture_is_the_picture(orientation, mode):
    """18 pixels off to the left and 5 to the top of the middle, then turned."""
    box = (8, 7, 52, 47)
    stored = framed(*box).convert(mode)
    if mode == "RGBA":
        ImageDraw.Draw(stored).rectangle((10, 10, 20, 20), fill=(0, 0, 0, 0))
    data = with_aperture(avif(stored, orientation), clap(44, 40, (-18, 1), (-10, 2)))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    plain = io.BytesIO()
    stored.crop(box).save(plain, "PNG", exif=exif)
    size = (44, 40) if orientation < 5 else (40, 44)
    expected = Image.open(io.BytesIO(render(plain.getvalue(), Target("png", *size)).data))
    near(pixels(data, size), expected.convert("RGBA"))
    assert not any(is_secret(colour) for _, colour in Image.open(io.BytesIO(for_caption(data)[1])).getcolors(10**6))
    assert not is_secret(bytes.fromhex(examine(data, LIMITS).color[1:]))


def is_secret(colour):
    return all(abs(a - b) < 40 for a, b in zip(colour, SECRET, strict=True))


def test_an_edge_amid_a_pixel_leaves_that_pixel_out():
    """41 of 96 pixels about the middle begin at 27.5."""
    data = with_aperture(avif(framed(28, 12, 68, 52)), clap(41, 40))
    near(pixels(data, (40, 40)), landscape(96, 64).crop((28, 12, 68, 52)))


@pytest.mark.parametrize(
    "box",
    [
        clap(97, 40),
        clap(40, 40, (29, 1)),
        clap(40, 40, (0, 0)),
        clap(0, 40),
        struct.pack(">I4s", 40, b"clap") + b"\xff" * 32,
        struct.pack(">I4sI", 12, b"clap", 40),
    ],
    ids=["too wide", "beside it", "divided by 0", "of no width", "of nonsense", "cut short"],
)
def test_a_clean_aperture_that_makes_no_sense_is_refused(box):
    """What it was to hide is not shown whole."""
    code, message = rejected(with_aperture(avif(landscape(96, 64)), box))
    assert code == "corrupt"
    assert "clean aperture" in message


def test_a_picture_that_is_not_turned_with_alpha_that_is_is_unsupported():
    data = bytearray(avif(see_through(), orientation=6))
    first = data.index(b"ipma") + 12
    data[first + 2 + data[first + 2]] = 0  # the last of the properties of the picture, `irot`
    assert rejected(bytes(data)) == ("unsupported_format", "AVIF of a kind that libavif has not implemented")


@pytest.mark.parametrize("kind", [b"iovl", b"tmap", b"iden"])
def test_a_picture_that_is_made_of_others_is_named_and_not_called_corrupt(kind):
    code, message = rejected(avif(landscape(64, 48)).replace(b"av01", kind))
    assert (code, message) == ("unsupported_format", f"AVIF whose picture is an item of the kind `{kind.decode()}`")


@pytest.mark.parametrize("box", [b"meta", b"pitm", b"iinf", b"iprp", b"ipco", b"ipma"])
def test_without_one_of_its_boxes_it_is_corrupt_in_the_words_of_the_decoder(box):
    with pytest.raises(Rejected, match="corrupt: AVIF that cannot be decoded: Failed to decode image"):
        examine(avif(landscape(40, 24)).replace(box, b"free"), LIMITS)


def test_the_clean_aperture_of_a_sequence_counts():
    """It stands in the description of the track's samples: 14496-12, 8.5.2."""
    frames = [framed(8, 12, 88, 52), framed(0, 0, 96, 64)]
    data = avif(frames[0], save_all=True, append_images=frames[1:])
    sample = data.index(b"stsd") + 12
    data = inserted(data, sample + int.from_bytes(data[sample : sample + 4], "big"), clap(80, 40))
    near(pixels(data, (80, 40)), landscape(96, 64).crop((8, 12, 88, 52)))
    assert examine(data, LIMITS).frames == 2


def without_size_of_alpha(data):
    """The association with `ispe` of the second item, its alpha, is one with nothing: number 0 (23008-12, 9.3.3)."""
    at = data.index(b"ipma") + 12
    (_, count) = struct.unpack_from(">HB", data, at)
    first = set(data[at + 3 : at + 3 + count])
    at += 3 + count
    (_, count) = struct.unpack_from(">HB", data, at)
    changed = bytearray(data)
    shared = [place for place in range(at + 3, at + 3 + count) if data[place] in first]
    changed[shared[0]] = 0
    return bytes(changed)


def see_through():
    drawn = landscape(64, 48).convert("RGBA")
    ImageDraw.Draw(drawn).rectangle((20, 10, 40, 30), fill=(0, 0, 0, 0))
    return drawn


def test_alpha_without_a_size_is_that_of_the_picture():
    """libavif alone refuses it; browsers show it."""
    data = without_size_of_alpha(avif(see_through()))
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(data))
    alpha = pixels(data, (64, 48)).getchannel("A")
    assert (alpha.getpixel((30, 20)), alpha.getpixel((5, 5))) == (0, 255)
    near(
        pixels(with_aperture(data, clap(44, 48)), (44, 48)).getchannel("A").convert("RGBA"),
        alpha.crop((10, 0, 54, 48)).convert("RGBA"),
    )


def test_alpha_without_a_size_in_a_file_whose_last_box_is_open():
    """`mdat` says that it goes to the end of the file."""
    data = bytearray(without_size_of_alpha(avif(see_through())))
    at = data.index(b"mdat") - 4
    assert at + int.from_bytes(data[at : at + 4], "big") == len(data)
    data[at : at + 4] = bytes(4)
    assert pixels(bytes(data), (64, 48)).getpixel((30, 20))[3] == 0


def sized(data, width, height):
    return data.replace(
        b"ispe" + bytes(4) + struct.pack(">2I", 64, 48), b"ispe" + bytes(4) + struct.pack(">2I", width, height)
    )


def test_too_many_pixels_are_said_before_the_decoder_refuses_them():
    """libavif takes no more than 268 megapixels, and no longer side than 32768."""
    data = avif(landscape(64, 48))
    assert rejected(sized(data, 17000, 17000)) == ("too_many_pixels", "17000x17000 = 289.0 MP, limit 1 MP")
    code, message = rejected(sized(data, 40000, 20))
    assert (code, message) == ("unsupported_format", "AVIF of 40000x20 pixels: the decoder takes 32768 a side")


def test_too_many_pixels_of_a_heic_are_said_before_the_decoder_is_asked():
    data = sized(avif(landscape(64, 48)), 17000, 17000).replace(b"avif", b"heic")
    with pytest.raises(Rejected, match=r"17000x17000 = 289\.0 MP"):
        examine(data, Limits(10**7, 10**6, optional={"heic"}))


@pytest.mark.parametrize(
    "chunk",
    [
        b"VP8X\x0a\0\0\0\0\0\0\0" + (16999).to_bytes(3, "little") * 2,
        b"VP8 \x0a\0\0\0\x10\0\0\x9d\x01\x2a" + struct.pack("<2H", 16000, 16000),
        b"VP8L\x05\0\0\0\x2f" + (15999 | 15999 << 14).to_bytes(4, "little"),
    ],
    ids=["canvas", "lossy", "lossless"],
)
def test_too_many_pixels_of_a_webp_are_said_before_the_decoder_makes_room(chunk):
    data = b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk
    assert rejected(data)[0] == "too_many_pixels"


def test_a_file_of_a_million_boxes_is_refused_before_it_is_read():
    data = avif(landscape(64, 48))
    at = data.index(b"meta") - 4
    assert rejected(data[:at] + b"\0\0\0\x08free" * 20_001 + data[at:]) == (
        "corrupt",
        "AVIF that cannot be decoded: more than 20,000 boxes",
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_frame_that_is_larger_than_its_container_says_counts(mode):
    """libavif decodes all of it, and scales that down."""
    small = sized(avif(see_through().convert(mode)), 16, 16)
    assert rejected(small, Limits(10**7, 64 * 48 - 1)) == ("too_many_pixels", "64x48 = 0.0 MP, limit 0.003071 MP")


@pytest.mark.parametrize("frames", [1, 3])
def test_all_that_is_decoded_for_the_picture_is_found(frames):
    """Colours and alpha, of an item or of a track's first picture."""
    drawn = [see_through() for _ in range(frames)]
    data = avif(drawn[0], save_all=frames > 1, append_images=drawn[1:])
    assert av1.frames(isobmff.coded(data)) == ((64, 48), 2 * 64 * 48)
    plain = avif(landscape(64, 48), save_all=frames > 1, append_images=[landscape(64, 48)] * (frames - 1))
    assert av1.frames(isobmff.coded(plain)) == ((64, 48), 64 * 48)


def test_the_tiles_of_a_grid_are_decoded_and_thumbnails_are_not():
    """Item 1 is a grid of 2 and 3, alpha 4 belongs to it, 5 is a thumbnail; all but that are in `mdat`."""
    box = lambda name, body: struct.pack(">I4s", len(body) + 8, name) + body  # noqa: E731
    references = [(b"dimg", 1, (2, 3)), (b"auxl", 4, (1,)), (b"thmb", 5, (1,))]
    iref = box(
        b"iref",
        bytes(4)
        + b"".join(box(name, struct.pack(f">HH{len(to)}H", item, len(to), *to)) for name, item, to in references),
    )
    items = [(2, 0, 0, 4), (3, 0, 4, 4), (4, 0, 8, 4), (5, 0, 12, 4), (1, 1, 0, 0)]
    iloc = box(
        b"iloc",
        b"\1\0\0\0\x44\0"
        + struct.pack(">H", 5)
        + b"".join(struct.pack(">HHHHII", i, w, 0, 1, a, n) for i, w, a, n in items),
    )
    pitm, idat = box(b"pitm", bytes(4) + b"\0\1"), box(b"idat", b"grid")
    data = box(b"ftyp", b"avif") + box(b"meta", bytes(4) + pitm + iref + idat + iloc)
    assert [bytes(code) for code in isobmff.coded(data)] == [data[0:4], data[4:8], data[8:12], b"grid" + iloc]


def test_frames_that_are_never_shown_count():
    """A picture of 64x48 may be decoded from 4 MP, which is 1,302 frames of it."""
    data = avif(landscape(64, 48))
    (code,) = isobmff.coded(data)
    more = b"\x32\0" * 1_302
    data = inserted(data, data.index(bytes(code)) + len(code), more)
    place = data.index(struct.pack(">I", len(code)), data.index(b"iloc"))
    data = data[:place] + struct.pack(">I", len(code) + len(more)) + data[place + 4 :]
    assert rejected(data) == ("too_costly", "AVIF of 64x48 pixels that are decoded from 4.00282 MP, limit 4 MP")


def bits(*fields):
    """Numbers, each with how many bits it takes, filled up to whole bytes."""
    text = "".join(f"{number:0{count}b}" for number, count in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("modelled", [False, True])
@pytest.mark.parametrize("displayed", [False, True])
def test_the_size_is_found_behind_everything_that_a_sequence_may_say_first(timed, modelled, displayed):
    """AV1, 5.5.1: two operating points, the second with a tier."""
    fields = [(0, 3), (0, 1), (0, 1), (timed, 1)]
    if timed:
        fields += [(1, 32), (25, 32), (1, 1), (0b00101, 5), (modelled, 1)]
        fields += [(9, 5), (1, 32), (3, 5), (3, 5)] if modelled else []
    fields += [(displayed, 1), (1, 5)]
    for level, tier in ((4, []), (9, [(1, 1)])):
        fields += [(0, 12), (level, 5), *tier]
        fields += [(1, 1), (5, 10), (6, 10), (0, 1)] if timed and modelled else []
        fields += [(1, 1), (7, 4)] if displayed else []
    header = bits(*fields, (13, 4), (9, 4), (9_999, 14), (719, 10), (1, 1))
    code = b"\x12\0" + bytes([0x0A, len(header)]) + header + b"\x32\0\x1a\0"
    assert av1.frames([code, code]) == ((10_000, 720), 4 * 7_200_000)


def test_items_and_references_are_few():
    """libavif looks through all of them for each."""
    data = avif(landscape(64, 48))
    for name, at, number in ((b"iloc", 6, b"\x13\x89"), (b"iinf", 4, b"\x13\x89"), (b"ipma", 4, b"\0\0\x13\x89")):
        place = data.index(name) + 4 + at
        wrong = data[:place] + number + data[place + len(number) :]
        assert rejected(wrong)[1].endswith("more than 5,000 items or references to them")


def test_the_chunks_of_a_track_are_in_few_runs():
    data = avif(landscape(64, 48), save_all=True, append_images=[landscape(64, 48)])
    for name, number in ((b"stsc", 3_000), (b"stco", 4_000)):
        place = data.index(name) + 8
        data = data[:place] + struct.pack(">I", number) + data[place + 4 :]
    assert rejected(data)[1].endswith("4,000 chunks in 3,000 runs")


@pytest.mark.parametrize(
    ("mode", "subsampling", "held"),
    [("L", "4:0:0", 8), ("RGB", "4:2:0", 8.5), ("RGB", "4:4:4", 10), ("RGBA", "4:2:0", 10.5), ("RGBA", "4:4:4", 12)],
)
def test_what_takes_too_much_memory_is_refused_before_it_is_decoded(mode, subsampling, held):
    """Planes, what Pillow makes of them, and the picture: 1.3 GB at 100 megapixels with alpha and all colours."""
    file = io.BytesIO()
    see_through().convert(mode).save(file, "AVIF", speed=10, subsampling=subsampling)
    data, area = file.getvalue(), 64 * 48
    assert examine(data, Limits(10**7, max(area, -(-int(held * area) // 11)))).width == 64
    if held > 11:
        code, message = rejected(data, Limits(10**7, area))
        assert code == "too_costly"
        assert message.startswith(f"AVIF that takes {held * area / 1e6:.6g} MB of memory")
    flags = data.index(b"av1C") + 6  # libavif compares them with the code
    assert (
        rejected(data[:flags] + bytes([data[flags] ^ 0x40]) + data[flags + 1 :], Limits(10**7, 2 * area))[0]
        == "corrupt"
    )
