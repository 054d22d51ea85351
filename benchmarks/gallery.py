"""Draws the table of pictures of docs/formats.md: what goes in, and the real renditions that come out. `make gallery`.

What goes in is shown as the bare rows and columns that the file stores: without the profile, the orientation or the
inks' meaning that a viewer may or may not heed.
"""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
from bisect import bisect
from collections.abc import Iterator
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

from PIL import Image, ImageDraw, ImageFilter

from darkroom.local.pictures import animated_gif, encoded, landscape, photo, transparent_png, with_chunk
from functions.imaging import Limits, RenditionSetting, Target, code_points, examine, plan, render, watermark
from functions.imaging.color import to_srgb
from functions.imaging.watermark import Watermark

LIMITS = Limits(max_bytes=10**7, max_pixels=10**7)
BACKGROUND = "#264653"
SMALL = RenditionSetting("small", 240, 240)
PREFERS_BLACK = 6  # of 255: so much further off a mixture with black may be, because black is the cheaper ink
TINTS = ((0, 174, 239), (236, 0, 140), (255, 221, 0), (30, 30, 30))  # roughly, to tint the plates


def pictures() -> Iterator[tuple[str, bytes]]:
    """File names and contents: NAME-in and NAME-out of each row."""
    lying = photo(480, 320, orientation=6)
    yield "orientation-in.jpg", bare(lying)
    yield "orientation-out.webp", rendition(lying)

    vivid = encoded(balls(landscape(480, 320)), "JPEG", quality=92, icc_profile=code_points.profile(12, 13))
    yield "p3-in.jpg", bare(vivid)
    yield "p3-out.webp", rendition(vivid)

    bright = hdr(balls(landscape(480, 320)))
    yield "hdr-in.jpg", bare(bright)
    yield "hdr-out.webp", rendition(bright)

    four = inks(balls(landscape(480, 320)))
    yield "cmyk-in.jpg", encoded(plates(four), "JPEG", quality=80)
    yield "cmyk-out.webp", rendition(encoded(four, "JPEG", quality=92))

    hole = transparent_png(240, 160)
    yield "alpha-in.png", hole
    yield "alpha-out.webp", rendition(hole)
    yield "alpha-out.jpg", rendition(hole, RenditionSetting("small", 240, 240, formats=("jpeg",)))

    moving = animated_gif(120, 80, frames=4)
    yield "animation-in.gif", moving
    yield "animation-out.webp", rendition(moving)
    yield "animation-moving-out.webp", rendition(moving, replace(SMALL, animated=True))

    aside = encoded(ball_aside(landscape(480, 200)), "JPEG", quality=90)
    square = RenditionSetting("thumb", 120, 120, "cover")
    yield "crop-in.jpg", bare(aside)
    yield "crop-center-out.webp", rendition(aside, square)
    yield "crop-attention-out.webp", rendition(aside, replace(square, crop="attention"))
    yield "crop-focus-out.webp", rendition(aside, square, focus=(0.1, 0.5))

    with tempfile.TemporaryDirectory() as folder, patch.object(watermark, "FOLDER", Path(folder)):
        logo().save(watermark.FOLDER / "logo.png")
        scene = encoded(landscape(480, 320), "JPEG", quality=90)
        yield "watermark-in.jpg", bare(scene)
        yield "watermark-out.webp", rendition(scene, replace(SMALL, watermark=Watermark("logo.png", opacity=0.7)))

    tiny = encoded(landscape(24, 16), "PNG")
    yield "tiny-in.png", tiny
    yield "tiny-out.webp", rendition(tiny)

    wide = encoded(landscape(1600, 200), "JPEG", quality=90)
    yield "panorama-in.jpg", bare(wide, 400)
    yield "panorama-out.webp", rendition(wide)
    yield "panorama-thumb-out.webp", rendition(wide, RenditionSetting("thumb", 100, 100, "cover"))


def rendition(data: bytes, setting: RenditionSetting = SMALL, focus: tuple[float, float] | None = None) -> bytes:
    """As Validate plans it and Resize makes it."""
    facts = examine(data, LIMITS)
    [planned] = plan(facts.width, facts.height, [setting], moves=facts.metadata["animated"])
    target = Target.of({**asdict(planned), "quality": 80, "background": BACKGROUND})
    return render(data, replace(target, focus=focus)).data


def bare(data: bytes, longest: int = 240) -> bytes:
    with Image.open(BytesIO(data)) as picture:
        shown = picture.convert("RGB")
    shown.thumbnail((longest, longest))
    shown.info = {}
    return encoded(shown, "JPEG", quality=85)


def hdr(picture: Image.Image) -> bytes:
    """The same in PQ: 203 cd/m2 where it is white, and what is nearly as bright up to 1,000."""
    lights = [code_points.pq(signal / 255) for signal in range(256)]
    seen = [code_points.srgb(value / 255) for value in range(256)]
    signals = [bisect(lights, 203 * light + 797 * light**6) - 1 for light in seen]
    return with_chunk(encoded(picture.point(signals * 3), "PNG"), b"cICP", bytes([1, 16, 0, 1]))


def logo() -> Image.Image:
    """Two rings."""
    mark = Image.new("RGBA", (96, 48))
    for left in (4, 44):
        ImageDraw.Draw(mark).ellipse((left, 4, left + 40, 44), outline="white", width=7)
    return mark


def ball_aside(picture: Image.Image) -> Image.Image:
    """A red ball near the right end, where the middle has only hills."""
    x, y, radius = picture.width * 5 // 6, picture.height // 2, picture.height // 5
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill="#c8321e")
    return picture


def balls(picture: Image.Image) -> Image.Image:
    """In colours near the edge of what a screen can show."""
    draw = ImageDraw.Draw(picture)
    side = picture.height // 4
    for number, colour in enumerate([(230, 30, 40), (250, 130, 0), (20, 200, 60), (20, 60, 230)]):
        left, top = side // 2 + number * side * 3 // 2, picture.height * 5 // 8
        draw.ellipse((left, top, left + side, top + side), fill=colour)
    return picture


def inks(picture: Image.Image) -> Image.Image:
    """CMYK for a press: to each of 9x9x9 colours the mixture of inks that it prints as, or nearly."""
    mixtures = list(itertools.product(range(0, 256, 15), range(0, 256, 15), range(0, 256, 15), (0, 120)))
    row = Image.frombytes("CMYK", (len(mixtures), 1), bytes(itertools.chain.from_iterable(mixtures)))
    printed = list(zip(*[iter(to_srgb(row, None)[0].tobytes())] * 3, strict=True))

    def nearest(*colour: float) -> tuple[float, ...]:
        wanted = [value * 255 for value in colour]
        best = min(
            range(len(printed)), key=lambda at: math.dist(printed[at], wanted) - (mixtures[at][3] > 0) * PREFERS_BLACK
        )
        return tuple(ink / 255 for ink in mixtures[best])

    table = ImageFilter.Color3DLUT.generate(9, nearest, channels=4, target_mode="RGBA")
    return Image.frombytes("CMYK", picture.size, picture.filter(table).tobytes())


def plates(four: Image.Image) -> Image.Image:
    """The four inks one by one, as a press gets them."""
    side = four.width // 4, four.height // 4
    sheet = Image.new("RGB", (side[0] * 2, side[1] * 2))
    for number, (plate, tint) in enumerate(zip(four.split(), TINTS, strict=True)):
        printed = Image.new("RGB", side, "white")
        printed.paste(tint, mask=plate.resize(side))
        sheet.paste(printed, (number % 2 * side[0], number // 2 * side[1]))
    return sheet


if __name__ == "__main__":
    for name, content in pictures():
        (Path(sys.argv[1]) / name).write_bytes(content)
