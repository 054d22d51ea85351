"""Opens a TIFF by its tags and has libtiff read it: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf

Pillow has the door to libtiff. Its own TIFF reader is not used: it does not know BigTIFF of the other byte order, reads
16 bits in planes as 8, knows white only where it is 255, and cannot say which valid files it has no words for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice, pairwise
from math import inf, isfinite
from typing import Any, cast

from PIL import Image, ImageFile, ImageMath, ImagePalette

from functions.imaging import strips, tags
from functions.imaging.errors import Rejected
from functions.imaging.strips import APART, BITS, COMPRESSION, JPEG, PLANES, SAMPLES
from functions.imaging.tags import Tags

PHOTOMETRIC, PALETTE, SUB_DIRECTORIES, INKS, EXTRA, FORMAT = 0x0106, 0x0140, 0x014A, 0x014C, 0x0152, 0x0153
LEAST, MOST = 0x0154, 0x0155  # SMinSampleValue and SMaxSampleValue: black and white, where somebody says so
PROFILE, NO_DATA, DNG = 0x8773, 0xA481, 0xC612

_SINGLE = {
    *(tags.WIDTH, tags.HEIGHT, tags.ORIENTATION, tags.ARTIST, tags.COPYRIGHT, tags.SUBFILE_TYPE),
    *(COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES, INKS, PROFILE, NO_DATA, DNG),
}
_LISTS = {BITS, FORMAT, EXTRA, PALETTE, SUB_DIRECTORIES, LEAST, MOST}

# What libtiff is told: of each other tag it would keep what it says, whose sum has no bound, and ImageDepth would make
# its tiles larger than ours. First numbers, then lists and what it decides by itself.
_NUMBERS_FOR_LIBTIFF = {
    *(tags.WIDTH, tags.HEIGHT, tags.ORIENTATION, tags.TILE_WIDTH, tags.TILE_HEIGHT),
    *(COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES, INKS, strips.ROWS),
}
_OTHERS_FOR_LIBTIFF = {
    *(BITS, FORMAT, EXTRA, PALETTE, strips.OFFSETS, strips.COUNTS, strips.TILE_OFFSETS, strips.TILE_COUNTS),
    *(0x010A, 0x0124, 0x0125, 0x013D, 0x015B),  # FillOrder, T4Options, T6Options, Predictor, JPEGTables
    *range(0x0200, 0x020A),  # of JPEG as it was before
    *range(0x0211, 0x0215),  # YCbCrCoefficients, YCbCrSubSampling, YCbCrPositioning, ReferenceBlackWhite
}

UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE_COLOURS, CMYK, YCC, LAB = 0, 1, 2, 3, 5, 6, 8
OLD_JPEG = 6

# Those that the libtiff in Pillow's wheel has, but for 32771, which it does not read as it writes it.
_COMPRESSIONS = {1, 2, 3, 4, 5, OLD_JPEG, JPEG, 8, 32773, 32809, 32946, 34925, 50000}

# What a camera's raw file has for its pixels: a colour filter array, or light as the sensor saw it (DNG 1.7).
_RAW = {32803, 34892}

_TITLES = {PHOTOMETRIC: "PhotometricInterpretation", COMPRESSION: "Compression"}
_NAMES = {
    PHOTOMETRIC: {
        0: "white is zero",
        1: "black is zero",
        2: "RGB",
        3: "palette",
        4: "a mask",
        5: "CMYK",
        6: "YCbCr",
        8: "L*a*b*",
        9: "ICC L*a*b*",
        10: "ITU L*a*b*",
        32844: "LogL",
        32845: "LogLuv",
        **dict.fromkeys(_RAW, "a camera's raw pixels"),
    },
    COMPRESSION: {
        **dict.fromkeys((9, 10), "JBIG"),
        22610: "JPEG XR",
        32767: "Sony ARW",
        32771: "CCITT RLE in words",
        **dict.fromkeys((33003, 33005, 34712), "JPEG 2000"),
        34661: "JBIG",
        **dict.fromkeys((34676, 34677), "SGILog"),
        34713: "Nikon NEF",
        34887: "LERC",
        34892: "lossy JPEG of DNG",
        50001: "WebP",
        **dict.fromkeys((50002, 52546), "JPEG XL"),
        65535: "Pentax PEF",
    },
}

# By PhotometricInterpretation, SampleFormat, bits of a sample, number of samples and ExtraSamples (0: unknown, left
# out; 1: alpha, the colours multiplied by it; 2: alpha): Pillow's mode, and how it reads what libtiff gives it.
_LAYOUTS: dict[tuple[int, int, int, int, tuple[int, ...]], tuple[str, str]] = {
    (WHITE_IS_ZERO, UNSIGNED, 1, 1, ()): ("1", "1;I"),
    **{(WHITE_IS_ZERO, UNSIGNED, bits, 1, ()): ("L", f"L;{bits}I") for bits in (2, 4)},
    (WHITE_IS_ZERO, UNSIGNED, 8, 1, ()): ("L", "L;I"),
    (BLACK_IS_ZERO, UNSIGNED, 1, 1, ()): ("1", "1"),
    **{(BLACK_IS_ZERO, UNSIGNED, bits, 1, ()): ("L", f"L;{bits}") for bits in (2, 4)},
    (BLACK_IS_ZERO, UNSIGNED, 8, 1, ()): ("L", "L"),
    (BLACK_IS_ZERO, UNSIGNED, 8, 2, (0,)): ("L", "LX"),
    (BLACK_IS_ZERO, UNSIGNED, 8, 2, (1,)): ("La", "La"),
    (BLACK_IS_ZERO, UNSIGNED, 8, 2, (2,)): ("LA", "LA"),
    **{(BLACK_IS_ZERO, UNSIGNED, 16, 2, extra): ("RGBA", "RGBA") for extra in ((0,), (1,), (2,))},  # see _from_words
    **{
        (photometric, kind, bits, 1, ()): layout
        for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
        for kind, bits, layout in (
            (UNSIGNED, 12, ("I;16", "I;12")),
            (UNSIGNED, 16, ("I;16", "I;16N")),
            (UNSIGNED, 32, ("F", "F;32N")),
            (SIGNED, 8, ("F", "F;8S")),
            (SIGNED, 16, ("F", "F;16NS")),
            (SIGNED, 32, ("F", "F;32NS")),
            (FLOAT, 32, ("F", "F;32NF")),
            (FLOAT, 64, ("F", "F;64NF")),
        )
    },
    (RGB, UNSIGNED, 8, 3, ()): ("RGB", "RGB"),
    (RGB, UNSIGNED, 8, 4, ()): ("RGBA", "RGBA"),  # what the fourth is is not said
    (RGB, UNSIGNED, 8, 4, (999,)): ("RGBA", "RGBA"),  # Corel Draw 10
    **{(RGB, UNSIGNED, 8, 3 + n, (0,) * n): ("RGB", "RGB" + "X" * n) for n in (1, 2, 3)},
    **{(RGB, UNSIGNED, 8, 4 + n, (1,) + (0,) * n): ("RGBA", "RGBa" + "X" * n) for n in (0, 1, 2)},
    **{(RGB, UNSIGNED, 8, 4 + n, (2,) + (0,) * n): ("RGBA", "RGBA" + "X" * n) for n in (0, 1, 2)},
    (RGB, UNSIGNED, 16, 3, ()): ("RGB", "RGB;16N"),
    (RGB, UNSIGNED, 16, 4, ()): ("RGBA", "RGBA;16N"),
    (RGB, UNSIGNED, 16, 4, (0,)): ("RGB", "RGBX;16N"),
    (RGB, UNSIGNED, 16, 4, (1,)): ("RGBA", "RGBa;16N"),
    (RGB, UNSIGNED, 16, 4, (2,)): ("RGBA", "RGBA;16N"),
    **{(PALETTE_COLOURS, UNSIGNED, bits, 1, ()): ("P", f"P;{bits}") for bits in (1, 2, 4)},
    (PALETTE_COLOURS, UNSIGNED, 8, 1, ()): ("P", "P"),
    (PALETTE_COLOURS, UNSIGNED, 8, 2, (0,)): ("P", "PX"),
    (PALETTE_COLOURS, UNSIGNED, 8, 2, (2,)): ("PA", "PA"),
    **{(CMYK, UNSIGNED, 8, 4 + n, (0,) * n): ("CMYK", "CMYK" + "X" * n) for n in (0, 1, 2)},
    (CMYK, UNSIGNED, 16, 4, ()): ("CMYK", "CMYK;16N"),
    (YCC, UNSIGNED, 8, 3, ()): ("RGB", "RGBX"),
    (LAB, UNSIGNED, 8, 3, ()): ("RGB", "RGB"),  # see _from_lab
    (LAB, UNSIGNED, 16, 3, ()): ("RGB", "RGB;16N"),
}

# In planes only what has four bytes in Pillow: libtiff's planes go into the first, second, third and fourth of them.
_IN_PLANES = {"RGB", "RGBA", "CMYK"}

_BESIDE_READ = 16  # SubIFDs; a raw file has two or three

_BAND = 1 << 20  # pixels that are brought from numbers to grey at a time, which takes some 20 bytes for each


class Tiff(ImageFile.ImageFile):
    """The first picture of the file. It is as it is stored: `tags` has its orientation, if it says one."""

    format = "TIFF"

    tags: Tags
    bits: int
    _finish: Callable[[Tiff], Image.Image] | None = None

    def _open(self) -> None:
        data = cast(BytesIO, self.fp).getvalue()
        self.tags = next(tags.directories(data, _SINGLE, _LISTS), {})
        _check_is_the_picture(data, self.tags)
        size = tags.number(self.tags, tags.WIDTH), tags.number(self.tags, tags.HEIGHT)
        if not all(size):
            raise ValueError(f"its tags say no size: {size[0]}x{size[1]}")
        layout, apart = self._layout()
        self._mode, raw = self._taken(layout, apart)
        self._size = size
        needed = tags.reduced(data, _NUMBERS_FOR_LIBTIFF, _OTHERS_FOR_LIBTIFF)
        self.fp = BytesIO(needed)
        self.decodermaxblock = len(needed)  # libtiff needs all of it at once
        self.tile = [ImageFile._Tile("libtiff", (0, 0, *size), 0, (raw, False, 0))]
        if self.mode in ("P", "PA"):
            self.palette = self._palette()
        if self.mode in ("I;16", "F"):
            self._finish = Tiff._from_numbers
        elif layout[0] == BLACK_IS_ZERO and self.mode == "RGBA":
            self._finish = Tiff._from_words
        elif layout[0] == LAB:
            self._finish = Tiff._from_lab
        elif layout[0] == RGB and self.mode == "CMYK":
            self._finish = Tiff._from_four
        profile = self.tags.get(PROFILE)
        if isinstance(profile, bytes):
            self.info["icc_profile"] = profile

    def load(self) -> Any:
        """What is left to do is done when the decoder has let go of its strip, which may be as large as the picture."""
        loaded = super().load()
        if self._finish:
            finish, self._finish = self._finish, None
            finished = finish(self)
            self.im, self._mode = finished.im, finished.mode
        return loaded

    def _layout(self) -> tuple[tuple[int, int, int, int, tuple[int, ...]], bool]:
        """The key for _LAYOUTS, and whether the samples lie in planes."""
        old = tags.number(self.tags, COMPRESSION, 1) == OLD_JPEG
        photometric = YCC if old else tags.number(self.tags, PHOTOMETRIC, 0)
        samples = tags.number(self.tags, SAMPLES, 3 if old else 1)
        bits = tags.numbers(self.tags, BITS) or (8 if old else 1,)
        self.bits = int(bits[0])
        if len(set(bits[:samples])) != 1 or 1 < len(bits) < samples:
            raise _unsupported(f"BitsPerSample {_spaced(bits[:8])} for {samples} samples")
        formats = set(tags.numbers(self.tags, FORMAT)[:samples]) or {UNSIGNED}
        if len(formats) != 1:
            raise _unsupported(f"SampleFormat {_spaced(tags.numbers(self.tags, FORMAT)[:8])}")
        kind = int(formats.pop())
        extra = tuple(map(int, tags.numbers(self.tags, EXTRA)))
        apart = tags.number(self.tags, PLANES, 1) == APART
        if apart:  # the last planes, if nobody knows their meaning, are not read
            known = max((count for count, meaning in enumerate(extra, 1) if meaning), default=0)
            samples, extra = samples - len(extra) + known, extra[:known]
        return (photometric, UNSIGNED if kind == UNDEFINED else kind, int(bits[0]), samples, extra), apart

    def _taken(self, layout: tuple[int, int, int, int, tuple[int, ...]], apart: bool) -> tuple[str, str]:
        """Mode and raw mode, or the verdict with what there are no words for."""
        photometric, kind, bits, samples, extra = layout
        compression = tags.number(self.tags, COMPRESSION, 1)
        if compression not in _COMPRESSIONS:
            raise _unsupported(_named(COMPRESSION, compression))
        if photometric == CMYK and tags.number(self.tags, INKS, 1) != 1:
            raise _unsupported(f"InkSet {tags.number(self.tags, INKS)}: inks other than CMYK")
        found = _LAYOUTS.get(layout)
        if apart and photometric == RGB and (samples, extra) == (4, ()):
            found = _LAYOUTS[CMYK, *layout[1:]] if bits in (8, 16) else None  # see _from_four
        if found and photometric == YCC and compression == JPEG and not apart:
            found = "RGB", "RGB"  # libjpeg does the conversion
        in_planes = apart and samples > 1
        if not found or (in_planes and (found[0] not in _IN_PLANES or bits not in (8, 16))):
            words = [_named(PHOTOMETRIC, photometric), f"{samples} samples of {bits} bits", f"SampleFormat {kind}"]
            words += [f"ExtraSamples {_spaced(extra[:8])}"] if extra else []
            raise _unsupported(", ".join([*words, "in planes"] if in_planes else words))
        if compression == JPEG and bits != 8:
            raise _unsupported(f"JPEG of {bits} bits")
        return found

    def _palette(self) -> ImagePalette.ImagePalette:
        """All reds, then all greens, then all blues, of 16 bits; of 8 where a program took them for that."""
        colours = tags.numbers(self.tags, PALETTE)
        part = 256 if max(colours, default=0) > 255 else 1
        return ImagePalette.raw("RGB;L", bytes(int(value) // part for value in colours))

    def _from_words(self) -> Image.Image:
        """Grey and alpha of 16 bits, read as four bytes: the upper one of each is the second."""
        extra, grey = tags.numbers(self.tags, EXTRA), self.getchannel(1)
        return grey if extra == (0,) else Image.merge("La" if extra == (1,) else "LA", (grey, self.getchannel(3)))

    def _from_four(self) -> Image.Image:
        """Planes of which nobody says what the fourth is: of an RGBA Pillow would take them for multiplied by it."""
        return Image.merge("RGBA", self.split())

    def _from_lab(self) -> Image.Image:
        """a* and b* have a sign, which Pillow has as 128 more. One at a time: at 100 megapixels each takes 100 MB."""
        signs = [value ^ 128 for value in range(256)]
        return Image.merge("LAB", [self.getchannel(0), *(self.getchannel(at).point(signs) for at in (1, 2))])

    def _from_numbers(self) -> Image.Image:
        """Grey of 8 bits. Where there is nothing, not a number or the one that says so, it is transparent."""
        empty = _no_data(self.tags.get(NO_DATA))
        extremes, alpha = [0.0], None
        for band, place in self._bands(empty) if self._kind() != UNSIGNED or empty is not None else ():
            if empty is None and _all_finite(band):
                extremes += cast(tuple[float, float], band.getextrema())
                continue
            there = _there(band, empty)
            if there.getextrema() != (255, 255):
                alpha = alpha if alpha else Image.new("L", self.size, 255)
                alpha.paste(there, place)
            extremes += cast(tuple[float, float], _only(band, _there(band, empty, finite=True)).getextrema())
        black, white = self._levels(min(extremes), max(extremes))
        scale = 255 / (white - black)
        grey = Image.new("L", self.size)
        for band, place in self._bands(empty):
            grey.paste(band.point(lambda value: value * scale + (0.5 - black * scale)).convert("L"), place)
        return Image.merge("LA", (grey, alpha)) if alpha else grey

    def _bands(self, empty: float | None) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
        """In floats, where numbers are to be compared."""
        rows = max(1, _BAND // self.width)
        for top, bottom in pairwise([*range(0, self.height, rows), self.height]):
            band = self.crop((0, top, self.width, bottom))
            yield band if empty is None else band.convert("F"), (0, top)

    def _kind(self) -> int:
        kind = int((tags.numbers(self.tags, FORMAT) or (UNSIGNED,))[0])
        return UNSIGNED if kind == UNDEFINED else kind

    def _levels(self, low: float, high: float) -> tuple[float, float]:
        """The numbers of black and white, by the tags; what they leave open the lowest and the highest decide."""
        least, most = (*tags.numbers(self.tags, LEAST)[:1], inf)[0], (*tags.numbers(self.tags, MOST)[:1], -inf)[0]
        bits, kind = int(tags.numbers(self.tags, BITS)[0]), self._kind()
        if kind == UNSIGNED:
            black, white = 0.0, 2.0**bits - 1
        elif isfinite(least) and isfinite(most) and least < most:
            black, white = least, most
        else:
            black, white = (_levels_of_floats if kind == FLOAT else _levels_of_signed)(bits, low, high)
        return (white, black) if tags.number(self.tags, PHOTOMETRIC) == WHITE_IS_ZERO else (black, white)


def _levels_of_floats(_: int, low: float, high: float) -> tuple[float, float]:
    return low, next((white for white in (1.0, 255.0, 65535.0) if high <= white), high)


def _levels_of_signed(bits: int, low: float, high: float) -> tuple[float, float]:
    """All that the type can hold, from 0 where nothing is below. 32 bits are often 1, 8 or 16 in a larger room."""
    most = 2.0 ** (bits - 1) - 1
    smaller = () if bits < 32 else (2.0**15 - 1,) if low < 0 else (1.0, 255.0, 65535.0)
    white = next((white for white in smaller if max(high, -low - 1) <= white), most)
    return (-white - 1 if low < 0 else 0.0), white


def _all_finite(numbers: Image.Image) -> bool:
    """One that is not makes the average so, which costs less than a look at each."""
    return isfinite(cast(float, numbers.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))))


def _there(numbers: Image.Image, empty: float | None, *, finite: bool = False) -> Image.Image:
    """255 where there is a number, and not the one that says that there is none; 0 elsewhere."""

    def asked(operands: dict[str, Any]) -> Any:
        number = operands["numbers"]
        there = (number - number == 0) if finite else (number == number)  # not a number equals nothing, itself included
        return there if empty is None else there * (number != empty)

    answers = cast(Image.Image, ImageMath.lambda_eval(asked, numbers=numbers))
    return answers.convert("L").point([0, *[255] * 255])


def _only(numbers: Image.Image, there: Image.Image) -> Image.Image:
    """Zeros elsewhere."""
    kept = Image.new("F", numbers.size)
    kept.paste(numbers, mask=there)
    return kept


def _no_data(text: object) -> float | None:
    """The number that GDAL writes as text; https://gdal.org/drivers/raster/gtiff.html"""
    try:
        return float(text.strip(b"\0 ")) if isinstance(text, bytes) else None
    except ValueError:
        return None


def _check_is_the_picture(data: bytes, first: Tags) -> None:
    """A camera's raw file is a TIFF, too, of a thumbnail and of pixels that only a raw converter knows."""
    beside = first.get(SUB_DIRECTORIES, ())
    places = [int(place) for place in beside[:_BESIDE_READ]] if isinstance(beside, tuple) else []
    wanted = {PHOTOMETRIC}
    others = [*tags.directories(data, wanted)][1:]
    others += [directory for place in places for directory in islice(tags.directories(data, wanted, at=place), 1)]
    if data[8:10] == b"CR" or DNG in first or any(other.get(PHOTOMETRIC) in _RAW for other in (first, *others)):
        raise _unsupported("a camera's raw pixels")
    subfile = first.get(tags.SUBFILE_TYPE)
    if isinstance(subfile, int) and subfile & tags.THUMBNAIL and others:
        raise _unsupported(f"NewSubfileType {subfile}: its first picture is a thumbnail of another")


def _unsupported(what: str) -> Rejected:
    return Rejected("unsupported_format", f"TIFF with {what}")


def _named(tag: int, number: int) -> str:
    name = _NAMES[tag].get(number)
    return f"{_TITLES[tag]} {number}" + (f" ({name})" if name else "")


def _spaced(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
