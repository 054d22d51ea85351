"""A picture of the project's own over a rendition."""

import io

import pytest
from PIL import Image

from darkroom.local.pictures import animated_gif, encoded
from functions.imaging import RenditionSetting, Target, plan, render, watermark
from functions.imaging.watermark import Watermark
from tests.functions.imaging.test_render import opened

GREY = Image.new("RGB", (200, 100), "#808080")


@pytest.fixture(autouse=True)
def _logo(tmp_path, monkeypatch):
    """Red, 20 by 10, half of it transparent: its left half is not there."""
    logo = Image.new("RGBA", (20, 10), (0, 255, 0, 0))
    logo.paste((255, 0, 0, 255), (10, 0, 20, 10))
    logo.save(tmp_path / "logo.png")
    monkeypatch.setattr(watermark, "FOLDER", tmp_path)
    watermark._scaled.cache_clear()
    yield
    watermark._scaled.cache_clear()


def made(data, mark, format_name="png", size=(200, 100), **options):
    return opened(render(data, Target(format_name, *size, watermark=mark, **options)))


def red(picture):
    """The box of what is more red than the rest of these pictures."""
    channels = picture.convert("RGB").split()
    return channels[0].point(lambda value: 255 if value > 190 else 0).getbbox()


# A mark of 100x50 has its red half at the right; a margin of 0.1 is 10 pixels of 100.
PLACES = {
    "top-left": (60, 10),
    "top": (100, 10),
    "top-right": (140, 10),
    "left": (60, 25),
    "center": (100, 25),
    "right": (140, 25),
    "bottom-left": (60, 40),
    "bottom": (100, 40),
    "bottom-right": (140, 40),
}


@pytest.mark.parametrize("position", PLACES)
def test_it_is_where_it_was_asked_for(position):
    shown = made(encoded(GREY, "PNG"), Watermark("logo.png", position, size=0.5, margin=0.1))
    left, top = PLACES[position]
    found = red(shown)
    assert all(abs(one - other) <= 1 for one, other in zip(found, (left, top, left + 50, top + 50), strict=True))
    assert shown.getpixel((left - 30, top + 25)) == (128, 128, 128)  # not green


@pytest.mark.parametrize("opacity", [0.25, 0.5, 1.0])
def test_it_is_as_opaque_as_asked_for(opacity):
    shown = made(encoded(GREY, "PNG"), Watermark("logo.png", "center", size=0.5, opacity=opacity))
    expected = tuple(round(128 + (value - 128) * opacity) for value in (255, 0, 0))
    assert all(abs(one - other) <= 1 for one, other in zip(shown.getpixel((125, 50)), expected, strict=True))


@pytest.mark.parametrize("format_name", ["webp", "jpeg", "png", "avif"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_every_format_and_kind_of_picture_has_it(format_name, mode):
    picture = GREY.convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(0)
    shown = made(encoded(picture, "PNG"), Watermark("logo.png", "center", size=0.5), format_name, background="#808080")
    assert shown.convert("RGB").getpixel((125, 50))[0] > 200
    if mode in ("RGBA", "LA") and format_name != "jpeg":
        assert shown.convert("RGBA").getpixel((125, 50))[3] == 255
        assert shown.convert("RGBA").getpixel((20, 20))[3] == 0


def test_every_frame_has_it():
    data = animated_gif(100, 50, frames=3)
    shown = made(data, Watermark("logo.png", "center", size=0.5), "webp", (100, 50), animated=True, quality=95)
    for number in range(shown.n_frames):
        shown.seek(number)
        assert shown.convert("RGB").getpixel((62, 25))[0] > 200
    assert shown.n_frames == 3


@pytest.mark.parametrize("size", [(200, 4), (1, 100), (1, 1), (3, 50)])
def test_however_small_the_picture_it_fits(size):
    mark = Watermark("logo.png", size=1, margin=0.5)
    assert made(encoded(GREY.resize(size), "PNG"), mark, size=size).size == size


def test_a_picture_without_one_is_as_ever():
    data = encoded(GREY, "JPEG")
    whole, marked = (
        io.BytesIO(render(data, Target("webp", 100, 50, watermark=one)).data) for one in (None, Watermark("logo.png"))
    )
    assert whole.getvalue() == render(data, Target("webp", 100, 50)).data != marked.getvalue()


def test_the_plan_hands_it_on():
    """Of two boxes that give the same size, one with and one without are two files."""
    mark = {"file": "logo.png", "position": "top", "size": 0.5, "opacity": 1.0, "margin": 0.0}
    setting = {"name": "small", "width": 480, "height": 480, "formats": ["webp"], "watermark": mark}
    planned = plan(480, 480, [RenditionSetting("bare", 480, 480), RenditionSetting.of(setting)])
    assert [one.watermark for one in planned] == [None, Watermark(**mark)]
