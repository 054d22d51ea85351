"""What a picture's EXIF and XMP say of how it was taken. What makes no sense is left out: nothing here fails a picture.

EXIF 2.32: https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf; XMP:
https://developer.adobe.com/xmp/docs/XMPNamespaces/exif/. Where both say something, EXIF counts: cameras write it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from functions.imaging import tags

MAKE, MODEL, EXIF_DIRECTORY, GPS_DIRECTORY = 0x010F, 0x0110, 0x8769, 0x8825
TAKEN_AT, OFFSET, LENS = 0x9003, 0x9011, 0xA434
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE, ALTITUDE_REF, ALTITUDE = range(1, 7)

MAX_XMP = 1 << 18  # bytes; beside what is read here, editors keep their history in it

_NAMESPACES = {
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
}
_TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?(?:\.\d*)?")
_OFFSET = re.compile(r"Z|[+-]\d\d:\d\d")
_DEGREES = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d{1,10})?)(?:,(\d{1,2}(?:\.\d{1,10})?))?([NSEW])")
_FRACTION = re.compile(r"(\d{1,10})(?:/(\d{1,10}))?")

Found = dict[str, Any]


def metadata(exif: bytes, xmp: bytes) -> Found:
    """`taken_at`, `camera`, `lens` and `gps`, those that are known. exif: with or without the `Exif` prefix; a TIFF is
    one as well.

    `taken_at` is of ISO 8601, in seconds, with an offset only where the camera knew it. `gps` has `latitude` and
    `longitude` in degrees, north and east positive, and perhaps `altitude` in metres.
    """
    return _of_xmp(xmp) | _of_exif(exif.removeprefix(b"Exif\0\0"))


def _of_exif(block: bytes) -> Found:
    first = tags.first_directory(block, {MAKE, MODEL, EXIF_DIRECTORY, GPS_DIRECTORY})
    exif = _beside(block, first, EXIF_DIRECTORY, {TAKEN_AT, OFFSET, LENS})
    gps = _beside(block, first, GPS_DIRECTORY, {*range(LATITUDE_REF, ALTITUDE + 1)})
    latitude = _of_sexagesimal(gps.get(LATITUDE), tags.text(gps.get(LATITUDE_REF)), "NS")
    longitude = _of_sexagesimal(gps.get(LONGITUDE), tags.text(gps.get(LONGITUDE_REF)), "EW")
    above = gps.get(ALTITUDE)
    altitude = above[0] if isinstance(above, tuple) and above else None
    return _known(
        taken_at=_time(tags.text(exif.get(TAKEN_AT)), tags.text(exif.get(OFFSET))),
        camera=_camera(tags.text(first.get(MAKE)), tags.text(first.get(MODEL))),
        lens=tags.text(exif.get(LENS)),
        gps=_position(latitude, longitude, _height(altitude, gps.get(ALTITUDE_REF))),
    )


def _beside(block: bytes, first: tags.Tags, pointer: int, wanted: set[int]) -> tags.Tags:
    place = first.get(pointer)
    return next(tags.directories(block, wanted, at=place), {}) if isinstance(place, int) and place else {}


def _height(altitude: float | None, reference: object) -> float | None:
    """Above the sea, unless the reference says below."""
    return -altitude if altitude and reference in (b"\1", "1") else altitude


def _of_sexagesimal(parts: object, reference: str | None, directions: str) -> float | None:
    """Degrees of degrees, minutes and seconds."""
    if not (isinstance(parts, tuple) and len(parts) == 3 and reference and reference in directions):
        return None
    degrees: float = parts[0] + parts[1] / 60 + parts[2] / 3600
    return -degrees if reference == directions[1] else degrees


def _of_xmp(xmp: bytes) -> Found:
    said = _properties(xmp)
    taken_at = said.get("exif:DateTimeOriginal") or said.get("photoshop:DateCreated") or ""
    offset = _OFFSET.search(taken_at, len("2026-11-24T14:43"))
    latitude, longitude = (_degrees(said.get(f"exif:GPS{name}", "")) for name in ("Latitude", "Longitude"))
    altitude = _fraction(said.get("exif:GPSAltitude", ""))
    return _known(
        taken_at=_time(taken_at, offset[0] if offset else None),
        camera=_camera(tags.text(said.get("tiff:Make")), tags.text(said.get("tiff:Model"))),
        lens=tags.text(said.get("exifEX:LensModel") or said.get("aux:Lens")),
        gps=_position(latitude, longitude, _height(altitude, said.get("exif:GPSAltitudeRef"))),
    )


def _properties(xmp: bytes) -> Mapping[str, str]:
    """The simple ones of the namespaces that are read here, written as attributes or as elements; the first of each."""
    if not xmp or len(xmp) > MAX_XMP or b"<!" in xmp:  # a declaration could define entities, which it never needs
        return {}
    from xml.etree import ElementTree  # which only pictures with XMP pay for

    try:
        root = ElementTree.fromstring(xmp.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):  # the last two of an encoding that is not known
        return {}
    said: dict[str, str] = {}
    for element in root.iter():
        for name, text in ((element.tag, element.text or ""), *element.attrib.items()):
            namespace, _, local = name.removeprefix("{").partition("}")
            if namespace in _NAMESPACES and text.strip():
                said.setdefault(f"{_NAMESPACES[namespace]}:{local}", text.strip())
    return said


def _degrees(degrees: str) -> float | None:
    """Such as `52,31.2N` or `13,24,36E`."""
    found = _DEGREES.fullmatch(degrees)
    if not found:
        return None
    whole = int(found[1]) + float(found[2]) / 60 + float(found[3] or 0) / 3600
    return -whole if found[4] in "SW" else whole


def _fraction(said: str) -> float | None:
    found = _FRACTION.fullmatch(said)
    below = int(found[2] or 1) if found else 0
    return int(found[1]) / below if found and below else None


def _time(text: str | None, offset: str | None) -> str | None:
    found = _TIME.match(text or "")
    if not found:
        return None
    try:
        time = datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
        zone = offset if offset and _OFFSET.fullmatch(offset) else ""
        return datetime.fromisoformat(time.isoformat() + zone).isoformat()
    except ValueError:  # such as month 13, or all zeros, which say that nobody set the clock
        return None


def _camera(make: str | None, model: str | None) -> str | None:
    """Most models name their maker already: of `NIKON CORPORATION` and `NIKON D750` the second says it all."""
    if not (make and model):
        return model
    return model if model.lower().startswith(make.split()[0].lower()) else f"{make} {model}"


def _position(latitude: float | None, longitude: float | None, altitude: float | None) -> Found | None:
    """None unless it is a place on earth. Of the sixth digit a degree has 11 cm."""
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    found = {"latitude": round(latitude, 6), "longitude": round(longitude, 6)}
    has_altitude = altitude is not None and math.isfinite(altitude) and abs(altitude) < 100_000
    return found | ({"altitude": round(altitude, 1)} if has_altitude and altitude is not None else {})


def _known(**facts: object) -> Found:
    return {name: fact for name, fact in facts.items() if fact is not None}
