"""How a rendition is named: `<key without prefix>/<version>/<rendition>.<ext>`. Validate names, Cleanup finds."""

from __future__ import annotations

import hashlib
import re

LONGEST_KEY = 1024  # bytes of UTF-8: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
VERSION_DIGITS = 16  # 64 bits tell the versions of one key apart

_FILE_OF_A_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}/[^/]+")


def rendition_key(upload: str, version: str, file_name: str) -> str:
    """`upload` is the key without its prefix; too long for the rest to fit, it gives way to its own SHA-256."""
    folder, short = folders(upload)
    key = f"{folder}{version}/{file_name}"
    return key if len(key.encode()) <= LONGEST_KEY else f"{short}{version}/{file_name}"


def folders(upload: str) -> tuple[str, str]:
    """Where the renditions of an upload lie: under its key, or under the key's SHA-256."""
    return f"{upload}/", f"{hashlib.sha256(upload.encode()).hexdigest()}/"


def is_rendition(key: str, folder: str) -> bool:
    """Whether it lies just there. `cat.jpg/` may also be a folder of other uploads, whose renditions lie deeper."""
    return bool(_FILE_OF_A_VERSION.fullmatch(key.removeprefix(folder)))
