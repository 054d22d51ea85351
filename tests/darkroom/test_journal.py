"""What MiniStack holds, taken apart for the journal and put together again. `test_cloud.py` kills a real one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ministack.core import persistence
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import cloudformation

from darkroom.local.ministack import journal, parts

SCOPE = ("000000000000", "us-east-1")


def scoped(**things: Any) -> AccountRegionScopedDict:
    made = AccountRegionScopedDict()
    made._data = {(*SCOPE, name): thing for name, thing in things.items()}
    return made


def events(count: int) -> list[dict[str, Any]]:
    return [{"timestamp": number, "message": str(number)} for number in range(count)]


STORES: dict[str, Callable[[], parts.State]] = {
    "stepfunctions": lambda: {
        "executions": scoped(one={"status": "RUNNING", "events": events(2), "input": "{}"}),
        "state_machines": scoped(machine={"definition": "{}"}),
    },
    "dynamodb": lambda: {
        "tables": scoped(results={"pk_name": "key", "items": {"raw/a.jpg": {"": {"key": {"S": "raw/a.jpg"}}}}}),
        "tags": scoped(),
        "stream_records": scoped(results=[{"eventID": "1"}]),
        "stream_trimmed": scoped(results=5),
    },
    "sqs": lambda: {
        "queues": scoped(
            letters={"attributes": {}, "messages": []},
            posts={"attributes": {"RedrivePolicy": "{}"}, "messages": [{"body": "a", "visible_at": 0}]},
        )
    },
    "cloudwatch_logs": lambda: {
        "log_groups": scoped(group={"arn": "a", "streams": {"[1]é": {"events": events(2 * parts.TOGETHER + 1)}}})
    },
    "cloudwatch": lambda: {"metrics": scoped(Swept=events(parts.TOGETHER + 1)), "dashboards": scoped()},
    "s3": lambda: {"buckets_meta": scoped(uploads={"region": None}), "plain": {"a": [1]}},
}


def written(service: str, stores: parts.State) -> dict[Any, Any]:
    text = {
        one.record: json.dumps(one.value, default=persistence._json_default)
        for one in parts.taken_apart(service, stores)
    }
    return {record: json.loads(value, object_hook=persistence._json_object_hook) for record, value in text.items()}


def plainly(stores: parts.State) -> dict[str, Any]:
    return {name: getattr(store, "_data", store) for name, store in stores.items()}


@pytest.mark.parametrize("service", STORES)
def test_put_together_it_is_what_it_was(service: str):
    stores = STORES[service]()
    assert plainly(parts.put_together(service, written(service, stores))) == plainly(STORES[service]())


@pytest.mark.parametrize(
    ("service", "change"),
    [
        ("stepfunctions", lambda stores: stores["executions"]._data[*SCOPE, "one"]["events"].append({"id": 3})),
        ("stepfunctions", lambda stores: stores["executions"]._data[*SCOPE, "one"].update(status="ABORTED")),
        (
            "dynamodb",
            lambda stores: (
                stores["tables"]._data[*SCOPE, "results"]["items"]["raw/a.jpg"].update({"": {"key": {"S": "b"}}})
            ),
        ),
        (
            "cloudwatch_logs",
            lambda stores: stores["log_groups"]._data[*SCOPE, "group"]["streams"]["[1]é"]["events"].pop(),
        ),
        ("cloudwatch", lambda stores: stores["metrics"]._data[*SCOPE, "Swept"].append({"timestamp": 0})),
    ],
)
def test_of_what_grows_a_mark_tells_that_it_has_changed_and_of_what_else_nothing_does(service: str, change: Any):
    stores = STORES[service]()
    before = {one.record: one.mark for one in parts.taken_apart(service, stores) if one.mark is not None}
    change(stores)
    after = {one.record: one.mark for one in parts.taken_apart(service, stores) if one.mark is not None}
    assert len([record for record in before if before[record] != after.get(record)]) + len(after) - len(before) in (
        0,
        1,
    )
    assert before != after


@pytest.mark.parametrize("after", range(1, 5))
def test_a_message_that_becomes_a_dead_letter_meanwhile_is_in_one_queue_at_least(after: int):
    stores = STORES["sqs"]()
    letters, posts = stores["queues"]._data.values()
    seen = []
    for number, part in enumerate(parts.taken_apart("sqs", stores)):
        if number == after:
            letters["messages"].append(posts["messages"].pop())
        seen += part.value if part.record[3] == "messages" else []
    assert seen


def test_an_item_of_a_table_that_was_being_made_is_left_out():
    """A kill came before the deployment was written."""
    values = written("dynamodb", STORES["dynamodb"]())
    values = {record: value for record, value in values.items() if record[3] != parts.WHOLE}
    assert plainly(parts.put_together("dynamodb", values))["tables"] == {}


def test_while_a_stack_is_at_work_what_the_pictures_change_is_told_from_what_the_deployment_does():
    made = {
        one.record[1]
        for service, stores in STORES.items()
        for one in parts.taken_apart(service, stores())
        if one.deployed
    }
    assert made == {"state_machines", "tables", "queues", "log_groups", "buckets_meta", "plain"}


@pytest.mark.parametrize(
    ("status", "at_work"),
    [
        ("CREATE_IN_PROGRESS", True),
        ("UPDATE_ROLLBACK_IN_PROGRESS", True),
        ("CREATE_COMPLETE", False),
        ("REVIEW_IN_PROGRESS", False),  # a change set that nobody has executed
    ],
)
def test_a_stack_is_at_work_while_something_is_made(status: str, at_work: bool, monkeypatch: pytest.MonkeyPatch):
    stacks = scoped(settled={"StackStatus": "CREATE_COMPLETE"}, looked_at={"StackStatus": status})
    monkeypatch.setattr(cloudformation, "_stacks", stacks)
    assert parts.stack_at_work() is at_work


def test_a_deployment_is_looked_at_again_until_every_service_could_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else a kill half a minute later would lose a stack that was there."""
    broken = True

    def state(service: str) -> dict[str, Any]:
        if service == "lambda" and broken:
            raise RuntimeError("dictionary changed size during iteration")
        return {}

    monkeypatch.setattr(parts, "state", state)
    monkeypatch.setattr(parts, "stack_at_work", lambda: False)
    monkeypatch.setattr(journal, "_load_persisted_state", lambda: None)
    ours = journal.Journal(tmp_path / "state" / "memory.sqlite")
    monkeypatch.setattr(ours._writer, "start", lambda: None)
    ours.load()
    assert ours._write(("lambda", "s3")) is False
    broken = False
    assert ours._write(("lambda", "s3")) is True
    assert ours._write(parts.GROWING) is False  # not all that there is


def test_each_deployment_of_a_stack_is_another_one(monkeypatch: pytest.MonkeyPatch):
    stack = {"StackName": "Darkroom", "StackStatus": "UPDATE_COMPLETE", "LastUpdatedTime": "2026-11-24T10:00:00Z"}
    monkeypatch.setattr(cloudformation, "_stacks", scoped(one=stack))
    before = parts.set_up()
    stack["LastUpdatedTime"] = "2026-11-24T11:00:00Z"
    assert parts.set_up() != before
