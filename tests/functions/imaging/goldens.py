"""What tools that share no code with Darkroom make of pictures that are drawn here: test_goldens.py compares.

`python -m tests.functions.imaging.goldens PART...` writes golden/PART.json again, all of them without a PART. It needs
what the tests do not: pyvips with its library, ImageHash, NumPy, exiftool, ffmpeg with zimg, heif-enc with x265 and
heif-convert (Debian's libheif-examples), and ImageMagick 6.
"""

from __future__ import annotations

import base64
import importlib
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from darkroom.local.pictures import encoded, landscape
from tests.functions.imaging.test_animation import BACKGROUND, KEEP, PREVIOUS, drawn, moving, square
from tests.functions.imaging.test_animation import gif_of_squares as gif
from tests.functions.imaging.test_animation import png_of_squares as png

FOLDER = Path(__file__).with_name("golden")

Golden = dict[str, Any]


def read(part: str) -> Golden:
    return json.loads((FOLDER / f"{part}.json").read_text())


def packed(pixels: bytes) -> str:
    return base64.b64encode(zlib.compress(pixels, 9)).decode()


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def see_through(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


# --- Animations -----------------------------------------------------------------------------------------------------


def half_seen(number):
    """A square that shows half of what lies under it."""
    patch = square(number)
    patch.putalpha(128)
    return patch


def small(number):
    frame = Image.new("RGB", (24, 16), (10 * number, 200 - 40 * number, 90))
    ImageDraw.Draw(frame).rectangle((4 * number, 4, 4 * number + 7, 11), fill=(250, 60 * number, 20))
    return frame


def adrift(number):
    """A square on nothing."""
    return drawn(number, background=(0, 0, 0, 0))


ANIMATIONS = {
    **{f"gif {left}": gif([left] * 3) for left in (KEEP, BACKGROUND, PREVIOUS)},
    "gif mixed": gif([PREVIOUS, BACKGROUND, PREVIOUS]),
    "gif twice": gif([PREVIOUS, PREVIOUS, KEEP]),
    "gif aside": gif([BACKGROUND, KEEP, KEEP], moved=(20, 20)),
    "gif hasty": moving("GIF", loop=3, times=[0, 20, 30, 40]),
    "gif once": moving("GIF"),
    "gif transparent": moving("GIF", frames=[adrift(number) for number in range(4)], loop=0, disposal=2),
    **{f"png {left}": png([left] * 3) for left in (KEEP, BACKGROUND, PREVIOUS)},
    "png mixed": png([PREVIOUS, BACKGROUND, PREVIOUS], pixels=half_seen),
    "png over": png([KEEP] * 3, pixels=half_seen),
    "png source": png([KEEP] * 3, pixels=half_seen, blends=False),
    "webp": moving("WEBP", loop=7, lossless=True),
    "webp transparent": moving(
        "WEBP", frames=[half_seen(number) for number in range(4)], loop=0, lossless=True, times=[33, 33, 34, 1000]
    ),
    "webp bare": moving("WEBP", frames=[adrift(number) for number in range(4)], minimize_size=True),
    "avif": moving("AVIF", frames=[small(number) for number in range(4)], quality=100, subsampling="4:4:4", speed=10),
}


def animation() -> Golden:
    """Of each frame the pixels as RGBA, and its milliseconds; and how often all of it is shown, 0 for ever."""
    found = {}
    for name, data in ANIMATIONS.items():
        tool = _by_vips if name.startswith(("gif", "webp")) else _by_ffmpeg
        size, frames, times, plays = tool(data)
        pixels = b"".join(without_hidden_colours(frame) for frame in frames)
        found[name] = {"size": size, "times": times, "plays": plays, "frames": packed(pixels)}
    return {"made_by": [_vips_version(), _version("ffmpeg", "-version")], "animations": found}


def without_hidden_colours(frame: bytes) -> bytes:
    """What is transparent may have any colour."""
    return b"".join(pixel if pixel[3] else bytes(4) for pixel in (frame[at : at + 4] for at in range(0, len(frame), 4)))


def _by_vips(data: bytes) -> tuple[list[int], list[bytes], list[int], int]:
    pyvips = importlib.import_module("pyvips")
    picture = pyvips.Image.new_from_buffer(data, "", n=-1)
    height = picture.get("page-height")
    whole = picture.colourspace("srgb")
    pixels = (whole if whole.bands == 4 else whole.addalpha()).cast("uchar").write_to_memory()
    page = picture.width * height * 4
    frames = [pixels[at : at + page] for at in range(0, len(pixels), page)]
    return [picture.width, height], frames, picture.get("delay"), picture.get("loop")


def _by_ffmpeg(data: bytes) -> tuple[list[int], list[bytes], list[int], int]:
    """It says nothing of how often: exiftool does, of a PNG."""
    with tempfile.NamedTemporaryFile(suffix=".avif" if data[4:8] == b"ftyp" else ".png") as file:
        file.write(data)
        file.flush()
        shown = ["-show_entries", "frame=pkt_duration_time,width,height", "-of", "json", file.name]
        told = json.loads(_output("ffprobe", "-v", "error", "-select_streams", "v:0", *shown))["frames"]
        size = [told[0]["width"], told[0]["height"]]
        how = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgba", "-"]
        pixels = _output("ffmpeg", "-v", "error", "-i", file.name, *how)
        plays = json.loads(_output("exiftool", "-j", "-n", "-AnimationPlays", file.name))[0].get("AnimationPlays", 0)
    page = size[0] * size[1] * 4
    frames = [pixels[at : at + page] for at in range(0, len(pixels), page)]
    return size, frames, [round(1000 * float(one["pkt_duration_time"])) for one in told], plays


# --- Colours --------------------------------------------------------------------------------------------------------

# Signals of 0 to 255: skin, sky, leaves, sunset; primaries; what is dark and what is bright of them.
SIGNALS = [
    *((150, 120, 105), (110, 135, 170), (90, 120, 60), (200, 120, 60), (60, 60, 60), (148, 148, 148), (191, 191, 191)),
    *((160, 40, 40), (40, 160, 40), (40, 40, 160), (190, 100, 100), (100, 190, 100), (100, 100, 190), (30, 20, 25)),
    *((220, 180, 60), (60, 180, 220), (180, 60, 220), (230, 210, 200), (20, 90, 90), (90, 20, 90), (90, 90, 20)),
]
NAMED = {"BT.2020": 9, "Display P3": 12}, {"PQ": 16, "HLG": 18}
_CHROMATICITIES = {
    "BT.709": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "BT.2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_IN_FFMPEG = {"BT.2020": "bt2020", "Display P3": "smpte432", "PQ": "smpte2084", "HLG": "arib-std-b67"}


def colours() -> Golden:
    """What sRGB has for each of the signals, 0 to 255. Light: zimg. Tone mapping: step by step as BT.2408, annex 5.
    Primaries: from their chromaticities."""
    numpy = importlib.import_module("numpy")
    found = {}
    for primaries in NAMED[0]:
        matrix = numpy.linalg.inv(_to_xyz("BT.709")) @ _to_xyz(primaries)
        for transfer in NAMED[1]:
            light = _light(primaries, transfer) @ numpy.eye(3)
            shown = numpy.clip(numpy.vectorize(_toned)(light) @ matrix.T, 0, 1)
            coded = numpy.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
            found[f"{primaries} {transfer}"] = [[round(float(255 * one), 1) for one in colour] for colour in coded]
    return {"made_by": [_version("ffmpeg", "-version")], "colours": found}


def _light(primaries: str, transfer: str) -> Any:
    """cd/m2 of each channel."""
    numpy = importlib.import_module("numpy")
    side = 16  # pixels of a signal; zimg wants some
    row = numpy.repeat(numpy.array(SIGNALS, numpy.uint8), side, axis=0)
    picture = numpy.repeat(row[None], side, axis=0)
    planes = picture[..., [1, 2, 0]].transpose(2, 0, 1).tobytes()
    names = f"color_primaries={_IN_FFMPEG[primaries]}:color_trc={_IN_FFMPEG[transfer]}:colorspace=gbr:range=pc"
    filters = f"setparams={names},zscale=transfer=linear:npl=1000:agamma=0,format=gbrpf32le"
    given = ["-f", "rawvideo", "-pix_fmt", "gbrp", "-s", f"{picture.shape[1]}x{side}", "-i", "-"]
    made = ["-vf", filters, "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-"]
    raw = numpy.frombuffer(_output("ffmpeg", "-v", "error", *given, *made, given_to=planes), "<f4")
    green, blue, red = raw.reshape(3, *picture.shape[:2])[:, side // 2, side // 2 :: side]
    return 1000 * numpy.stack([red, green, blue], axis=-1).astype(float)


def _pq(light: float) -> float:
    powered = (max(light, 0) / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * powered) / (1 + 2392 / 128 * powered)) ** (2523 / 32)


def _light_of_pq(signal: float) -> float:
    root = signal ** (32 / 2523)
    return 10_000 * (max(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)


def _toned(light: float) -> float:
    """A part of the 203 cd/m2 of white, for light of up to 1,000."""
    brightest = _pq(1000)
    one, most = min(_pq(light) / brightest, 1), _pq(203) / brightest
    start = 1.5 * most - 0.5
    two = one
    if one >= start:
        at = (one - start) / (1 - start)
        two = (2 * at**3 - 3 * at**2 + 1) * start + (at**3 - 2 * at**2 + at) * (1 - start)
        two += (-2 * at**3 + 3 * at**2) * most
    return min(_light_of_pq(two * brightest) / 203, 1)


def _to_xyz(primaries: str) -> Any:
    numpy = importlib.import_module("numpy")
    columns = numpy.array([(x / y, 1, (1 - x - y) / y) for x, y in _CHROMATICITIES[primaries]]).T
    white = numpy.array([0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329])
    return columns * numpy.linalg.solve(columns, white)


# --- Profiles -------------------------------------------------------------------------------------------------------


def profiles() -> Golden:
    """libvips' profile of Display P3, and the signals in sRGB as ImageMagick brings them there by it."""
    pyvips = importlib.import_module("pyvips")
    plain = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    wide, srgb = (plain.icc_export(output_profile=name).get("icc-profile-data") for name in ("p3", "srgb"))
    with tempfile.TemporaryDirectory() as folder:
        file, target = Path(folder, "a.png"), Path(folder, "srgb.icc")
        file.write_bytes(encoded(signals(), "PNG", icc_profile=wide))
        target.write_bytes(srgb)
        raw = _output("convert", str(file), "-profile", str(target), "-depth", "8", "rgb:-")
    made_by = [_vips_version(), _version("convert", "-version")]
    return {"made_by": made_by, "display p3": {"profile": packed(wide), "shown": packed(raw)}}


def signals() -> Image.Image:
    return Image.frombytes("RGB", (len(SIGNALS), 1), bytes(sum(SIGNALS, ())))


# --- HEIC -----------------------------------------------------------------------------------------------------------

DRAWN = landscape(48, 32)


def _ramp(size: tuple[int, int]) -> Image.Image:
    """From black to white, of 16 bits."""
    count = size[0] * size[1]
    return Image.frombytes("I;16", size, struct.pack(f"<{count}H", *(65535 * at // (count - 1) for at in range(count))))


HEIC = {
    "usual": (DRAWN, ["-q", "90"]),
    "grey": (DRAWN.convert("L"), ["-q", "90"]),
    "see-through": (see_through(DRAWN), ["-q", "90", "-p", "chroma=444"]),
    "of 10 bits": (_ramp(DRAWN.size), ["-q", "95", "-b", "10"]),
    "without loss": (DRAWN, ["-L", "-p", "chroma=444", "--matrix_coefficients=0"]),
}


def heic() -> Golden:
    """Pictures that heif-enc wrote, and the pixels that heif-convert reads in them, as RGBA."""
    found = {}
    for name, (picture, how) in HEIC.items():
        with tempfile.TemporaryDirectory() as folder:
            drawn, file, read_by = (Path(folder, name) for name in ("a.png", "a.heic", "b.png"))
            drawn.write_bytes(encoded(picture, "PNG"))
            _output("heif-enc", *how, "-o", str(file), str(drawn))
            _output("heif-convert", str(file), str(read_by))
            with Image.open(read_by) as shown:
                if shown.mode == "I;16":
                    shown = Image.frombytes("L", shown.size, shown.tobytes()[1::2])
                found[name] = {"file": packed(file.read_bytes()), "pixels": packed(shown.convert("RGBA").tobytes())}
    return {"made_by": [_version("dpkg-query", "-W", "libheif1")], "files": found}


# --- Crops ----------------------------------------------------------------------------------------------------------


def scene(number):
    """A landscape with a ball somewhere."""
    width, height = [(600, 240), (240, 600), (400, 300), (700, 200)][number % 4]
    picture = landscape(width, height)
    x, y, radius = width * (2 + number) // 9, height * (8 - number) // 9, min(width, height) // 8
    colour = ["#c8321e", "#e0a080", "#2040d0", "#f0f0f0"][number // 2 % 4]
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return picture


CROPS = {
    f"{number} to {size[0]}x{size[1]}": (scene(number), size) for number in range(8) for size in ((90, 90), (60, 100))
}


def crops() -> Golden:
    """Left, top, right and bottom of what libvips' `attention` keeps, each a part of the side."""
    pyvips = importlib.import_module("pyvips")
    found = {}
    for name, (picture, (width, height)) in CROPS.items():
        scale = min(picture.width / width, picture.height / height)
        wide, high = int(width * scale), int(height * scale)
        whole = pyvips.Image.new_from_memory(picture.tobytes(), *picture.size, 3, "uchar").copy(interpretation="srgb")
        kept = whole.smartcrop(wide, high, interesting="attention")
        left, top = -kept.xoffset, -kept.yoffset
        box = left / picture.width, top / picture.height, (left + wide) / picture.width, (top + high) / picture.height
        found[name] = [round(side, 4) for side in box]
    return {"made_by": [_vips_version()], "crops": found}


# --- Hashes ---------------------------------------------------------------------------------------------------------

HASHED = {
    **{f"scene {number}": scene(number) for number in range(8)},
    "words": landscape(300, 200, "words"),
    "grey": landscape(200, 300).convert("L"),
    "tiny": landscape(40, 30),
    "long": landscape(900, 90),
}


def hashes() -> Golden:
    imagehash = importlib.import_module("imagehash")
    found = {name: str(imagehash.phash(picture)) for name, picture in HASHED.items()}
    return {"made_by": [f"ImageHash {imagehash.__version__}"], "hashes": found}


# --- Watermarks -----------------------------------------------------------------------------------------------------

UNDER = landscape(60, 40)


def logo(by: int = 1) -> Image.Image:
    """20 by 12 pixels, softer towards its right end, with a green that is not to be seen."""
    alpha = Image.linear_gradient("L").rotate(90).resize((20 * by, 12 * by))
    mark = Image.merge("RGBA", [*Image.new("RGB", alpha.size, "#e02060").split(), alpha])
    mark.paste((0, 255, 0, 0), (0, 0, 6 * by, 6 * by))
    return mark


# The picture, by how much the file of the mark is larger than its place, its opacity, and where it comes to lie.
MARKS = {
    "opaque": (UNDER, 1, 1.0, "bottom-right", (38, 26)),
    "half": (UNDER, 1, 0.5, "top-left", (2, 2)),
    "see-through": (see_through(UNDER), 1, 1.0, "bottom-right", (38, 26)),
    "half, see-through": (see_through(UNDER), 1, 0.5, "center", (20, 14)),
    "smaller": (see_through(UNDER), 4, 0.8, "bottom-right", (38, 26)),
}


def marks() -> Golden:
    pyvips = importlib.import_module("pyvips")

    def of(picture: Image.Image) -> Any:
        whole = picture.convert("RGBA")
        raw = pyvips.Image.new_from_memory(whole.tobytes(), *whole.size, 4, "uchar")
        return raw.copy(interpretation="srgb")

    found = {}
    for name, (under, by, opacity, _, place) in MARKS.items():
        mark = of(logo(by)).premultiply().resize(1 / by).unpremultiply() * [1, 1, 1, opacity]
        mark = mark.cast("uchar").copy(interpretation="srgb")
        made = of(under).composite2(mark, "over", x=place[0], y=place[1]).cast("uchar")
        found[name] = packed(without_hidden_colours(made.write_to_memory()))
    return {"made_by": [_vips_version()], "marks": found}


# --- Metadata -------------------------------------------------------------------------------------------------------

_OF_EXIF = {
    "DateTimeOriginal": "2022:10:30 14:12:41",
    "OffsetTimeOriginal": "+01:00",
    "Make": "Google",
    "Model": "Pixel 4a",
    "LensModel": "Pixel 4a back camera",
    "GPSLatitude": "45.332394",
    "GPSLatitudeRef": "N",
    "GPSLongitude": "2.5",
    "GPSLongitudeRef": "W",
    "GPSAltitude": "12.5",
    "GPSAltitudeRef": "1",
}
_OF_XMP = {
    "XMP-exif:DateTimeOriginal": "2022:10:30 14:12:41+01:00",
    "XMP-tiff:Make": "Google",
    "XMP-tiff:Model": "Pixel 4a",
    "XMP-aux:Lens": "Pixel 4a back camera",
    "XMP-exif:GPSLatitude": "45.332394",
    "XMP-exif:GPSLongitude": "-2.5",
    "XMP-exif:GPSAltitude": "12.5",
    "XMP-exif:GPSAltitudeRef": "1",
}
_CONTAINERS = {
    "JPEG": ("jpg", ("exif", "xmp")),
    "PNG": ("png", ("exif", "xmp")),
    "WEBP": ("webp", ("exif", "xmp")),
    "TIFF": ("tif", ("exif", "xmp")),
    "AVIF": ("avif", ("exif", "xmp")),
    "GIF": ("gif", ("xmp",)),
}


def metadata() -> Golden:
    """Tiny pictures in which exiftool wrote how they were taken, and what it reads in them."""
    found = {}
    for container, (ending, kinds) in _CONTAINERS.items():
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, f"a.{ending}")
                file.write_bytes(encoded(Image.new("RGB", (8, 8), "#507090"), container))
                given = _OF_EXIF if kind == "exif" else _OF_XMP
                _output("exiftool", "-n", *(f"-{name}={value}" for name, value in given.items()), str(file))
                names = ["DateTimeOriginal", "OffsetTimeOriginal", "Make", "Model", "LensModel", "Lens"]
                signed = "Composite" if kind == "exif" else "XMP"  # the direction of EXIF's is a tag of its own
                names += [f"{signed}:GPS{name}" for name in ("Latitude", "Longitude")] + ["Composite:GPSAltitude"]
                told = _output("exiftool", "-j", "-n", *(f"-{name}" for name in names), str(file))
                read_by = {name: value for name, value in json.loads(told)[0].items() if name != "SourceFile"}
                found[f"{container} {kind}"] = {"file": packed(file.read_bytes()), "read": read_by}
    return {"made_by": [f"exiftool {_output('exiftool', '-ver').decode().strip()}"], "files": found}


PARTS: dict[str, Callable[[], Golden]] = {
    "animation": animation,
    "colours": colours,
    "crops": crops,
    "hashes": hashes,
    "heic": heic,
    "marks": marks,
    "metadata": metadata,
    "profiles": profiles,
}


def _output(*command: str, given_to: bytes | None = None) -> bytes:
    return subprocess.run(command, input=given_to, stdout=subprocess.PIPE, check=True).stdout


def _version(*command: str) -> str:
    """The first three words of its first line."""
    return " ".join(_output(*command).decode().split()[:3])


def _vips_version() -> str:
    pyvips = importlib.import_module("pyvips")
    return "libvips " + ".".join(str(pyvips.version(number)) for number in range(3))


def main(parts: Sequence[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for part in parts or PARTS:
        written = json.dumps(PARTS[part](), indent=1)
        (FOLDER / f"{part}.json").write_text(written + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
