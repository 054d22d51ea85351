"""Rows in the order of their keys are those that a scan of all finds, page by page, none lost and none twice."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darkroom.errors import TargetError
from darkroom.pipeline import by_key, results
from darkroom.pipeline.target import Target

KEYS = ("raw/a", "raw/a/b", "raw/a/b c", "raw/ab", "raw/aé", "raw/a\U0001f600", "raw/b/\U0010ffff", "raw/~", "z")
PREFIXES = ("", "raw/", "raw/a", "raw/a/", "raw/b/\U0010ffff", "raw/nowhere", "z", "z" * 1025)


@pytest.fixture
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a look for a text."""
    monkeypatch.setattr(by_key, "LOOKED_AT", 2)


def put(target: Target, rows: dict[str, str]) -> None:
    """Those and no others."""
    for row in target.results.scan()["Items"]:
        target.results.delete_item(Key={"key": row["key"]})
    for key, status in rows.items():
        target.results.put_item(Item={"key": key, "status": status, "updated_at": "2024-05-01T10:00:00Z"})


def pages(target: Target, status: str | None, **asked: Any) -> Iterator[by_key.Page]:
    after: str | None = ""
    while after is not None:
        page = by_key.page(target, status, after=after, **asked)
        yield page
        assert page.after is None or page.after > after, "each goes on"
        after = page.after


@pytest.mark.usefixtures("two_at_a_time")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("SUCCEEDED", "REJECTED", "DELETED")), max_size=9),
    status=st.sampled_from([None, "SUCCEEDED", "FAILED"]),
    prefix=st.sampled_from(PREFIXES),
    text=st.sampled_from(["", "b", "/a", "x"]),
    limit=st.sampled_from([1, 2, 5]),
)
def test_all_pages_together_are_what_a_scan_finds(target: Target, rows, status, prefix, text, limit):
    put(target, rows)
    found = list(pages(target, status, prefix=prefix, text=text, limit=limit))
    scanned = {key for key, one in rows.items() if status in (None, one) and key.startswith(prefix) and text in key}
    assert [row["key"] for page in found for row in page.rows] == sorted(scanned)
    assert all(len(page.rows) <= limit for page in found)
    if not text:
        assert [row["key"] for row in by_key.rows(target, status, prefix=prefix, at_once=limit)] == sorted(scanned)
        assert all(page.rows for page in found[:-1]), "only a text is looked for in vain"


def test_a_page_asks_each_status_once_and_then_for_its_rows(target: Target):
    """However many rows there are."""
    put(target, {f"raw/{number:02}": results.STATUSES[number % 5] for number in range(30)})
    sent: list[str] = []
    target.results.meta.client.meta.events.register("before-call.dynamodb", lambda model, **_: sent.append(model.name))
    page = by_key.page(target, prefix="raw/", limit=4)
    assert [row["key"] for row in page.rows] == ["raw/00", "raw/01", "raw/02", "raw/03"]
    assert sorted(sent) == ["BatchGetItem", *["Query"] * 5]


def test_a_row_that_has_another_status_by_now_is_not_given(target: Target, monkeypatch: pytest.MonkeyPatch):
    """The index is behind the table for a moment."""
    put(target, {"raw/a": "SUCCEEDED", "raw/b": "SUCCEEDED"})
    monkeypatch.setattr(results, "of", lambda *_: [{"key": "raw/a", "status": "DELETED"}])
    assert by_key.page(target, "SUCCEEDED").rows == []


@pytest.mark.parametrize(("most", "said"), [(1, "1+"), (3, "3+"), (4, "4"), (9, "4")])
@pytest.mark.parametrize("prefix", ["", "raw/"])
def test_it_counts_as_many_as_asked_and_says_if_there_are_more(target: Target, most: int, said: str, prefix: str):
    put(target, {f"raw/{number}": "FAILED" for number in range(4)})
    found = {status: str(count) for status, count in by_key.counts(target, most, prefix).items()}
    assert found == {**dict.fromkeys(results.STATUSES, "0"), "FAILED": said}


def test_it_counts_only_below_a_prefix(target: Target):
    put(target, {"raw/a/1": "FAILED", "raw/a/2": "FAILED", "raw/b/1": "FAILED"})
    assert by_key.count(target, "FAILED", 9, "raw/a/").number == 2


# In AWS's words, which moto has not.
WITHOUT = {
    "an older stack": ("ValidationException", "The table does not have the specified index: by-key"),
    "being filled": ("ValidationException", "Cannot read from backfilling global secondary index: by-key"),
    "being made": ("ResourceNotFoundException", "Requested resource not found"),
}


@pytest.fixture(params=WITHOUT)
def without_index(request: pytest.FixtureRequest, target: Target) -> str:
    """As long as the index does not answer: what is the matter with it."""
    code, message = WITHOUT[request.param]

    def refuse(params: Any, **_: Any) -> None:
        if '"by-key"' in str(params["body"]):
            raise ClientError({"Error": {"Code": code, "Message": message}}, "Query")

    target.results.meta.client.meta.events.register("before-call.dynamodb.Query", refuse)
    return str(request.param)


def test_a_stack_without_the_index_says_what_to_do(target: Target, without_index: str):
    says = "has no index by-key yet: run `make deploy`" if without_index == "an older stack" else "is being filled"
    with pytest.raises(TargetError, match=says):
        by_key.page(target, "FAILED")


@pytest.mark.usefixtures("without_index")
@pytest.mark.parametrize(("most", "counted"), [(2, "2+"), (3, "3"), (9, "3")])
def test_without_the_index_the_other_one_is_counted(target: Target, most: int, counted: str):
    """So that `status`, `doctor`, an upload and the page's counts work while the index is made."""
    put(target, {"raw/a/1": "FAILED", "raw/a/2": "FAILED", "raw/b/1": "FAILED", "raw/c": "SUCCEEDED"})
    assert str(by_key.count(target, "FAILED", most)) == counted
    assert by_key.count(target, "FAILED", 9, "raw/a/").number == 2


@pytest.mark.parametrize("few", [2, 9])
@pytest.mark.parametrize("status", [None, "REJECTED"])
def test_a_look_finds_the_rows_of_a_time_below_a_prefix(target: Target, monkeypatch, few: int, status: str | None):
    """The newest first, be there few keys or many below it."""
    monkeypatch.setattr(by_key, "FEW", few)
    put(target, {})
    for number in range(6):
        row = {"key": f"raw/n{number % 3}/{number}", "status": ("FAILED", "REJECTED")[number % 2]}
        target.results.put_item(Item={**row, "updated_at": f"2024-06-0{1 + number}T10:00:00.000Z"})
    asked = {"prefix": "raw/n1/", "since": "2024-06-01", "until": "2024-06-05T10:00:00.000Z"}
    for whole, keys in (("raw/n1/", ["raw/n1/1"]), ("raw/n", [f"raw/n{n % 3}/{n}" for n in (3, 2, 1, 0)])):
        wanted = [key for key in keys if status is None or int(key[-1]) % 2]
        look = by_key.look(target, status, **asked | {"prefix": whole}, limit=9)
        assert ([row["key"] for row in look.rows], look.more, look.back_to) == (wanted, False, None)
        shorter = by_key.look(target, status, **asked | {"prefix": whole}, limit=1)
        assert ([row["key"] for row in shorter.rows], shorter.more) == (wanted[:1], len(wanted) > 1)


def test_below_a_prefix_with_few_keys_no_other_row_is_read(target: Target):
    """However many there are of that time."""
    read: list[str] = []
    events = target.results.meta.client.meta.events
    events.register("provide-client-params.dynamodb.Query", lambda params, **_: read.append(params["IndexName"]))
    by_key.look(target, prefix="raw/nowhere/", since="2024", until=results.LATEST, limit=9)
    assert {*read} == {by_key.INDEX}


@pytest.mark.usefixtures("without_index")
def test_without_the_index_a_look_reads_the_other_one(target: Target):
    put(target, {"raw/a": "FAILED", "z": "FAILED"})
    look = by_key.look(target, prefix="raw/", since="", until=results.LATEST, limit=9)
    assert [row["key"] for row in look.rows] == ["raw/a"]
