"""The page, in the browser: console."""

from typing import Annotated

import typer

from darkroom.cli.app import PICTURES, Choice, command
from darkroom.cli.terminal import say

PORT_HELP = "The port of the page. Without it: 8640, else any free one."
NUMERIC_HELP = (
    "Serve the page at 127.0.0.1, for a browser that finds no name below localhost. Other ports then get its cookie."
)


@command(
    PICTURES,
    examples={
        "console": "opens the page on the local cloud; Ctrl-C ends it",
        "console --read-only --no-browser": "changes nothing, and only prints the address",
        "--aws console --port 9000": "opens the page of the stack in your AWS account",
    },
)
def console(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option(metavar="PORT", min=1, max=65535, help=PORT_HELP)] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="The page shows everything and changes nothing.")
    ] = False,
    numeric: Annotated[bool, typer.Option("--numeric", help=NUMERIC_HELP)] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Open a page in the browser: upload pictures, see results and executions, and redrive dead letters.

    The page is on this machine only. It uses your own credentials, and ends with Ctrl-C.
    """
    from darkroom.console.connection import Connection
    from darkroom.console.server import run

    chosen: Choice = ctx.obj

    def announce(address: str) -> None:
        say(f"The page is at the address below, for this machine only, {'read-only, ' * read_only}until Ctrl-C")
        if not numeric:
            say("If your browser does not find that name, use `darkroom console --numeric`")
        typer.echo(address)

    connection = Connection(chosen.silent_target, read_only=read_only)
    run(connection, announce, port=port, browser=browser, numeric=numeric)
