"""What is missing on this machine or in the account: doctor."""

from pathlib import Path
from typing import Annotated

import typer

from darkroom.cli.app import LOCAL, Json, command
from darkroom.cli.terminal import Column, say, show_json, show_table, step
from darkroom.local import cloud

COLUMNS = (Column("check"), Column("", "whole"), Column("found", "folded"))


@command(
    LOCAL,
    examples={
        "doctor": "this machine, the local cloud, its stack, and the model for captions",
        "doctor --quick": "does not compare the stack with this checkout, which takes longest",
        "--aws doctor": "the account: credentials, region, bootstrap, stack, model for captions",
        "doctor --json | jq .ok": "for a program",
    },
)
def doctor(
    ctx: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not synthesise the stack to compare it with what is deployed.")
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="With --aws: the file that the stack was deployed with."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check everything that Darkroom needs, and say how to fix what is missing. The exit code is 1 if something is.

    `darkroom --aws doctor` checks the account instead of the local cloud. It changes nothing. If captions are on, it
    asks the model one short question, which costs as much as a few words.
    """
    from darkroom.pipeline.doctor import Doctor

    ill = Doctor(aws=ctx.obj.aws, stack=ctx.obj.stack, home=cloud.home_folder(), synth=not quick, settings=settings)
    done = []
    with step("Looking") as news:
        for name, look in ill.checks():
            news(name)
            done.append(look())
    missing = [one for one in done if one.state == "missing"]
    if as_json:
        show_json({"ok": not missing, "checks": [one.document() for one in done]})
    else:
        lines: list[tuple[str, str, str]] = []
        for one in done:
            lines.append((one.name, one.state, one.found))
            if one.fix:
                lines.append(("", "", f"-> {one.fix}  ({one.page})"))
        show_table(COLUMNS, lines)
        say("Nothing is missing" if not missing else f"Missing: {', '.join(one.name for one in missing)}")
    if missing:
        raise typer.Exit(1)
