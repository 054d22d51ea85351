"""Says by its content what a picture is and opens it with the one decoder for that: Validate and Resize begin here."""

from __future__ import annotations

import importlib
import re
from io import BytesIO
from math import prod
from typing import Any, cast

from PIL import Image, ImageChops, ImageFile

from functions.imaging import gif, jpeg, png, tags, webp
from functions.imaging.color import differs

# Pillow's limit is one for the whole process; ours comes with each call (Limits) and is checked before decoding.
Image.MAX_IMAGE_PIXELS = None

# Blocks of 16 MB that Pillow keeps for its next image, as its setting PILLOW_BLOCKS_MAX says, which is 0. New memory
# comes page by page, and at 12 MP that is 3 % of all CPU. https://pillow.readthedocs.io/en/stable/reference/block_allocator.html
Image.core.set_blocks_max(8)  # type: ignore[attr-defined]

# Constructing the class, instead of asking Image.open, keeps every other decoder of Pillow out of reach, and
# importing it only when needed keeps it out of the cold start.
_DECODERS = {
    "jpeg": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "png": ("PIL.PngImagePlugin", "PngImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "tiff": ("functions.imaging.tiff", "Tiff"),
    "bmp": ("functions.imaging.bmp", "Bmp"),
    "avif": ("functions.imaging.avif", "Avif"),
    "heic": ("pillow_heif", "HeifImageFile"),
    "jxl": ("functions.imaging.jxl", "Jxl"),
}

# Those whose decoders are in the layer only where the setting of that name is on, and what people call them.
OPTIONAL = {"heic": "HEIC", "jxl": "JPEG XL"}

_SIGNATURES = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
    b"BM": "bmp",
    b"\xff\x0a": "jxl",
    b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",
}

# The brands that carry HEVC pictures: ISO/IEC 23008-12, annex B; https://mp4ra.org/registered-types/brands
_BRANDS = {b"avif": "avif", b"avis": "avif"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"), "heic")

MOVING = {"gif", "png", "webp", "avif"}  # the formats whose frames follow each other in time

TRANSPARENT_OF_16_BITS = "transparent, of 16 bits"  # in a picture's `info`, beside Pillow's own names


def recognise(data: bytes) -> str | None:
    """The format, or None for what is none of ours. An optional one is recognised whether or not it can be decoded."""
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _brand(data)
    return None


def _brand(data: bytes) -> str | None:
    """AVIF and HEIC share their container; the major brand decides, then the compatible ones behind it."""
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, length, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def guarded(data: bytes, name: str, max_pixels: int) -> bytes:
    """What Validate decodes in place of the file, so that the decoder notices missing pixels. Resize takes the file.

    Raises ValueError where scans are missing, and for so many pieces that a decoder would take minutes or gigabytes;
    Rejected for scans that would take too long.
    """
    if name != "jpeg":
        return data
    light = jpeg.open_ended(data, max_pixels)
    if light is not data or jpeg.frame(data)[0] == jpeg.LOSSLESS:
        return light
    return jpeg.closed(data) if _is_whole_without_its_end_mark(data) else data


def _is_whole_without_its_end_mark(data: bytes) -> bool:
    """Whether libjpeg, with all scans read, takes in whatever follows, in search of the end mark that it lacks.

    In a scan that is cut short it takes padding for pixels, and leaves over what makes no whole block. By chance that
    is nothing: with all three paddings in 4 of 2,500 cuts through last scans, with restarts in 40 of 1,400.
    """
    return all(_left_over(data + padding) == "0" for padding in (bytes(8), bytes(9), b"\xff\0" * 8))


def _left_over(data: bytes) -> str:
    """The number of bytes, as Pillow's message says it; empty if it ends otherwise."""
    picture = open_picture(data, "jpeg")
    shrink(picture, 8)
    try:
        picture.load()
    except OSError as fault:
        said = re.fullmatch(r"image file is truncated \((\d+) bytes not processed\)", str(fault))
        return said[1] if said else ""
    return ""


def declared_size(data: bytes, name: str) -> tuple[int, int] | None:
    """The size that the header says, for the limit: of AVIF, HEIC, WebP and GIF, whose decoders refuse a large picture
    or make room for it before they tell its size, and of JPEG, which `guarded` may decode. None for the others.

    Raises ValueError where a GIF has so many pieces that the decoder would take seconds and gigabytes."""
    if name in ("avif", "heic"):
        from functions.imaging import isobmff  # 4 ms that only these two formats pay

        isobmff.check(data)
        return isobmff.size(isobmff.properties(data))
    if name == "jpeg":
        return jpeg.frame(data)[1]
    if name == "gif":
        return gif.frames(data)[1]
    return webp.canvas(data) if name == "webp" else None


def open_picture(data: bytes, name: str) -> ImageFile.ImageFile:
    """Read the header; no pixel is decoded yet. Raises whatever the decoder raises."""
    module, decoder = _DECODERS[name]
    parts = png.apart(data) if name == "png" else None
    said = dict[str, Any]()
    if name == "jpeg":
        data, said = jpeg.apart(data)
    opened = getattr(importlib.import_module(module), decoder)
    try:
        picture = opened(BytesIO(parts.pixels if parts else data))
    except OSError:
        if name != "webp":
            raise
        picture = opened(BytesIO(webp.mended(data)))
    if name == "jpeg":  # libjpeg gets the file in one piece: with 64 KiB pieces it starts rows twice
        picture.decodermaxblock = len(data)
        picture.info |= said
    if parts:
        _add_what_stands_beside_the_pixels(picture, parts)
    elif name in ("avif", "heic") and "icc_profile" not in picture.info:
        from functions.imaging import isobmff

        picture.info["icc_profile"] = named_profile(isobmff.code_points(isobmff.properties(data)), None)
    return cast(ImageFile.ImageFile, picture)


def _add_what_stands_beside_the_pixels(picture: Image.Image, parts: png.Parts) -> None:
    """Pillow gives grey of 1, 2 and 4 bits with 8, and of colours with 16 the upper 8: `load` compares the others."""
    picture.info["icc_profile"] = named_profile(parts.code_points, parts.profile)
    picture.info |= {"exif": parts.exif, "xmp": parts.xmp}
    picture.n_frames = parts.frames  # type: ignore[attr-defined]
    picture.bits = 8 if picture.mode == "P" else parts.depth  # type: ignore[attr-defined]
    if len(parts.transparent) == 1:
        picture.info["transparency"] = parts.transparent[0] * {1: 255, 2: 85, 4: 17}.get(parts.depth, 1)
    elif parts.transparent:
        picture.info["transparency" if parts.depth == 8 else TRANSPARENT_OF_16_BITS] = parts.transparent


def named_profile(points: bytes, embedded: bytes | None) -> bytes | None:
    """The profile that the numbers stand for, none if they are sRGB's; where they are not known, the embedded one."""
    if len(points) < 2:
        return embedded
    from functions.imaging import code_points  # which few pictures pay for

    try:
        return code_points.profile(points[0], points[1])
    except LookupError:
        return embedded


def shrink(picture: ImageFile.ImageFile, part: int, *, as_stored: bool = False) -> int:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8: all of its entropy code is read, but only that many pixels are made.

    Returns by how much it will be: a lossless JPEG, and any other format, cannot. as_stored: where brightness and
    colours are stored apart, they stay so, as YCbCr.
    """
    if picture.format != "JPEG" or _is_lossless(picture):
        return 1
    mode = "YCbCr" if as_stored and _is_ycc(picture) else None
    picture.draft(mode, (max(1, picture.width // part), max(1, picture.height // part)))
    return cast(int, picture.decoderconfig[0])  # of a picture of 3 rows it can make 2, but not 1/8


def _is_ycc(picture: ImageFile.ImageFile) -> bool:
    """Whether libjpeg takes a JPEG's components for Y, Cb and Cr, by the rules of its default_decompress_parms()."""
    components: list[tuple[int, ...]] = getattr(picture, "layer", [])
    if len(components) != 3 or _is_lossless(picture):
        return False
    if "jfif" in picture.info:
        return True
    if "adobe_transform" in picture.info:
        return bool(picture.info["adobe_transform"] == 1)
    return [component[0] for component in components] == [1, 2, 3]


def _is_lossless(picture: ImageFile.ImageFile) -> bool:
    return jpeg.frame(_bytes(picture))[0] == jpeg.LOSSLESS


def _bytes(picture: ImageFile.ImageFile) -> bytes:
    return cast(BytesIO, picture.fp).getvalue()  # no copy: BytesIO shares the bytes it was made from


def load(picture: ImageFile.ImageFile) -> Image.Image:
    """Decode every pixel of the first frame."""
    if TRANSPARENT_OF_16_BITS in picture.info:
        return _with_a_transparent_colour_of_16_bits(picture)
    if picture.format != "WEBP":
        picture.load()
        # Pillow takes every CMYK JPEG for one of Adobe's, whose inks are stored inverted.
        inverted = picture.format == "JPEG" and picture.mode == "CMYK" and "adobe" not in picture.info
        return ImageChops.invert(picture) if inverted else picture
    # Pillow's load() holds libwebp's two canvases, the frame's bytes and the picture at once: 16 bytes a pixel,
    # 1.6 GB at 100 MP. Taking the bytes, letting go of the canvases and using the bytes as the picture: 12.
    is_animation = webp.is_animation(_bytes(picture))
    picture.fp = None  # libwebp has a copy
    pixels, _, _ = picture._get_next()  # type: ignore[attr-defined]
    picture._decoder = None  # type: ignore[attr-defined]
    decoded = of_webp(picture, pixels, is_animation=is_animation)
    decoded.info = picture.info
    return decoded


def of_webp(picture: Any, pixels: bytes, *, is_animation: bool) -> Image.Image:
    """A frame, RGBA or RGBX, of what its decoder gave.

    libwebp leaves out what is transparent of a frame, and then may not say in the file that the whole has alpha. Pillow
    goes by that, and what no frame covers would be black; browsers and libvips show nothing there.
    """
    seen = Image.frombuffer("RGBA", picture.size, pixels, "raw", "RGBA", 0, 1)
    if picture.rawmode == "RGBA" or (is_animation and seen.getchannel("A").getextrema()[0] < 255):  # type: ignore[operator]
        return seen
    return Image.frombuffer("RGBX", picture.size, pixels, "raw", "RGBX", 0, 1)


def _with_a_transparent_colour_of_16_bits(picture: ImageFile.ImageFile) -> Image.Image:
    """Pillow gives the upper 8 bits of each sample; the lower 8 as well, if they are asked for as the upper ones."""
    colour = picture.info[TRANSPARENT_OF_16_BITS]
    lower = type(picture)(BytesIO(_bytes(picture)))
    lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]
    opaque = differs(lower, [value & 255 for value in colour])
    del lower  # 4 bytes a pixel
    picture.load()
    picture.putalpha(ImageChops.lighter(opaque, differs(picture, [value >> 8 for value in colour])))
    return picture


def orientation(picture: ImageFile.ImageFile) -> int:
    """EXIF orientation, 1 to 8; anything else counts as 1."""
    if picture.format in ("AVIF", "JXL"):
        return picture.orientation  # type: ignore[attr-defined,no-any-return]
    value = _tags(picture, {tags.ORIENTATION}).get(tags.ORIENTATION)
    return value if value in range(1, 9) else 1  # type: ignore[return-value]


def metadata(data: bytes, picture: ImageFile.ImageFile) -> dict[str, Any]:
    """As `functions.imaging.metadata` reads it, of any format that has a place for EXIF or XMP."""
    exif, xmp = picture.info.get("exif") or b"", picture.info.get("xmp") or b""
    if picture.format == "TIFF":
        exif, xmp = data, tags.first_directory(data, {tags.XMP}).get(tags.XMP, b"")
    elif picture.format == "GIF":
        xmp = gif.xmp(data)
    if not (exif or xmp):
        return {}
    from functions.imaging.metadata import metadata as read  # which a picture without either need not pay for

    return read(exif, xmp if isinstance(xmp, bytes) else b"")


def bits(picture: ImageFile.ImageFile) -> int:
    """Of a channel, as it is stored; of what a palette stands for. pillow-heif says it in its own way."""
    return cast(int, getattr(picture, "bits", None) or picture.info.get("bit_depth", 8))


def copyright_tags(picture: Image.Image) -> tags.Tags:
    return _tags(picture, {tags.ARTIST, tags.COPYRIGHT})


def _tags(picture: Image.Image, wanted: set[int]) -> tags.Tags:
    if picture.format == "TIFF":
        held: tags.Tags = picture.tags  # type: ignore[attr-defined]
        return {tag: held[tag] for tag in wanted & held.keys()}
    return tags.first_directory(picture.info.get("exif") or b"", wanted)


def frames(data: bytes, name: str, picture: ImageFile.ImageFile) -> tuple[int, tuple[int, int]]:
    """How many frames, pages or pictures a file has, and the largest one's size, without decoding any of them."""
    if name == "gif":
        count, largest = gif.frames(data)
    elif name == "tiff":
        from functions.imaging import strips  # which TIFF alone pays for

        count, largest = strips.pages(data)
    elif name == "jpeg":
        sizes = [picture.size, *jpeg.appended(data, picture.info)]
        count, largest = len(sizes), max(sizes, key=prod)
    elif name == "avif":
        count, largest = picture.n_frames, picture.largest_frame  # type: ignore[attr-defined]
    else:
        count, largest = getattr(picture, "n_frames", 1), picture.size
    return max(1, count), max(picture.size, largest, key=prod)


def check_cost(data: bytes, name: str, picture: ImageFile.ImageFile, max_pixels: int) -> None:
    """Raises Rejected for what would take a decoder much longer, or more memory, than its pixels should."""
    if name == "png":
        twice = TRANSPARENT_OF_16_BITS in picture.info
        png.check(str(picture.tile[0].args), picture.width * picture.height, max_pixels, twice=twice)
    elif name == "tiff":
        from functions.imaging import strips

        strips.check(data, max_pixels)
    elif name in ("avif", "jxl"):
        picture.check(max_pixels)  # type: ignore[attr-defined]
