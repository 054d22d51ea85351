"""The three that make the same rendition of the same bytes, each on one thread. Pillow and libvips encode with the same
effort, ours with less for a large WebP or AVIF."""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any

from PIL import Image, ImageOps

from functions.imaging import Target, render

os.environ["VIPS_CONCURRENCY"] = "1"  # libvips reads it when it is loaded

import pyvips

pyvips.cache_set_max(0)  # it would remember the first round's pictures

# libvips' `effort` 3 is libavif's `speed` 6: both end as libaom's cpu-used (heifsave: 9 - effort).
_PILLOW: dict[str, dict[str, Any]] = {
    "webp": {"method": 4},
    "jpeg": {"progressive": True, "optimize": True},
    "avif": {"speed": 6},
}


def ours(data: bytes, target: Target) -> bytes:
    return render(data, target).data


def pillow(data: bytes, target: Target) -> bytes:
    """As most programs do it: every pixel decoded, `thumbnail`, `save`; colours as they are stored."""
    picture = ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")
    if target.fit == "cover":
        picture = ImageOps.fit(picture, (target.width, target.height))
    else:
        picture.thumbnail((target.width, target.height))
    file = BytesIO()
    picture.save(file, target.format, quality=target.quality, icc_profile=None, exif=b"", **_PILLOW[target.format])
    return file.getvalue()


def libvips(data: bytes, target: Target) -> bytes:
    how: dict[str, Any] = {"height": target.height, "size": "down"}
    if target.fit == "cover":
        how["crop"] = "centre"
    if Image.open(BytesIO(data)).info.get("icc_profile"):
        how["export_profile"] = "srgb"
    picture = pyvips.Image.thumbnail_buffer(data, target.width, **how)
    written: bytes = {
        "webp": lambda: picture.webpsave_buffer(Q=target.quality, effort=4, keep="none"),
        "jpeg": lambda: picture.jpegsave_buffer(Q=target.quality, interlace=True, optimize_coding=True, keep="none"),
        "avif": lambda: picture.heifsave_buffer(Q=target.quality, compression="av1", effort=3, keep="none"),
    }[target.format]()
    return written


CONTENDERS = (ours, pillow, libvips)
