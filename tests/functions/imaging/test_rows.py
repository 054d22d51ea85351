"""The faster way to resize rows, against Pillow's own."""

import importlib

import pytest
from PIL import Image

rendering = importlib.import_module("functions.imaging.render")  # its package gives the name to a function


@pytest.mark.parametrize("width", [64, 67])
def test_rows_by_fours_are_the_same_rows(width):
    """To the last bit, whether or not four pixels fill the width, and from any part of the height."""
    noise = Image.effect_noise((width, 90), 80)
    plain = noise.resize((width, 31), Image.Resampling.LANCZOS, (0, 2.5, width, 88))
    assert rendering._resized_rows(noise, 31, (2.5, 88)).tobytes() == plain.tobytes()
