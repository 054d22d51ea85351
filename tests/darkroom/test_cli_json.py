"""`--json` prints one document that its schema allows and nothing else on stdout; the exit code says what happened."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from darkroom.cli import app
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import darkroom
from tests.schemas import FOLDER, document, schema

EVENT = {"detail-type": "Object Created", "detail": {"object": {"key": "raw/cat.jpg"}}}


@pytest.fixture
def picture(target: Target) -> str:
    """A picture that failed: its execution, its row, its letter."""
    execution = target.states.start_execution(
        stateMachineArn=target.output("StateMachineArn"), input=json.dumps(EVENT)
    )["executionArn"]
    error = {"code": "RuntimeError", "message": "no room"}
    row = {"key": "raw/cat.jpg", "status": "FAILED", "updated_at": "2024-05-01T10:00:00Z", "size": 5}
    target.results.put_item(Item={**row, "execution": execution, "error": error})
    letter = {"key": "raw/cat.jpg", "bucket": "uploads", "error": error, "execution": execution, "event": EVENT}
    target.sqs.send_message(
        QueueUrl=target.output("DeadLetterQueueUrl"),
        MessageBody=json.dumps(letter),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": "FAILED"}},
    )
    return "cat.jpg"


@pytest.mark.parametrize(
    ("command", "name", "code"),
    [
        ("results", "results", 0),
        ("results --status DELETED", "results", 0),
        ("results cat.jpg", "row", 0),
        ("executions", "executions", 0),
        ("inspect cat.jpg", "inspect", 0),
        ("redrive --dry-run", "redrive", 0),
        ("redrive", "redrive", 0),
        ("redrive nowhere.jpg", "redrive", 1),
        ("status", "status", 0),
        ("doctor --quick", "doctor", 1),
    ],
)
@pytest.mark.usefixtures("picture")
def test_what_is_printed_is_one_document_of_its_schema(
    command: str, name: str, code: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("darkroom.pipeline.doctor.NODE", 99)  # something is missing, whatever this machine has
    result = darkroom("--aws", *command.split(), "--json")
    assert result.exit_code == code
    assert document(name, result.stdout) or command.endswith("DELETED")


@pytest.mark.parametrize(("wait", "code"), [("--no-wait", 0), ("--timeout=0", 1)])
@pytest.mark.usefixtures("target")
def test_an_upload_prints_one_document_of_its_schema(wait: str, code: int, tmp_path: Path):
    (tmp_path / "cat.jpg").write_bytes(b"picture")
    result = darkroom("--aws", "upload", tmp_path / "cat.jpg", wait, "--json")
    assert result.exit_code == code
    [one] = document("upload", result.stdout)
    assert ("status" in one) == (code == 1)


WAITS = ("1 dead letter waits: ", "1 picture is FAILED: ")


@pytest.mark.usefixtures("picture")
def test_what_waits_for_a_person_is_said_by_status_doctor_and_upload(tmp_path: Path):
    """A failure of before is not forgotten because nobody asks for it."""
    (tmp_path / "dog.jpg").touch()
    for command in (["status"], ["upload", tmp_path / "dog.jpg", "--timeout", "0"]):
        assert all(one in darkroom("--aws", *command).stderr for one in WAITS)
    assert document("status", darkroom("--aws", "status", "--json").stdout)["attention"] == {"letters": 1, "failed": 1}
    found = darkroom("--aws", "doctor", "--quick").stdout
    assert "1 dead letter waits, 1 picture is FAILED" in found


@pytest.mark.usefixtures("target")
def test_where_nothing_waits_nothing_is_said():
    assert "FAILED" not in darkroom("--aws", "status").stderr
    assert "no dead letter waits, and no picture is FAILED" in darkroom("--aws", "doctor", "--quick").stdout


def test_without_a_local_cloud_its_status_is_still_one_document():
    result = darkroom("status", "--json")
    assert result.exit_code == 1
    assert document("status", result.stdout) == {"running": False, "stack": None, "attention": None}


COMMANDS = ("results", "results x.jpg", "executions", "inspect x.jpg", "redrive", "upload {file}")


@pytest.mark.parametrize("command", COMMANDS)
def test_without_credentials_nothing_is_on_stdout_and_the_error_is_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "x.jpg").touch()
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    result = darkroom("--aws", *command.format(file=tmp_path / "x.jpg").split(), "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("darkroom: no usable AWS credentials")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("account")
def test_without_a_stack_nothing_is_on_stdout_and_the_error_says_what_to_run(command: str, tmp_path: Path):
    (tmp_path / "x.jpg").touch()
    result = darkroom("--aws", *command.format(file=tmp_path / "x.jpg").split(), "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    [_, *_, line] = result.stderr.splitlines()
    assert line.endswith("run `make deploy`")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_one(path: Path):
    Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_every_command_with_json_has_its_schema_in_the_documentation():
    page = (FOLDER.parent / "commands.md").read_text()
    with_json = {one.callback.__name__ for one in app.registered_commands if "as_json" in one.callback.__annotations__}
    assert with_json == {
        "status",
        "doctor",
        "upload",
        "results",
        "executions",
        "inspect",
        "redrive",
        "plan",
        "backfill",
        "smoke",
        "get",
    }
    for name in with_json:
        assert (FOLDER / f"{name}.json").exists()
        assert f"(schemas/{name}.json)" in page


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("row", {"key": "raw/a", "status": "LOST"}),
        ("row", {"key": "raw/a", "status": "FAILED", "size": "5"}),
        ("executions", [{"execution": "arn"}]),
        ("doctor", {"ok": True}),
    ],
)
def test_a_schema_refuses_what_is_not_so(name: str, wrong: object):
    with pytest.raises(ValidationError):
        schema(name).validate(wrong)
