"""Rows come back as they are: newest first, numbers as numbers, one found with or without the prefix."""

import json
import re
from decimal import Decimal

import pytest

from darkroom.errors import TargetError
from darkroom.pipeline import by_key, results
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
def test_pages_one_after_the_other_are_all_rows_once_and_in_order(status: str | None, target: Target):
    """Also of several statuses and of one instant."""
    for number in range(9):
        status_of = ("SUCCEEDED", "REJECTED", "FAILED")[number % 3]
        when = f"2024-05-0{number // 4 + 1}T10:00:00Z"
        target.results.put_item(Item={"key": f"raw/n{number}.jpg", "status": status_of, "updated_at": when})
    all_of_them = [row["key"] for row in results.rows(target, status)]
    paged, token = results.page(target, status, limit=2)
    while token:
        more, token = results.page(target, status, limit=2, token=token)
        assert more
        assert len(paged) < 100
        paged += more
    assert [row["key"] for row in paged] == all_of_them
    assert len(set(all_of_them)) == len(all_of_them) >= 3


def test_rows_of_a_prefix_are_looked_for_among_some_pages_and_it_says_how_far(target: Target):
    """Not through the whole table for one answer: a time goes on where the look ended, and loses none."""
    for number in range(9):
        status, day = ("FAILED", "REJECTED")[number % 2], 9 - number
        row = {"key": f"raw/n{number}.jpg", "status": status, "updated_at": f"2024-06-0{day}T10:00:00.000Z"}
        target.results.put_item(Item={**row, "notes": "x" * 350_000})  # two or three to a page of DynamoDB
    read: list[str] = []
    target.results.meta.client.meta.events.register("before-call.dynamodb.Query", lambda **_: read.append("a page"))
    look = results.look(target, prefix="raw/n8", limit=1, pages=1)
    assert (look.rows, look.more, len(read)) == ([], True, len(results.STATUSES))
    found, looks = [], 1
    while look.back_to and looks < 9:
        look = results.look(target, prefix="raw/n8", until=f"{look.back_to[:-1]}1", limit=1, pages=1)
        found, looks = found + look.rows, looks + 1
    assert ([row["key"] for row in found], look.more, look.back_to) == (["raw/n8.jpg"], False, None)


def test_a_look_ends_where_the_newest_of_another_status_were_not_looked_at(target: Target):
    """Or newer rows would come after older ones."""
    for number in range(4):
        row = {"key": f"raw/n{number}.jpg", "status": "FAILED", "updated_at": f"2024-06-0{9 - number}T10:00:00.000Z"}
        target.results.put_item(Item={**row, "notes": "x" * 350_000})
    look = results.look(target, prefix="raw/", limit=9, pages=1)
    seen = [row["key"] for row in look.rows]
    assert seen == [f"raw/n{number}.jpg" for number in range(len(seen))]
    assert look.back_to == look.rows[-1]["updated_at"]


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


def test_a_table_says_that_it_has_only_the_newest():
    result = darkroom("--aws", "results", "--limit", "2")
    assert "raw/old.jpg" not in result.stdout
    assert result.stderr.splitlines()[-1] == "The newest 2 are shown: `--limit` shows more"
    assert "--limit" not in darkroom("--aws", "results", "--limit", "3").stderr


def test_a_prefix_is_listed_by_key_and_gone_on_with():
    """A time gives the newest first, as without a prefix."""
    first = darkroom("--aws", "results", "--prefix", "raw/", "--limit", "2")
    assert [line.split()[0] for line in first.stdout.splitlines()[1:]] == ["raw/bad.jpg", "raw/new.jpg"]
    assert "`--after raw/new.jpg` goes on" in first.stderr
    then = darkroom("--aws", "results", "--prefix", "raw/", "--after", "new.jpg")
    assert [line.split()[0] for line in then.stdout.splitlines()[1:]] == ["raw/old.jpg"]
    assert "--after" not in then.stderr
    newest = json.loads(darkroom("--aws", "results", "--prefix", "raw/", "--since", "2024-05-02", "--json").stdout)
    assert [row["key"] for row in newest] == ["raw/new.jpg", "raw/bad.jpg"]


@pytest.mark.parametrize("options", [(), ("--since", "2024"), ("--prefix", "a", "--follow")])
def test_going_on_behind_a_key_needs_a_prefix_alone(options: tuple[str, ...]):
    assert darkroom("--aws", "results", "--after", "a", *options).exit_code == 2


def test_all_rows_of_a_prefix_as_one_document():
    rows = json.loads(darkroom("--aws", "results", "--prefix", "raw/", "--json").stdout)
    assert [row["key"] for row in rows] == ["raw/bad.jpg", "raw/new.jpg", "raw/old.jpg"]
    assert json.loads(darkroom("--aws", "results", "--prefix", "nowhere/", "--json").stdout) == []


def test_how_far_it_looked_is_said(monkeypatch: pytest.MonkeyPatch):
    """With a time that goes on there."""
    look = results.Look([], True, "2024-05-02T10:00:00.123Z")
    monkeypatch.setattr(by_key, "look", lambda *_, **__: look)
    result = darkroom("--aws", "results", "--prefix", "old", "--since", "2024-01-01")
    assert (result.exit_code, result.stdout) == (0, "")
    said = "Found 0 among the newest rows of that time, back to 2024-05-02T10:00:00.123Z"
    assert result.stderr.splitlines()[-1] == f"{said}: `--until 2024-05-02T10:00:00.124Z` goes on"


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


def test_as_far_back_as_the_newest_of_one_status_reach_are_the_rows_of_all(target: Target):
    """Health would else show a time of which it knows only what was rejected."""
    for number in range(5):
        row = {"key": f"raw/{number}.jpg", "status": "FAILED", "updated_at": f"2024-05-0{number + 1}T09:00:00Z"}
        target.results.put_item(Item=row)
    rows, since = results.changed_since(target, "2024-05-01", 9)
    assert (len(rows), since) == (8, None)
    rows, since = results.changed_since(target, "2024-05-01", 3)
    assert since == "2024-05-02T09:00:00Z"
    there = {"raw/2.jpg", "raw/3.jpg", "raw/4.jpg", "raw/bad.jpg", "raw/new.jpg"}
    assert {row["key"] for row in rows} == there


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


def test_a_list_is_said_as_a_person_would_say_it():
    row = {"key": "one.jpg", "status": "SUCCEEDED", "metadata": {"focus": [Decimal("0.3"), Decimal("0.6")]}}
    assert dict(results.facts({**row, "notes": []})) == {
        "key": "one.jpg",
        "status": "SUCCEEDED",
        "metadata.focus": "0.3,0.6",
        "notes": "",
    }
    assert dict(results.facts({**row, "notes": ["a profile, ignored", "late"]}))["notes"] == "a profile, ignored; late"


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
