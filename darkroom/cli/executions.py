"""The executions of the state machine: executions."""

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from darkroom.cli.app import WORKFLOW, Json, command
from darkroom.cli.follow import Follow, follow
from darkroom.cli.terminal import Column, say, show_json, show_table
from darkroom.text import seconds

if TYPE_CHECKING:
    from darkroom.pipeline.target import Target

Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]

COLUMNS = (
    Column("picture", "folded", usual=32),
    Column("status", usual=9),
    Column("verdict", usual=9),
    Column("started (UTC)", usual=19),
    Column("duration", usual=9),
    Column("execution", "folded", expendable=1),
)


@command(
    WORKFLOW,
    examples={
        "executions": "the newest 20",
        "executions --status FAILED --limit 5": "the last five that failed; `darkroom inspect KEY` says why",
        "executions --follow": "the newest 20, then each that starts or ends, until Ctrl-C",
        "executions --follow --json | jq -r .key": "the keys as they come, for a program",
    },
)
def executions(
    ctx: typer.Context,
    status: Annotated[
        Status | None,
        typer.Option(
            metavar="STATUS", help="Only executions that are RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="How many at most.")] = 20,
    follow_on: Follow = False,
    as_json: Json = False,
) -> None:
    """Show the newest executions of the state machine.

    The execution of a rejected picture or of a duplicate event is SUCCEEDED, because nothing failed. Then the verdict
    is beside it: REJECTED or DUPLICATE.
    """
    from darkroom.pipeline import executions

    target = ctx.obj.target()
    if follow_on:
        _say_so(target)
        changes = executions.changes(target, status=status, limit=limit)
        follow(changes, lambda one: one["execution"], COLUMNS, line, as_json=as_json)
        return
    found = executions.recent(target, status=status, limit=limit)
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, map(line, found))
    _say_so(target)


def _say_so(target: "Target") -> None:
    """Where a list is not simply true."""
    from darkroom.pipeline import executions

    if note := executions.note(target):
        say(note)


def line(execution: dict[str, Any]) -> Sequence[object]:
    """The execution as a line of a table with COLUMNS."""
    verdict = (execution["verdict"] or "").upper()
    started = f"{execution['started'].astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return (
        execution["key"],
        execution["status"],
        verdict if verdict != execution["status"] else "",
        started,
        seconds(execution["seconds"]),
        execution["execution"].rpartition(":")[2],
    )
