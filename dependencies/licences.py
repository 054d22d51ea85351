"""Writes docs/licences.md: each package of the lock files with its version, and the licence its metadata names."""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, metadata, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dependencies.locks import NODE, ROOT, Package, of_node, of_python

PAGE = ROOT / "docs" / "licences.md"

# Never installed by `make install`, or silent in their metadata; read in their wheels.
ELSEWHERE = {
    "pillow-heif": "BSD-3-Clause; its wheel holds x265, GPL-2.0-or-later, and libheif and libde265, LGPL-3.0",
    "pillow-jxl-plugin": "GPL-3.0-or-later; its wheel holds libjxl, BSD-3-Clause",
    "brotli": "MIT",
    "atheris": "Apache-2.0",
    "httpx2-jsfetch": "BSD-3-Clause",
    "pyvips": "MIT",
    "pyvips-binary": "LGPL-3.0-or-later",
    "babel": "BSD-3-Clause",
    "backrefs": "MIT",
    "click": "BSD-3-Clause",
    "ghp-import": "Apache Software License",
    "markdown": "BSD-3-Clause",
    "mergedeep": "MIT License",
    "mkdocs": "BSD-2-Clause",
    "mkdocs-get-deps": "MIT",
    "mkdocs-material": "MIT",
    "mkdocs-material-extensions": "MIT",
    "paginate": "MIT",
    "platformdirs": "MIT",
    "pymdown-extensions": "MIT",
    "pyyaml-env-tag": "MIT",
    "watchdog": "Apache-2.0",
}
SAYS_NOTHING = {"", "UNKNOWN", "Dual License"}

BEGINNING = """\
# Licences

Written by `make licences` from the lock files and from what the packages say of themselves. Darkroom itself is MIT. In
**bold** is what is under a copyleft licence, or has a part that is: GPL, LGPL or MPL.

The layer goes into your account; boto3 is there already, in Lambda's runtime. Pillow's wheel holds the libraries it
decodes with, all under permissive licences, FreeType by a choice of its own licence or the GPL; their texts are in the
layer, in `pillow-*.dist-info/licenses`. The page holds a copy of htmx, under 0BSD: `darkroom/console/static`.
"""


def page() -> str:
    everything = of_python("requirements.txt")
    used = _needed_by(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    deployed = of_python("functions/requirements.txt")
    bench = set(of_python("benchmarks/requirements.txt")) - set(everything)
    docs = set(of_python("pages/requirements.txt")) - set(everything)
    rest = set(everything) - set(deployed)
    node = of_node()
    return "\n".join(
        [
            BEGINNING,
            _table("In your account: the layer", deployed),
            _table("In your account with the setting `heic`", of_python("functions/requirements-heic.txt")),
            _table("In your account with the setting `jxl`", of_python("functions/requirements-jxl.txt")),
            _table(
                "On your machine: the stacks, the operator's tool, the local cloud",
                [*(one for one in rest if one.name in used), *(one for one in node if "dev" not in node[one])],
            ),
            _table(
                "For tests and checks only",
                [*(one for one in rest if one.name not in used), *(one for one in node if "dev" in node[one])],
            ),
            _table("For `make bench` only", bench),
            _table("For `make docs` only", docs),
            _table("For `make fuzz` only", of_python("tests/requirements.txt")),
        ]
    )


def _table(title: str, packages: Iterable[Package]) -> str:
    rows = [f"| {one.name} | {one.version} | {_marked(licence(one))} |" for one in sorted(packages)]
    return "\n".join([f"## {title}", "", "| package | version | licence |", "|---|---|---|", *rows, ""])


def licence(package: Package) -> str:
    """As the lock file or the package's metadata has it: by the newest field that says something."""
    if package.ecosystem == NODE:
        return str(of_node()[package]["license"])
    try:
        said = metadata(package.name)
    except PackageNotFoundError:
        return ELSEWHERE[package.name]
    fields = [text for field in ("License-Expression", "License") for text in said.get_all(field) or []]
    named = [text.partition("\n")[0] for text in fields]  # some have the whole text there
    classified = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or [] if one.startswith("License")]
    return next((one for one in named if one not in SAYS_NOTHING), ", ".join(classified)) or ELSEWHERE[package.name]


def _marked(named: str) -> str:
    return f"**{named}**" if re.search(r"GPL|MPL|Mozilla|GNU", named) else named


def _needed_by(requirements: Iterable[str]) -> set[str]:
    """The names of these, of what they need with the extras that are asked for, and so on."""
    found: set[tuple[str, str]] = set()  # name and extra; without an extra it is ""
    waiting = [Requirement(one) for one in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        for extra in {"", *one.extras} - {asked for of, asked in found if of == name}:
            found.add((name, extra))
            needs = map(Requirement, requires(name) or [])
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


if __name__ == "__main__":
    PAGE.write_text(page())
