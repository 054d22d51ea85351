"""Nothing is undocumented: each setting, command, reject code, alarm and attribute of a row has its place in docs/."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from darkroom import documentation
from darkroom.cli.redrive import Reason
from darkroom.pipeline.doctor import Doctor
from functions.imaging import RejectCode
from functions.imaging.formats import _DECODERS
from pages import commands
from pages.links import AT_THE_ROOT, DOCS, ROOT, headings
from stacks.settings import Format, Functions, Rendition, Settings, WatermarkSettings
from tests.statemachine.engine import DELETION, IMAGES, RECAPTION, definition, states

IN_THE_SITE = re.findall(r"^ +- (?:[\w ]+: )?([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
GENERATED = {"commands.md", "faults.md", "permissions.md", "licences.md"}
LONGEST_PAGE, LONGEST_README = 12 * 1024, 8 * 1024  # bytes
DESCRIBED = {"renditions", "captions.prompt"}  # settings whose default is too long for its cell


def rows(page: str) -> list[list[str]]:
    """The cells of each row whose first cell is code."""
    lines = re.findall(r"^\| (`.*) \|$", (DOCS / page).read_text(), re.MULTILINE)
    return [line.split(" | ") for line in lines]


def names(cell: str) -> list[str]:
    """`quality.webp`, `.jpeg` are quality.webp and quality.jpeg, `functions.resize.memory`, `.sweep` are of two."""
    first, *others = re.findall(r"`([^`]+)`", cell)
    group = first.split(".")
    middle = [f"{group[0]}{one}.{group[-1]}" for one in others if len(group) == 3 and one[0] == "."]
    last = [f"{'.'.join(group[:-1])}{one}" for one in others if len(group) < 3 and one[0] == "."]
    return [first, *middle, *last, *(one for one in others if one[0] != ".")]


def settings(group: BaseModel, before: str = "") -> Iterator[tuple[str, Any]]:
    """The name of each, as a person writes it, with its default."""
    for name, field in type(group).model_fields.items():
        written, value = before + (field.alias or name), getattr(group, name)
        if isinstance(value, BaseModel):
            yield from settings(value, f"{written}.")
        else:
            yield written, value


def test_every_setting_is_documented_with_its_default_and_no_other_is():
    """Those of groups too. `functions.NAME` stands for each function."""
    documented = {name: default for cell, default, *_ in rows("settings.md") for name in names(cell)}
    there = dict(settings(Settings()))
    for name, value in there.items():
        known = name if name in documented else re.sub(r"^functions\.\w+", "functions.NAME", name)
        assert known in documented, name
        if name not in DESCRIBED:
            expected = "none" if value is None else json.dumps(value).strip('"')
            assert expected in re.findall(r"[^\s,`]+", documented[known]), name
    groups = {re.sub(r"^functions\.\w+", "functions.NAME", name) for name in there}
    members = {*Rendition.model_fields, *WatermarkSettings.model_fields}
    assert set(documented) - members <= {*there, *groups}


def test_every_member_of_a_rendition_is_documented():
    """With `formats`, which makes further files, and those of its watermark."""
    documented = {name for cell, *_ in rows("settings.md") for name in names(cell)}
    assert {*Rendition.model_fields, *WatermarkSettings.model_fields} <= documented


def test_every_format_is_documented():
    """Those that are taken, and those of renditions."""
    taken = (DOCS / "formats.md").read_text().partition("## What is taken")[2].partition("\n- ")[0].lower()
    assert [name for name in _DECODERS if name not in taken] == []
    [made] = [what for cell, _, what in rows("settings.md") if cell == "`formats`"]
    assert set(get_args(Format)) <= set(re.findall(r"`(\w+)`", made))


def test_every_function_is_documented():
    """In the list of settings, and among the steps."""
    named = re.findall(
        r"`(\w+)`", (DOCS / "settings.md").read_text().partition("`functions.NAME` is one of")[2].split(".")[0]
    )
    there = [field.alias or name for name, field in Functions.model_fields.items()]
    assert named == there
    steps = (DOCS / "workflow.md").read_text()
    assert [name for name in there if f"(../functions/{name}.py)" not in steps] == []


def test_the_commands_are_documented_as_their_help_says():
    """`python -m pages.commands` brings the page up to date."""
    page = commands.PAGE.read_text()
    assert commands.replaced(page) == page


def test_every_reject_code_is_documented_and_no_other_is():
    """`tests/test_places.py` compares the codes with those that the functions raise."""
    section = (DOCS / "results.md").read_text().partition("## Reject codes")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^### `([a-z_]+)`$", section, re.MULTILINE)) == sorted(get_args(RejectCode))


def test_every_reason_of_a_dead_letter_is_documented():
    section = (DOCS / "executions.md").read_text().partition("## Dead letters")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE) == list(get_args(Reason))


def test_what_is_shown_of_an_error_leads_to_its_entry():
    """Each reject code, a failure, a caption that failed, a dead letter, and each check of the doctor."""
    rejected = [{"status": "REJECTED", "error": {"code": code}} for code in get_args(RejectCode)]
    failed = {"status": "FAILED", "error": {"code": "States.Timeout"}}
    no_caption = {"status": "SUCCEEDED", "caption": {"status": "FAILED"}}
    entries = documentation.of_rows([*rejected, failed, no_caption])
    assert len(entries) == len(rejected) + 2
    assert documentation.of_row({"status": "SUCCEEDED", "caption": {"status": "OK"}}) is None
    doctors = [Doctor(aws=aws, stack="", home=Path()) for aws in (True, False)]
    pages = {f"{documentation.PAGES}/{page}" for doctor in doctors for _, page, _ in doctor.looks()}
    for entry in [*entries, documentation.LETTERS, *pages]:
        path, hash_, anchor = entry.partition("#")
        assert (ROOT / path).exists(), entry
        assert not hash_ or anchor in headings(ROOT / path), entry


def test_every_alarm_is_in_the_list_of_alarms():
    """The runbook's own entries are compared with the alarms by `tests/stacks/test_alarms.py`."""
    entries = re.findall(r"^## (\w+)$", (DOCS / "runbook.md").read_text(), re.MULTILINE)
    listed = re.findall(r"^\| \[(\w+)\]\(runbook\.md#(\w+)\)", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(entries)
    assert all(anchor == name.lower() for name, anchor in listed)


def test_the_retriers_of_the_state_machines_are_those_of_the_table():
    """The same retrier stands in many states: one that is changed in eight of nine is found."""
    there = set()
    for name in (IMAGES, DELETION, RECAPTION, "backfill"):
        for _, state in states(definition(name)):
            for one in state.get("Retry", []):
                assert (one["MaxAttempts"] == 0) or (one["BackoffRate"], one["JitterStrategy"]) == (2, "FULL")
                times = [one.get(field) for field in ("IntervalSeconds", "MaxAttempts", "MaxDelaySeconds")]
                there.add((tuple(one["ErrorEquals"]), *times))
    documented = set()
    for errors, *cells in rows("state-machines.md"):
        first, retries, longest = (
            int(number[0]) if (number := re.findall(r"\d+", cell)) else None for cell in cells[:3]
        )
        documented.add((tuple(re.findall(r"`([^`]+)`", errors)), first, retries, longest))
    assert documented == there


def test_every_attribute_and_status_of_a_row_is_documented():
    """Those that its JSON Schema has."""
    schema = json.loads((DOCS / "schemas" / "row.json").read_text())["properties"]
    members = set(schema) | set(schema["metadata"]["properties"])
    assert {name for cell, *_ in rows("row.md") for name in names(cell)} == members
    section = (DOCS / "results.md").read_text().partition("## Status")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z]+)` \|", section, re.MULTILINE)) == set(schema["status"]["enum"])


def test_every_page_is_in_the_site_once():
    """And the site names no page that is not there. Decisions are found by their index."""
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if not page.name[0].isdigit()}
    at_the_root = {"index.md", *AT_THE_ROOT} - {"README.md"}
    assert sorted(IN_THE_SITE) == sorted(pages | at_the_root)
    assert [name for name in AT_THE_ROOT if not (ROOT / name).exists()] == []


def test_no_page_is_too_long_to_read():
    """A page that tests or commands write may be, and so may the list of the decisions, which has a line for each."""
    written = [page for page in DOCS.rglob("*.md") if page.name not in GENERATED | {"README.md"}]
    assert [page.name for page in written if size(page) > LONGEST_PAGE] == []
    assert size(ROOT / "README.md") <= LONGEST_README


def size(page: Path) -> int:
    return len(page.read_bytes())
