"""Which executions there are, and what happened in one: as Step Functions keeps it, or out of the log of a machine.

Step Functions lists no Express execution, describes none and keeps no history of one. The log of its machine has each
event of the history as a line. Both are told here in the words of ListExecutions, DescribeExecution and
GetExecutionHistory.

https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
"""

import json
import re
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, Protocol

from darkroom.errors import TargetError

Told = dict[str, Any]  # of an execution, as DescribeExecution has it
Line = dict[str, Any]  # of the log

LONGEST = timedelta(minutes=5)  # of an Express execution
LATE = timedelta(minutes=1)  # so long after its event may a line come into the log
PAGES = 5  # of a window of the log, 1 MB each: then a shorter one is read
REQUESTS = 60  # for one question; an account may send some 5 to 10 a second
WIDER = 8  # times, each window that goes further back
REMEMBERED = 10_000  # executions, some 2 KB each
UNFOLDED = 50  # executions with all their lines
SECOND = 1000  # milliseconds
NEAR = (5 * SECOND, 40 * SECOND)  # to a known time of an execution most of it is

CUT = " … (cut off: a line of the log has 248 KB of it)"
NOT_THERE = "it is not in the log of its state machine, which is some seconds behind"
NO_END = "its end is not in the log, and no Express execution lasts longer than 5 minutes"

ENDS = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionAborted": "ABORTED",
}


class NoExecutionError(TargetError):
    """`why` is what may have become of it."""

    def __init__(self, execution: str, where: str, why: str) -> None:
        super().__init__(f"no execution {execution} in {where}: {why}")
        self.why = why


class UnknownPlaceError(TargetError):
    """The token is none that was given out, or no longer holds."""

    def __init__(self) -> None:
        super().__init__("this page of executions is no longer known: start with the newest")


class History(Protocol):
    """Of the executions of one machine. `before` is a time at which the execution had begun, as
    rows have it, if somebody knows one."""

    machine: str  # its ARN

    def note(self, *, of_list: bool = False) -> str | None:
        """What a person must know who reads it."""

    def listed(self, *, status: str | None, limit: int, token: str | None) -> tuple[list[Told], str | None]:
        """So many executions at most, newest first, and the token of those that follow, None at the end. Raises
        UnknownPlaceError."""

    def described(self, execution: str, before: str | None = None, /) -> Told:
        """Raises NoExecutionError."""

    def events(self, execution: str, before: str | None = None, /) -> Iterator[Any]:
        """In their order."""

    def definition(self, execution: str, /) -> tuple[str, datetime | None]:
        """Of the machine as it was when the execution started, and when it had become so. Without a time: as it is
        now, because nobody remembers how it was."""


class Kept:
    """By Step Functions, for 90 days."""

    def __init__(self, states: Any, machine: str, where: str) -> None:
        self.machine = machine
        self._states, self._where = states, where

    def note(self, *, of_list: bool = False) -> None:  # noqa: ARG002 - as History has it
        return None

    def listed(self, *, status: str | None, limit: int, token: str | None) -> tuple[list[Told], str | None]:
        options = {"statusFilter": status, "nextToken": token}
        asked = {name: value for name, value in options.items() if value}
        try:
            answer = self._states.list_executions(stateMachineArn=self.machine, maxResults=limit, **asked)
        except self._states.exceptions.InvalidToken:
            raise UnknownPlaceError from None
        return list(answer["executions"]), answer.get("nextToken")

    def described(self, execution: str, _: str | None = None, /) -> Told:
        try:
            return dict(self._states.describe_execution(executionArn=execution))
        except (self._states.exceptions.ExecutionDoesNotExist, self._states.exceptions.InvalidArn):
            raise NoExecutionError(execution, self._where, "Step Functions keeps one for 90 days") from None

    def events(self, execution: str, _: str | None = None, /) -> Iterator[Any]:
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return (event for page in pages for event in page["events"])

    def definition(self, execution: str, /) -> tuple[str, datetime | None]:
        answer = self._states.describe_state_machine_for_execution(executionArn=execution)
        return answer["definition"], answer.get("updateDate", datetime.min.replace(tzinfo=UTC))  # moto tells none


class _Reading:
    """A part of the log, read from its end back: between these times, in milliseconds. At first nothing is read."""

    def __init__(self, end: int, *, goes_on: bool) -> None:
        self.since = self.until = self.ahead = end  # ahead of its end, ends alone are read
        self.goes_on = goes_on  # its end is now
        self.known: dict[str, Told] = {}  # by ARN; without a start those of which only the end was read

    @property
    def is_empty(self) -> bool:
        return self.since == self.until

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if line["type"] == "ExecutionStarted" or line["type"] in ENDS:
                arn = line["execution_arn"]
                self.known[arn] = self.known.get(arn, {"executionArn": arn}) | _said(line)

    def found(self, status: str | None = None, place: tuple[int, str] | None = None) -> list[Told]:
        """Those of this status that started before that place, newest first."""
        started = [_so_far(one) for one in self.known.values() if "startDate" in one]
        found = [(_milliseconds(one["startDate"]), one["executionArn"], one) for one in started]
        wanted = [
            (at, arn, one)
            for at, arn, one in found
            if at >= self.since and status in (None, one["status"]) and (place is None or (at, arn) < place)
        ]
        return [one for _, _, one in sorted(wanted, key=lambda each: each[:2], reverse=True)]

    def at_work(self) -> bool:
        """Whether it has a start without an end."""
        return any("startDate" in one and "status" not in one for one in self.known.values())

    def forget(self) -> None:
        """The oldest half."""
        if newest := self.found()[: len(self.known) // 2]:
            self.known = {one["executionArn"]: self.known[one["executionArn"]] for one in newest}
            self.since = _milliseconds(newest[-1]["startDate"])


class Logged:
    """In the log of a machine. The newest part of it is remembered: the next look reads only what came since.

    FilterLogEvents gives the oldest of a span of time first. So the newest are found by windows from now back, each
    eight times as long as the one before while one answer is enough. A window that is too much for a few is made
    shorter.
    """

    def __init__(self, logs: Any, states: Any, group: str, machine: str, *, where: str, created: datetime) -> None:
        self.machine = machine
        self._logs, self._states, self.group, self._where = logs, states, group, where
        self._begin = _milliseconds(created - timedelta(days=1))  # this clock may differ from the cloud's
        self._lock = RLock()
        self._newest = _Reading(0, goes_on=True)
        self._window = AROUND
        self._unfolded: OrderedDict[str, tuple[list[Line], int]] = OrderedDict()  # and until when that holds

    def note(self, *, of_list: bool = False) -> str:
        said = "From the log of the state machine, which is some seconds behind"
        if not of_list or self._newest.is_empty or self._newest.since <= self._begin:
            return said
        return f"{said}, and was read back to {_time(self._newest.since):%Y-%m-%d %H:%M:%S} UTC"

    def listed(self, *, status: str | None, limit: int, token: str | None) -> tuple[list[Told], str | None]:
        """Fewer than there are, with a token, where REQUESTS did not find more."""
        place = _place(token)
        with self._lock:
            reading, asked = self._beginning(place)
            while True:
                found = reading.found(status, place)
                is_all = not reading.is_empty and reading.since <= self._oldest(status)
                if len(found) >= limit or is_all or (asked >= REQUESTS and not reading.is_empty):
                    break
                asked += self._go_back(reading)
        if len(found) > limit or (len(found) == limit and not is_all):
            last = found[limit - 1]
            return found[:limit], f"{_milliseconds(last['startDate'])}:{last['executionArn']}"
        return found, None if is_all else f"{reading.since}:"

    def described(self, execution: str, before: str | None = None, /) -> Told:
        lines = self._whole(execution, before)
        if not lines:
            raise NoExecutionError(execution, self._where, NOT_THERE)
        told = {"executionArn": execution, "startDate": _at(lines[0])}
        for line in lines:
            told |= _said(line)
        return _so_far(told)

    def events(self, execution: str, before: str | None = None, /) -> Iterator[Any]:
        return map(event, self._whole(execution, before))

    def definition(self, _: str, /) -> tuple[str, datetime | None]:
        return self._states.describe_state_machine(stateMachineArn=self.machine)["definition"], None

    def _beginning(self, place: tuple[int, str] | None) -> tuple[_Reading, int]:
        """Where to look for what started before that place, or for the newest; and how many requests that took."""
        if place is None:
            asked = self._catch_up()
            return self._newest, asked
        if not self._newest.is_empty and self._newest.since <= place[0]:
            return self._newest, 0
        return self._reading(place[0] + 1, goes_on=False), 0

    def _reading(self, end: int, *, goes_on: bool) -> _Reading:
        self._window = min(self._window, AROUND)
        return _Reading(end, goes_on=goes_on)

    def _oldest(self, status: str | None) -> int:
        """The time before which nothing can be of this status."""
        if status == "RUNNING":
            return max(self._begin, _now() - AROUND)
        return self._begin

    def _catch_up(self) -> int:
        """Read what was written since the last look; how many requests it took. After a long time, or where that was
        too much, all begins anew."""
        now, asked, newest = _now(), 0, self._newest
        if not newest.is_empty and now - newest.until < AROUND:
            lines, complete, asked = self._read(EXECUTIONS, newest.until - _length(LATE), None, PAGES)
            if complete:
                newest.add(lines)
                newest.until = now
                if len(newest.known) > REMEMBERED:
                    newest.forget()
                return asked
        self._newest = self._reading(now, goes_on=True)
        return asked

    def _go_back(self, reading: _Reading) -> int:
        since = max(reading.since - self._window, self._begin)
        until = None if reading.is_empty and reading.goes_on else reading.since - 1
        most = PAGES if self._window > SECOND else None  # or it would never end
        lines, complete, asked = self._read(EXECUTIONS, since, until, most)
        if not complete:
            self._window = max(self._window // WIDER, SECOND)
            return asked
        reading.add(lines)
        reading.since = since
        if asked == 1:
            self._window *= WIDER
        return asked if reading.goes_on else asked + self._add_ends(reading)

    def _add_ends(self, reading: _Reading) -> int:
        """Of the executions that were at work where this reading ends; what started behind that is not asked for."""
        asked, step, last = 0, NEAR[0], min(reading.until + AROUND, _now())
        while reading.at_work() and reading.ahead < last and asked < REQUESTS:
            lines, _, some = self._read(EXECUTIONS, reading.ahead, reading.ahead + step, REQUESTS - asked)
            reading.add(lines)
            reading.ahead, step, asked = reading.ahead + step + 1, step * WIDER, asked + some
        return asked

    def _whole(self, execution: str, before: str | None) -> list[Line]:
        """All that the log has of it by now, each event once and in their order. Remembered once it is over; else for a
        second, in which one view asks twice."""
        if not re.fullmatch(r'[^\s"*\\]+', execution):
            return []
        with self._lock:
            lines, holds_until = self._unfolded.get(execution, ([], 0))
            if _now() < holds_until:
                return lines
            started = self._newest.known.get(execution, {}).get("startDate")
        hint = started or _read_time(before)
        lines = self._around(execution, _milliseconds(hint)) if hint else []
        if not lines and (at := self._somewhere(execution, hint or datetime.now(UTC))):
            lines = self._around(execution, at)
        ended = _end(lines)
        is_over = ended is not None and _now() - ended > _length(LATE)
        with self._lock:
            self._unfolded[execution] = lines, sys.maxsize if is_over else _now() + SECOND
            if len(self._unfolded) > UNFOLDED:
                self._unfolded.popitem(last=False)
        return lines

    def _around(self, execution: str, at: int) -> list[Line]:
        """Its lines around that time, from the first to the last. Of a busy log nobody could read all of the minutes
        that it may have taken."""
        lines: list[Line] = []
        for far in (*NEAR, AROUND):
            found, _, _ = self._read(_of(execution), at - far, at + far, REQUESTS)
            by_id = {int(line["id"]): line for line in found if line["execution_arn"] == execution}
            lines = [by_id[number] for number in sorted(by_id)]
            begun = bool(lines) and lines[0]["type"] == "ExecutionStarted"
            if begun and (_end(lines) is not None or at + far >= _now()):
                break
        return lines

    def _somewhere(self, execution: str, before: datetime) -> int | None:
        """The time of one of its lines, looked for from that time back."""
        since = _milliseconds(before) + AROUND
        window, asked = 2 * AROUND, 0
        while since > self._begin and asked < REQUESTS:
            until, since = since, max(since - window, self._begin)
            lines, complete, some = self._read(_of(execution), since, until, PAGES)
            asked += some
            found = [line for line in lines if line["execution_arn"] == execution]
            if found:
                return _milliseconds(_at(found[0]))
            if complete or window <= SECOND:
                window *= WIDER
            else:
                since, window = until, window // WIDER
        return None

    def _read(self, pattern: str, since: int, until: int | None, pages: int | None) -> tuple[list[Line], bool, int]:
        """The lines of that time that fit the pattern, whether these are all, and how many requests it took."""
        asked = {"logGroupName": self.group, "filterPattern": pattern, "startTime": since}
        if until is not None:
            asked["endTime"] = until
        lines: list[Line] = []
        requests = 0
        while True:
            answer = self._logs.filter_log_events(**asked)
            lines += _parsed(answer["events"])
            token, requests = answer.get("nextToken"), requests + 1
            if token is None or requests == pages:
                return lines, token is None, requests
            asked["nextToken"] = token


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/matching-terms-json-log-events.html
EXECUTIONS = '{ $.type = "Execution*" }'


def _of(execution: str) -> str:
    return f'{{ $.execution_arn = "{execution}" }}'


def _parsed(events: Sequence[Any]) -> Iterator[Line]:
    """What is an event of an execution."""
    for one in events:
        try:
            line = json.loads(one["message"])
            if {"id", "type", "execution_arn", "event_timestamp"} <= line.keys():
                yield line
        except (ValueError, AttributeError):
            continue


def event(line: Line) -> dict[str, Any]:
    """As GetExecutionHistory gives it. Of data that AWS cut off, or left out of the log, the rest says so."""
    kind, details = line["type"], dict(line.get("details") or {})
    for name in ("input", "output"):
        if details.get(f"{name}Details", {}).get("truncated"):
            details[name] = f"{details.get(name, '')}{CUT}"
    told = {
        "id": int(line["id"]),
        "previousEventId": int(line.get("previous_event_id", 0)),
        "type": kind,
        "timestamp": _at(line),
    }
    return told | ({_details_of(kind): details} if details else {})


def _details_of(kind: str) -> str:
    """The member with the details: one for the entry into all kinds of states, and one for the exit."""
    for common in ("StateEntered", "StateExited"):
        if kind.endswith(common):
            kind = common
    return f"{kind[0].lower()}{kind[1:]}EventDetails"


def _said(line: Line) -> Told:
    """What this line tells of its execution as a whole."""
    kind, at = line["type"], _at(line)
    details: dict[str, Any] = event(line).get(_details_of(kind), {})
    told: Told = {name: details[name] for name in ("input", "output", "error", "cause") if name in details}
    if kind == "ExecutionStarted":
        return {"startDate": at, **told}
    return {"status": ENDS[kind], "stopDate": at, **told} if kind in ENDS else {}


def _so_far(told: Told) -> Told:
    """With its name, and with a status where the log has no end of it."""
    told = {**told, "name": told["executionArn"].split(":")[7]}
    if "status" in told:
        return told
    if datetime.now(UTC) - told["startDate"] < LONGEST + LATE:
        return {**told, "status": "RUNNING"}
    return {**told, "status": "TIMED_OUT", "stopDate": told["startDate"] + LONGEST, "cause": NO_END}


def _place(token: str | None) -> tuple[int, str] | None:
    if not token:
        return None
    at, _, arn = token.partition(":")
    if not at.isdecimal():
        raise UnknownPlaceError
    return int(at), arn


def _read_time(text: str | None) -> datetime | None:
    """None also for what is no time: addresses have it, which anybody may have written."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else None


def _end(lines: Sequence[Line]) -> int | None:
    return next((int(line["event_timestamp"]) for line in lines if line["type"] in ENDS), None)


def _at(line: Line) -> datetime:
    return _time(int(line["event_timestamp"]))


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _now() -> int:
    return _milliseconds(datetime.now(UTC))


def _length(time: timedelta) -> int:
    """In milliseconds."""
    return int(time.total_seconds() * 1000)


AROUND = _length(LONGEST + LATE)  # a line of an execution, all others of it are
