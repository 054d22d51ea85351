"""What happens at the same time in MiniStack is as if one had come after the other: nothing is lost, nothing is there
twice.

In each test something happens in the middle of something else. It then either happens or has to wait for its turn; in
both cases the other goes on.
"""

import asyncio
import contextvars
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ministack import app
from ministack.core.arn import parse_arn
from ministack.core.responses import AccountRegionScopedDict, set_request_account_id, set_request_region
from ministack.services import cloudwatch, dynamodb, eventbridge, lambda_svc, s3, sns, sqs, stepfunctions

from darkroom.local.ministack import distributed_maps, execution_names, history, time_limit, writes
from tests.statemachine import ministack
from tests.statemachine.engine import ACCOUNT, REGION, ROLE

Act = Callable[[], Any]
PATIENCE = 60  # seconds, after which a test has failed

QUEUE, LETTERS = (f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}" for name in ("queue", "letters"))
KEY = {"key": {"S": "raw/a.jpg"}}
NAMES = {"#key": "key"}


class Turn:
    """A lock, and who is to be told as soon as somebody waits for it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.tell: Act = str

    def acquire(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.tell()
            self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Meanwhile:
    """What another thread does in the middle of it, once."""

    def __init__(self, locks: list[Turn]) -> None:
        self._locks, self._act = locks, cast("Act | None", None)
        self.doing: Future[Any] = Future()

    def will(self, act: Act) -> None:
        self._act = act

    def __call__(self, *_: object) -> None:
        act, self._act = self._act, None
        if act is None:
            return
        done_or_waits = threading.Event()
        for lock in self._locks:
            lock.tell = done_or_waits.set
        with_one = ThreadPoolExecutor(1)
        self.doing = with_one.submit(contextvars.copy_context().run, act)
        self.doing.add_done_callback(lambda _: done_or_waits.set())
        with_one.shutdown(wait=False)
        assert done_or_waits.wait(PATIENCE)

    def end(self) -> Any:
        assert self._act is None, "it was never in the middle of it"
        return self.doing.result(PATIENCE)


class Watched(dict[str, Any]):
    """Something happens once somebody has looked at it: at this in it, or at all of it."""

    def __init__(self, of: dict[str, Any], looked_at: Act, at: str = "") -> None:
        super().__init__(of)
        self.looked_at, self.at = looked_at, at

    def __getitem__(self, name: str) -> Any:
        return self._seen(super().__getitem__(name), name)

    def get(self, name: str, default: Any = None) -> Any:
        return self._seen(super().get(name, default), name)

    def keys(self) -> Any:
        return self._seen(list(super().keys()))

    def items(self) -> Any:
        return self._seen(list(super().items()))

    def __deepcopy__(self, _: object) -> dict[str, Any]:
        return dict(super().items())

    def _seen(self, found: Any, name: str = "") -> Any:
        if name == self.at:
            self.looked_at()
        return found


class WatchedList(list[Any]):
    """Something happens once somebody has seen the last one."""

    def __init__(self, of: Iterable[Any], looked_at: Act) -> None:
        super().__init__(of)
        self.looked_at = looked_at

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        self.looked_at()


@pytest.fixture(autouse=True)
def _account() -> None:
    set_request_account_id(ACCOUNT)
    set_request_region(REGION)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    for names in (writes.ROWS, writes.MESSAGES, writes.POINTS, {lambda_svc: writes.FAILURES, dynamodb: ["_lock"]}):
        for module, of_module in names.items():
            for name in of_module:
                monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(sqs, "_HANDLERS", dict(sqs._HANDLERS))
    locks: list[Turn] = []

    def new_lock() -> Turn:
        locks.append(Turn())
        return locks[-1]

    writes.add(new_lock)
    return Meanwhile(locks)


def said(answer: Any) -> Any:
    status, _, body = answer
    assert status == 200, body
    return json.loads(body)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The rows of a table with an index, whose time may be over."""
    monkeypatch.setattr(dynamodb, "_tables", AccountRegionScopedDict())
    monkeypatch.setattr(dynamodb, "_ttl_settings", AccountRegionScopedDict())
    of_index = [{"AttributeName": "status", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}]
    index = {"IndexName": "by-status", "KeySchema": of_index, "Projection": {"ProjectionType": "ALL"}}
    dynamodb._tables["rows"] = {
        "TableName": "rows",
        "pk_name": "key",
        "sk_name": None,
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("key", "status")],
        "GlobalSecondaryIndexes": [index],
        "items": defaultdict(dict),
    }
    dynamodb._ttl_settings["rows"] = {"TimeToLiveStatus": "ENABLED", "AttributeName": "ends"}
    items: dict[str, Any] = dynamodb._tables["rows"]["items"]
    return items


def put(**item: Any) -> Any:
    return dynamodb._put_item({"TableName": "rows", "Item": KEY | {name: {"S": text} for name, text in item.items()}})


def update(expression: str, value: str = "1", **more: Any) -> Any:
    values = {":value": {"N": value}}
    asked = {"TableName": "rows", "Key": KEY, "UpdateExpression": expression, "ExpressionAttributeValues": values}
    return dynamodb._update_item({**asked, **more})


def found() -> Any:
    return said(dynamodb._get_item({"TableName": "rows", "Key": KEY})).get("Item")


@pytest.fixture
def before_a_write(monkeypatch: pytest.MonkeyPatch, meanwhile: Meanwhile) -> Meanwhile:
    """Of what was worked out from the row as it was."""
    write = dynamodb._set_item
    monkeypatch.setattr(dynamodb, "_set_item", lambda *of: (meanwhile(), write(*of))[1])
    return meanwhile


@pytest.mark.usefixtures("rows")
def test_of_two_writes_to_a_row_none_is_lost(before_a_write):
    before_a_write.will(lambda: said(update("ADD calls :value")))
    said(update("ADD calls :value"))
    before_a_write.end()
    assert found()["calls"] == {"N": "2"}


UNLESS_THERE = {"ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": NAMES}
CLAIMS = {
    "put": lambda: dynamodb._put_item({"TableName": "rows", "Item": KEY, **UNLESS_THERE}),
    "update": lambda: update("SET calls = :value", **UNLESS_THERE),
    "transaction": lambda: dynamodb._transact_write_items(
        {"TransactItems": [{"Put": {"TableName": "rows", "Item": KEY, **UNLESS_THERE}}]}
    ),
}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("second", CLAIMS)
@pytest.mark.parametrize("first", CLAIMS)
def test_of_two_claims_of_a_row_one_is_refused(before_a_write, first: str, second: str):
    before_a_write.will(CLAIMS[second])
    statuses = [CLAIMS[first]()[0], before_a_write.end()[0]]
    assert sorted(statuses) == [200, 400]


def test_a_row_that_gets_more_time_as_its_time_is_over_stays(monkeypatch, meanwhile, rows):
    """MiniStack looks for such rows once a minute."""
    said(update("SET ends = :value"))
    [(place, row)] = rows["raw/a.jpg"].items()
    rows["raw/a.jpg"][place] = Watched(row, meanwhile, "ends")
    meanwhile.will(lambda: said(update("SET ends = :value", str(int(time.time()) + 1000))))
    pauses = iter([None])
    monkeypatch.setattr(dynamodb, "time", SimpleNamespace(time=time.time, sleep=lambda _: next(pauses)))
    with pytest.raises(StopIteration):
        dynamodb._ttl_reaper()
    meanwhile.end()
    assert found()["ends"] != {"N": "1"}


READS = {
    "_scan": {"TableName": "rows"},
    "_query": {
        "TableName": "rows",
        "IndexName": "by-status",
        "KeyConditionExpression": "#status = :done",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":done": {"S": "DONE"}},
    },
}


@pytest.mark.parametrize(("read", "change"), [("_scan", "go"), ("_query", "go"), ("_query", "come")])
def test_rows_may_come_and_go_while_others_are_read(meanwhile, rows, read: str, change: str):
    """What is read is as it was before."""
    put(status="DONE")
    rows["raw/a.jpg"] = Watched(rows["raw/a.jpg"], meanwhile)
    if change == "come":
        meanwhile.will(lambda: said(put(key="raw/b.jpg", status="DONE")))
    else:
        meanwhile.will(lambda: said(dynamodb._delete_item({"TableName": "rows", "Key": KEY})))
    assert said(getattr(dynamodb, read)(READS[read]))["Items"] == [KEY | {"status": {"S": "DONE"}}]
    meanwhile.end()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of which each message that was received once goes to the letters."""
    for store in ("_queues", "_queue_name_to_url"):
        monkeypatch.setattr(sqs, store, AccountRegionScopedDict())
    sqs._act_create_queue({"QueueName": "letters"}, "")
    redrive = json.dumps({"deadLetterTargetArn": LETTERS, "maxReceiveCount": 1})
    url = sqs._act_create_queue({"QueueName": "queue", "Attributes": {"RedrivePolicy": redrive}}, "")["QueueUrl"]
    found: dict[str, Any] = sqs._queues[url]
    return found


def send(body: str = "new") -> Any:
    return sqs._act_send_message({"QueueUrl": sqs._queue_url("queue"), "MessageBody": body}, "")


SENT = {
    "by a workflow": send,
    "by a rule": lambda: eventbridge._dispatch_to_sqs(parse_arn(QUEUE), "new"),
    "by a bucket": lambda: s3._deliver_event_to_sqs(QUEUE, {}, REGION),
    "by a topic": lambda: sns._deliver_to_sqs(QUEUE, "new", True, "new"),
    "for a function": lambda: lambda_svc._route_async_failure(QUEUE, "function", {}, {}),
    "for a mapping": lambda: lambda_svc._send_ddb_stream_failure_record(
        {"DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}, {}, [], "stream", {}, "MaxRecordAgeExceeded"
    ),
}
GONE = {
    "deleted": lambda url: sqs._act_delete_message({"QueueUrl": url, "ReceiptHandle": "old"}, ""),
    "deleted with others": lambda url: sqs._act_delete_message_batch(
        {"QueueUrl": url, "Entries": [{"Id": "1", "ReceiptHandle": "old"}]}, ""
    ),
    "deleted for a mapping": lambda url: sqs._delete_messages_for_esm(url, {"old"}),
    "a dead letter": lambda url: sqs._dlq_sweep(sqs._queues[url]),
    "too old": lambda url: sqs._act_get_queue_attributes({"QueueUrl": url}, ""),
}


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("gone", GONE)
def test_a_message_that_comes_while_another_goes_stays(meanwhile, queue, gone: str, sent: str):
    send("old")
    [old] = queue["messages"]
    old.update(receipt_handle="old", receive_count=1, sent_at=1 if gone == "too old" else old["sent_at"])
    queue["messages"] = WatchedList([old], meanwhile)
    meanwhile.will(SENT[sent])
    GONE[gone](queue["url"])
    meanwhile.end()
    assert "old" not in [one["body"] for one in queue["messages"]]
    assert len(queue["messages"]) == 1


def test_a_message_is_handed_to_one_receiver(meanwhile, queue):
    send()
    [message] = queue["messages"]
    queue["messages"][:] = [Watched(message, meanwhile, "visible_at")]
    meanwhile.will(lambda: sqs._receive_messages_for_esm(queue["url"], 1))
    received = asyncio.run(sqs._HANDLERS["ReceiveMessage"]({"QueueUrl": queue["url"]}, ""))
    assert len(received.get("Messages", [])) + len(meanwhile.end()) == 1
    assert queue["messages"][0]["receive_count"] == 1


@pytest.mark.usefixtures("queue")
def test_a_message_that_does_not_go_to_a_queue_keeps_nobody_waiting(monkeypatch, meanwhile):
    """A topic may call a function, which may send a message before it ends."""
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
    monkeypatch.setattr(sns, "_topics", {topic: {}})
    monkeypatch.setattr(sns, "_fanout", meanwhile)
    meanwhile.will(send)
    lambda_svc._route_async_failure(topic, "function", {}, {})
    assert meanwhile.doing.done()


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch, meanwhile: Meanwhile) -> Callable[[], int]:
    """How many there are of a metric."""

    class Store(AccountRegionScopedDict):
        def get(self, *of: Any) -> Any:
            found = super().get(*of)
            meanwhile()
            return found

    monkeypatch.setattr(cloudwatch, "_metrics", Store())
    return lambda: sum(map(len, cloudwatch._metrics.values()))


def record() -> None:
    cloudwatch.record_metric("AWS/Lambda", "Throttles", 1)


def test_of_the_first_points_of_a_metric_none_is_lost(meanwhile, points):
    meanwhile.will(record)
    record()
    meanwhile.end()
    assert points() == 2


def test_a_point_that_comes_while_old_ones_go_stays(meanwhile, points):
    record()
    [(metric, [point])] = cloudwatch._metrics.items()
    cloudwatch._metrics[metric] = WatchedList([{**point, "Timestamp": 1}], meanwhile)
    meanwhile.will(record)
    cloudwatch._evict_old_metrics()
    meanwhile.end()
    assert points() == 1


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What EventBridge is told of them. None of them begins by itself."""
    ministack.prepared(monkeypatch, history, time_limit)
    monkeypatch.setattr(stepfunctions, "threading", SimpleNamespace(Thread=lambda **_: SimpleNamespace(start=str)))
    told: list[str] = []

    def put_events(asked: Any, **_: Any) -> None:
        detail = json.loads(asked["Entries"][0]["Detail"])
        if detail["executionArn"] in stepfunctions._executions:  # one of another test may end only now
            told.append(detail["status"])

    monkeypatch.setattr(eventbridge, "_put_events", put_events)
    yield told
    stepfunctions.reset()


def machine() -> str:
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}})
    created = stepfunctions._create_state_machine({"name": "machine", "definition": definition, "roleArn": ROLE})
    return str(said(created)["stateMachineArn"])


@pytest.fixture
def while_one_starts(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Once MiniStack has looked for the name, and before it has written it down."""
    meanwhile, now = Meanwhile([turn := Turn()]), stepfunctions.now_iso
    execution_names.add(lambda: turn)
    monkeypatch.setattr(stepfunctions, "now_iso", lambda: (meanwhile(), now())[1])
    return meanwhile


def test_of_two_starts_with_one_name_only_one_runs(executions, while_one_starts):
    asked = {"stateMachineArn": machine(), "name": "one"}
    while_one_starts.will(lambda: stepfunctions._start_execution(asked))
    said(stepfunctions._start_execution(asked))
    status, _, body = while_one_starts.end()
    assert (status, json.loads(body)["__type"]) == (400, "ExecutionAlreadyExists")
    assert executions == ["RUNNING"]


@pytest.mark.usefixtures("executions")
def test_who_hears_of_a_start_may_start_another(monkeypatch, while_one_starts):
    """In the same thread, as a rule does, or in another one."""
    asked = {"stateMachineArn": machine()}

    def heard(*_: Any, **__: Any) -> None:
        if len(stepfunctions._executions) == 1:
            said(stepfunctions._start_execution(asked))
            while_one_starts.will(lambda: said(stepfunctions._start_execution(asked)))
            while_one_starts()
            assert while_one_starts.doing.done()

    monkeypatch.setattr(eventbridge, "_put_events", heard)
    said(stepfunctions._start_execution(asked))
    assert len(stepfunctions._executions) == 3


def stop(arn: str) -> Any:
    return stepfunctions._stop_execution({"executionArn": arn})


def time_out(arn: str) -> Any:
    time_limit.time_out(stepfunctions._executions[arn])
    return 400, {}, b""


@pytest.mark.parametrize(("end", "looks"), [(stop, 2), (time_out, 1)])
def test_an_execution_ends_once(monkeypatch, executions, end: Callable[[str], Any], looks: int):
    """Who wants to end it has seen it at work, and comes just before its own last event, or just after."""
    arn = said(stepfunctions._start_execution({"stateMachineArn": machine()}))["executionArn"]
    at_the_end, go_on = threading.Event(), threading.Event()
    write, here = history._write, threading.current_thread()
    running = threading.Thread(target=contextvars.copy_context().run, args=(stepfunctions._run_execution, arn))

    def written(execution: Any, kind: str, *of: Any) -> Any:
        if kind == "ExecutionSucceeded":
            at_the_end.set()
            assert go_on.wait(PATIENCE)
        elif threading.current_thread() is here:
            go_on.set()
            running.join(PATIENCE)
        return write(execution, kind, *of)

    monkeypatch.setattr(history, "_write", written)

    def run_to_the_end() -> None:
        if threading.current_thread() is here and next(look) == looks:
            running.start()
            assert at_the_end.wait(PATIENCE)

    look = itertools.count(1)
    execution = stepfunctions._executions[arn] = Watched(stepfunctions._executions[arn], run_to_the_end, "status")
    status, _, _ = end(arn)
    assert (execution["status"], execution["events"][-1]["type"]) == ("SUCCEEDED", "ExecutionSucceeded")
    assert (status, executions) == (400, ["RUNNING", "SUCCEEDED"])


def test_objects_may_come_while_a_map_lists_their_bucket(monkeypatch):
    """The listing is as it was before. S3 itself answers one request after the other."""
    loop = asyncio.new_event_loop()
    serving = threading.Thread(target=loop.run_forever, daemon=True)
    serving.start()
    monkeypatch.setattr(app, "_MAIN_LOOP", loop)
    objects: dict[str, Any] = {}

    async def upload() -> None:
        objects["raw/b.jpg"] = {}

    class Key(str):
        __slots__ = ()

        def startswith(self, *prefix: Any) -> bool:
            coming = asyncio.run_coroutine_threadsafe(upload(), loop)
            if threading.current_thread() is not serving:  # which cannot wait for itself
                coming.result(PATIENCE)
            return super().startswith(*prefix)

    objects[Key("raw/a.jpg")] = {}
    monkeypatch.setattr(s3, "_buckets", {"images": {"objects": objects}})
    monkeypatch.setattr(distributed_maps.workflow_roles, "ask_to_list", lambda *_: None)
    reader = {"Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": {"Bucket": "images", "Prefix": "raw/"}}
    items = distributed_maps._items({"ItemReader": reader}, {}, {})
    loop.call_soon_threadsafe(loop.stop)
    serving.join(PATIENCE)
    loop.close()
    assert [one["Key"] for one in items] == ["raw/a.jpg"]


def test_of_writes_of_an_object_that_may_not_be_there_one_is_taken():
    """S3 needs no lock: it answers in one thread, and waits for nothing in the middle of it."""

    async def at_once() -> list[int]:
        put = {"if-none-match": "*"}
        await s3.handle_request("PUT", "/images", {}, b"", {})
        writes = [s3.handle_request("PUT", "/images/raw/a.jpg", put, b"a", {}) for _ in range(4)]
        return [status for status, _, _ in await asyncio.gather(*writes)]

    statuses = asyncio.run(at_once())
    s3.reset()
    assert sorted(statuses) == [200, 412, 412, 412]
