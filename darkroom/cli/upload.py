"""The first step of a picture's way: upload."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli.app import PICTURES, Json, command
from darkroom.cli.terminal import Column, show_json, show_table

if TYPE_CHECKING:
    from darkroom.pipeline.target import Target


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
    from darkroom.pipeline import uploads

    target: Target = ctx.obj.target()
    files = uploads.keys(paths, target.upload_prefix)
    if not wait:
        sent = uploads.send_all(target, files)
        if as_json:
            show_json([one.document() for one in sent])
        else:
            show_table((Column("picture", "folded"), "version"), [(one.key, one.version_id) for one in sent])
        return
    ended = uploads.watch(target, files, timeout)
    if as_json:
        show_json([one.document() for one in ended])
    else:
        show_table(uploads.COLUMNS, map(uploads.line, sorted(ended, key=lambda end: end.upload.key)))
    uploads.explain_errors(ended)
    uploads.explain_silence(target, ended)
    uploads.require_verdicts(ended)
