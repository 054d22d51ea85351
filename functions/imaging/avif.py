"""Opens an AVIF with libavif, which leaves the clean aperture to whoever calls it, and is strict about sizes."""

from __future__ import annotations

from functools import cached_property
from io import BytesIO
from typing import Any, cast

from PIL import Image, _avif
from PIL.AvifImagePlugin import AvifImageFile, _get_default_max_threads

from functions.imaging import av1, isobmff
from functions.imaging.errors import Rejected

# libavif's default, AVIF_DEFAULT_IMAGE_DIMENSION_LIMIT, which Pillow keeps.
LONGEST_SIDE = 32768

# The kinds of items that libavif makes a picture of: coded pixels, and a grid of such items.
_TAKEN = {b"av01", b"grid"}

# Each as large as the picture: one for its colours and one for alpha, twice where it comes in two steps.
MAX_FRAMES = 4

MAX_HELD = 11  # bytes of memory for each pixel that is taken


class Avif(AvifImageFile):
    """`size` is that of the clean aperture, if there is one, and not of all that is coded. `orientation` is what its
    boxes say, as a number of EXIF; what EXIF says of it does not count."""

    orientation = 1
    _aperture: tuple[int, int, int, int] | None = None
    _whole: tuple[int, int]

    def _open(self) -> None:
        data = self._data()
        properties = isobmff.properties(data)
        coded, kind = isobmff.size(properties), isobmff.kind(data)
        self._coded = coded or (0, 0)
        if kind and kind not in _TAKEN:
            what = f"AVIF whose picture is an item of the kind `{kind.decode('latin-1')}`"
            raise Rejected("unsupported_format", what)
        if coded and max(coded) > LONGEST_SIDE:
            message = f"AVIF of {coded[0]}x{coded[1]} pixels: the decoder takes {LONGEST_SIDE} a side"
            raise Rejected("unsupported_format", message)
        self._aperture = isobmff.clean_aperture(properties)
        try:
            self._open_decoder(isobmff.with_sizes(data))
        except RuntimeError as fault:
            if str(fault).endswith("Not implemented"):  # seen: alpha that is turned, of a picture that is not
                raise Rejected("unsupported_format", "AVIF of a kind that libavif has not implemented") from fault
            raise
        self._whole = self.size
        if self._aperture:
            left, top, right, bottom = self._aperture
            self._size = right - left, bottom - top

    def _open_decoder(self, data: bytes) -> None:
        """As Pillow does, but for the EXIF block: it would copy what each tag of it says, which may be all of it."""
        self._decoder = _avif.AvifDecoder(data, "auto", _get_default_max_threads())
        self._size, self.n_frames, self._mode, profile, exif, self.orientation, xmp = self._decoder.get_info()
        self.is_animated = self.n_frames > 1
        self.info |= {name: said for name, said in (("icc_profile", profile), ("exif", exif), ("xmp", xmp)) if said}
        self.seek(0)

    @property
    def largest_frame(self) -> tuple[int, int]:
        return self._frames[0]

    @cached_property
    def _frames(self) -> tuple[tuple[int, int], int]:
        return av1.frames(isobmff.coded(self._data()))

    def check(self, max_pixels: int) -> None:
        """Raises Rejected for more pixels in its frames, or more memory, than its size explains."""
        width, height = self._coded
        decoded, most = self._frames[1], MAX_FRAMES * max(width * height, 1_000_000)
        if decoded > most:
            what = f"AVIF of {width}x{height} pixels that are decoded from {decoded / 1e6:,.6g} MP"
            raise Rejected("too_costly", f"{what}, limit {most / 1e6:,.6g} MP")
        held = self.width * self.height * self._bytes_of_a_pixel()
        if held > MAX_HELD * max_pixels:
            what = f"AVIF that takes {held / 1e6:,.6g} MB of memory"
            raise Rejected("too_costly", f"{what}, limit {MAX_HELD * max_pixels / 1e6:,.6g} MB")

    def _bytes_of_a_pixel(self) -> float:
        """At most: libavif's planes, of one byte or two, and what Pillow makes of them, twice."""
        flags, has_alpha = self._flags, self.mode == "RGBA"
        colours = 1.0 if flags & 0x10 else 3.0 if not flags & 8 else 2.0 if not flags & 4 else 1.5
        return (1 if self.bits == 8 else 2) * (colours + has_alpha) + (8 if has_alpha else 7)

    @property
    def bits(self) -> int:
        return 8 if not self._flags & 0x40 else 10 if not self._flags & 0x20 else 12

    @cached_property
    def _flags(self) -> int:
        """Of the first `av1C`: how the samples are stored (AV1 in ISOBMFF, 2.3.3)."""
        data = self._data()
        return int.from_bytes(data[(at := data.find(b"av1C") + 6) : at + 1], "big")

    def _data(self) -> bytes:
        return cast(BytesIO, self.fp).getvalue()  # no copy

    def frame(self, number: int) -> tuple[Image.Image, float]:
        """One of the animation, before `load` lets go of it, and its milliseconds."""
        pixels, timescale, _, duration = self._decoder.get_frame(number)
        whole = Image.frombuffer(self.mode, self._whole, pixels, "raw", self.mode, 0, 1)
        return whole.crop(self._aperture) if self._aperture else whole, 1000 * duration / timescale

    def load(self) -> Any:
        if self._aperture and self.tile:
            self._size = self._whole
            super().load()
            self.im = self.im.crop(self._aperture)
            self._size = self.im.size
        loaded = super().load()
        self._decoder = self.fp = None  # which hold the pixels twice more
        return loaded
