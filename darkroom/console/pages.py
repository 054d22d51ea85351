"""What all views share: how a page is made, and how it says an error."""

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from darkroom.console.connection import Connection, ReadOnlyError, still_there
from darkroom.console.signs import sign
from darkroom.errors import TargetError, explained
from darkroom.pipeline import letters, results
from darkroom.pipeline.histories import UnknownPlaceError
from darkroom.pipeline.target import Target
from darkroom.text import about, seconds, size, unpacked

HERE = Path(__file__).parent
ENOUGH = 286  # the status by which htmx stops asking again
BRIEF = 150  # letters of an error that are shown before it is unfolded

Answer = Callable[["Pages", Request, Target], Response]
Found = TypeVar("Found")


class Pages:
    """Makes views into endpoints, and templates into answers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"link": link, "sign": sign}
        self._templates.filters |= {"ago": ago, "when": when, "iso": iso, "said": said, "shell": shell}
        self._templates.filters |= {"size": size, "seconds": seconds, "about": about, "unpacked": unpacked}
        self._templates.filters |= {"in_words": lambda name: name.replace("_", " ").replace(".", " ")}
        self._templates.filters |= {"brief": brief, "is_long": lambda text: brief(text) != text}

    def view(self, answer: Answer) -> Callable[[Request], Response]:
        """An endpoint that hands the target to `answer`, and says in words what went wrong."""
        return lambda request: self.tried(request, lambda target: answer(self, request, target))

    def tried(self, request: Request, act: Callable[[Target], Found]) -> Found | Response:
        """What `act` makes of the target, or an answer that says in words what went wrong."""
        try:
            return act(self.connection.target())
        except Exception as error:
            return self._trouble(request, error)

    def form(self, answer: Callable[[Request, Target, FormData], Response]) -> Any:
        """As `view`, for a POST: with what was sent."""

        async def endpoint(request: Request) -> Response:
            async with request.form(max_files=0) as form:
                return await run_in_threadpool(self.tried, request, lambda target: answer(request, target, form))

        return endpoint

    def page(self, request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        target: Target | None = context.get("target")
        common = {
            "read_only": self.connection.read_only,
            "theme": theme if (theme := request.cookies.get("theme")) in ("light", "dark") else None,
            "path": request.url.path,
            "waiting": letters.count(target)[0] if target else None,
            "target": None,
        }
        html = self._templates.get_template(template).render({**common, **context})
        return HTMLResponse(html, status)

    def nowhere(self, request: Request, _: Exception) -> Response:
        return self.page(request, "trouble.html", status=404, line="There is no such page here.")

    def part(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """Of a page that is there already."""
        return HTMLResponse(self._templates.get_template(template).render(context), status)

    def _trouble(self, request: Request, error: Exception) -> Response:
        line = explained(error)
        if line is None:
            raise error
        status = 503
        if isinstance(error, ReadOnlyError):
            status = 403
        elif isinstance(error, (NotFound, results.UnknownPageError, UnknownPlaceError)):
            status = 404
        elif not still_there(error):
            self.connection.lose()
            line = self.connection.why_not() or line
        if "hx-request" in request.headers:
            return self.part("trouble_part.html", status=status, line=line)
        return self.page(request, "trouble.html", status=status, line=line)


class NotFound(TargetError):
    """There is no such picture, execution or file. Its text is the page's own: it repeats nothing of the address, which
    anybody may have written."""


def link(path: str, **parameters: object) -> str:
    """A path with parameters; those that are empty are left out. Keys of S3 may hold any character, so none is in a
    path."""
    given = [(name, value) for name, value in parameters.items() if value not in (None, "")]
    return f"{path}?{urlencode(given, quote_via=quote, doseq=True)}" if given else path


def said(line: str) -> Markup:
    """A line of the command line as a sentence of the page. Commands in it are set as code."""
    text = str(escape(line[:1].upper() + line[1:]))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", text))


def brief(text: str) -> str:
    """The beginning of its first line, in whole words where these are not too long, and dots in place of the rest."""
    line = text.strip().partition("\n")[0]
    if len(line) > BRIEF:
        words = line[:BRIEF].rpartition(" ")[0]
        line = words if len(words) > BRIEF // 2 else line[:BRIEF]
    return line if line == text.strip() else f"{line}…"


def shell(key: str) -> str:
    """As one word of a command to copy into a shell. Empty for a key that would not show as what it is."""
    return shlex.quote(key) if key.isprintable() else ""


def ago(time: datetime | str | None) -> str:
    """About how long ago, in words."""
    if not time:
        return ""
    passed = (datetime.now(UTC) - _time(time)).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if passed >= length:
            count = int(passed // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{max(0, int(passed))} s ago"


def when(time: datetime | str | None) -> str:
    return f"{_time(time):%Y-%m-%d %H:%M:%S} UTC" if time else ""


def iso(time: datetime | str | None) -> str:
    return _time(time).isoformat(timespec="milliseconds") if time else ""


def _time(time: datetime | str) -> datetime:
    return (datetime.fromisoformat(time) if isinstance(time, str) else time).astimezone(UTC)
