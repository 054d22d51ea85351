"""Where pictures are shown: the URL of each rendition, and signed URLs of any other size (docs/delivery.md)."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from darkroom.errors import TargetError
from darkroom.pipeline.results import Row, by_width
from darkroom.pipeline.target import Target

ORDER = ("w", "h", "fit", "crop", "q", "f", "exp")
SIGNED_BYTES = 20
DAY = 86_400  # seconds

LOCAL = re.compile(r"(\.cloudfront\.localhost:)\d+$")
RESOLVED = re.compile(r"(^|/)\.{1,2}(/|$)")


def base(target: Target) -> str | None:
    """`https://<domain>`, if the stack delivers pictures. The local cloud may have another port by now than when the
    stack was deployed."""
    url = target.outputs.get("DeliveryUrl")
    return url and LOCAL.sub(lambda found: f"{found[1]}{urlsplit(target.s3.meta.endpoint_url).port}", url)


def renditions(target: Target, row: Row) -> dict[str, str]:
    """The URL of each rendition by its name, the smallest first; none if the stack delivers none."""
    there, found = base(target), row.get("renditions", {})
    return {name: f"{there}/{quote(found[name]['key'])}" for name in by_width(row)} if there else {}


def signed(target: Target, key: str, options: Mapping[str, object]) -> str:
    """The URL of a picture in that size. `options` are by their names in a URL, as docs/delivery.md has them.

    Raises TargetError if the stack delivers no pictures, or no URL can have the key.
    """
    there = base(target)
    if there is None:
        raise TargetError(f"stack {target.stack} in {target.name} delivers no pictures: set delivery.enabled to true")
    if RESOLVED.search(key):
        raise TargetError(f"{key}: no URL can have '.' or '..' between slashes")
    path = ",".join(f"{name}_{options[name]}" for name in ORDER if name in options) + f"/{key}"
    digest = hmac.digest(_secret(target), path.encode(), hashlib.sha256)[:SIGNED_BYTES]
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"{there}/i/{signature}/{quote(path, safe='/,')}"


def end_of_day(days: int) -> int:
    """Unix time: so many days from now, and then to the end of that day (UTC), so that links of one day are alike."""
    return -(-(int(time.time()) + days * DAY) // DAY) * DAY


def _secret(target: Target) -> bytes:
    client = target.client("secretsmanager")
    text: str = client.get_secret_value(SecretId=target.output("DeliverySecretArn"))["SecretString"]
    return text.encode()
