"""What a service of MiniStack holds, taken apart into what changes at once, and put together again.

An execution, an item of a table, some events of a log: what grows with the pictures is a part of its own, with a mark
that tells cheaply whether it has changed. Of all else only its text tells.
"""

import ast
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, SimpleNamespace
from typing import Any

from ministack import app
from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

from darkroom.local.ministack import streams

# These grow. In this order: an execution that is seen to have ended has its row and its letter in what is seen later.
GROWING = ("stepfunctions", "dynamodb", "sqs", "cloudwatch_logs", "cloudwatch")

# Whose `get_state` makes copies and does nothing else, so that it may as well make none.
COPYING = {*GROWING, "cloudformation", "eventbridge", "iam", "lambda", "s3", "scheduler", "sns"}

# Of these, stores whose things come and go with the pictures, and not with a deployment.
GROWING_WHOLE = (
    ("stepfunctions", "executions"),
    ("cloudwatch", "metrics"),
    ("dynamodb", streams.RECORDS),
    ("dynamodb", streams.FORGOTTEN),
)

TOGETHER = 200  # events of a log, or points of a metric, are one part

WHOLE = ""  # the name of the part that stands for what is not taken apart
KIND = "kind"  # of the part that says what a store is
KINDS = {kind.__name__: kind for kind in (AccountRegionScopedDict, AccountScopedDict)}

State = dict[str, Any]
Record = tuple[str, str, str, str]  # service, store, key, name of the part
Pieces = Iterator[tuple[str, Any, Any]]  # name, mark, value


@dataclass(frozen=True, slots=True)
class Part:
    record: Record
    mark: Any  # another one when the value has changed; None where only the value tells
    value: Any

    @property
    def deployed(self) -> bool:
        """Whether a deployment made it, and not what runs in it."""
        service, store, _, name = self.record
        return name == WHOLE and (service, store) not in GROWING_WHOLE


def services() -> tuple[str, ...]:
    """All that have been used; those that grow first."""
    return (*GROWING, *(name for name in app._state_map if name not in GROWING))


def stack_at_work() -> bool:
    """Whether something is being made or removed. A stack in review has nothing yet, and may stay so for ever."""
    stacks = _module("cloudformation")
    statuses = {one["StackStatus"] for one in stacks._stacks.all_values()} if stacks else set()
    return any(one.endswith("_IN_PROGRESS") for one in statuses - {"REVIEW_IN_PROGRESS"})


def set_up() -> dict[tuple[str, str], Any]:
    """Of each stack how it is, and since when it is about to be so; of all else that is not the pictures', how many
    there are. Another one when something was deployed, made or removed."""
    stacks = _module("cloudformation")
    there: dict[tuple[str, str], Any] = {
        ("stack", one["StackName"]): (one["StackStatus"], one.get("LastUpdatedTime"))
        for one in (list(stacks._stacks.all_values()) if stacks else ())
    }
    for service in services():
        stores = state(service) if service in COPYING else None
        for store, value in (stores or {}).items():
            if type(value).__name__ in KINDS and (service, store) not in GROWING_WHOLE:
                there[service, store] = len(value._data)
    return there


def state(service: str) -> State | None:
    """Its stores: those that it works with itself, where its `get_state` would only copy them."""
    module = _module(service)
    if not hasattr(module, "get_state"):
        return None
    if service not in COPYING:
        return module.get_state()  # type: ignore[no-any-return]
    instead = {
        "copy": SimpleNamespace(deepcopy=lambda value: value),
        "_externalize_code_zip": lambda *_: None,
        "_prune_orphan_code_blobs": lambda *_: None,
    }
    stores: State = FunctionType(module.get_state.__code__, {**vars(module), **instead})()
    return {**stores, **streams.kept()} if service == "dynamodb" else stores


def taken_apart(service: str, stores: State) -> Iterator[Part]:
    if not any(map(_filled, stores.values())):
        return  # or it would be loaded for nothing
    for store, value in stores.items():
        if type(value).__name__ not in KINDS:
            yield Part((service, store, "", WHOLE), None, value)
            continue
        yield Part((service, store, "", KIND), None, type(value).__name__)
        pieces = _HOWS[service, store].pieces if (service, store) in _HOWS else _whole
        things = list(value._data.items())
        if (service, store) == ("sqs", "queues"):
            # What becomes a dead letter meanwhile is then seen in both queues, and not in neither.
            things.sort(key=lambda queue: "RedrivePolicy" not in queue[1]["attributes"])
        for (*scope, key), one in things:
            name = "\0".join([*scope, repr(key)])
            for part, mark, piece in pieces(one):
                yield Part((service, store, name, part), mark, piece)


def put_together(service: str, values: Mapping[Record, Any]) -> State:
    """By their records; the parts of a thing that has no whole any more are left out."""
    stores: State = {}
    things: dict[tuple[str, str], dict[str, Any]] = {}
    for (_, store, key, part), value in values.items():
        if part == KIND:
            stores[store] = KINDS[value]()
        else:
            things.setdefault((store, key), {})[part] = value
    for (store, key), pieces in things.items():
        if WHOLE not in pieces:
            continue
        whole = pieces.pop(WHOLE)
        if (service, store) in _HOWS:
            _HOWS[service, store].join(whole, pieces)
        if store not in stores:
            stores[store] = whole
            continue
        *scope, name = key.split("\0", 2 if isinstance(stores[store], AccountRegionScopedDict) else 1)
        stores[store]._data[*scope, ast.literal_eval(name)] = whole
    return stores


def _filled(store: Any) -> bool:
    return bool(store._data if type(store).__name__ in KINDS else store)


def _module(service: str) -> Any:
    name = app._state_map[service]
    return app._loaded_modules.get(name) or sys.modules.get(f"ministack.services.{name}")


def _whole(value: Any) -> Pieces:
    yield WHOLE, None, value


def _execution(value: State) -> Pieces:
    yield WHOLE, (value["status"], len(value["events"]), value.get("stopDate"), value.get("output")), value


def _table(value: State) -> Pieces:
    """A changed item is another object."""
    yield WHOLE, None, {**value, "items": {}}
    for partition, items in list(value["items"].items()):
        for sort, item in list(items.items()):
            yield json.dumps([partition, sort]), item, item


def _join_table(table: State, items: Mapping[str, Any]) -> None:
    for name, item in items.items():
        partition, sort = json.loads(name)
        table["items"].setdefault(partition, {})[sort] = item


def _queue(value: State) -> Pieces:
    yield WHOLE, None, {**value, "messages": []}
    yield "messages", None, list(value["messages"])


def _join_queue(queue: State, pieces: Mapping[str, Any]) -> None:
    queue["messages"] = pieces.get("messages", [])


def _log_group(value: State) -> Pieces:
    """Each call of a function has a stream of its own here."""
    yield WHOLE, None, {**value, "streams": {}}
    for name, stream in list(value["streams"].items()):
        events = stream["events"]
        yield f"-1 {name}", (len(events), stream.get("lastIngestionTime")), {**stream, "events": []}
        for number, mark, some in _some_at_a_time(events):
            yield f"{number} {name}", mark, some


def _join_log_group(group: State, pieces: Mapping[str, Any]) -> None:
    """First the streams themselves, then what was said in them."""
    for part in sorted(pieces, key=_number):
        _, _, name = part.partition(" ")
        if _number(part) == -1:
            group["streams"][name] = pieces[part]
        else:
            group["streams"][name]["events"] += pieces[part]


def _number(part: str) -> int:
    return int(part.partition(" ")[0])


def _metric(points: list[Any]) -> Pieces:
    yield WHOLE, None, []
    for number, mark, some in _some_at_a_time(points):
        yield str(number), mark, some


def _join_metric(points: list[Any], pieces: Mapping[str, Any]) -> None:
    for part in sorted(pieces, key=_number):
        points += pieces[part]


def _some_at_a_time(things: list[Any]) -> Iterator[tuple[int, Any, list[Any]]]:
    """They come at the end, and go at the beginning."""
    for start in range(0, len(things), TOGETHER):
        some = things[start : start + TOGETHER]
        if some:  # else they have gone meanwhile
            yield start, (len(some), some[0], some[-1]), some


@dataclass(frozen=True)
class _How:
    pieces: Callable[[Any], Pieces]
    join: Callable[[Any, Mapping[str, Any]], object]


_HOWS = {
    ("stepfunctions", "executions"): _How(_execution, lambda *_: None),
    ("dynamodb", "tables"): _How(_table, _join_table),
    ("sqs", "queues"): _How(_queue, _join_queue),
    ("cloudwatch_logs", "log_groups"): _How(_log_group, _join_log_group),
    ("cloudwatch", "metrics"): _How(_metric, _join_metric),
}
