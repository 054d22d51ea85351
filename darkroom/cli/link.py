"""A picture in any size: link."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli.app import PICTURES, Key, command

if TYPE_CHECKING:
    from darkroom.pipeline.target import Target

LONGEST_SIDE = 16383  # pixels
MOST_DAYS = 36_500


class Fit(StrEnum):
    INSIDE = "inside"
    COVER = "cover"


class Crop(StrEnum):
    CENTER = "center"
    ENTROPY = "entropy"
    ATTENTION = "attention"


class Format(StrEnum):
    AUTO = "auto"
    AVIF = "avif"
    WEBP = "webp"
    JPEG = "jpeg"
    PNG = "png"


@command(
    PICTURES,
    examples={
        "link photo.jpg --width 640": "640 pixels wide, in the best format that the browser takes",
        "link photo.jpg --width 320 --height 320 --fit cover": "a square that is filled",
        "link photo.jpg --format png --days 7": "as large as it is, as PNG, for a week",
    },
)
def link(
    ctx: typer.Context,
    key: Key,
    width: Annotated[int | None, typer.Option(min=1, max=LONGEST_SIDE, help="In pixels, at most.")] = None,
    height: Annotated[int | None, typer.Option(min=1, max=LONGEST_SIDE, help="In pixels, at most.")] = None,
    fit: Annotated[Fit | None, typer.Option(help="`cover` fills the width and height, and crops.")] = None,
    crop: Annotated[Crop | None, typer.Option(help="What `cover` keeps.")] = None,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Of the encoder; PNG has none.")] = None,
    picture_format: Annotated[
        Format, typer.Option("--format", help="`auto` is AVIF, WebP or JPEG, as the browser takes it.")
    ] = Format.AUTO,
    days: Annotated[
        int | None, typer.Option(min=0, max=MOST_DAYS, help="For how long it is valid. Without it: for ever.")
    ] = None,
) -> None:
    """Print a signed URL of a picture in any size. The stack makes that size when somebody first asks for it.

    No picture is enlarged. Sides are rounded up to a ladder: to 16 pixels up to 256, to 32 up to 512, and so on. Days
    end at midnight UTC.
    """
    from darkroom.pipeline import links, results

    if fit == Fit.COVER and not (width and height):
        raise typer.BadParameter("needs --width and --height", param_hint="--fit cover")
    if crop not in (None, Crop.CENTER) and fit != Fit.COVER:
        raise typer.BadParameter("needs --fit cover", param_hint=f"--crop {crop}")
    if quality and picture_format == Format.PNG:
        raise typer.BadParameter("PNG loses nothing and has none", param_hint="--quality")
    expires = None if days is None else links.end_of_day(days)
    given = {"w": width, "h": height, "fit": fit, "crop": crop, "q": quality, "f": picture_format, "exp": expires}
    target: Target = ctx.obj.target()
    row = results.row(target, key)
    typer.echo(links.signed(target, row["key"], {name: value for name, value in given.items() if value is not None}))
