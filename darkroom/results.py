"""The end of a picture's way: its row in the results table, read."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from darkroom.errors import TargetError
from darkroom.target import Target
from darkroom.terminal import size

Row = dict[str, Any]

ENDED = ("SUCCEEDED", "REJECTED", "FAILED", "DELETED")

COLUMNS = ("picture", "status", "pixels", "size", "renditions", "caption or error", "updated (UTC)")


def row(target: Target, key: str) -> Row:
    """The row of this key, with or without the upload prefix. Raises TargetError if there is none."""
    if found := find(target, key):
        return found
    raise TargetError(f"no row for {key!r} in {target.name}: `darkroom results` lists the pictures there are")


def find(target: Target, key: str) -> Row | None:
    """The row of this key, with or without the upload prefix, as it stands now."""
    for candidate in (key, target.upload_prefix + key):
        if found := target.results.get_item(Key={"key": candidate}, ConsistentRead=True).get("Item"):
            return found
    return None


def rows(target: Target, status: str | None = None) -> Iterator[Row]:
    """All rows, or those of one status, newest first, by the index."""
    from boto3.dynamodb.conditions import Key

    if status is None:
        yield from sorted((item for page in _pages(target.results.scan) for item in page), key=_updated, reverse=True)
    else:
        where = Key("status").eq(status)
        for page in _pages(
            target.results.query, IndexName="by-status", KeyConditionExpression=where, ScanIndexForward=False
        ):
            yield from page


def event(target: Target, found: Row) -> dict[str, Any]:
    """The upload's event: what the row's execution was given. Step Functions forgets that after 90 days; then it is
    what the row remembers of it, which is as far as the pipeline reads one."""
    try:
        return dict(json.loads(target.states.describe_execution(executionArn=found["execution"])["input"]))
    except target.states.exceptions.ExecutionDoesNotExist:
        members = {"key": "key", "etag": "etag", "version_id": "version-id", "sequencer": "sequencer"}
        picture = {theirs: found[ours] for ours, theirs in members.items()}
        return {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {
                "bucket": {"name": target.output("UploadsBucketName")},
                "object": {**picture, "size": int(found["size"])},
            },
        }


def line(found: Row) -> Sequence[object]:
    """The row as a line of a table with COLUMNS."""
    pixels = f"{found['width']}x{found['height']}" if "width" in found and "height" in found else ""
    return (
        found["key"],
        found["status"],
        pixels,
        size(found.get("size")),
        len(found["renditions"]) if found.get("renditions") else "",
        caption_or_error(found),
        found.get("updated_at", "")[: len("2024-05-01T10:00:00")].replace("T", " "),
    )


def caption_or_error(found: Row) -> str:
    error = found.get("error")
    return f"{error['code']}: {error['message']}" if error else found.get("caption", {}).get("text", "")


def by_width(found: Row) -> list[str]:
    """The names of the renditions, the smallest first."""
    renditions = found.get("renditions", {})
    return sorted(renditions, key=lambda name: (renditions[name]["width"], name))


def facts(found: Row) -> Iterator[tuple[str, object]]:
    """Everything in the row, one line each; a map in it becomes `renditions.small.width` and so on."""
    for name in sorted(found, key=_place):
        yield from _flat(name, found[name])


def _flat(name: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for member in sorted(value):
            yield from _flat(f"{name}.{member}", value[member])
    else:
        yield name, value


def _place(name: str) -> tuple[int, str]:
    first = ("key", "status", "error")
    return (first.index(name) if name in first else len(first), name)


def _updated(found: Row) -> str:
    return str(found.get("updated_at", ""))


def _pages(read: Any, **arguments: Any) -> Iterator[list[Row]]:
    while True:
        page = read(**arguments)
        yield page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]
