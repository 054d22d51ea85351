"""The first step of a picture's way: upload."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom import documentation
from darkroom.cli.app import PICTURES, Json, command
from darkroom.cli.terminal import Column, say, show_json, show_table
from darkroom.text import pictures, seconds, size, some

if TYPE_CHECKING:
    from darkroom.pipeline.files import Chosen
    from darkroom.pipeline.target import Target
    from darkroom.pipeline.uploads import Ended

COLUMNS = (
    Column("picture", "folded"),
    Column("status"),
    Column("time"),
    Column("renditions", "cut", expendable=1),
    Column("caption or error", "cut"),
)


@command(
    PICTURES,
    examples={
        "upload photo.jpg": "becomes raw/photo.jpg; waits for its row",
        "upload ~/Pictures/2026": "each picture under its place below that folder",
        "upload --dry-run ~/Pictures": "shows what would be sent and what is left out, and sends nothing",
        "upload --focus 0.3,0.6 photo.jpg": "no crop cuts off what is at 30 % from the left and 60 % from the top",
        "upload --no-wait --json album": "returns when S3 has them, with their versions",
        "--aws upload photo.jpg": "into the stack in your AWS account",
    },
)
def upload(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow each picture to its end.")] = True,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="How long to follow the pictures after the last upload, at most."),
    ] = 300,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the files of a folder that are no pictures by name or first bytes.")
    ] = False,
    focus: Annotated[
        str | None,
        typer.Option(
            metavar="ACROSS,DOWN", help="What no crop of the one picture may cut off: a point, each from 0 to 1."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be sent.")] = False,
    as_json: Json = False,
) -> None:
    """Upload pictures and follow each to its end. The exit code is 1 if one could not be read, failed or did not end in
    time.

    Of a folder, files are left out that are not pictures, names that begin with a dot, and links that lead out of the
    folder. It says how many. What cannot be read is named, and the others are sent.

    After Ctrl-C no other upload begins, and uploads under way are given up. Then it says which pictures S3 has: each
    is there as a whole or not at all.
    """
    from darkroom.cli.watch import send_all, watch
    from darkroom.pipeline import files, uploads

    if focus is not None and not uploads.FOCUS.fullmatch(focus):
        raise typer.BadParameter("must be two numbers from 0 to 1, such as 0.3,0.6", param_hint=f"--focus {focus}")
    target: Target = ctx.obj.target()
    chosen = files.choose(paths, target.upload_prefix, everything=everything)
    say_left_out(chosen)
    if focus is not None and len(chosen.files) != 1:
        found = f"is of one picture, and {pictures(len(chosen.files))} would be sent"
        raise typer.BadParameter(found, param_hint=f"--focus {focus}")
    metadata = {} if focus is None else {"focus": "".join(focus.split())}
    ended: list[Ended] = []
    unreadable: dict[str, str] = {}
    if dry_run:
        _show_plan(chosen, as_json=as_json)
    elif wait:
        ended, unreadable = watch(target, chosen.files, timeout, metadata)
        _show_ended(ended, as_json=as_json)
    else:
        sent, unreadable = send_all(target, chosen.files, metadata)
        if as_json:
            show_json([one.document() for one in sent])
        else:
            show_table((Column("picture", "folded"), "version"), [(one.key, one.version_id) for one in sent])
    if why := uploads.silence(target, ended):
        say(why)
    if ended:
        _say_what_waits(target)
    uploads.require_verdicts(ended)
    if unreadable or chosen.unreadable:
        raise typer.Exit(1)


def _say_what_waits(target: "Target") -> None:
    """The letters and the failures there are, of earlier uploads too; nothing to who may only upload."""
    from botocore.exceptions import ClientError

    from darkroom.pipeline.attention import attention

    with suppress(ClientError):
        for waiting in attention(target).lines():
            say(waiting)


def say_left_out(chosen: "Chosen") -> None:
    """How many files of the folders are not sent, and why; each that cannot be read."""
    from darkroom.cli.watch import say_unreadable

    for reason, names in chosen.left_out.items():
        say(f"Left out, because {reason} ({len(names)}): {some(names)}")
    say_unreadable(chosen.unreadable)


def _show_plan(chosen: "Chosen", *, as_json: bool) -> None:
    if as_json:
        show_json([{"path": str(path), "key": key} for key, path in chosen.files.items()])
    else:
        show_table((Column("picture", "folded"), Column("file", "folded")), list(chosen.files.items()))
        say(f"{pictures(len(chosen.files))} would be sent")


def _show_ended(ended: "list[Ended]", *, as_json: bool) -> None:
    if as_json:
        show_json([one.document() for one in ended])
    else:
        show_table(COLUMNS, map(line, sorted(ended, key=lambda end: end.upload.key)))
    explain(ended)


def line(ended: "Ended") -> Sequence[object]:
    """The picture as a line of a table with COLUMNS."""
    from darkroom.pipeline import results

    row = results.of_newest(ended.row) if ended.row else {}
    return (
        ended.upload.key,
        ended.status,
        seconds(ended.seconds),
        ", ".join(f"{name} {size(row['renditions'][name]['bytes'])}" for name in results.by_width(row)),
        results.caption_or_error(row),
    )


def explain(ended: "Iterable[Ended]") -> None:
    """Say where the documentation explains what is not a success."""
    if entries := documentation.of_rows(end.row for end in ended if end.row):
        say(f"The errors are explained in {', '.join(entries)}")
