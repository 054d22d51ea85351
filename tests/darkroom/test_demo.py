"""The demo shows what became of each picture, and says so when it cannot. Its whole way is in tests/e2e."""

import json
from pathlib import Path
from typing import Any

import pytest

from darkroom.cli import demo, local
from darkroom.local.cloud import Cloud
from darkroom.pipeline.target import Target
from darkroom.pipeline.uploads import Ended, Upload
from tests.darkroom.conftest import darkroom


@pytest.fixture
def running(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The stack in moto stands in for the local cloud."""
    running = Cloud(tmp_path / "home", pid=1, port=1, since="")
    monkeypatch.setattr(demo, "local", lambda *_: target)
    monkeypatch.setattr(demo, "PATIENCE", 0)
    monkeypatch.setattr(local, "started", lambda *_, **__: running)
    return running


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / "it's a cat.jpg").write_bytes(b"picture")
    return folder


@pytest.fixture
def succeeded(target: Target, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """A picture that has ended well; there is no pipeline behind this stack to bring it there."""
    begin = target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input="{}")
    upload = Upload(pictures / "it's a cat.jpg", "raw/it's a cat.jpg", "v", "e", at=0, superseded=None)
    ended = Ended(upload, "SUCCEEDED", {"key": upload.key, "execution": begin["executionArn"]}, 1.0)
    monkeypatch.setattr(demo, "watch", lambda *_: ([ended], {}))
    return ended


def ends(target: Target, monkeypatch: pytest.MonkeyPatch, **execution: Any) -> None:
    """Every execution looks like this from now on."""
    monkeypatch.setattr(target.states, "describe_execution", lambda **_: {"input": "{}", **execution})


def test_an_empty_folder_is_one_line_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "started", lambda *_, **__: pytest.fail("it starts"))
    result = darkroom("demo", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"darkroom: there is no picture in {tmp_path}"]


@pytest.mark.usefixtures("running")
def test_a_picture_that_does_not_end_in_time_is_in_the_table_and_no_success(pictures: Path):
    result = darkroom("demo", pictures)
    assert result.exit_code == 1
    assert "WAITING" in result.stdout
    assert result.stderr.splitlines()[-1] == (
        "darkroom: 1 of 1 failed or did not end in time: `darkroom inspect 'raw/it'\"'\"'s a cat.jpg'` says why"
    )


@pytest.mark.usefixtures("running", "succeeded")
@pytest.mark.parametrize("execution", [{"status": "RUNNING"}, {"status": "FAILED"}], ids=["endless", "failed"])
def test_a_second_delivery_that_is_no_duplicate_is_no_success(
    execution: dict[str, Any], target: Target, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    ends(target, monkeypatch, **execution)
    result = darkroom("demo", pictures)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        f"darkroom: the event of raw/it's a cat.jpg, delivered a second time, is {execution['status']}, not Duplicate"
    )


@pytest.mark.usefixtures("running", "succeeded")
def test_what_is_left_out_of_its_folder_is_named_once(target: Target, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    ends(target, monkeypatch, status="SUCCEEDED", output=json.dumps({"status": "Duplicate"}))
    (pictures / "out.jpg").symlink_to("/etc/hostname")
    (pictures / "notes.txt").touch()
    result = darkroom("demo", pictures)
    assert result.exit_code == 0
    assert (result.stderr.count("out.jpg"), result.stderr.count("notes.txt")) == (1, 1)


@pytest.mark.usefixtures("succeeded")
@pytest.mark.parametrize("bedrock", [None, "http://localhost:1"], ids=["canned", "a model"])
def test_its_hints_can_be_pasted_and_speak_of_the_cloud_that_runs(
    bedrock: str | None, running: Cloud, target: Target, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """A key is quoted for the shell; whether captions are canned is a fact of the cloud, not of this shell."""
    ends(target, monkeypatch, status="SUCCEEDED", output=json.dumps({"status": "Duplicate"}))
    monkeypatch.setattr(local, "started", lambda *_, **__: Cloud(running.home, 1, 1, "", bedrock))
    monkeypatch.setenv("MINISTACK_BEDROCK_PROXY_URL", "http://localhost:2")
    result = darkroom("demo", pictures)
    assert result.exit_code == 0
    assert "darkroom inspect 'raw/it'\"'\"'s a cat.jpg'" in result.stderr
    assert ("canned" in result.stderr) == (bedrock is None)
