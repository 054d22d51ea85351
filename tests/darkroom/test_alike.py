"""`darkroom results --like`."""

import json

import pytest

from darkroom.pipeline.target import Target
from tests.darkroom.conftest import darkroom

HASHES = {  # and how many bits of them differ from the first
    "raw/photo.jpg": 0xA1E6BC98B927BC60,
    "raw/smaller.jpg": 0xA1E6BC98B927BC61,
    "raw/copy.jpg": 0xA1E6BC98B927BC60,
    "raw/same-look.webp": 0xA1E6BC98B927BC60,
    "raw/other.jpg": 0x5E194367_46D8439F,
}


@pytest.fixture
def _rows(target: Target) -> None:
    for minute, (key, value) in enumerate(HASHES.items()):
        content = "of two" if key in ("raw/photo.jpg", "raw/copy.jpg") else key
        row = {"key": key, "status": "SUCCEEDED", "updated_at": f"2026-11-24T10:0{minute}:00.000Z"}
        target.results.put_item(Item=row | {"perceptual_hash": f"{value:016x}", "content_hash": content})
    target.results.put_item(
        Item={"key": "raw/old.jpg", "status": "SUCCEEDED", "updated_at": "2026-11-24T09:00:00.000Z"}
    )


@pytest.mark.usefixtures("_rows")
def test_the_nearest_come_first():
    """The same bytes, the same look, one bit off, and what is its opposite. A row of before has no hash."""
    found = json.loads(darkroom("--aws", "results", "--like", "photo.jpg", "--json").stdout)
    assert [(one["key"], one["differs"], one["same_file"]) for one in found] == [
        ("raw/copy.jpg", 0, True),
        ("raw/same-look.webp", 0, False),
        ("raw/smaller.jpg", 1, False),
        ("raw/other.jpg", 64, False),
    ]
    assert len(json.loads(darkroom("--aws", "results", "--like", "photo.jpg", "--json", "--limit", "2").stdout)) == 2


@pytest.mark.usefixtures("_rows")
def test_a_person_reads_in_how_many_bits_they_differ():
    said = darkroom("--aws", "results", "--like", "raw/photo.jpg")
    assert "Of the newest 6 pictures" in said.output
    for words in ("same file", "0 of 64 bits", "1 of 64 bits"):
        assert words in said.stdout


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--like", "nothing.jpg"), "no row for 'nothing.jpg'"),
        (("--like", "old.jpg"), "the row of raw/old.jpg has no perceptual hash"),
        (("photo.jpg", "--like", "photo.jpg"), "can be used with --limit and --json only"),
        (("--like", "photo.jpg", "--status", "FAILED"), "can be used with --limit and --json only"),
    ],
)
def test_what_cannot_be_compared_is_named(arguments: tuple[str, ...], says: str):
    result = darkroom("--aws", "results", *arguments)
    assert result.exit_code
    assert says in " ".join(result.output.replace("│", " ").split())
