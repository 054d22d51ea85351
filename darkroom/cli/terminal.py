"""What a person sees of every step: news on stderr, tables or one JSON document on stdout."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any, Literal

import typer

from darkroom.text import as_json, plain, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

News = Callable[[str], None]

SILENCE_SECONDS = 5.0  # before the first news on a pipe
GAP = 2  # columns of the terminal between two of a table
ENDLESS = 1_000_000  # columns
BAR = 20
COUNTED = re.compile(r"\| *(\d+)/(\d+) *\|")  # as the CDK's news say it: `Darkroom |  3/61 | …` moves the bar
LEAST_WIDE = 20  # of a column that is folded or cut, before others are left out for its sake

# In a JSON document, which has escaped the C0 controls itself.
UNPRINTABLE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Column:
    """Of a table: one that is `whole` is never broken, `folded` goes on in the next line, `cut` ends with `…`.

    On a terminal too narrow for all, those with an `expendable` number are left out, the highest first. Where a line is
    written before those that follow are known, it is `usual` characters wide.
    """

    name: str
    fit: Literal["whole", "folded", "cut"] = "whole"
    expendable: int = 0
    usual: int = 0


FACTS = (Column(""), Column("", "folded"))  # a name and what it says, one in a line


def say(line: str) -> None:
    typer.echo("\n".join(map(plain, line.split("\n"))), err=True)


@contextmanager
def step(title: str) -> Iterator[News]:
    """Announce a step and, at its end, its seconds; in between its newest news, on a pipe now and then."""
    started = time.monotonic()
    console = rich_console(stderr=True)
    showing = _spinner(console, title) if console.is_terminal else _lines(title)
    with showing as news:
        yield lambda line: news(plain(line.strip()))
    say(f"{title}: {time.monotonic() - started:.1f} s")


class Progress:
    """How far a step of many pictures and bytes is. Its threads add what they have done; the newest news are shown."""

    def __init__(self, total: int, total_bytes: int) -> None:
        self.total, self.total_bytes = total, total_bytes
        self.done = self.bytes = 0
        self._show: Callable[[str], object] = str
        self._lock = threading.Lock()

    def add_bytes(self, count: int) -> None:
        """Negative where a part is sent again."""
        with self._lock:
            self.bytes += count
        self._show("")

    def add(self, news: str) -> None:
        with self._lock:
            self.done += 1
        self._show(plain(news))


@contextmanager
def progress(title: str, *, total: int, total_bytes: int) -> Iterator[Progress]:
    """As `step`; on a terminal a bar for the pictures, with the bytes that are sent and the newest news beside it."""
    made = Progress(total, total_bytes)
    console = rich_console(stderr=True)
    if console.is_terminal:
        started = time.monotonic()
        with _bar(console, made):
            yield made
        say(f"{title}: {time.monotonic() - started:.1f} s")
        return
    with step(title) as news:
        made._show = lambda line: news(f"{made.done} of {total}: {line}") if line else None
        yield made


def show_json(document: Any, *, line: bool = False) -> None:
    """One document; or as one line of many, which are then JSON Lines."""
    text = as_json(document, separators=(",", ":")) if line else as_json(document, indent=2)
    typer.echo(_json(text))


def show_json_list(documents: Iterable[Any]) -> None:
    """One document: a list, printed while it is read, however long it is."""
    before = "["
    for document in documents:
        typer.echo(f"{before}\n{indent(_json(as_json(document, indent=2)), '  ')}", nl=False)
        before = ","
    typer.echo("[]" if before == "[" else "\n]")


def _json(text: str) -> str:
    return UNPRINTABLE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def show_table(columns: Sequence[str | Column], rows: Iterable[Sequence[object]]) -> None:
    """As wide as the terminal; on a pipe as wide as needed, so that a key can be found whole."""
    cells = [[cell(value) for value in row] for row in rows]
    if not cells:
        say("There are none")
        return
    asked = [column if isinstance(column, Column) else Column(column) for column in columns]
    if not sys.stdout.isatty():
        _show_whole(asked, cells)
        return
    wide = rich_console().width
    drawn, left_out = table(asked, cells, wide)
    draw(drawn, wide)
    if left_out:
        say(f"Not shown because the terminal is too narrow: {', '.join(left_out)}")


def _show_whole(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    """Without rich: to import it takes a tenth of the time of a short command."""
    names = [column.name for column in columns]
    lines = [names, *cells] if any(names) else cells
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text + " " * (width - _width(text) + GAP) for text, width in zip(line, widths, strict=True))
        typer.echo("".join(padded).rstrip())


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def table(columns: Sequence[Column], cells: Sequence[Sequence[str]], wide: int) -> tuple["Table", list[str]]:
    """The table that fits into so many columns of a terminal, and the names of those of its own that are left out."""
    from rich.cells import cell_len
    from rich.table import Table

    natural = [max(map(cell_len, (one.name, *(row[place] for row in cells)))) for place, one in enumerate(columns)]
    shown = list(range(len(columns)))
    for place in sorted((p for p in shown if columns[p].expendable), key=lambda p: -columns[p].expendable):
        if _fits(columns, natural, shown, wide):
            break
        shown.remove(place)
    widths = _widths(columns, natural, shown, wide)
    drawn = Table(
        box=None,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        collapse_padding=True,
        header_style="bold",
        show_header=any(column.name for column in columns),
    )
    for place in shown:
        cut = columns[place].fit == "cut"
        drawn.add_column(columns[place].name, width=widths[place], no_wrap=cut, overflow="ellipsis" if cut else "fold")
    for row in cells:
        drawn.add_row(*(row[place] for place in shown))
    return drawn, [column.name for place, column in enumerate(columns) if place not in shown]


def draw(drawn: "RenderableType", wide: int | None = None) -> None:
    """On stdout, without the blanks at the end of its lines; on a pipe as wide as it is."""
    console = rich_console(width=wide or (None if sys.stdout.isatty() else ENDLESS))
    with console.capture() as captured:
        console.print(drawn)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def cell(value: object) -> str:
    return "" if value is None else plain(value)


def rich_console(*, stderr: bool = False, width: int | None = None) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


def _fits(columns: Sequence[Column], natural: Sequence[int], shown: Sequence[int], wide: int) -> bool:
    """Whether each column has its width, or at least a bearable one."""
    widths = _widths(columns, natural, shown, wide)
    return all(widths[place] >= min(natural[place], LEAST_WIDE) for place in shown)


def _widths(columns: Sequence[Column], natural: Sequence[int], shown: Sequence[int], wide: int) -> dict[int, int]:
    """By place. What the whole ones leave is shared out evenly; who needs less than a share leaves the rest."""
    widths = {place: natural[place] for place in shown}
    flexible = sorted((p for p in shown if columns[p].fit != "whole"), key=lambda p: natural[p])
    left = wide - GAP * (len(shown) - 1) - sum(natural[p] for p in shown if columns[p].fit == "whole")
    for number, place in enumerate(flexible):
        widths[place] = max(1, min(natural[place], left // (len(flexible) - number)))
        left -= widths[place]
    return widths


@contextmanager
def _spinner(console: "Console", title: str) -> Iterator[News]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=BAR),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None)
        width = max(20, console.width - len(title) - BAR - 20)

        def show(line: str) -> None:
            counted = COUNTED.search(line)
            parts: Any = {"completed": int(counted[1]), "total": int(counted[2])} if counted else {}
            progress.update(task, description=f"{title}: {line[:width]}", **parts)

        yield show


@contextmanager
def _bar(console: "Console", made: Progress) -> Iterator[None]:
    from rich import progress as rich

    bar, said = rich.BarColumn(bar_width=BAR), rich.TextColumn("{task.description}", markup=False)
    with rich.Progress(bar, said, console=console, transient=True) as drawn:
        task = drawn.add_task("", total=made.total)
        width = max(20, console.width - BAR - 2)
        newest = ""

        def show(news: str) -> None:
            nonlocal newest
            newest = news or newest
            sent = f"{size(made.bytes)} of {size(made.total_bytes)} sent"
            line = f"{made.done} of {made.total}  {sent}  {newest}".rstrip()
            drawn.update(task, completed=made.done, description=line[:width])

        made._show = show
        yield


@contextmanager
def _lines(title: str) -> Iterator[News]:
    say(f"{title} ...")
    newest = [""]
    ended = threading.Event()

    def speak() -> None:
        """What is new, more and more seldom; nothing twice."""
        silence, said = SILENCE_SECONDS, ""
        while not ended.wait(silence):
            if newest[0] != said:
                said = newest[0]
                say(f"  {said}")
                silence *= 2

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield lambda line: newest.__setitem__(0, line)
    finally:
        ended.set()
        speaker.join()
