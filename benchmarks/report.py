"""What the benchmarks print: tables of measurements, and each figure beside the bar it must reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer

from darkroom.cli.terminal import show_table


def begin(title: str) -> None:
    """A line of progress on stderr, which grows by a dot with each tick."""
    typer.echo(f"\n{title} ", err=True, nl=False)


def tick() -> None:
    typer.echo(".", err=True, nl=False)


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout, apart from what was there before."""
    typer.echo(err=True)
    typer.echo()
    show_table(columns, rows)


@dataclass(frozen=True, slots=True)
class Figure:
    """`at_least`: the bar is a floor and not a ceiling."""

    name: str
    value: float
    bar: float
    at_least: bool = False
    form: str = ".3f"

    @property
    def met(self) -> bool:
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def row(self) -> tuple[str, str, str, str]:
        sign = "≥" if self.at_least else "≤"
        return self.name, format(self.value, self.form), f"{sign} {self.bar:{self.form}}", "yes" if self.met else "NO"


def show_figures(figures: Sequence[Figure]) -> None:
    show(("figure", "measured", "bar", "met"), (figure.row for figure in figures))
