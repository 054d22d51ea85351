"""However a command ends, a person reads one line and no traceback. Each kind of end is tried with every command."""

import builtins
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import pytest

from darkroom.__main__ import CTRL_C, main
from darkroom.cli import app
from darkroom.local import cloud, homes
from darkroom.pipeline.target import Target
from stacks.settings import read_settings
from tests.commands import started
from tests.darkroom.conftest import Stacks, darkroom

# What each command is given: on a stack in moto all but the last print something.
ARGUMENTS = {
    "status": "status",
    "doctor": "doctor --quick",
    "policy": "policy viewer",
    "adopt": "adopt uploads --yes",
    "upload": "upload --no-wait {file}",
    "results": "results",
    "get": "get cat.jpg --rendition original -o {file}-copies",
    "open": "open cat.jpg",
    "link": "link cat.jpg",
    "executions": "executions",
    "inspect": "inspect cat.jpg",
    "redrive": "redrive cat.jpg",
    "plan": "plan -c captions.alarm_share=0.3 --json",
    "backfill": "backfill --dry-run --prefix nothing-there/",
    "smoke": "smoke --timeout 0 --burst 1",
    "console": "console --no-browser",
    "up": "up --no-deploy",
    "demo": "demo",
    "down": "down",
    "env": "env",
}
OF_AWS = [name for name in ARGUMENTS if name not in ("console", "up", "demo", "down", "env")]
PRINTING = [name for name in OF_AWS if name not in ("open", "link")]  # opens a program; nothing is delivered there
FORMS = [*PRINTING, "results --csv", "results --json", "results cat.jpg", "executions --json", "inspect cat.jpg --json"]


@pytest.fixture
def picture(target: Target, account: Stacks, tmp_path: Path) -> Path:
    validate = {"Properties": {"Environment": {"Variables": read_settings({}).for_validate()}}}
    account.templates["Darkroom"] = {"Resources": {"Validate": validate}}
    target.s3.put_object(Bucket="uploads", Key="raw/cat.jpg", Body=b"cat")
    execution = target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input="{}")
    row = {"key": "raw/cat.jpg", "status": "SUCCEEDED", "updated_at": "2024-05-01T10:00:00Z", "size": 5}
    target.results.put_item(Item={**row, "execution": execution["executionArn"]})
    file = tmp_path / "dog.jpg"
    file.touch()
    return file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str]]]:
    """The command in this process, from its beginning to its end, with that stdout: its exit code, and its stderr."""
    before = signal.getsignal(signal.SIGINT)

    def run(stdout: IO[str], *arguments: str) -> tuple[int, str]:
        with monkeypatch.context() as changed:
            changed.setattr(sys, "stdout", stdout)
            changed.setattr(sys, "argv", ["darkroom", *arguments])
            with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
                main()
        assert isinstance(ended.value, SystemExit)
        return int(ended.value.code or 0), capfd.readouterr().err

    yield run
    signal.signal(signal.SIGINT, before)


def full() -> IO[str]:
    return Path("/dev/full").open("w")


def closed() -> IO[str]:
    ours, its = os.pipe()
    os.close(ours)
    return os.fdopen(its, "w")


def typed(command: str, file: Path | str = "x.jpg") -> list[str]:
    return ARGUMENTS.get(command, command).format(file=file).split()


def test_every_command_is_tried():
    assert set(ARGUMENTS) == {one.name or one.callback.__name__ for one in app.registered_commands}


@pytest.mark.parametrize("output", [full, closed])
@pytest.mark.parametrize("command", FORMS)
def test_an_output_that_takes_no_more_is_one_line_or_none(
    command: str, output: Callable[[], IO[str]], picture: Path, run: Callable[..., tuple[int, str]]
):
    """A full one is said once; a pipe that nobody reads is no news. In both cases the exit code is 1."""
    code, said = run(output(), "--aws", *typed(command, picture))
    assert code == 1
    assert "Traceback" not in said
    assert said.count("No space left") == (output is full)
    assert "Broken pipe" not in said


@pytest.mark.parametrize("output", [full, closed])
@pytest.mark.parametrize("command", ["env", "console"])
def test_so_it_is_on_the_local_cloud(
    command: str,
    output: Callable[[], IO[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., tuple[int, str]],
):
    """Of its commands only these print on stdout what the others do not."""
    (tmp_path / "home").mkdir(0o700)
    homes.make_root_key(tmp_path / "home")
    monkeypatch.setattr(cloud, "running", lambda _: cloud.Cloud(tmp_path / "home", os.getpid(), 4566, "today"))
    monkeypatch.setattr("darkroom.console.server.run", lambda _, announce, **__: announce("http://x.localhost:1/"))
    code, said = run(output(), *typed(command))
    assert code == 1
    assert "Traceback" not in said
    assert said.count("No space left") == (output is full)


@pytest.mark.parametrize("output", [full, closed])
@pytest.mark.parametrize("command", [[], *([name] for name in ARGUMENTS)], ids=str)
def test_so_is_one_that_does_not_take_the_help(
    command: list[str], output: Callable[[], IO[str]], run: Callable[..., tuple[int, str]]
):
    code, said = run(output(), *command, "--help")
    assert code == 1
    assert [line.startswith("darkroom: ") for line in said.splitlines()] == [True] * (output is full)


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [(">/dev/full", 1, "darkroom: cannot read or write: No space left on device\n"), (">&-", 0, ""), ("| true", 1, "")],
)
def test_the_end_of_the_process_adds_nothing(output: str, code: int, said: str):
    """Python would try once more to write what is left, and say what went wrong with it."""
    command = str(Path(sys.executable).with_name("darkroom"))
    shell = f'set -o pipefail; "$0" --help {output}'
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ran = subprocess.run(["bash", "-c", shell, command], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (code, said)


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_folder_that_is_none_is_one_line(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of the local cloud."""
    (tmp_path / "home").write_text("")
    (tmp_path / "x.jpg").touch()
    if command == "console":
        monkeypatch.setattr("darkroom.console.server.run", lambda connection, *_, **__: connection.target())
    result = darkroom(*typed(command, tmp_path / "x.jpg"))
    if command in ("doctor", "smoke"):
        assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


@pytest.mark.parametrize("command", OF_AWS)
def test_without_a_network_the_advice_is_about_aws(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A proxy that is not there is the same to botocore, and asks no resolver."""
    (tmp_path / "x.jpg").touch()
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    result = darkroom("--aws", *typed(command, tmp_path / "x.jpg"))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "check HTTPS_PROXY" in result.output
    assert "darkroom status" not in result.output


@pytest.mark.parametrize("command", ARGUMENTS)
def test_ctrl_c_while_a_command_imports_its_modules_is_no_traceback(
    command: str, picture: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str]]
):
    """Each imports what it needs when it is called."""
    interrupted = []
    import_module = builtins.__import__

    def interrupt(name: str, *how: Any) -> ModuleType:
        if name.startswith(("darkroom.pipeline", "darkroom.local", "darkroom.console")):
            interrupted.append(name)
            raise KeyboardInterrupt
        return import_module(name, *how)

    monkeypatch.setattr(cloud, "running", lambda _: interrupt("darkroom.local"))  # of those that import nothing more
    monkeypatch.setattr(builtins, "__import__", interrupt)
    code, said = run(io.StringIO(), *typed(command, picture))
    assert interrupted
    assert code == CTRL_C
    assert "Traceback" not in said


@pytest.mark.parametrize("module", ["typer", "boto3"])
def test_ctrl_c_while_modules_are_imported_is_no_traceback(module: str, tmp_path: Path):
    """Of the command line, and of one command."""
    (tmp_path / f"{module}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    process = started("results", environment=environment)
    try:
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert (process.returncode, said) == (CTRL_C, "")
