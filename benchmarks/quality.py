"""What a rendition ought to look like: a full-size decode, resized with Lanczos."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageCms, ImageOps

from functions.imaging import Target


def full(data: bytes) -> Image.Image:
    """Every pixel, upright and in sRGB, by other means than ours."""
    picture = Image.open(BytesIO(data))
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture).convert("RGB")
    if not profile:
        return upright
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(
        upright, BytesIO(profile), srgb, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
    )
    assert converted is not None
    return converted


def reference(picture: Image.Image, target: Target) -> Image.Image:
    size = target.width, target.height
    if target.fit == "cover":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    return picture.resize(size, Image.Resampling.LANCZOS)
