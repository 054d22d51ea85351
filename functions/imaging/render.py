"""Resize's work: one rendition of a picture, bytes to bytes, decoding and moving as few pixels as it can."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile

from functions.imaging import crop, jpeg, tags
from functions.imaging.color import straight, to_srgb
from functions.imaging.crop import Box, Point, Size
from functions.imaging.formats import (
    MOVING,
    copyright_tags,
    load,
    open_picture,
    orientation,
    recognise,
    shrink,
)
from functions.imaging.plan import CONTENT_TYPES, EXTENSIONS, fit_inside, watermark_of

if TYPE_CHECKING:
    from functions.imaging.watermark import Watermark

# By how much a JPEG decoded at 1/8, 1/4 or 1/2 must still be scaled. Measured against a full decode with Lanczos, 1.8
# keeps an SSIM of 0.998; below it, the decoder's own coarse filter begins to show. Decoding at 1/2 spares so much that
# 0.0015 less is worth a fifth of the CPU, but not where the encoder takes as much again.
LEAST_SCALING_AFTER_SHRINKING, LEAST_SCALING_AFTER_HALVING = 1.8, 1.3

# A lossy rendition keeps half the rows and half the columns of colour. The colours are averaged to that size, or to up
# to 5 % below it: a photo of 12 megapixels is 3.94 times as wide as half of 2048, and 4 takes a quarter less than 3.
COLOURS_AVERAGED_BEYOND = 1.05

# After a full decode, below this, Lanczos costs 1.6 times as much as bicubic for 0.0025 of SSIM: only the largest WebP
# gets it. Above it the picture is first averaged to twice its final size, and Lanczos is cheap.
LEAST_SCALING_FOR_AVERAGING = 4.0

# How many times its final size a picture still has when it has been averaged.
AVERAGED_TO = 2.0

# Rows, after averaging, of a picture with transparency that are worked on at once: they stay in the processor's cache.
STRIP = 64

# Pixels of the shorter side. From the first on, colours are scaled and AVIF is encoded more cheaply; from the second
# on, WebP too, and AVIF once more. A smaller rendition takes little CPU anyway.
LEAST_SIDE_TO_SAVE_ON, LEAST_SIDE_TO_SAVE_MORE_ON = 512, 1024

# How much an encoder tries, at the quality it is given.
_ENCODERS: dict[str, dict[str, Any]] = {
    "webp": {},  # see _effort
    "jpeg": {"progressive": True, "optimize": True},  # 3 to 5 % smaller than baseline
    # libavif's own default speed; 5 takes 4 times as long for 1 % less. One thread, one tile: a function has one CPU.
    "avif": {"speed": 6, "max_threads": 1, "autotiling": False},
    "png": {},
}

# libwebp's `method`; 4 is its own default. 2 chooses how to predict a block by the squared error of the prediction, and
# does not count the bits of what is left: less than half the CPU, 2 % more bytes, 0.002 less SSIM.
_EFFORT, _EFFORT_FOR_THE_LARGEST = 4, 2

# libaom then quantises with trellis what it keeps, and no longer all that it tries: a sixth less CPU, 0.6 % more bytes.
_LARGE_AVIF = {"disable-trellis-quant": "2"}

# Blocks that are not square are then not tried: a fifth less CPU again, 0.4 % more bytes. A smaller one needs them.
_LARGEST_AVIF = {**_LARGE_AVIF, "enable-rect-partitions": "0"}

# EXIF 2.32, 4.6.4: how the stored rows and columns lie; the operation that turns them upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Target:
    """What to make. PNG has no `quality`; `background` is `#rrggbb`, for a format without transparency. `animated`, of
    WebP alone: with all frames. `focus` is the point that a `cover` is to keep, whatever `crop` says."""

    format: str
    width: int
    height: int
    fit: str = "inside"
    crop: str = "center"
    quality: int | None = None
    background: str = "#ffffff"
    keep_copyright: bool = False
    animated: bool = False
    watermark: Watermark | None = None
    focus: Point | None = None

    @classmethod
    def of(cls, rendition: Mapping[str, Any]) -> Target:
        """From an item of Validate's plan, which carries more than this."""
        given = {field.name: rendition[field.name] for field in fields(cls) if field.name in rendition}
        return cls(**given | {"watermark": watermark_of(given.get("watermark"))})


@dataclass(frozen=True, slots=True)
class Rendered:
    data: bytes
    format: str
    content_type: str
    width: int
    height: int


def render(data: bytes, target: Target) -> Rendered:
    """Make one rendition of a picture that `examine` accepted. What a decoder raises here is a failure."""
    try:
        return _rendered(data, target)
    except OSError:
        if recognise(data) != "jpeg":
            raise
        return _rendered(jpeg.closed(data), target)  # Validate does not look at what stands behind the pixels either


def _rendered(data: bytes, target: Target) -> Rendered:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Validate has noted what is worth noting
        moving = _animated(data, target) if target.animated and target.format == "webp" else None
        encoded = moving or _still(data, target)
    return Rendered(encoded, target.format, CONTENT_TYPES[target.format], target.width, target.height)


def _still(data: bytes, target: Target) -> bytes:
    picture = _opened(data)
    turn = orientation(picture)
    scaled = _scaled(picture, target, turn)
    colours, _ = to_srgb(scaled, picture.info.get("icc_profile"))
    kept = copyright_tags(picture) if target.keep_copyright else {}
    return _encoded(_marked(upright(colours, turn), target), target, kept)


def for_caption(data: bytes, longest_edge: int = 1568, max_bytes: int = 3_750_000) -> tuple[str, bytes]:
    """A JPEG for a vision model, upright and on white, of the best quality that stays under `max_bytes`.

    With these limits the first always does but for pure noise, of which 1568x1568 take 2 MB at quality 60.
    """
    picture = _opened(data)
    width, height = picture.size if orientation(picture) < 5 else picture.size[::-1]
    size = fit_inside(width, height, longest_edge, longest_edge)
    for quality in (85, 60, 30):
        rendered = render(data, Target("jpeg", *size, quality=quality))
        if len(rendered.data) <= max_bytes:
            break
    return rendered.format, rendered.data


def upright(picture: Image.Image, turn: int) -> Image.Image:
    return picture.transpose(_TURNS[turn]) if turn in _TURNS else picture


def _marked(picture: Image.Image, target: Target) -> Image.Image:
    if target.watermark is None:
        return picture
    from functions.imaging.watermark import marked

    return marked(picture, target.watermark)


def _opened(data: bytes) -> ImageFile.ImageFile:
    name = recognise(data)
    if name is None:
        raise ValueError("not a picture that was accepted")
    return open_picture(data, name)


def _scaled(picture: ImageFile.ImageFile, target: Target, turn: int) -> Image.Image:
    """The picture, or the part of it that is kept, at that size, still in its own colours and orientation."""
    (width, height), size = picture.size, _size_as_stored(target, turn)
    box = _kept(picture.size, target, turn)
    sharp = target.format == "webp" and _effort(size) < _EFFORT
    part = _part_to_decode((box[2] - box[0]) / size[0], sharp=sharp)
    shrunk = shrink(picture, part, as_stored=target.format != "png")
    pixels = straight(load(picture))
    box = _divided(box, shrunk)
    box = _moved(pixels, box, (width / shrunk, height / shrunk), target, picture.info.get("icc_profile"))
    return _resized(pixels, size, box, sharp=sharp or shrunk > 1)


def _part_to_decode(scaling: float, *, sharp: bool) -> int:
    """8, 4, 2 or 1: a JPEG is decoded at one part of that."""
    halving = LEAST_SCALING_AFTER_SHRINKING if sharp else LEAST_SCALING_AFTER_HALVING
    leasts = {8: LEAST_SCALING_AFTER_SHRINKING, 4: LEAST_SCALING_AFTER_SHRINKING, 2: halving}
    return next((part for part, least in leasts.items() if scaling / part >= least), 1)


def _animated(data: bytes, target: Target) -> bytes | None:
    """None of what has fewer than two frames that can be decoded. All are cut as the first one is."""
    name, picture = recognise(data), _opened(data)
    if name not in MOVING:
        return None
    from functions.imaging import animation  # 2 ms that only animations pay

    turn, profile = orientation(picture), picture.info.get("icc_profile")
    size, box = _size_as_stored(target, turn), _kept(picture.size, target, turn)

    def made() -> Iterator[tuple[Image.Image, float]]:
        nonlocal box
        for number, (frame, milliseconds) in enumerate(animation.frames(picture, data, name)):
            pixels = straight(frame)
            if number == 0:
                box = _moved(pixels, box, picture.size, target, profile)
            colours, _ = to_srgb(_resized(pixels, size, box, sharp=False), profile)
            yield _marked(upright(colours, turn), target), milliseconds

    kept = copyright_tags(picture) if target.keep_copyright else {}
    exif = _exif(kept).tobytes() if kept else b""
    plays, effort = animation.plays(picture, data, name), _effort(size)
    return animation.encoded(made(), plays, target.quality or 80, effort, exif)


def _size_as_stored(target: Target, turn: int) -> Size:
    size = target.width, target.height
    return size[::-1] if turn >= 5 else size


def _kept(whole: Size, target: Target, turn: int) -> Box:
    """Of the picture as it is stored; before anybody has looked at it."""
    if target.fit != "cover":
        return 0.0, 0.0, float(whole[0]), float(whole[1])
    point = crop.stored(target.focus, turn) if target.focus else crop.MIDDLE
    return crop.about(point, whole, _size_as_stored(target, turn))


def _moved(pixels: Image.Image, box: Box, whole: tuple[float, float], target: Target, profile: bytes | None) -> Box:
    looks = target.fit == "cover" and target.focus is None and target.crop in crop.LOOKING
    return crop.LOOKING[target.crop](pixels, box, whole, profile) if looks else box


def _divided(box: Box, by: int) -> Box:
    return box[0] / by, box[1] / by, box[2] / by, box[3] / by


def _resized(picture: Image.Image, size: Size, box: Box, *, sharp: bool) -> Image.Image:
    if size == picture.size:
        return picture
    if picture.mode == "YCbCr":
        return _resized_planes(picture, size, box, sharp=sharp)
    averaged = (box[2] - box[0]) / size[0] >= LEAST_SCALING_FOR_AVERAGING
    how = Image.Resampling.LANCZOS if sharp or averaged else Image.Resampling.BICUBIC
    if picture.mode in ("LA", "RGBA"):
        by = max(1, int(min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / AVERAGED_TO))
        return _weighted(picture, by).resize(size, how, _divided(box, by)).convert(picture.mode)
    return picture.resize(size, how, box, reducing_gap=AVERAGED_TO)


def _weighted(picture: Image.Image, by: int) -> Image.Image:
    """Averaged, each colour multiplied by its alpha: a transparent pixel's must not bleed into its neighbours."""
    weighted = Image.new(picture.mode[:-1] + "a", (-(-picture.width // by), -(-picture.height // by)))
    for top in range(0, weighted.height, STRIP):
        part = picture.crop((0, top * by, picture.width, min((top + STRIP) * by, picture.height)))
        weighted.paste(part.convert(weighted.mode).reduce(by), (0, top))
    return weighted


def _resized_planes(picture: Image.Image, size: Size, box: Box, *, sharp: bool) -> Image.Image:
    """The eye takes its detail from the brightness, so that the colours can do with a cheaper filter."""
    brightness = _resized_brightness(picture.getchannel("Y"), size, box, sharp=sharp)
    if min(size) < LEAST_SIDE_TO_SAVE_ON:
        colours = (picture.getchannel(name) for name in ("Cb", "Cr"))
        resized = [plane.resize(size, Image.Resampling.HAMMING, box, reducing_gap=2.0) for plane in colours]
    else:
        resized = _half_colours(picture, size, box)
    return Image.merge("YCbCr", [brightness, *resized])


def _half_colours(picture: Image.Image, size: Size, box: Box) -> list[Image.Image]:
    """A lossy rendition keeps half the rows and half the columns of colour (4:2:0): no more is worked out."""
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    by = max(1, int((box[2] - box[0]) / half[0] * COLOURS_AVERAGED_BEYOND))
    _, *colours = picture.reduce(by).split()
    kept = [plane.resize(half, Image.Resampling.BILINEAR, _divided(box, by)) for plane in colours]
    return [plane.resize(size, Image.Resampling.NEAREST) for plane in kept]


def _resized_brightness(plane: Image.Image, size: Size, box: Box, *, sharp: bool) -> Image.Image:
    """Rows first, then columns. Those that need not be sharp get the cheaper filter: less CPU for 0.0015 of SSIM."""
    how = Image.Resampling.LANCZOS if sharp else Image.Resampling.BICUBIC
    rows = _resized_rows(plane, size[1], (box[1], box[3]))
    return rows.resize(size, how, (box[0], 0, box[2], size[1]))


def _resized_rows(plane: Image.Image, height: int, part: tuple[float, float]) -> Image.Image:
    """The rows alone, with Lanczos. What lies side by side is not mixed, so that four pixels of one byte may pass for
    one of four: Pillow takes a third less for it."""
    if plane.width % 4:
        return plane.resize((plane.width, height), Image.Resampling.LANCZOS, (0, part[0], plane.width, part[1]))
    fours = plane.width // 4
    wide = Image.frombuffer("CMYK", (fours, plane.height), plane.tobytes(), "raw", "CMYK", 0, 1)
    rows = wide.resize((fours, height), Image.Resampling.LANCZOS, (0, part[0], fours, part[1]))
    return Image.frombuffer("L", (plane.width, height), rows.tobytes(), "raw", "L", 0, 1)


def _encoded(picture: Image.Image, target: Target, kept: tags.Tags) -> bytes:
    """Write the pixels and, of all that came with them, only the tags to keep. No profile means sRGB."""
    if target.format == "jpeg" and picture.mode in ("LA", "RGBA"):
        picture = crop.on_background(picture, target.background)
    if target.format != "jpeg" and picture.mode == "YCbCr":  # which JPEG alone can take as it is
        picture = picture.convert("RGB")
    picture.info = {}  # Pillow would write profiles, comments and resolutions that it finds here
    settings = dict(_ENCODERS[target.format])
    if target.format == "avif" and min(picture.size) >= LEAST_SIDE_TO_SAVE_ON:
        settings["advanced"] = _LARGEST_AVIF if min(picture.size) >= LEAST_SIDE_TO_SAVE_MORE_ON else _LARGE_AVIF
    if target.format == "webp":
        settings["method"] = _effort(picture.size)
    if target.quality is not None:
        settings["quality"] = target.quality
    if kept:
        settings["exif"] = _exif(kept)
    file = BytesIO()
    file.name = f"rendition.{EXTENSIONS[target.format]}"  # given a format instead, Pillow would first import forty
    picture.save(file, **settings)
    return file.getvalue()


def _effort(size: Size) -> int:
    return _EFFORT if min(size) < LEAST_SIDE_TO_SAVE_MORE_ON else _EFFORT_FOR_THE_LARGEST


def _exif(kept: tags.Tags) -> Image.Exif:
    exif = Image.Exif()
    exif.update(
        {tag: text.decode("utf-8", "replace").rstrip("\0 ") for tag, text in kept.items() if isinstance(text, bytes)}
    )
    return exif
