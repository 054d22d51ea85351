"""How a picture went its way: the executions, and of one its states with duration, errors and retries."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from darkroom.pipeline import results
from darkroom.pipeline.histories import NoExecutionError
from darkroom.pipeline.target import Target, machine_of

Summary = dict[str, Any]

REDRIVE = "redrive-"  # the name of an execution that `darkroom redrive` started begins so
LATEST_CHANGE = timedelta(minutes=1)  # so long after an update, executions may start by the machine as it was before
MOST_AT_ONCE = 1000  # executions in one answer of ListExecutions


@dataclass
class State:
    """One visit to one state. `failures` are the errors of its attempts; a retry may have mended them."""

    name: str
    kind: str
    entered: datetime
    input: Any
    inside: "State | None" = None  # the Parallel or Map it ran in
    iteration: int | None = None
    item: str | None = None  # what tells this iteration from the others: the name in its item, else its number
    length: int | None = None  # of a Map, how many iterations
    exited: datetime | None = None
    output: Any = None
    attempts: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)

    @property
    def duration(self) -> float | None:
        return None if self.exited is None else (self.exited - self.entered).total_seconds()

    @property
    def retries(self) -> int:
        return max(0, self.attempts - 1)

    @property
    def is_over(self) -> bool:
        """Left, or given up when what it ran in was left: an iteration that fails ends the others."""
        return self.exited is not None or (self.inside is not None and self.inside.is_over)

    @property
    def depth(self) -> int:
        return 0 if self.inside is None else self.inside.depth + 1

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.kind,
            "inside": self.inside.name if self.inside else None,
            "iteration": self.iteration,
            "item": self.item,
            "entered": self.entered,
            "exited": self.exited,
            "seconds": self.duration,
            "retries": self.retries,
            "errors": self.failures,
            "input": self.input,
            "output": self.output,
        }


def recent(target: Target, *, status: str | None = None, limit: int = 20) -> list[Summary]:
    """The newest executions, each with the key of its picture, which only its input tells."""
    found: list[Summary] = []
    token = None
    in_a_log = note(target) is not None
    while True:
        some = find(target, status=status, token=token, limit=min(limit - len(found), MOST_AT_ONCE), told={})
        found, token = found + some.executions, some.older
        if token is None or len(found) >= limit or (in_a_log and not some.executions):
            return found


def note(target: Target) -> str | None:
    """What a person must know who reads a list of executions; None where it is simply true."""
    return target.history(target.output("StateMachineArn")).note(of_list=True)


def listing(
    target: Target, *, status: str | None = None, limit: int | None = None, token: str | None = None
) -> tuple[list[Any], str | None]:
    """What ListExecutions says, which is not the pictures, in one request: as many executions, newest first, and the
    token of those that follow, None at the end. Raises UnknownPlaceError."""
    history = target.history(target.output("StateMachineArn"))
    return history.listed(status=status, limit=limit or MOST_AT_ONCE, token=token)


def summaries(target: Target, listed: Sequence[Any], told: MutableMapping[str, Summary]) -> list[Summary]:
    """Executions of ListExecutions, each with its picture and with the verdict of one that ended: REJECTED and
    Duplicate are successes too.

    A log tells both. Where Step Functions lists them, rows tell both of nearly all, and cost it nothing; only the rest
    are described, once at work and once when they have ended. `told` remembers, by ARN.
    """
    known = {arn: told[arn] for one in listed if (arn := one["executionArn"]) in told}
    for look in (_by_themselves, _by_rows, _by_description):
        if new := [one for one in listed if _changed(one, known)]:
            known |= look(target, new, known)
    told.update(known)
    return [known[one["executionArn"]] for one in listed]


def _changed(listed: Any, told: Mapping[str, Summary]) -> bool:
    before = told.get(listed["executionArn"])
    return before is None or before["status"] != listed["status"]


def _by_themselves(_: Target, listed: Sequence[Any], __: object) -> dict[str, Summary]:
    return {one["executionArn"]: _summary(one) for one in listed if "input" in one}


def _by_rows(target: Target, listed: Sequence[Any], told: Mapping[str, Summary]) -> dict[str, Summary]:
    """Those whose rows tell of them: by their keys, and of those whose key is not known by the time they ran."""
    keys = {told[arn]["key"] for one in listed if (arn := one["executionArn"]) in told}
    rows = list(results.of(target, sorted(keys - {None})))
    if unknown := [one for one in listed if one["executionArn"] not in told]:
        since = results.written(min(one["startDate"] for one in unknown))
        ends = [one.get("stopDate") for one in unknown]
        until = results.LATEST if None in ends else results.written(max(ends) + LATEST_CHANGE)
        between = results.rows(target, since=since, until=until, at_once=len(unknown))
        rows += islice(between, 2 * len(unknown))  # others' rows are among them
    by_execution = {row["execution"]: row for row in rows if "execution" in row}
    found = {}
    for one in listed:
        arn, running = one["executionArn"], one["status"] == "RUNNING"
        row = by_execution.get(arn)
        if row and (running or row["status"] in results.ENDED):
            redrive = told[arn]["redrive"] if arn in told else one["name"].startswith(REDRIVE)
            verdict = None if running else row["status"]
            found[arn] = {**_times(one), "key": row["key"], "redrive": redrive, "verdict": verdict}
    return found


def _by_description(target: Target, listed: Sequence[Any], _: object) -> dict[str, Summary]:
    with ThreadPoolExecutor(8) as workers:
        found = workers.map(lambda one: described(target, one["executionArn"]), listed)
        # by the status it was listed with, which the next list will say too
        return {one["executionArn"]: {**said, **_times(one)} for one, said in zip(listed, found, strict=True)}


def described(target: Target, execution: str) -> Summary:
    """As one of `summaries`, of that execution alone. Raises NoExecutionError."""
    return _summary(target.history(execution).described(execution))


def those(target: Target, arns: Sequence[str], told: MutableMapping[str, Summary]) -> dict[str, Summary]:
    """Of these executions the ones that there are, as `summaries`; of the newest, all in one request."""
    listed = {one["executionArn"]: one for one in listing(target)[0]}
    found = {one["execution"]: one for one in summaries(target, [listed[arn] for arn in arns if arn in listed], told)}
    for arn in (one for one in arns if one not in found):
        if told.get(arn, {"status": "RUNNING"})["status"] == "RUNNING":
            with suppress(NoExecutionError):
                told[arn] = described(target, arn)
        if arn in told:
            found[arn] = told[arn]
    return found


@dataclass(frozen=True)
class Found:
    """Some executions of one picture or several, newest first; `older` is the token of those that follow."""

    executions: list[Summary]
    older: str | None
    looked_at: int


def find(
    target: Target,
    *,
    key: str = "",
    status: str | None = None,
    token: str | None = None,
    limit: int = 50,
    most: int = 200,
    told: MutableMapping[str, Summary],
) -> Found:
    """The executions behind `token` of pictures whose key has `key` in it.

    Step Functions does not know keys: to find `limit` of a key, up to `most` executions are looked at. `told` is of
    `summaries`.
    """
    found: list[Summary] = []
    looked_at = 0
    while True:
        listed, token = listing(target, status=status, limit=limit, token=token)
        looked_at += len(listed)
        some = summaries(target, listed, told)
        found += [one for one in some if key.casefold() in (one["key"] or "").casefold()]
        if not key or token is None or len(found) >= limit or looked_at >= most:
            return Found(found, token, looked_at)


def visits(target: Target, execution: str, before: str | None = None) -> list[State]:
    """The states that an execution visited, in order. `before` is of History."""
    return read_history(target.history(execution).events(execution, before))


@dataclass
class _Version:
    """A state machine as it was for all executions that started between these times."""

    since: datetime
    until: datetime
    definition: dict[str, Any]


class Definitions:
    """The state machines as they were deployed when an execution started.

    Step Functions tells one a second, and so is asked once for each version: what two executions started by, those
    between them started by too.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, datetime], _Version] = {}  # by machine and the time of its update

    def of(self, target: Target, execution: Summary) -> dict[str, Any]:
        arn, started = execution["execution"], execution["started"]
        history = target.history(arn)
        machine = history.machine
        for (of, _), version in list(self._known.items()):
            if of == machine and version.since <= started <= version.until:
                return version.definition
        text, updated = history.definition(arn)
        definition = dict(json.loads(text))
        if updated is None:
            now = datetime.now(UTC)
            self._known[machine, now] = _Version(datetime.min.replace(tzinfo=UTC), now, definition)
            return definition
        known = self._known.get((machine, updated))
        since = min(started, updated + LATEST_CHANGE, known.since if known else started)
        until = max(started, known.until if known else started)
        self._known[machine, updated] = _Version(since, until, definition)
        return definition


def one(target: Target, execution: str, before: str | None = None) -> dict[str, Any]:
    """An execution with what it was given, what it returned and its error. `before` is of History. Raises
    NoExecutionError."""
    described = target.history(execution).described(execution, before)
    return {
        **_summary(described),
        "input": _parsed(described.get("input")),
        "output": _parsed(described.get("output")),
        "error": described.get("error"),
        "cause": described.get("cause"),
    }


def changes(target: Target, *, status: str | None = None, limit: int = 20) -> Iterator[Summary]:
    """The newest executions, the oldest of them first, and from then on each as it starts and ends, without an end.

    With a status, an execution that was given with it is given once more when it has left it.
    """
    known = {one["executionArn"]: one["status"] for one in listing(target)[0]}
    first = recent(target, status=status, limit=limit)
    known |= {one["execution"]: one["status"] for one in first}
    told = {one["execution"]: one for one in first}
    given = set(told)
    yield from first[::-1]
    while True:
        time.sleep(target.poll_seconds)
        listed = {one["executionArn"]: one for one in reversed(listing(target)[0])}
        left_behind = {arn for arn, said in known.items() if said == "RUNNING"} - listed.keys()
        listed |= {arn: target.history(arn).described(arn) for arn in _done(target, left_behind)}
        changed = [one for arn, one in listed.items() if known.get(arn) != one["status"]]
        known |= {one["executionArn"]: one["status"] for one in changed}
        wanted = [one for one in changed if status in (None, one["status"]) or one["executionArn"] in given]
        given |= {one["executionArn"] for one in wanted}
        yield from summaries(target, wanted, told)


def _done(target: Target, running: set[str]) -> set[str]:
    """Those whose rows do not say that they are at work, as far as rows can tell."""
    return running and running - {row.get("execution", "") for row in results.rows(target, "PROCESSING")}


def inspect(target: Target, key: str) -> dict[str, Any]:
    """The row of a picture, the execution that wrote it, and that one's states. Where the execution is no longer known,
    or not yet, `note` says why."""
    row = results.row(target, key)
    execution = row.get("execution")
    unread: dict[str, Any] = {"row": row, "execution": None, "states": []}
    if execution is None:
        return unread
    try:
        return {"row": row, **read(target, execution, row.get("updated_at"))}
    except NoExecutionError as error:
        return {**unread, "note": str(error)}


def read(target: Target, execution: str, before: str | None = None) -> dict[str, Any]:
    """One execution by its ARN, and its states in the order they were entered. `before` is of History. Raises
    NoExecutionError."""
    described = target.history(execution).described(execution, before)
    return {
        "execution": {
            **_summary(described),
            "redrives": redriven(_parsed(described.get("input"))),
            "error": described.get("error"),
            "cause": described.get("cause"),
        },
        "states": documents(visits(target, execution, before)),
    }


def documents(states: Sequence[State]) -> list[dict[str, Any]]:
    """The states as data. `parent` is the place of the one that a state ran in."""
    places = {id(state): place for place, state in enumerate(states)}
    return [
        {
            **state.document(),
            "depth": state.depth,
            "parent": None if state.inside is None else places[id(state.inside)],
        }
        for state in states
    ]


def read_history(events: Iterable[Any]) -> list[State]:
    """The states that were visited, in order, out of the events of GetExecutionHistory.

    AWS chains each event to its cause by `previousEventId`, which is how the branches of a Parallel and the
    iterations of a Map are told apart.
    """
    states: list[State] = []
    at: dict[int, State | None] = {}  # event id → the state that the event belongs to
    iterations: dict[int, int] = {}  # event id → the iteration of the Map that the event belongs to
    items: dict[tuple[int, int], str | None] = {}  # the Map and its iteration → the item of that
    for event in events:
        previous = event.get("previousEventId", event["id"] - 1)  # only a MiniStack to which nothing is added has none
        state, iteration = at.get(previous), iterations.get(previous)
        kind = event["type"]
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            state = State(
                details["name"],
                kind.removesuffix("StateEntered"),
                event["timestamp"],
                _parsed(details.get("input")),
                inside=_open(state),
                iteration=iteration,
            )
            if state.inside and iteration is not None:  # what the first state of an iteration is given is the item
                state.item = items.setdefault((id(state.inside), iteration), _item(state, iteration))
            states.append(state)
        elif kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            state = _named(details["name"], state, states)
            if state:
                state.exited, state.output = event["timestamp"], _parsed(details.get("output"))
                iteration = state.iteration
        elif kind == "MapStateStarted" and state:
            state.length = event["mapStateStartedEventDetails"]["length"]
        elif kind == "MapIterationStarted":
            details = event["mapIterationStartedEventDetails"]
            state, iteration = _named(details["name"], state, states), details["index"]
        elif kind.startswith("MapIteration"):
            state = _open(state)
        elif state:
            _attempt(state, event)
        at[event["id"]] = state
        if iteration is not None:
            iterations[event["id"]] = iteration
    return states


def _summary(described: Any) -> Summary:
    redrives = redriven(_parsed(described.get("input")))
    output = _parsed(described.get("output"))
    return {
        **_times(described),
        "key": picture_key(described.get("input")),
        "redrive": redrives is not None and not is_undelete(described["executionArn"], redrives),
        "verdict": output.get("status") if isinstance(output, dict) else None,
    }


def _times(listed: Any) -> Summary:
    """What ListExecutions and DescribeExecution both tell."""
    started, stopped = listed["startDate"], listed.get("stopDate")
    return {
        "execution": listed["executionArn"],
        "status": listed["status"],
        "started": started,
        "stopped": stopped,
        "seconds": (stopped - started).total_seconds() if stopped else None,
    }


def arn_of(machine: str, name: str) -> str:
    """Of an execution of this state machine."""
    return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"


def redriven(given: Any) -> str | None:
    """The ARN of the execution that was started again: from which one that was given this takes the row over."""
    arn = given.get("redrives") if isinstance(given, dict) else None
    return arn if isinstance(arn, str) else None


def is_undelete(execution: str, redrives: str | None) -> bool:
    """Whether it was a deletion that started it, for the version that is current again: another state machine."""
    return redrives is not None and machine_of(redrives) != machine_of(execution)


def picture_key(given: str | None) -> str | None:
    """Of the picture whose event an execution was given; None where it was given something else."""
    try:
        return str(_parsed(given)["detail"]["object"]["key"])
    except (KeyError, TypeError):
        return None


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError:
        return text


def _item(first: State, iteration: int) -> str | None:
    """None if there is no other iteration."""
    name = first.input.get("name") if isinstance(first.input, dict) else None
    if isinstance(name, str):
        return name
    return None if first.inside and first.inside.length == 1 else f"#{iteration}"


def _open(state: State | None) -> State | None:
    """The state itself as long as it has not been left; else the one that it ran in."""
    while state is not None and state.exited is not None:
        state = state.inside
    return state


def _named(name: str, state: State | None, states: list[State]) -> State | None:
    """The open state of that name, among those this one ran in, or the last that was entered."""
    while state is not None and (state.name != name or state.exited is not None):
        state = state.inside
    if state is not None:
        return state
    return next((one for one in reversed(states) if one.name == name and one.exited is None), None)


def _attempt(state: State, event: Any) -> None:
    kind = event["type"]
    if state.kind == "Task" and kind in ("TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled"):
        state.attempts += 1
    for name, details in event.items():
        if name.endswith("EventDetails") and kind.endswith(("Failed", "TimedOut")) and "error" in details:
            state.failures.append({"error": details["error"], "cause": details.get("cause", "")})
