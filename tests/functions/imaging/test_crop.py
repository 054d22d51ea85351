"""Which part of a picture a `cover` keeps."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from darkroom.local.pictures import ORIENTATION, encoded
from functions.imaging import Target, render
from functions.imaging.crop import about, stored
from functions.imaging.render import upright

SIDES = st.integers(1, 5000)
PARTS = st.floats(0, 1)


@given(st.tuples(PARTS, PARTS), st.tuples(SIDES, SIDES), st.data())
def test_what_is_kept_has_its_shape_and_lies_about_the_point(point, whole, data):
    size = data.draw(st.integers(1, whole[0])), data.draw(st.integers(1, whole[1]))
    left, top, right, bottom = about(point, whole, size)
    assert 0 <= left < right <= whole[0] + 1e-9
    assert 0 <= top < bottom <= whole[1] + 1e-9
    assert (right - left) / size[0] == pytest.approx((bottom - top) / size[1])
    assert left - 1e-6 <= point[0] * whole[0] <= right + 1e-6
    assert top - 1e-6 <= point[1] * whole[1] <= bottom + 1e-6


@given(st.tuples(st.integers(0, 6), st.integers(0, 4)), st.integers(1, 8))
def test_a_point_is_found_in_what_is_stored(pixel, turn):
    """A single white pixel, in a picture that is stored turned: upright, it is where the point says."""
    width, height = (7, 5) if turn < 5 else (5, 7)
    picture = Image.new("L", (width, height))
    picture.putpixel((pixel[0] * width // 7, pixel[1] * height // 5), 255)
    seen = upright(picture, turn)
    left, top, *_ = seen.getbbox()
    across, down = stored(((left + 0.5) / seen.width, (top + 0.5) / seen.height), turn)
    assert picture.getpixel((int(across * width), int(down * height))) == 255


def subject(size, place, colour, *, turn=1, form="JPEG"):
    """A plain picture of that upright size with one small thing in it, stored turned."""
    picture = Image.new("RGB", size, "#708090")
    x, y, by = place[0] * size[0], place[1] * size[1], min(size) // 8
    ImageDraw.Draw(picture).ellipse((x - by, y - by, x + by, y + by), fill=colour, outline="black", width=2)
    undo = {6: 8, 8: 6}.get(turn, turn)
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    return encoded(upright(picture, undo), form, exif=exif, quality=95)


def middle_of(rendered):
    with Image.open(BytesIO(rendered.data)) as picture:
        return picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("place", [(0.2, 0.5), (0.8, 0.5)])
def test_the_focus_is_kept_whichever_way_a_picture_is_stored(turn, place):
    data = subject((400, 160), place, "#ffff00", turn=turn)
    red, green, blue = middle_of(render(data, Target("png", 100, 100, "cover", focus=place)))
    assert (red > 200, green > 200, blue < 60) == (True, True, True)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("size", [(1200, 480), (160, 400), (90, 40)])
@pytest.mark.parametrize("crop", ["attention", "entropy"])
def test_a_crop_goes_where_the_one_thing_is(form, size, crop):
    """At one end of the picture, where the middle has nothing."""
    place = (0.15, 0.5) if size[0] > size[1] else (0.5, 0.85)
    side = min(size) // 2
    rendered = render(subject(size, place, "#e0a080", form=form), Target("png", side, side, "cover", crop))
    with Image.open(BytesIO(rendered.data)) as picture:
        assert (224, 160, 128) in {
            tuple(round(value / 32) * 32 for value in pixel[:3]) for _, pixel in picture.convert("RGB").getcolors(10**6)
        }


@pytest.mark.parametrize("colour", ["#e0a080", "#ff0000"])
def test_attention_prefers_skin_and_red_to_grey(colour):
    """Two things of the same size and lightness, one at each end."""
    picture = Image.new("RGB", (600, 200), "#404040")
    draw = ImageDraw.Draw(picture)
    grey = Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))
    draw.rectangle((40, 60, 120, 140), fill=(grey, grey, grey))
    draw.rectangle((480, 60, 560, 140), fill=colour)
    rendered = render(encoded(picture, "PNG"), Target("png", 200, 200, "cover", "attention"))
    with Image.open(BytesIO(rendered.data)) as kept:
        shown = {pixel for _, pixel in kept.convert("RGB").getcolors(10**6)}
    assert tuple(bytes.fromhex(colour[1:])) in shown
    assert (grey, grey, grey) not in shown
