"""What a row says of how a picture was taken and how it is stored."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image, ImageCms

from darkroom.local.pictures import animated_gif, encoded, landscape, transparent_png
from functions.imaging import Limits, examine, gif
from functions.imaging.metadata import metadata
from functions.imaging.tags import text

LIMITS = Limits(10**7, 10**6)
SMALL = landscape(32, 24)
SCHEMA = json.loads(Path("docs/schemas/row.json").read_text())["properties"]["metadata"] | {"required": []}

TAKEN = {
    "taken_at": "2022-10-30T14:12:41+01:00",
    "camera": "Google Pixel 4a",
    "lens": "Pixel 4a back camera",
    "gps": {"latitude": 45.332394, "longitude": -2.5, "altitude": -12.5},
}
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" tiff:Make="Google" tiff:Model="Pixel 4a" exif:GPSLongitude="2,30W"
 exif:GPSLatitude="45,19,56.6184N" exif:GPSAltitude="25/2" exif:GPSAltitudeRef="1" aux:Lens="Pixel 4a back camera">
<exif:DateTimeOriginal>2022-10-30T14:12:41.25+01:00</exif:DateTimeOriginal>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def exif(**changed):
    """What such a camera writes. `changed` has tags of the EXIF directory by their numbers, as `_0x9003`."""
    block = Image.Exif()
    block.update({0x010F: "Google", 0x0110: "Pixel 4a"})
    inside = {0x9003: "2022:10:30 14:12:41", 0x9011: "+01:00", 0xA434: "Pixel 4a back camera"}
    block.get_ifd(0x8769).update(inside | {int(tag[1:], 16): value for tag, value in changed.items()})
    place = {1: "N", 2: (45.0, 19.0, 56.6184), 3: "W", 4: (2.0, 30.0, 0.0), 5: b"\1", 6: 12.5}
    block.get_ifd(0x8825).update(place)
    return block


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_is_read_in_every_container(name):
    block = exif()
    directories = {tag: dict(block.get_ifd(tag)) for tag in (0x8769, 0x8825)}
    options = {"tiffinfo": dict(block) | directories} if name == "TIFF" else {"exif": block}
    found = examine(encoded(SMALL, name, **options), LIMITS).metadata
    assert {member: found[member] for member in TAKEN} == TAKEN


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF"])
def test_xmp_is_read_in_every_container(name):
    options = {"tiffinfo": {700: XMP.encode()}} if name == "TIFF" else {"xmp": XMP.encode()}
    if name in ("PNG", "GIF"):
        data = with_xmp() if name == "PNG" else gif_with_xmp(XMP.encode())
    else:
        data = encoded(SMALL, name, **options)
    found = examine(data, LIMITS).metadata
    assert {member: found[member] for member in TAKEN} == TAKEN


def with_xmp():
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_itxt("XML:com.adobe.xmp", XMP)
    return encoded(SMALL, "PNG", pnginfo=said)


def gif_with_xmp(packet, end=bytes([1, *range(255, -1, -1), 0])):
    """XMP, part 3, 1.1.2: before the first frame, and in no blocks."""
    data = animated_gif(32, 24, frames=3)
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + b"!\xff\x0bXMP DataXMP" + packet + end + data[at:]


def test_the_camera_is_believed_before_an_editor():
    assert metadata(exif(_0x9003="2020:01:02 03:04:05", _0x9011="").tobytes(), XMP.encode())["taken_at"] == (
        "2020-01-02T03:04:05"
    )


@pytest.mark.parametrize(
    ("time", "offset", "taken_at"),
    [
        ("2022:10:30 14:12:41", "", "2022-10-30T14:12:41"),
        ("2022:10:30 14:12:41", "-09:30", "2022-10-30T14:12:41-09:30"),
        ("2022:10:30 14:12:41", "Z", "2022-10-30T14:12:41+00:00"),
        ("2022:10:30 14:12:41", "+99:99", None),
        ("0000:00:00 00:00:00", "", None),
        ("2022:13:30 14:12:41", "", None),
        ("yesterday", "", None),
    ],
)
def test_a_time_that_is_none_is_left_out(time, offset, taken_at):
    assert metadata(exif(_0x9003=time, _0x9011=offset).tobytes(), b"").get("taken_at") == taken_at


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 11", "Apple iPhone 11"),
        ("Canon\0junk", "  Canon   EOS 5D ", "Canon EOS 5D"),
        ("", "X100", "X100"),
        ("Leica", "", None),
        ("Leica", "\x1b[2J", None),
        ("Leica", "M" * 101, None),
    ],
)
def test_a_camera_is_named_as_people_name_it(make, model, camera):
    block = Image.Exif()
    block.update({0x010F: make, 0x0110: model})
    assert metadata(block.tobytes(), b"").get("camera") == camera


HOSTILE = pytest.mark.parametrize(
    "hostile",
    [
        b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]>" + XMP.replace("Pixel 4a", "&b;").encode(),
        XMP.encode()[:-5],
        b"<?xml version='1.0' encoding='none'?>" + XMP.encode(),
        XMP.encode().ljust((1 << 18) + 1),
        XMP.replace("45,19", "95,19").replace("14:12", "34:12").replace("Pixel", "\u202e").encode(),
        b"\0" * 100,
    ],
    ids=["entities", "cut short", "unknown encoding", "too large", "impossible values", "zeros"],
)


@HOSTILE
def test_hostile_xmp_says_nothing(hostile):
    assert metadata(b"", hostile) == {}


@HOSTILE
def test_hostile_xmp_of_a_gif_says_nothing_and_leaves_its_frames(hostile):
    facts = examine(gif_with_xmp(hostile.replace(b"\0", b"\1")), LIMITS)
    assert facts.frames == 3
    assert facts.metadata.keys() == {"orientation", "animated", "bits", "has_alpha"}


def test_xmp_of_a_gif_without_its_end_says_nothing():
    """Whatever the walk over its blocks meets instead."""
    packet = XMP.encode()
    for end in (b"", b"\0", bytes([1, *range(254, -1, -1), 0]), bytes(300)):
        data = gif_with_xmp(packet, end)
        for part in (data, data[: len(data) // 2]):
            with suppress(ValueError):  # as of its frames, where Pillow would find the first one elsewhere
                assert gif.xmp(part) == b""


@given(st.data())
def test_whatever_the_bytes_say_is_of_the_documented_form(data):
    """Bytes of a real block and of real XMP, some of them changed."""

    def changed(block: bytes) -> bytes:
        changes = data.draw(st.dictionaries(st.integers(0, len(block) - 1), st.integers(0, 255), max_size=12))
        return bytes(changes.get(at, byte) for at, byte in enumerate(block))

    found = metadata(changed(exif().tobytes()), changed(XMP.encode()))
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(found)))


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        (encoded(SMALL, "JPEG"), {"has_alpha": False, "animated": False, "bits": 8, "orientation": 1}),
        (transparent_png(32, 24), {"has_alpha": True, "animated": False, "bits": 8}),
        (animated_gif(32, 24), {"animated": True, "bits": 8}),
        (encoded(SMALL, "WEBP", save_all=True, append_images=[landscape(32, 24).rotate(180)]), {"animated": True}),
        (encoded(SMALL, "TIFF", save_all=True, append_images=[SMALL]), {"animated": False}),
        (encoded(SMALL.convert("I;16"), "PNG"), {"bits": 16}),
        (encoded(SMALL.convert("1"), "PNG"), {"bits": 1}),
        (encoded(SMALL.quantize(4), "PNG"), {"bits": 8}),
        (encoded(SMALL.convert("1"), "TIFF"), {"bits": 1}),
        (encoded(SMALL.convert("F"), "TIFF"), {"bits": 32}),
        (encoded(SMALL, "AVIF", speed=10), {"bits": 8}),
        (encoded(SMALL, "BMP"), {"bits": 8, "has_alpha": False}),
    ],
)
def test_how_a_picture_is_stored(data, stored):
    found = examine(data, LIMITS).metadata
    assert {member: found[member] for member in stored} == stored
    Draft202012Validator(SCHEMA).validate(found)


def test_a_profile_is_named():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    assert examine(encoded(SMALL, "JPEG", icc_profile=profile.tobytes()), LIMITS).metadata["color_profile"] == (
        "sRGB built-in"
    )
    assert "color_profile" not in examine(encoded(SMALL, "JPEG"), LIMITS).metadata
    assert "color_profile" not in examine(encoded(SMALL, "JPEG", icc_profile=b"none" * 99), LIMITS).metadata


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_a_text_is_short_and_printable(said):
    found = text(said)
    assert found is None or (0 < len(found) <= 100 and found.isprintable())
