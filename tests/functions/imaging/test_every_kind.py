"""Every kind of picture that a test can write, rendered at full size and compared with what was drawn.

A kind is a file, the pixels that a person sees of it (RGBA, upright) and by how much of 255 they may be off. To add
some, write a function that yields kinds, and name it in KINDS.
"""

import io
import struct
import zlib
from base64 import b64decode
from dataclasses import dataclass

import pytest
from PIL import Image

from darkroom.local.pictures import ORIENTATION, STORED, encoded
from functions.imaging import Limits, Target, examine, render

WIDTH, HEIGHT = 24, 16
LIMITS = Limits(10**6, 10**6)


@dataclass
class Kind:
    name: str
    data: bytes
    drawn: Image.Image
    off: int = 0


def stored(picture, orientation):
    """As a camera held that way stores it."""
    turn = STORED.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def exif(orientation):
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block


def drawing(bands):
    """Ramps to the right, down and to the left, and for alpha four steps: smooth, and no turn leaves it as it is."""
    ramps = [
        grid(lambda x, _: x * 10 + 5),
        grid(lambda _, y: y * 15 + 10),
        grid(lambda x, y: 240 - x * 8 - y * 2),
        grid(lambda x, _: (0, 90, 180, 255)[x // 6]),
    ]
    return [Image.frombytes("L", (WIDTH, HEIGHT), ramps[number]) for number in bands]


def grid(value):
    return bytes(value(x, y) for y in range(HEIGHT) for x in range(WIDTH))


def colours():
    return Image.merge("RGB", drawing((0, 1, 2)))


def see_through():
    return Image.merge("RGBA", drawing((0, 1, 2, 3)))


# PNG of every colour type and depth, put together by hand: Pillow writes only some of them

PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(pixels, depth, kind, *before, interlaced=False):
    """`pixels`: rows of tuples of samples. Before the pixels come chunks."""
    height, width = len(pixels), len(pixels[0])
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    rows = b""
    for left, top, across, down in passes:
        for row in pixels[top::down]:
            samples = [sample for pixel in row[left::across] for sample in pixel]
            rows += b"\0" + packed(samples, depth) if samples else b""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def packed(samples, depth):
    bits = "".join(f"{sample:0{depth}b}" for sample in samples)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def samples_of(kind, depth):
    """All sorts, one of which differs from the one in column 3, row 2, only in the last bit of its last sample."""
    most = (1 << depth) - 1
    pixels = [
        [
            tuple((x * 2741 * (number + 1) + y * 5003) % (most + 1) for number in range(SAMPLES[kind]))
            for x in range(WIDTH)
        ]
        for y in range(HEIGHT)
    ]
    *others, last = pixels[2][3]
    pixels[5][7] = (*others, last ^ 1)
    return pixels


def palette():
    return [((37 * index) % 256, (91 * index + 20) % 256, 255 - index) for index in range(256)]


def seen(pixel, depth, kind, transparent, alphas):
    """RGBA of 8 bits, as the PNG specification says (13.12: upper bits repeated below; 11.3.1.1)."""
    if kind == 3:
        return (*palette()[pixel[0]], alphas[pixel[0]] if pixel[0] < len(alphas) else 255)
    most = (1 << depth) - 1
    values = [round(sample * 255 / most) for sample in pixel]
    if kind in (0, 4):
        values[:1] = values[:1] * 3
    if kind in (0, 2):
        values.append(0 if pixel == transparent else 255)
    return tuple(values)


def pngs():
    for kind, depths in PNG_DEPTHS.items():
        for depth in depths:
            pixels = samples_of(kind, depth)
            for how, before, transparent, alphas in transparencies(kind, depth, pixels):
                for interlaced in (False, True):
                    extra = [(b"PLTE", b"".join(map(bytes, palette()[: 1 << depth])))] if kind == 3 else []
                    data = png(pixels, depth, kind, *extra, *before, interlaced=interlaced)
                    rgba = bytes(
                        value
                        for row in pixels
                        for pixel in row
                        for value in seen(pixel, depth, kind, transparent, alphas)
                    )
                    drawn = Image.frombytes("RGBA", (WIDTH, HEIGHT), rgba)
                    name = f"png of type {kind}, {depth} bits{how}{', interlaced' * interlaced}"
                    yield Kind(name, data, drawn, 1 if depth == 16 else 0)


def transparencies(kind, depth, pixels):
    """How it is named, its chunk, the colour that is transparent, or the alphas of a palette."""
    yield "", [], None, b""
    if kind == 3:
        yield ", one colour transparent", [(b"tRNS", b"\xff\0")], None, b"\xff\0"
        yield ", colours half transparent", [(b"tRNS", b"\x40\x80")], None, b"\x40\x80"
    if kind in (0, 2):
        colour = pixels[2][3]
        yield ", one colour transparent", [(b"tRNS", struct.pack(f">{len(colour)}H", *colour))], colour, b""
        if depth < 16:
            stray = struct.pack(f">{len(colour)}H", *(sample | 0xFFFF << depth & 0xFFFF for sample in colour))
            yield ", one colour transparent and stray bits", [(b"tRNS", stray)], colour, b""


# What Pillow writes


def oriented_pngs():
    for orientation in range(1, 9):
        for name, picture in (("RGB", colours()), ("RGBA", see_through()), ("grey", colours().convert("L"))):
            data = encoded(stored(picture, orientation), "PNG", exif=exif(orientation))
            yield Kind(f"png in {name}, orientation {orientation}", data, picture)


JPEGS = {
    "4:4:4": {"subsampling": 0},
    "4:2:0": {"subsampling": 2},
    "in RGB": {"keep_rgb": True},
    "progressive": {"subsampling": 0, "progressive": True},
    "with restarts": {"subsampling": 0, "restart_marker_blocks": 1},
}


def jpegs():
    for orientation in range(1, 9):
        for name, options in JPEGS.items():
            data = encoded(stored(colours(), orientation), "JPEG", quality=98, exif=exif(orientation), **options)
            yield Kind(f"jpeg {name}, orientation {orientation}", data, colours(), 20 if "4:2:0" in name else 5)
        grey = colours().convert("L")
        data = encoded(stored(grey, orientation), "JPEG", quality=98, exif=exif(orientation))
        yield Kind(f"jpeg in grey, orientation {orientation}", data, grey, 3)


def cmyk_jpegs():
    """Two inks side by side, and what libvips 8.18 makes of them (see test_render)."""
    inks, printed = Image.new("CMYK", (WIDTH, HEIGHT), (255, 0, 0, 0)), Image.new("RGB", (WIDTH, HEIGHT), (0, 156, 228))
    inks.paste((0, 0, 0, 255), (WIDTH // 2 - 8, 0, WIDTH // 2 + 4, HEIGHT))
    printed.paste((41, 35, 43), (WIDTH // 2 - 8, 0, WIDTH // 2 + 4, HEIGHT))
    for orientation in range(1, 9):
        data = encoded(stored(inks, orientation), "JPEG", quality=100, exif=exif(orientation))
        yield Kind(f"jpeg in CMYK, orientation {orientation}", data, printed, 8)


def gifs():
    palettes = {
        "colours": [(8 * index, 250 - 5 * index, 128) for index in range(32)],
        "grey": [(index,) * 3 for index in range(32)],
    }
    for name, colour in palettes.items():
        indexed = Image.frombytes("P", (WIDTH, HEIGHT), grid(lambda x, y: (x + 2 * y) % 32))
        indexed.putpalette([value for one in colour for value in one])
        for transparent in (None, 7):
            rgba = [(*colour[index], 0 if index == transparent else 255) for index in indexed.tobytes()]
            drawn = Image.frombytes("RGBA", (WIDTH, HEIGHT), bytes(value for pixel in rgba for value in pixel))
            options = {} if transparent is None else {"transparency": transparent}
            for interlaced in (0, 1):
                data = encoded(indexed, "GIF", interlace=interlaced, optimize=False, **options)
                yield Kind(
                    f"gif of {name}{', one transparent' * bool(options)}{', interlaced' * interlaced}", data, drawn
                )


def webps():
    for orientation in range(1, 9):
        for name, picture in (("RGB", colours()), ("RGBA", see_through())):
            turned = stored(picture, orientation)
            data = encoded(turned, "WEBP", lossless=True, exact=True, exif=exif(orientation))
            yield Kind(f"webp in {name}, lossless, orientation {orientation}", data, picture)
        data = encoded(stored(colours(), orientation), "WEBP", quality=98, exif=exif(orientation))
        yield Kind(f"webp, orientation {orientation}", data, colours(), 20)


def avifs():
    """Others, and every kind of TIFF and bitmap, are beside this file: test_avif, test_tiff, test_bmp."""
    for orientation in range(1, 9):
        for name, picture in (("RGB", colours()), ("RGBA", see_through()), ("grey", colours().convert("L"))):
            options = {"quality": 100, "subsampling": "4:4:4", "speed": 10, "exif": exif(orientation)}
            data = encoded(stored(picture, orientation), "AVIF", **options)
            yield Kind(f"avif in {name}, orientation {orientation}", data, picture, 4)


KINDS = {kind.name: kind for kinds in (pngs, oriented_pngs, jpegs, cmyk_jpegs, gifs, webps, avifs) for kind in kinds()}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_shows_what_was_drawn(name):
    kind = KINDS[name]
    facts = examine(kind.data, LIMITS)
    assert (facts.width, facts.height, facts.frames) == (*kind.drawn.size, 1)
    drawn = kind.drawn.convert("RGBA")
    shown = Image.open(io.BytesIO(render(kind.data, Target("png", *drawn.size)).data)).convert("RGBA")
    assert furthest(shown, drawn) <= kind.off
    assert has_alpha(facts.placeholder) == (drawn.getchannel("A").getextrema()[0] < 255)


def furthest(shown, drawn):
    """How far any channel of any pixel is from what was drawn. Where that is transparent only alpha counts."""
    return max(
        max(abs(a - b) for a, b in zip(one, other, strict=True)) if other[3] else one[3]
        for one, other in zip(pixels_of(shown), pixels_of(drawn), strict=True)
    )


def pixels_of(picture):
    raw = picture.tobytes()
    return [raw[at : at + 4] for at in range(0, len(raw), 4)]


def has_alpha(placeholder):
    """Bit 23 of a ThumbHash."""
    return bool(b64decode(placeholder)[2] & 0x80)
