"""Take up again what was on its way when the local cloud ended: executions, and events nobody had heard yet.

An object is in S3 when its upload is confirmed; its event, its execution and the last half second of its row are not.
So the rows are compared with the objects, and an event is sent for each that does not fit.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from darkroom.local import kept
from darkroom.local.cloud import Cloud
from darkroom.pipeline import results
from darkroom.pipeline.executions import picture_key
from darkroom.pipeline.target import EXPRESS, Target, local
from darkroom.text import some

INTERRUPTED = "States.ServiceRestart"  # MiniStack's own name for what ran when it ended
MACHINES = ("StateMachineArn", "DeletionStateMachineArn", "RecaptionStateMachineArn", "BackfillStateMachineArn")


def take_up_again(cloud: Cloud, say: Callable[[str], object]) -> None:
    """If there is something. All of it may be done twice: whoever comes second ends as a Duplicate."""
    data = cloud.home / "data"
    if not kept.was_interrupted(data):
        return
    since = datetime.fromisoformat(cloud.since)
    keys = sorted({key for one in _targets(cloud) for key in (*_executions(one, since), *_events(one, since))})
    if keys:
        say(f"Taken up again, because the end of the local cloud interrupted them: {some(keys)}")
    kept.all_taken_up(data)


def _targets(cloud: Cloud) -> list[Target]:
    """Every stack of Darkroom there."""
    stacks = local(cloud).stacks.describe_stacks()["Stacks"]
    names = [one["StackName"] for one in stacks if _is_ours(one)]
    return [local(cloud, name) for name in names]


def _is_ours(stack: Any) -> bool:
    return "StateMachineArn" in {one["OutputKey"] for one in stack.get("Outputs", [])}


def _executions(target: Target, since: datetime) -> Iterator[str]:
    """Each that was running runs once more, with what it was given; the keys of their pictures."""
    pages = target.states.get_paginator("list_executions")
    for machine in _listed(target, MACHINES):
        for page in pages.paginate(stateMachineArn=machine, statusFilter="FAILED"):
            for one in page["executions"]:
                if one["stopDate"] < since:
                    continue
                arn = one["executionArn"]
                execution = target.states.describe_execution(executionArn=arn)
                if execution.get("error") == INTERRUPTED:
                    given = json.loads(execution["input"])
                    again = {**given, "redrives": arn} if "detail" in given else given
                    target.states.start_execution(stateMachineArn=machine, input=json.dumps(again))
                    yield picture_key(execution["input"]) or arn


def _events(target: Target, since: datetime) -> Iterator[str]:
    """One for each upload without its row, and one for each deletion; their keys."""
    rows = {row["key"]: row for row in results.rows(target)}
    running, there = set(_at_work(target)), set[str]()
    later = since + timedelta(seconds=1)  # it is noted in whole ones
    pages = target.s3.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=target.output("UploadsBucketName"), Prefix=target.upload_prefix):
        for found in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            if not found["IsLatest"]:
                continue
            key, row = found["Key"], rows.get(found["Key"])
            there.add(key)
            at_it = (key, str(found.get("ETag", "")).strip('"')) in running
            from_before = row is None and found["LastModified"] < target.created  # in a bucket that was there already
            if _folder(found) or at_it or from_before or found["LastModified"] > later or _speaks_of(row, found):
                continue
            _send(target, key, found if "ETag" in found else None)
            yield key
    for key, row in rows.items():
        if row["status"] != "DELETED" and key not in there and (key, "") not in running:
            _send(target, key, None)
            yield key


def _at_work(target: Target) -> Iterator[tuple[str, str]]:
    """The keys and ETags of the uploads that an execution is at; of a deletion an empty one."""
    for machine in _listed(target, ("StateMachineArn", "DeletionStateMachineArn")):
        pages = target.states.get_paginator("list_executions")
        for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING"):
            for one in page["executions"]:
                given = target.states.describe_execution(executionArn=one["executionArn"])["input"]
                if key := picture_key(given):
                    yield key, json.loads(given)["detail"]["object"].get("etag", "")


def _listed(target: Target, names: Sequence[str]) -> list[str]:
    """The machines whose executions are listed. What an Express one was at, its row tells: it is not final."""
    express = EXPRESS if target.is_express else {}
    return [target.outputs[name] for name in names if name in target.outputs and name not in express]


def _folder(found: Any) -> bool:
    """As consoles make them, or the deletion of one: the pipeline gives it no row."""
    return bool(found["Key"].endswith("/") and not found.get("Size"))


def _speaks_of(row: results.Row | None, found: Any) -> bool:
    """Whether the row is what this version or delete marker would make of it."""
    if row is None:
        return False
    if "ETag" not in found:
        return bool(row["status"] == "DELETED")
    return (
        row["status"] in ("SUCCEEDED", "REJECTED", "FAILED")
        and row.get("etag") == found["ETag"].strip('"')
        and datetime.fromisoformat(row["updated_at"]) >= found["LastModified"]
    )


def _send(target: Target, key: str, found: Any) -> None:
    """As S3 would now, of this version or of a deletion: the event is newer than any that there was of the key."""
    picture = {"key": key, "sequencer": f"{time.time_ns() // 1000:018X}"}
    if found is None:
        kind, machine, more = "Object Deleted", "DeletionStateMachineArn", {"deletion-type": "Delete Marker Created"}
    else:
        kind, machine, more = "Object Created", "StateMachineArn", {"reason": "PutObject"}
        picture |= {"size": found["Size"], "etag": found["ETag"].strip('"')}
    detail = {"bucket": {"name": target.output("UploadsBucketName")}, "object": picture, **more}
    event = {
        "source": "aws.s3",
        "detail-type": kind,
        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "detail": detail,
    }
    target.states.start_execution(stateMachineArn=target.output(machine), input=json.dumps(event))
