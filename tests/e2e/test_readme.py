"""The README: every command in it runs, one after the other, as a person would type them, and prints what it shows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from darkroom.cloud import Cloud
from darkroom.pictures import draw
from stacks.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


# `make demo` and `make test`, which a person runs first and this test cannot run inside itself.
FIRST = "make demo"

SHOWN = ("photo.jpg", "words.jpg", "corrupt.jpg")  # those of the demo's pictures that the README shows

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
    """Commands and, if the README shows it, what they print: `json`, or any text with `...` for lines left out."""

    commands: str
    kind: str
    output: str


def blocks(readme: str) -> list[Block]:
    found = re.findall(r"```(sh|python)\n(.*?)```(?:\n\n```(json|)\n(.*?)```)?", readme, re.DOTALL)
    typed = [
        (f"python - <<'PYTHON'\n{code}PYTHON\n" if kind == "python" else code, *shown) for kind, code, *shown in found
    ]
    return [Block(*one) for one in typed if not one[0].startswith(FIRST)]


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
    """`darkroom demo` of the pictures that the README shows."""
    for picture in draw(cloud.home / "demo"):
        if picture.name not in SHOWN:
            picture.unlink()
    return run(["darkroom", "demo", str(cloud.home / "demo")], cloud)


@pytest.fixture(scope="module")
def ran(cloud: Cloud, demo: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The README's commands, in the order they stand there."""
    assert demo.returncode == 0, demo.stderr
    commands = f"\necho '{NEXT_BLOCK}'\n".join(block.commands for block in blocks((ROOT / "README.md").read_text()))
    return run(["bash", "-euo", "pipefail", "-x", "-c", commands.replace(".darkroom/", f"{cloud.home}/")], cloud)


def run(command: list[str], cloud: Cloud) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"PATH": path, "DARKROOM_HOME": str(cloud.home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_every_reject_code_and_no_other_is_in_the_readme():
    functions = "".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))
    [said] = re.findall(r"^\| `REJECTED` \|.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(re.findall(r'Rejected\("(\w+)"', functions)) == set(re.findall(r"`(\w+)`", said)) - {"REJECTED"}


def test_every_setting_is_in_the_readme():
    names = "\n".join(re.findall(r"^\| (`.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert [name for name in Settings.model_fields if not re.search(rf"`{name}\b", names)] == []


def test_the_demo_shows_what_became_of_each_picture(demo: subprocess.CompletedProcess[str]):
    assert demo.returncode == 0, demo.stderr
    [_, *table] = demo.stdout.splitlines()
    assert [line.split()[:2] for line in table] == [
        ["raw/corrupt.jpg", "REJECTED"],
        ["raw/photo.jpg", "SUCCEEDED"],
        ["raw/words.jpg", "REJECTED"],
    ]


def test_every_command_of_the_readme_runs(ran: subprocess.CompletedProcess[str]):
    """The first that fails fails the test with its words."""
    assert ran.returncode == 0, ran.stderr[-3000:]


def test_every_output_in_the_readme_is_what_its_commands_print(ran: subprocess.CompletedProcess[str]):
    """Line by line, except for times, ids, hashes and amounts; a list may hold more than the README shows of it."""
    printed = ran.stdout.split(f"{NEXT_BLOCK}\n")
    shown = [(block, output) for block, output in zip(blocks((ROOT / "README.md").read_text()), printed, strict=True)]
    assert len([block for block, _ in shown if block.output]) >= 5
    for block, output in shown:
        if block.output:
            missing = set(lines(block.output, block.kind)) - set(lines(output, block.kind)) - {"..."}
            assert not missing, f"{block.commands} prints\n{output}"
