"""The lock files: which package in which version, and what for."""

import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

LOCKS = (
    "requirements.txt",
    "functions/requirements.txt",
    "functions/requirements-heic.txt",
    "benchmarks/requirements.txt",
)

PYTHON, NODE = "PyPI", "npm"  # as OSV calls them: https://ossf.github.io/osv-schema/#affectedpackage-field


class Package(NamedTuple):
    ecosystem: str
    name: str
    version: str


def of_python(lock: str) -> list[Package]:
    """Of a file that `uv pip compile` wrote: every version, whichever Python or system it is for."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return [Package(PYTHON, *one) for one in found]


def of_node() -> list[Package]:
    installed = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    found = {path.rpartition("node_modules/")[2]: one["version"] for path, one in installed.items() if path}
    return [Package(NODE, *one) for one in found.items()]
