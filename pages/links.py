"""Checks every link of the pages: the file is there, and it has the heading. Addresses on the web are not asked.

`python -m pages.links` prints what leads nowhere, and ends with exit code 1 if anything does. It also reads the code,
where a comment or a message may name a page.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
AT_THE_ROOT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
CODE = ("benchmarks", "darkroom", "dependencies", "functions", "pages", "stacks", "statemachine", "tests")

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
IN_LINE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"\bdocs/[\w/-]+\.md(?:#[\w-]+)?")


def pages() -> list[Path]:
    return [ROOT / name for name in AT_THE_ROOT if (ROOT / name).exists()] + sorted(DOCS.rglob("*.md"))


def links(page: Path) -> list[str]:
    """Those that lead to a file or to a heading."""
    found = LINK.findall(IN_LINE.sub("``", FENCED.sub("", page.read_text())))
    return [one for one in found if not re.match(r"[a-z]+:", one)]


@cache
def headings(page: Path) -> frozenset[str]:
    """Their anchors, as GitHub and the site make them."""
    found: list[str] = []
    for title in re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", title)
        anchor = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return frozenset(found)


def wrong() -> Iterator[str]:
    for page in pages():
        for link in links(page):
            if not _leads_somewhere(page.parent, link, page):
                yield f"{page.relative_to(ROOT)}: {link}"
    for folder in CODE:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in {".py", ".json", ".html"}:
                for link in NAMED.findall(file.read_text()):
                    if not _leads_somewhere(ROOT, link, file):
                        yield f"{file.relative_to(ROOT)}: {link}"


def _leads_somewhere(folder: Path, link: str, page: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = (folder / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in headings(target))


if __name__ == "__main__":
    found = list(wrong())
    print("\n".join(found) or "every link leads somewhere", file=sys.stderr if found else sys.stdout)
    sys.exit(bool(found))
