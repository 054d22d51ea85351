"""Many pictures at once while every function is broken on purpose, and what must add up afterwards.

What becomes of each picture is decided by its number alone, so that every count is known before the first upload.
`make test` runs it with 30 pictures, `make soak` with 300, `make soak WORKFLOW=express` with an Express workflow.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from darkroom.local.pictures import corrupt_jpeg, photo
from darkroom.pipeline import results
from darkroom.pipeline.executions import picture_key
from tests.e2e.conftest import Deployed, eventually
from tests.e2e.faulty import ALWAYS, Broken, Plan, faulty

# Each function at work is a process of this machine, so that pictures are let in by so many. What that takes is in
# docs/decisions/0028.
AT_ONCE = 4
TIMEOUT = 10  # seconds, for functions that are to run out of time; 60 as deployed
REDRIVES_A_SECOND = 1  # what two cores keep up with
STEPS = ("validate", "resize", "caption", "cleanup", "sweep")


@dataclass(frozen=True)
class Fate:
    """What meets a picture, and how it must end."""

    ends: str = "SUCCEEDED"
    step: str = ""  # whose function breaks
    faults: tuple[str, ...] = ()  # at the first attempt of each execution, the second, ...
    caption: str = "OK"
    data: bytes | None = None  # no picture at all
    overwrites: bool = False  # an older version was there before
    leaves: bool = False  # the older version's renditions, until a later run
    aborted: bool = False  # by a person, in Validate

    @property
    def plans(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        if self.faults:
            yield self.step, self.faults
        if self.aborted:
            yield "validate", ("out of time",)  # so that it is there to be aborted


# By the last digits of a picture's number. Those not named are good pictures that nothing happens to.
PERIOD = 30
FATES = {
    0: Fate("REJECTED", data=b""),
    1: Fate("FAILED", "validate", ("nonsense",) * ALWAYS),
    2: Fate("SUCCEEDED", "validate", ("raises",)),
    3: Fate("FAILED", "validate", ("out of memory",) * ALWAYS),
    5: Fate("SUCCEEDED", "resize", ("exits after",)),
    6: Fate("FAILED", "resize", ("raises",) * ALWAYS),
    7: Fate("FAILED", "resize", ("out of time",)),
    10: Fate("REJECTED", data=b"only words"),
    12: Fate("SUCCEEDED", "caption", ("exits",)),
    13: Fate("SUCCEEDED", "caption", ("raises",) * ALWAYS, caption="FAILED"),
    14: Fate("SUCCEEDED", "caption", ("nonsense",), caption="FAILED"),
    16: Fate("SUCCEEDED", "cleanup", ("raises",), overwrites=True),
    17: Fate("SUCCEEDED", "cleanup", ("exits",) * ALWAYS, overwrites=True, leaves=True),
    20: Fate("REJECTED", data=corrupt_jpeg()),
    21: Fate("FAILED", "sweep", ("raises",), aborted=True),
    22: Fate("FAILED", "sweep", ("exits after",), aborted=True),
}
DELIVERED_AGAIN = {1, 11, 20}  # while the first delivery is at work
UNPLANNED = Fate()


@dataclass(frozen=True)
class Picture:
    number: int

    @property
    def key(self) -> str:
        return f"raw/load/{self.number:03}.jpg"

    @property
    def folder(self) -> str:
        """Where its renditions are."""
        return self.key.removeprefix("raw/") + "/"

    @property
    def fate(self) -> Fate:
        return FATES.get(self.number % PERIOD, UNPLANNED)

    @property
    def delivered_again(self) -> bool:
        return self.number % PERIOD in DELIVERED_AGAIN


@dataclass
class Seen:
    """What the cloud holds of these pictures."""

    rows: dict[str, dict[str, Any]]
    executions: dict[str, list[dict[str, Any]]]
    letters: list[dict[str, Any]]
    files: dict[str, set[str]]  # renditions, by key of the picture
    wrong: list[str] = field(default_factory=list)

    def statuses(self) -> Counter[str]:
        return Counter(row["status"] for row in self.rows.values())

    def said(self) -> Counter[str]:
        """How executions ended: as their output says, else as Step Functions does."""
        return Counter(said(one) for found in self.executions.values() for one in found)


# Nobody can abort an Express execution. So these run out of time, once: the sweep starts them again, they meet the
# same fault, and have their time.
EXPRESS_LIMIT = 5  # seconds, of such an execution
EXPRESS_LEFT_ALONE = 60  # seconds: longer than any other takes, as 6 minutes are on AWS


class Load:
    """So many pictures on one deployed stack, which must have captions on and an empty queue."""

    def __init__(self, deployed: Deployed, pictures: int) -> None:
        self.deployed = deployed
        self.pictures = [Picture(number) for number in range(pictures)]
        self.good = photo(600, 400)
        self.machine = deployed.aws.output("StateMachineArn")
        self.uploads: Counter[str] = Counter()  # by key
        self.faults: list[dict[str, Any]] = []  # that were met
        self.express = deployed.aws.is_express

    def expected(self) -> dict[str, int]:
        """Each count that must come out."""
        ends = Counter(one.fate.ends for one in self.pictures)
        older = sum(one.fate.overwrites for one in self.pictures)
        again = sum(one.delivered_again for one in self.pictures)
        twice = sum(one.fate.aborted for one in self.pictures) if self.express else 0
        return {
            "pictures": len(self.pictures),
            "executions": len(self.pictures) + older + again + twice,
            "SUCCEEDED": ends["SUCCEEDED"],
            "REJECTED": ends["REJECTED"],
            "FAILED": ends["FAILED"],
            "letters": ends["FAILED"],
            "Duplicate": again,
            "captions FAILED": sum(one.fate.caption == "FAILED" for one in self.pictures),
            "left behind": len(self.left_behind()),
            "faults": sum(len(faults) for plan in self.plans().values() for faults in plan.values()) + twice,
        }

    def plans(self) -> dict[str, Plan]:
        plans: dict[str, dict[str, tuple[str, ...]]] = {step: {} for step in STEPS}
        for picture in self.pictures:
            for step, faults in picture.fate.plans:
                if step == "sweep" and self.express:  # which tells it of no end
                    continue
                plans[step][picture.key + (" small" if step == "resize" else "")] = faults
        plans["sweep"]["schedule"] = ("raises",)
        return plans

    def left_behind(self) -> set[str]:
        """The pictures whose older version's renditions stay, until a later run."""
        return {one.key for one in self.pictures if one.fate.leaves}

    def run(self, news: Callable[[str], object] = str) -> tuple[Seen, dict[str, int]]:
        """All uploads, through all faults, to their ends; what is there then, and its counts."""
        self._at_once(self._good_version, [one for one in self.pictures if one.fate.overwrites], news)
        short = {"Timeout": TIMEOUT}
        changes = {
            "validate": short,
            "resize": short,
            # As if five minutes had passed.
            "sweep": {"Environment": {"SECONDS_LEFT_ALONE": str(EXPRESS_LEFT_ALONE) if self.express else "0"}},
        }
        sweep = self.deployed.function("sweep")["FunctionName"]
        with faulty(self.deployed, self.plans(), changes=changes) as broken:
            pictures = self.pictures
            if self.express:
                with self._short_of_time():
                    cut_off = [one for one in pictures if one.fate.aborted]
                    self._at_once(lambda picture: self._way(picture, broken), cut_off, news)
                pictures = [one for one in pictures if not one.fate.aborted]
            self._at_once(lambda picture: self._way(picture, broken), pictures, news)
            eventually(lambda: self._swept(sweep, broken), "every row settled and every fault met")
            self.faults = broken.faults()
        seen = self.look(self.left_behind())
        return seen, self._counts(seen)

    def redrive(self) -> list[dict[str, Any]]:
        """The real command, with the faults gone; what it says, once all that it started has ended."""
        ran = self.deployed.darkroom("redrive", "--json", "--rate", str(REDRIVES_A_SECOND))
        ran.check_returncode()
        done = json.loads(ran.stdout)
        for one in done:
            self.deployed.execution(one["execution"])
        return done

    def clean_up(self) -> None:
        """The later run: what was left behind is uploaded once more, the faults gone."""
        self._at_once(self._good_version, [one for one in self.pictures if one.fate.leaves], str)

    def look(self, left_behind: Set[str] = frozenset()) -> Seen:
        keys = {one.key for one in self.pictures}
        executions: dict[str, list[dict[str, Any]]] = {key: [] for key in keys}
        for one in self.deployed.all_executions():
            key = picture_key(one["input"])
            if key in keys:
                executions[key].append(one)
        seen = Seen(
            rows={key: row for key in keys if (row := self.deployed.row(key))},
            executions=executions,
            letters=[one for one in letters(self.deployed) if one["key"] in keys],
            files={one.key: self.deployed.renditions(one.folder) for one in self.pictures},
        )
        seen.wrong += self._lost(seen)
        seen.wrong += self._twice(seen, left_behind)
        return seen

    def _lost(self, seen: Seen) -> Iterator[str]:
        sent = Counter(letter["key"] for letter in seen.letters)
        redrivable = {
            (letter["key"], letter["execution"], letter["event"]["detail"]["object"]["key"]) for letter in seen.letters
        }
        for key in sorted(seen.executions):
            row = seen.rows.get(key, {"status": "no row"})
            if row["status"] not in ("SUCCEEDED", "REJECTED", "FAILED"):
                yield f"{key}: lost, its row says {row['status']}"
            if sent[key] != (row["status"] == "FAILED"):
                yield f"{key}: {row['status']} and {sent[key]} letters"
            if row["status"] == "FAILED" and (key, row["execution"], key) not in redrivable:
                yield f"{key}: its letter cannot be redriven"
            if missing := named(row) - seen.files[key]:
                yield f"{key}: its row names {len(missing)} renditions that are not there"

    def _twice(self, seen: Seen, left_behind: Set[str]) -> Iterator[str]:
        for key, executions in sorted(seen.executions.items()):
            row = seen.rows.get(key, {"status": "no row"})
            failed = row["status"] == "FAILED"
            wrote = sum(said(one) in ("SUCCEEDED", "REJECTED") for one in executions)
            if wrote != self.uploads[key] - failed:
                yield f"{key}: {wrote} executions wrote, of {self.uploads[key]} uploads"
            leftovers = seen.files[key] - named(row)
            # What a failed one has made so far is its redrive's to overwrite.
            if leftovers and not failed and key not in left_behind:
                yield f"{key}: {len(leftovers)} renditions that its row does not name"

    def _counts(self, seen: Seen) -> dict[str, int]:
        statuses, said = seen.statuses(), seen.said()
        succeeded = [row for row in seen.rows.values() if row["status"] == "SUCCEEDED"]
        return {
            "pictures": sum(statuses.values()),
            "executions": sum(said.values()),
            "SUCCEEDED": statuses["SUCCEEDED"],
            "REJECTED": statuses["REJECTED"],
            "FAILED": statuses["FAILED"],
            "letters": len(seen.letters),
            "Duplicate": said["Duplicate"],
            "captions FAILED": sum(row["caption"]["status"] == "FAILED" for row in succeeded),
            "left behind": sum(bool(seen.files[row["key"]] - named(row)) for row in succeeded),
            "faults": len(self.faults),
        }

    def _at_once(
        self, way: Callable[[Picture], None], pictures: Sequence[Picture], news: Callable[[str], object]
    ) -> None:
        with ThreadPoolExecutor(AT_ONCE) as workers:
            ends = {workers.submit(way, picture): picture for picture in pictures}
            try:
                for count, end in enumerate(as_completed(ends), 1):
                    end.result()
                    news(f"{count} of {len(pictures)}: {ends[end].key}")
            finally:
                workers.shutdown(cancel_futures=True)

    def _good_version(self, picture: Picture) -> None:
        self.deployed.execution(self._upload(picture.key, self.good))

    def _upload(self, key: str, data: bytes) -> str:
        """The execution that it starts, once that has the row."""
        before = self.deployed.row(key).get("execution")
        self.deployed.upload(key, data)
        self.uploads[key] += 1

        def claimed() -> str | None:
            now = self.deployed.row(key).get("execution")
            return now if now != before else None

        return str(eventually(claimed, f"the execution of {key}"))

    def _way(self, picture: Picture, broken: Broken) -> None:
        deployed, fate = self.deployed, picture.fate
        execution = self._upload(picture.key, self.good if fate.data is None else fate.data)
        if fate.aborted and not self.express:
            eventually(lambda: execution in {fault["execution"] for fault in broken.faults()}, f"Validate of {picture}")
            deployed.aws.states.stop_execution(executionArn=execution, cause="a person stopped it")
        if picture.delivered_again:
            deployed.run(results.event(deployed.aws, deployed.row(picture.key)))
        ended = deployed.execution(execution)
        assert not (fate.aborted and self.express) or ended["status"] == "TIMED_OUT"

    @contextmanager
    def _short_of_time(self) -> Iterator[None]:
        """For the executions that start inside the block."""
        states = self.deployed.aws.states
        real = states.describe_state_machine(stateMachineArn=self.machine)["definition"]
        short = json.dumps({**json.loads(real), "TimeoutSeconds": EXPRESS_LIMIT})
        states.update_state_machine(stateMachineArn=self.machine, definition=short)
        try:
            yield
        finally:
            states.update_state_machine(stateMachineArn=self.machine, definition=real)

    def _swept(self, sweep: str, broken: Broken) -> bool:
        """What the schedule does every quarter of an hour; whether no row is PROCESSING, and every fault was met."""
        self.deployed.client("lambda").invoke(FunctionName=sweep, Payload=json.dumps({"source": "aws.events"}))
        at_work = [one for one in self.pictures if self.deployed.row(one.key)["status"] == "PROCESSING"]
        return not at_work and len(broken.faults()) >= self.expected()["faults"]  # more are a line of the counts


def letters(deployed: Deployed) -> list[dict[str, Any]]:
    """The body of each in the queue, and back they go."""
    sqs, queue = deployed.aws.sqs, deployed.aws.output("DeadLetterQueueUrl")
    found = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=60).get("Messages"):
        found += messages
    for message in found:
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    return [json.loads(message["Body"]) for message in found]


def named(row: Mapping[str, Any]) -> set[str]:
    """The files of the renditions that a row names."""
    return {one["key"] for one in row.get("renditions", {}).values()}


def said(execution: Mapping[str, Any]) -> str:
    """What an execution that succeeded says of its picture; of any other, how it ended."""
    status = str(execution["status"])
    return str(json.loads(execution["output"])["status"]) if status == "SUCCEEDED" else status
