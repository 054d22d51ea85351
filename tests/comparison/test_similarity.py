"""The measure of quality."""

from PIL import Image, ImageFilter

from comparison.similarity import ssim


def test_a_picture_is_wholly_similar_to_itself_and_less_so_to_its_blur():
    picture = Image.effect_mandelbrot((90, 70), (-2, -1.5, 1, 1.5), 100)
    assert ssim(picture, picture) == 1
    assert 0 < ssim(picture, picture.filter(ImageFilter.BoxBlur(2))) < 0.95


def test_of_two_flat_pictures_only_the_brightness_counts():
    """(2xy + C1) / (x² + y² + C1) by hand, for 100 and 50 with C1 = 6.5025: 10006.5025 / 12506.5025."""
    similarity = ssim(Image.new("L", (32, 32), 100), Image.new("L", (32, 32), 50))
    assert abs(similarity - 0.80010) < 1e-4
