"""Where the time of a picture goes on the local cloud: pixels, S3, starts of functions, the state machine, the rest.

The history of an execution says when each call of it began and ended. What of a call was pixels or S3 is logged by
`timed.py`, in a layer that is put into the functions here. Pictures go through one at a time, of two commits in turns.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.local import ROOT, Checkout, checkouts
from benchmarks.photos import Photo
from benchmarks.report import Figure, begin, show, tick

PICTURES = 9  # of each size, after those that warm the functions up
WARMING = 4
SMALL = (640, 480)
FIRST, OF_LARGE, OF_SMALL = "the first picture", "a photo", "a small photo"

PATIENCE = 120.0  # seconds
POLL = 0.2  # seconds between two looks at a row: each look takes CPU from what is looked at

# What each function's handler becomes.
TIMED = {f"functions.{step}.handler": f"timed.{step}" for step in ("validate", "resize")}

UPLOAD = "the upload, until the execution begins"
STATES = "the state machine, between its calls"
ROWS = "DynamoDB"
STARTS = "starts of functions"
CALLS = "to the functions and back"
READS, PIXELS, WRITES = "S3: reads", "pixels: decode, scale, encode", "S3: writes"
HANDLERS = "the rest of the handlers"
PARTS = (UPLOAD, STATES, ROWS, STARTS, CALLS, READS, PIXELS, WRITES, HANDLERS)
CPU = "CPU of the local cloud's own process"
SPENT = {"read": READS, "pixels": PIXELS, "write": WRITES, "client": STARTS}  # as timed.py calls them

Event = Mapping[str, Any]  # of a history
Note = Mapping[str, Any]  # of timed.py
Times = dict[str, float]  # seconds, by part


@dataclass(frozen=True, slots=True)
class Way:
    """Of one picture, from the moment its upload began to that of its row. `path`: what it waited for. `everything`:
    the calls of all renditions, which run at the same time."""

    path: Times
    everything: Times
    bytes: Times
    calls: Times
    cloud: float  # seconds of CPU of the cloud's own process

    @property
    def seconds(self) -> float:
        return sum(self.path.values())


def measure(photos: Sequence[Photo], against: str | None = None) -> list[Figure]:
    """Of the first photo, which has 12 megapixels if it is drawn, and of a small one."""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name, _clouds(Path(name), against) as clouds:
        found = _ways(clouds, photos[0].data)
    _show([*found.values()][-1])
    if len(found) > 1:
        _compare(found)
    return []


def _show(ways: Mapping[str, Sequence[Way]]) -> None:
    kinds = "path", "everything"
    rows = [
        (part, *(f"{_median(one, kind, part) * 1000:.0f}" for one in ways.values() for kind in kinds)) for part in PARTS
    ]
    together = (text for one in ways.values() for text in (f"{_whole(one) * 1000:.0f}", ""))
    columns = (f"{size}: {what}" for size in ways for what in ("waited for", "all calls"))
    show(("ms", *columns), [*rows, ("together", *together)])

    def of_s3(ways: Sequence[Way], part: str) -> str:
        return f"{_median(ways, 'calls', part):.0f}, {_median(ways, 'bytes', part) / 1e6:.2f}"

    cpu = (f"{_cloud(one) * 1000:.0f}" for one in ways.values())
    show(
        ("", *ways),
        [
            *((f"{part}, calls and MB", *(of_s3(one, part) for one in ways.values())) for part in (READS, WRITES)),
            (CPU, *cpu),
        ],
    )


def _compare(found: Mapping[str, Mapping[str, Sequence[Way]]]) -> None:
    old, new = found.values()
    for size in new:
        both = old[size], new[size]
        rows = [(part, [_median(one, "path", part) for one in both]) for part in PARTS]
        rows += [("together", [_whole(one) for one in both]), (CPU, [_cloud(one) for one in both])]
        ms = ((part, a * 1000, b * 1000) for part, (a, b) in rows)
        columns = f"{size}, ms waited for", *found, "ratio"
        show(columns, [(part, f"{a:.0f}", f"{b:.0f}", f"{b / a:.2f}" if a else "") for part, a, b in ms])


def _median(ways: Sequence[Way], what: str, part: str) -> float:
    return float(median(getattr(way, what).get(part, 0.0) for way in ways))


def _whole(ways: Sequence[Way]) -> float:
    return median(way.seconds for way in ways)


def _cloud(ways: Sequence[Way]) -> float:
    return median(way.cloud for way in ways)


def _ways(clouds: Mapping[str, Pictures], data: bytes) -> dict[str, dict[str, list[Way]]]:
    from darkroom.local.pictures import photo

    sizes = {OF_LARGE: data, OF_SMALL: photo(*SMALL)}
    found = {name: {FIRST: [pictures.way(data)]} for name, pictures in clouds.items()}
    begin(f"pictures on the local cloud of {' and '.join(clouds)}")
    for size, data in sizes.items():
        for number in range(WARMING + PICTURES):
            tick()
            for name, pictures in clouds.items():
                way = pictures.way(data)
                if number >= WARMING:
                    found[name].setdefault(size, []).append(way)
    return found


@contextmanager
def _clouds(scratch: Path, against: str | None) -> Iterator[dict[str, Pictures]]:
    """Each with the stack as AWS would have it by default, and the clocks in it."""
    if against is None:
        own = Checkout(ROOT, scratch / "home")
        try:
            yield {"this checkout": _started(own)}
        finally:
            own.down()
        return
    with checkouts(scratch, against) as both:
        for checkout in both.values():
            checkout.run("make", "install")
        yield {name: _started(checkout) for name, checkout in both.items()}


def _started(checkout: Checkout) -> Pictures:
    from darkroom.local.cloud import running
    from darkroom.pipeline.target import local

    begin(f"deploying {checkout.folder}")
    off = ("api.enabled", "delivery.enabled", "events.enabled")  # which the local cloud turns on
    checkout.darkroom("up", *(word for name in off for word in ("--set", f"{name}=false")))
    cloud = running(checkout.home)
    assert cloud is not None
    target = local(cloud)
    return Pictures(target, cloud.pid, _log_groups_of_timed(target))


def _log_groups_of_timed(target: Any) -> list[str]:
    """Of the functions, which have the clock from now on."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as layer:
        layer.write(Path(__file__).with_name("timed.py"), "python/timed.py")
    published = target.functions.publish_layer_version(LayerName="timed", Content={"ZipFile": archive.getvalue()})
    functions = [one for one in target.functions.list_functions()["Functions"] if one["Handler"] in TIMED]
    for one in functions:
        target.functions.update_function_configuration(
            FunctionName=one["FunctionName"],
            Handler=TIMED[one["Handler"]],
            Layers=[*(layer["Arn"] for layer in one["Layers"]), published["LayerVersionArn"]],
        )
    for one in functions:
        target.functions.get_waiter("function_updated_v2").wait(FunctionName=one["FunctionName"])
    return [one["LoggingConfig"]["LogGroup"] for one in functions]


class Pictures:
    """Sends pictures through one cloud."""

    def __init__(self, target: Any, pid: int, log_groups: Sequence[str]) -> None:
        self._target, self._pid, self._log_groups = target, pid, log_groups
        self._number = 0

    def way(self, data: bytes) -> Way:
        """Of a new picture, to the end of its execution."""
        self._number += 1
        key = f"{self._target.upload_prefix}{self._number}.jpg"
        s3, bucket = self._target.s3, self._target.output("UploadsBucketName")  # the client is made before it counts
        cpu, began = self._cpu(), time.time()
        s3.put_object(Bucket=bucket, Key=key, Body=data)
        execution = self._ended(key)
        cpu = self._cpu() - cpu
        pages = self._target.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        events = [event for page in pages for event in page["events"]]
        return _way(events, self._notes(execution, began), began, cpu)

    def _ended(self, key: str) -> str:
        """The execution of the picture, when that is over."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(POLL)
            row = self._target.results.get_item(Key={"key": key}).get("Item", {})
            if row.get("status") not in (None, "PROCESSING"):
                execution = str(row["execution"])
                status = self._target.states.describe_execution(executionArn=execution)["status"]
                if row["status"] != "SUCCEEDED":
                    raise SystemExit(f"{key}: {row}")
                if status == "SUCCEEDED":
                    return execution
        raise SystemExit(f"{key} has no row after {PATIENCE:.0f} s")

    def _notes(self, execution: str, since: float) -> dict[str, Note]:
        """What the functions logged of it, by what they did."""
        notes = dict[str, Note]()
        for group in self._log_groups:
            pages = self._target.logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=int(since * 1000), filterPattern='{ $.message = "timed" }'
            )
            lines = (json.loads(event["message"]) for page in pages for event in page["events"])
            notes |= {line["timed"]["what"]: line["timed"] for line in lines if line["timed"]["execution"] == execution}
        return notes

    def _cpu(self) -> float:
        """Seconds of the cloud's process, without those that it started. Linux only, by 1/100 s."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


def _way(events: Sequence[Event], notes: Mapping[str, Note], began: float, cloud: float) -> Way:
    """Each event follows another: the times between them, added up along the way to the row and for all."""
    by_id = {event["id"]: event for event in events}
    at = {number: event["timestamp"].timestamp() for number, event in by_id.items()}
    spans = {number: _span(by_id, at, number, notes) for number in by_id if by_id[number]["previousEventId"]}
    upload = {UPLOAD: at[1] - began}
    recorded = max(number for number, event in by_id.items() if _is_written(event))
    path = [recorded]
    while by_id[path[-1]]["previousEventId"]:
        path.append(by_id[path[-1]]["previousEventId"])
    used = [spent for note in notes.values() for spent in note["spent"].items()]
    return Way(
        _added([upload, *(spans[number] for number in path if number in spans)]),
        _added([upload, *(span for number, span in spans.items() if number <= recorded)]),
        _added({SPENT[what]: spent["bytes"]} for what, spent in used),
        _added({SPENT[what]: spent["calls"]} for what, spent in used),
        cloud,
    )


def _is_written(event: Event) -> bool:
    return bool(event["type"] == "TaskSucceeded" and event["taskSucceededEventDetails"]["resourceType"] == "dynamodb")


def _span(events: Mapping[int, Event], at: Mapping[int, float], number: int, notes: Mapping[str, Note]) -> Times:
    """What the time before an event went to."""
    event, before = events[number], events[number]["previousEventId"]
    seconds = at[number] - at[before]
    if event["type"] != "TaskSucceeded":
        return {STATES: seconds}
    if event["taskSucceededEventDetails"]["resourceType"] != "lambda":
        return {ROWS: seconds}
    scheduled = events[events[before]["previousEventId"]]["taskScheduledEventDetails"]
    note = notes[_called(json.loads(scheduled["parameters"]))]
    return _of_call(note, at[before], at[number])


def _called(parameters: Mapping[str, Any]) -> str:
    """As timed.py names it."""
    return str(parameters["Payload"].get("rendition", {"name": "Validate"})["name"])


def _of_call(note: Note, began: float, ended: float) -> Times:
    """A call from its first moment to its last. The first one of a process waits for that."""
    times = defaultdict(float, {SPENT[what]: spent["seconds"] for what, spent in note["spent"].items()})
    times[HANDLERS] = note["ended"] - note["began"] - sum(times.values())
    times[STARTS if note["since"] else CALLS] += note["began"] - began
    times[CALLS] += ended - note["ended"]
    return dict(times)


def _added(times: Iterable[Times]) -> Times:
    total: Counter[str] = Counter()
    for one in times:
        total.update(one)  # which adds, and keeps what is negative
    return dict(total)
