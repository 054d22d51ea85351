"""Opens an AVIF with libavif, which leaves the clean aperture to whoever calls it, and is strict about sizes."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from PIL.AvifImagePlugin import AvifImageFile

from functions.imaging import isobmff
from functions.imaging.errors import Rejected

# libavif's default, AVIF_DEFAULT_IMAGE_DIMENSION_LIMIT, which Pillow keeps.
LONGEST_SIDE = 32768

# The kinds of items that libavif makes a picture of: coded pixels, and a grid of such items.
_TAKEN = {b"av01", b"grid"}


class Avif(AvifImageFile):
    """`size` is that of the clean aperture, if there is one, and not of all that is coded."""

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
        self.fp = BytesIO(isobmff.with_sizes(data))
        try:
            super()._open()
        except RuntimeError as fault:
            if str(fault).endswith("Not implemented"):  # seen: alpha that is turned, of a picture that is not
                raise Rejected("unsupported_format", "AVIF of a kind that libavif has not implemented") from fault
            raise
        if self._aperture:
            left, top, right, bottom = self._aperture
            self._whole, self._size = self.size, (right - left, bottom - top)

    def load(self) -> Any:
        if self._aperture and self.tile:
            self._size = self._whole
            super().load()
            self.im = self.im.crop(self._aperture)
            self._size = self.im.size
        return super().load()
