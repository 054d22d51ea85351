"""The page, in the browser: console."""

from typing import Annotated

import typer

from darkroom.cli.app import PICTURES, Choice, command

PORT_HELP = "Of the page, instead of 8640 or any free one."
NUMERIC_HELP = (
    "At 127.0.0.1, for a browser that finds no name below localhost; its cookie then reaches other ports too."
)


@command(
    PICTURES,
    examples={
        "console": "opens the page on the local cloud; Ctrl-C ends it",
        "console --read-only --no-browser": "looks and changes nothing; prints the address only",
        "--aws console --port 9000": "of the stack in your AWS account",
    },
)
def console(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help=PORT_HELP)] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="The page looks, and changes nothing.")] = False,
    numeric: Annotated[bool, typer.Option("--numeric", help=NUMERIC_HELP)] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Open a page of the pictures, their executions and dead letters, to upload, look and replay.

    It is served on this machine only, with your own credentials, until Ctrl-C.
    """
    from darkroom.console.connection import Connection
    from darkroom.console.server import run

    chosen: Choice = ctx.obj
    run(Connection(chosen.silent_target, read_only=read_only), port=port, browser=browser, numeric=numeric)
