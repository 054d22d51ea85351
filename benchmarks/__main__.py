"""`python -m benchmarks [PHOTOS]`: prints every figure beside its bar; `--only` some of the parts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import cold_start, cost, delivering, local, memory, off, speed, validating, whole
from benchmarks.photos import photos
from benchmarks.report import Figure, show_figures


def main(
    folder: Annotated[Path | None, typer.Argument(help="a folder of JPEGs; without one, pictures are drawn")] = None,
    against: Annotated[str | None, typer.Option(help="the commit that local, whole and off are compared with")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="of the local cloud")] = local.ROUNDS,
    uploads: Annotated[str, typer.Option(help="how many, one number after the other")] = "10,160",
    only: Annotated[
        str, typer.Option(help="parts, separated by commas")
    ] = "webp,jpeg,avif,validate,cold,delivery,memory,cost",
) -> None:
    """Progress on stderr, tables on stdout. Nothing is asserted: a bar that is missed is printed as missed."""
    pictures = photos(folder)
    parts: dict[str, Callable[[], list[Figure]]] = {
        **{name: partial(speed.measure, pictures, name) for name in speed.CPU_BARS},
        "validate": partial(validating.measure, pictures),
        "cold": cold_start.measure,
        "memory": memory.measure,
        "delivery": partial(delivering.measure, pictures),
        "cost": partial(cost.measure, pictures),
        "off": partial(off.measure, against),
        "whole": partial(whole.measure, pictures, against),
        "local": partial(local.measure, against, rounds, [int(count) for count in uploads.split(",")]),
    }
    wanted = only.split(",")
    if unknown := set(wanted) - set(parts):
        raise typer.BadParameter(f"{', '.join(unknown)}: the parts are {', '.join(parts)}")
    if figures := [figure for name in wanted for figure in parts[name]()]:
        show_figures(figures)


typer.run(main)
