"""A query of an index takes as long as what it reads. MiniStack sorts the whole partition for each page of a megabyte,
compares each row in it with the key, and reads the expression anew for each: with 100,000 rows that is seconds.

Here a partition that was asked for is kept in order, and a query is given the rows of its one page. A condition that is
not understood here is left to MiniStack.
"""

import re
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Any, NamedTuple

from ministack.services import dynamodb

this: Any = dynamodb

Where = tuple[Any, Any]  # partition and sort key of the table
Place = tuple[tuple[str, ...], Where]  # by what the index is sorted, and where the item is

CONDITION = re.compile(
    r"(?P<compared>#?\w+)\s*(?P<how><=|>=|<|>|=)\s*(?P<value>:\w+)"
    r"|(?P<between>#?\w+)\s+BETWEEN\s+(?P<low>:\w+)\s+AND\s+(?P<high>:\w+)"
    r"|begins_with\s*\(\s*(?P<begun>#?\w+)\s*,\s*(?P<beginning>:\w+)\s*\)",
    re.IGNORECASE,
)
JOINED = re.compile(r"[\s()]+|AND", re.IGNORECASE)  # what else is in a condition that is understood


class Members(dict[str, Any]):
    """MiniStack's own, which it drops when items are replaced; with the order of each partition that was asked for."""

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__(members)
        self.places: dict[tuple[str, Any], list[Place]] = {}


class Page(NamedTuple):
    of_index: str
    partition: Any
    members: list[Where]
    more: bool


class Query(threading.local):
    """The one that is answered at the moment."""

    page: Page | None = None
    tokens: dict[tuple[str, str], Any] | None = None  # of expressions that were right for one item


_query = Query()
_order = threading.Lock()


def add() -> None:
    query, members, index_item = this._query, this._index_members, this._index_item
    paginate, evaluate = this._paginate_evaluated_items, this._evaluate_condition

    def queried(data: dict[str, Any]) -> Any:
        _query.page, _query.tokens = _page(data, members), {}
        try:
            return query(data)
        finally:
            _query.page = _query.tokens = None

    def members_asked_for(table: Any) -> Any:
        page = _query.page
        return members(table) if page is None else {page.of_index: {page.partition: page.members}}

    def paginated(items: Any, limit: Any, table: Any, index_name: Any = None) -> Any:
        return paginate(items, limit, table, index_name) if _query.page is None else (items, _query.page.more)

    def indexed(table: Any, pk: Any, sk: Any, item: Any, add: bool) -> None:
        with _order:
            index_item(table, pk, sk, item, add)
            _keep_in_order(table, (pk, sk), item, add=add)

    def evaluated(expr: str, item: Any, values: Any, names: Any, slot: str = "ConditionExpression") -> Any:
        tokens = _query.tokens
        if tokens is None or not expr:
            return evaluate(expr, item, values, names, slot)
        if (slot, expr) in tokens:
            try:
                return this._ExprEval(tokens[slot, expr], item, values, names).evaluate()
            except Exception:  # MiniStack has AWS's words for it
                return evaluate(expr, item, values, names, slot)
        found = evaluate(expr, item, values, names, slot)
        tokens[slot, expr] = this._tokenize(expr)
        return found

    this._query, this._index_members, this._index_item = queried, members_asked_for, indexed
    this._paginate_evaluated_items, this._evaluate_condition = paginated, evaluated


def _page(data: dict[str, Any], members: Callable[[Any], Any]) -> Page | None:
    """What the query reads: so many items, or a megabyte. None for one of another kind, or one that is wrong."""
    table, name = this._tables.get(this._normalize_table_name(data.get("TableName"))), data.get("IndexName", "")
    index = this._index_def(table, name) if table and name else None
    hashes, ranges = this._index_key_lists(index) if index else ([], [])
    if len(hashes) != 1 or len(ranges) != 1:
        return None
    order = this._index_order_keys(table, ranges)
    try:
        partition, between = _asked(data, hashes[0], ranges[0])
        limit, start = int(data.get("Limit") or 0), data.get("ExclusiveStartKey")
        after = tuple(start[name]["S"] for name, _ in order) if start else None
    except (KeyError, TypeError, ValueError):
        return None
    forward = data.get("ScanIndexForward", True)
    with _order:
        places = _in_order(table, name, partition, order, members)
        low, high = between(places)
        if after and forward:
            low = max(low, bisect_right(places, after, key=_sorted_by))
        elif after:
            high = min(high, bisect_left(places, after, key=_sorted_by))
        read = range(low, high) if forward else range(high - 1, low - 1, -1)
        return Page(name, partition, *_first(table, name, places, read, limit))


def _asked(data: dict[str, Any], of_index: str, sorted_by: str) -> tuple[Any, Callable[[list[Place]], tuple[int, int]]]:
    """The partition, and between which of its places. Raises KeyError or ValueError if that is not understood."""
    condition, values = data["KeyConditionExpression"], data["ExpressionAttributeValues"]
    names = data.get("ExpressionAttributeNames") or {}
    if JOINED.sub("", CONDITION.sub("", condition)):
        raise ValueError(condition)
    found = {}
    for one in CONDITION.finditer(condition):
        parts = {part: text for part, text in one.groupdict().items() if text}
        name = parts.pop("compared", None) or parts.pop("between", None) or parts.pop("begun")
        how = parts.pop("how", next(iter(parts)))
        found[names.get(name, name)] = how, [values[part]["S"] for part in parts.values()]
    how, (partition,) = found.pop(of_index)
    if how != "=" or found.keys() - {sorted_by}:
        raise ValueError(condition)
    how, texts = found.get(sorted_by, ("all", []))
    return partition, lambda places: _BETWEEN[how](places, *texts)


def _before(places: list[Place], text: str) -> int:
    return bisect_left(places, text, key=lambda place: place[0][0])


def _through(places: list[Place], text: str) -> int:
    return bisect_right(places, text, key=lambda place: place[0][0])


_BETWEEN: dict[str, Callable[..., tuple[int, int]]] = {
    "all": lambda places: (0, len(places)),
    "=": lambda places, text: (_before(places, text), _through(places, text)),
    "<": lambda places, text: (0, _before(places, text)),
    "<=": lambda places, text: (0, _through(places, text)),
    ">": lambda places, text: (_through(places, text), len(places)),
    ">=": lambda places, text: (_before(places, text), len(places)),
    "low": lambda places, low, high: (_before(places, low), _through(places, high)),
    "beginning": lambda places, text: (
        _before(places, text),
        bisect_right(places, text, key=lambda place: place[0][0][: len(text)]),
    ),
}


def _first(table: Any, index: str, places: list[Place], read: range, limit: int) -> tuple[list[Where], bool]:
    """As MiniStack has it: a page ends with the item that reaches the limit, or before the one that is too much."""
    found: list[Where] = []
    size = 0
    for position in read:
        pk, sk = places[position][1]
        item = table["items"][pk][sk]
        size += this._item_size_bytes(this._apply_index_projection(item, table, index))
        if found and size > this._DDB_PAGE_SIZE_BYTES:
            return found, True
        found.append((pk, sk))
        if len(found) == limit or size >= this._DDB_PAGE_SIZE_BYTES:
            return found, True
    return found, False


def _in_order(
    table: Any, index: str, partition: Any, order: list[tuple[str, str]], members: Callable[[Any], Any]
) -> list[Place]:
    known = members(table)
    if not isinstance(known, Members):
        known = table[this._INDEX_MEMBERS] = Members(known)
    if (index, partition) not in known.places:
        there = known.get(index, {}).get(partition, ())
        known.places[index, partition] = sorted(_place(table["items"][pk][sk], order, (pk, sk)) for pk, sk in there)
    return known.places[index, partition]


def _keep_in_order(table: Any, where: Where, item: Any, *, add: bool) -> None:
    known = table.get(this._INDEX_MEMBERS)
    if not isinstance(known, Members):
        return
    for index, hashes, ranges in this._index_key_schemas(table):
        places = known.places.get((index, this._index_partition(item, hashes, ranges)))
        if places is None:
            continue
        place = _place(item, this._index_order_keys(table, ranges), where)
        if add:
            insort(places, place)
        else:
            del places[bisect_left(places, place)]


def _place(item: Any, order: list[tuple[str, str]], where: Where) -> Place:
    return tuple(this._index_order_value(item, name, kind) for name, kind in order), where


def _sorted_by(place: Place) -> tuple[str, ...]:
    return place[0]
