"""Values as a person reads them, in one line of plain text, or as a JSON document."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

# What moves the cursor, begins a new line, changes colours or turns the direction of writing, as keys may contain it:
# the C0 and C1 controls, the separators of lines and paragraphs, the marks of direction, half a character.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

SAID = ("errorMessage", "Message", "message")  # of a Lambda function, and of services
SHORT = 300  # characters of an error that are shown where it is not asked for


def plain(text: object) -> str:
    """In one line, and with nothing in it that a terminal would obey: an escape character becomes `\\x1b`."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def unpacked(error: str) -> str:
    """An error's text without the JSON around its message: that of a function's exception, or of a service."""
    start = error.find("{")
    while start >= 0:
        try:
            document, end = json.JSONDecoder().raw_decode(error, start)
        except ValueError:
            start = error.find("{", start + 1)
            continue
        said = next((document[name] for name in SAID if isinstance(document.get(name), str)), None)
        if said is None:
            break
        return error[:start] + unpacked(said) + error[end:]
    return error


def short(text: str, limit: int = SHORT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def counted(texts: Iterable[str]) -> list[str]:
    """Each once, short, in their order, with how often it is there if more than once."""
    return [short(text) + (f" ({times} times)" if times > 1 else "") for text, times in Counter(texts).items()]


def some(names: Sequence[str], most: int = 10) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(plain, names[:most])) + more


def as_json(document: Any, **layout: Any) -> str:
    return json.dumps(document, ensure_ascii=False, default=_plain, **layout)


def pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def seconds(duration: float | None) -> str:
    return "" if duration is None else f"{duration:.2f} s"


def about(duration: float) -> str:
    """Of what takes minutes to weeks, in seconds: `17 min`."""
    if duration < 120:
        return f"{max(1, duration):.0f} s"
    if duration < 7200:
        return f"{duration / 60:.0f} min"
    return f"{duration / 3600:.1f} h" if duration < 172_800 else f"{duration / 86_400:.0f} days"


def pixels(measured: Mapping[str, Any]) -> str:
    """Of a picture or a rendition in a row: `640x480`."""
    return f"{measured['width']}x{measured['height']}" if "width" in measured and "height" in measured else ""


def size(count: float | None) -> str:
    """1536 is `1.5 KiB`."""
    if count is None:
        return ""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _plain(value: object) -> object:
    if isinstance(value, Decimal):  # what boto3 makes of a DynamoDB number
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    raise TypeError(f"{type(value).__name__} has no form in JSON: {value!r}")
