"""Where the time of a picture goes, by the history of its execution and what its functions logged."""

import json
from datetime import UTC, datetime

import pytest

from benchmarks import whole
from benchmarks.whole import CALLS, HANDLERS, PIXELS, READS, ROWS, STARTS, STATES, UPLOAD, WRITES

BEGAN = 1_800_000_000.0


class History:
    """Events by the milliseconds after the upload began at which they came."""

    def __init__(self):
        self.events = []

    def add(self, kind, at, follows, **details):
        name = f"{kind[0].lower()}{kind[1:]}EventDetails"
        when = datetime.fromtimestamp(BEGAN + at / 1000, UTC)
        number = len(self.events) + 1
        self.events.append({"id": number, "previousEventId": follows, "type": kind, "timestamp": when, name: details})
        return number

    def task(self, entered, ended, follows, service, **parameters):
        """Scheduled 2 ms after its state was entered."""
        state = self.add("TaskStateEntered", entered, follows)
        told = {"resourceType": service, "resource": "invoke"}
        scheduled = self.add("TaskScheduled", entered + 2, state, **told, parameters=json.dumps(parameters))
        started = self.add("TaskStarted", entered + 2, scheduled, **told)
        done = self.add("TaskSucceeded", ended, started, **told)
        return self.add("TaskStateExited", ended + 1, done)


def note(what, began, ended, *, since=None, **spent):
    """`spent`: milliseconds and bytes."""
    works = {name: {"seconds": ms / 1000, "calls": 1, "bytes": size} for name, (ms, size) in spent.items()}
    times = {"began": BEGAN + began / 1000, "ended": BEGAN + ended / 1000, "since": since}
    return {"what": what, "execution": "arn", "spent": works, **times}


@pytest.fixture
def way():
    """Two renditions at the same time, of which `large` ends last; then the row, and an end that nobody waits for."""
    history = History()
    start = history.add("ExecutionStarted", 40, 0)
    validated = history.task(41, 100, start, "lambda", Payload={})
    begun = history.add("MapStateStarted", 102, validated)
    iterations = [history.add("MapIterationStarted", 103, begun) for _ in range(2)]
    ends = []
    for iteration, (name, ended) in zip(iterations, (("thumb", 150), ("large", 300)), strict=True):
        exited = history.task(104, ended, iteration, "lambda", Payload={"rendition": {"name": name}})
        ends.append(history.add("MapIterationSucceeded", ended + 1, exited))
    recorded = history.task(305, 320, ends[-1], "dynamodb")
    history.add("ExecutionSucceeded", 400, recorded)
    notes = {
        "Validate": note("Validate", 53, 90, since=BEGAN, read=(10, 5000), pixels=(20, 0)),
        "thumb": note("thumb", 110, 148, read=(10, 5000), pixels=(20, 0), write=(5, 30)),
        "large": note("large", 110, 290, read=(20, 5000), pixels=(140, 0), write=(6, 400)),
    }
    return whole._way(history.events, notes, BEGAN, cloud=0.05)


def milliseconds(times):
    return {part: round(seconds * 1000) for part, seconds in times.items()}


def test_the_parts_are_those_of_the_way_to_the_row_and_add_up_to_it(way):
    """Of the two renditions only the later one counts, of the row not what comes after it."""
    assert milliseconds(way.path) == {
        UPLOAD: 40,
        STARTS: 10,  # Validate, from 43 to 53, is the first call of its process
        CALLS: 10 + 4 + 10,  # back from Validate; to large, and back
        READS: 10 + 20,
        PIXELS: 20 + 140,
        WRITES: 6,
        HANDLERS: 37 - 30 + 180 - 166,
        ROWS: 13,
        STATES: (1 + 2) + (1 + 1 + 1) + (1 + 2) + 1 + (4 + 2),
    }
    assert round(way.seconds * 1000) == 320


def test_what_runs_at_the_same_time_is_in_the_sum_of_all_calls(way):
    everything = milliseconds(way.everything)
    assert (everything[READS], everything[PIXELS], everything[WRITES]) == (40, 180, 11)
    assert everything[CALLS] == 10 + 4 + 2 + 4 + 10


def test_calls_of_s3_and_their_bytes_are_counted(way):
    assert (way.calls[READS], way.bytes[READS]) == (3, 15_000)
    assert (way.calls[WRITES], way.bytes[WRITES]) == (2, 430)


def test_a_work_that_calls_another_does_not_count_its_time_twice(monkeypatch):
    """Validate reads the file while it examines it."""
    from benchmarks import timed

    now = iter([0.0, 1.0, 4.0, 10.0])
    monkeypatch.setattr(timed.time, "perf_counter", lambda: next(now))
    inner = timed.timed("read", lambda: b"12345", len)
    timed.timed("pixels", inner)()
    assert (timed._spent["read"]["seconds"], timed._spent["pixels"]["seconds"]) == (3.0, 7.0)
    assert timed._spent["read"]["bytes"] == 5
