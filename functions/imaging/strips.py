"""What the pixels of a TIFF are cut into, strips or tiles, and whether a decoder can read them at a bounded cost."""

from __future__ import annotations

from math import prod

from functions.imaging import jpeg, tags
from functions.imaging.errors import Rejected
from functions.imaging.tags import number, numbers

BITS, COMPRESSION, OFFSETS, SAMPLES, ROWS, COUNTS, PLANES = 0x0102, 0x0103, 0x0111, 0x0115, 0x0116, 0x0117, 0x011C
TILE_OFFSETS, TILE_COUNTS = 0x0144, 0x0145
PLAIN, JPEG = 1, 7
APART = 2  # PlanarConfiguration: one plane for each sample

_SIDES = ((tags.WIDTH, tags.TILE_WIDTH), (tags.HEIGHT, tags.TILE_HEIGHT))

# The decoder begins anew for each. 10,000 rows in planes, each row a strip, are 30,000.
MAX_PIECES = 100_000

# Bytes that one of them may have for each pixel that is taken: it is unpacked whole, beside the picture. And that all
# may have of numbers in double precision, whose predictor and whose holes take longest.
LARGEST_PIECE, DOUBLE = 6, 64

# Pixels that tiles may cover, however small the page: one of 4096x4096. Of a larger page four times as many.
LEAST_COVERED = 4096 * 4096

MOST_AGAIN = 1_000_000  # bytes that may be read a second time

SEGMENTS_OF_ONE = 50  # of the JPEG in a strip or tile


def pages(data: bytes) -> tuple[int, tuple[int, int]]:
    """How many there are, and the size of the largest, with its tiles in full: each is unpacked whole, however little
    of it the page shows. Thumbnails and masks are no pages."""
    count, largest = 0, (0, 0)
    wanted = {tag for side in _SIDES for tag in side}
    for page in tags.directories(data, wanted | {tags.SUBFILE_TYPE}):
        count += not number(page, tags.SUBFILE_TYPE) & (tags.THUMBNAIL | tags.MASK)
        width, height = (_in_full(number(page, whole), number(page, part)) for whole, part in _SIDES)
        largest = max(largest, (width, height), key=prod)
    return count, largest


def _in_full(side: int, piece: int) -> int:
    """Up to a quarter more than the page does not count: a picture in tiles has that by right."""
    covered = -(-max(side, 1) // piece) * piece if piece else side
    return side if 4 * covered <= 5 * side else covered


def check(data: bytes, max_pixels: int) -> None:
    """Raises Rejected if the first page, which is the one that is decoded, costs far more than its pixels should."""
    wanted = {tag for side in _SIDES for tag in side} | {COMPRESSION, SAMPLES, ROWS, PLANES}
    page = next(tags.directories(data, wanted, {BITS}), {})
    width, height = number(page, tags.WIDTH), number(page, tags.HEIGHT)
    wide, high = number(page, tags.TILE_WIDTH), number(page, tags.TILE_HEIGHT)
    if not (wide and high):
        wide, high = width, min(number(page, ROWS) or height, height)
    across, down, samples = -(-width // wide), -(-height // high), number(page, SAMPLES, 1)
    planes = samples if number(page, PLANES) == APART else 1
    if across * down * planes > MAX_PIECES:
        raise Rejected("too_costly", f"TIFF of {across * down * planes:,} strips or tiles, limit {MAX_PIECES:,}")
    covered, most = across * wide * down * high, max(4 * width * height, LEAST_COVERED)
    if covered > most:
        what = f"TIFF of {width}x{height} pixels whose tiles of {wide}x{high} cover {covered / 1e6:.1f} MP"
        raise Rejected("too_costly", f"{what}, limit {most / 1e6:.1f} MP")
    bits = int((numbers(page, BITS) or (1,))[0])
    size = wide * high * bits * samples // planes // 8
    if bits == DOUBLE:
        size = max(size, width * height * samples * bits // 8)
    if size > LARGEST_PIECE * max_pixels:
        what = f"TIFF with {'doubles' if bits == DOUBLE else 'a strip or tile'} of {size / 1e6:,.1f} MB"
        raise Rejected("too_costly", f"{what}, limit {LARGEST_PIECE * max_pixels / 1e6:,g} MB")
    if (compression := number(page, COMPRESSION, PLAIN)) != PLAIN:
        places = _places(data)
        _check_bytes(data, places)
        if compression == JPEG:
            _check_scans(data, places)


def _places(data: bytes) -> list[tuple[int, int]]:
    """Where each strip or tile begins, and how long it is."""
    found = next(tags.directories(data, (), {OFFSETS, COUNTS, TILE_OFFSETS, TILE_COUNTS}, most=MAX_PIECES), {})
    offsets = numbers(found, TILE_OFFSETS) or numbers(found, OFFSETS)
    counts = numbers(found, TILE_COUNTS) or numbers(found, COUNTS)
    if len(offsets) < 2 or len(counts) < len(offsets):  # libtiff works out the counts that are missing or cannot be
        counts = (len(data),) * len(offsets)
    return [(int(offset), min(int(count), len(data))) for offset, count in zip(offsets, counts, strict=False)]


def _check_bytes(data: bytes, places: list[tuple[int, int]]) -> None:
    """Strips and tiles may be the same one where they are small, as of one colour, and not where that would be dear."""
    read, most = sum(count for _, count in places), len(data) + MOST_AGAIN
    if read > most:
        what = f"TIFF with {read:,} bytes in strips or tiles that overlap"
        raise Rejected("too_costly", f"{what}, limit {most:,}")


def _check_scans(data: bytes, places: list[tuple[int, int]]) -> None:
    """JPEG in strips and tiles is sequential (TIFF Technical Note 2): no component is painted twice."""
    for offset, count in set(places):
        painted, components = jpeg.painted(data, offset, offset + count, SEGMENTS_OF_ONE)
        if painted > components:
            what = f"TIFF with a strip or tile that paints {components} components {painted} times"
            raise Rejected("too_costly", f"{what}, limit {components}")
