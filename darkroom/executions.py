"""How a picture went its way: the executions, and of one its states with duration, errors and retries."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import typer

from darkroom import results
from darkroom.target import Target
from darkroom.terminal import seconds, show_table

COLUMNS = ("picture", "status", "started (UTC)", "duration", "execution")
STATE_COLUMNS = ("state", "duration", "retries", "error")
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
    def depth(self) -> int:
        return 0 if self.inside is None else self.inside.depth + 1

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.kind,
            "inside": self.inside.name if self.inside else None,
            "iteration": self.iteration,
            "entered": self.entered,
            "exited": self.exited,
            "seconds": self.duration,
            "retries": self.retries,
            "errors": self.failures,
            "input": self.input,
            "output": self.output,
        }


def recent(target: Target, *, status: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
    """The newest executions, each with the key of its picture, which only its input tells."""
    found, token = page(target, status=status, limit=min(limit, MOST_AT_ONCE))
    while token and len(found) < limit:
        more, token = page(target, status=status, limit=min(limit - len(found), MOST_AT_ONCE), token=token)
        found += more
    return found


def page(
    target: Target, *, status: str | None = None, limit: int = 20, token: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """As many executions, newest first, and the token of the page behind them, None at the end."""
    listed, token = listing(target, status=status, limit=limit, token=token)
    with ThreadPoolExecutor(8) as workers:
        return list(workers.map(lambda one: summary(target, one["executionArn"]), listed)), token


def listing(
    target: Target, *, status: str | None = None, limit: int = MOST_AT_ONCE, token: str | None = None
) -> tuple[list[Any], str | None]:
    """As `page`, but only what ListExecutions says, in one request: not the pictures."""
    options: Any = {"statusFilter": status} if status else {}
    if token:
        options["nextToken"] = token
    machine = target.output("StateMachineArn")
    answer = target.states.list_executions(stateMachineArn=machine, maxResults=limit, **options)
    return list(answer["executions"]), answer.get("nextToken")


def summary(target: Target, execution: str) -> dict[str, Any]:
    """One execution as `recent` lists it."""
    return _summary(target.states.describe_execution(executionArn=execution))


def inspect(target: Target, key: str) -> dict[str, Any]:
    """The row of a picture, the execution that wrote it, and that one's states."""
    row = results.row(target, key)
    execution = row.get("execution")
    if execution is None:
        return {"row": row, "execution": None, "states": []}
    return {"row": row, **read(target, execution)}


def read(target: Target, execution: str) -> dict[str, Any]:
    """One execution by its ARN, and its states in the order they were entered."""
    described = target.states.describe_execution(executionArn=execution)
    pages = target.states.get_paginator("get_execution_history").paginate(executionArn=execution)
    states = read_history(event for page in pages for event in page["events"])
    return {
        "execution": {
            **_summary(described),
            "error": described.get("error"),
            "cause": described.get("cause"),
        },
        "states": [state.document() | {"depth": state.depth} for state in states],
    }


def read_history(events: Iterable[Any]) -> list[State]:
    """The states that were visited, in order, out of the events of GetExecutionHistory.

    AWS chains each event to its cause by `previousEventId`, which is how the branches of a Parallel and the
    iterations of a Map are told apart. The local cloud has neither that nor events inside those two.
    """
    states: list[State] = []
    at: dict[int, State | None] = {}  # event id → the state that the event belongs to
    iterations: dict[int, int] = {}  # event id → the iteration of the Map that the event belongs to
    for event in events:
        previous = event.get("previousEventId", event["id"] - 1)
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
            states.append(state)
        elif kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            state = _named(details["name"], state, states)
            if state:
                state.exited, state.output = event["timestamp"], _parsed(details.get("output"))
                iteration = state.iteration
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


def line(execution: dict[str, Any]) -> Sequence[object]:
    """The execution as a line of a table with COLUMNS."""
    started = f"{execution['started'].astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return (
        execution["key"],
        execution["status"],
        started,
        seconds(execution["seconds"]),
        execution["execution"].rpartition(":")[2],
    )


def show(found: dict[str, Any]) -> None:
    """What `inspect` returned, for a person: the row, the execution, its states, then what each was given."""
    show_table(("", ""), results.facts(found["row"]))
    if found["execution"] is None:
        return
    typer.echo()
    show_table(COLUMNS, [line(found["execution"])])
    typer.echo()
    show_table(STATE_COLUMNS, map(state_line, found["states"]))
    typer.echo()
    show_table(("state", "input"), [(state["name"], _short(state["input"])) for state in found["states"]])


def state_line(state: dict[str, Any]) -> Sequence[object]:
    """The state as a line of a table with STATE_COLUMNS."""
    iteration = "" if state["iteration"] is None else f" #{state['iteration']}"
    error = state["errors"][-1] if state["errors"] else None
    return (
        "  " * state["depth"] + state["name"] + iteration,
        seconds(state["seconds"]),
        state["retries"] or "",
        f"{error['error']}: {_in_words(error['cause'])}" if error else "",
    )


def _summary(described: Any) -> dict[str, Any]:
    event = _parsed(described.get("input"))
    started, stopped = described["startDate"], described.get("stopDate")
    return {
        "execution": described["executionArn"],
        "key": _key(event),
        "status": described["status"],
        "started": started,
        "stopped": stopped,
        "seconds": (stopped - started).total_seconds() if stopped else None,
        "redrive": isinstance(event, dict) and "redrives" in event,
    }


def _key(event: Any) -> str | None:
    try:
        return str(event["detail"]["object"]["key"])
    except (KeyError, TypeError):
        return None


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError:
        return text


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


def _short(value: Any, limit: int = 300) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters, all with --json)"


def _in_words(cause: str) -> str:
    """A Lambda's cause is JSON with its message inside."""
    parsed = _parsed(cause)
    return str(parsed.get("errorMessage", cause)) if isinstance(parsed, dict) else cause
