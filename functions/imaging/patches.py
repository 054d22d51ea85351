"""A frame of a GIF or a PNG as it is stored: a picture of its own, its place, and what it leaves there."""

KEEP, BACKGROUND, PREVIOUS = range(3)  # itself, nothing, what was there before it: as PNG counts (PNG 3, 11.3.7.2)


class Patch:
    """`data` is a file of the format that has this picture alone. `blends`: what lies under it shows through."""

    __slots__ = ("blends", "data", "leaves", "milliseconds", "place")

    def __init__(self, data: bytes, place: tuple[int, int], leaves: int, milliseconds: float, *, blends: bool) -> None:
        self.data, self.place, self.leaves, self.milliseconds, self.blends = data, place, leaves, milliseconds, blends
