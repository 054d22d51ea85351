"""The command line against the deployed stack: what it prints of real rows, executions and the stack itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from darkroom.cloud import Cloud
from darkroom.pictures import photo
from tests.e2e.conftest import Deployed
from tests.schemas import document


def darkroom(cloud: Cloud, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COLUMNS"))}
    command = [str(Path(sys.executable).with_name("darkroom")), *arguments]
    return subprocess.run(
        command, env={**environment, "DARKROOM_HOME": str(cloud.home)}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def rejected(deployed: Deployed) -> dict[str, Any]:
    deployed.picture("raw/shown.jpg", photo(300, 200))
    return deployed.picture("raw/shown/words.jpg", b"only words")


@pytest.mark.usefixtures("rejected")
@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("results", "results"),
        ("results shown.jpg", "row"),
        ("executions --limit 2", "executions"),
        ("inspect shown.jpg", "inspect"),
        ("inspect shown/words.jpg", "inspect"),
        ("redrive --dry-run", "redrive"),
        ("status", "status"),
    ],
)
def test_what_real_rows_and_executions_look_like_is_in_the_schemas(cloud: Cloud, command: str, name: str):
    result = darkroom(cloud, *command.split(), "--json")
    assert result.returncode == 0, result.stderr
    document(name, result.stdout)


def test_the_index_chooses_rows_by_date_and_prefix(cloud: Cloud, rejected: dict[str, Any]):
    """As AWS documents it for DynamoDB, on the local cloud's own."""
    at = rejected["updated_at"].removesuffix("Z")
    chosen = {"--since": at, "--prefix": "shown/"}
    result = darkroom(cloud, "results", "--json", *[part for option in chosen.items() for part in option])
    assert [row["key"] for row in json.loads(result.stdout)] == ["raw/shown/words.jpg"]
    result = darkroom(cloud, "results", "--json", "--until", at, "--prefix", "shown/")
    assert json.loads(result.stdout) == []


@pytest.mark.usefixtures("rejected")
def test_a_mistyped_key_suggests_the_nearest_by_name(cloud: Cloud):
    result = darkroom(cloud, "inspect", "show.jpg")
    assert result.returncode == 1
    assert "did you mean 'raw/shown.jpg'?" in result.stderr


def test_an_upload_of_real_pictures_is_one_document_and_exit_code_0(cloud: Cloud, tmp_path: Path):
    (tmp_path / "sent.jpg").write_bytes(photo(300, 200))
    result = darkroom(cloud, "upload", str(tmp_path), "--json")
    assert result.returncode == 0, result.stderr
    [one] = document("upload", result.stdout)
    assert (one["key"], one["status"]) == ("raw/sent.jpg", "SUCCEEDED")


def test_the_doctor_says_that_the_deployed_stack_is_what_this_checkout_makes(cloud: Cloud):
    """Through a real synth, with the settings that were deployed."""
    result = darkroom(cloud, "doctor", "--json")
    checks = {one["name"]: one for one in document("doctor", result.stdout)["checks"]}
    assert checks["stack's version"]["state"] == "ok", checks
    assert result.returncode == 0, checks
