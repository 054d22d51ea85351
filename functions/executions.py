"""Asks Step Functions what became of an execution, and starts one again: the only file of the functions that does."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import boto3

from functions.results import Results, results

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.literals import ExecutionStatusType

# Those first that cannot have sent their letter themselves: a sweep may run out of time.
BADLY: Sequence[ExecutionStatusType] = ("TIMED_OUT", "ABORTED", "FAILED")

# What a sweep leaves to others of the questions that Step Functions answers in an account: 15 a second about one
# execution and 5 listings, outside the largest regions 10 and 2.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
SECONDS_A_QUESTION = 0.2
SECONDS_A_PAGE = 0.5
PAGES = 200  # of 1,000 executions, in one listing

# The error of an execution whose letter could not be sent; its cause begins with the error that began it.
UNSENT = "LetterNotSent"

# The errors that no Catch sees.
UNCAUGHT = {"States.Runtime", "States.DataLimitExceeded"}

NAME_DIGITS = 40  # of a redrive's name, as the operator's tool has it

LONGEST_MESSAGE = 1024  # characters, as the state machine keeps of an error

# Of pictures whose executions died: what started them again is named by how often that was.
MOST_AGAIN = 3  # times, before that is a person's work
STARTED_AGAIN = re.compile(r"again-(\d+)-")
SECONDS_A_LOOK = 2  # at the rows of those that are at work again
SECONDS_AT_WORK = 300  # at most: an Express execution lasts no longer


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that is over. `how`: FAILED, TIMED_OUT, ABORTED, or STALLED where it should have settled its row.

    `sent_nothing`: certainly no letter; else its history knows. `stopped` is None where nobody knows when.
    """

    arn: str
    how: str
    event: dict[str, Any]
    error: dict[str, str]
    sent_nothing: bool = False
    stopped: datetime | None = None

    @property
    def was_cut_off(self) -> bool:
        """In whichever state it was."""
        return self.how in {"TIMED_OUT", "ABORTED"} or self.error["code"] in UNCAUGHT


class Executions:
    def __init__(
        self, states: SFNClient, machines: Sequence[str], rest: Callable[[float], object] = time.sleep
    ) -> None:
        self._states = states
        self._machines = machines
        self._rest = rest

    def can_tell_of(self, arn: str) -> bool:
        """Whether it is an execution of these machines: of an Express one, and of a machine that was replaced, Step
        Functions knows nothing."""
        return arn.rpartition(":")[0] in {
            machine.replace(":stateMachine:", ":execution:") for machine in self._machines
        }

    def ended_badly(self, stopped_since: datetime, started_since: datetime) -> Iterator[str]:
        """By status, of every machine, each the newest first, as Step Functions lists them: by their start."""
        for status in BADLY:
            for machine in self._machines:
                listed = (execution for page in self._pages(machine, status) for execution in page["executions"])
                for execution in takewhile(lambda one: one["startDate"] >= started_since, listed):
                    if execution.get("stopDate", stopped_since) >= stopped_since:
                        yield execution["executionArn"]

    def running(self) -> Iterator[str]:
        """Of every machine. Raises LookupError if one runs more than are listed: then nobody knows of the others."""
        for machine in self._machines:
            page: Any = {}
            for page in self._pages(machine, "RUNNING"):
                yield from (execution["executionArn"] for execution in page["executions"])
            if "nextToken" in page:
                raise LookupError(f"{machine} runs more than {PAGES * 1000:,} executions")

    def _pages(self, machine: str, status: ExecutionStatusType) -> Iterator[Any]:
        pages = self._states.get_paginator("list_executions").paginate(
            stateMachineArn=machine, statusFilter=status, PaginationConfig={"PageSize": 1000}
        )
        for page in islice(pages, PAGES):
            yield page
            self._rest(SECONDS_A_PAGE)

    def ended(self, arn: str) -> Ended | None:
        """None while it runs. Raises LookupError if it is not known: Step Functions forgets one after 90 days."""
        self._rest(SECONDS_A_QUESTION)
        try:
            found = self._states.describe_execution(executionArn=arn)
        except self._states.exceptions.ExecutionDoesNotExist:
            raise LookupError(arn) from None
        return None if found["status"] == "RUNNING" else _ended(found, found.get("stopDate"))

    def told(self, detail: Mapping[str, Any]) -> Ended | None:
        """By Step Functions' own event, which asks nobody. Without the input, as it comes where that is longer than
        some 248 KB, it is asked for."""
        if not detail.get("input"):
            return self.ended(detail["executionArn"])
        return _ended(detail, datetime.fromtimestamp(detail["stopDate"] / 1000, UTC))

    def has_sent_its_letter(self, arn: str) -> bool:
        """Whether it came out of the state DeadLetter other than by its Catch."""
        pages = self._states.get_paginator("get_execution_history").paginate(
            executionArn=arn, reverseOrder=True, includeExecutionData=False
        )
        sent = False
        for event in (event for page in pages for event in page["events"]):
            if event["type"] == "TaskSucceeded":
                sent = True
            elif event["type"] == "TaskStateEntered":
                return sent and event["stateEnteredEventDetails"]["name"] == "DeadLetter"
        return False


class Redrives:
    """Starts the image pipeline again for a picture that failed, as `darkroom redrive KEY` does for a picture without a
    letter: by the same name, so that both together start one execution."""

    def __init__(self, states: SFNClient, machine: str) -> None:
        self._states = states
        self._machine = machine

    def start(self, event: Mapping[str, Any], redrives: str) -> str:
        """The execution, which may take the picture's row over from the one that it redrives; or the one that is at it
        already."""
        given, after = json.dumps({**event, "redrives": redrives}), redrives
        while True:
            name = f"redrive-{sha256(after.encode()).hexdigest()[:NAME_DIGITS]}"
            execution = f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"
            try:
                return self._states.start_execution(stateMachineArn=self._machine, name=name, input=given)[
                    "executionArn"
                ]
            except self._states.exceptions.ExecutionAlreadyExists:
                if self._states.describe_execution(executionArn=execution)["status"] == "RUNNING":
                    return execution
            after = execution  # it died before it had the row: the next is named after it


class Again:
    """Starts the image pipeline again for pictures whose executions died and nobody else asks about, so many at once at
    most. Their rows tell when they are done."""

    def __init__(
        self,
        states: SFNClient,
        machine: str,
        results: Results,
        at_once: int,
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        self._states = states
        self._machine = machine
        self._results = results
        self._at_once = at_once
        self._rest = rest
        self._at_work: dict[str, datetime] = {}  # since when, by key

    def start(self, event: Mapping[str, Any], redrives: str) -> str:
        """The execution, which may take the row over from the one that died, and from no other."""
        name = f"again-{times_started_again(redrives) + 1}-{sha256(redrives.encode()).hexdigest()[:NAME_DIGITS]}"
        given = json.dumps({**event, "redrives": redrives})
        started = self._states.start_execution(stateMachineArn=self._machine, name=name, input=given)
        self._at_work[event["detail"]["object"]["key"]] = started["startDate"]
        return started["executionArn"]

    def waits_for_room(self, has_time: Callable[[], bool]) -> bool:
        """Whether there is any before the time is over."""
        while len(self._at_work) >= self._at_once:
            if not has_time():
                return False
            self._rest(SECONDS_A_LOOK)
            over = datetime.now(UTC) - timedelta(seconds=SECONDS_AT_WORK)
            rows = self._results.of(list(self._at_work))
            at_work = {key for key, row in rows.items() if row["status"] == "PROCESSING"}
            self._at_work = {key: at for key, at in self._at_work.items() if key in at_work and at > over}
        return True


def times_started_again(arn: str) -> int:
    """How often the picture of this execution was started again before, this execution included."""
    *_, name = arn.split(":")[:8]  # behind it an Express execution has an id
    found = STARTED_AGAIN.match(name)
    return int(found[1]) if found else 0


def event_of(row: Mapping[str, Any], bucket: str) -> dict[str, Any]:
    """The event of the upload or of the deletion, as far as the pipeline reads it. Which kind of deletion it was no
    longer matters: the row is its own already."""
    members = {"key": "key", "version_id": "version-id", "sequencer": "sequencer"}
    picture = {theirs: row[ours] for ours, theirs in members.items()}
    detail = {"bucket": {"name": bucket}, "object": picture}
    if "etag" not in row:
        deleted = {**detail, "deletion-type": "Delete Marker Created"}
        return {"source": "aws.s3", "detail-type": "Object Deleted", "detail": deleted}
    picture |= {"etag": row["etag"], "size": row["size"]}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _ended(found: Mapping[str, Any], stopped: datetime | None) -> Ended:
    """What Step Functions describes, and what its event tells, in the same words."""
    how = "STALLED" if found["status"] == "SUCCEEDED" else found["status"]
    code = found.get("error") or how
    message = found.get("cause") or f"the execution ended as {found['status']}"
    sent_nothing = code == UNSENT
    if sent_nothing:
        code, _, message = message.partition(": ")
    error = {"code": code, "message": message[:LONGEST_MESSAGE]}
    return Ended(found["executionArn"], how, json.loads(found["input"]), error, sent_nothing, stopped)


@cache
def executions() -> Executions:
    return Executions(boto3.client("stepfunctions"), os.environ["STATE_MACHINES"].split(","))


@cache
def again() -> Again | None:
    """None where Step Functions itself tells of what died."""
    if "STARTS_AGAIN" not in os.environ:
        return None
    at_once = int(os.environ["STARTS_AGAIN_AT_ONCE"])
    return Again(boto3.client("stepfunctions"), os.environ["STARTS_AGAIN"], results(), at_once)


@cache
def redrives() -> Redrives:
    return Redrives(boto3.client("stepfunctions"), os.environ["STATE_MACHINE"])
