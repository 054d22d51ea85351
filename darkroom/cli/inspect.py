"""How a picture was processed: inspect, with the states of its execution as a tree."""

import json
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from darkroom.cli.app import WORKFLOW, Json, Key, command
from darkroom.cli.executions import COLUMNS, line
from darkroom.cli.terminal import FACTS, draw, say, show_json, show_table
from darkroom.text import counted, plain, seconds, short, unpacked

if TYPE_CHECKING:
    from rich.tree import Tree


@command(
    WORKFLOW,
    examples={
        "inspect photo.jpg": "its row, and the tree of its states",
        "inspect --input photo.jpg": "with the input of each state",
        "inspect --json photo.jpg": "everything, also the output of each state",
    },
)
def inspect(
    ctx: typer.Context,
    key: Key,
    inputs: Annotated[bool, typer.Option("--input", help="Also show the input of each state.")] = False,
    as_json: Json = False,
) -> None:
    """Show what happened to a picture: a tree of its states with durations, retries and errors, and what its row says.

    Errors are short, and each is there once. --json has all of them, and the whole row.
    """
    from darkroom.pipeline import executions

    found = executions.inspect(ctx.obj.target(), key)
    if as_json:
        show_json(found)
    else:
        show(found, inputs=inputs)


def show(found: dict[str, Any], *, inputs: bool = False) -> None:
    """What `inspect` returned, for a person: the execution, its states as a tree, and what the row says in the end."""
    from darkroom.pipeline.executions import is_undelete
    from darkroom.pipeline.results import main_facts

    if (execution := found["execution"]) is not None:
        show_table(COLUMNS, [line(execution)])
        typer.echo()
        if redrives := execution["redrives"]:
            undelete = is_undelete(execution["execution"], redrives)
            typer.echo(plain(f"{'An undelete, by the deletion' if undelete else 'A redrive of'} {redrives}"))
            typer.echo()
        draw(tree(found, inputs=inputs))
        typer.echo()
    elif "note" in found:
        say(found["note"])
    show_table(FACTS, main_facts(found["row"]))
    say(f"All of the row: `darkroom results {shlex.quote(found['row']['key'])}`")


def tree(found: dict[str, Any], *, inputs: bool = False) -> "Tree":
    """The states below the execution that visited them, each in the Parallel, Map or iteration that it ran in."""
    from rich.text import Text
    from rich.tree import Tree

    execution, states = found["execution"], found["states"]
    took = seconds(execution["seconds"])
    root = Tree(Text(f"{execution['status']}{' after ' if took else ''}{took}", "bold"))

    def grow(branch: "Tree", parent: int | None, *, running: bool) -> None:
        inside = [(place, state) for place, state in enumerate(states) if state["parent"] == parent]
        for place, state in sorted(inside, key=lambda one: one[1]["iteration"] or 0):  # which keeps their order else
            said = in_words(state, running=running)
            grown = branch.add(Text(said, style="yellow" if state["errors"] else ""))
            if inputs:
                grown.add(Text(f"given {plain(short(json.dumps(state['input'], ensure_ascii=False)))}", "dim"))
            grow(grown, place, running=running and state["seconds"] is None)

    grow(root, None, running=execution["status"] == "RUNNING")
    if execution["error"]:
        root.add(Text(plain(short(_said(execution))), "red"))
    return root


def in_words(state: dict[str, Any], *, running: bool = False) -> str:
    """The state in one line: its name and its item's, how long it took, how often it was tried and what went wrong.
    `running` is its execution."""
    item = "" if state["item"] is None else f" {state['item']}"
    left = state["seconds"] is not None
    took = seconds(state["seconds"]) if left else "at work" if running else "not left"
    said = f"{state['name']}{item}  {took}"
    errors = [_said(one) for one in state["errors"]]
    if not errors or state["type"] == "Fail":  # whose error is the execution's
        return plain(said)
    named = counted(errors) if len(set(errors)) > 1 else [short(errors[0])]  # how often one is said by the tries
    tries = max(state["retries"] + 1, len(errors))
    times = "tried once" if tries == 1 else f"tried {tries} times"
    if left:
        end = f"succeeded at the {_ordinal(tries)}" if tries > len(errors) else "gave up; the error was caught"
    else:
        end = "not at its end" if running else "gave up"
    return plain(f"{said}  {times}: {'; then '.join(named)}; {end}")


def _said(failure: dict[str, Any]) -> str:
    return f"{failure['error']}: {unpacked(failure['cause'] or '')}"


def _ordinal(number: int) -> str:
    return ("", "first", "second", "third", "fourth", "fifth")[number] if number <= 5 else f"{number}th"
