"""A picture's way through the workflow: executions, inspect."""

from enum import StrEnum
from typing import Annotated

import typer

from darkroom.cli.app import WORKFLOW, Json, command, keys
from darkroom.cli.follow import Follow, follow
from darkroom.cli.terminal import show_json, show_table


class ExecutionStatus(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"


@command(
    WORKFLOW,
    examples={
        "executions": "the newest 20",
        "executions --status FAILED --limit 5": "the last five that failed; `darkroom inspect KEY` says why",
        "executions --follow": "then each as it starts and ends; Ctrl-C ends it",
        "executions --follow --json | jq -r .key": "the pictures as they come, for a program",
    },
)
def executions(
    ctx: typer.Context,
    status: Annotated[
        ExecutionStatus | None,
        typer.Option(metavar="STATUS", help="Only RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED ones."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="How many at most.")] = 20,
    follow_on: Follow = False,
    as_json: Json = False,
) -> None:
    """Show the newest executions of the state machine.

    A rejected picture and a duplicate event end as SUCCEEDED: the workflow did what it is for.
    """
    from darkroom.pipeline import executions

    target = ctx.obj.target()
    if follow_on:
        changes = executions.changes(target, status=status, limit=limit)
        follow(changes, lambda one: one["execution"], executions.COLUMNS, executions.line, as_json=as_json)
        return
    found = executions.recent(target, status=status, limit=limit)
    if as_json:
        show_json(found)
    else:
        show_table(executions.COLUMNS, map(executions.line, found))


@command(
    WORKFLOW,
    examples={
        "inspect photo.jpg": "its row, and the tree of its states",
        "inspect --input photo.jpg": "with what each state was given",
        "inspect --json photo.jpg": "everything, each state's output too",
    },
)
def inspect(
    ctx: typer.Context,
    key: Annotated[
        str, typer.Argument(metavar="KEY", autocompletion=keys, help="A picture, with or without the upload prefix.")
    ],
    inputs: Annotated[bool, typer.Option("--input", help="Also what each state was given.")] = False,
    as_json: Json = False,
) -> None:
    """Show how a picture went its way: its row, and its states as a tree with duration, retries and error."""
    from darkroom.pipeline import executions

    found = executions.inspect(ctx.obj.target(), key)
    if as_json:
        show_json(found)
    else:
        executions.show(found, inputs=inputs)
