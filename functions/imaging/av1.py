"""What AV1 code says of its frames before a decoder is asked: https://aomediacodec.github.io/av1-spec/#obu-syntax"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

SEQUENCE_HEADER, FRAME_HEADER, FRAME = 1, 3, 6  # obu_type

# In one picture: real ones have a header and a frame for each tile of a grid, of which there may be some hundreds.
MAX_UNITS = 20_000


def frames(codes: Iterable[bytes | memoryview]) -> tuple[tuple[int, int], int]:
    """The size of the largest frame, and the pixels of all of them, also of those that are never shown.

    codes: of each item by itself. Raises ValueError for more units than MAX_UNITS.
    """
    largest, pixels, units = (0, 0), 0, 0
    for code in codes:
        size = 0, 0
        for kind, body in _units(code):
            units += 1
            if units > MAX_UNITS:
                raise ValueError(f"more than {MAX_UNITS:,} units of code")
            if kind == SEQUENCE_HEADER:
                size = max(size, _size(body), key=prod)
            elif kind in (FRAME_HEADER, FRAME):
                pixels += prod(size)
        largest = max(largest, size, key=prod)
    return largest, pixels


def _units(code: bytes | memoryview) -> Iterator[tuple[int, bytes | memoryview]]:
    """The type and the content of each, up to one that is broken. Section 5.3."""
    at = 0
    while at < len(code):
        kind, extended, counted = code[at] >> 3 & 15, code[at] & 4, code[at] & 2
        at += 2 if extended else 1
        length = len(code) - at
        if counted:
            length = 0
            for number in range(8):  # leb128, 4.10.5
                if at >= len(code):
                    return
                byte = code[at]
                length |= (byte & 127) << 7 * number
                at += 1
                if not byte & 128:
                    break
        yield kind, code[at : at + length]
        at += length


def _size(header: bytes | memoryview) -> tuple[int, int]:
    """max_frame_width and max_frame_height of a sequence header, section 5.5.1; frames may be smaller, not larger."""
    bits = _Bits(bytes(header[:2048]))  # 32 operating points take some 400 bytes
    bits.take(4)  # seq_profile, still_picture
    if bits.take(1):  # reduced_still_picture_header
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width, height = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width) + 1, bits.take(height) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay = 0  # bits of a buffer's delay, where there is a decoder model
    if bits.take(1):  # timing_info_present_flag
        bits.take(64)
        if bits.take(1):  # equal_picture_interval
            bits.skip_uvlc()
        if bits.take(1):  # decoder_model_info_present_flag
            delay = bits.take(5) + 1
            bits.take(42)
    displayed = bits.take(1)  # initial_display_delay_present_flag
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # seq_level_idx
            bits.take(1)
        if delay and bits.take(1):
            bits.take(2 * delay + 1)
        if displayed and bits.take(1):
            bits.take(4)


class _Bits:
    """Reads numbers of any length, the highest bit first; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data + bytes(16), "big"), 8 * (len(data) + 16)

    def take(self, count: int) -> int:
        self._left -= count
        return self._number >> max(self._left, 0) & (1 << count) - 1

    def skip_uvlc(self) -> None:
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        self.take(zeros)
