"""`python -m benchmarks.bombs`: a row for each kind of file, and exit code 1 where one is over a bar."""

from typing import Annotated

import typer

from benchmarks.bombs.files import FORMATS
from benchmarks.bombs.trial import CPU_BAR, MEMORY_BAR, drawn, tried
from benchmarks.report import show


def main(
    only: Annotated[str, typer.Option(help="formats, separated by commas")] = ",".join(FORMATS),
    kind: Annotated[str, typer.Option(help="only kinds that have this in their name")] = "",
) -> None:
    """Progress on stderr, a table on stdout. The files stay in `build/bench/bombs`: delete them to draw them again."""
    if unknown := set(only.split(",")) - set(FORMATS):
        raise typer.BadParameter(f"{', '.join(unknown)}: the formats are {', '.join(FORMATS)}")
    kinds = [(name, one) for name in only.split(",") for one in FORMATS[name] if kind in one]
    rows, missed = [], 0
    for name, one in kinds:
        file = drawn(name, one)
        verdict, costs = tried(file)
        within = all(cost.is_within for cost in costs)
        missed += not within
        size, spent = f"{file.stat().st_size:,}", [*map(str, costs), ""][:2]
        rows.append((name, one, size, verdict[:60], *spent, "yes" if within else "NO"))
    show(("format", "kind", "bytes", "verdict", "Validate", "worst rendition", "within"), rows)
    typer.echo(f"\n{len(rows) - missed} of {len(rows)} within {CPU_BAR:g} s of CPU and {MEMORY_BAR:,.0f} MB")
    raise typer.Exit(missed > 0)


typer.run(main)
