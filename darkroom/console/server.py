"""What is common to all views: who may ask, how an error is said, and how a page is made."""

import asyncio
import hmac
import logging
import re
import secrets
import socket
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom import letters
from darkroom.console.connection import Connection, ReadOnlyError
from darkroom.console.signs import sign
from darkroom.errors import DarkroomError, TargetError, explained
from darkroom.target import Target
from darkroom.terminal import say, seconds, size

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
USUAL_PORT = 8640
ENOUGH = 286  # the status by which htmx stops asking again

# Nothing from another host, no script or style inside a page. Pictures are shown, and whatever else a bucket holds runs
# nowhere: files.py says so for each once more.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # "no-referrer" would take the Origin out of forms, which is checked here
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Answer = Callable[[Request, Target], Response]


class Guard:
    """Nobody but the browser that was given the address with the secret in it gets an answer, whatever page it shows.

    The Host is checked because a name of somebody else may be made to point here (DNS rebinding); the Origin of every
    POST because a page of somebody else may hold a form that is sent here. The secret keeps out the other users of this
    machine, who reach the port too. With `read_only` nothing but reading gets as far as a view.
    """

    def __init__(self, app: ASGIApp, *, port: int, secret: str, read_only: bool) -> None:
        self._app, self._secret, self._read_only = app, secret, read_only
        self._hosts = {f"{LOOPBACK}:{port}", f"localhost:{port}"}
        self._cookie = f"darkroom-{port}"  # a browser keeps one jar for all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, self._with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("host") not in self._hosts:
            return PlainTextResponse("This page has one address: the one that `darkroom console` prints.", 421)
        if request.method == "POST":
            origin = request.headers.get("origin", "")
            if not origin.startswith("http://") or origin.removeprefix("http://") not in self._hosts:
                return PlainTextResponse("Refused: this was sent by another page.", 403)
            if self._read_only:
                return PlainTextResponse("Refused: this page is read-only (`darkroom console --read-only`).", 403)
        elif request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Refused.", 405)
        if self._known(request.cookies.get(self._cookie)) or request.url.path.startswith("/static/"):
            return None
        if request.method != "POST" and self._known(request.query_params.get("secret")):
            rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "secret"])
            answer = RedirectResponse(f"{request.url.path}?{rest}".rstrip("?"), 303)
            answer.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
            return answer
        return PlainTextResponse("Open the whole address that `darkroom console` printed: it ends in a secret.", 403)

    def _known(self, secret: str | None) -> bool:
        return hmac.compare_digest((secret or "").encode(), self._secret.encode())

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(one for one in more if one[0] not in given)]
            await send(message)

        return sending


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
        self._templates.filters |= {"ago": ago, "when": when, "iso": iso, "said": said}
        self._templates.filters |= {"size": size, "seconds": seconds}

    def view(self, answer: Answer) -> Callable[[Request], Response]:
        """An endpoint that hands the target to `answer`, and says in words what went wrong."""

        @wraps(answer)
        def endpoint(request: Request) -> Response:
            try:
                return answer(request, self.connection.target())
            except Exception as error:
                return self._trouble(request, error)

        return endpoint

    def form(self, answer: Callable[[Request, Target, FormData], Response]) -> Any:
        """As `view`, for a POST: with what was sent."""

        def answered(request: Request, form: FormData) -> Response:
            return self.view(lambda request, target: answer(request, target, form))(request)

        @wraps(answer)
        async def endpoint(request: Request) -> Response:
            async with request.form(max_files=100) as form:
                return await run_in_threadpool(answered, request, form)

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
        elif isinstance(error, NotFound):
            status = 404
        else:
            self.connection.lose()
            line = self.connection.why_not() or line
        if "hx-request" in request.headers:
            return self.part("trouble_part.html", status=status, line=line)
        return self.page(request, "trouble.html", status=status, line=line)


class NotFound(TargetError):
    """There is no such picture, execution or file."""


def application(connection: Connection, *, port: int, secret: str) -> ASGIApp:
    from darkroom.console import executions, files, health, letters, results, uploads

    pages = Pages(connection)
    replays = letters.Replays()
    routes: list[Any] = [Route("/", lambda _: RedirectResponse("/results", 303))]
    for view in (uploads, executions, results, files, health):
        routes += view.routes(pages)
    routes += letters.routes(pages, replays)
    routes.append(Mount("/static", StaticFiles(directory=HERE / "static")))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(replays.stop)

    app = Starlette(routes=routes, exception_handlers={404: pages.nowhere}, lifespan=lifespan)
    return Guard(app, port=port, secret=secret, read_only=connection.read_only)


def run(connection: Connection, *, port: int | None, browser: bool) -> None:
    """Serve until Ctrl-C or SIGTERM. The address is told on stdout, for a person and for a program that waits for it.

    Raises DarkroomError for a port that is taken.
    """
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    listening = _listen(port)
    taken = int(listening.getsockname()[1])
    secret = secrets.token_urlsafe(24)
    address = f"http://{LOOPBACK}:{taken}/?secret={secret}"
    config = Config()
    config.bind = [f"fd://{listening.fileno()}"]
    config.graceful_timeout = 1  # second for what is being answered
    config.errorlog = logging.getLogger("darkroom.console")  # and not the line about where it listens
    say(f"The page is at the address below, for this machine only, {'read-only, ' * connection.read_only}until Ctrl-C")
    typer.echo(address)
    if browser:
        webbrowser.open(address)
    asyncio.run(serve(application(connection, port=taken, secret=secret), config, mode="asgi"))  # type: ignore[arg-type]


def _listen(port: int | None) -> socket.socket:
    """127.0.0.1 and nothing else. Without a port the usual one, or any that is free."""
    for wanted in (USUAL_PORT, 0) if port is None else (port,):
        with suppress(OSError):
            return socket.create_server((LOOPBACK, wanted))
    raise DarkroomError(f"port {port} is taken: choose another with --port, or none")


def link(path: str, **parameters: object) -> str:
    """A path with parameters; those that are empty are left out. Keys of S3 may hold any character, so none is in a
    path."""
    given = [(name, value) for name, value in parameters.items() if value not in (None, "")]
    return f"{path}?{urlencode(given, quote_via=quote, doseq=True)}" if given else path


def said(line: str) -> Markup:
    """A line of the command line as a sentence of the page, with what to run set apart."""
    text = str(escape(line[:1].upper() + line[1:]))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", text))


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
