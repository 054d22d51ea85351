"""What MkDocs does besides: the pages at the root of the repository belong to the site, and links suit their place.

On the site README.md is the first page. A link to a file that the site does not have, such as code, becomes plain text.
Mermaid would be loaded from the network, so the workflow is drawn here, as the page of `darkroom console` draws it.
"""

import json
import posixpath
import re
from typing import Any

from mkdocs.structure.files import File, Files

from darkroom.console.diagram import draw
from pages.diagram import DEFINITION
from pages.links import AT_THE_ROOT, ROOT

FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
FIRST_PAGE = "index.md"

STYLE = """<style>
.workflow { max-width: 100%; height: auto }
.workflow text { font-size: 13px; fill: var(--md-default-fg-color) }
.workflow .kind, .workflow .note { font-size: 11px; fill: var(--md-default-fg-color--light) }
.workflow rect { fill: var(--md-default-bg-color); stroke: var(--md-default-fg-color--light) }
.workflow .holds > rect { fill: var(--md-code-bg-color) }
.workflow .sign { display: none }
.arrow { fill: none; stroke: var(--md-default-fg-color--light) }
.arrow.catch { stroke-dasharray: 3 4 }
.head { fill: var(--md-default-fg-color--light) }
</style>"""


def on_files(files: Files, config: Any) -> Files:
    for name in AT_THE_ROOT:
        if (ROOT / name).exists():
            files.append(File.generated(config, _on_site(name), content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    here = page.file.src_uri
    source = next((name for name in AT_THE_ROOT if _on_site(name) == here), f"docs/{here}")

    def suited(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        path, hash_, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return link[0]
        there = _on_site(posixpath.normpath(posixpath.join(posixpath.dirname(source), path)))
        if files.get_file_from_path(there) is None:
            return text
        return f"{image}[{text}]({posixpath.relpath(there, posixpath.dirname(here) or '.')}{hash_}{anchor})"

    parts = FENCED.split(markdown)
    return "".join(_drawn(part) if part.startswith("```") else LINK.sub(suited, part) for part in parts)


def _drawn(fenced: str) -> str:
    if not fenced.startswith("```mermaid"):
        return fenced
    drawing = draw(json.loads(DEFINITION.read_text()), {}, set()).replace(": not visited", "")
    return f"{STYLE}\n\n<div>{drawing}</div>"


def _on_site(path: str) -> str:
    """Of a path in the repository."""
    if path == "README.md":
        return FIRST_PAGE
    return path.removeprefix("docs/") if path.startswith("docs/") else path if path in AT_THE_ROOT else f"../{path}"
