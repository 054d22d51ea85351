"""README.md and docs/: every command there runs, as a person would type it, and prints what the page shows.

They run one after the other in one shell: README.md first, then the pages of docs/ in the order of mkdocs.yml. The
commands of the runbook stand in its sentences; `test_alarms.py` runs them.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from darkroom.local.cloud import Cloud
from darkroom.local.pictures import draw

ROOT = Path(__file__).resolve().parents[2]
LATER = re.findall(r"^ +- ([a-z-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
PAGES = [ROOT / "README.md", *(path for name in LATER if (path := ROOT / "docs" / name).exists())]

FIRST = "make demo"  # a person runs it first; here it is `darkroom demo`, in a cloud of the test's own
SHOWN = ("photo.jpg", "words.jpg", "corrupt.jpg")  # those of the demo's pictures that README.md shows

NEXT_BLOCK = "--- next block ---"

# What is different each time, and what stands for it in the comparison.
CHANGING = {
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "<id>",
    r"\b[0-9a-f]{16}\b": "<hash>",
    r"#[0-9a-f]{8}\b": "#<hash>",
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?": "<time>",
    r"\b[\d.]+ (s|B|KiB|MiB)\b": r"<so many> \1",
    r'("bytes": {"N": )"\d+"': r'\1"<so many>"',
    r"^\d+$": "<so many>",
    r"\s+": " ",
}


class Block(NamedTuple):
    """Commands and, if the page shows it, what they print: `json`, or any text with `...` for lines left out."""

    commands: str
    kind: str
    output: str


def blocks() -> list[Block]:
    """Those of all pages."""
    pages = "\n".join(page.read_text() for page in PAGES)
    found = re.findall(r"```(sh|python)\n(.*?)```(?:\n\n```(json|)\n(.*?)```)?", pages, re.DOTALL)
    typed = [
        (f"python - <<'PYTHON'\n{code}PYTHON\n" if kind == "python" else code, *shown) for kind, code, *shown in found
    ]
    return [Block(*one) for one in typed]


def after_the_demo() -> list[Block]:
    return [block for block in blocks() if not block.commands.startswith(FIRST)]


def lines(output: str, kind: str) -> list[str]:
    """As they are compared: without what is different each time."""
    text = json.dumps(json.loads(output), sort_keys=True) if kind == "json" else output
    found = []
    for line in text.splitlines():
        for changing, stands_for in CHANGING.items():
            line = re.sub(changing, stands_for, line.rstrip())
        found.append(line)
    return found


@pytest.fixture(scope="module")
def demo(cloud: Cloud) -> subprocess.CompletedProcess[str]:
    """`darkroom demo` of the pictures that README.md shows."""
    for picture in draw(cloud.home / "demo"):
        if picture.name not in SHOWN:
            picture.unlink()
    return run(["darkroom", "demo", str(cloud.home / "demo")], cloud)


@pytest.fixture(scope="module")
def ran(cloud: Cloud, demo: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The commands of all pages, in their order."""
    assert demo.returncode == 0, demo.stderr
    commands = f"\necho '{NEXT_BLOCK}'\n".join(block.commands for block in after_the_demo())
    return run(["bash", "-euo", "pipefail", "-x", "-c", commands.replace(".darkroom/", f"{cloud.home}/")], cloud)


def run(command: list[str], cloud: Cloud) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"PATH": path, "DARKROOM_HOME": str(cloud.home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_demo_shows_what_became_of_each_picture(demo: subprocess.CompletedProcess[str]):
    assert demo.returncode == 0, demo.stderr
    [_, *table] = demo.stdout.splitlines()
    assert [line.split()[:2] for line in table] == [
        ["raw/corrupt.jpg", "REJECTED"],
        ["raw/photo.jpg", "SUCCEEDED"],
        ["raw/words.jpg", "REJECTED"],
    ]
    [block] = [block for block in blocks() if block.commands.startswith(FIRST)]
    assert missing(block, demo.stdout) == set()


def test_every_command_of_the_pages_runs(ran: subprocess.CompletedProcess[str]):
    """The first that fails fails the test with its words."""
    assert ran.returncode == 0, ran.stderr[-3000:]


def test_every_output_in_the_pages_is_what_its_commands_print(ran: subprocess.CompletedProcess[str]):
    """Line by line, except for times, ids, hashes and amounts; a list may hold more than the page shows of it."""
    printed = ran.stdout.split(f"{NEXT_BLOCK}\n")
    shown = list(zip(after_the_demo(), printed, strict=True))
    assert len([block for block, _ in shown if block.output]) >= 5
    for block, output in shown:
        if block.output:
            assert not missing(block, output), f"{block.commands} prints\n{output}"


def missing(block: Block, output: str) -> set[str]:
    """The lines that the page shows and that were not printed."""
    return set(lines(block.output, block.kind)) - set(lines(output, block.kind)) - {"..."}
