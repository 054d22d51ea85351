"""What `--follow` shows: on a terminal a table that changes, on a pipe a header and a line each, until Ctrl-C."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import typer

from darkroom.cli.terminal import GAP, Column, say, show_json, table
from darkroom.text import plain

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
        elif sys.stdout.isatty():
            _live(changes, identity, columns, line)
        else:
            _lines(changes, columns, line)
    except KeyboardInterrupt:
        say("No longer following. Pictures that are on their way go on")


def _lines(
    changes: Iterable[dict[str, Any]],
    columns: Sequence[Column],
    line: Callable[[dict[str, Any]], Sequence[object]],
) -> None:
    """A header, then a line for each, in columns of their usual width: nobody knows yet what will come."""
    widths = [max(len(column.name), column.usual) for column in columns]

    def write(cells: Sequence[object]) -> None:
        padded = (("" if cell is None else plain(cell)).ljust(wide) for cell, wide in zip(cells, widths, strict=True))
        typer.echo((" " * GAP).join(padded).rstrip())

    write([column.name for column in columns])
    for change in changes:
        write(line(change))


def _live(
    changes: Iterable[dict[str, Any]],
    identity: Callable[[dict[str, Any]], str],
    columns: Sequence[Column],
    line: Callable[[dict[str, Any]], Sequence[object]],
) -> None:
    """The newest on top, as many as the terminal has lines for."""
    from rich.console import Console
    from rich.live import Live

    console = Console(markup=False, highlight=False, emoji=False)
    newest: dict[str, dict[str, Any]] = {}
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for change in changes:
            newest.pop(identity(change), None)
            newest[identity(change)] = change
            while len(newest) > max(1, console.height - 3):
                newest.pop(next(iter(newest)))
            cells = [["" if cell is None else plain(cell) for cell in line(one)] for one in reversed(newest.values())]
            live.update(table(columns, cells, console.width)[0], refresh=True)
