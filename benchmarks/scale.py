"""What a burst of uploads does to the pipeline, and which limit of AWS a steady stream of them reaches first.

A simulation, because a burst on AWS costs an account and money. It reads the order of the states and their retriers
from the deployed ASL file, and AWS's limits from `QUOTAS`; what it takes for granted beside them stands below in
capitals. `make scale` prints all tables, for a Standard workflow and for an Express one, whose executions end after
five minutes and whose pictures the sweep starts again. It ends with 1 if a burst failed a picture: docs/scale.md.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.cost import AN_EXPRESS_GB_SECOND, AN_EXPRESS_REQUEST, EXPRESS_GB
from benchmarks.report import begin, show, tick
from darkroom.pipeline.backfill import SECONDS_OF_PICTURE, Estimate
from darkroom.text import about
from functions.executions import MOST_AGAIN, SECONDS_A_LOOK
from stacks.express import in_five_minutes
from stacks.operations import STARTED_AGAIN_AT_ONCE, SWEEPS_EVERY
from stacks.steps import LEFT_ALONE_EXPRESS, TIMEOUT_OF_THE_SWEEP

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
# `make bench` measures 0.41 s of CPU here; AWS's processors are slower, and S3 takes its time.
SECONDS = {"lambda": 0.4, "dynamodb": 0.01}
COLD_START = 1.1  # seconds more, once for each place
STATE = 0.02  # seconds from one state to the next

# What a write adds to the index `by-status`, in write units: the row goes in as PROCESSING, out there, and in as
# SUCCEEDED, where it has more than 1 KB.
INDEX = {"Claim": {"PROCESSING": 1}, "Record": {"PROCESSING": 1, "SUCCEEDED": 2}}

USD_A_TRANSITION = 0.025 / 1_000  # a retry is one: https://aws.amazon.com/step-functions/pricing/
USD_A_LOGGED_RETRY = 2_000 * 0.50 / 1e9  # of an Express execution, whose three events have some 2 kB


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
    "express starts": Quota("Step Functions: StartExecution, Express", *(6_000, 6_000, 6_000), source=_STEP_FUNCTIONS),
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
    ended: float = 0.0
    failed: bool = False
    again: int = 0  # times


@dataclass(slots=True)
class Execution:
    picture: Picture
    began: float
    over: bool = False
    ended: float = 0.0


@dataclass
class Burst:
    """What became of so many pictures, uploaded at once to a big region, where they come fastest. Times in seconds."""

    places: int
    pictures: list[Picture]
    least_seconds: float  # all places at work without a pause
    express: bool = False
    retries: int = 0
    executions: list[Execution] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=lambda: {"lambda": 0, "dynamodb": 0})

    @property
    def failed(self) -> int:
        return sum(picture.failed for picture in self.pictures)

    @property
    def usd(self) -> float:
        """Of the retries; of an Express workflow also of what its executions waited, as all of their time."""
        if not self.express:
            return self.retries * USD_A_TRANSITION
        seconds = sum(one.ended - one.began for one in self.executions)
        again = len(self.executions) - len(self.pictures)
        of_time = seconds * EXPRESS_GB * AN_EXPRESS_GB_SECOND + again * AN_EXPRESS_REQUEST
        return of_time + self.retries * USD_A_LOGGED_RETRY

    def done_after(self, share: float) -> float:
        ends = sorted(picture.ended for picture in self.pictures)
        return ends[max(0, round(share * len(ends)) - 1)]

    @property
    def row(self) -> tuple[object, ...]:
        number = len(self.pictures)
        return (
            *(f"{self.places:,}", f"{number:,}", f"{self.failed:,}"),
            *(about(self.done_after(0.5)), about(self.done_after(1))),
            about(self.least_seconds),
            *(f"{self.retries / number:.1f}", f"{self.usd:.2f}", f"{1_000 * self.usd / number:.2f}"),
            *([f"{sum(picture.again > 0 for picture in self.pictures):,}"] if self.express else []),
        )


class Cloud:
    """The account through which a burst goes: a queue of what happens when."""

    def __init__(
        self, machine: dict[str, Any], *, places: int, pictures: int, express: bool = False, seed: int = 1
    ) -> None:
        self.way, self.limit = way_of(machine), machine["TimeoutSeconds"]
        least = pictures * calls(self.way, "lambda") * SECONDS["lambda"] / places
        self.burst = Burst(places, [Picture() for _ in range(pictures)], least, express)
        self.free, self.cold = places, places
        self.starts, self.transitions = (
            Bucket(quota.at_once[0] if quota.at_once else quota.big, quota.big)
            for quota in (QUOTAS["express starts" if express else "starts"], QUOTAS["transitions"])
        )
        self.express = express
        self.dead = deque[tuple[float, Picture]]()  # by the time from which on a sweep looks at their rows
        self.swept: list[Execution] = []  # what a sweep has started and may be at work
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
            self.start(picture)
        if self.express:
            self.at(SWEEPS_EVERY.to_seconds(), self.sweep)
        while self._ahead:
            self.now, _, happens = heappop(self._ahead)
            happens()
        return self.burst

    def start(self, picture: Picture) -> Execution:
        one = Execution(picture, self.starts.take(self.now))
        self.burst.executions.append(one)
        self.at(one.began, partial(self.go, one, self.way, 0, partial(self.end, one)))
        self.at(one.began + self.limit, partial(self.time_out, one))
        return one

    def transition(self) -> float:
        """When there is one. An Express workflow has as many as it takes."""
        return self.now if self.express else self.transitions.take(self.now)

    def go(self, one: Execution, way: Way, index: int, then: Callable[[], None]) -> None:
        """Through the states from that one on, and then on."""
        if one.over:
            return
        if index == len(way):
            then()
            return
        step, after = way[index], partial(self.go, one, way, index + 1, then)
        when = self.transition() + STATE
        if isinstance(step, Task):
            self.at(when, partial(self.attempt, one, step, [0] * len(step.retriers), after))
        elif step.ways:
            self.at(when, partial(self.spread, one, step.ways, after))
        else:
            self.at(when, after)

    def spread(self, one: Execution, ways: Sequence[Way], then: Callable[[], None]) -> None:
        waiting = len(ways)

        def one_is_through() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                then()

        for way in ways:
            self.go(one, way, 0, one_is_through)

    def attempt(self, one: Execution, task: Task, tries: list[int], then: Callable[[], None]) -> None:
        if one.over:  # by its time, or by another of its renditions: Step Functions ends the others
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
            self.fail(one)
            return
        pause = self.random.uniform(0, min(retrier.interval * retrier.rate ** tries[number], retrier.longest))
        tries[number] += 1
        self.burst.retries += 1
        self.at(self.now + pause, partial(self.again, one, task, tries, then))

    def again(self, one: Execution, task: Task, tries: list[int], then: Callable[[], None]) -> None:
        """A retry is a transition too, and waits where there are too many."""
        when = self.transition()
        if when > self.now:
            self.at(when, partial(self.attempt, one, task, tries, then))
        else:
            self.attempt(one, task, tries, then)

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

    def end(self, one: Execution) -> None:
        one.over, one.ended, one.picture.ended = True, self.now, self.now

    def fail(self, one: Execution) -> None:
        self.end(one)
        one.picture.failed = True

    def time_out(self, one: Execution) -> None:
        if one.over:
            return
        if not self.express or one.picture.again == MOST_AGAIN:
            self.fail(one)
            return
        self.end(one)
        self.dead.append((one.began + LEFT_ALONE_EXPRESS, one.picture))

    def sweep(self) -> None:
        """One call of it, and the next."""
        until = self.now + TIMEOUT_OF_THE_SWEEP.to_seconds()
        self.start_again(self.now, until)
        if self.dead or not all(one.over for one in self.burst.executions):
            self.at(self.now + SWEEPS_EVERY.to_seconds(), self.sweep)

    def start_again(self, began: float, until: float) -> None:
        """What the call found as it began, so many at once."""
        self.swept = [one for one in self.swept if not one.over]
        while self.dead and self.dead[0][0] <= began and len(self.swept) < STARTED_AGAIN_AT_ONCE:
            _, picture = self.dead.popleft()
            picture.again += 1
            self.swept.append(self.start(picture))
        if self.dead and self.dead[0][0] <= began and self.now + SECONDS_A_LOOK < until:
            self.at(self.now + SECONDS_A_LOOK, partial(self.start_again, began, until))


def bursts(machine: dict[str, Any], *, express: bool = False) -> Iterator[Burst]:
    for places in PLACES:
        for pictures in PICTURES:
            yield Cloud(machine, places=places, pictures=pictures, express=express).run()


def first_limits(way: Way, *, express: bool = False) -> Iterator[tuple[str, str, str, str]]:
    """Of each rate of uploads and each kind of account: the limit that lets the fewest pictures through."""
    for rate in RATES:
        for kind, member in WHERE.items():
            limit, lets = _first_limit(demand(way, express=express), member)
            yield f"{rate:,}", kind, limit if lets < rate else "none", f"{lets:,.0f}"


def demand(way: Way, *, express: bool = False) -> dict[str, float]:
    """What a picture takes of each quota."""
    return {
        "places": calls(way, "lambda") * SECONDS["lambda"],
        **({"express starts": 1} if express else {"starts": 1, "transitions": entered(way)}),
        "events": 1,
        "index": max(sum(of.get(status, 0) for of in INDEX.values()) for status in ("PROCESSING", "SUCCEEDED")),
        "table": 3,  # the row of 1 KB, and of up to 2 KB
        "puts": ITEMS["Renditions"],
    }


def _first_limit(of_one: dict[str, float], member: str) -> tuple[str, float]:
    """And how many a second it lets through."""
    lets = {QUOTAS[name].name: getattr(QUOTAS[name], member) / taken for name, taken in of_one.items() if taken}
    return min(lets.items(), key=lambda limit: limit[1])


def backfills(way: Way, *, express: bool = False) -> Iterator[tuple[str, ...]]:
    """Of so many objects, of which none needs anything or all do, with so many pictures at once: the price, the time,
    and what keeps it from being shorter. Before the pictures' first limit that is the number at once."""
    again = demand(way, express=express)
    again |= {
        "places": again["places"] + SECONDS["lambda"],  # Cleanup, because each has a row
        "transitions": 1 if express else again["transitions"] + 2,  # and the one that waits
        "events": 0,
        "express starts": 0,  # who waits for an Express execution has no quota of starts
    }
    for objects in OBJECTS:
        for at_once in AT_ONCE:
            looked_at = Estimate("stale", "", objects, 0, at_once, express)
            looking = looked_at.seconds
            yield f"{objects:,}", "none", f"{at_once:,}", "any", "none", about(looking), f"{looked_at.usd:,.0f}"
            for kind in ("big regions", "other regions"):
                limit, lets = _first_limit(again, WHERE[kind])
                asked = at_once / SECONDS_OF_PICTURE
                whole = looking + objects / min(lets, asked)
                made = Estimate("stale", "", objects, objects, express=express)
                reached = limit if lets < asked else "none"
                yield f"{objects:,}", "all", f"{at_once:,}", kind, reached, about(whole), f"{made.usd:,.0f}"


def main() -> int:
    text = ASL.read_text()
    way = way_of(json.loads(text))
    begin(f"{entered(way)} transitions and {calls(way, 'lambda')} calls of functions a picture")
    columns = ("places", "pictures", "failed", "half done", "all done", "at best", "retries each", "USD", "USD/1,000")
    done = []
    for kind, machine in (("standard", text), ("express", in_five_minutes(text))):
        express = kind == "express"
        of_kind = []
        for burst in bursts(json.loads(machine), express=express):
            of_kind.append(burst)
            tick()
        begin(f"workflow: {kind}")
        show((*columns, *(["started again"] if express else [])), (burst.row for burst in of_kind))
        limits = first_limits(way, express=express)
        show(("uploads/s", "where", "first limit", "pictures/s it lets through"), limits)
        of_objects = ("objects", "to make", "at once", "where", "first limit", "time", "USD")
        show(of_objects, backfills(way, express=express))
        done += of_kind
    return 1 if any(burst.failed for burst in done) else 0


if __name__ == "__main__":
    sys.exit(main())
