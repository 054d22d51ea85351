"""`make check` finds a link that leads nowhere; now none does."""

from pathlib import Path

import pytest

from pages import links


def test_every_link_of_the_pages_leads_somewhere():
    """Those in the code too, which an error or an alarm shows to a person."""
    assert list(links.wrong()) == []


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[a](other.md)", []),
        ("[a](other.md#a-heading)", []),
        ("[a](#here)", []),
        ("![a](picture.png)", ["picture.png"]),
        ("[a](missing.md)", ["missing.md"]),
        ("[a](other.md#no-heading)", ["other.md#no-heading"]),
        ("[a](#nowhere)", ["#nowhere"]),
        ("[a](../../outside.md)", ["../../outside.md"]),
        ("[a](https://example.com/missing)", []),
        ("`[a](missing.md)`", []),
        ("```\n[a](missing.md)\n```", []),
    ],
)
def test_a_wrong_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, found: list[str]):
    """A file that is not there or lies outside, and a heading that is not there; nothing in code is a link."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "page.md").write_text(f"# Here\n\n{written}\n")
    (docs / "other.md").write_text("# Other\n\n## A heading\n")
    monkeypatch.setattr(links, "ROOT", tmp_path)
    monkeypatch.setattr(links, "DOCS", docs)
    assert list(links.wrong()) == [f"{docs.name}/page.md: {link}" for link in found]


def test_two_headings_of_one_name_have_two_anchors(tmp_path: Path):
    """As GitHub numbers them."""
    page = tmp_path / "page.md"
    page.write_text("## The `key`: a way\n\n## Tried\n\n## Tried\n\n```\n# no heading\n```\n")
    assert links.headings(page) == {"the-key-a-way", "tried", "tried-1"}
