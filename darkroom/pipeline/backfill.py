"""Pictures made from what is in the bucket already: what a backfill would make and cost, its start, how far it is, and
its end."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, get_args

from darkroom.errors import TargetError
from darkroom.pipeline import results
from darkroom.pipeline.executions import arn_of
from darkroom.pipeline.results import Count
from darkroom.pipeline.target import AWS_AT_ONCE, Target

Only = Literal["missing", "stale", "failed", "captions", "all"]
Document = dict[str, Any]

BY_A_PERSON = re.compile(rf"({'|'.join(get_args(Only))})-\d+")  # names; EventBridge has others for its executions
ANY = re.compile(".*")

MOST_OBJECTS = 100_000_000  # that a Map lists
MOST_OF_A_BATCH = 10  # pictures of one batch at once: few batches have enough of them for more
BATCH = 100  # objects, as the state machine asks the function about them
AT_ONCE = 8  # such questions
MOST_COUNTED = 1000  # rows of a status
MADE = ("PROCESSING", "SUCCEEDED", "REJECTED", "FAILED")  # what may become of a picture
AFTER_ITS_END = timedelta(minutes=1)
NOT_STARTED = "backfill/not-started/"  # the state of that name leaves its files there, in a folder for each execution
MOST_NAMED = 20  # pictures that could not be started

# What a million objects cost that are only looked at, and 1,000 pictures or captions that are made: docs/backfill.md.
USD_OF_OBJECTS = 0.90
USD_OF_PICTURES, USD_OF_EXPRESS_PICTURES = 0.41, 0.14
USD_OF_CAPTIONS = 0.11

# What these take, both assumed: docs/scale.md.
SECONDS_OF_BATCH = 1.0
SECONDS_OF_PICTURE = 3.0


class NoneRunsError(TargetError):
    """There is no backfill to stop."""


@dataclass(frozen=True)
class Estimate:
    """Of `objects` in the listing, these `pictures` would be made, so many of them at once."""

    only: Only
    prefix: str
    objects: int
    pictures: int
    at_once: int = AWS_AT_ONCE
    express: bool = False  # the workflow that makes them

    @property
    def usd(self) -> float:
        of_pictures = USD_OF_EXPRESS_PICTURES if self.express else USD_OF_PICTURES
        each = USD_OF_CAPTIONS if self.only == "captions" else of_pictures
        return self.objects * USD_OF_OBJECTS / 1_000_000 + self.pictures * each / 1000

    @property
    def seconds(self) -> float:
        """At least: a limit of the account may make it longer."""
        batches_at_once = max(1, self.at_once // MOST_OF_A_BATCH)
        looking = self.objects / BATCH * SECONDS_OF_BATCH / batches_at_once
        return looking + self.pictures * SECONDS_OF_PICTURE / self.at_once

    def document(self) -> Document:
        counted = {name: value for name, value in asdict(self).items() if name != "express"}
        return {**counted, "usd": round(self.usd, 4), "seconds": round(self.seconds, 1)}


def estimates(
    target: Target,
    only: Only,
    prefix: str = "",
    limit: int | None = None,
    *,
    at_once: int | None = None,
    recipe: str | None = None,
    seen: Callable[[Sequence[Document]], object] = len,
) -> Iterator[Estimate]:
    """The newest is of all that has been listed so far. The function that decides is asked, and nothing is started.

    With the `recipe` of other settings than today's, stale is what would be stale by those. `seen` is given each page
    of the listing."""
    _can(target, only)
    whole = results.with_prefix(target, prefix)
    given = {"only": only, "since": results.written(datetime.now(UTC))} | ({"recipe": recipe} if recipe else {})
    estimate = Estimate(only, whole, 0, 0, at_once or AWS_AT_ONCE, target.is_express)
    yield estimate
    with ThreadPoolExecutor(AT_ONCE) as asking:
        for listed in _listed(target, whole, limit or MOST_OBJECTS):
            seen(listed)
            batches = (listed[start : start + BATCH] for start in range(0, len(listed), BATCH))
            asked = [{"BatchInput": given, "Items": batch, "count": True} for batch in batches]
            found = sum(asking.map(lambda one: _count(target, one), asked))
            estimate = replace(estimate, objects=estimate.objects + len(listed), pictures=estimate.pictures + found)
            yield estimate


def start(
    target: Target, only: Only, prefix: str = "", *, limit: int | None = None, at_once: int | None = None
) -> Document:
    """How far it is then. Raises TargetError while another one runs: together they would make more at once."""
    _can(target, only)
    return _start(target, given(only, results.with_prefix(target, prefix), at_once or target.at_once, limit))


def given(only: Only, prefix: str, at_once: int, limit: int | None = None) -> Document:
    """What the state machine is started with. It has so many pictures at work at most: in one batch up to ten."""
    of_a_batch = min(at_once, MOST_OF_A_BATCH)
    return {
        "only": only,
        "prefix": prefix,
        "since": results.written(datetime.now(UTC)),
        "limit": limit or MOST_OBJECTS,
        "batches_at_once": at_once // of_a_batch,
        "pictures_at_once": of_a_batch,
    }


def go_on(target: Target) -> Document:
    """With what the newest was asked for that a person started. What it made needs no work any more: `all` too leaves
    out what was written since it began. Raises TargetError."""
    before = _newest(target, BY_A_PERSON)
    return _start(target, json.loads(_described(target, before)["input"]))


def stop(target: Target) -> Document:
    """Each that runs; how far the newest is. The pictures that are at work come to their end. Raises NoneRunsError."""
    running = _running(target)
    if not running:
        raise NoneRunsError("no backfill is running")
    for execution in running:
        target.states.stop_execution(executionArn=execution)
    return progress(target, running[0])


def changes(target: Target) -> Iterator[Document]:
    """How far the newest is, whenever that changes, until it ends."""
    execution, told = _newest(target), None
    while told is None or told["status"] == "RUNNING":
        now = progress(target, execution)
        if now != told:
            yield now
        told = now
        if told["status"] == "RUNNING":
            time.sleep(target.poll_seconds)


def progress(target: Target, execution: str) -> Document:
    """How far it is, with the pictures that failed."""
    done = how_far(target, execution)
    failed = outcomes(target, done, ("FAILED",))["FAILED"].number
    return {**done, "failed": min(failed, MOST_COUNTED)}


def how_far(target: Target, execution: str) -> Document:
    """As Step Functions counts its objects; and the pictures that it could not start, which have no rows."""
    described = _described(target, execution)
    asked = json.loads(described["input"])
    done: Document = {
        "execution": execution,
        "status": described["status"],
        "only": asked["only"],
        "prefix": asked["prefix"],
        "at_once": asked["batches_at_once"] * asked["pictures_at_once"],
        "started": described["startDate"],
        "stopped": described.get("stopDate"),
        "objects": 0,
        "done": 0,
        "at_work": 0,
        "not_looked_at": 0,
    }
    for run in target.states.list_map_runs(executionArn=execution)["mapRuns"]:
        counts = target.states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
        done |= {"objects": counts["total"], "done": counts["succeeded"], "at_work": counts["running"]}
        done["not_looked_at"] = counts["failed"] + counts["timedOut"] + counts["aborted"]
    if "error" in described:
        done["error"] = {"code": described["error"], "message": described.get("cause", "")}
    files = _not_started(target, execution)
    return done | {"not_started": len(files), "not_started_first": _said(target, files[:MOST_NAMED])}


def _not_started(target: Target, execution: str) -> list[str]:
    """The files of those that it could not start, as far as MOST_COUNTED."""
    bucket = target.outputs.get("ReportsBucketName")
    if bucket is None:  # a stack of before there were such files
        return []
    folder = f"{NOT_STARTED}{execution.rpartition(':')[2]}/"
    pages = target.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
    return list(islice((one["Key"] for page in pages for one in page.get("Contents", [])), MOST_COUNTED))


def _said(target: Target, files: Sequence[str]) -> list[Document]:
    """Each picture, and why it could not be started."""

    def read(file: str) -> Document:
        answer = target.s3.get_object(Bucket=target.output("ReportsBucketName"), Key=file)
        told = json.loads(answer["Body"].read())
        return {
            "key": told["key"],
            "error": {"code": told["failed"]["Error"], "message": told["failed"].get("Cause", "")},
        }

    with ThreadPoolExecutor(AT_ONCE) as reading:
        return sorted(reading.map(read, files), key=lambda one: str(one["key"]))


def outcomes(target: Target, far: Document, statuses: Sequence[str] = MADE) -> dict[str, Count]:
    """How many pictures below its prefix have come to each of these since it began, as far as MOST_COUNTED; some may be
    new uploads."""
    with ThreadPoolExecutor(len(statuses)) as workers:
        counted = workers.map(lambda status: results.count(target, status, MOST_COUNTED, **_of(far)), statuses)
        return dict(zip(statuses, counted, strict=True))


def failures(target: Target, far: Document, most: int) -> list[results.Row]:
    """The newest rows that `outcomes` counts as FAILED."""
    return list(islice(results.rows(target, "FAILED", **_of(far), at_once=most), most))


def _of(far: Document) -> dict[str, str]:
    """Which rows it may have written. What was at work when it was stopped came to its end a moment later."""
    until = results.written(far["stopped"] + AFTER_ITS_END) if far["stopped"] else results.LATEST
    return {"prefix": far["prefix"], "since": results.written(far["started"]), "until": until}


def listing(target: Target, most: int) -> list[str]:
    """The newest of them first."""
    machine = target.output("BackfillStateMachineArn")
    found = target.states.list_executions(stateMachineArn=machine, maxResults=most)
    return [one["executionArn"] for one in found["executions"]]


def is_by_a_person(execution: str) -> bool:
    """Or else the schedule has started it."""
    return BY_A_PERSON.fullmatch(execution.rpartition(":")[2]) is not None


def _can(target: Target, only: Only) -> None:
    """Raises TargetError."""
    if only == "captions" and "RecaptionStateMachineArn" not in target.outputs:
        off = f"stack {target.stack} in {target.name} makes no captions"
        raise TargetError(f"{off}: set captions.enabled and run `{target.deploy_with}`")


def _listed(target: Target, prefix: str, limit: int) -> Iterator[Sequence[Document]]:
    """A page of S3's at a time, each object as the state machine hands it on."""
    pages = target.s3.get_paginator("list_objects_v2").paginate(
        Bucket=target.output("UploadsBucketName"), Prefix=prefix, PaginationConfig={"MaxItems": limit}
    )
    for page in pages:
        yield [
            {
                "key": one["Key"],
                "etag": one["ETag"],
                "size": one["Size"],
                "modified": one["LastModified"].timestamp(),
            }
            for one in page.get("Contents", [])
        ]


def _count(target: Target, asked: Document) -> int:
    """How many of a batch need work. Raises TargetError."""
    function = target.output("BackfillFunctionName")
    answer = target.functions.invoke(FunctionName=function, Payload=json.dumps(asked).encode())
    said = answer["Payload"].read().decode(errors="replace")
    if "FunctionError" in answer:
        raise TargetError(f"{function} failed: {said}")
    return int(json.loads(said)["pictures"])


def _start(target: Target, asked: Document) -> Document:
    if running := _running(target):
        name = running[0].rpartition(":")[2]
        raise TargetError(f"the backfill {name} is running: `darkroom backfill --follow` shows it, --stop ends it")
    machine = target.output("BackfillStateMachineArn")
    name = f"{asked['only']}-{time.time_ns() // 1_000_000}"
    target.states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(asked))
    return progress(target, arn_of(machine, name))


def _newest(target: Target, named: re.Pattern[str] = ANY) -> str:
    """Raises TargetError if there is none of such a name."""
    machine = target.output("BackfillStateMachineArn")
    pages = target.states.get_paginator("list_executions").paginate(stateMachineArn=machine)
    for execution in (one for page in pages for one in page["executions"]):
        if named.fullmatch(execution["name"]):
            return execution["executionArn"]
    raise TargetError("there was no backfill yet: `darkroom backfill` starts one")


def _running(target: Target) -> list[str]:
    """The newest first."""
    machine = target.output("BackfillStateMachineArn")
    found = target.states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")
    return [one["executionArn"] for one in found["executions"]]


def _described(target: Target, execution: str) -> Any:
    return target.states.describe_execution(executionArn=execution)
