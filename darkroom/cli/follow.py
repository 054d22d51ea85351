"""What `--follow` shows: on a terminal a table that changes, on a pipe a header and a line each, until Ctrl-C."""

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Annotated, Any

import typer

from darkroom.cli.terminal import GAP, Column, cell, rich_console, say, show_json, table

Shown = tuple[str, list[str]]  # what changed, and its line of the table

Follow = Annotated[
    bool,
    typer.Option(
        "--follow",
        "-f",
        help="Then show each change as it comes, until Ctrl-C. With --json: one document a line.",
    ),
]


def follow(
    changes: Iterable[dict[str, Any]],
    identity: Callable[[dict[str, Any]], str],
    columns: Sequence[Column],
    line: Callable[[dict[str, Any]], Sequence[object]],
    *,
    as_json: bool,
) -> None:
    """Show changes as they come. Ctrl-C is how a person ends it, and so no failure."""
    try:
        if as_json:
            for change in changes:
                show_json(change, line=True)
        else:
            show = _live if sys.stdout.isatty() else _lines
            show(((identity(one), list(map(cell, line(one)))) for one in changes), columns)
    except KeyboardInterrupt:
        say("No longer following. Pictures that are on their way go on")


def _lines(changes: Iterable[Shown], columns: Sequence[Column]) -> None:
    """A header, then a line for each, in columns of their usual width: nobody knows yet what will come."""
    widths = [max(len(column.name), column.usual) for column in columns]

    header = "", [column.name for column in columns]
    for _, cells in chain([header], changes):
        padded = (text.ljust(wide) for text, wide in zip(cells, widths, strict=True))
        typer.echo((" " * GAP).join(padded).rstrip())


def _live(changes: Iterable[Shown], columns: Sequence[Column]) -> None:
    """The newest on top, as many as the terminal has lines for."""
    from rich.live import Live

    console = rich_console()
    newest: dict[str, list[str]] = {}
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for name, cells in changes:
            newest.pop(name, None)
            newest[name] = cells
            while len(newest) > max(1, console.height - 3):
                newest.pop(next(iter(newest)))
            live.update(table(columns, list(reversed(newest.values())), console.width)[0], refresh=True)
