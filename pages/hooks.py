"""What MkDocs does besides: the pages at the root of the repository belong to the site, and links suit their place.

On the site README.md is the first page. A link to a file that the site does not have, such as code, becomes plain text.
"""

import posixpath
import re
from typing import Any

from mkdocs.structure.files import File, Files

from pages.links import AT_THE_ROOT, ROOT

FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
FIRST_PAGE = "index.md"


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
    return "".join(part if part.startswith("```") else LINK.sub(suited, part) for part in parts)


def _on_site(path: str) -> str:
    """Of a path in the repository."""
    if path == "README.md":
        return FIRST_PAGE
    return path.removeprefix("docs/") if path.startswith("docs/") else path if path in AT_THE_ROOT else f"../{path}"
