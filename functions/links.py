"""Signed URLs of pictures in any size, `/i/<signature>/<options>/<upload key>`, and the URL of a rendition.

The options are `name_value`, separated by commas, in the order of `OPTIONS`: `w_640,h_480,fit_cover,f_auto`. The
signature is the base64url, without padding, of the first 20 bytes of HMAC-SHA256 over `<options>/<upload key>` as text
in UTF-8, before any of it is percent-encoded. docs/delivery.md explains it, docs/examples/ signs in five languages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

LONGEST_SIDE = 16383  # pixels: WebP holds 14 bits a side
SIGNED_BYTES = 20  # 160 bits of SHA-256's 256
DAY = 86_400  # seconds
LAST_DAY = 253_402_214_400  # Unix time of 9999-12-31

# Browsers resolve such parts of a path before they send it, also where they are percent-encoded.
_RESOLVED = re.compile(r"(^|/)\.{1,2}(/|$)")


class LinkError(Exception):
    """A URL that is not answered. `status` is HTTP's; `message` is for people: the value found and what is allowed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def _wrong(option: str, why: str) -> LinkError:
    return LinkError(400, "wrong_option", f"{option}: {why}")


def rung(side: int) -> int:
    """The side of the ladder that is not smaller. Its steps are 16 pixels up to 256, 32 up to 512, 64 up to 1,024, and
    so on: above 128, at most an eighth more than asked for."""
    step = max(16, 1 << max(0, (side - 1).bit_length() - 4))
    return min(LONGEST_SIDE, -(-side // step) * step)


def _number(name: str, value: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", value) or not 1 <= int(value) <= most:
        raise _wrong(f"{name}_{value}", f"must be a whole number from 1 to {most}")
    return int(value)


def _side(name: str, value: str) -> int:
    return rung(_number(name, value, LONGEST_SIDE))


def _quality(name: str, value: str) -> int:
    return _number(name, value, 100)


def _end_of_a_day(name: str, value: str) -> int:
    return -(-_number(name, value, LAST_DAY) // DAY) * DAY


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in allowed:
            raise _wrong(f"{name}_{value}", f"must be one of {', '.join(allowed)}")
        return value

    return read


# By its name in a URL: what it is, and how its value is read.
OPTIONS: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "w": ("width", _side),
    "h": ("height", _side),
    "fit": ("fit", _one_of("inside", "cover")),
    "crop": ("crop", _one_of("center", "entropy", "attention")),
    "q": ("quality", _quality),
    "f": ("format", _one_of("auto", "avif", "webp", "jpeg", "png")),
    "exp": ("expires", _end_of_a_day),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a picture. Width and height are on the ladder; one that is not given follows from the other.
    `expires` is Unix time, the end of a day."""

    width: int | None = None
    height: int | None = None
    fit: str = "inside"
    crop: str = "center"
    quality: int | None = None
    format: str = "auto"
    expires: int | None = None

    @classmethod
    def parse(cls, text: str) -> Options:
        """From a URL. Raises LinkError 400 `wrong_option`."""
        given: dict[str, str] = {}
        for option in text.split(","):
            name, _, value = option.partition("_")
            if name in given:
                raise _wrong(option, "is given twice")
            given[name] = value
        options = cls.of(given)
        ordered = [name for name in OPTIONS if name in given]
        if list(given) != ordered:
            raise _wrong(text, f"the order is {', '.join(ordered)}")
        return options

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """From values by their names in a URL: `{"w": 640, "f": "auto"}`. Raises LinkError 400 `wrong_option`."""
        if unknown := given.keys() - OPTIONS.keys():
            raise _wrong(min(unknown), f"there is no such option, only {', '.join(OPTIONS)}")
        values = {}
        for name, value in given.items():
            field, read = OPTIONS[name]
            values[field] = read(name, str(value))
        options = cls(**values)
        if options.fit == "cover" and not (options.width and options.height):
            raise _wrong("fit_cover", "needs w and h")
        if options.crop != "center" and options.fit != "cover":
            raise _wrong(f"crop_{options.crop}", "needs fit_cover")
        if options.quality and options.format == "png":
            raise _wrong(f"q_{options.quality}", "PNG loses nothing and has no quality")
        return options

    def __str__(self) -> str:
        """As a URL has it. What is as it would be anyway is left out, but for the format."""
        unsaid = Options()
        return ",".join(
            f"{name}_{getattr(self, field)}"
            for name, (field, _) in OPTIONS.items()
            if field == "format" or getattr(self, field) != getattr(unsaid, field)
        )


@dataclass(frozen=True, slots=True)
class Link:
    options: Options
    key: str


def sign(secret: bytes, path: str) -> str:
    """`path` is `<options>/<upload key>` as text."""
    digest = hmac.digest(secret, path.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:SIGNED_BYTES]).rstrip(b"=").decode()


def signed_path(secret: bytes, key: str, options: Options, expires: datetime | None = None) -> str:
    """The path of a picture in that size, percent-encoded, valid to the end of the day (UTC) of `expires`.

    Raises LinkError 400: `wrong_key` for a key that no URL can have, `wrong_option` for a time before 1970.
    """
    if _RESOLVED.search(key):
        raise LinkError(400, "wrong_key", f"{key} has '.' or '..' between slashes, which no browser sends")
    if expires is not None:
        options = replace(options, expires=_end_of_a_day("exp", str(int(expires.timestamp()))))
    path = f"{options}/{key}"
    return f"/i/{sign(secret, path)}/{quote(path, safe='/,')}"


def check(secrets: Sequence[bytes], path: str, now: datetime) -> Link:
    """What a path asks for, if one of the secrets signed it. `path` is percent-encoded, as a request has it.

    Raises LinkError: 403 `wrong_signature`, before it looks at anything else; 400 `wrong_option`; 403 `expired`.
    """
    signature, _, rest = path.removeprefix("/i/").partition("/")
    signed = unquote(rest)
    if not any(hmac.compare_digest(sign(secret, signed).encode(), signature.encode()) for secret in secrets):
        raise LinkError(403, "wrong_signature", "the signature is not that of these options and this key")
    text, _, key = signed.partition("/")
    options = Options.parse(text)
    if options.expires is not None and options.expires <= now.timestamp():
        ended = datetime.fromtimestamp(options.expires, UTC)
        raise LinkError(403, "expired", f"the link was valid until {ended:%Y-%m-%dT%H:%M:%SZ}")
    return Link(options, key)


def rendition_url(base: str, rendition_key: str) -> str:
    """`base` is `https://<domain>`."""
    return f"{base}/{quote(rendition_key)}"
