"""Pictures drawn in code, to send on the way: what the demo uploads and the tests examine."""

import io
import random
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

Transpose = Image.Transpose

# How an upright picture is stored so that the EXIF orientation of that number turns it upright again.
STORED = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
ORIENTATION = 0x0112


def landscape(width: int, height: int, text: str = "") -> Image.Image:
    """A sky with a sun over hills, some grain, and a text that only reads the right way round upright."""
    dice = random.Random(width * height)
    picture = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", [picture.point(lambda v, c=c: c + v * (255 - c) // 400) for c in (90, 150, 230)])
    draw = ImageDraw.Draw(picture)
    radius = max(2, min(width, height) // 9)
    left, top = width * 3 // 4, height // 4
    draw.ellipse((left - radius, top - radius, left + radius, top + radius), fill=(255, 214, 102))
    for depth, colour in enumerate([(88, 129, 87), (58, 90, 64), (52, 78, 65)]):
        line = height * (60 + 13 * depth) // 100
        points = [
            (x, line - dice.randint(0, max(1, height // 8))) for x in range(0, width + width // 6, max(1, width // 6))
        ]
        draw.polygon([(0, height), *points, (width, height)], fill=colour)
    if text:
        draw.text(
            (width // 12, height // 12),
            text,
            fill="white",
            font=ImageFont.load_default(max(10, min(height // 7, width // 9))),
        )
    grain = Image.frombytes("L", (width, height), dice.randbytes(width * height)).filter(ImageFilter.GaussianBlur(0.6))
    return Image.blend(picture, Image.merge("RGB", [grain] * 3), 0.04)


def photo(width: int, height: int, orientation: int = 1, format_name: str = "JPEG") -> bytes:
    """The landscape as a camera stores it: `width` and `height` are those of the stored rows and columns."""
    turned = orientation >= 5
    upright = landscape(*((height, width) if turned else (width, height)), text=f"orientation {orientation}")
    turn = STORED[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(upright if turn is None else upright.transpose(turn), format_name, exif=exif, quality=90)


def transparent_png(width: int = 640, height: int = 480) -> bytes:
    """The landscape seen through a soft round hole."""
    hole = Image.new("L", (width, height))
    ImageDraw.Draw(hole).ellipse((width // 8, height // 8, width * 7 // 8, height * 7 // 8), fill=255)
    picture = landscape(width, height)
    picture.putalpha(hole.filter(ImageFilter.GaussianBlur(max(1, width // 60))))
    return encoded(picture, "PNG")


def cmyk_jpeg(width: int = 640, height: int = 480) -> bytes:
    """The landscape in the four inks of print."""
    return encoded(landscape(width, height, "CMYK").convert("CMYK"), "JPEG", quality=90)


def animated_gif(width: int = 320, height: int = 240, frames: int = 6) -> bytes:
    drawn = [landscape(width, height, f"frame {number + 1}").quantize(64) for number in range(frames)]
    return encoded(drawn[0], "GIF", save_all=True, append_images=drawn[1:], duration=120, loop=0)


def corrupt_jpeg(width: int = 640, height: int = 480) -> bytes:
    """A photo whose transfer broke off after two thirds."""
    whole = photo(width, height)
    return whole[: len(whole) * 2 // 3]


def draw(folder: Path) -> list[Path]:
    """Write the demo's pictures into a folder."""
    pictures = {
        "photo.jpg": photo(4000, 3000),  # 12 megapixels, as of a telephone
        **{f"orientation-{number}.jpg": photo(1200, 800, number) for number in range(1, 9)},
        "transparent.png": transparent_png(),
        "cmyk.jpg": cmyk_jpeg(),
        "animated.gif": animated_gif(),
        "corrupt.jpg": corrupt_jpeg(),
        "words.jpg": b"This is a text file, whatever its name says.\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in pictures]


def encoded(picture: Image.Image, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_name, **options)
    return file.getvalue()


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """With one more chunk, behind the header of 33 bytes."""
    said = name + body
    return png[:33] + struct.pack(">I", len(body)) + said + struct.pack(">I", zlib.crc32(said)) + png[33:]
