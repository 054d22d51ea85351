"""Makes functions/imaging/profiles/press.icc again: the profile that libvips has for CMYK without one, thinned out.

The original is ArgyllCMS' "Chemical proof" by Graeme Gill, in the public domain, 940 KB. Kept are 7 steps of each ink
in the one direction needed, from inks to colours. `python -m benchmarks.press` needs pyvips.
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

PROFILE = Path(__file__).resolve().parent.parent / "functions" / "imaging" / "profiles" / "press.icc"
STEPS = 7
D50 = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))


def profile() -> bytes:
    """As ICC.1:2001-04 lays it out: a header of 128 bytes, a table of tags, the tags."""
    ramp = struct.pack(">2H", 0, 65535)  # neither inks nor colours are bent
    unit = struct.pack(">9i", *(65536 if number % 4 == 0 else 0 for number in range(9)))
    table = (
        b"mft2\0\0\0\0" + bytes([4, 3, STEPS, 0]) + unit + struct.pack(">2H", 2, 2) + ramp * 4 + colours() + ramp * 3
    )
    name = b"CMYK of an offset press\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78),
        b"cprt": b"text\0\0\0\0Public domain\0",
        b"wtpt": b"XYZ \0\0\0\0" + D50,
        b"A2B0": table,
    }
    first = 128 + 4 + 12 * len(tags)
    entries, bodies = struct.pack(">I", len(tags)), b""
    for tag, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        entries += tag + struct.pack(">2I", first + len(bodies), len(padded))
        bodies += padded
    header = (
        struct.pack(">I4xI4s4s4s12x4s28x", first + len(bodies), 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp") + D50
    )
    return header.ljust(128, b"\0") + entries + bodies


def colours() -> bytes:
    """L* of 0 to 100 as 0 to 0xFF00, a* and b* from -128 on in 256ths, for every combination of inks, black fastest."""
    import pyvips

    steps = [round(255 * step / (STEPS - 1)) for step in range(STEPS)]
    inks = list(itertools.product(steps, repeat=4))
    flat = bytes(itertools.chain.from_iterable(inks))
    picture = pyvips.Image.new_from_memory(flat, len(inks), 1, 4, "uchar").copy(interpretation="cmyk")
    lab = picture.icc_import(input_profile="cmyk", intent="relative", pcs="lab").write_to_memory()
    return b"".join(
        struct.pack(
            ">3H",
            *(min(0xFFFF, max(0, round(value))) for value in (lightness * 652.8, a * 256 + 32768, b * 256 + 32768)),
        )
        for lightness, a, b in struct.iter_unpack("3f", lab)
    )


if __name__ == "__main__":
    PROFILE.write_bytes(profile())
