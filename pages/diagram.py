"""Draw the way of the picture, from the state machine's own file, as the Mermaid diagram of docs/workflow.md.

`python -m pages.diagram docs/workflow.md` writes it between the two markers.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEFINITION = Path(__file__).resolve().parent.parent / "statemachine" / "image_pipeline.asl.json"
BEGIN, END = "<!-- diagram:begin -->", "<!-- diagram:end -->"

Machine = dict[str, Any]
SHAPES = {"Choice": '{{"{}"}}', "Succeed": '(["{}"])', "Fail": '[["{}"]]'}  # the others are boxes


def draw(machine: Machine) -> str:
    """Boxes in boxes for Parallel and Map; a dashed arrow is a Catch."""
    start = f'    upload(["upload event"]) --> {_node(machine["StartAt"])}'
    ends = [f"    {_node(name)} --> done([done])" for name, state in machine["States"].items() if "End" in state]
    return "\n".join(["flowchart TD", start, *_states(machine, "    "), *ends])


def replace_diagram(page: str, diagram: str) -> str:
    """The page with the diagram between its markers. Raises ValueError if they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the diagram: {BEGIN} and then {END} are not both there")
    return f"{before}{BEGIN}\n```mermaid\n{diagram}\n```\n{END}{after}"


def _states(machine: Machine, margin: str) -> Iterator[str]:
    for name, state in machine["States"].items():
        yield from _state(name, state, margin)
    for name, state in machine["States"].items():
        yield from (f"{margin}{_node(name)} {arrow}" for arrow in _arrows(state))


def _state(name: str, state: Machine, margin: str) -> Iterator[str]:
    inner = [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]
    if not inner:
        yield margin + _node(name) + SHAPES.get(state["Type"], '["{}"]').format(name)
        return
    yield f'{margin}subgraph {_node(name)}["{name} ({state["Type"]})"]'
    for machine in inner:
        yield from _states(machine, margin + "    ")
    yield f"{margin}end"


def _arrows(state: Machine) -> Iterator[str]:
    for choice in state.get("Choices", []):
        yield f'-- "{_condition(choice["Condition"])}" --> {_node(choice["Next"])}'
    if "Default" in state:
        yield f'-- "otherwise" --> {_node(state["Default"])}'
    if "Next" in state:
        yield f"--> {_node(state['Next'])}"
    for catch in state.get("Catch", []):
        yield f'-. "{", ".join(map(_error, catch["ErrorEquals"]))}" .-> {_node(catch["Next"])}'


def _node(name: str) -> str:
    return re.sub(r"\W", "", name)


def _condition(expression: str) -> str:
    return expression.removeprefix("{%").removesuffix("%}").replace("$states.input.", "").strip()


def _error(name: str) -> str:
    return "any error" if name == "States.ALL" else name.rpartition(".")[2].removesuffix("Exception")


def main() -> None:
    page = Path(sys.argv[1])
    page.write_text(replace_diagram(page.read_text(), draw(json.loads(DEFINITION.read_text()))))


if __name__ == "__main__":
    main()
