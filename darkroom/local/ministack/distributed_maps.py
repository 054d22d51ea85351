"""A distributed Map hands batches to its children, has its concurrency by a path, and lists a bucket by the role of its
machine; its run counts and tolerates items, and who stops the execution stops the children too.

MiniStack hands on single items, knows the concurrency as a number only, asks no role, counts one child as one item, and
has the children of a stopped execution go on.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ministack import app
from ministack.services import stepfunctions

from darkroom.local.ministack import history, workflow_roles

Json = Any

NO_LIMIT = 2**63


def add() -> None:
    """After the history, which ends what goes on after an end."""
    this: Any = stepfunctions
    run_items, run_distributed, run_path = this._run_map_items, this._run_distributed_map, this._run_sub_machine
    run_execution, stop = this._run_execution, this._stop_execution

    def with_its_concurrency(state: Json, given: Json, execution: Json, ctx: Json) -> Json:
        if "MaxConcurrencyPath" in state:
            most = this._resolve_path_or_ctx(state["MaxConcurrencyPath"], given, ctx)
            state = {**state, "MaxConcurrency": most}
        return run_items(state, given, execution, ctx)

    def in_batches(state: Json, given: Json, effective: Json, iterator: Json, execution: Json, ctx: Json) -> Json:
        items = _items(state, effective, ctx)
        execution["items"] = len(items)
        batcher = state.get("ItemBatcher")
        if batcher:
            given_to_each = this._resolve_params_obj(batcher.get("BatchInput", {}), effective, ctx)
            shared = {"BatchInput": given_to_each} if given_to_each else {}
            most, most_bytes = batcher.get("MaxItemsPerBatch", NO_LIMIT), batcher.get("MaxInputBytesPerBatch", NO_LIMIT)
            items = [{**shared, "Items": batch} for batch in _batches(items, most, most_bytes)]
        done = ("ItemReader", "ItemSelector", "Parameters", "ItemBatcher")
        left = {name: value for name, value in state.items() if name not in done}
        tolerates_all = {"ItemsPath": "$", "ToleratedFailurePercentage": 100}
        try:
            ended = run_distributed({**left, **tolerates_all}, given, items, iterator, execution, ctx)
        finally:
            _end_runs(execution)
        _tolerate(state.get("ToleratedFailurePercentage", 0), execution)
        return ended

    def unless_stopped(states: Json, start: str, given: Json, execution: Json, ctx: Json) -> Json:
        run = this._map_runs.get(execution.get("mapRunArn"))
        if run and "items" not in execution:
            execution["items"] = len(given["Items"]) if isinstance(given, dict) and "Items" in given else 1
        if run and run["status"] == "ABORTED":
            if execution["status"] == "RUNNING":
                execution.update(status="ABORTED", stopDate=this.now_iso())
            raise history.PathEnded
        return run_path(states, start, given, execution, ctx)

    def stopped(asked: Json) -> Json:
        answer = stop(asked)
        execution = this._executions.get(asked.get("executionArn"))
        if execution and execution["status"] == "ABORTED":
            _end_runs(execution)
            for child in [one for run in _runs(execution) for one in _children(run)]:
                if child["status"] == "RUNNING":
                    stop({**asked, "executionArn": child["executionArn"]})
        return answer

    def telling_its_end(arn: str) -> None:
        """An execution of a standard machine does, also where another waits for it."""
        execution = this._executions.get(arn) or {}
        machine = this._state_machines.get(execution.get("stateMachineArn")) or {}
        if machine.get("type") == "STANDARD":
            execution.pop("sync", None)
        run_execution(arn)

    this._run_map_items, this._run_distributed_map = with_its_concurrency, in_batches
    this._run_sub_machine, this._run_execution, this._stop_execution = unless_stopped, telling_its_end, stopped
    this._map_run_view = _view


def _items(state: Json, effective: Json, ctx: Json) -> list[Json]:
    """Read, and each as the children get it."""
    this: Any = stepfunctions
    if reader := state.get("ItemReader"):
        asked = this._resolve_params_obj(reader["Parameters"], effective, ctx)
        if reader["Resource"].endswith("s3:listObjectsV2"):
            workflow_roles.ask_to_list(ctx, asked["Bucket"], asked.get("Prefix", ""))
        items = _between_requests(lambda: this._read_map_items(reader, effective, ctx))
    else:
        items = this._resolve_path_or_ctx(state.get("ItemsPath", "$"), effective, ctx)
    selector = state.get("ItemSelector") or state.get("Parameters")
    if not selector:
        return list(items)
    contexts = ({**ctx, "Map": {"Item": {"Index": index, "Value": one}}} for index, one in enumerate(items))
    return [this._resolve_params_obj(selector, effective, context) for context in contexts]


def _between_requests(read: Callable[[], list[Json]]) -> list[Json]:
    """In the thread that answers them: an upload or a deletion in the middle of a listing would break it off."""

    async def reading() -> list[Json]:
        return read()

    loop = app._MAIN_LOOP
    return read() if loop is None else asyncio.run_coroutine_threadsafe(reading(), loop).result()


def _batches(items: list[Json], most: int, most_bytes: int) -> Iterator[list[Json]]:
    batch: list[Json] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if batch and (len(batch) == most or size + length > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _runs(execution: Json) -> list[Json]:
    runs = stepfunctions._map_runs.values()
    return [one for one in runs if one["executionArn"] == execution["executionArn"]]


def _children(run: Json) -> list[Json]:
    return [one for one in stepfunctions._executions.values() if one.get("mapRunArn") == run["mapRunArn"]]


def _end_runs(execution: Json) -> None:
    """Those of an execution that was stopped."""
    for run in _runs(execution) if execution["status"] == "ABORTED" else []:
        run.update(status="ABORTED", stopDate=run.get("stopDate") or stepfunctions.now_iso())


def _tolerate(percentage: float, execution: Json) -> None:
    """Of the items, whatever batch they are in."""
    for run in _runs(execution):
        counts = _view(run)["itemCounts"]
        if counts["failed"] * 100 > percentage * counts["total"]:
            run["status"] = "FAILED"
            said = "The specified tolerated failure threshold was exceeded"
            raise stepfunctions._ExecutionError("States.ExceedToleratedFailureThreshold", said)


def _view(run: Json) -> Json:
    """As DescribeMapRun shows it."""
    stopped, children = run["status"] == "ABORTED", _children(run)
    items = stepfunctions._executions[run["executionArn"]]["items"]
    shown = {name: value for name, value in run.items() if not name.startswith("_")}
    return shown | {
        "itemCounts": run["itemCounts"] | _counts([(one, one.get("items", 1)) for one in children], items, stopped),
        "executionCounts": run["executionCounts"]
        | _counts([(one, 1) for one in children], run["executionCounts"]["total"], stopped),
    }


def _counts(children: list[tuple[Json, int]], total: int, stopped: bool) -> dict[str, int]:
    """By status. What no child has begun is pending; in a run that was stopped it is aborted."""
    counts = Counter(dict.fromkeys(("pending", "running", "succeeded", "failed", "aborted"), 0))
    for child, weight in children:
        counts[child["status"].lower()] += weight
    counts["aborted" if stopped else "pending"] += total - counts.total()
    return {**counts, "total": total}
