"""What Validate says about a picture's looks."""

import pytest
from PIL import Image

from functions.imaging.placeholder import dominant_color, thumbhash

# Written by the published program: npm `thumbhash` 0.1.1, rgbaToThumbHash, of the pixels that the function gives.
PUBLISHED = {
    "tall": (20, 32, lambda x, y: (x * y % 256, y * 8, 40, 255), "FboNTBBlB4doiIZ3eHdlcCb0Vw=="),
    "wide": (
        24,
        10,
        lambda x, y: (x * x * 7 % 251, (x + 3) * y * 5 % 241, x * y * 11 % 239, 255),
        "2McFC4okcWRgdyeHzq+e9Nk=",
    ),
    "see-through": (
        16,
        12,
        lambda x, y: (x * 15, 90 + y, y * y % 200, (x * y * 3 + 5) % 256),
        "2EmCFIYVwJezh3xnGfsXwJkXUwioSpmlCA==",
    ),
    "clear": (8, 8, lambda *_: (10, 200, 30, 0), "AAiCBQAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="),
}


def picture(width, height, pixel):
    return Image.frombytes(
        "RGBA", (width, height), bytes(v for y in range(height) for x in range(width) for v in pixel(x, y))
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_thumbhash_is_what_the_published_program_writes(name):
    width, height, pixel, expected = PUBLISHED[name]
    assert thumbhash(picture(width, height, pixel)) == expected


def test_the_dominant_colour_is_the_one_most_pixels_share():
    """Two thirds red on blue is red, not the purple of the mean."""
    assert dominant_color(picture(9, 9, lambda x, _: (250, 10, 20, 255) if x < 6 else (0, 0, 255, 255))) == "#fa0a14"


def test_see_through_pixels_do_not_colour():
    assert dominant_color(picture(4, 4, lambda _, y: (0, 255, 0, 0) if y else (1, 2, 3, 255))) == "#010203"
