"""A function that fails on the local cloud fails as on Lambda. What Step Functions makes of it is in tests/e2e."""

import io
import os
import queue
import select
import signal
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ministack.core import lambda_runtime
from ministack.services import lambda_svc, stepfunctions

from darkroom.local.cloud import ACCOUNT, REGION
from darkroom.local.ministack import (
    function_children,
    function_errors,
    function_forks,
    function_logs,
    function_memory,
    layers,
)

PATIENCE = 30  # seconds
REQUEST = "3f1c0c6e-2a1b-4f3d-9f58-000000000001"
CODE = """
import os, random, signal, subprocess, sys, time

THERE = set(sys.modules)

class ModelBusy(Exception): pass

def raises(event, context): raise ModelBusy("come again")
def answers_no_json(event, context): return {1, 2}
def leaves(event, context): return event or os._exit(3)
def ends(event, context): return event or sys.exit(0)
def is_killed(event, context): return event or os.kill(os.getpid(), signal.SIGKILL)
def sleeps(event, context): time.sleep(60)

def tells_about_itself(event, context):
    import packed
    there = [name for name in ("boto3", "PIL.Image", "aws_lambda_powertools.logging") if name in THERE]
    return {"parent": os.getppid(), "there": there, "packed": packed.NAME, "chance": random.random(),
            "variable": os.environ.get("VARIABLE"), "folder": os.getcwd() == os.environ["LAMBDA_TASK_ROOT"]}

def writes(event, context):
    for number in range(event):
        print(f"line {number} of {event}")
    sys.stdout.write("and what no line ends")
    sys.stdout.flush()

def waits_for_a_child(event, context):
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, file=open(event, "w"), flush=True)
    child.wait()

def takes_too_much(event, context):
    held = b"x" * (200 << 20)
    time.sleep(60)

def has_a_child_that_does(event, context):
    return subprocess.run([sys.executable, "-c", "import time; held = b'x' * (200 << 20); time.sleep(60)"]).returncode
"""

Called = Callable[..., dict[str, Any]]


@pytest.fixture(params=["started", "forked"])
def called(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Called]:
    """Calls a function of CODE, with 60 s and 128 MB; with a layer, it is forked."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.getbasetemp()))
    for name in ("_PYTHON_WORKER_SCRIPT", "subprocess", "_signal", "zipfile"):
        monkeypatch.setattr(lambda_runtime, name, getattr(lambda_runtime, name))
    for name in ("invoke", "_read_stderr", "_drain_stderr_bounded"):
        monkeypatch.setattr(lambda_runtime.Worker, name, getattr(lambda_runtime.Worker, name))
    monkeypatch.setattr(lambda_svc, "_execute_function_warm", lambda_svc._execute_function_warm)
    monkeypatch.setattr(stepfunctions, "_call_lambda", stepfunctions._call_lambda)
    monkeypatch.setattr(lambda_runtime, "_workers", {})
    function_children.add()
    function_errors.add()
    function_forks.add()
    function_logs.add()
    function_memory.add()
    layers.add()
    monkeypatch.setattr(lambda_svc, "_resolve_layer_zip", lambda _: zipped("python/packed.py", "NAME = 'packed'"))

    def call(
        handler: str, event: Any = None, *, code: str = CODE, timeout: int = 60, **variables: str
    ) -> dict[str, Any]:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        config = {"FunctionArn": arn, "FunctionName": "f", "Runtime": "python3.11", "Handler": f"module.{handler}"}
        config |= {"Timeout": timeout, "MemorySize": 128, "Layers": ["a layer"] if request.param == "forked" else []}
        config |= {"Environment": {"Variables": variables}}
        function = {"config": config, "code_zip": zipped("module.py", code)}
        result: dict[str, Any] = lambda_svc._execute_function_warm(function, event, REQUEST)
        return result

    yield call
    end_all()


def end_all() -> None:
    lambda_runtime.kill_workers([worker for workers in lambda_runtime._workers.values() for worker in workers])
    lambda_runtime._workers.clear()


def zipped(name: str, text: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo(name), text)  # which has always the same time
    return archive.getvalue()


def failed(result: dict[str, Any]) -> tuple[str, str]:
    assert result["error"]
    return result["body"]["errorType"], result["body"]["errorMessage"]


@pytest.mark.parametrize("called", ["forked"], indirect=True)
def test_one_with_a_layer_is_forked_from_what_has_its_packages(called: Called):
    """Each process has its own environment, folder and chance; the one they are forked from has a single thread, or
    another one's lock could be held for ever."""
    first = called("tells_about_itself", VARIABLE="one")["body"]
    end_all()
    second = called("tells_about_itself", VARIABLE="two")["body"]
    assert first["parent"] == second["parent"] != os.getpid()
    assert first["there"] == ["boto3", "PIL.Image", "aws_lambda_powertools.logging"]
    assert (first["packed"], first["folder"], first["variable"], second["variable"]) == ("packed", True, "one", "two")
    assert first["chance"] != second["chance"]
    assert "Threads:\t1\n" in Path(f"/proc/{first['parent']}/status").read_text()


@pytest.mark.parametrize("called", ["forked"], indirect=True)
def test_without_its_fork_server_a_function_is_started_as_ever(called: Called):
    """And the next one has a fork server again."""
    parents = [called("tells_about_itself")["body"]["parent"]]
    os.kill(parents[0], signal.SIGKILL)
    for _ in range(2):
        end_all()
        parents.append(called("tells_about_itself")["body"]["parent"])
    assert parents[1] == os.getpid()
    assert parents[2] not in parents[:2]


def test_an_exception_has_its_class_and_its_stack(called: Called):
    result = called("raises")
    assert failed(result) == ("ModelBusy", "come again")
    assert result["body"]["requestId"] == REQUEST
    [line] = result["body"]["stackTrace"]
    assert "module.py" in line
    assert "in raises" in line


def test_an_answer_that_is_no_json_says_so(called: Called):
    kind, message = failed(called("answers_no_json"))
    assert (kind, message) == (
        "Runtime.MarshalError",
        "Unable to marshal response: Object of type set is not JSON serializable",
    )


@pytest.mark.parametrize(
    ("handler", "how"),
    [
        ("leaves", "exited with error: exit status 3"),
        ("ends", "exited without providing a reason"),
        ("is_killed", "exited with error: signal: killed"),
    ],
)
def test_a_process_that_ends_says_how(called: Called, handler: str, how: str):
    assert failed(called(handler)) == ("Runtime.ExitError", f"RequestId: {REQUEST} Error: Runtime {how}")
    assert called(handler, {"the next": "call"})["body"] == {"the next": "call"}


def test_a_function_out_of_time_says_so(called: Called):
    said = ("Sandbox.Timedout", f"RequestId: {REQUEST} Error: Task timed out after 1.00 seconds")
    assert failed(called("sleeps", timeout=1)) == said


def test_what_a_function_has_started_ends_with_it(called: Called, tmp_path: Path):
    """Killed at once; the kernel ends it a little later."""
    note = tmp_path / "child"
    failed(called("waits_for_a_child", str(note), timeout=2))
    with suppress(ProcessLookupError):  # it has ended
        child = os.pidfd_open(int(note.read_text()))
        assert select.select([child], [], [], PATIENCE)[0]
        os.close(child)


def test_what_takes_too_much_memory_is_killed(called: Called):
    result = called("takes_too_much")
    assert failed(result) == (
        "Runtime.ExitError",
        f"RequestId: {REQUEST} Error: Runtime exited with error: signal: killed",
    )
    assert "Runtime.OutOfMemory" in result["log"]


def test_of_several_processes_the_largest_is_killed(called: Called):
    """As the examiner of Validate, whose death is a verdict."""
    assert called("has_a_child_that_does")["body"] == -9


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import nowhere", "Runtime.ImportModuleError", "Unable to import module 'module': No module named 'nowhere'"),
        ("a b", "Runtime.UserCodeSyntaxError", "Syntax error in module 'module': invalid syntax (module.py, line 1)"),
        ("", "Runtime.HandlerNotFound", "Handler 'raises' missing on module 'module'"),
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("import os; os._exit(7)", "Runtime.ExitError", "Runtime exited with error: exit status 7"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(called: Called, code: str, kind: str, message: str):
    said = failed(called("raises", code=code))
    assert said == (kind, message) or said == (kind, f"RequestId: {REQUEST} Error: {message}")


def test_one_that_cannot_begin_leaves_its_siblings_at_work(called: Called):
    called("leaves", "at work")
    [[sibling]] = lambda_runtime._workers.values()
    sibling.in_use = True
    called("raises", code="1 / 0")
    assert sibling._proc.poll() is None


@pytest.mark.usefixtures("called")
def test_a_workflow_hears_that_a_function_is_throttled(monkeypatch: pytest.MonkeyPatch):
    throttled = lambda_svc._throttle_response("ReservedFunctionConcurrentInvocationLimitExceeded", "Rate Exceeded.")
    monkeypatch.setattr(lambda_svc, "_get_func_record_for_ref", lambda _: ({"a": "function"}, {"its": "own"}, "f"))
    monkeypatch.setattr(lambda_svc, "_execution_record_for_config", lambda *_: {})
    monkeypatch.setattr(lambda_svc, "_execute_function_with_config_scope", lambda *_: throttled)
    with pytest.raises(stepfunctions._ExecutionError) as raised:
        stepfunctions._call_lambda("f", {})
    assert raised.value.error == "Lambda.TooManyRequestsException"


def test_a_log_has_what_its_call_wrote_however_late_it_is_read(called: Called, monkeypatch: pytest.MonkeyPatch):
    """On a busy machine the thread that reads it comes long after the answer. More lines than a pipe holds at once."""
    put = queue.Queue.put

    def late(lines: "queue.Queue[str]", line: str, *more: Any) -> None:
        if line == "line 1 of 3":
            time.sleep(0.1)  # of the reading thread: MiniStack waits 5 ms for the next line
        put(lines, line, *more)

    monkeypatch.setattr(queue.Queue, "put", late)
    for count in (3, 10_000, 1):
        lines = [*(f"line {one} of {count}" for one in range(count)), "and what no line ends"]
        assert called("writes", count)["log"].splitlines() == lines
