"""Brings decoded pixels to sRGB: what every rendition, placeholder and dominant colour is made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache, reduce
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageChops

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

# ICC.1:2022, 7.3: behind the header their number, then 12 bytes for each, which begin with its name.
_TAGS, _MAX_TAGS = 128, 100  # LittleCMS reads no more

# The first four bytes of each are what an ICC header (ICC.1:2022, 7.2.8) says the profile is about.
_SPACE = slice(16, 20)
_MODES = {b"RGB ": {"RGB", "RGBA", "RGBX", "YCbCr", "L", "LA"}, b"GRAY": {"L", "LA"}, b"CMYK": {"CMYK"}}


def straight(picture: Image.Image) -> Image.Image:
    """The same pixels with 8 bits a channel and transparency as a channel, so that they can be scaled.

    Result modes: L, LA, RGB, RGBA, RGBX, CMYK, YCbCr, LAB.
    """
    mode = picture.mode
    if mode == "1":
        return picture.convert("LA" if "transparency" in picture.info else "L")
    if mode.startswith("I;16"):
        return _from_16_bits(picture)
    if mode in ("P", "PA"):
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if mode in ("L", "RGB") and "transparency" in picture.info:
        return picture.convert("LA" if mode == "L" else "RGBA")
    return picture.convert("LA") if mode == "La" else picture  # TIFF alone brings that: grey multiplied by its alpha


def _from_16_bits(picture: Image.Image) -> Image.Image:
    wide = picture if picture.mode == "I;16" else picture.convert("I")
    grey = wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")  # 65535 / 257 = 255; convert alone would clip
    if "transparency" in picture.info:
        return Image.merge("LA", (grey, _differs_from(picture.info["transparency"], picture.convert("I"))))
    return grey


def _differs_from(value: int, wide: Image.Image) -> Image.Image:
    """255 wherever a pixel is not that value: there is more of it, or less. Pillow compares only 8 of the 16 bits."""
    more = wide.point(lambda pixel: pixel * 1 - value).convert("L")
    less = wide.point(lambda pixel: pixel * -1 + value).convert("L")
    return ImageChops.add(more, less).point(lambda pixel: 255 if pixel else 0)


def differs(picture: Image.Image, colour: Sequence[int]) -> Image.Image:
    """255 wherever a pixel is not of that colour, else 0."""
    bands = (
        picture.getchannel(number).point([255] * value + [0] + [255] * (255 - value))
        for number, value in enumerate(colour)
    )
    return reduce(ImageChops.lighter, bands)  # one at a time: at 100 megapixels each takes 100 MB


def to_srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """L, LA, RGB, RGBA or YCbCr in sRGB, and a note where the profile was broken or of another kind: ignored."""
    if not profile:
        return _plain(picture), None
    if profile[_SPACE] == b"GRAY" and picture.mode == "RGBA" and _is_grey(picture):
        picture = picture.convert("LA")  # Pillow gives a PNG of 16-bit grey with alpha as RGBA
    if picture.mode not in _MODES.get(profile[_SPACE], ()):
        return _plain(picture), "ICC profile ignored: it does not describe this kind of picture"
    from PIL import ImageCms  # only pictures with a profile pay for the import of LittleCMS

    try:
        return _converted(picture, profile), None
    except (ImageCms.PyCMSError, OSError, ValueError):
        return _plain(picture), "ICC profile ignored: it is broken"


def _converted(picture: Image.Image, profile: bytes) -> Image.Image:
    if profile[_SPACE] == b"RGB ":
        if _changes_nothing(_to_srgb_from(profile, "RGB")):
            return _plain(picture)
        picture = picture.convert("RGBA" if picture.mode in ("LA", "RGBA") else "RGB")
    colours = picture.convert(picture.mode[:-1]) if picture.mode in ("LA", "RGBA") else picture
    converted: Image.Image = _to_srgb_from(profile, colours.mode).apply(colours)
    if colours is not picture:
        converted.putalpha(picture.getchannel("A"))
    return converted


def described(profile: bytes | None) -> str | None:
    """What a profile calls itself, such as `Display P3`; None for none and for a broken one."""
    if not profile:
        return None
    from PIL import ImageCms

    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(_without_elements(profile))))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@lru_cache(maxsize=8)  # one camera, one profile: the next picture in a warm function has the same
def _to_srgb_from(profile: bytes, mode: str) -> ImageCmsTransform:
    """Relative colorimetric, as libvips does: what sRGB can show stays exactly as it is."""
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(BytesIO(_without_elements(profile)))
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


def _without_elements(profile: bytes) -> bytes:
    """The same without its tables of processing elements (D2B0 to D2B3), which few programs read, and for which each
    profile has others in their place. They may be a million, of 8 bytes each, and LittleCMS takes 7 ms for one."""
    count = min(int.from_bytes(profile[_TAGS : _TAGS + 4], "big"), _MAX_TAGS)
    named = bytearray(profile)
    for at in range(_TAGS + 4, _TAGS + 4 + 12 * count, 12):
        if named[at : at + 3] == b"D2B":
            named[at : at + 4] = b"none"
    return bytes(named)


@cache
def _srgb_of_lab() -> ImageCmsTransform:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


def _changes_nothing(transform: ImageCmsTransform) -> bool:
    """Most profiles are sRGB under one of its many names: those that move no colour by more than 1 of 255."""
    moved = ImageChops.difference(_every_17th_colour(), transform.apply(_every_17th_colour()))
    return all(high <= 1 for _, high in moved.getextrema())  # type: ignore[misc]


@cache
def _every_17th_colour() -> Image.Image:
    steps = range(0, 256, 17)  # 0, 17 … 255: 16 of each channel, and 16**3 = 64**2
    return Image.frombytes("RGB", (64, 64), bytes(v for r in steps for g in steps for b in steps for v in (r, g, b)))


def _is_grey(picture: Image.Image) -> bool:
    red, green, blue, _ = picture.split()
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox())


def _plain(picture: Image.Image) -> Image.Image:
    """Without a profile: CMYK as an offset press prints it, L*a*b* as it is defined, the rest as sRGB."""
    if picture.mode == "CMYK":
        return _converted(picture, press_profile())
    if picture.mode == "LAB":
        return _srgb_of_lab().apply(picture)
    return picture if picture.mode in ("L", "LA", "RGB", "RGBA", "YCbCr") else picture.convert("RGB")


@cache
def press_profile() -> bytes:
    """Inks on coated paper, which libvips assumes. Its origin: docs/decisions/0017."""
    return (Path(__file__).parent / "profiles" / "press.icc").read_bytes()
