"""Writes TIFFs by hand, of every kind that the tests ask for: TIFF 6.0 and BigTIFF."""

import struct
import zlib

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
SHORT, LONG, TEXT, SINGLE, DOUBLE, LONG8 = 3, 4, 2, 11, 12, 16
LETTERS = {SHORT: "H", LONG: "L", SINGLE: "f", DOUBLE: "d", LONG8: "Q"}
SAMPLES = {
    (UNSIGNED, 8): "B",
    (UNSIGNED, 16): "H",
    (UNSIGNED, 32): "L",
    (UNSIGNED, 64): "Q",
    (SIGNED, 8): "b",
    (SIGNED, 16): "h",
    (SIGNED, 32): "l",
    (SIGNED, 64): "q",
    (FLOAT, 16): "e",
    (FLOAT, 32): "f",
    (FLOAT, 64): "d",
}


def tiff(rows, *, bits=8, kind=UNSIGNED, order="<", big=False, apart=False, deflated=False, strip=None, tags=()):
    """Rows of pixels, each a tuple of samples. `tags` are (tag, kind, values); of two of a kind the later counts."""
    samples = len(rows[0][0])
    planes = [[[(pixel[number],) for pixel in row] for row in rows] for number in range(samples)] if apart else [rows]
    high = strip or len(rows)
    strips = [
        b"".join(packed(row, bits, kind, order) for row in plane[top : top + high])
        for plane in planes
        for top in range(0, len(rows), high)
    ]
    entries = {
        256: (LONG, [len(rows[0])]),
        257: (LONG, [len(rows)]),
        258: (SHORT, [bits] * samples),
        259: (SHORT, [8 if deflated else 1]),
        262: (SHORT, [1]),
        277: (SHORT, [samples]),
        278: (LONG, [high]),
        284: (SHORT, [2 if apart else 1]),
        339: (SHORT, [kind] * samples),
        **{tag: (of, values) for tag, of, values in tags},
    }
    return container([(entries, [zlib.compress(part) if deflated else part for part in strips])], order, big)


def packed(row, bits, kind, order):
    """Whole bytes in the order of the file; smaller samples, and those of 12 bits, one behind the other."""
    values = [sample for pixel in row for sample in pixel]
    if bits in (1, 2, 4, 12):
        text = "".join(f"{value:0{bits}b}" for value in values)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")
    return struct.pack(f"{order}{len(values)}{SAMPLES[kind, bits]}", *values)


def container(directories, order="<", big=False, inner=()):
    """Of each directory its entries and strips. `inner` are those of the first's SubIFDs, not of the chain."""
    offset, count = ("Q", "Q") if big else ("L", "H")
    body = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    body += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
    link = 8 if big else 4
    sub = [at for entries, strips in inner for at in [written(body, entries, strips, order, big)]]
    for number, (entries, strips) in enumerate(directories):
        more = {330: (LONG, sub)} if sub and not number else {}
        at = written(body, entries | more, strips, order, big)
        struct.pack_into(order + offset, body, link, at)
        (length,) = struct.unpack_from(order + count, body, at)
        link = at + struct.calcsize(order + count) + length * (20 if big else 12)
    return bytes(body)


def written(body, entries, strips, order, big):
    """Appends the strips and the directory, and returns where it is."""
    room, offset, count = (8, "Q", "Q") if big else (4, "L", "H")
    offsets = []
    for part in strips:
        offsets.append(len(body))
        body += part + bytes(len(part) % 2)
    entries = dict(entries)
    if strips and 324 not in entries and 322 not in entries:
        entries |= {273: (LONG, offsets), 279: (LONG, [len(part) for part in strips])}
    elif strips:
        entries |= {324: (LONG, offsets), 325: (LONG, [len(part) for part in strips])}
        entries.pop(278, None)
    lines = []
    for tag, (kind, values) in sorted(entries.items()):
        raw = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{LETTERS[kind]}", *values)
        if len(raw) > room:
            place = len(body)
            body += raw + bytes(len(raw) % 2)
            raw = struct.pack(order + offset, place)
        lines.append(struct.pack(f"{order}HH{offset}", tag, kind, len(values)) + raw.ljust(room, b"\0"))
    at = len(body)
    body += struct.pack(order + count, len(lines)) + b"".join(lines) + bytes(room)
    return at
