"""What a person sees of every step: news on stderr, tables or one JSON document on stdout."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

News = Callable[[str], None]

SILENCE_SECONDS = 5


def say(line: str) -> None:
    typer.echo(line, err=True)


@contextmanager
def step(title: str) -> Iterator[News]:
    """Announce a step and, at its end, its seconds; in between its newest news, on a pipe now and then."""
    started = time.monotonic()
    console = Console(stderr=True, markup=False, highlight=False)
    showing = _spinner(console, title) if console.is_terminal else _lines(title)
    with showing as news:
        yield news
    say(f"{title}: {time.monotonic() - started:.1f} s")


def show_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """As wide as the terminal; on a pipe as wide as needed, so that a key can be found whole."""
    wide = None if sys.stdout.isatty() else 1000
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    if not table.rows:
        say("There are none")
        return
    console = Console(markup=False, highlight=False, emoji=False, width=wide)
    with console.capture() as drawn:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def seconds(duration: float | None) -> str:
    return "" if duration is None else f"{duration:.2f} s"


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


@contextmanager
def _spinner(console: Console, title: str) -> Iterator[News]:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None)
        width = max(20, console.width - len(title) - 20)
        yield lambda line: progress.update(task, description=f"{title}: {line.strip()[:width]}")


@contextmanager
def _lines(title: str) -> Iterator[News]:
    say(f"{title} ...")
    newest = ["still at it"]
    ended = threading.Event()

    def speak() -> None:
        while not ended.wait(SILENCE_SECONDS):
            say(f"  {newest[0].strip()}")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield lambda line: newest.__setitem__(0, line)
    finally:
        ended.set()
        speaker.join()
