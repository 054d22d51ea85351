"""`python -m benchmarks.bombs`: a row for each kind of file, and exit code 1 where one is over a bar."""

from typing import Annotated

import typer

from benchmarks.bombs.files import FORMATS
from benchmarks.bombs.trial import CPU_BAR, FOLDER, MEMORY_BAR, TIMES_BAR, tried
from benchmarks.report import show


def main(
    only: Annotated[str, typer.Option(help="formats, separated by commas")] = ",".join(FORMATS),
    kind: Annotated[str, typer.Option(help="only kinds that have this in their name")] = "",
) -> None:
    """Progress on stderr, a table on stdout. The files stay in `build/bench/bombs`, until what draws them changes."""
    if unknown := set(only.split(",")) - set(FORMATS):
        raise typer.BadParameter(f"{', '.join(unknown)}: the formats are {', '.join(FORMATS)}")
    kinds = [(name, one) for name in only.split(",") for one in FORMATS[name] if kind in one]
    rows, missed = [], 0
    for name, one in kinds:
        trial = tried(name, one)
        missed += not trial.is_within
        size = f"{(FOLDER / f'{one}.{name}').stat().st_size:,}"
        worst, times = (str(trial.worst), f"{trial.times:.2f}") if trial.worst else ("", "")
        within = "yes" if trial.is_within else "NO"
        rows.append((name, one, size, trial.verdict[:60], str(trial.validate), worst, times, within))
    show(("format", "kind", "bytes", "verdict", "Validate", "worst rendition", "/ honest", "within"), rows)
    bars = f"{CPU_BAR:g} s of CPU, {MEMORY_BAR:,.0f} MB, and {TIMES_BAR:g} times an honest picture's rendition"
    typer.echo(f"\n{len(rows) - missed} of {len(rows)} within {bars}")
    raise typer.Exit(missed > 0)


typer.run(main)
