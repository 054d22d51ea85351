"""The verdict that ends a picture's way at Validate: it is not one we take, and why."""

from __future__ import annotations


class Rejected(Exception):
    """Bad input, not a failure of ours. `message` is for people: the value measured and the limit.

    code: `empty`, `too_large`, `too_many_pixels`, `too_costly`, `unsupported_format`, `corrupt`; `gone` if it is no
    longer there, `unreadable` if S3 does not hand it over.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
