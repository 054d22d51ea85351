"""A person who knows nothing finds the way: help, examples that are right, a hint for what was mistyped, completion."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from darkroom.cli import app
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import darkroom

COMMANDS = typer.main.get_command(app).commands


def help_of(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    result = darkroom(*command.split(), "--help")
    assert result.exit_code == 0
    return result.stdout


def examples(said: str) -> list[str]:
    return re.findall(r"^   (darkroom .*)$", said.partition("\n Examples\n")[2], re.MULTILINE)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_help_is_wider_than_80_columns(command: str, monkeypatch: pytest.MonkeyPatch):
    assert [line for line in help_of(command, monkeypatch).splitlines() if len(line.rstrip()) > 80] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_of_its_command_with_options_that_there_are(
    command: str, monkeypatch: pytest.MonkeyPatch
):
    found = examples(help_of(command, monkeypatch))
    assert found
    options = {name for one in COMMANDS[command].params for name in (*one.opts, *one.secondary_opts)}
    for example in found:
        words = shlex.split(example.partition(" | ")[0])[1:]
        before, after = words[: words.index(command)], words[words.index(command) + 1 :]
        assert set(before) <= {"--aws"}
        assert {word for word in after if word.startswith("-")} <= options


def test_the_list_of_commands_is_whole_and_says_the_exit_codes(monkeypatch: pytest.MonkeyPatch):
    said = help_of("", monkeypatch)
    assert [name for name in COMMANDS if f"│ {name} " not in said] == []
    assert "130 after Ctrl-C" in said


@pytest.mark.parametrize(
    ("typed", "meant"), [("reslts", "results"), ("insepct", "inspect"), ("docter", "doctor"), ("redive", "redrive")]
)
def test_a_mistyped_command_suggests_the_nearest_and_is_exit_code_2(typed: str, meant: str):
    result = darkroom(typed)
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_the_shell(shell: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "true")
    result = darkroom("--show-completion", shell)
    assert result.exit_code == 0
    assert "_DARKROOM_COMPLETE" in result.stdout or "_ROOT_COMPLETE" in result.stdout


def completed(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What Tab offers behind these words in bash."""
    monkeypatch.setenv("_DARKROOM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit):
        app(prog_name="darkroom")
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("darkroom do", ["down", "doctor"]),
        ("darkroom results --status RE", ["REJECTED"]),
        ("darkroom redrive --reason T", ["TIMED_OUT"]),
    ],
)
def test_commands_and_statuses_are_completed(
    words: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert completed(words, monkeypatch, capsys) == offered


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("ca", ["candle.jpg", "cat.jpg"]), ("raw/ca", ["raw/candle.jpg", "raw/cat.jpg"]), ("x", [])],
)
def test_keys_are_completed_with_and_without_the_upload_prefix(
    typed: str,
    offered: list[str],
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    for day, key in enumerate(("raw/candle.jpg", "raw/dog.jpg", "raw/cat.jpg"), start=1):
        target.results.put_item(Item={"key": key, "status": "SUCCEEDED", "updated_at": f"2024-05-0{day}T10:00:00Z"})
    assert completed(f"darkroom --aws inspect {typed}", monkeypatch, capsys) == offered


def test_without_a_cloud_no_key_is_completed_and_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert completed("darkroom inspect ca", monkeypatch, capsys) == []
    assert capsys.readouterr().err == ""


def test_the_help_imports_nothing_slow():
    """boto3 alone takes longer than all that the help needs."""
    looks = "import sys, darkroom.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    imported = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True).stdout.split()
    assert {"boto3", "botocore", "rich", "ministack", "PIL", "trustme"} & set(imported) == set()


@pytest.mark.parametrize(("command", "has_it"), [("status", False), ("--aws status", True)])
def test_only_with_an_account_a_command_has_the_common_runtime_of_aws(tmp_path: Path, command: str, has_it: bool):
    """Which is slow to import, and which only a profile of `aws login` needs."""
    runs = (
        f"import darkroom.cli; from typer.testing import CliRunner; CliRunner().invoke(darkroom.cli.app, {command!r})"
    )
    looks = "; import botocore.compat; print(botocore.compat.HAS_CRT)"
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    theirs |= {"DARKROOM_HOME": str(tmp_path), "AWS_CONFIG_FILE": os.devnull}  # so that no region is known
    ran = subprocess.run([sys.executable, "-c", runs + looks], env=theirs, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(has_it)]


def test_the_package_says_where_each_command_is():
    """Its docstring is the map for who looks for one."""
    import darkroom.cli

    for name, command in COMMANDS.items():
        file = f"{command.callback.__module__.rpartition('.')[2]}.py"
        [line] = [one for one in darkroom.cli.__doc__.splitlines() if one.strip().startswith(file)]
        assert name in line
