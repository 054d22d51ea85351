"""What Validate plans for a picture of a given size."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from functions.imaging import RenditionSetting, plan

DEFAULTS = [
    RenditionSetting("thumb", 128, 128, "cover"),
    RenditionSetting("small", 480, 480),
    RenditionSetting("medium", 1024, 1024),
    RenditionSetting("large", 2048, 2048),
]

sides = st.integers(1, 30_000)
settings = st.lists(
    st.builds(
        RenditionSetting,
        name=st.sampled_from("abcdef"),
        width=st.integers(1, 16_383),
        height=st.integers(1, 16_383),
        fit=st.sampled_from(["inside", "cover"]),
        formats=st.lists(st.sampled_from(["webp", "jpeg", "png", "avif"]), min_size=1, unique=True),
        crop=st.sampled_from(["center", "entropy"]),
        animated=st.booleans(),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda setting: setting.name,
)


def sizes(width, height, settings=DEFAULTS):
    return {rendition.name: (rendition.width, rendition.height) for rendition in plan(width, height, settings)}


def test_a_photo_gets_every_rendition():
    """4000x3000 in a box of 480: 4000/480 = 25/3, so 480 x 360."""
    assert sizes(4000, 3000) == {"thumb": (128, 128), "small": (480, 360), "medium": (1024, 768), "large": (2048, 1536)}


def test_the_longest_edge_counts():
    assert sizes(3000, 4000)["small"] == (360, 480)


def test_a_small_picture_is_not_enlarged_and_made_only_once():
    """At 600x400 medium and large would both be 600x400: the smaller box keeps its name."""
    assert sizes(600, 400) == {"thumb": (128, 128), "small": (480, 320), "medium": (600, 400)}


def test_the_smaller_box_is_kept_whatever_the_order():
    assert sizes(600, 400, DEFAULTS[::-1]) == {"medium": (600, 400), "small": (480, 320), "thumb": (128, 128)}


def test_a_picture_smaller_than_every_box_gets_one_rendition_of_its_own_size():
    assert sizes(100, 80) == {"thumb": (100, 80)}
    assert sizes(1, 1) == {"thumb": (1, 1)}


def test_cover_takes_what_there_is_of_a_narrow_picture():
    """A panorama 1000x50 cannot fill 128x128: 128x50 of it can be shown without enlarging."""
    assert sizes(1000, 50)["thumb"] == (128, 50)


def test_extreme_shapes_keep_a_pixel():
    assert sizes(1, 20_000) == {"thumb": (1, 128), "small": (1, 480), "medium": (1, 1024), "large": (1, 2048)}


def test_a_further_format_is_named_after_it():
    """`small` in its first format, `small_avif` in the next; of its file the extension says enough."""
    planned = plan(900, 600, [RenditionSetting("small", 480, 480, formats=("jpeg", "avif"))])
    assert [(one.name, one.format, one.file_name) for one in planned] == [
        ("small", "jpeg", "small.jpg"),
        ("small_avif", "avif", "small.avif"),
    ]


def test_a_format_only_the_larger_box_has_is_still_made():
    planned = plan(
        100, 100, [RenditionSetting("s", 200, 200), RenditionSetting("l", 300, 300, formats=("webp", "avif"))]
    )
    assert [one.name for one in planned] == ["s", "l_avif"]


def test_crop_is_kept_where_something_is_cropped():
    (planned,) = plan(900, 600, [RenditionSetting("square", 100, 100, "cover", crop="entropy")])
    assert (planned.fit, planned.crop) == ("cover", "entropy")


@given(width=sides, height=sides, settings=settings)
def test_nothing_is_enlarged_empty_or_made_twice(width, height, settings):
    planned = plan(width, height, settings)
    boxes = {setting.name: setting for setting in settings}
    assert planned
    for one in planned:
        box = boxes[one.name.partition("_")[0]]
        assert 1 <= one.width <= min(width, box.width)
        assert 1 <= one.height <= min(height, box.height)
    files = [(one.format, one.width, one.height, one.fit, one.crop) for one in planned]
    assert len(set(files)) == len(files)
    assert len({one.name for one in planned}) == len(planned)


@given(width=sides, height=sides, box=st.integers(1, 16_383))
def test_inside_keeps_the_shape(width, height, box):
    """The longer side is exactly the box's or the picture's; the other is off by half a pixel at most, or is 1."""
    (one,) = plan(width, height, [RenditionSetting("a", box, box)])
    assert max(one.width, one.height) == min(box, max(width, height))
    shorter, exact = min(one.width, one.height), min(width, height) * max(one.width, one.height) / max(width, height)
    assert shorter == 1 or abs(shorter - exact) <= 0.5


def test_an_animation_moves_in_webp_where_the_setting_says_so():
    """Of a box that gives the same size, the still one and the moving one are two files."""
    still, moving = RenditionSetting("still", 480, 480), RenditionSetting("moving", 480, 480, "inside", ("webp", "png"))
    moving = replace(moving, animated=True)
    planned = {one.name: one.animated for one in plan(960, 960, [still, moving], moves=True)}
    assert planned == {"still": False, "moving": True, "moving_png": False}
    assert [one.animated for one in plan(960, 960, [moving])] == [False, False]
