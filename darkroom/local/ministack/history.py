"""The history of an execution as AWS writes it: with all that runs inside a Parallel or Map, and each event with the
one that it follows.

MiniStack writes the outermost states only, and no `previousEventId`. By it alone the iterations of a Map can be told
apart, which run at the same time. What follows what is as LocalStack recorded it on AWS:
https://github.com/localstack/localstack, tests/aws/services/stepfunctions/v2.
"""

import copy
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ministack.services import stepfunctions
from ministack.services.stepfunctions import _ExecutionError

Execution = dict[str, Any]
Event = dict[str, Any]
Json = Any

ENDS = {  # and what the execution is from then on
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionAborted": "ABORTED",
}
# Ends of no path, and what they follow: moto has it so.
FROM_OUTSIDE: dict[str, Callable[[list[Event]], int]] = {"ExecutionAborted": lambda _: 0, "ExecutionTimedOut": len}
SERVICE = "arn:aws:states:::"  # before the name of a service that a task calls

# Told of each event, in their order.
heard: list[Callable[[Execution, Event], None]] = []


class PathEnded(SystemExit):
    """Ends a path on which nothing more is to happen. Of its kind because a thread may end by it without a word, and
    because MiniStack takes all other errors for the path's own."""


@dataclass
class _Around:
    """A Parallel or a Map at work."""

    name: str
    outer: "_Around | None"
    indexes: bool  # whether its paths are iterations
    at_once: float  # of its paths
    begun: int  # the event it started by
    freed: int = 0  # the last event of the path that ended last
    last: int = 0  # the event that its own end follows
    failed: bool = False
    at_work: set[int] = field(default_factory=set)  # iterations, by their index


@dataclass
class _Task:
    """What is told of a task as it is scheduled."""

    name: str
    scheduled: Json


_lock = threading.Lock()

# Of the path that a thread is on. MiniStack copies the context for each branch and iteration.
_last: ContextVar[int] = ContextVar("last", default=0)  # the event that the next one follows
_inside: ContextVar[_Around | None] = ContextVar("inside", default=None)
_task: ContextVar["_Task | None"] = ContextVar("task", default=None)


def add() -> None:
    this: Any = stepfunctions
    this._run_map_items = _around_map(this._run_map_items)
    this._run_parallel_branches = _around_parallel(this._run_parallel_branches)
    this._execute_task = _with_what_is_scheduled(this._execute_task)
    this._apply_jsonata_arguments = _noting_the_parameters(this._apply_jsonata_arguments)
    this._run_execution = _from_the_beginning(this._run_execution)
    this._stop_execution = _unless_it_ended(this._stop_execution)
    this._emit_execution_status_event = _of_its_end(this._emit_execution_status_event)
    this._run_sub_machine = _run_path
    this._add_event = _add_event


def _add_event(execution: Execution, kind: str, details: Json = None) -> Event:
    """Raises PathEnded where the execution, or a Map or Parallel that this path is in, has ended."""
    kind, details = _as_aws_tells(execution, kind, details or {})
    if kind in FROM_OUTSIDE:
        return _write(execution, kind, details, FROM_OUTSIDE[kind](execution["events"]), None)
    event = _write(execution, kind, details, _last.get(), _inside.get())
    if not kind.endswith("StateSucceeded"):  # AWS lets nothing follow this one
        _last.set(event["id"])
    if kind == "TaskScheduled":
        _add_event(execution, "TaskStarted", {"taskStartedEventDetails": _resource(details)})
    return event


def _write(execution: Execution, kind: str, details: Json, follows: int, inside: _Around | None) -> Event:
    with _lock:
        events = execution["events"]
        if events and events[-1]["type"] in ENDS:
            execution.update(execution["ended"])
            raise PathEnded
        while inside:
            if inside.failed:
                raise PathEnded
            inside = inside.outer
        event = {"id": len(events) + 1, "previousEventId": follows, "type": kind}
        event |= {"timestamp": stepfunctions.now_iso(), **details}
        events.append(event)
        if kind in ENDS:  # who had just found it at work may have changed these, or may still do so
            execution["ended"] = _end(event)
            execution.update(execution["ended"])
        for tell in heard:
            tell(execution, event)
    return event


def _end(event: Event) -> dict[str, Json]:
    """How the execution ended: the event that came first decides."""
    [told] = [value for name, value in event.items() if name.endswith("EventDetails")]
    output = told.get("output")
    if event["type"] == "ExecutionFailed":
        output = json.dumps({"Error": told.get("error", ""), "Cause": told.get("cause", "")})  # MiniStack reads it
    of_it = {"output": output, "error": told.get("error"), "cause": told.get("cause")}
    return {"status": ENDS[event["type"]], "stopDate": event["timestamp"], **of_it}


def _unless_it_ended(stop: Any) -> Any:
    def stopped(asked: Json) -> Any:
        with suppress(PathEnded):
            return stop(asked)
        return stop(asked)  # which sees now that it has ended, and how

    return stopped


def _of_its_end(tell: Any) -> Any:
    """EventBridge, and not of what somebody else is about to make of it."""

    def told(execution: Execution) -> None:
        tell({**execution, **execution.get("ended", {})})

    return told


def _as_aws_tells(execution: Execution, kind: str, details: Json) -> tuple[str, Json]:
    """Of a task that calls a service: which one, what it is given and how long it may take; its end by the time limit;
    and an expression that cannot be evaluated."""
    [(name, told)] = details.items() or [("", {})]
    told = {key: value for key, value in told.items() if key not in ("error", "cause") or value}
    told |= {f"{key}Details": {"truncated": False} for key in ("input", "output") if key in told}
    task = _task.get()
    if task and kind == "TaskFailed" and told.get("error") == "States.QueryEvaluationError":
        return "EvaluationFailed", _not_evaluated(task.name, told["error"], told.get("cause", ""))
    if not task or not kind.startswith("Task") or not told.get("resource", "").startswith(SERVICE):
        return kind, {name: told} if name else {}
    called, _, action = told["resource"].removeprefix(SERVICE).rpartition(":")
    told |= {"resource": action, "resourceType": called}
    if kind == "TaskScheduled":
        told |= {"region": execution["executionArn"].split(":")[3], **task.scheduled}
    elif told.get("error") == "States.Timeout":
        kind = "TaskTimedOut"
        told.pop("cause", None)
    return kind, {f"{kind[0].lower()}{kind[1:]}EventDetails": told}


def _not_evaluated(state: str, error: str, cause: str) -> Json:
    return {"evaluationFailedEventDetails": {"state": state, "error": error, "cause": cause}}


def _resource(scheduled: Json) -> Json:
    [told] = scheduled.values()
    return {name: told[name] for name in ("resource", "resourceType")}


def _run_path(states: Json, start: str, given: Json, execution: Execution, ctx: Json) -> Json:
    """One branch, one iteration, or an execution that is one."""
    around = _inside.get()
    if around is None:
        return _walk(states, start, given, execution, ctx)
    if not around.indexes:
        return _ended(around, execution, lambda: _walk(states, start, given, execution, ctx))
    index = ctx["Map"]["Item"]["Index"]
    told = {"name": around.name, "index": index}

    def iteration() -> Json:
        _last.set(around.begun if index < around.at_once else around.freed)
        _add_event(execution, "MapIterationStarted", {"mapIterationStartedEventDetails": told})
        with _lock:
            around.at_work.add(index)
        return _walk(states, start, given, execution, ctx)

    return _ended(around, execution, iteration, told)


def _ended(around: _Around, execution: Execution, path: Callable[[], Json], told: Json = None) -> Json:
    """What the path returned. The first that fails ends all others, as on AWS, which does not wait for what they do."""

    def end(how: str, follows: int, inside: _Around | None, **of: Json) -> int:
        details = {f"mapIteration{how}EventDetails": {**told, **of}}
        return int(_write(execution, f"MapIteration{how}", details, follows, inside)["id"])

    try:
        value = path()
    except Exception:
        with _lock:
            if around.failed:
                raise PathEnded from None
            around.failed, around.last = True, _last.get()
        if told:
            end("Failed", around.last, around.outer)
            for index in sorted(around.at_work - {told["index"]}):
                end("Aborted", around.last, around.outer, index=index)
        raise
    last = _last.get()
    end_of_all = end("Succeeded", last, around) if told else last
    with _lock:
        if not around.failed:
            around.freed, around.last = last, max(around.last, end_of_all)
        around.at_work.discard(told["index"] if told else -1)
    return value


def _walk(states: Json, name: str | None, given: Json, execution: Execution, ctx: Json) -> Json:
    """The states from this one on, each with its entered and its exited event, as MiniStack does with the outermost."""
    ctx = {**ctx}  # or branches would see each other's State
    value = copy.deepcopy(given)
    while name:
        if name not in states:
            raise _ExecutionError("States.Runtime", f"State '{name}' not found")
        state, entered = states[name], name
        kind = state["Type"]
        ctx["State"] = {"Name": name, "EnteredTime": stepfunctions.now_iso(), "RetryCount": 0}
        told = {"name": name, "input": json.dumps(value)}
        _add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": told})
        value, name = _run_state(kind, state, value, execution, ctx)
        told = {"name": entered, "output": json.dumps(value)}
        _add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": told})
    return value


def _run_state(kind: str, state: Json, given: Json, execution: Execution, ctx: Json) -> tuple[Json, str | None]:
    """What it returns, and the state that comes next."""
    this = stepfunctions
    if kind == "Succeed":
        return this._apply_output_path(state, this._apply_input_path(state, given, ctx), ctx), None
    if kind == "Fail":
        raise _ExecutionError(*this._fail_state_error(state, given, ctx))
    run: Any = getattr(this, f"_execute_{kind.lower()}", None)
    if run is None:
        raise _ExecutionError("States.Runtime", f"Unknown state type: {kind}")
    of = (execution, ctx) if kind in ("Task", "Parallel", "Map") else (ctx,)
    value, then = run(state, given, *of)
    return value, then


def _around_map(run: Any) -> Any:
    def inner(state: Json, given: Json, execution: Execution, ctx: Json) -> Any:
        if state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            return _outside(run)(state, given, execution, ctx)
        state, items = _evaluated(state, given, execution, ctx)
        most = state.get("MaxConcurrency") or float("inf")
        started = {"mapStateStartedEventDetails": {"length": len(items) if isinstance(items, list) else 1}}
        return _around("Map", started, most, run)(state, given, execution, ctx)

    return inner


def _outside(run: Any) -> Any:
    """Of a Map whose iterations are executions, each with a history of its own."""

    def inner(*of: Json) -> Any:
        inside, last = _inside.set(None), _last.set(0)
        try:
            return run(*of)
        finally:
            _inside.reset(inside)
            _last.reset(last)

    return inner


def _evaluated(state: Json, given: Json, execution: Execution, ctx: Json) -> tuple[Json, Json]:
    """The Map with its fields that may be expressions evaluated, and its items."""
    this = stepfunctions
    if this._state_query_language(state, ctx) != "JSONata":
        found = this._apply_input_path(state, given, ctx)
        return state, this._resolve_path_or_ctx(state.get("ItemsPath", "$"), found, ctx)
    types = {"Items": "array", "MaxConcurrency": "number"}
    try:
        values = {
            name: this._jsonata_state_field(state, name, kind, given, ctx)
            for name, kind in types.items()
            if name in state
        }
    except _ExecutionError as error:
        _add_event(execution, "EvaluationFailed", _not_evaluated(ctx["State"]["Name"], error.error, error.cause))
        _add_event(execution, "MapStateFailed")
        raise
    state = {**state, **values}
    return state, state.get("Items", given)


def _around_parallel(run: Any) -> Any:
    return _around("Parallel", {}, float("inf"), run)


def _around(kind: str, started: Json, at_once: float, run: Any) -> Any:
    def inner(state: Json, given: Json, execution: Execution, ctx: Json) -> Any:
        begun = _add_event(execution, f"{kind}StateStarted", started)["id"]
        around = _Around(ctx["State"]["Name"], _inside.get(), kind == "Map", at_once, begun, last=begun)
        inside = _inside.set(around)
        how = "Failed"
        try:
            returned = run(state, given, execution, ctx)
            how = "Succeeded"
        finally:
            _inside.reset(inside)
            _last.set(around.last)
            _add_event(execution, f"{kind}State{how}")
        return returned

    return inner


def _with_what_is_scheduled(execute: Any) -> Any:
    def inner(state: Json, given: Json, execution: Execution, ctx: Json) -> Any:
        limit = {"timeoutInSeconds": state["TimeoutSeconds"]} if "TimeoutSeconds" in state else {}
        task = _task.set(_Task(ctx["State"]["Name"], limit))
        try:
            return execute(state, given, execution, ctx)
        finally:
            _task.reset(task)

    return inner


def _noting_the_parameters(apply: Any) -> Any:
    def inner(state: Json, given: Json, ctx: Json = None) -> Json:
        value = apply(state, given, ctx)
        if task := _task.get():
            task.scheduled["parameters"] = json.dumps(value)
        return value

    return inner


def _from_the_beginning(run: Any) -> Any:
    def inner(arn: str) -> None:
        _last.set(0)  # an execution that starts another hands its context on
        _inside.set(None)
        execution = stepfunctions._executions.get(arn)
        if execution:
            [started] = execution["events"]
            started["previousEventId"] = 0
            for tell in heard:
                tell(execution, started)
        with suppress(PathEnded):
            run(arn)

    return inner
