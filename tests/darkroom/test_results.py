"""Rows come back as they are: newest first, numbers as numbers, one found with or without the prefix."""

import json
from decimal import Decimal

import pytest

from darkroom import results
from darkroom.target import Target
from tests.darkroom.conftest import darkroom

ROWS = [
    {
        "key": "raw/old.jpg",
        "status": "SUCCEEDED",
        "updated_at": "2024-05-01T10:00:00Z",
        "width": Decimal(640),
        "height": Decimal(480),
        "size": Decimal(1536),
        "renditions": {"small": {"key": "old.jpg/1/small.webp", "width": Decimal(480), "ratio": Decimal("1.5")}},
    },
    {
        "key": "raw/bad.jpg",
        "status": "REJECTED",
        "updated_at": "2024-05-02T10:00:00Z",
        "error": {"code": "corrupt", "message": "ends after 512 of 9000 bytes"},
    },
    {"key": "raw/new.jpg", "status": "SUCCEEDED", "updated_at": "2024-05-03T10:00:00Z"},
]


@pytest.fixture(autouse=True)
def _rows(target: Target) -> None:
    for row in ROWS:
        target.results.put_item(Item=row)


def test_all_rows_newest_first(target: Target):
    assert [row["key"] for row in results.rows(target)] == ["raw/new.jpg", "raw/bad.jpg", "raw/old.jpg"]


def test_rows_of_one_status_newest_first(target: Target):
    assert [row["key"] for row in results.rows(target, "SUCCEEDED")] == ["raw/new.jpg", "raw/old.jpg"]


@pytest.mark.parametrize("key", ["old.jpg", "raw/old.jpg"])
def test_a_row_as_json_has_numbers_not_text(key: str):
    result = darkroom("--aws", "results", key, "--json")
    assert result.exit_code == 0
    row = json.loads(result.stdout)
    assert (row["width"], row["size"]) == (640, 1536)
    assert isinstance(row["width"], int)
    assert row["renditions"]["small"] == {"key": "old.jpg/1/small.webp", "width": 480, "ratio": 1.5}


def test_a_list_as_json_is_one_document():
    result = darkroom("--aws", "results", "--status", "REJECTED", "--json")
    assert [row["error"]["code"] for row in json.loads(result.stdout)] == ["corrupt"]


def test_the_table_shows_why_a_picture_was_rejected():
    result = darkroom("--aws", "results")
    [line] = [line for line in result.stdout.splitlines() if "raw/bad.jpg" in line]
    assert "REJECTED" in line
    assert "corrupt: ends after 512 of 9000 bytes" in line


def test_a_table_without_rows_says_so_and_prints_nothing():
    result = darkroom("--aws", "results", "--status", "FAILED")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines()[-1] == "There are none"


def test_an_unknown_key_is_one_line_and_no_success():
    result = darkroom("--aws", "results", "nowhere.jpg", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no row for 'nowhere.jpg'" in result.stderr


def test_a_picture_that_is_not_of_the_asked_status_is_no_success():
    result = darkroom("--aws", "results", "old.jpg", "--status", "FAILED")
    assert result.exit_code == 1
    assert "raw/old.jpg is SUCCEEDED, not FAILED" in result.stderr


def test_a_status_that_does_not_exist_is_a_mistake_in_the_command():
    assert darkroom("--aws", "results", "--status", "LOST").exit_code == 2
