"""The app is called as the CDK command line calls it, and what it reads decides whether it is called at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
