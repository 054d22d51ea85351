"""Of the writes to a row at the same time none is lost."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import dynamodb

from darkroom.local.ministack import row_writes

AT_ONCE, EACH = 4, 100


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """And threads that take turns as often as they can."""
    for name in row_writes.WRITES:
        monkeypatch.setattr(dynamodb, name, getattr(dynamodb, name))
    monkeypatch.setattr(dynamodb, "_tables", AccountRegionScopedDict())
    dynamodb._tables["rows"] = {
        "TableName": "rows",
        "pk_name": "key",
        "sk_name": None,
        "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
        "items": defaultdict(dict),
    }
    row_writes.add()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_of_writes_at_the_same_time_none_is_lost():
    def count(name: str) -> None:
        for _ in range(EACH):
            status, _, body = dynamodb._update_item(
                {
                    "TableName": "rows",
                    "Key": {"key": {"S": "raw/a.jpg"}},
                    "UpdateExpression": "ADD #name :one",
                    "ExpressionAttributeNames": {"#name": name},
                    "ExpressionAttributeValues": {":one": {"N": "1"}},
                }
            )
            assert status == 200, body

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(count, [f"of {number}" for number in range(AT_ONCE)]))
    _, _, body = dynamodb._get_item({"TableName": "rows", "Key": {"key": {"S": "raw/a.jpg"}}})
    item = json.loads(body)["Item"]
    assert {name: item[name]["N"] for name in item if name != "key"} == {
        f"of {number}": str(EACH) for number in range(AT_ONCE)
    }
