"""Whether a deployed stack does what it should: smoke."""

from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli.app import WORKFLOW, Json, command
from darkroom.cli.terminal import Column, say, show_json, show_table, step
from darkroom.text import seconds

if TYPE_CHECKING:
    from darkroom.pipeline.smoke import Line
    from darkroom.pipeline.target import Target

COLUMNS = (
    Column("check"),
    Column(""),
    Column("time"),
    Column("expected", "folded"),
    Column("seen", "folded"),
)


@command(
    WORKFLOW,
    examples={
        "smoke": "everything once, on the local cloud",
        "--aws smoke --burst 500": "on a new stack in your AWS account, with 500 pictures at once",
        "smoke --json | jq -r '.checks[] | select(.state == \"failed\").name'": "what failed, for a program",
    },
)
def smoke(
    ctx: typer.Context,
    burst: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="How many pictures to upload at once.")] = 10,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="The longest wait in each check. The burst gets 3 s more for each picture."
        ),
    ] = 300,
    as_json: Json = False,
) -> None:
    """Try the deployed stack with drawn pictures, and show for each check what was expected and what was seen.

    It uploads, overwrites, deletes, undeletes and redrives pictures in a new folder below the upload prefix. At the
    end, also after Ctrl-C, it removes what it made there. It stops one execution on purpose, so the alarms of failed
    executions and dead letters fire. The exit code is 1 if a check failed.
    """
    from darkroom.pipeline.smoke import Smoke

    target: Target = ctx.obj.target()
    done: list[Line] = []
    tried = Smoke(target, burst=burst, patience=timeout)
    try:
        with step(f"Trying {target.stack} with pictures below {tried.prefix}") as news:
            for name, check in tried.checks():
                news(name)
                done.append(check())
    finally:  # also of Ctrl-C and of an error
        with step("Removing what this made"):
            done.append(tried.clean())
        _show(done, as_json=as_json)
    if failed := [line.name for line in done if line.state == "failed"]:
        say(f"Failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _show(done: "list[Line]", *, as_json: bool) -> None:
    if as_json:
        show_json({"ok": all(line.state != "failed" for line in done), "checks": [line.document() for line in done]})
    else:
        show_table(COLUMNS, ((one.name, one.state, seconds(one.seconds), one.expected, one.seen) for one in done))
