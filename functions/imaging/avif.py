"""Opens an AVIF with libavif, which leaves the clean aperture to whoever calls it, and is strict about sizes."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from PIL import _avif
from PIL.AvifImagePlugin import AvifImageFile, _get_default_max_threads

from functions.imaging import isobmff
from functions.imaging.errors import Rejected

# libavif's default, AVIF_DEFAULT_IMAGE_DIMENSION_LIMIT, which Pillow keeps.
LONGEST_SIDE = 32768

# The kinds of items that libavif makes a picture of: coded pixels, and a grid of such items.
_TAKEN = {b"av01", b"grid"}


class Avif(AvifImageFile):
    """`size` is that of the clean aperture, if there is one, and not of all that is coded. `orientation` is what its
    boxes say, as a number of EXIF; what EXIF says of it does not count."""

    orientation = 1
    _aperture: tuple[int, int, int, int] | None = None

    def _open(self) -> None:
        data = cast(BytesIO, self.fp).getvalue()
        properties = isobmff.properties(data)
        coded, kind = isobmff.size(properties), isobmff.kind(data)
        if kind and kind not in _TAKEN:
            raise Rejected(
                "unsupported_format", f"AVIF whose picture is an item of the kind `{kind.decode('latin-1')}`"
            )
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
        if self._aperture:
            left, top, right, bottom = self._aperture
            self._whole, self._size = self.size, (right - left, bottom - top)

    def _open_decoder(self, data: bytes) -> None:
        """As Pillow does, but for the EXIF block: it would copy what each tag of it says, which may be all of it."""
        self._decoder = _avif.AvifDecoder(data, "auto", _get_default_max_threads())
        self._size, self.n_frames, self._mode, profile, exif, self.orientation, _ = self._decoder.get_info()
        self.is_animated = self.n_frames > 1
        self.info |= {"icc_profile": profile} if profile else {}
        self.info |= {"exif": exif} if exif else {}
        self.seek(0)

    def load(self) -> Any:
        if self._aperture and self.tile:
            self._size = self._whole
            super().load()
            self.im = self.im.crop(self._aperture)
            self._size = self.im.size
        loaded = super().load()
        self._decoder = self.fp = None  # which hold the pixels twice more
        return loaded
