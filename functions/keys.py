"""How files in the renditions bucket are named. Validate and Deliver name, Cleanup finds.

A rendition is `<key without prefix>/<version>/<rendition>.<ext>`; another size, which was asked for by a URL, is
`derived/<key>/<version>/<options>.<ext>`.
"""

from __future__ import annotations

import hashlib
import re

NO_VERSION = "null"  # S3's own word for the version of an object in a bucket that keeps none
LONGEST_KEY = 1024  # bytes of UTF-8: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
VERSION_DIGITS = 16  # 64 bits tell the versions of one key apart
LONGEST_FILE_NAME = 37  # a rendition's name has 32 letters at most, and its ending has 5
LONGEST_DERIVED_NAME = 49  # w_16383,h_16383,fit_cover,crop_entropy,q_100.webp

DERIVED = "derived/"  # where no upload has its renditions, because these files expire

# What a bucket may refuse or XML cannot hold in a key: control characters, and `.` or `..` between slashes, of which S3
# takes only so many as there are folders to go up from; the upload's key had the prefix's, a rendition's has not.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]|(^|/)\.{1,2}(/|$)")

# An upload that is called like the folder of another's hash would have that folder for its own.
_HASH = re.compile(r"[0-9a-f]{64}")

_FILE_OF_A_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}/[^/]+")
_BEGINNING_OF_ONE = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}/[^/]*|[0-9a-f]{{0,{VERSION_DIGITS}}}")


def rendition_key(upload: str, version: str, file_name: str) -> str:
    """`upload` is the key without its prefix; where the rest does not fit after it, or it cannot be a folder's name, it
    gives way to its SHA-256."""
    key = f"{upload}/{version}/{file_name}"
    return f"{_hashed(upload)}{version}/{file_name}" if _gives_way(upload) or len(key.encode()) > LONGEST_KEY else key


def folders(upload: str) -> tuple[str, ...]:
    """Where the renditions of an upload may lie: under its key, under the key's SHA-256, or, if only some file names
    fit after the key, under both. No two uploads share a folder."""
    if _gives_way(upload):
        return (_hashed(upload),)
    longest = f"{upload}/{'0' * VERSION_DIGITS}/".encode()
    fits = len(longest) + LONGEST_FILE_NAME <= LONGEST_KEY
    return (f"{upload}/",) if fits else (f"{upload}/", _hashed(upload))


def derived_folder(key: str) -> str:
    """Where all other sizes of an upload lie. `key` has its prefix, so that it is called like no hash."""
    longest = f"{DERIVED}{key}/{'0' * VERSION_DIGITS}/".encode()
    fits = len(longest) + LONGEST_DERIVED_NAME <= LONGEST_KEY
    return f"{DERIVED}{key}/" if fits and not _UNSAFE.search(key) else DERIVED + _hashed(key)


def version_of(key: str) -> str:
    """Of a rendition, or of another size."""
    return key.split("/")[-2]


def is_rendition(key: str, folder: str) -> bool:
    """Whether it lies just there. `cat.jpg/` may also be a folder of other uploads, whose renditions lie deeper."""
    return bool(_FILE_OF_A_VERSION.fullmatch(key.removeprefix(folder)))


def last_alike(key: str, folder: str) -> str:
    """Up to which key, in S3's order, none is a rendition in the folder if `key` is none: what begins as it does, up to
    the character that no rendition has there. It is `key` itself if there is no such character, or if S3 would take
    the last for too long."""
    name = key.removeprefix(folder)
    begun = _BEGINNING_OF_ONE.match(name)
    assert begun is not None  # it matches the empty text too
    last = folder + name[: begun.end() + 1] + "\U0010ffff"
    return key if begun[0] == name or len(last.encode()) > LONGEST_KEY else max(key, last)


def _gives_way(upload: str) -> bool:
    return bool(_UNSAFE.search(upload) or _HASH.fullmatch(upload) or f"{upload}/".startswith(DERIVED))


def _hashed(upload: str) -> str:
    return f"{hashlib.sha256(upload.encode()).hexdigest()}/"
