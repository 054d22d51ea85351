"""Small signs: each status has a shape as well as a colour, for those who cannot tell red from green."""

from markupsafe import Markup

# Each in a square of 14 by 14, stroked.
SIGNS = {
    "succeeded": "M2.5 7.5 5.8 11 11.8 3.8",
    "failed": "M3.2 3.2 10.8 10.8M10.8 3.2 3.2 10.8",
    "rejected": "M7 1.6A5.4 5.4 0 1 0 7 12.4 5.4 5.4 0 1 0 7 1.6M3.2 10.8 10.8 3.2",
    "running": "M7 1.6A5.4 5.4 0 1 1 1.6 7M7 4.2V7L9 8.6",
    "processing": "M7 1.6A5.4 5.4 0 1 1 1.6 7M7 4.2V7L9 8.6",
    "stuck": "M7 1.8 13 12.2H1zM7 5.6V8.6M7 10.4V10.5",
    "caught": "M12 4.6A5.2 5.2 0 1 0 12.2 8M12.3 1.8V4.8H9.3",
    "not-visited": "M3.4 7H10.6",
    "deleted": "M2.6 4H11.4M5.2 4V2.4H8.8V4M3.8 4 4.4 12H9.6L10.2 4",
    "aborted": "M3.6 3.6H10.4V10.4H3.6z",
    "timed_out": "M7 1.6A5.4 5.4 0 1 0 7 12.4 5.4 5.4 0 1 0 7 1.6M7 4.2V7L9 8.6",
    "duplicate": "M2 4.6H9.4V12H2zM4.6 4.6V2H12V9.4H9.4",
}


def path(name: str) -> str:
    """The `d` of the sign."""
    return SIGNS.get(name.lower(), SIGNS["not-visited"])


def sign(name: str) -> Markup:
    return Markup(
        '<svg class="sign" viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><path d="{}"/></svg>'
    ).format(path(name))
