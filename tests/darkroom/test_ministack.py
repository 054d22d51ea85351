"""What is added to MiniStack. That state machines can list versions is shown by undelete, in tests/e2e."""

import importlib.metadata
import json
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonata.jsonata import Jsonata
from jsonata.parser import Parser
from ministack.core import lambda_runtime, persistence
from ministack.core.responses import AccountRegionScopedDict, set_request_account_id, set_request_region
from ministack.services import bedrock_runtime, dynamodb, lambda_svc, stepfunctions

from darkroom.local import ministack
from darkroom.local.cloud import ACCOUNT, REGION
from darkroom.local.ministack import captions, expressions, layers, processes, prompt_start, streams

PATIENCE = 60  # seconds


def test_it_is_written_for_the_version_that_is_locked():
    """With another one every part has to be looked at: MiniStack may have it by then."""
    assert importlib.metadata.version("ministack") == ministack.WRITTEN_FOR


def test_another_version_gets_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ministack, "version", lambda _: "2.0")
    before = lambda_svc.acquire_worker
    ministack.add_to_ministack()
    assert lambda_svc.acquire_worker is before
    assert caplog.messages == [f"MiniStack is 2.0, not {ministack.WRITTEN_FOR}: nothing is added to it"]


def test_a_canned_caption_reads_like_one_and_says_that_it_is_canned(monkeypatch: pytest.MonkeyPatch):
    """Through MiniStack's own answer to the call that Caption makes."""
    monkeypatch.setattr(bedrock_runtime, "_mock_reply", bedrock_runtime._mock_reply)
    captions.add()
    question = {"messages": [{"role": "user", "content": [{"text": "Write alt text for this image"}]}]}
    answer = bedrock_runtime._converse("amazon.nova-lite-v1:0", {}, json.dumps(question).encode())
    [content] = json.loads(answer[2])["output"]["message"]["content"]
    assert content["text"] == captions.CANNED
    assert "Canned" in captions.CANNED


def test_an_expression_is_parsed_once_and_has_its_own_values_each_time(monkeypatch: pytest.MonkeyPatch):
    """In whichever thread; a wrong one is wrong each time."""
    monkeypatch.setattr(Jsonata, "get_parser", staticmethod(Jsonata.get_parser))
    parse, parsed = Parser.parse, []
    monkeypatch.setattr(Parser, "parse", lambda of, text, *how: parsed.append(text) or parse(of, text, *how))
    expressions._parsed.cache_clear()
    expressions.add()

    def value(number: int, text: str = "$map([1, 2], function($of) { $of * $number })") -> Any:
        return stepfunctions._evaluate_jsonata(text, None, {"variables": {"number": number}})

    assert value(1) == [1, 2]
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(value, range(2, 40))] == [[number, 2 * number] for number in range(2, 40)]
    assert len(parsed) == 1
    for _ in range(2):
        with pytest.raises(stepfunctions._ExecutionError, match="S0207"):
            value(1, "$number +")


@pytest.fixture
def _layers_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(lambda_runtime, "zipfile", zipfile)
    layers.add()


@pytest.mark.usefixtures("_layers_added")
def test_a_layer_is_unpacked_once(tmp_path: Path):
    archive = tmp_path / "layer.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("python/pillow/__init__.py", "made = 1")
        file.writestr("LICENSE", "MIT")
    unpacked = []
    for process in ("one", "another"):
        folder = tmp_path / process
        folder.mkdir()
        with lambda_runtime.zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        assert (folder / "python" / "pillow" / "__init__.py").read_text() == "made = 1"
        assert (folder / "LICENSE").read_text() == "MIT"
        unpacked.append((folder / "python").resolve())
    assert unpacked[0] == unpacked[1] != tmp_path / "one" / "python"


@pytest.mark.usefixtures("_layers_added")
def test_a_bad_archive_is_an_error_that_ministack_catches(tmp_path: Path):
    (tmp_path / "layer.zip").write_bytes(b"no archive")
    names = lambda_runtime.zipfile
    with pytest.raises((names.BadZipFile, names.LargeFileError)):
        names.ZipFile(tmp_path / "layer.zip")


@pytest.fixture
def _two_processes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_runtime, "_workers", {})
    for name in ("acquire_worker", "release_worker"):
        monkeypatch.setattr(lambda_svc, name, getattr(lambda_svc, name))
    name = "_invoke_resource_with_timeout"
    monkeypatch.setattr(stepfunctions, name, getattr(stepfunctions, name))
    monkeypatch.setattr(processes, "AT_ONCE", 2)
    processes.add()


def acquired(name: str = "resize", *, started: bool = True) -> tuple[Any, str]:
    config = {"FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}", "Runtime": "python3.11"}
    found: tuple[Any, str] = lambda_svc.acquire_worker(name, config, b"")
    if started:
        found[0]._start_time = time.time()
    return found


@pytest.mark.usefixtures("_two_processes_at_once")
def test_a_call_more_than_there_are_processes_waits_for_one():
    one, another = acquired()[0], acquired()[0]
    assert one is not another
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(acquired)
        lambda_svc.release_worker(another)
        assert waiting.result(PATIENCE) == (another, "reused")
    assert len(lambda_runtime._workers) == 1
    [workers] = lambda_runtime._workers.values()
    assert workers == [one, another]


class Looks:
    """Counts how often a process is looked for, and by which threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        acquire, self.threads, self._made = lambda_runtime.acquire_worker, set[int](), threading.Semaphore(0)

        def looked(*call: Any) -> Any:
            self.threads.add(threading.get_ident())
            self._made.release()
            return acquire(*call)

        monkeypatch.setattr(lambda_runtime, "acquire_worker", looked)

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self._made.acquire(timeout=PATIENCE)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Looks:
    counted = Looks(monkeypatch)
    request.getfixturevalue("_two_processes_at_once")
    return counted


def test_a_second_process_waits_until_the_first_has_started(looks: Looks):
    """Two starts at once take twice as long, and the call that waits is short."""
    first, _ = acquired(started=False)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(acquired)
        looks.wait_for(1 + 3)
        assert not second.done()
        first._start_time = time.time()
        assert second.result(PATIENCE)[1] == "spawn"


def test_a_state_has_its_time_once_its_call_has_a_process(looks: Looks, monkeypatch: pytest.MonkeyPatch):
    """By a clock of the test: a machine that is busy takes none of its time."""
    now = [0.0]
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    monkeypatch.setattr(stepfunctions, "_invoke_resource", lambda *_: acquired())
    one, another = acquired(), acquired()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(stepfunctions._invoke_resource_with_timeout, "a function", {}, 0.05)
        looks.wait_for(2 + 1)
        now[0] = 1000
        looks.wait_for(2)
        assert not waiting.done()
        lambda_svc.release_worker(another[0])
        assert waiting.result(PATIENCE) == (another[0], "reused")
    assert one[0].in_use


@pytest.mark.usefixtures("_two_processes_at_once")
def test_a_state_that_takes_longer_ends(monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()
    monkeypatch.setattr(stepfunctions, "_invoke_resource", lambda *_: over.wait(PATIENCE))
    with pytest.raises(stepfunctions._ExecutionError) as raised:
        stepfunctions._invoke_resource_with_timeout("a function", {}, 0.05)
    over.set()
    assert (raised.value.error, raised.value.cause) == ("States.Timeout", "Task timed out after 0.05 seconds")


def test_of_many_calls_that_wait_one_looks(looks: Looks):
    """300 pictures at once are as many calls of Validate: all looking, they would leave no time for anything else."""
    held = [acquired()[0], acquired()[0]]
    looks.threads.clear()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(lambda: lambda_svc.release_worker(acquired()[0])) for _ in range(20)]
        looks.wait_for(2 + 10)
        assert len(looks.threads) == 1
        for worker in held:
            lambda_svc.release_worker(worker)
        for one in waiting:
            one.result(PATIENCE)


@pytest.mark.usefixtures("_two_processes_at_once")
def test_a_call_that_lasts_gives_its_place_up():
    """A function may call itself, and wait for that call."""
    for worker in (acquired()[0], acquired()[0]):
        worker.last_used = time.time() - processes.LONG - 1
    assert acquired()[1] == "spawn"


def test_however_long_calls_last_a_function_has_few_processes(looks: Looks):
    """All calls last where the machine is busy: each process more would make them last longer."""
    held = [acquired()[0] for _ in range(2)]
    for worker in held:
        worker.last_used = 0
    while len(held) < processes.MOST:
        held.append(acquired()[0])
        held[-1].last_used = 0
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(acquired)
        looks.wait_for(processes.MOST + 3)
        assert not waiting.done()
        lambda_svc.release_worker(held[0])
        assert waiting.result(PATIENCE) == (held[0], "reused")


@pytest.mark.usefixtures("_two_processes_at_once")
def test_another_function_waits_for_none():
    acquired()
    acquired()
    assert acquired("caption")[1] == "spawn"


@pytest.mark.parametrize(("added", "pauses"), [(False, [0.15]), (True, [])])
def test_an_execution_begins_at_once(added: bool, pauses: list[float], monkeypatch: pytest.MonkeyPatch):
    """MiniStack pauses before it looks for the state machine, of which there is none here."""
    paused: list[float] = []
    monkeypatch.setattr(stepfunctions, "time", time)
    monkeypatch.setattr(time, "sleep", paused.append)
    if added:
        prompt_start.add()
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:gone:one"
    execution = {"executionArn": arn, "stateMachineArn": "gone", "status": "RUNNING", "events": [], "input": "{}"}
    monkeypatch.setitem(stepfunctions._executions, arn, execution)
    monkeypatch.setattr(stepfunctions, "_emit_execution_status_event", lambda _: None)
    stepfunctions._run_execution(arn)
    assert (execution["status"], paused) == ("FAILED", pauses)


class Stream:
    """A table's stream with one mapping, in MiniStack's own memory."""

    def __init__(self) -> None:
        set_request_account_id(ACCOUNT)  # whoever asked before
        set_request_region(REGION)
        arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/rows"
        stream = f"{arn}/stream/now"
        how = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        facts = {"TableName": "rows", "TableArn": arn, "LatestStreamArn": stream, "pk_name": "key", "sk_name": None}
        dynamodb._tables["rows"] = {**facts, "StreamSpecification": how, "items": {}}
        lambda_svc._functions["told"] = {"config": {"FunctionName": "told"}}
        mapping = {"UUID": "one", "EventSourceArn": stream, "FunctionName": "told", "StartingPosition": "TRIM_HORIZON"}
        lambda_svc._esms["one"] = {**mapping, "Enabled": True, "BatchSize": 2}

    def write(self, *keys: str) -> None:
        for key in keys:
            dynamodb._emit_stream_event("rows", "INSERT", None, {"key": {"S": key}})

    def records(self) -> int:
        return len(dynamodb._stream_records.get("rows") or [])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that the mapping's function was given."""
    given: list[str] = []

    def execute(_: Any, event: dict[str, Any]) -> dict[str, Any]:
        given.extend(one["dynamodb"]["Keys"]["key"]["S"] for one in event["Records"])
        return {"body": None}

    for module, names in {
        dynamodb: ("_tables", "_stream_records", "_stream_trimmed"),
        lambda_svc: ("_functions", "_esms", "_dynamodb_stream_positions"),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, AccountRegionScopedDict())
    monkeypatch.setattr(lambda_svc, "_execute_function", execute)
    monkeypatch.setattr(lambda_svc, "_poll_dynamodb_streams", lambda_svc._poll_dynamodb_streams)
    monkeypatch.setattr(dynamodb, "load_persisted_state", dynamodb.load_persisted_state)
    streams.add()
    return given


def test_a_stream_goes_on_after_a_start_where_it_was(told: list[str], monkeypatch: pytest.MonkeyPatch):
    """What was not yet told is told then, what was is not, and what comes is not taken for what was."""
    stream = Stream()
    stream.write("1", "2", "3")
    assert lambda_svc._poll_dynamodb_streams()
    kept = json.dumps(streams.kept(), default=persistence._json_default)
    assert told == ["1", "2"]
    for name in ("_stream_records", "_stream_trimmed"):  # as a start finds them
        monkeypatch.setattr(dynamodb, name, AccountRegionScopedDict())
    dynamodb.load_persisted_state(json.loads(kept, object_hook=persistence._json_object_hook))
    stream.write("4")
    assert lambda_svc._poll_dynamodb_streams()
    assert told == ["1", "2", "3", "4"]


def test_a_position_that_counts_what_a_kill_has_lost_goes_back(told: list[str]):
    """It is written down after the records. Without this, as many changes would pass untold."""
    stream = Stream()
    lambda_svc._dynamodb_stream_positions["one"] = 7
    lambda_svc._poll_dynamodb_streams()
    stream.write("1")
    lambda_svc._poll_dynamodb_streams()
    assert told == ["1"]


def test_what_every_mapping_has_read_takes_no_memory(told: list[str]):
    """MiniStack keeps it for 24 hours. What one has not read yet stays."""
    stream = Stream()
    lambda_svc._esms["two"] = {**lambda_svc._esms["one"], "UUID": "two", "Enabled": False}
    stream.write("1", "2")
    lambda_svc._poll_dynamodb_streams()
    assert (told, stream.records()) == (["1", "2"], 2)
    lambda_svc._esms["two"]["Enabled"] = True
    lambda_svc._poll_dynamodb_streams()
    assert (told, stream.records()) == (["1", "2"] * 2, 0)
