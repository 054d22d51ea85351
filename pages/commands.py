"""Writes the reference of docs/commands.md between its two markers: every command with its options, from their help.

`python -m pages.commands` does it; a test fails where the page has anything else.
"""

from enum import Enum
from typing import Any

import typer

from darkroom.cli import app
from pages.links import DOCS

PAGE = DOCS / "commands.md"
BEGIN, END = "<!-- commands:begin -->", "<!-- commands:end -->"


def reference() -> str:
    group: Any = typer.main.get_command(app)
    return "\n\n".join(_entry(name, command) for name, command in group.commands.items())


def replaced(page: str) -> str:
    """The page with the reference between its markers. Raises ValueError if they are not both there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the reference: {BEGIN} and then {END} are not both there")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def _entry(name: str, command: Any) -> str:
    said = _text((command.help or "").partition("\n\n")[0].partition("\f")[0])
    rows = [_row(one) for one in command.params]
    table = ["", "| argument or option | what |", "|---|---|", *rows] if rows else []
    return "\n".join([f"### `{name}`", "", said, *table])


def _row(one: Any) -> str:
    said = _text(getattr(one, "help", None) or "")
    if one.default is not None and not isinstance(one.default, bool):
        said += f" The default is `{getattr(one.default, 'value', one.default)}`."
    if one.param_type_name == "option":
        named = ", ".join([*one.opts, *one.secondary_opts])
        takes = "" if one.is_flag else f" {_text(one.metavar or _kind(one.type_descriptor.annotation))}"
    else:
        named, takes = one.metavar or one.name.upper(), ""
    return f"| `{named}{takes}` | {said} |"


def _kind(taken: Any) -> str:
    return "|".join(choice.value for choice in taken) if issubclass(taken, Enum) else "NUMBER"


def _text(said: str) -> str:
    return " ".join(said.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
