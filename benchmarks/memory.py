"""The peak memory of Validate and Resize, with all they import, on 100 megapixels of each kind that is accepted."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import first_call
from benchmarks.cold_start import ENVIRONMENT, OF_VALIDATE
from benchmarks.photos import SCRATCH, SETTINGS
from benchmarks.process import in_new_process
from benchmarks.report import Figure, begin, show
from functions.imaging import Target

SIDE = 10_000

# Of PNGs with transparency, which have 4 and 8 bytes a pixel, no more is taken.
SIDE_OF_RGBA, SIDE_OF_16_BITS = 8_660, 6_120
SHARE = 0.70

# How each is drawn: the mode of its pixels, and the options of its file.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "grey.jpg": ("L", {}),
    "rgb.jpg": ("RGB", {}),
    "progressive.jpg": ("RGB", {"progressive": True, "subsampling": 0}),
    "cmyk.jpg": ("CMYK", {}),
    "cmyk-progressive.jpg": ("CMYK", {"progressive": True}),
    "bilevel.png": ("1", {}),
    "palette.png": ("P", {"transparency": 3}),
    "grey-16.png": ("I;16", {}),
    "rgb.png": ("RGB", {"compress_level": 1}),
    "rgba.png": ("RGBA", {"compress_level": 1}),
    "palette.gif": ("P", {}),
    "rgb.webp": ("RGB", {"quality": 50, "method": 0}),
    "rgba.webp": ("RGBA", {"quality": 50, "method": 0}),
    "lossless.webp": ("RGBA", {"lossless": True, "quality": 0, "method": 0}),
    "bilevel.bmp": ("1", {}),
    "grey-16.tif": ("I;16", {"compression": "tiff_adobe_deflate"}),
    "float.tif": ("F", {"compression": "tiff_adobe_deflate"}),
    "cmyk.tif": ("CMYK", {"compression": "tiff_adobe_deflate"}),
    "turned.tif": ("RGB", {"compression": "tiff_adobe_deflate", "tiffinfo": {0x0112: 6}}),
    "rgb.avif": ("RGB", {"speed": 10, "quality": 30}),
}


def measure() -> list[Figure]:
    SCRATCH.mkdir(parents=True, exist_ok=True)
    rendition = json.dumps(asdict(Target("webp", 2048, 2048, quality=80)))
    rows = []
    for name in [*KINDS, "rgba-16.png"]:
        file = SCRATCH / name
        if not file.exists():
            begin(f"memory: drawing {name}")
            in_new_process(draw, str(file))
        begin(f"memory: {name}")
        validate = in_new_process(first_call.validate, str(file), environment=OF_VALIDATE)
        resize = in_new_process(first_call.resize, str(file), rendition, environment=ENVIRONMENT)
        rows.append((name, validate.peak, resize.peak))
    show(("100 MP", "Validate MB", "Resize MB"), [(name, f"{v:.0f}", f"{r:.0f}") for name, v, r in rows])
    functions = SETTINGS.functions
    return [
        Figure(
            "Validate's peak MB at 100 MP", max(v for _, v, _ in rows), SHARE * functions.validate_.memory, form=".0f"
        ),
        Figure("Resize's peak MB at 100 MP", max(r for *_, r in rows), SHARE * functions.resize.memory, form=".0f"),
    ]


def draw(path: str) -> None:
    """In a process of its own, which gives the memory back."""
    file = Path(path)
    file.write_bytes(_rgba_16_png() if file.name == "rgba-16.png" else _drawn(*KINDS[file.name], file))


def _drawn(mode: str, options: dict[str, Any], file: Path) -> bytes:
    side = SIDE_OF_RGBA if file.name == "rgba.png" else SIDE
    across = Image.linear_gradient("L").resize((side, side))
    down = across.transpose(Image.Transpose.ROTATE_90)
    channels = (across, down, across, down)
    makers: dict[str, Callable[[], Image.Image]] = {
        "L": lambda: across,
        "1": lambda: across.convert("1"),
        "P": lambda: Image.merge("RGB", channels[:3]).quantize(64),
        "I;16": lambda: across.convert("I").point(lambda value: value * 257 + 0).convert("I;16"),
        "F": lambda: across.convert("F"),
        "RGB": lambda: Image.merge("RGB", channels[:3]),
        "RGBA": lambda: Image.merge("RGBA", channels),
        "CMYK": lambda: Image.merge("CMYK", channels),
    }
    drawn = BytesIO()
    makers[mode]().save(drawn, Image.registered_extensions()[file.suffix], **options)
    return drawn.getvalue()


def _rgba_16_png() -> bytes:
    """Pillow writes none: one row of 4 channels of 16 bits, repeated by the filter `up` (PNG 12.9.2)."""
    side = SIDE_OF_16_BITS
    row = b"".join(struct.pack(">4H", x * 6, 65535 - x * 6, 30000, 20000) for x in range(side))
    again = b"\2" + bytes(len(row))
    packer = zlib.compressobj(1)
    rows: Iterator[bytes] = chain([b"\2" + row], (again for _ in range(side - 1)))
    pixels = b"".join([*(packer.compress(one) for one in rows), packer.flush()])
    head = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
