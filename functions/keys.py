"""How a rendition is named: `<key without prefix>/<version>/<rendition>.<ext>`. Validate names, Cleanup finds."""

from __future__ import annotations

import hashlib
import re

LONGEST_KEY = 1024  # bytes of UTF-8: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
VERSION_DIGITS = 16  # 64 bits tell the versions of one key apart

# What a bucket may refuse or XML cannot hold in a key: control characters, and `.` or `..` between slashes, of which S3
# takes only so many as there are folders to go up from; the upload's key had the prefix's, a rendition's has not.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]|(^|/)\.{1,2}(/|$)")

_FILE_OF_A_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}/[^/]+")


def rendition_key(upload: str, version: str, file_name: str) -> str:
    """`upload` is the key without its prefix; too long for the rest to fit, or unsafe, it gives way to its SHA-256."""
    folder, short = folders(upload)
    key = f"{folder}{version}/{file_name}"
    return f"{short}{version}/{file_name}" if _UNSAFE.search(upload) or len(key.encode()) > LONGEST_KEY else key


def folders(upload: str) -> tuple[str, str]:
    """Where the renditions of an upload lie: under its key, or under the key's SHA-256."""
    return f"{upload}/", f"{hashlib.sha256(upload.encode()).hexdigest()}/"


def is_rendition(key: str, folder: str) -> bool:
    """Whether it lies just there. `cat.jpg/` may also be a folder of other uploads, whose renditions lie deeper."""
    return bool(_FILE_OF_A_VERSION.fullmatch(key.removeprefix(folder)))
