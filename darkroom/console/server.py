"""The views behind their guard, served on this machine."""

import asyncio
import errno
import logging
import secrets
import socket
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Thread
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from darkroom.console import backfills, executions, files, health, letters, results, uploads
from darkroom.console.connection import Connection
from darkroom.console.guard import Guard
from darkroom.console.pages import Pages
from darkroom.errors import DarkroomError
from darkroom.local import cloud, homes

STATIC = Path(__file__).parent / "static"
USUAL_PORT = 8640
ATTEMPTS = 10  # at a port that is free under every address


def application(
    connection: Connection, *, host: str, secret: str, begun: Callable[[], object] = lambda: None
) -> ASGIApp:
    """`host` is its name and port. `begun` is called when the page is served; it may take as long as it likes, as a
    browser in the terminal does."""
    pages = Pages(connection)
    redrives = letters.Redrives()
    routes: list[Any] = [Route("/", lambda _: RedirectResponse("/results", 303))]
    for view in (uploads, executions, results, files, backfills, health):
        routes += view.routes(pages)
    routes += letters.routes(pages, redrives)
    routes.append(Mount("/static", StaticFiles(directory=STATIC)))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        Thread(target=begun, daemon=True).start()
        yield
        await run_in_threadpool(redrives.stop)

    app = Starlette(routes=routes, exception_handlers={404: pages.nowhere}, lifespan=lifespan)
    return Guard(app, host=host, secret=secret, read_only=connection.read_only)


def run(
    connection: Connection,
    announce: Callable[[str], object],
    *,
    port: int | None,
    browser: bool,
    numeric: bool = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM. `announce` is told the address.

    A browser sends a cookie to every port of a name, so the page has a name that nobody else knows; `numeric` gives it
    127.0.0.1 instead. Raises DarkroomError for a port that is taken.
    """
    listening = _listen(port, numeric=numeric)
    name = cloud.LOOPBACK if numeric else f"darkroom-{secrets.token_hex(8)}.localhost"
    host = f"{name}:{listening[0].getsockname()[1]}"
    secret = secrets.token_urlsafe(24)
    address = f"http://{host}/?secret={secret}"
    config = Config()
    config.bind = [f"fd://{one.detach()}" for one in listening]  # hypercorn closes it; a second might hit another's
    config.graceful_timeout = 1  # second for what is being answered
    config.errorlog = logging.getLogger("darkroom.console")  # and not the line about where it listens
    announce(address)
    with _leading_to(address) if browser else nullcontext() as page:
        begun = (lambda: webbrowser.open(page)) if page else (lambda: None)
        app = application(connection, host=host, secret=secret, begun=begun)
        asyncio.run(serve(app, config, mode="asgi"))  # type: ignore[arg-type]


@contextmanager
def _leading_to(address: str) -> Iterator[str]:
    """The address of a file that nobody else can read and that goes on to `address`: with what a browser is started,
    every user of this machine sees. Not in /tmp, of which a browser that is a snap has one of its own."""
    home = cloud.home_folder()
    homes.claim(home)
    with NamedTemporaryFile("w", prefix="console-", suffix=".html", dir=home) as file:
        file.write(f'<!doctype html><title>Darkroom</title><meta http-equiv="refresh" content="0; url={address}">')
        file.flush()
        yield Path(file.name).as_uri()


def _listen(port: int | None, *, numeric: bool) -> list[socket.socket]:
    """This machine's own addresses and nothing else. Without a port the usual one, or any that is free.

    A name below localhost is ::1 too, and a browser asks there first: whoever else listened there would be told the
    secret.
    """
    for wanted in (USUAL_PORT, *[0] * ATTEMPTS) if port is None else (port,):
        try:
            listening = [socket.create_server((cloud.LOOPBACK, wanted))]
        except OSError:
            continue
        if numeric:
            return listening
        try:
            found = listening[0].getsockname()[1]
            return [*listening, socket.create_server(("::1", found), family=socket.AF_INET6)]
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # nobody has that address here
                return listening
            listening[0].close()
    raise DarkroomError(f"port {port} is taken: choose another with --port, or leave it out")
