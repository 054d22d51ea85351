"""The first step of a picture's way: upload."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom import documentation
from darkroom.cli.app import PICTURES, Json, command
from darkroom.cli.terminal import Column, say, show_json, show_table
from darkroom.text import seconds, size

if TYPE_CHECKING:
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
        "upload ~/Pictures/2026": "each file under its place below that folder",
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
    as_json: Json = False,
) -> None:
    """Upload pictures and follow each to its end. The exit code is 1 if one failed or did not end in time.

    In a folder, names that begin with a dot and links that lead out of the folder are left out.

    After Ctrl-C no other upload begins, and uploads under way are given up. Then it says which pictures S3 has: each
    is there as a whole or not at all.
    """
    from darkroom.cli.watch import send_all, watch
    from darkroom.pipeline import uploads

    target: Target = ctx.obj.target()
    files = uploads.keys(paths, target.upload_prefix, say)
    if not wait:
        sent = send_all(target, files)
        if as_json:
            show_json([one.document() for one in sent])
        else:
            show_table((Column("picture", "folded"), "version"), [(one.key, one.version_id) for one in sent])
        return
    ended = watch(target, files, timeout)
    if as_json:
        show_json([one.document() for one in ended])
    else:
        show_table(COLUMNS, map(line, sorted(ended, key=lambda end: end.upload.key)))
    explain(ended)
    if why := uploads.silence(target, ended):
        say(why)
    uploads.require_verdicts(ended)


def line(ended: "Ended") -> Sequence[object]:
    """The picture as a line of a table with COLUMNS."""
    from darkroom.pipeline import results

    row = ended.row or {}
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
