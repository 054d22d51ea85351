"""Rows come back as they are: newest first, numbers as numbers, one found with or without the prefix."""

import json
import re
from decimal import Decimal

import pytest

from darkroom.errors import TargetError
from darkroom.pipeline import results
from darkroom.pipeline.target import Target
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


def test_rows_between_two_times_of_all_statuses(target: Target):
    between = results.rows(target, since="2024-05-01T11", until="2024-05-03T10:00:00Z")
    assert [row["key"] for row in between] == ["raw/bad.jpg"]


def test_rows_of_a_prefix(target: Target):
    assert [row["key"] for row in results.rows(target, prefix="raw/o")] == ["raw/old.jpg"]


@pytest.mark.parametrize("status", [None, "SUCCEEDED"])
@pytest.mark.parametrize("prefix", ["", "raw/n"])
def test_pages_one_after_the_other_are_all_rows_once_and_in_order(status: str | None, prefix: str, target: Target):
    """Also of several statuses and of one instant."""
    for number in range(9):
        status_of = ("SUCCEEDED", "REJECTED", "FAILED")[number % 3]
        when = f"2024-05-0{number // 4 + 1}T10:00:00Z"
        target.results.put_item(Item={"key": f"raw/n{number}.jpg", "status": status_of, "updated_at": when})
    all_of_them = [row["key"] for row in results.rows(target, status, prefix=prefix)]
    paged, token, _ = results.page(target, status, prefix=prefix, limit=2)
    while token:
        more, token, complete = results.page(target, status, prefix=prefix, limit=2, token=token)
        assert more
        assert complete
        assert len(paged) < 100
        paged += more
    assert [row["key"] for row in paged] == all_of_them
    assert len(set(all_of_them)) == len(all_of_them) >= 3


def test_a_prefix_that_few_keys_have_is_looked_for_a_bounded_number_of_pages_at_a_time(target: Target):
    """Not through the whole table for one answer: the token goes on where it was left."""
    for number in range(9):
        row = {"key": f"raw/n{number}.jpg", "status": "FAILED", "updated_at": f"2024-06-0{9 - number}T10:00:00Z"}
        target.results.put_item(Item={**row, "notes": "x" * 350_000})  # three to a page of DynamoDB
    read: list[str] = []
    target.results.meta.client.meta.events.register("before-call.dynamodb.Query", lambda **_: read.append("a page"))
    first, token, complete = results.page(target, "FAILED", prefix="raw/n8", limit=1, pages=1)
    assert (first, complete, len(read)) == ([], False, 1)
    assert token
    found, token, complete = results.page(target, "FAILED", prefix="raw/n8", limit=1, token=token, pages=9)
    assert ([row["key"] for row in found], token, complete) == (["raw/n8.jpg"], None, True)


@pytest.mark.parametrize("token", ["nonsense", "e30x", "W10", "eyJGQUlMRUQiOiAxfQ=="])
def test_a_page_that_never_was_is_one_line(token: str, target: Target):
    with pytest.raises(TargetError, match="begin at the first"):
        results.page(target, token=token)


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


@pytest.mark.parametrize("command", ["results", "inspect"])
def test_what_is_wrong_with_one_picture_comes_with_its_entry_in_the_documentation(command: str):
    rejected, fine = (darkroom("--aws", command, key).stdout for key in ("bad.jpg", "old.jpg"))
    assert re.search(r"^explained in +docs/results.md#corrupt$", rejected, re.MULTILINE)
    assert "docs/" not in fine


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


@pytest.fixture
def large_rows(target: Target) -> None:
    """Four that failed: DynamoDB gives a megabyte at a time, and so not all at once."""
    for number in range(4):
        row = {"key": f"raw/{number}.jpg", "status": "FAILED", "updated_at": f"2024-05-0{number + 1}"}
        target.results.put_item(Item={**row, "x": "x" * 390_000})


@pytest.mark.usefixtures("large_rows")
def test_counting_ends_where_enough_is_counted_and_says_that_there_are_more(target: Target):
    assert str(results.counts(target, 1)["FAILED"]).endswith("+")
    assert str(results.counts(target, 100)["FAILED"]) == "4"
    assert str(results.counts(target, 1)["DELETED"]) == "0"


@pytest.mark.usefixtures("large_rows")
def test_a_search_says_whether_it_looked_at_every_row(target: Target):
    found, complete = results.search(target, "0.jpg")
    assert ([row["key"] for row in found], complete) == (["raw/0.jpg"], True)
    assert results.search(target, "0.jpg", pages=1) == ([], False)
    found, complete = results.search(target, ".jpg", "FAILED", limit=2)
    assert ([row["key"] for row in found], complete) == (["raw/3.jpg", "raw/2.jpg"], False)


OF_TWO_VERSIONS = {
    "key": "raw/two.jpg",
    "status": "REJECTED",
    "error": {"code": "corrupt", "message": "ends after 512 of 9000 bytes"},
    "version_id": "newest",
    "size": 9,
    "shown_version_id": "shown",
    "width": 640,
    "height": 480,
    "format": "jpeg",
    "caption": {"status": "OK", "text": "a cat"},
    "renditions": {"small": {"key": "two.jpg/1/small.webp", "width": 480, "height": 360}},
}


def test_what_is_shown_is_never_taken_for_the_newest_versions():
    """Neither its pixels beside the other's size, nor its caption or its renditions as that upload's own."""
    facts = dict(results.main_facts(OF_TWO_VERSIONS))
    assert facts["shown"] == "an older version, shown, jpeg, 640x480"
    assert "picture" not in facts
    assert results.of_newest(OF_TWO_VERSIONS).keys() == {"key", "status", "error", "version_id", "size"}
    assert "a cat" not in results.caption_or_error(results.of_newest({**OF_TWO_VERSIONS, "error": None}))


@pytest.mark.parametrize(
    ("changes", "shown", "older"),
    [
        ({}, "shown", True),
        ({"status": "SUCCEEDED", "version_id": "shown"}, "shown", False),
        ({"status": "PROCESSING", "version_id": "shown"}, "shown", False),
        ({"status": "SUCCEEDED", "shown_version_id": None}, "newest", False),
        ({"status": "FAILED", "shown_version_id": None}, None, True),
        ({"renditions": None, "shown_version_id": None}, None, False),
        ({"version_id": "null", "shown_version_id": "null"}, "null", True),
        ({"status": "SUCCEEDED", "version_id": "null", "shown_version_id": "null"}, "null", False),
    ],
    ids=["rejected", "succeeded", "made again", "from before", "failed since", "none", "overwritten", "no versions"],
)
def test_a_row_says_which_version_it_shows(changes: dict[str, str | None], shown: str | None, older: bool):
    """One that was written before rows said so shows its own version if that succeeded; else nobody knows."""
    row = {name: value for name, value in (OF_TWO_VERSIONS | changes).items() if value is not None}
    assert (results.shown_version(row), results.shows_older(row)) == (shown, older)
