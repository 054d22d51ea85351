"""The end of a picture's way: its row in the results table, read."""

import base64
import difflib
import heapq
import itertools
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import islice
from operator import and_
from typing import Any, NamedTuple

from boto3.dynamodb.conditions import Attr, Key

from darkroom import documentation
from darkroom.errors import TargetError
from darkroom.pipeline.histories import Kept, NoExecutionError
from darkroom.pipeline.target import Target
from darkroom.text import pixels, short, size, unpacked

Row = dict[str, Any]

ENDED = ("SUCCEEDED", "REJECTED", "FAILED", "DELETED")
STATUSES = ("PROCESSING", *ENDED)
EXPLAINED = "explained in"  # what a person reads before the entry in the documentation
NO_VERSION = "null"  # S3's own word for the version of an object in a bucket that keeps none
LATEST = "9999"  # later than any time a row has

# What is of the version that a row shows; all else is of the newest one.
SHOWN = (
    *("format", "width", "height", "frames", "content_hash", "placeholder", "color", "perceptual_hash"),
    *("notes", "metadata", "renditions", "recipe", "caption", "shown_version_id"),
)

LATE_SECONDS = 60  # a row is written so long after the time it bears, when its write is tried again
USUALLY_LATE_SECONDS = 5
LOOKS = 10  # one of so many is for the latest rows too: each reads all that it may have missed
MOST_PAGES = 2  # of a megabyte each, of one status, that are read for one look at what few rows have
SEARCHED = 500  # rows, the newest, among which a mistyped key is looked for
SUGGESTED = 3
BATCH = 100  # keys: what DynamoDB's BatchGetItem takes at once
SIMILAR = 0.75  # of 1, by difflib: one letter more, less or another in a name of four


class UnknownPageError(TargetError):
    """The token is none that was given out."""


def row(target: Target, key: str) -> Row:
    """The row of this key, with or without the upload prefix. Raises TargetError if there is none."""
    if found := find(target, key):
        return found
    hint = meant(target, key) or "`darkroom results` lists the pictures there are"
    raise TargetError(f"no row for {key!r} in {target.name}: {hint}")


def meant(target: Target, key: str) -> str | None:
    """A question that names the keys nearest to a mistyped one, none if none is near. Looks at the newest rows."""
    prefix = target.upload_prefix  # which all have, and which so would make all alike
    with ThreadPoolExecutor(len(STATUSES)) as workers:
        read = [row for rows in workers.map(lambda status: _newest(target, status, SEARCHED), STATUSES) for row in rows]
    newest = sorted(read, key=_updated, reverse=True)[:SEARCHED]
    there = [one["key"].removeprefix(prefix) for one in newest]
    near = [prefix + one for one in nearest(key.removeprefix(prefix), there)]
    return f"did you mean {' or '.join(map(repr, near))}?" if near else None


def nearest(key: str, there: Sequence[str]) -> list[str]:
    """Those that differ by little, or that have just that file name in another folder."""
    name = key.rpartition("/")[2]
    elsewhere = [one for one in there if one.rpartition("/")[2].lower() == name.lower()]
    similar = difflib.get_close_matches(key, there, SUGGESTED, SIMILAR)
    return list(dict.fromkeys([*elsewhere, *similar]))[:SUGGESTED]


def with_prefix(target: Target, key: str) -> str:
    return key if key.startswith(target.upload_prefix) else target.upload_prefix + key


def find(target: Target, key: str) -> Row | None:
    """The row of this key, with or without the upload prefix, as it stands now."""
    for candidate in (key, target.upload_prefix + key):
        if found := target.results.get_item(Key={"key": candidate}, ConsistentRead=True).get("Item"):
            return found
    return None


def of(target: Target, keys: Sequence[str]) -> Iterator[Row]:
    """The rows that there are of these whole keys, in no order."""
    dynamodb, table = target.results.meta.client, target.results.name
    for start in range(0, len(keys), BATCH):
        asked: Any = [{"key": key} for key in keys[start : start + BATCH]]
        while asked:  # under load DynamoDB leaves some out
            answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": asked, "ConsistentRead": True}})
            yield from answer["Responses"].get(table, [])
            left = answer["UnprocessedKeys"]
            asked = left[table]["Keys"] if table in left else []


def rows(
    target: Target,
    status: str | None = None,
    *,
    prefix: str = "",
    since: str = "",
    until: str = LATEST,
    at_once: int | None = None,
    captions: Collection[str] = (),
) -> Iterator[Row]:
    """The rows of one status or of all, newest first, by the index `by-status`: of all it merges one query each.

    `since` and `until` are beginnings of `updated_at`; a row of just `until` is not there. They bound what is read;
    `prefix`, of the whole key, and `captions`, which statuses of one, only what is given back. `at_once` is how many
    rows are asked for at once, where few are wanted: of all statuses, each query asks for its share of them. A row that
    is claimed anew while this reads may be missed.
    """
    return _merged(target, status, prefix=prefix, since=since, until=until, at_once=at_once, captions=captions)


def _merged(
    target: Target,
    status: str | None,
    *,
    prefix: str,
    since: str,
    until: str,
    at_once: int | None,
    captions: Collection[str] = (),
    pages: int | None = None,
) -> Iterator[Row]:
    """Where a status has more than so many `pages` of DynamoDB, a row without a key says how far they reach back."""
    statuses = STATUSES if status is None else (status,)
    wanted: list[Any] = [Attr("key").begins_with(prefix)] if prefix else []
    if captions:
        wanted.append(Attr("caption.status").is_in([*captions]))
    more: dict[str, Any] = {"FilterExpression": reduce(and_, wanted)} if wanted else {}
    if at_once:
        more["Limit"] = -(-at_once // len(statuses))

    def of(one: str) -> Iterator[Row]:
        between = Key("status").eq(one) & Key("updated_at").between(since or "0", until)
        for page in islice(_pages(target, _newest_of(one) | {"KeyConditionExpression": between} | more), pages):
            yield from (row for row in page["Items"] if row["updated_at"] < until)
        if last := page.get("LastEvaluatedKey"):
            yield {"updated_at": last["updated_at"]}

    return heapq.merge(*map(of, statuses), key=_updated, reverse=True)


def page(
    target: Target, status: str | None = None, *, limit: int = 100, token: str | None = None
) -> tuple[list[Row], str | None]:
    """As many rows, newest first, and the token of the page behind them, None at the end. Raises UnknownPageError for a
    token that is none."""
    after = _read_token(token)
    wanted = STATUSES if status is None else (status,)

    def of(one: str) -> list[Row]:
        request = _newest_of(one) | {"Limit": limit + 1}
        if one in after:
            request["ExclusiveStartKey"] = {**after[one], "status": one}
        return list(islice((row for page in _pages(target, request) for row in page["Items"]), limit + 1))

    with ThreadPoolExecutor(len(wanted)) as workers:
        read = [row for rows in workers.map(of, wanted) for row in rows]
    found = sorted(read, key=_updated, reverse=True)
    shown = found[:limit]
    after |= {row["status"]: row for row in shown}
    return shown, _token(after) if len(found) > limit else None


class Look(NamedTuple):
    """Rows, newest first, and whether there are more. `back_to`: the time of the oldest row that was looked at, if the
    look ended before it had found as many as it may."""

    rows: list[Row]
    more: bool
    back_to: str | None


def look(
    target: Target,
    status: str | None = None,
    *,
    prefix: str = "",
    since: str = "",
    until: str = LATEST,
    limit: int,
    pages: int = MOST_PAGES,
) -> Look:
    """As `rows`, at most so many of them. With a `prefix`, which this index does not find, it reads at most so many
    megabytes of each status: it ends also where few rows have it."""
    found: list[Row] = []
    bounds: Any = {"at_once": None, "pages": pages} if prefix else {"at_once": limit + 1}
    for row in _merged(target, status, prefix=prefix, since=since, until=until, **bounds):
        if row.get("key") is None:
            return Look(found, True, row["updated_at"])
        if len(found) == limit:
            return Look(found, True, None)
        found.append(row)
    return Look(found, False, None)


def changed_since(target: Target, since: str, most: int) -> tuple[list[Row], str | None]:
    """All rows from then on, as far as Health counts them. Where there are more of a status, the rows after the time to
    which so many of it reach back, of every status alike, and that time."""

    with ThreadPoolExecutor(len(STATUSES)) as workers:
        read = list(workers.map(lambda status: _newest(target, status, most + 1, since), STATUSES))
    reached = max((rows[-1]["updated_at"] for rows in read if len(rows) > most), default=None)
    return [row for rows in read for row in rows if reached is None or row["updated_at"] > reached], reached


def _newest(target: Target, status: str, most: int, since: str = "0") -> list[Row]:
    """Of each only what is asked of many."""
    request = _newest_of(status) | {
        "KeyConditionExpression": Key("status").eq(status) & Key("updated_at").gte(since),
        "ProjectionExpression": "#key, #status, updated_at, execution, #error.code",
        "ExpressionAttributeNames": {"#key": "key", "#status": "status", "#error": "error"},
        "Limit": most,
    }
    return list(islice((row for page in _pages(target, request) for row in page["Items"]), most))


def _newest_of(status: str) -> dict[str, Any]:
    where = Key("status").eq(status)
    return {"IndexName": "by-status", "KeyConditionExpression": where, "ScanIndexForward": False}


class Count(NamedTuple):
    number: int
    complete: bool  # or there are more

    def __str__(self) -> str:
        return f"{self.number:,}{'' if self.complete else '+'}"


def count(target: Target, status: str, most: int, *, prefix: str = "", since: str = "", until: str = LATEST) -> Count:
    """How many rows there are of a status, in that time and below that prefix. DynamoDB counts by reading, a megabyte
    at a time: it ends after the one with which `most` is reached, and at MOST_PAGES."""
    between = Key("status").eq(status) & Key("updated_at").between(since or "0", until)
    asked: Any = _newest_of(status) | {"KeyConditionExpression": between, "Select": "COUNT"}
    if prefix:
        asked["FilterExpression"] = Attr("key").begins_with(prefix)
    counted = 0
    for page in islice(_pages(target, asked), MOST_PAGES):
        counted += page["Count"]
        if counted >= most:
            break
    return Count(counted, "LastEvaluatedKey" not in page)


def changes(
    target: Target, status: str | None = None, *, prefix: str = "", since: str = "", limit: int = 20
) -> Iterator[Row]:
    """The newest rows, the oldest of them first, and from then on each row as it changes, without an end.

    With a status, a row that was given with it is given once more when it has left it.
    """
    newest = next((one["updated_at"] for one in rows(target, at_once=1)), "")
    known = {one["key"]: _state(one) for one in rows(target, prefix=prefix, since=_earlier(newest))}
    first = look(target, status, prefix=prefix, since=since, limit=limit).rows
    known |= {one["key"]: _state(one) for one in first}
    given = {one["key"] for one in first}
    yield from reversed(first)
    for times in itertools.count(1):
        time.sleep(target.poll_seconds)
        late = LATE_SECONDS if times % LOOKS == 0 else USUALLY_LATE_SECONDS
        for one in reversed(list(rows(target, prefix=prefix, since=max(since, _earlier(newest, late))))):
            newest = max(newest, one["updated_at"])
            if _state(one) != known.get(one["key"]):
                known[one["key"]] = _state(one)
                if status in (None, one["status"]) or one["key"] in given:
                    given.add(one["key"])
                    yield one


def event(target: Target, found: Row) -> dict[str, Any]:
    """The event of the upload or deletion: what the row's execution was given. Where Step Functions does not keep that,
    or no longer, it is what the row remembers of it, which is as far as the pipeline reads one."""
    history = target.history(found["execution"])
    if isinstance(history, Kept):
        with suppress(NoExecutionError):
            return dict(json.loads(history.described(found["execution"])["input"]))
    members = {"key": "key", "version_id": "version-id", "sequencer": "sequencer"}
    picture = {theirs: found[ours] for ours, theirs in members.items()}
    detail = {"bucket": {"name": target.output("UploadsBucketName")}, "object": picture}
    if "etag" not in found:
        deleted = {**detail, "deletion-type": "Delete Marker Created"}
        return {"source": "aws.s3", "detail-type": "Object Deleted", "detail": deleted}
    picture |= {"etag": found["etag"], "size": int(found["size"])}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def written(time: datetime) -> str:
    """As the rows have it, so that the texts compare."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def caption_or_error(found: Row) -> str:
    error = found.get("error")
    return f"{error['code']}: {unpacked(error['message'])}" if error else found.get("caption", {}).get("text", "")


def shown_version(found: Row) -> str | None:
    """Of which version its renditions are, and all that was measured of a picture. None where it shows none, or where
    nobody knows: a row whose picture succeeded before rows said so, and not since."""
    if not found.get("renditions"):
        return None
    return found.get("shown_version_id") or (found.get("version_id") if found.get("status") == "SUCCEEDED" else None)


def shows_older(found: Row) -> bool:
    """Whether the renditions are of an older version than the one that status, error and size are of."""
    if not found.get("renditions"):
        return False
    shown = shown_version(found)
    if shown == NO_VERSION == found.get("version_id"):  # as of every upload to a bucket that keeps no versions
        return bool(found.get("status") != "SUCCEEDED")
    return shown != found.get("version_id")


def of_newest(found: Row) -> Row:
    """The row without what it shows of an older version: what the newest upload itself came to."""
    return {name: value for name, value in found.items() if name not in SHOWN} if shows_older(found) else found


def of_older(found: Row) -> str | None:
    """In words, which older version is shown; None where none is."""
    if not shows_older(found):
        return None
    shown = shown_version(found)
    which = "which is overwritten" if shown == NO_VERSION else shown or "nobody knows which"
    return f"an older version, {which}"


def by_width(found: Row) -> list[str]:
    """The names of the renditions, the smallest first."""
    renditions = found.get("renditions", {})
    return sorted(renditions, key=lambda name: (renditions[name]["width"], name))


def facts(found: Row) -> Iterator[tuple[str, object]]:
    """Everything in the row, one line each; a map in it becomes `renditions.small.width` and so on. An error
    comes with its entry in the documentation."""
    entry = documentation.of_row(found)
    told = found | {EXPLAINED: entry} if entry else dict(found)
    if error := found.get("error"):
        told["error"] = {**error, "message": unpacked(error["message"])}
    for name in sorted(told, key=_place):
        yield from _flat(name, told[name])


def main_facts(found: Row) -> Iterator[tuple[str, object]]:
    """What a person asks for first, one line each; `facts` has the rest."""
    newest = of_newest(found)
    yield "key", found["key"]
    yield "status", found["status"]
    if "error" in found:
        yield "error", short(caption_or_error(found))
    if entry := documentation.of_row(found):
        yield EXPLAINED, entry
    if text := found.get("caption", {}).get("text"):
        yield "caption", text
    if "width" in newest:
        yield "picture", ", ".join(filter(None, (newest.get("format"), pixels(newest), size(newest.get("size")))))
    if older := of_older(found):
        yield "shown", ", ".join(filter(None, (older, found.get("format"), pixels(found))))
    if found.get("renditions"):
        yield "renditions", ", ".join(f"{name} {pixels(found['renditions'][name])}" for name in by_width(found))
    yield "updated (UTC)", updated(found)


def updated(found: Row) -> str:
    """To the second."""
    return str(found.get("updated_at", ""))[: len("2024-05-01T10:00:00")].replace("T", " ")


def _flat(name: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for member in sorted(value):
            yield from _flat(f"{name}.{member}", value[member])
    elif isinstance(value, bool):
        yield name, "yes" if value else "no"
    elif isinstance(value, list):  # notes; or a focus, as it is given
        yield name, ("; " if name == "notes" else ",").join(map(str, value))
    else:
        yield name, value


def _place(name: str) -> tuple[int, str]:
    first = ("key", "status", "error", EXPLAINED)
    return (first.index(name) if name in first else len(first), name)


def _updated(found: Row) -> str:
    return str(found.get("updated_at", ""))


def _state(found: Row) -> tuple[str, str]:
    return found["status"], found["updated_at"]


def _earlier(updated: str, seconds: int = LATE_SECONDS) -> str:
    """From when on a change may not have been seen, after a row of that time was."""
    if not updated:
        return ""
    return (datetime.fromisoformat(updated) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def _token(after: Mapping[str, Row]) -> str:
    places = {status: {name: row[name] for name in ("key", "updated_at")} for status, row in after.items()}
    return base64.urlsafe_b64encode(json.dumps(places).encode()).decode()


def _read_token(token: str | None) -> dict[str, Row]:
    if token is None:
        return {}
    try:
        read = json.loads(base64.urlsafe_b64decode(token))
        return {status: {name: str(read[status][name]) for name in ("key", "updated_at")} for status in read}
    except (ValueError, KeyError, TypeError):
        raise UnknownPageError("that page of the results is not known: begin at the first") from None


def _pages(target: Target, request: dict[str, Any]) -> Iterator[Any]:
    """DynamoDB's answers to a query: at least one."""
    while True:
        page = target.results.query(**request)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        request = {**request, "ExclusiveStartKey": page["LastEvaluatedKey"]}
