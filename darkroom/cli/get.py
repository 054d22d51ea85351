"""The files of a picture: get, open."""

from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli.app import PICTURES, Json, Key, command
from darkroom.cli.terminal import Column, say, show_json, show_table
from darkroom.errors import DarkroomError
from darkroom.text import size

if TYPE_CHECKING:
    from darkroom.pipeline.results import Row
    from darkroom.pipeline.target import Target


@command(
    PICTURES,
    examples={
        "get photo.jpg": "all its renditions into this folder: photo-small.webp and so on",
        "get photo.jpg --rendition small -o small": "one rendition, into the folder small",
        "get photo.jpg --rendition original": "what was uploaded",
    },
)
def get(
    ctx: typer.Context,
    key: Key,
    rendition: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this one, or `original`. It may be given more than once."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to put them. It is made if need be.")
    ] = Path(),
    as_json: Json = False,
) -> None:
    """Copy the renditions of a picture into files. A file that is there already is not overwritten."""
    from darkroom.pipeline import copies, results

    target: Target = ctx.obj.target()
    row = results.row(target, key)
    wanted = rendition or copies.names(row)
    made = copies.copy(target, row, wanted, output)
    if wanted != [copies.ORIGINAL]:
        _say_if_older(row)
    if as_json:
        show_json([one.document() for one in made])
    else:
        columns = (Column("rendition"), Column("file", "folded"), Column("size"))
        show_table(columns, [(one.rendition, one.path, size(one.size)) for one in made])


@command(
    PICTURES,
    examples={
        "open photo.jpg": "shows the largest rendition in your program for pictures",
        "open photo.jpg --rendition thumb": "shows this one",
    },
)
def open(  # noqa: A001 - the name of the command
    ctx: typer.Context,
    key: Key,
    rendition: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which rendition. Without it: the largest.")
    ] = None,
) -> None:
    """Show a rendition of a picture in the program that this machine opens pictures with, and print where its file is.

    The file is a copy in a new temporary folder. An original is not opened: who uploaded it decided what is in it.
    """
    from darkroom.pipeline import copies, results

    target: Target = ctx.obj.target()
    row = results.row(target, key)
    there = copies.names(row)
    if rendition == copies.ORIGINAL:
        raise typer.BadParameter("is not opened: `darkroom get` copies it", param_hint="--rendition original")
    [made] = copies.copy(target, row, [rendition or there[-1]], Path(mkdtemp(prefix="darkroom-")))
    _say_if_older(row)
    typer.echo(made.path)
    if typer.launch(str(made.path)):
        raise DarkroomError("no program that opens pictures was found here: the file is at the path above")


def _say_if_older(row: "Row") -> None:
    """Whose renditions these are, where the newest version has none."""
    from darkroom.pipeline.results import of_older

    if older := of_older(row):
        say(f"{row['key']} is {row['status']}: its renditions are of {older}")
