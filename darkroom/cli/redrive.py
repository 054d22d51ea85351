"""Where a picture's way broke off: redrive."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from darkroom.cli.app import WORKFLOW, Json, command, keys
from darkroom.cli.terminal import Column, say, show_json, show_table, step
from darkroom.text import counted, pictures, unpacked

if TYPE_CHECKING:
    from darkroom.pipeline.letters import Done
    from darkroom.pipeline.target import Target

Reason = Literal["FAILED", "TIMED_OUT", "ABORTED", "STALLED", "UNDELIVERED", "UNTOLD", "WEBHOOK"]

COLUMNS = (
    Column("picture", "folded"),
    Column("reason"),
    Column("error", "cut"),
    Column("execution", "folded", expendable=1),
)


@command(
    WORKFLOW,
    examples={
        "redrive --dry-run": "shows what would be started, and starts nothing",
        "redrive": "starts everything in the dead letters",
        "redrive photo.jpg": "starts one picture, even if its letter is gone",
        "redrive --reason TIMED_OUT --rate 2": "starts only letters with this reason, two each second",
        "redrive --status FAILED --include-rejected": "starts pictures by their rows, after the limits were raised",
        "redrive --caption-failed": "makes only the captions again that failed; the renditions stay",
    },
)
def redrive(
    ctx: typer.Context,
    asked: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY...", autocompletion=keys, help="Only these pictures, also those without a letter."),
    ] = None,
    reason: Annotated[
        Reason | None,
        typer.Option(
            metavar="REASON",
            help="Only letters with this reason: FAILED, TIMED_OUT, ABORTED, STALLED, UNDELIVERED, UNTOLD or WEBHOOK.",
        ),
    ] = None,
    status: Annotated[
        Literal["FAILED"] | None,
        typer.Option(metavar="STATUS", help="Only pictures whose row says FAILED, also those without a letter."),
    ] = None,
    include_rejected: Annotated[
        bool,
        typer.Option("--include-rejected", help="Also rejected pictures, for instance after a change of the limits."),
    ] = False,
    caption_failed: Annotated[
        bool,
        typer.Option("--caption-failed", help="Not the letters: only make the captions again that failed."),
    ] = False,
    caption_off: Annotated[
        bool, typer.Option("--caption-off", help="The same for pictures that were made while captions were off.")
    ] = False,
    rate: Annotated[
        float, typer.Option(metavar="NUMBER", min=0.1, help="How many to start each second, at most.")
    ] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be started.")] = False,
    as_json: Json = False,
) -> None:
    """Start the pictures in the dead letters again, each from its original event. After Ctrl-C the rest stays there.

    A letter with the reason UNTOLD or WEBHOOK starts nothing: what the picture's row says now is told again.

    Below the table each error is said once, with how often it was there. --json has it with each picture.

    With --caption-failed or --caption-off it only makes captions of what is shown, and leaves the letters.
    """
    from darkroom.pipeline import letters, results

    if reason and (status or include_rejected):
        raise typer.BadParameter(
            "chooses letters, but --status and --include-rejected choose rows", param_hint="--reason"
        )
    captions = [name for name, wanted in (("FAILED", caption_failed), ("OFF", caption_off)) if wanted]
    if captions and (reason or status or include_rejected):
        raise typer.BadParameter(
            "cannot be used with --reason, --status or --include-rejected", param_hint="--caption-…"
        )
    target: Target = ctx.obj.target()
    done: list[Done] = []
    redriven = (
        letters.recaption(target, asked or (), captions=captions, rate=rate, dry_run=dry_run)
        if captions
        else letters.redrive(
            target, asked or (), reason, failed=bool(status), rejected=include_rejected, rate=rate, dry_run=dry_run
        )
    )
    try:
        with step("Redriving") as news, closing(redriven):
            for one in redriven:
                done.append(one)
                news(f"{len(done)}: {one.get('key', one.get('problem'))}")
    except KeyboardInterrupt:
        again = pictures(sum(one["redriven"] for one in done))
        others = "captions are" if captions else "letters are in the queue"
        say(f"Stopped with {again} started again. The other {others} as before")
        _show(done, as_json=as_json)
        raise
    except Exception:
        if done:
            _show(done, as_json=as_json)
        raise
    _show(done, as_json=as_json)
    if any("problem" in one for one in done):
        for key in [one["key"] for one in done if "problem" in one and "key" in one]:
            if results.find(target, key) is None and (suggested := results.meant(target, key)):
                say(f"{key}: {suggested}")
        raise typer.Exit(1)


def _show(done: "list[Done]", *, as_json: bool) -> None:
    if as_json:
        show_json(done)
    else:
        show_table(COLUMNS, map(line, done))
        for error in counted(_said(one["error"]) for one in done if "error" in one):
            say(error)


def line(done: "Done") -> Sequence[object]:
    """What became of a picture as a line of a table with COLUMNS."""
    if "problem" in done:
        return (done.get("key") or f"letter {done['letter']}", "NOT REDRIVEN", done["problem"], "")
    told = done["reason"] in ("UNTOLD", "WEBHOOK")
    became = (
        ("told again" if told else done["execution"])
        if done["redriven"]
        else "would be told"
        if told
        else "would be started"
    )
    return (done["key"], done["reason"], done["error"].get("code"), became)


def _said(error: dict[str, str]) -> str:
    return f"{error.get('code')}: {unpacked(error.get('message') or '')}"
