"""What a burst of uploads does to the pipeline, and which limit of AWS a steady stream of them reaches first.

A simulation, because a burst on AWS costs an account and money. It reads the order of the states and their retriers
from the deployed ASL file, and AWS's limits from `QUOTAS`; what it takes for granted beside them stands below in
capitals. `make scale` prints all tables, and ends with 1 if a burst failed a picture: docs/scale.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.report import begin, show, tick
from darkroom.pipeline.backfill import SECONDS_OF_PICTURE, Estimate
from darkroom.text import about

ASL = Path(__file__).resolve().parent.parent / "statemachine" / "image_pipeline.asl.json"

PLACES = (10, 50, 100, 1_000)  # for functions at work at the same time, in the account or reserved
PICTURES = (200, 500, 1_000, 5_000, 20_000)  # uploaded at once
RATES = (10, 100, 1_000, 10_000)  # uploads a second, for good
WHERE = {"big regions": "big", "other regions": "other", "a new account": "new"}

OBJECTS = (1_000_000, 100_000_000)  # of a backfill; the second is the most that a Map lists
AT_ONCE = (100, 1_000)  # its pictures

# How often each Map runs its states, and which way the Choice takes: a new and good picture in the default settings.
ITEMS = {"Renditions": 4, "Captions": 0, "Leftovers": 0}
CHOSEN = {"Accepted?": "Renditions"}

# Seconds of a call, which vary by half. Lambda's are an assumption: 2.0 for the five calls of a photo, where
# `make bench` measures 0.55 s of CPU here; AWS's processors are slower, and S3 takes its time.
SECONDS = {"lambda": 0.4, "dynamodb": 0.01}
COLD_START = 1.1  # seconds more, once for each place
STATE = 0.02  # seconds from one state to the next

# What a write adds to the index `by-status`, in write units: the row goes in as PROCESSING, out there, and in as
# SUCCEEDED, where it has more than 1 KB.
INDEX = {"Claim": {"PROCESSING": 1}, "Record": {"PROCESSING": 1, "SUCCEEDED": 2}}

USD_A_TRANSITION = 0.025 / 1_000  # a retry is one: https://aws.amazon.com/step-functions/pricing/


@dataclass(frozen=True, slots=True)
class Quota:
    """A second, but `places`. `big`: us-east-1, us-west-2 and eu-west-1; `new`: an account of which AWS knows little.

    `at_once`: what may come at once after a quiet time, in big and other regions, where it is more.
    """

    name: str
    big: int
    other: int
    new: int
    source: str
    at_once: tuple[int, int] | None = None


_STEP_FUNCTIONS = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"
_PARTITION = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"
QUOTAS = {
    "places": Quota(  # of a new account AWS says only "reduced"; 10 is what such accounts report
        "Lambda: functions at work at the same time",
        *(1_000, 1_000, 10),
        source="https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
    ),
    "transitions": Quota(  # of a new account AWS says only "reduced"
        "Step Functions: transitions", *(5_000, 800, 800), source=_STEP_FUNCTIONS, at_once=(5_000, 800)
    ),
    "starts": Quota("Step Functions: StartExecution", *(300, 150, 150), source=_STEP_FUNCTIONS, at_once=(1_300, 800)),
    "events": Quota(  # of other regions the lowest
        "EventBridge: invocations of targets",
        *(18_750, 750, 750),
        source="https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html",
    ),
    "index": Quota("DynamoDB: writes to one status of the index", *(1_000, 1_000, 1_000), source=_PARTITION),
    "table": Quota(
        "DynamoDB: writes to the table",
        *(40_000, 40_000, 40_000),
        source="https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html",
    ),
    "puts": Quota(
        "S3: writes under one prefix",
        *(3_500, 3_500, 3_500),
        source="https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
    ),
}


@dataclass(frozen=True, slots=True)
class Retrier:
    errors: frozenset[str]
    attempts: int
    interval: float  # seconds, as all of them
    rate: float
    longest: float


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    service: str
    retriers: tuple[Retrier, ...]


@dataclass(frozen=True, slots=True)
class AtOnce:
    """A Map: each of its ways begins when it does."""

    ways: tuple[Way, ...]


Way = tuple["Task | AtOnce", ...]
NOTHING = AtOnce(())  # a state that calls nothing


def way_of(machine: dict[str, Any]) -> Way:
    """What a good picture goes through, one entry for each state that it enters."""

    def steps() -> Iterator[Task | AtOnce]:
        name = machine["StartAt"]
        while name:
            state = machine["States"][name]
            match state["Type"]:
                case "Task":
                    yield _task(name, state)
                case "Map":
                    yield AtOnce((way_of(state["ItemProcessor"]),) * ITEMS[name])
                case _:
                    yield NOTHING
            name = CHOSEN[name] if state["Type"] == "Choice" else state.get("Next")

    return tuple(steps())


def _task(name: str, state: dict[str, Any]) -> Task:
    service = state["Resource"].removeprefix("arn:aws:states:::").split(":")[0]
    retriers = (
        Retrier(
            frozenset(one["ErrorEquals"]),
            one["MaxAttempts"],
            one.get("IntervalSeconds", 1),
            one.get("BackoffRate", 2),
            one.get("MaxDelaySeconds", float("inf")),
        )
        for one in state["Retry"]
    )
    return Task(name, service, tuple(retriers))


def entered(way: Way) -> int:
    """How many states: a transition each."""
    return sum(1 + (sum(map(entered, step.ways)) if isinstance(step, AtOnce) else 0) for step in way)


def calls(way: Way, service: str) -> int:
    return sum(
        sum(calls(one, service) for one in step.ways) if isinstance(step, AtOnce) else step.service == service
        for step in way
    )


class Bucket:
    """As AWS counts: `size` at once, `rate` more a second."""

    def __init__(self, size: float, rate: float) -> None:
        self.size, self.rate, self.tokens, self.last = size, rate, size, 0.0

    def take(self, now: float, tokens: float = 1) -> float:
        """When they are there, which may be later: whoever asks waits."""
        self._fill(now)
        self.tokens -= tokens
        return now - min(self.tokens, 0) / self.rate

    def has(self, now: float, tokens: float) -> bool:
        self._fill(now)
        return self.tokens >= tokens

    def _fill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.last) * self.rate)
        self.last = now


@dataclass(slots=True)
class Picture:
    began: float = 0.0
    ended: float = 0.0
    failed: bool = False


@dataclass
class Burst:
    """What became of so many pictures, uploaded at once to a big region, where they come fastest. Times in seconds."""

    places: int
    pictures: list[Picture]
    least_seconds: float  # all places at work without a pause
    retries: int = 0
    refused: dict[str, int] = field(default_factory=lambda: {"lambda": 0, "dynamodb": 0})

    @property
    def failed(self) -> int:
        return sum(picture.failed for picture in self.pictures)

    def done_after(self, share: float) -> float:
        ends = sorted(picture.ended for picture in self.pictures)
        return ends[max(0, round(share * len(ends)) - 1)]

    @property
    def row(self) -> tuple[object, ...]:
        number = len(self.pictures)
        cost = self.retries * USD_A_TRANSITION
        return (
            *(f"{self.places:,}", f"{number:,}", f"{self.failed:,}"),
            *(about(self.done_after(0.5)), about(self.done_after(1))),
            about(self.least_seconds),
            *(f"{self.retries / number:.1f}", f"{cost:.2f}", f"{1_000 * cost / number:.2f}"),
        )


class Cloud:
    """The account through which a burst goes: a queue of what happens when."""

    def __init__(self, machine: dict[str, Any], *, places: int, pictures: int, seed: int = 1) -> None:
        self.way, self.limit = way_of(machine), machine["TimeoutSeconds"]
        least = pictures * calls(self.way, "lambda") * SECONDS["lambda"] / places
        self.burst = Burst(places, [Picture() for _ in range(pictures)], least)
        self.free, self.cold = places, places
        self.starts, self.transitions = (
            Bucket(quota.at_once[0] if quota.at_once else quota.big, quota.big)
            for quota in (QUOTAS["starts"], QUOTAS["transitions"])
        )
        self.index = {
            status: Bucket(QUOTAS["index"].big, QUOTAS["index"].big) for status in ("PROCESSING", "SUCCEEDED")
        }
        self.random = Random(seed)
        self.now, self._order, self._ahead = 0.0, 0, list[tuple[float, int, Callable[[], None]]]()

    def at(self, when: float, happens: Callable[[], None]) -> None:
        self._order += 1
        heappush(self._ahead, (when, self._order, happens))

    def run(self) -> Burst:
        for picture in self.burst.pictures:
            picture.began = self.starts.take(0)
            self.at(picture.began, partial(self.go, picture, self.way, 0, partial(self.end, picture)))
        while self._ahead:
            self.now, _, happens = heappop(self._ahead)
            happens()
        return self.burst

    def go(self, picture: Picture, way: Way, index: int, then: Callable[[], None]) -> None:
        """Through the states from that one on, and then on."""
        if index == len(way):
            then()
            return
        step, after = way[index], partial(self.go, picture, way, index + 1, then)
        when = self.transitions.take(self.now) + STATE
        if isinstance(step, Task):
            self.at(when, partial(self.attempt, picture, step, [0] * len(step.retriers), after))
        elif step.ways:
            self.at(when, partial(self.spread, picture, step.ways, after))
        else:
            self.at(when, after)

    def spread(self, picture: Picture, ways: Sequence[Way], then: Callable[[], None]) -> None:
        waiting = len(ways)

        def one_is_through() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                then()

        for way in ways:
            self.go(picture, way, 0, one_is_through)

    def attempt(self, picture: Picture, task: Task, tries: list[int], then: Callable[[], None]) -> None:
        if picture.failed:  # by another of its renditions: Step Functions ends the others
            return
        error = self.refusal(task)
        if error is None:
            seconds = SECONDS[task.service] * self.random.uniform(0.5, 1.5)
            if task.service == "lambda":
                self.free -= 1
                if self.cold:
                    self.cold, seconds = self.cold - 1, seconds + COLD_START
                self.at(self.now + seconds, partial(self.answer, then))
            else:
                self.at(self.now + seconds, then)
            return
        self.burst.refused[task.service] += 1
        number, retrier = next(
            (i, one) for i, one in enumerate(task.retriers) if one.errors & {error, "States.TaskFailed"}
        )
        if tries[number] == retrier.attempts:
            picture.failed, picture.ended = True, self.now
            return
        pause = self.random.uniform(0, min(retrier.interval * retrier.rate ** tries[number], retrier.longest))
        tries[number] += 1
        self.burst.retries += 1
        self.at(self.now + pause, partial(self.again, picture, task, tries, then))

    def again(self, picture: Picture, task: Task, tries: list[int], then: Callable[[], None]) -> None:
        """A retry is a transition too, and waits where there are too many."""
        when = self.transitions.take(self.now)
        if when > self.now:
            self.at(when, partial(self.attempt, picture, task, tries, then))
        else:
            self.attempt(picture, task, tries, then)

    def refusal(self, task: Task) -> str | None:
        """The error of a call that is refused now, and of one that is not what it takes."""
        if task.service == "lambda":
            return None if self.free else "Lambda.TooManyRequestsException"
        writes = INDEX.get(task.name, {})
        if not all(self.index[status].has(self.now, units) for status, units in writes.items()):
            return "DynamoDB.ThrottlingException"
        for status, units in writes.items():
            self.index[status].take(self.now, units)
        return None

    def answer(self, then: Callable[[], None]) -> None:
        self.free += 1
        then()

    def end(self, picture: Picture) -> None:
        picture.ended = self.now
        picture.failed = self.now - picture.began > self.limit


def bursts(machine: dict[str, Any]) -> Iterator[Burst]:
    for places in PLACES:
        for pictures in PICTURES:
            yield Cloud(machine, places=places, pictures=pictures).run()


def first_limits(way: Way) -> Iterator[tuple[str, str, str, str]]:
    """Of each rate of uploads and each kind of account: the limit that lets the fewest pictures through."""
    for rate in RATES:
        for kind, member in WHERE.items():
            limit, lets = _first_limit(demand(way), member)
            yield f"{rate:,}", kind, limit if lets < rate else "none", f"{lets:,.0f}"


def demand(way: Way) -> dict[str, float]:
    """What a picture takes of each quota."""
    return {
        "places": calls(way, "lambda") * SECONDS["lambda"],
        "transitions": entered(way),
        "starts": 1,
        "events": 1,
        "index": max(sum(of.get(status, 0) for of in INDEX.values()) for status in ("PROCESSING", "SUCCEEDED")),
        "table": 3,  # the row of 1 KB, and of up to 2 KB
        "puts": ITEMS["Renditions"],
    }


def _first_limit(of_one: dict[str, float], member: str) -> tuple[str, float]:
    """And how many a second it lets through."""
    lets = {QUOTAS[name].name: getattr(QUOTAS[name], member) / taken for name, taken in of_one.items() if taken}
    return min(lets.items(), key=lambda limit: limit[1])


def backfills(way: Way) -> Iterator[tuple[str, ...]]:
    """Of so many objects, of which none needs anything or all do, with so many pictures at once: the price, the time,
    and what keeps it from being shorter. Before the pictures' first limit that is the number at once."""
    again = demand(way)
    again |= {
        "places": again["places"] + SECONDS["lambda"],  # Cleanup, because each has a row
        "transitions": again["transitions"] + 2,  # and the one that waits
        "events": 0,
    }
    for objects in OBJECTS:
        for at_once in AT_ONCE:
            looked_at = Estimate("stale", "", objects, 0, at_once)
            looking = looked_at.seconds
            yield f"{objects:,}", "none", f"{at_once:,}", "any", "none", about(looking), f"{looked_at.usd:,.0f}"
            for kind in ("big regions", "other regions"):
                limit, lets = _first_limit(again, WHERE[kind])
                asked = at_once / SECONDS_OF_PICTURE
                whole, made = looking + objects / min(lets, asked), Estimate("stale", "", objects, objects)
                reached = limit if lets < asked else "none"
                yield f"{objects:,}", "all", f"{at_once:,}", kind, reached, about(whole), f"{made.usd:,.0f}"


def main() -> int:
    machine = json.loads(ASL.read_text())
    way = way_of(machine)
    begin(f"{entered(way)} transitions and {calls(way, 'lambda')} calls of functions a picture")
    done = []
    for burst in bursts(machine):
        done.append(burst)
        tick()
    columns = ("places", "pictures", "failed", "half done", "all done", "at best", "retries each", "USD", "USD/1,000")
    show(columns, (burst.row for burst in done))
    show(("uploads/s", "where", "first limit", "pictures/s it lets through"), first_limits(way))
    show(("objects", "to make", "at once", "where", "first limit", "time", "USD"), backfills(way))
    return 1 if any(burst.failed for burst in done) else 0


if __name__ == "__main__":
    sys.exit(main())
