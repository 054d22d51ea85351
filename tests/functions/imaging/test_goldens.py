"""What Darkroom makes of drawn pictures, beside what other tools make of them: goldens.py has the tools."""

import sys

import pytest
from PIL import Image, ImageChops

from benchmarks import optional
from darkroom.local.pictures import encoded, with_chunk
from functions.imaging import Limits, Target, animation, examine, formats, render, watermark
from functions.imaging.crop import LOOKING, about
from functions.imaging.watermark import Watermark, marked
from tests.functions.imaging import goldens
from tests.functions.imaging.test_animation import shown
from tests.functions.imaging.test_render import opened

LIMITS = Limits(10**7, 10**6)
ANIMATIONS, COLOURS, CROPS, HASHES, MARKS, FILES, HEIC, WIDE = (
    goldens.read(part)[name]
    for part, name in [
        ("animation", "animations"),
        ("colours", "colours"),
        ("crops", "crops"),
        ("hashes", "hashes"),
        ("marks", "marks"),
        ("metadata", "files"),
        ("heic", "files"),
        ("profiles", "display p3"),
    ]
)


def pixels(text, size):
    raw = goldens.unpacked(text)
    page = size[0] * size[1] * 4
    return [Image.frombytes("RGBA", size, raw[at : at + page]) for at in range(0, len(raw), page)]


def furthest(one, other):
    """The largest difference of a channel, where what is transparent has no colour."""
    plain = Image.frombytes("RGBA", one.size, goldens.without_hidden_colours(one.convert("RGBA").tobytes()))
    return max(high for _, high in ImageChops.difference(plain, other).getextrema())


@pytest.mark.parametrize("name", ANIMATIONS)
def test_each_frame_is_what_another_tool_shows(name):
    """To the last bit, but for half transparent squares, whose mixtures are rounded, and for AVIF."""
    data, golden = goldens.ANIMATIONS[name], ANIMATIONS[name]
    form = formats.recognise(data)
    ours = [frame.copy() for frame, _ in animation.frames(formats.open_picture(data, form), data, form)]
    theirs = pixels(golden["frames"], tuple(golden["size"]))
    assert len(ours) == len(theirs)
    assert max(map(furthest, ours, theirs)) <= (3 if name == "avif" else 2)


@pytest.mark.parametrize("name", ANIMATIONS)
def test_each_frame_is_shown_as_long_and_all_of_it_as_often_as_another_tool_says(name):
    golden = ANIMATIONS[name]
    made = render(goldens.ANIMATIONS[name], Target("webp", 16, 12, animated=True))
    assert shown(made.data)[1] == golden["times"]
    assert opened(made).info["loop"] == golden["plays"]


@pytest.mark.parametrize("name", COLOURS)
def test_colours_of_hdr_are_what_the_standards_say(name):
    """Within 4 of 255, at the edge of sRGB's colours; elsewhere within 1."""
    primaries, _, transfer = name.rpartition(" ")
    picture = goldens.signals()
    numbers = bytes([goldens.NAMED[0][primaries], goldens.NAMED[1][transfer], 0, 1])
    made = opened(render(with_chunk(encoded(picture, "PNG"), b"cICP", numbers), Target("png", *picture.size)))
    found = list(zip(*[iter(made.convert("RGB").tobytes())] * 3, strict=True))
    for signal, ours, theirs in zip(goldens.SIGNALS, found, COLOURS[name], strict=True):
        assert ours == pytest.approx(theirs, abs=4), signal


@pytest.mark.parametrize("how", ["by its profile", "by its numbers"])
def test_wide_colours_are_what_imagemagick_makes_of_them(how):
    picture = goldens.signals()
    if how == "by its profile":
        data = encoded(picture, "PNG", icc_profile=goldens.unpacked(WIDE["profile"]))
    else:
        data = with_chunk(encoded(picture, "PNG"), b"cICP", bytes([goldens.NAMED[0]["Display P3"], 13, 0, 1]))
    ours = opened(render(data, Target("png", *picture.size)))
    theirs = Image.frombytes("RGB", picture.size, goldens.unpacked(WIDE["shown"]))
    assert furthest(ours, theirs.convert("RGBA")) <= 2


@pytest.fixture
def _heic_decoder():
    with optional.importable():
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="a layer holds Linux's own code")
@pytest.mark.usefixtures("_heic_decoder")
@pytest.mark.parametrize("name", HEIC)
def test_a_heic_of_another_tool_is_shown_as_that_shows_it(name):
    data, size = goldens.unpacked(HEIC[name]["file"]), goldens.DRAWN.size
    known = examine(data, Limits(10**7, 10**6, {"heic"}))
    ours = opened(render(data, Target("png", *size)))
    [theirs] = pixels(HEIC[name]["pixels"], size)
    assert (known.format, known.width, known.height) == ("heic", *size)
    assert (known.metadata["has_alpha"], known.metadata["bits"]) == (name == "see-through", 10 if "10" in name else 8)
    assert furthest(ours, theirs) <= 2
    if name == "without loss":
        assert furthest(ours, goldens.DRAWN.convert("RGBA")) <= 1


@pytest.mark.parametrize("name", CROPS)
def test_attention_keeps_nearly_what_libvips_keeps(name):
    picture, size = goldens.CROPS[name]
    box = LOOKING["attention"](picture, about((0.5, 0.5), picture.size, size), picture.size, None)
    ours = [side / whole for side, whole in zip(box, picture.size * 2, strict=True)]
    assert ours == pytest.approx(CROPS[name], abs=0.06)


@pytest.mark.parametrize("name", HASHES)
def test_a_perceptual_hash_is_nearly_what_imagehash_writes(name):
    """Of 64 bits those that nearly lie in the middle may differ: Darkroom looks at fewer pixels."""
    ours = examine(encoded(goldens.HASHED[name], "PNG"), LIMITS).perceptual_hash
    assert (int(ours, 16) ^ int(HASHES[name], 16)).bit_count() <= 4


@pytest.fixture(autouse=True)
def _logos(tmp_path, monkeypatch):
    for by in (1, 4):
        goldens.logo(by).save(tmp_path / f"{by}.png")
    monkeypatch.setattr(watermark, "FOLDER", tmp_path)
    watermark._scaled.cache_clear()
    yield
    watermark._scaled.cache_clear()


@pytest.mark.parametrize("name", MARKS)
def test_a_watermark_lies_as_libvips_lays_it(name):
    under, by, opacity, position, _ = goldens.MARKS[name]
    ours = marked(under, Watermark(f"{by}.png", position, size=20 / 60, opacity=opacity, margin=0.05))
    [theirs] = pixels(MARKS[name], under.size)
    assert furthest(ours, theirs) <= (8 if by > 1 else 2)


@pytest.mark.parametrize("name", FILES)
def test_what_exiftool_wrote_is_read_as_exiftool_reads_it(name):
    told = FILES[name]["read"]
    found = examine(goldens.unpacked(FILES[name]["file"]), LIMITS).metadata
    day, time = told["DateTimeOriginal"].split()
    assert found["taken_at"] == f"{day.replace(':', '-')}T{time}{told.get('OffsetTimeOriginal', '')}"
    assert found["camera"] == f"{told['Make']} {told['Model']}"
    assert found["lens"] == (told.get("LensModel") or told["Lens"])
    gps = told["GPSLatitude"], told["GPSLongitude"], told["GPSAltitude"]
    assert tuple(found["gps"].values()) == pytest.approx(gps, abs=1e-6)
