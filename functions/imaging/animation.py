"""The frames of an animation, one after the other, and an animated WebP of them: whatever their number, two are in
memory at a time, and what was encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image, _webp

from functions.imaging import gif, png
from functions.imaging.color import straight
from functions.imaging.errors import is_of_memory
from functions.imaging.formats import load, of_webp, open_picture
from functions.imaging.patches import BACKGROUND, PREVIOUS, Patch

# How often a key frame is written at least and at most, as gif2webp sets them for lossy frames.
_KEY_FRAMES = 3, 5

# Milliseconds that a frame of a WebP is shown at most (RFC 9649, 2.7.1.5: 24 bits), and that libwebp counts in all.
_LONGEST, _LONGEST_IN_ALL = (1 << 24) - 1, (1 << 31) - 1

Frame = tuple[Image.Image, float]  # as a person sees it, with what lies under it, and its milliseconds


def frames(picture: Any, data: bytes, name: str) -> Iterator[Frame]:
    """Ends where a frame cannot be decoded, as browsers do. picture: opened, and not yet decoded. Raises the error of a
    decoder that has too little memory: the file may have more frames."""
    if name == "webp":
        read = _of_webp(picture)
    elif name == "avif":
        read = map(picture.frame, range(picture.n_frames))
    else:
        read = _composed(picture.size, (gif if name == "gif" else png).patches(data), name)
    while True:
        try:
            frame = next(read)
        except Exception as fault:  # StopIteration too; as in `examine`, a decoder raises whatever it likes
            if is_of_memory(fault):
                raise
            return
        yield frame


def plays(picture: Any, data: bytes, name: str) -> int:
    """How often it is shown, 0 for ever, as WebP counts. A GIF counts how often it is repeated."""
    if name == "gif":
        repeats = picture.info.get("loop")
        return 1 if repeats is None else 0 if repeats == 0 else min(repeats + 1, 65535)
    return min(png.plays(data) if name == "png" else picture.info.get("loop", 0), 65535)


def encoded(frames: Iterable[Frame], plays: int, quality: int, effort: int, exif: bytes = b"") -> bytes | None:
    """None of fewer than two frames. quality: 1 to 100. effort: libwebp's `method`, 0 to 6."""
    encoder, count, shown_at, is_opaque = None, 0, 0.0, True
    for frame, milliseconds in frames:
        encoder = encoder or _webp.WebPAnimEncoder(frame.size, 0, plays, False, *_KEY_FRAMES, False, False)
        pixels = frame if frame.mode in ("RGB", "RGBA") else frame.convert("RGBA" if frame.mode == "LA" else "RGB")
        encoder.add(pixels.getim(), round(shown_at), False, quality, 100, effort)
        is_opaque = is_opaque and _is_opaque(pixels)
        shown_at = min(shown_at + min(milliseconds, _LONGEST), _LONGEST_IN_ALL)
        count += 1
    if encoder is None or count < 2:
        return None
    encoder.add(None, round(shown_at), False, quality, 100, 0)
    assembled: bytes = encoder.assemble(b"", exif, b"")
    return assembled if is_opaque else _with_alpha(assembled)


def _with_alpha(data: bytes) -> bytes:
    """libwebp leaves out what is transparent of a frame, and then may not say that the whole has alpha: what no frame
    covers would be black. The flags: RFC 9649, 2.7."""
    return data[:20] + bytes([data[20] | 0x10]) + data[21:] if data[12:16] == b"VP8X" else data


def _of_webp(picture: Any) -> Iterator[Frame]:
    for _ in range(picture.n_frames):
        pixels, _, milliseconds = picture._get_next()
        frame = of_webp(picture, pixels, is_animation=True)
        yield frame.convert("RGB") if frame.mode == "RGBX" else frame, milliseconds


def _composed(size: tuple[int, int], patches: Iterable[Patch], name: str) -> Iterator[Frame]:
    """Each patch on what those before it left. Pillow's own readers leave the background's colour where browsers leave
    nothing, and of two patches that are both taken back they take back one."""
    canvas = Image.new("RGBA", size)
    for patch in patches:
        under = canvas.copy() if patch.leaves == PREVIOUS else canvas
        pixels = straight(load(open_picture(patch.data, name))).convert("RGBA")
        if patch.blends:
            canvas.alpha_composite(pixels, patch.place)
        else:
            canvas.paste(pixels, patch.place)
        yield canvas.convert("RGB") if _is_opaque(canvas) else canvas, patch.milliseconds
        canvas = under
        if patch.leaves == BACKGROUND:
            left, top = patch.place
            canvas.paste((0, 0, 0, 0), (left, top, left + pixels.width, top + pixels.height))


def _is_opaque(picture: Image.Image) -> bool:
    return picture.mode == "RGB" or picture.getchannel("A").getextrema() == (255, 255)
