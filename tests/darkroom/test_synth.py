"""The app is called as the CDK command line calls it, and what it reads decides whether it is called at all."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from darkroom.errors import DeployError
from darkroom.local import synth
from darkroom.local.deploy import CDK

# The app of a command line that tells no template: what it was told.
TOLD = """
import json, os, sys
told = {name: value for name, value in os.environ.items() if name.startswith("CDK_")}
open(sys.argv[1], "w").write(json.dumps(told))
"""


def test_the_app_is_told_what_the_cdk_command_line_tells_it(tmp_path: Path):
    """So that it makes the same template, to which only the command line's own versions are unknown."""
    app, told, out = tmp_path / "app.py", tmp_path / "told.json", tmp_path / "out"
    app.write_text(TOLD)
    settings = {"captions.enabled": "true", "renditions": '{"thumb": {"width": 16}}', "upload_prefix": "in/"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [str(CDK), "synth", "--quiet", "--app", f"{sys.executable} {app} {told}", "--output", str(out), *options]
    environment = {**os.environ, **synth.QUIET, "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}
    subprocess.run([*command, "--no-notices"], cwd=synth.PROJECT, env=environment, check=False, capture_output=True)
    theirs, ours = json.loads(told.read_text()), synth.variables(out, settings, "eu-west-1")
    assert json.loads(ours.pop("CDK_CONTEXT_JSON")) == json.loads(theirs.pop("CDK_CONTEXT_JSON"))
    assert ours.items() <= theirs.items()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some of the files that a stack is made of, and some that it is not."""
    monkeypatch.setattr(synth, "PROJECT", tmp_path)
    for name in ("app.py", "cdk.json", "requirements.txt", "package-lock.json", "functions/a.py", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as it was")
    (tmp_path / "functions" / "__pycache__").mkdir()
    return tmp_path


def change(project: Path, name: str) -> None:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")


@pytest.mark.parametrize(
    "name",
    [
        *("app.py", "cdk.json", "requirements.txt", "package-lock.json", "functions/a.py", "functions/new.py"),
        *("stacks/pipeline.py", "statemachine/a.json", "functions/imaging/a.py"),
    ],
)
def test_a_change_of_what_the_stack_is_made_of_is_seen(project: Path, name: str):
    before = synth.made_of({})
    change(project, name)
    assert synth.made_of({}) != before


@pytest.mark.parametrize("name", ["README.md", "functions/__pycache__/a.pyc", "tests/a.py"])
def test_a_change_of_anything_else_is_none(project: Path, name: str):
    before = synth.made_of({})
    change(project, name)
    assert synth.made_of({}) == before


@pytest.mark.usefixtures("project")
def test_another_setting_is_a_change():
    assert synth.made_of({"a": "1"}) != synth.made_of({"a": "2"})
    assert synth.made_of({"a": "1", "b": "2"}) == synth.made_of({"b": "2", "a": "1"})


def test_another_setting_in_their_file_is_a_change(project: Path):
    chosen = {"settings": str(project / "staging.json")}
    change(project, "staging.json")
    before = synth.made_of(chosen)
    (project / "staging.json").write_text("{}")
    assert synth.made_of(chosen) != before


@pytest.fixture
def synths(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The values of the setting `a` that were synthesised."""
    done: list[str] = []

    def synthesise(folder: Path, settings: dict[str, str], _region: str) -> None:
        done.append(settings["a"])
        folder.mkdir()
        (folder / "manifest.json").write_text(settings["a"])
        if settings["a"] == "changes":
            change(project, f"functions/{len(done)}.py" if len(done) == 1 else "README.md")

    monkeypatch.setattr(synth, "synthesise", synthesise)
    return done


def test_what_was_made_of_the_same_is_not_made_again(synths: list[str], project: Path):
    """For another cloud, or another worker of the tests."""
    first, second = (synth.assembly({"a": "1"}, "eu-west-1") for _ in range(2))
    assert (first, synths) == (second, ["1"])
    change(project, "app.py")
    assert synth.assembly({"a": "1"}, "eu-west-1") not in (first, synth.assembly({"a": "1"}, "us-east-1"))
    assert synths == ["1"] * 3


@pytest.mark.usefixtures("synths")
def test_one_that_is_not_used_any_more_is_forgotten():
    """And what a process left that was killed."""
    first, second = (synth.assembly({"a": number}, "eu-west-1") for number in "12")
    left = first.parent / "left"
    left.mkdir()
    for folder in (first, left):
        os.utime(folder, (0, 0))
    third = synth.assembly({"a": "3"}, "eu-west-1")
    assert set(first.parent.iterdir()) == {second, third}


def test_of_two_that_make_the_same_the_first_is_kept(synths: list[str], monkeypatch: pytest.MonkeyPatch):
    synthesise = synth.synthesise

    def meanwhile(folder: Path, settings: dict[str, str], region: str) -> None:
        monkeypatch.setattr(synth, "synthesise", synthesise)
        first.append(synth.assembly(settings, region))
        synthesise(folder, settings, region)

    first: list[Path] = []
    monkeypatch.setattr(synth, "synthesise", meanwhile)
    assert [synth.assembly({"a": "1"}, "eu-west-1")] == first
    assert (synths, list(first[0].parent.iterdir())) == (["1"] * 2, first)


def test_what_changed_while_it_was_made_is_made_again(synths: list[str]):
    made = synth.assembly({"a": "changes"}, "eu-west-1")
    assert (made.name, synths) == (synth.made_of({"a": "changes", "region": "eu-west-1"}), ["changes"] * 2)
    assert [one.name for one in made.parent.iterdir()] == [made.name]


def test_what_failed_is_not_kept(project: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(folder: Path, *_: Any) -> None:
        folder.mkdir()
        raise DeployError("app.py failed")

    monkeypatch.setattr(synth, "synthesise", fails)
    with pytest.raises(DeployError):
        synth.assembly({}, "eu-west-1")
    assert list((project / "build" / "assemblies").iterdir()) == []
