"""The command line against the deployed stack: what it prints of real rows, executions and the stack itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from darkroom.local.pictures import photo
from tests.e2e.conftest import Deployed
from tests.schemas import document


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
def test_what_real_rows_and_executions_look_like_is_in_the_schemas(deployed: Deployed, command: str, name: str):
    result = deployed.darkroom(*command.split(), "--json")
    assert result.returncode == 0, result.stderr
    document(name, result.stdout)


def test_the_index_chooses_rows_by_date_and_prefix(deployed: Deployed, rejected: dict[str, Any]):
    """As AWS documents it for DynamoDB, on the local cloud's own."""
    at = rejected["updated_at"].removesuffix("Z")
    chosen = {"--since": at, "--prefix": "shown/"}
    result = deployed.darkroom("results", "--json", *[part for option in chosen.items() for part in option])
    assert [row["key"] for row in json.loads(result.stdout)] == ["raw/shown/words.jpg"]
    result = deployed.darkroom("results", "--json", "--until", at, "--prefix", "shown/")
    assert json.loads(result.stdout) == []


@pytest.mark.usefixtures("rejected")
def test_a_mistyped_key_suggests_the_nearest_by_name(deployed: Deployed):
    result = deployed.darkroom("inspect", "show.jpg")
    assert result.returncode == 1
    assert "did you mean 'raw/shown.jpg'?" in result.stderr


def test_an_upload_of_real_pictures_is_one_document_and_exit_code_0(deployed: Deployed, tmp_path: Path):
    (tmp_path / "sent.jpg").write_bytes(photo(300, 200))
    result = deployed.darkroom("upload", str(tmp_path), "--focus", "0.3,0.6", "--json")
    assert result.returncode == 0, result.stderr
    [one] = document("upload", result.stdout)
    assert (one["key"], one["status"]) == ("raw/sent.jpg", "SUCCEEDED")
    assert one["row"]["metadata"]["focus"] == [0.3, 0.6]


def test_the_doctor_says_that_the_deployed_stack_is_what_this_checkout_makes(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
):
    """Through a real synth, with the settings that were deployed and for the region they were deployed to, whatever the
    shell's. The model for captions answers, as far as the local cloud has one."""
    monkeypatch.setenv("CDK_DEFAULT_REGION", "sa-east-1")
    result = deployed.darkroom("doctor", "--json")
    checks = {one["name"]: one for one in document("doctor", result.stdout)["checks"]}
    assert checks["stack's version"]["state"] == "ok", checks
    assert checks["model for captions"]["found"] == "amazon.nova-lite-v1:0 answers"
    assert result.returncode == 0, checks
