"""Asks Step Functions what became of an execution: the only file of the functions that does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.literals import ExecutionStatusType

# Those first that cannot have sent their letter themselves: a sweep may run out of time.
BADLY: Sequence[ExecutionStatusType] = ("TIMED_OUT", "ABORTED", "FAILED")

LONGEST_MESSAGE = 1024  # characters, as the state machine keeps of an error


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that is over. `how`: FAILED, TIMED_OUT, ABORTED, or STALLED where it should have settled its row."""

    arn: str
    how: str
    event: dict[str, Any]
    error: dict[str, str]
    has_sent_its_letter: bool


class Executions:
    def __init__(self, states: SFNClient, machines: Sequence[str]) -> None:
        self._states = states
        self._machines = machines

    def ended_badly(self, started_since: datetime) -> Iterator[str]:
        """By status, of every machine, each the newest first, as Step Functions lists them."""
        for status in BADLY:
            for machine in self._machines:
                pages = self._states.get_paginator("list_executions").paginate(
                    stateMachineArn=machine, statusFilter=status, PaginationConfig={"PageSize": 1000}
                )
                found = (execution for page in pages for execution in page["executions"])
                for execution in takewhile(lambda one: one["startDate"] >= started_since, found):
                    yield execution["executionArn"]

    def ended(self, arn: str) -> Ended | None:
        """None while it runs. Raises LookupError if it is not known: Step Functions forgets one after 90 days."""
        try:
            found = self._states.describe_execution(executionArn=arn)
        except self._states.exceptions.ExecutionDoesNotExist:
            raise LookupError(arn) from None
        if found["status"] == "RUNNING":
            return None
        how = "STALLED" if found["status"] == "SUCCEEDED" else found["status"]
        error = {
            "code": found.get("error") or how,
            "message": (found.get("cause") or f"the execution ended as {found['status']}")[:LONGEST_MESSAGE],
        }
        return Ended(arn, how, json.loads(found["input"]), error, self._has_sent_its_letter(arn))

    def _has_sent_its_letter(self, arn: str) -> bool:
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


@cache
def executions() -> Executions:
    return Executions(boto3.client("stepfunctions"), os.environ["STATE_MACHINES"].split(","))
