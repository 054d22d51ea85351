"""ICC profiles of colour spaces that a file only names, by the numbers of ITU-T H.273.

PQ and HLG (ITU-R BT.2100) are brought to what a screen without HDR can show as ITU-R BT.2408, annex 5, does, each
channel by itself: light of up to 1,000 cd/m2 into the 203 that white has, so that only what is bright is pressed
together. What light a channel of HLG means depends on the other two, so that its profile is a table.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product

_BT709, _BT2020, _P3 = 1, 9, 12  # colour primaries
_PQ, _HLG = 16, 18  # transfer characteristics
_SRGB = {1, 2, 6, 13, 14, 15}  # those that are sRGB's, are shown as that, or are unsaid

# Red, green and blue in XYZ, brought from D65 to the D50 of ICC by Bradford's method.
_PRIMARIES = {
    _BT709: ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    _BT2020: ((0.67348, 0.27904, -0.00193), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79685)),
    _P3: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
}
# How much of the luminance each has, IEC 61966-2-1, BT.2020 and SMPTE EG 432-1.
_LUMINANCE = {_BT709: (0.2126, 0.7152, 0.0722), _BT2020: (0.2627, 0.678, 0.0593), _P3: (0.229, 0.6917, 0.0793)}
_NAMES = {_BT709: "BT.709", _BT2020: "BT.2020", _P3: "Display P3"}

BRIGHTEST, WHITE = 1000.0, 203.0  # cd/m2: of the HDR picture, and what becomes white (BT.2408, 2.1)

STEPS = 1024  # of a curve; PQ is so steep that fewer show

# Of a table, a side. It holds light to the power of 1 / CODED, which is nearly straight along HLG's own scale.
NODES, CODED = 17, 2.4

_D50 = 0.9642, 1.0, 0.8249


@cache
def profile(primaries: int, transfer: int) -> bytes | None:
    """None for sRGB itself, whose colours stay as they are. Raises LookupError for numbers that are not known here."""
    if primaries not in _PRIMARIES or transfer not in {*_SRGB, _PQ, _HLG}:
        raise LookupError(f"colour primaries {primaries}, transfer {transfer}")
    name = _NAMES[primaries]
    if transfer in _SRGB:
        return None if primaries == _BT709 else _written(name, _curves(primaries, srgb))
    if transfer == _PQ:
        return _written(f"{name} PQ", _curves(primaries, lambda value: toned(pq(value))))
    return _written(f"{name} HLG", _table(primaries))


def pq(value: float) -> float:
    """cd/m2 of a signal of 0 to 1: BT.2100, table 4."""
    root: float = value ** (1 / 78.84375)
    light: float = 10_000 * (max(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return light


def hlg(colour: Sequence[float], luminance: Sequence[float]) -> list[float]:
    """The same of the three of HLG, on a screen of 1,000 cd/m2: BT.2100, table 5."""
    scene = [_scene(value) for value in colour]
    seen: float = sum(part * value for part, value in zip(luminance, scene, strict=True)) ** 0.2
    return [BRIGHTEST * seen * value for value in scene]


def _scene(value: float) -> float:
    return value * value / 3 if value <= 0.5 else (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12


def toned(light: float) -> float:
    """What of white a screen shows for so many cd/m2: BT.2408, annex 5, between the darkest, 0, and the brightest."""
    most = _to_pq(WHITE) / _to_pq(BRIGHTEST)
    value, knee = min(1.0, _to_pq(light) / _to_pq(BRIGHTEST)), 1.5 * most - 0.5
    if value > knee:
        at = (value - knee) / (1 - knee)
        value = (
            (2 * at**3 - 3 * at**2 + 1) * knee + (at**3 - 2 * at**2 + at) * (1 - knee) + (-2 * at**3 + 3 * at**2) * most
        )
    return min(1.0, pq(value * _to_pq(BRIGHTEST)) / WHITE)


def _to_pq(light: float) -> float:
    root: float = (light / 10_000) ** 0.1593017578125
    signal: float = ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375
    return signal


def srgb(value: float) -> float:
    """Light, as a part of white: IEC 61966-2-1."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


Tagged = list[tuple[tuple[bytes, ...], bytes]]  # the names of each tag that is the same, and what it says


def _curves(primaries: int, curve: Callable[[float], float]) -> Tagged:
    """One for all three channels."""
    steps = [round(65535 * curve(step / (STEPS - 1))) for step in range(STEPS)]
    return [
        *(((name,), _xyz(one)) for name, one in zip((b"rXYZ", b"gXYZ", b"bXYZ"), _PRIMARIES[primaries], strict=True)),
        ((b"rTRC", b"gTRC", b"bTRC"), b"curv\0\0\0\0" + struct.pack(f">I{STEPS}H", STEPS, *steps)),
    ]


def _table(primaries: int) -> Tagged:
    """Of HLG, as ICC.1:2022, 10.12, lays it out: no curves, the table, a curve for all three, a matrix, no curves."""
    sides = [step / (NODES - 1) for step in range(NODES)]
    light = (hlg(colour, _LUMINANCE[primaries]) for colour in product(sides, repeat=3))
    held = [round(65535 * toned(one) ** (1 / CODED)) for colour in light for one in colour]
    plain, power = 3 * (b"curv" + bytes(8)), 3 * (b"para" + bytes(8) + struct.pack(">i", round(CODED * 65536)))
    rows = zip(*_PRIMARIES[primaries], strict=True)
    to_xyz = struct.pack(">12i", *(round(part * 65536 * 32768 / 65535) for row in rows for part in row), 0, 0, 0)
    table = bytes([NODES] * 3).ljust(16, b"\0") + b"\2\0\0\0" + struct.pack(f">{len(held)}H", *held)
    parts = plain, to_xyz, power, table.ljust(-(-len(table) // 4) * 4, b"\0"), plain
    places = [32 + sum(map(len, parts[:number])) for number in range(len(parts))]
    return [((b"A2B0",), b"mAB \0\0\0\0\3\3\0\0" + struct.pack(">5I", *places) + b"".join(parts))]


def _written(name: str, colours: Tagged) -> bytes:
    """As ICC.1:2022 lays it out: a header of 128 bytes, a table of tags, the tags."""
    bodies: Tagged = [
        ((b"desc",), _text(name)),
        ((b"cprt",), _text("Public domain")),
        ((b"wtpt",), _xyz(_D50)),
        *colours,
    ]
    count = sum(len(names) for names, _ in bodies)
    entries, data, place = struct.pack(">I", count), b"", 128 + 4 + 12 * count
    for names, body in bodies:
        entries += b"".join(tag + struct.pack(">2I", place + len(data), len(body)) for tag in names)
        data += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x", place + len(data), 0x04400000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    ) + struct.pack(">3i", *(round(value * 65536) for value in _D50))
    return header.ljust(128, b"\0") + entries + data


def _text(said: str) -> bytes:
    return b"mluc\0\0\0\0" + struct.pack(">2I2s2s2I", 1, 12, b"en", b"US", 2 * len(said), 28) + said.encode("utf-16-be")


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))
