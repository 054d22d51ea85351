"""The lock files: which package in which version, and what for."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent

LOCKS = (
    "requirements.txt",
    "functions/requirements.txt",
    "functions/requirements-heic.txt",
    "functions/requirements-jxl.txt",
    "benchmarks/requirements.txt",
    "tests/requirements.txt",
    "pages/requirements.txt",
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


def of_node() -> dict[Package, dict[str, Any]]:
    """Each with what the lock file says of it: its `license`, and whether it is for development only, as `dev`."""
    installed = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    return {
        Package(NODE, path.rpartition("node_modules/")[2], one["version"]): one
        for path, one in installed.items()
        if path
    }
