"""A query of an index is answered as MiniStack answers it, and reads no more than its page."""

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import dynamodb

from darkroom.local.ministack import index_queries

Answer = dict[str, Any]

REPLACED = ("_query", "_index_members", "_index_item", "_paginate_evaluated_items", "_evaluate_condition")
STATUSES = ("A", "B")
CONDITIONS = (
    "",
    *(f" AND updated_at {how} :low" for how in ("=", "<", "<=", ">", ">=")),
    " AND updated_at BETWEEN :low AND :high",
    " AND begins_with(updated_at, :low)",
    " AND :low < updated_at",  # which is left to MiniStack
)


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """MiniStack's own query, once the other is there, and a table whose pages are small."""
    own = dynamodb._query
    for name in REPLACED:
        monkeypatch.setattr(dynamodb, name, getattr(dynamodb, name))
    monkeypatch.setattr(dynamodb, "_tables", AccountRegionScopedDict())
    monkeypatch.setattr(dynamodb, "_DDB_PAGE_SIZE_BYTES", 150)
    index_queries.add()
    return own


def create_table() -> None:
    names = ("key", "status", "updated_at")
    of_index = [{"AttributeName": "status", "KeyType": "HASH"}, {"AttributeName": "updated_at", "KeyType": "RANGE"}]
    dynamodb._tables["rows"] = {
        "TableName": "rows",
        "pk_name": "key",
        "sk_name": None,
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names],
        "GlobalSecondaryIndexes": [
            {"IndexName": "by-status", "KeySchema": of_index, "Projection": {"ProjectionType": "ALL"}},
            {"IndexName": "keys", "KeySchema": of_index, "Projection": {"ProjectionType": "KEYS_ONLY"}},
        ],
        "items": defaultdict(dict),
    }


def put(key: str, status: str, updated_at: str, size: int = 0) -> None:
    item = {"key": key, "status": status, "updated_at": updated_at, "x": "x" * size}
    dynamodb._put_item({"TableName": "rows", "Item": {name: {"S": text} for name, text in item.items()}})


def delete(key: str) -> None:
    dynamodb._delete_item({"TableName": "rows", "Key": {"key": {"S": key}}})


def asked(condition: str = "", **more: Any) -> dict[str, Any]:
    texts = {":status": "A", ":low": "2", ":high": "4"}
    used = {name: {"S": text} for name, text in texts.items() if name in f"#status = :status{condition}"}
    return {
        "TableName": "rows",
        "IndexName": "by-status",
        "KeyConditionExpression": f"#status = :status{condition}",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": used,
        **more,
    }


def answer(query: Callable[[Any], Any], request: dict[str, Any]) -> Answer:
    return dict(json.loads(query(request)[2]))


rows = st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(STATUSES), st.sampled_from("12345"), st.integers(0, 90))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.lists(st.one_of(rows, st.sampled_from("abcdefgh")), max_size=20),
    condition=st.sampled_from(CONDITIONS),
    index=st.sampled_from(["by-status", "keys"]),
    forward=st.booleans(),
    limit=st.sampled_from([None, 1, 3]),
    only=st.sampled_from([None, "begins_with(#key, :key)"]),
)
def test_all_pages_are_as_ministack_has_them(theirs, written, condition, index, forward, limit, only):
    """Whatever was written, written again and deleted since the partition was first asked for."""
    create_table()
    request = asked(condition, IndexName=index, ScanIndexForward=forward) | ({"Limit": limit} if limit else {})
    if only:
        request["FilterExpression"] = only
        request["ExpressionAttributeNames"] = {**request["ExpressionAttributeNames"], "#key": "key"}
        request["ExpressionAttributeValues"] = {**request["ExpressionAttributeValues"], ":key": {"S": "a"}}
    for at, one in enumerate(written):
        put(*one) if isinstance(one, tuple) else delete(one)
        if at % 7 == 0:
            assert answer(dynamodb._query, request) == answer(theirs, request)
    pages = 0
    while True:
        ours = answer(dynamodb._query, request)
        assert ours == answer(theirs, request)
        pages += 1
        assert pages < 30
        if "LastEvaluatedKey" not in ours:
            break
        request["ExclusiveStartKey"] = ours["LastEvaluatedKey"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"KeyConditionExpression": "#status = :status AND updated_at BETWEEN :high AND :low"},
        {"KeyConditionExpression": "#status = :status AND #status = :low"},
        {"KeyConditionExpression": "#status < :status"},
        {"KeyConditionExpression": "nonsense"},
        {"ExclusiveStartKey": {"key": {"S": "a"}}},
        {"IndexName": "no such"},
        {"TableName": "no such"},
        {"Limit": 0},
        {"FilterExpression": "nonsense"},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}",
)
def test_what_is_wrong_is_refused_in_the_same_words(theirs, wrong: dict[str, Any]):
    create_table()
    put("a", "A", "3")
    request = asked(" AND updated_at BETWEEN :low AND :high") | wrong
    assert dynamodb._query(request) == theirs(request)
    assert dynamodb._query(request)[0] == 400


@pytest.mark.usefixtures("theirs")
def test_a_page_reads_no_other_rows(monkeypatch: pytest.MonkeyPatch):
    """However many there are in the partition."""
    create_table()
    for number in range(50):
        put(f"{number:02}", "A", f"{number:02}")
    read: list[str] = []
    size = dynamodb._item_size_bytes
    monkeypatch.setattr(dynamodb, "_item_size_bytes", lambda item: read.append(item["key"]["S"]) or size(item))
    found = answer(dynamodb._query, asked(ScanIndexForward=False, Limit=3))
    assert [one["key"]["S"] for one in found["Items"]] == read == ["49", "48", "47"]
