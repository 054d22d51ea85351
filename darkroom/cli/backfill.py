"""Pictures from what is in the bucket already: backfill."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from darkroom.cli.app import WORKFLOW, Json, command
from darkroom.cli.follow import Follow, follow
from darkroom.cli.terminal import FACTS, Column, say, show_json, show_table, step
from darkroom.text import about, pictures

if TYPE_CHECKING:
    from darkroom.pipeline.backfill import Estimate
    from darkroom.pipeline.target import Target

Only = Literal["missing", "stale", "failed", "captions", "all"]

COLUMNS = (
    Column("status", usual=9),
    Column("objects", usual=11),
    Column("done", usual=11),
    Column("at work", usual=7),
    Column("not looked at", usual=13),
    Column("not started", usual=11),
    Column("failed", usual=6),
)


@command(
    WORKFLOW,
    examples={
        "backfill --dry-run": "counts what has no row, and what its pictures would cost",
        "backfill": "makes them: after events were lost, or in a bucket of before",
        "backfill --only stale --at-once 20": "after a change of the settings: makes the pictures by the new ones",
        "backfill --only stale --prefix 2026/ --limit 100": "the first 100 objects in this folder",
        "backfill --follow": "shows how far the last one is, until its end or Ctrl-C",
        "backfill --stop": "ends it; `darkroom backfill --go-on` makes the rest",
    },
)
def backfill(
    ctx: typer.Context,
    only: Annotated[
        Only | None,
        typer.Option(
            metavar="WHICH",
            help="missing: no event of it has reached a row (this is the default). stale: made by other settings than "
            "today's. failed: its row says FAILED. captions: without its caption. all: every one.",
        ),
    ] = None,
    prefix: Annotated[str | None, typer.Option(metavar="PREFIX", help="Only objects whose keys begin so.")] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Look only at so many objects, the first by their keys.")
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, max=1000, help="Have at most so many pictures at work: else 100 on AWS."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, and say what it would cost.")] = False,
    follow_on: Follow = False,
    stop: Annotated[bool, typer.Option("--stop", help="End it. Pictures that are at work come to their end.")] = False,
    go_on: Annotated[bool, typer.Option("--go-on", help="Start what was stopped once more, for the rest.")] = False,
    as_json: Json = False,
) -> None:
    """Make pictures from what is in the bucket already, in the background, so many at a time.

    A newer upload or a deletion of the same key always wins. What a picture shows stays until it has something newer.
    """
    from darkroom.pipeline import backfill as backfills

    starts = bool(only or prefix or limit or at_once or dry_run)
    if stop + go_on + starts > 1:
        raise typer.BadParameter("takes no other option than --json", param_hint="--stop" if stop else "--go-on")
    target: Target = ctx.obj.target()
    if dry_run:
        counted = backfills.estimates(target, only or "missing", prefix or "", limit, at_once=at_once)
        estimate = newest(counted)
        if as_json:
            show_json(estimate.document())
        else:
            show_table(FACTS, facts(estimate))
        return
    if stop:
        _show(backfills.stop(target), as_json=as_json)
        return
    if go_on:
        begun = backfills.go_on(target)
    elif starts or not follow_on:
        begun = backfills.start(target, only or "missing", prefix or "", limit=limit, at_once=at_once)
    if follow_on:
        _follow(backfills.changes(target), as_json=as_json)
        return
    _show(begun, as_json=as_json)
    say("It runs in the background: `darkroom backfill --follow` shows how far it is")


def line(progress: dict[str, Any]) -> Sequence[object]:
    """How far a backfill is, as a line of a table with COLUMNS."""
    names = ("status", "objects", "done", "at_work", "not_looked_at", "not_started", "failed")
    return [progress[name] for name in names]


def _follow(changes: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    """Exit code 1 if it has ended without having looked at everything, or could not start a picture."""
    from darkroom.pipeline.backfill import is_by_a_person

    last: dict[str, Any] = {}

    def remembered() -> Iterator[dict[str, Any]]:
        for change in changes:
            last.update(change)
            yield change

    follow(remembered(), lambda one: one["execution"], COLUMNS, line, as_json=as_json)
    left = last.get("not_looked_at") or last.get("not_started")
    if last.get("status") == "RUNNING" or (last.get("status") == "SUCCEEDED" and not left):
        return
    if error := last.get("error"):
        say(f"{error['code']}: {error['message']}")
    for one in last["not_started_first"]:
        say(f"{one['key']} could not be started: {one['error']['code']}: {one['error']['message']}")
    lacking = []
    if last["not_started"]:
        lacking.append(f"{pictures(last['not_started'])} could not be started")
    if last["not_looked_at"]:
        lacking.append(f"{last['not_looked_at']:,} objects were not looked at")
    makes = "`darkroom backfill --go-on` makes"
    if not is_by_a_person(last["execution"]):  # --go-on would take up another one
        makes = "`darkroom backfill` or the next search of `reconcile_days` makes"
    say(f"{' and '.join(lacking) or 'It was ended'}: {makes} the rest")
    raise typer.Exit(1)


def _show(progress: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(progress)
    else:
        show_table(COLUMNS, [line(progress)])


def newest(counted: "Iterator[Estimate]") -> "Estimate":
    """The last, while each is shown."""
    with step("Counting") as news:
        for estimate in counted:
            news(f"{estimate.pictures:,} of {estimate.objects:,}")
    return estimate


def facts(estimate: "Estimate") -> list[tuple[str, str]]:
    what = "captions" if estimate.only == "captions" else "pictures"
    more = ", and what the model costs" if estimate.only == "captions" else ""
    return [
        ("objects", f"{estimate.objects:,}"),
        (f"{what} to make", f"{estimate.pictures:,}"),
        ("price", f"about {estimate.usd:,.2f} USD on AWS{more}"),
        ("time", f"about {about(estimate.seconds)} on AWS, with {estimate.at_once:,} at once"),
    ]
