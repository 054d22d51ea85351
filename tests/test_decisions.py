"""The decisions of docs/decisions: one page each, in the index, with a status; and what refers to them finds them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
NUMBERS = [page.name[:4] for page in PAGES]
LINK = r"\[\d{4}\]\(\d{4}-[a-z0-9-]+\.md\)"
STATUS = rf"^Status: (accepted|superseded by {LINK}), (\d{{4}}-\d\d-\d\d)(; changed \d{{4}}-\d\d-\d\d)?$"


def test_each_number_is_given_once_and_none_is_left_out():
    """Two branches that took the same number must not both land."""
    assert [int(number) for number in NUMBERS] == list(range(1, len(PAGES) + 1))


@pytest.mark.parametrize("page", PAGES, ids=NUMBERS)
def test_a_decision_has_a_status_with_its_date_and_three_parts(page):
    """A reader sees at once whether it holds today."""
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]}. ")
    assert re.search(STATUS, text, re.MULTILINE)
    assert re.findall("^## .*", text, re.MULTILINE) == ["## Context", "## Decision", "## Consequences"]


def test_the_index_has_each_decision_with_its_title_and_status():
    """In the order of their numbers; it is what a reader looks through."""
    rows = []
    for page in PAGES:
        text = page.read_text()
        [title], [status] = re.findall(r"^# \d{4}\. (.*)", text), re.findall(STATUS, text, re.MULTILINE)
        rows.append(f"| {page.name[:4]} | [{title}]({page.name}) | {status[0]} |")
    assert re.findall(r"^\| \d{4} .*", (FOLDER / "README.md").read_text(), re.MULTILINE) == rows


def test_each_decision_that_code_names_exists():
    """Code names a decision by its number: `docs/decisions/0008`."""
    named = {
        number
        for folder in ("functions", "stacks", "darkroom", "tests", "benchmarks", "dependencies")
        for file in (ROOT / folder).rglob("*.py")
        for group in re.findall(r"docs/decisions/(\d{4}(?:, \d{4})*)", file.read_text())
        for number in group.split(", ")
    }
    assert named <= set(NUMBERS)
    assert named
