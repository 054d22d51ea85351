"""What `darkroom inspect` shows: a picture's row, and the states of its execution as a tree."""

import json
from typing import TYPE_CHECKING, Any

import typer

from darkroom.cli.executions import COLUMNS, line
from darkroom.cli.terminal import FACTS, draw, show_table
from darkroom.pipeline.executions import is_undelete, message
from darkroom.pipeline.results import facts
from darkroom.text import plain, seconds

if TYPE_CHECKING:
    from rich.tree import Tree


def show(found: dict[str, Any], *, inputs: bool = False) -> None:
    """What `inspect` returned, for a person: the row, the execution, and its states as a tree."""
    show_table(FACTS, facts(found["row"]))
    if found["execution"] is None:
        return
    typer.echo()
    show_table(COLUMNS, [line(found["execution"])])
    typer.echo()
    if redrives := found["execution"]["redrives"]:
        undelete = is_undelete(found["execution"]["execution"], redrives)
        typer.echo(plain(f"{'An undelete, by the deletion' if undelete else 'A redrive of'} {redrives}"))
        typer.echo()
    draw(tree(found, inputs=inputs))


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
                grown.add(Text(f"given {plain(_short(state['input']))}", "dim"))
            grow(grown, place, running=running and state["seconds"] is None)

    grow(root, None, running=execution["status"] == "RUNNING")
    if execution["error"]:
        root.add(Text(plain(f"{execution['error']}: {message(execution['cause'] or '')}"), "red"))
    return root


def in_words(state: dict[str, Any], *, running: bool = False) -> str:
    """The state in one line: its name and its item's, how long it took, how often it was tried and what went wrong.
    `running` is its execution."""
    item = "" if state["item"] is None else f" {state['item']}"
    left = state["seconds"] is not None
    took = seconds(state["seconds"]) if left else "at work" if running else "not left"
    said = f"{state['name']}{item}  {took}"
    errors = [f"{one['error']}: {message(one['cause'])}" for one in state["errors"]]
    if not errors:
        return plain(said)
    tries = state["retries"] + 1
    times = "tried once" if tries == 1 else f"tried {tries} times"
    if left:
        end = f"succeeded at the {_ordinal(tries)}" if tries > len(errors) else "gave up; the error was caught"
    else:
        end = "not at its end" if running else "gave up"
    return plain(f"{said}  {times}: {'; then '.join(dict.fromkeys(errors))}; {end}")


def _ordinal(number: int) -> str:
    return ("", "first", "second", "third", "fourth", "fifth")[number] if number <= 5 else f"{number}th"


def _short(value: Any, limit: int = 300) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters, all with --json)"
