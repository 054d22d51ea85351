"""Rows in the order of their keys: those below a prefix, those with a text in their key, and how many there are.

The index `by-key` has the keys alone, of each status: some 8,000 in a megabyte, where the index `by-status` has some
700 rows. A look asks each status once, whatever there is.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from darkroom.errors import TargetError
from darkroom.pipeline import results
from darkroom.pipeline.results import STATUSES, Count, Look, Row
from darkroom.pipeline.target import Target

INDEX = "by-key"
LONGEST = 1024  # bytes of a key, by S3 and by the index
LAST = "\U0010ffff"  # of all characters, and 4 bytes

AT_ONCE = 500  # rows, where all are wanted
LOOKED_AT = 2000  # keys of each status, in one look for a text
FEW = 100  # keys below a prefix: all their rows are read at once


class NoIndexError(TargetError):
    """The stack was deployed before there was such an index, or its table is filling it."""


class Keys(NamedTuple):
    """`after` is the last key that was looked at, if there may be more behind it. `looked_at`: keys."""

    keys: list[str]
    after: str | None
    looked_at: int


class Page(NamedTuple):
    """As Keys, with the rows. One that changes its status while this reads may be missed."""

    rows: list[Row]
    after: str | None
    looked_at: int


def page(
    target: Target, status: str | None = None, *, prefix: str = "", text: str = "", after: str = "", limit: int = 100
) -> Page:
    """The rows of the next keys behind `after`: at most so many. With a `text`, which no index finds, a page may have
    few or none, and others follow."""
    found = keys(target, status, prefix=prefix, text=text, after=after, limit=limit)
    now = {row["key"]: row for row in results.of(target, found.keys)}
    rows = [now[key] for key in found.keys if key in now and status in (None, now[key]["status"])]
    return Page(rows, found.after, found.looked_at)


def rows(
    target: Target, status: str | None = None, *, prefix: str = "", after: str = "", at_once: int = AT_ONCE
) -> Iterator[Row]:
    """All of them, so many with each look."""
    going_on: str | None = after
    while going_on is not None:
        some = page(target, status, prefix=prefix, after=going_on, limit=at_once)
        yield from some.rows
        going_on = some.after


def look(target: Target, status: str | None = None, *, prefix: str, since: str, until: str, limit: int) -> Look:
    """As `results.look`. Below a prefix with few keys it looks at all of them, whatever their times."""
    if prefix:
        try:
            few = keys(target, status, prefix=prefix, limit=FEW)
        except NoIndexError:
            few = Keys([], prefix, 0)
        if few.after is None:
            read = (row for row in results.of(target, few.keys) if status in (None, row["status"]))
            found = [row for row in read if since <= row["updated_at"] < until]
            found.sort(key=lambda row: str(row["updated_at"]), reverse=True)
            return Look(found[:limit], len(found) > limit, None)
    return results.look(target, status, prefix=prefix, since=since, until=until, limit=limit)


def keys(
    target: Target, status: str | None = None, *, prefix: str = "", text: str = "", after: str = "", limit: int
) -> Keys:
    """The next keys behind `after` that begin with `prefix` and have `text` in them, at most so many."""
    wanted = STATUSES if status is None else (status,)
    if _bytes(prefix) > LONGEST or _bytes(after) > LONGEST:
        return Keys([], None, 0)
    with ThreadPoolExecutor(len(wanted)) as workers:
        read = list(workers.map(lambda one: _read(target, one, prefix, text, after, limit), wanted))
    as_far_as = min((one.after for one in read if one.after is not None), default=None)
    found = sorted({key for one in read for key in one.keys if as_far_as is None or key <= as_far_as})
    looked_at = sum(one.looked_at for one in read)
    return Keys(found[:limit], found[limit - 1] if len(found) > limit else as_far_as, looked_at)


def counts(target: Target, most: int, prefix: str = "") -> dict[str, Count]:
    """How many rows there are of each status, as `count` has it."""
    with ThreadPoolExecutor(len(STATUSES)) as workers:
        found = workers.map(lambda status: count(target, status, most, prefix), STATUSES)
        return dict(zip(STATUSES, found, strict=True))


def count(target: Target, status: str, most: int, prefix: str = "") -> Count:
    """How many rows there are of a status, up to so many. DynamoDB counts by reading. Without the index, the index
    `by-status` is counted, which reads more and may end before it has so many."""
    try:
        return _count(target, status, most, prefix)
    except NoIndexError:
        found = results.count(target, status, most + 1, prefix=prefix)
        return Count(min(found.number, most), found.complete and found.number <= most)


def _count(target: Target, status: str, most: int, prefix: str) -> Count:
    counted, request = 0, _where(status, prefix, "") | {"Select": "COUNT"}
    while counted <= most:
        answer = _query(target, request | {"Limit": most + 1 - counted})
        counted += answer["Count"]
        if "LastEvaluatedKey" not in answer:
            break
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    return Count(min(counted, most), counted <= most)


def _read(target: Target, status: str, prefix: str, text: str, after: str, limit: int) -> Keys:
    """One request. Its condition takes `after` too, and only one key more tells whether there are more."""
    answer = _query(target, _where(status, prefix, after) | {"Limit": LOOKED_AT if text else limit + 2})
    read = [item["key"] for item in answer["Items"]]
    last = answer.get("LastEvaluatedKey", {}).get("key")
    return Keys([key for key in read if key != after and text in key], last, len(read))


def _where(status: str, prefix: str, after: str) -> dict[str, Any]:
    where: Any = Key("status").eq(status)
    if prefix or after:
        last = prefix + LAST * ((LONGEST - _bytes(prefix)) // _bytes(LAST))
        where = where & Key("key").between(max(prefix, after), max(last, after))
    return {"IndexName": INDEX, "KeyConditionExpression": where}


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _query(target: Target, request: dict[str, Any]) -> Any:
    """Raises NoIndexError."""
    try:
        return target.results.query(**request)
    except ClientError as error:
        of_the_stack = f"stack {target.stack} in {target.name}"
        if "specified index" in str(error):
            raise NoIndexError(f"{of_the_stack} has no index {INDEX} yet: run `{target.deploy_with}`") from None
        # Of an index that is being made, or that a rollback removes, DynamoDB may say either.
        if "backfilling" in str(error) or error.response["Error"]["Code"] == "ResourceNotFoundException":
            said = f"the index {INDEX} of {of_the_stack} is being filled: wait until it is deployed"
            raise NoIndexError(said) from None
        raise
