"""What a change of settings would make of the pictures that are there: plan."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from darkroom.cli.app import WORKFLOW, Json, command
from darkroom.cli.backfill import facts, newest
from darkroom.cli.local import setting
from darkroom.cli.terminal import FACTS, say, show_json, show_table, step
from darkroom.text import about, size

if TYPE_CHECKING:
    from darkroom.pipeline.backfill import Estimate
    from darkroom.pipeline.plan import Compared, Rendition
    from darkroom.pipeline.target import Target

    Pair = tuple[Rendition | None, Rendition | None]

USUAL_SAMPLE = 12
MOST_OF_A_SAMPLE = 500  # of a page that a browser still shows

COLUMNS = ("rendition", "pictures", "bytes today", "proposed", "change", "SSIM today", "SSIM proposed")


@command(
    WORKFLOW,
    examples={
        "plan -c quality.webp=70": "a page with some pictures as they are and as they would be",
        "plan -c renditions.small.width=600 -c renditions.small.height=600": "the same for another size",
        "plan -c 'renditions.large.formats=[\"avif\"]' --sample 30 -o avif": "thirty pictures, into the folder avif",
    },
)
def plan(
    ctx: typer.Context,
    changes: Annotated[
        list[str], typer.Option("-c", "--set", metavar="NAME=VALUE", help="A setting to try. It may be given often.")
    ],
    sample: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=MOST_OF_A_SAMPLE, help="How many pictures to make.")
    ] = USUAL_SAMPLE,
    prefix: Annotated[str | None, typer.Option(metavar="PREFIX", help="Only objects whose keys begin so.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where the page goes: an empty folder. Else a new one is made here.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what other settings would make of the pictures that are there, and what that would cost.

    A sample is made on this machine, by the settings of the deployed stack and by those that you try. Nothing in the
    account is changed.
    """
    from darkroom.pipeline import backfill as backfills
    from darkroom.pipeline import plan as plans

    chosen = dict(setting(text, "-c") for text in changes)
    folder = plans.free_folder(output)
    target: Target = ctx.obj.target()
    try:
        proposal = plans.propose(target, chosen)
    except plans.SettingsRefusedError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="-c") from None
    if chosen.get("workflow") == "express" and "reconcile_days" not in chosen:
        say("With express, reconcile_days should be set: docs/express.md#what-can-be-lost says why")
    if not proposal.changes_files:
        say("This changes no file of a picture: there is nothing to compare, and nothing to make again")
        if as_json:
            show_json(_document(chosen, proposal.recipe, None, [], None))
        return
    seen = plans.Sample(sample)
    estimate = newest(backfills.estimates(target, "stale", prefix or "", recipe=proposal.recipe, seen=seen.see))
    objects, made = seen.objects(), []
    with step(f"Making {len(objects)} of them by both settings") as news:
        for one in plans.compare(target, proposal, objects, folder):
            made.append(one)
            news(f"{len(made)} of {len(objects)}: {one.key}")
    page = _write(folder, target, chosen, estimate, made)
    if as_json:
        show_json(_document(chosen, proposal.recipe, estimate, made, page))
        return
    if rows := summary(made):
        show_table(COLUMNS, rows)
    show_table(FACTS, [*facts(estimate), ("page", page)])
    if identical(made):
        say("No file of the sample changes. A backfill of all that is stale would make all of them again nevertheless")


def summary(made: "Sequence[Compared]") -> list[Sequence[object]]:
    """Of each rendition: of how many pictures, and the bytes and mean SSIM of both."""
    by_name: dict[str, list[Pair]] = {}
    for name, today, proposed in chain.from_iterable(one.pairs() for one in made):
        by_name.setdefault(name, []).append((today, proposed))
    return [_line(name, pairs) for name, pairs in by_name.items()]


def identical(made: "Sequence[Compared]") -> bool:
    """Whether there are pairs, and none differs in its measures."""
    pairs = [pair for one in made for pair in one.pairs()]
    return bool(pairs) and all(
        today is not None and proposed is not None and _measures(today) == _measures(proposed)
        for _, today, proposed in pairs
    )


def _measures(one: "Rendition") -> tuple[object, ...]:
    return one.format, one.width, one.height, one.bytes, one.ssim


def _line(name: str, pairs: "Sequence[Pair]") -> Sequence[object]:
    today, proposed = ([one for one in side if one] for side in zip(*pairs, strict=True))
    before, after = (sum(one.bytes for one in side) for side in (today, proposed))
    return [name, len(pairs), size(before), size(after), change(before, after), _mean(today), _mean(proposed)]


def change(before: int, after: int) -> str:
    """`-12 %`; empty where one of both is not made."""
    return f"{100 * (after - before) / before:+.0f} %" if before and after else ""


def _mean(side: "Sequence[Rendition]") -> str:
    found = [one.ssim for one in side if one.ssim is not None]
    return f"{mean(found):.4f}" if found else ""


def _document(
    chosen: dict[str, str], recipe: str, estimate: "Estimate | None", made: "Sequence[Compared]", page: Path | None
) -> dict[str, Any]:
    return {
        "settings": chosen,
        "recipe": recipe,
        "backfill": estimate.document() if estimate else None,
        "pictures": [one.document() for one in made],
        "page": str(page) if page else None,
    }


def _write(
    folder: Path, target: "Target", chosen: dict[str, str], estimate: "Estimate", made: "Sequence[Compared]"
) -> Path:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"size": size, "about": about}
    templates.globals |= {"change": change}
    html = templates.get_template("plan.html").render(
        target=target, settings=chosen, estimate=estimate, made=made, columns=COLUMNS, summary=summary(made)
    )
    page = folder / "index.html"
    folder.mkdir(parents=True, exist_ok=True)
    page.write_text(html)
    return page
