"""How alike two pictures are to the eye: SSIM, with Pillow alone."""

from __future__ import annotations

from PIL import Image, ImageMath

WINDOW = 8  # pixels a side, as in the paper's 8x8 variant

# Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13: (K1 L)**2 and (K2 L)**2 for K1 = 0.01, K2 = 0.03, L = 255.
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Mean structural similarity of the brightness, over two grids of windows, half a window apart; 1 is equal.

    https://www.cns.nyu.edu/pub/lcv/wang03-preprint.pdf
    """
    grids = [_ssim(one.convert("L").crop(box), other.convert("L").crop(box)) for box in _grids(one.size)]
    return sum(grids) / len(grids)


def _grids(size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    starts = (0, WINDOW // 2)
    return [(at, at, *((side - at) // WINDOW * WINDOW + at for side in size)) for at in starts]  # type: ignore[misc]


def _ssim(one: Image.Image, other: Image.Image) -> float:
    x, y = one.convert("F"), other.convert("F")
    means = {
        "x": x.reduce(WINDOW),
        "y": y.reduce(WINDOW),
        "xx": _product(x, x).reduce(WINDOW),
        "yy": _product(y, y).reduce(WINDOW),
        "xy": _product(x, y).reduce(WINDOW),
    }
    similar = ImageMath.lambda_eval(
        lambda m: (
            (2 * m["x"] * m["y"] + C1)
            * (2 * (m["xy"] - m["x"] * m["y"]) + C2)
            / (m["x"] * m["x"] + m["y"] * m["y"] + C1)
            / (m["xx"] - m["x"] * m["x"] + m["yy"] - m["y"] * m["y"] + C2)
        ),
        **means,
    )
    return float(similar.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))


def _product(one: Image.Image, other: Image.Image) -> Image.Image:
    product: Image.Image = ImageMath.lambda_eval(lambda m: m["one"] * m["other"], one=one, other=other)
    return product
