"""The verdict of Validate that a picture is not taken, with the reason."""

from __future__ import annotations

from typing import Literal

RejectCode = Literal[
    "empty",
    "too_large",  # in bytes
    "too_many_pixels",
    "too_costly",  # takes more CPU than any real picture
    "unsupported_format",
    "corrupt",
    "gone",  # deleted before it was read
    "unreadable",  # S3 does not hand it over
]


class Rejected(Exception):
    """Bad input, not a failure of Darkroom. `message` is for people: the measured value and the limit."""

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def is_of_memory(fault: Exception) -> bool:
    """Whether there was too little of it, which is no property of the picture. Some decoders say it in words alone."""
    return isinstance(fault, MemoryError) or "out of memory" in str(fault).lower()
