"""JPEG XL, by the decoder of the layer with the setting `jxl`: drawn by its encoder, and by hand where it cannot."""

import io
import random
import struct
import sys
from contextlib import closing

import pytest
from PIL import Image

from benchmarks import optional
from darkroom.local.pictures import ORIENTATION, encoded, landscape
from functions.examiner import Examiner
from functions.imaging import Limits, Rejected, Target, examine, jxl, render
from tests.functions.imaging.test_code_points import coded, shown
from tests.functions.imaging.test_every_kind import colours, drawing, see_through, stored
from tests.functions.imaging.test_metadata import TAKEN, XMP, exif
from tests.functions.imaging.test_mutations import MUTATIONS, mutated, try_out
from tests.functions.imaging.verdicts import rejected
from tests.functions.test_examiner import short_of_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a layer holds Linux's own code")

LIMITS = Limits(max_bytes=10**7, max_pixels=10**6, optional={"jxl"})


@pytest.fixture(scope="module", autouse=True)
def with_decoder():
    with optional.importable():
        import pillow_jxl  # noqa: F401  which makes Pillow write them

        yield


def drawn(picture, **options):
    return encoded(picture, "JXL", **({"lossless": True} | options))


def pixels(data, size):
    """As a person sees them."""
    facts = examine(data, LIMITS)
    assert (facts.format, facts.width, facts.height, facts.frames) == ("jxl", *size, 1)
    return Image.open(io.BytesIO(render(data, Target("png", *size)).data)).convert("RGBA")


def off(one, other):
    """By how much of 255 two pictures differ at most, where they are not transparent."""
    assert one.size == other.size
    pairs = zip(one.convert("RGBA").get_flattened_data(), other.convert("RGBA").get_flattened_data(), strict=True)
    return max(abs(p - q) for a, b in pairs if a[3] + b[3] for p, q in zip(a, b, strict=True))


# Its header, written bit by bit: 18181-1, annexes B to D. Each field is a number and how many bits it takes.


def packed(*fields):
    value = at = 0
    for number, count in fields:
        value |= number << at
        at += count
    return value.to_bytes(-(-at // 8), "little")


def enum(number):
    if number < 2:
        return [(number, 2)]
    return [(2, 2), (number - 2, 4)] if number < 18 else [(3, 2), (number - 18, 6)]


SMALL = [(1, 1), (1, 5), (4, 3)]  # 16 rows, and half as many columns more
USUAL, NO_MORE = [(1, 1)], [(0, 1)]
USUAL_FRAME = b"\1"
EIGHT, SIXTEEN, FLOAT = [(0, 1), (0, 2)], [(0, 1), (3, 2), (15, 6)], [(1, 1), (0, 2), (7, 4)]
LINEAR, SRGB = 8, 13
NO_CHANNEL, ALPHA = [(0, 2)], [(1, 2), (1, 1)]


def header(
    *, size=SMALL, more=NO_MORE, depth=EIGHT, channels=NO_CHANNEL, colours=USUAL, end=((0, 2), (1, 1)), is_xyb=False
):
    """`more`: of orientation, preview and animation; then comes how bright it is meant to be, as usual."""
    tone = USUAL if more != NO_MORE else []
    rest = [*depth, (depth == EIGHT, 1), *channels, (is_xyb, 1), *colours, *tone, *end]
    return jxl.CODE + packed(*size, (0, 1), *more, *rest)


def turned(orientation):
    return [(1, 1), (orientation - 1, 3), (0, 3)]


def named(primaries, transfer, white=1):
    return [(0, 2), *enum(0), *enum(white), *enum(primaries), (0, 1), *enum(transfer), (1, 2)]


def grey(transfer):
    return [(0, 2), *enum(1), *enum(1), (0, 1), *enum(transfer), (1, 2)]


def with_header(data, before, after):
    """The same pixels, of which the header says something else."""
    assert data.startswith(before), (data[:20].hex(), before.hex())
    return after + data[len(before) :]


def sixteen():
    return Image.frombytes("I;16", (24, 16), struct.pack("<384H", *(number * 65535 // 383 for number in range(384))))


def floating():
    return Image.frombytes("F", (24, 16), struct.pack("<384f", *(number / 383 for number in range(384))))


KINDS = {
    "RGB": colours,
    "RGBA": see_through,
    "L": lambda: drawing((0,))[0],
    "LA": lambda: Image.merge("LA", drawing((0, 3))),
}


@pytest.mark.parametrize("mode", KINDS)
def test_it_is_taken_with_all_of_its_pixels(mode):
    picture = KINDS[mode]()
    assert off(pixels(drawn(picture), (24, 16)), picture) == 0
    assert off(pixels(drawn(picture, lossless=False, quality=95), (24, 16)), picture) < 32


DEEP = {"of 16 bits": (SIXTEEN, sixteen), "floating point": (FLOAT, floating)}


@pytest.mark.parametrize("name", DEEP)
def test_deep_grey_is_from_black_to_white(name):
    """Its encoder says that it is light itself."""
    depth, draw = DEEP[name]
    plain = jxl.codestream(drawn(draw()))
    ramp = Image.frombytes("L", (24, 16), bytes(number * 255 // 383 for number in range(384)))
    assert off(pixels(plain, (24, 16)), ramp.point(lambda value: coded(value / 255))) < 16
    data = with_header(plain, header(depth=depth, colours=grey(LINEAR)), header(depth=depth, colours=grey(SRGB)))
    assert off(pixels(data, (24, 16)), ramp) < 2
    assert examine(data, LIMITS).metadata["bits"] == (16 if depth == SIXTEEN else 32)


def test_deep_grey_with_alpha_keeps_both():
    """Its encoder writes none: samples of 8 bits are half as bright where the header says that they are of 9."""
    nine = [(0, 1), (3, 2), (8, 6)]
    picture = KINDS["LA"]()
    before = header(channels=ALPHA, colours=grey(SRGB))
    after = header(channels=[(1, 2), (0, 1), *enum(0), *nine, (0, 2), (0, 2), (0, 1)], depth=nine, colours=grey(SRGB))
    found = pixels(with_header(drawn(picture), before, after), (24, 16))
    assert off(found, picture.point(lambda value: value * 255 // 511)) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once_as_its_header_says(orientation):
    """Whatever EXIF says of it: 18181-1, D.3."""
    plain = drawn(stored(colours(), orientation))
    size = [(1, 1), (1, 5), (4, 3)] if orientation < 5 else [(1, 1), (2, 5), (0, 3), (1, 5)]
    data = with_header(plain, header(size=size), header(size=size, more=turned(orientation)))
    block = Image.Exif()
    block[ORIENTATION] = 3
    boxed = contained(data) + box(b"Exif", bytes(4) + block.tobytes().removeprefix(b"Exif\0\0"))
    for one in (data, boxed):
        assert off(pixels(one, (24, 16)), colours()) == 0
        assert examine(one, LIMITS).metadata["orientation"] == orientation


@pytest.mark.parametrize(
    ("number", "primaries", "transfer"), [(11, 12, 13), (9, 9, 13), (1, 1, 16), (9, 9, 16), (11, 12, 18)]
)
def test_colours_that_are_named_are_shown_as_those_of_a_png(number, primaries, transfer):
    colour = (200, 120, 90)
    data = with_header(drawn(Image.new("RGB", (24, 16), colour)), header(), header(colours=named(number, transfer)))
    found = pixels(data, (24, 16)).getpixel((8, 8))
    assert max(abs(a - b) for a, b in zip(found, shown(colour, primaries, transfer), strict=False)) <= 1


def test_colours_that_have_other_names_are_shown_by_the_profile_of_the_decoder():
    """Light itself, white as in the cinema."""
    for names, expected in ((named(1, 8), 188), (named(11, 17, white=11), 113)):
        data = with_header(drawn(Image.new("RGB", (24, 16), (128,) * 3)), header(), header(colours=names))
        assert abs(pixels(data, (24, 16)).getpixel((8, 8))[1] - expected) <= 4


def test_colours_multiplied_by_alpha_are_divided_again():
    red, alpha = Image.new("L", (24, 16), 60), Image.new("L", (24, 16), 120)
    data = drawn(Image.merge("RGBA", (red, red, red, alpha)))
    multiplied = [(1, 2), (0, 1), *enum(0), *EIGHT, (0, 2), (0, 2), (1, 1)]
    data = with_header(data, header(channels=ALPHA), header(channels=multiplied))
    assert pixels(data, (24, 16)).getpixel((8, 8)) == (127, 127, 127, 120)


# What its header alone decides


def test_too_many_pixels_are_said_before_the_decoder_is_asked():
    size = [(0, 1), (2, 2), (16_999, 18), (1, 3)]
    assert rejected(header(size=size), LIMITS) == ("too_many_pixels", "17000x17000 = 289.0 MP, limit 1 MP")


CHANNEL = [(0, 1), *enum(1), *EIGHT, (0, 2), (0, 2)]  # of depth
UNSUPPORTED = {
    "that moves": header(more=[(1, 1), (0, 5), (1, 1)]),
    "in CMYK": header(channels=[(1, 2), (0, 1), *enum(4), *EIGHT, (0, 2), (0, 2)]),
    "of 24 bits": header(depth=[(0, 1), (3, 2), (23, 6)]),
    "of 24 bits, floating point": header(depth=[(1, 1), (2, 2), (7, 4)]),
    "in grey with alpha, floating point": header(
        depth=[(1, 1), (0, 2), (7, 4)], channels=ALPHA, colours=[(0, 2), *enum(1), *enum(1), (0, 1), *enum(13), (1, 2)]
    ),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_the_decoder_does_not_show_as_it_is_meant_is_named(what):
    code, message = rejected(UNSUPPORTED[what], LIMITS)
    assert code == "unsupported_format"
    assert message.partition(":")[0] == f"JPEG XL {what}"


def long(number):
    fields, number = [(3, 2), (number & 0xFFF, 12)], number >> 12
    while number:
        fields += [(1, 1), (number & 0xFF, 8)]
        number >>= 8
    return [*fields, (0, 1)]


LONG_EXTENSIONS = [*long(5), *long(3), *long(70_000), (0, 70_003)]
WEIGHTS = [(0, 1), (7, 3), (0, 16 * 280)]


def test_the_size_of_a_profile_is_found_behind_everything_that_may_stand_before_it():
    """Named channels, a preview, brightness, extensions, and weights of one's own."""
    spot = [(0, 1), *enum(2), *EIGHT, (0, 2), (1, 2), (3, 4), (0x616263, 24), (0, 64)]
    pattern = [(0, 1), *enum(5), *EIGHT, (3, 2), (1, 3), (0, 2), (2, 2), (1, 4)]
    more = [
        (1, 1),
        (0, 3),
        (1, 1),
        (0, 1),
        (0, 2),
        (7, 9),
        (0, 3),
        (0, 2),
        (7, 9),
        (1, 1),
        (1, 1),
        (2, 2),
        (3, 5),
        (1, 3),
        (0, 1),
    ]
    end = [*LONG_EXTENSIONS, *WEIGHTS, *long(5_000_000), (0, 100)]
    data = header(more=more, channels=[(2, 2), (0, 4), *spot, *pattern], colours=[(0, 1), (1, 1), *enum(0)], end=end)
    assert rejected(data, LIMITS) == (
        "too_costly",
        "JPEG XL with a profile of 5,000,000 bytes, limit 4,194,304 bytes",
    )


@pytest.mark.parametrize("length", range(2, 8))
def test_a_header_that_is_cut_short_is_corrupt(length):
    data = header(channels=[(2, 2), (15, 4), *CHANNEL * 17])[:length]
    assert rejected(data, LIMITS) == ("corrupt", "JXL that cannot be decoded: its header is cut short")


def test_what_takes_too_much_memory_is_refused_before_it_is_decoded():
    """Each channel takes some, seen or not."""
    many = header(channels=[(3, 2), (299, 12), *CHANNEL * 300], is_xyb=True) + USUAL_FRAME
    message = "JPEG XL that takes 0.46656 MB of memory, limit 0.002304 MB"
    assert rejected(many, Limits(10**7, 24 * 16, optional={"jxl"})) == ("too_costly", message)


@pytest.mark.parametrize(("mode", "held"), [("L", 5), ("LA", 10), ("RGB", 15), ("RGBA", 20)])
def test_the_limit_of_memory_is_one_of_pixels(mode, held):
    data, area = drawn(KINDS[mode](), lossless=False), 24 * 16
    assert examine(data, Limits(10**7, max(area, -(-area * held // 6)), optional={"jxl"})).width == 24
    if held > 6:
        assert rejected(data, Limits(10**7, area * held // 6 - 1, optional={"jxl"}))[0] == "too_costly"


@pytest.mark.parametrize(("mode", "samples"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_what_is_stored_without_loss_takes_long_and_has_fewer_samples(mode, samples):
    data, all_samples = drawn(KINDS[mode]()), 24 * 16 * samples
    enough = all_samples * 3 // 2
    assert examine(data, Limits(10**7, enough, optional={"jxl"})).width == 24
    code, message = rejected(data, Limits(10**7, enough - 1, optional={"jxl"}))
    assert (code, message.partition(",")[0]) == (
        "too_costly",
        f"JPEG XL of {all_samples / 1e6:,.6g} million samples without loss or in modular mode",
    )


@pytest.mark.parametrize(
    "pretend",
    [
        lambda data: contained(data, box(b"jbrd", b"nonsense")),
        lambda data: with_header(data, header(), header(is_xyb=True)),
    ],
    ids=["a JPEG", "with loss"],
)
def test_what_is_stored_as_without_loss_is_limited_so_whatever_else_its_header_says(pretend):
    """As some programs store a picture with loss too."""
    code, message = rejected(pretend(drawn(colours())), Limits(10**7, 24 * 16 * 9 // 2 - 1, optional={"jxl"}))
    assert (code, message.partition(",")[0]) == (
        "too_costly",
        "JPEG XL of 0.001152 million samples without loss or in modular mode",
    )


PLACE = [(0, 2), (7, 19)]
IN_OTHER_COLOURS = {
    "usual": USUAL,
    "named": named(9, 16),
    "grey": grey(SRGB),
    "by a gamma": [(0, 2), *enum(0), *enum(1), *enum(1), (1, 1), (45_455 << 8, 24), (1, 2)],
    "by places": [(0, 2), *enum(0), *enum(2), *PLACE * 2, *enum(2), *PLACE * 6, (0, 1), *enum(13), *enum(2)],
    "XYB": [(0, 2), *enum(2), (1, 2)],
}


@pytest.mark.parametrize("name", IN_OTHER_COLOURS)
def test_the_first_frame_is_found_behind_the_header(name):
    """Whether it is a picture, and in modular mode: its bits two to four."""
    for more, end in ((NO_MORE, ((0, 2), (1, 1))), (turned(3), [*LONG_EXTENSIONS, *WEIGHTS])):
        whole = header(colours=IN_OTHER_COLOURS[name], more=more, end=end)
        at = jxl.header(whole).end
        assert -(-at // 8) == len(whole)
        seen = {first: jxl.is_modular(whole + bytes([first]), at) for first in (0b0000, 0b1000, 0b1010, 0b1001)}
        assert seen == {0b0000: False, 0b1000: True, 0b1010: False, 0b1001: False}


# Its boxes


def box(name, body):
    return struct.pack(">I4s", len(body) + 8, name) + body


def contained(code, *before, parts=1):
    """In a container, in so many parts; with no more than one, the box of the whole."""
    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"".join(before)
    if parts == 1:
        return head + box(b"jxlc", code)
    step = -(-len(code) // parts)
    numbers = [number | (number == parts - 1) << 31 for number in range(parts)]
    pieces = [code[number * step : (number + 1) * step] for number in range(parts)]
    return head + b"".join(box(b"jxlp", struct.pack(">I", n) + one) for n, one in zip(numbers, pieces, strict=True))


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_code_in_boxes_is_put_together(parts):
    assert off(pixels(contained(drawn(colours()), parts=parts), (24, 16)), colours()) == 0


def test_only_the_code_of_the_pixels_reaches_the_decoder():
    """Neither what would make a JPEG of it again, nor what is compressed, nor what stands behind."""
    data = contained(drawn(colours()), box(b"jbrd", b"nonsense"), box(b"brob", b"jbrdnonsense"))
    assert off(pixels(data + box(b"jxlc", b"nonsense") + b"\0", (24, 16)), colours()) == 0


def test_a_jpeg_that_can_be_made_again_is_shown_as_the_jpeg(tmp_path):
    """With its profile, and its EXIF, and turned once."""
    block = exif()
    block[ORIENTATION] = 6
    file = tmp_path / "a.jpg"
    landscape(48, 32).save(file, quality=95, exif=block, icc_profile=wide())
    with Image.open(file) as jpeg:
        data = encoded(jpeg, "JXL", lossless_jpeg=True)
    assert b"jbrd" in data
    facts, expected = examine(data, LIMITS), examine(file.read_bytes(), LIMITS)
    assert (facts.width, facts.height, facts.metadata["orientation"]) == (32, 48, 6)
    assert facts.metadata == expected.metadata | {"color_profile": facts.metadata["color_profile"]}
    as_jpeg = Image.open(io.BytesIO(render(file.read_bytes(), Target("png", 32, 48)).data))
    assert off(pixels(data, (32, 48)), as_jpeg) < 8
    assert examine(data, Limits(10**7, 48 * 32 * 26 // 10, optional={"jxl"})).width == 32  # it is quickly decoded


def wide():
    """The profile of Display P3."""
    from functions.imaging import code_points

    return code_points.profile(12, 13)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (contained(b"", parts=2), "its pixels are not there"),
        (contained(b"")[:-8], "its pixels are not there"),
        (contained(b"x" * 40, parts=3).replace(b"jxlp\0\0\0\1", b"jxlp\0\0\0\0"), "its parts are out of order"),
        (contained(b"", *[box(b"free", b"")] * 20_001), "more than 20,000 boxes"),
        (contained(jxl.CODE + b"no"), "its header is cut short"),
    ],
    ids=["empty", "missing", "out of order", "too many", "nonsense"],
)
def test_boxes_that_make_no_sense_are_corrupt(data, message):
    code, said = rejected(data, LIMITS)
    assert code == "corrupt"
    assert said.endswith(message)


@pytest.mark.parametrize("compressed", [False, True])
def test_exif_and_xmp_are_read(compressed):
    data = drawn(colours(), exif=exif().tobytes(), compress_metadata=compressed)
    assert (b"brob" in data) is compressed
    facts = examine(data, LIMITS)
    assert {name: facts.metadata[name] for name in ("camera", "lens", "taken_at")} == {
        name: TAKEN[name] for name in ("camera", "lens", "taken_at")
    }
    data = drawn(colours(), xmp=XMP.encode(), compress_metadata=compressed)
    assert (b"brob" in data) is compressed
    assert examine(data, LIMITS).metadata["camera"] == TAKEN["camera"]


def test_compressed_metadata_is_unpacked_so_far_and_no_further():
    """100 MB of zeros are 100 bytes; what is broken, or large itself, is left out."""
    import brotli

    bomb = brotli.compress(bytes(100_000_000), quality=1)
    data = contained(drawn(colours()), box(b"brob", b"Exif" + bomb), box(b"brob", b"xml nonsense"))
    found = jxl.metadata(data)
    assert set(found) == {"exif"}
    assert len(found["exif"]) <= 2 * jxl.MAX_METADATA
    assert jxl.metadata(contained(b"", box(b"brob", b"xml " + bytes(jxl.MAX_METADATA + 1)))) == {}
    assert examine(data, LIMITS).width == 24


# What is damaged


def seeds():
    picture, large = landscape(40, 24), landscape(280, 40)
    metadata = {"exif": exif().tobytes(), "xmp": XMP.encode()}
    return {
        **{f"jxl {mode}": drawn(picture.convert(mode)) for mode in ("L", "LA", "RGB", "RGBA")},
        "jxl, lossy": drawn(picture, lossless=False, quality=80),
        "jxl, lossy, with alpha": drawn(picture.convert("RGBA"), lossless=False, quality=80),
        "jxl of 16 bits": drawn(sixteen()),
        "jxl in groups": drawn(large, lossless=False, quality=80),
        "jxl with metadata": drawn(picture, **metadata),
        "jxl with compressed metadata": drawn(picture, **metadata, compress_metadata=True),
        "jxl in parts": contained(drawn(picture), parts=3),
    }


@pytest.mark.parametrize("name", ["jxl RGB", "jxl, lossy", "jxl in groups", "jxl in parts"])
def test_a_file_that_is_cut_short_is_corrupt(name):
    data, said = seeds()[name], set()
    for length in range(2, len(data) - 2, -(-len(data) // 40)):
        code, message = rejected(data[:length], LIMITS)
        assert code in ("corrupt", "unsupported_format")
        said.add(message)
    assert "JXL that cannot be decoded: libjxl gives up on its pixels" in said
    assert not any("build `libjxl`" in message for message in said)  # which is no advice for who uploads


@pytest.mark.parametrize(
    ("megabytes", "message"),
    [(30, "JXL that takes more memory than there is"), (130, "takes more memory than there is")],
    ids=["before it is decoded", "while it is decoded"],
)
def test_too_little_memory_does_not_make_it_corrupt(monkeypatch, megabytes, message):
    """Of 39 MB of samples the plugin makes a copy, and aborts the process where it cannot; libjxl holds 155 MB, and
    says only that it failed."""
    data = drawn(Image.new("RGB", (3600, 3600)), effort=1)
    monkeypatch.setattr("functions.examiner.examine", short_of_memory(Limits(10**7, 10**8, {"jxl"}), megabytes))
    with closing(Examiner(Limits(10**7, 10**8), 20)) as process, pytest.raises(Rejected) as verdict:
        process.examine(lambda: data)
    assert verdict.value.args == ("too_many_pixels", message)


def test_a_panic_of_the_plugin_is_a_verdict(monkeypatch):
    """Rust's own exception is none of Exception, and would end the process that examines. No file is known that does
    it."""

    class PanicException(BaseException):
        pass

    def decoder(**_):
        raise PanicException

    data = drawn(colours())
    monkeypatch.setattr("pillow_jxl.Decoder", decoder)
    assert rejected(data, LIMITS) == ("corrupt", "JXL that cannot be decoded: libjxl gives up on its pixels")


def test_what_is_taken_can_be_rendered():
    dice = random.Random("jxl")
    for data in seeds().values():
        for _ in range(MUTATIONS):
            try_out(mutated(data, dice))
