"""Where the state machine is Express, all that is told of executions comes from its log."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from darkroom.pipeline import executions, results
from darkroom.pipeline.executions import documents, read_history
from darkroom.pipeline.histories import NoExecutionError
from darkroom.pipeline.results import written
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import darkroom, express_arn, logged
from tests.darkroom.test_executions import history

BROKEN = express_arn("broken")
KEY = "raw/broken.jpg"


@pytest.fixture
def broken(express: Target) -> list[Any]:
    """The history of a picture whose execution failed, a minute and a half ago."""
    return logged(express, BROKEN, history("local"), ago=90)


def row(target: Target, **members: Any) -> None:
    target.results.put_item(Item={"key": KEY, "updated_at": written(datetime.now(UTC)), **members})


@pytest.mark.usefixtures("broken")
def test_executions_are_listed_from_the_log():
    result = darkroom("--aws", "executions", "--json")
    assert result.exit_code == 0, result.stderr
    [found] = json.loads(result.stdout)
    told = [found[name] for name in ("execution", "key", "status", "redrive", "verdict")]
    assert told == [BROKEN, KEY, "FAILED", False, None]
    assert "the log of the state machine, which is some seconds behind" in result.stderr
    assert darkroom("--aws", "executions", "--status", "RUNNING", "--json").stdout.strip() == "[]"
    assert "4f1c" in darkroom("--aws", "executions").stdout


def test_inspect_reads_the_log_as_it_reads_a_history(express: Target, broken: list[Any]):
    row(express, status="FAILED", execution=BROKEN)
    found = json.loads(darkroom("--aws", "inspect", "broken.jpg", "--json").stdout)
    states = documents(read_history(broken))
    assert found["states"] == json.loads(
        json.dumps(states, default=lambda time: time.isoformat(timespec="milliseconds"))
    )
    assert (found["execution"]["status"], found["execution"]["error"]) == ("FAILED", "RuntimeError")
    assert "gave up" in darkroom("--aws", "inspect", "broken.jpg").stdout


def test_inspect_shows_the_row_where_the_log_has_nothing_of_its_execution_yet(express: Target):
    row(express, status="PROCESSING", execution=BROKEN)
    result = darkroom("--aws", "inspect", "broken.jpg")
    assert (result.exit_code, "PROCESSING" in result.stdout) == (0, True)
    assert f"no execution {BROKEN} in AWS account" in result.stderr
    assert "which is some seconds behind" in result.stderr


def test_the_end_of_an_execution_is_followed(express: Target, monkeypatch: pytest.MonkeyPatch):
    """Without a question to Step Functions."""
    events, cut = history("local"), 10
    logged(express, BROKEN, events[:cut], ago=5)
    ends = iter([lambda: logged(express, BROKEN, events)])
    monkeypatch.setattr(executions.time, "sleep", lambda _: next(ends)())
    changes = executions.changes(express)
    assert [next(changes)["status"] for _ in range(2)] == ["RUNNING", "FAILED"]


def test_the_definition_is_the_one_of_now_and_is_asked_for_again_by_what_started_later(
    express: Target, monkeypatch: pytest.MonkeyPatch
):
    """Step Functions does not tell by which version an Express execution ran."""
    asked: list[str] = []
    describe = express.states.describe_state_machine
    monkeypatch.setattr(
        express.states,
        "describe_state_machine",
        lambda **named: asked.append(named["stateMachineArn"]) or describe(**named),
    )
    definitions, now = executions.Definitions(), datetime.now(UTC)
    for started in (now - timedelta(days=1), now - timedelta(hours=1), now + timedelta(minutes=1)):
        assert "Claim" in definitions.of(express, {"execution": BROKEN, "started": started})["States"]
    assert asked == [express.output("StateMachineArn")] * 2


@pytest.mark.usefixtures("express")
@pytest.mark.parametrize(
    ("redrives", "is_undelete"),
    [
        (express_arn("before"), False),
        ("arn:aws:states:eu-central-1:123456789012:execution:deletion:before", True),
    ],
)
def test_an_undelete_is_told_from_a_redrive_by_the_state_machine(redrives: str, is_undelete: bool):
    """The ARN of an Express execution has its id behind its name."""
    assert executions.is_undelete(BROKEN, redrives) is is_undelete


@pytest.mark.usefixtures("broken")
def test_the_event_of_a_picture_is_what_its_row_remembers(express: Target):
    """A redrive of a thousand would read the log a thousand times."""
    members = {"key": KEY, "execution": BROKEN, "version_id": "v", "sequencer": "0A"}
    upload = results.event(express, {**members, "etag": "e", "size": 7})
    detail = {"bucket": {"name": "uploads"}, "object": {"key": KEY, "version-id": "v", "sequencer": "0A"}}
    assert upload["detail-type"] == "Object Created"
    assert upload["detail"]["object"] == {**detail["object"], "etag": "e", "size": 7}
    deletion = results.event(express, members)
    assert deletion["detail"] == {**detail, "deletion-type": "Delete Marker Created"}


def test_a_machine_that_is_no_express_one_is_asked_of_step_functions(express: Target):
    """The deletion's."""
    arn = "arn:aws:states:eu-central-1:123456789012:execution:deletion:one"
    with pytest.raises(Exception, match="StateMachineTypeNotSupported"):
        executions.one(express, arn)
    with pytest.raises(NoExecutionError):
        executions.one(express, BROKEN)


@pytest.mark.usefixtures("target")
def test_the_policies_of_an_express_stack_allow_its_log(account: Any):
    def allowed() -> set[str]:
        printed = json.loads(darkroom("--aws", "policy", "viewer").stdout)["Statement"]
        return {one["Sid"] for one in printed if one["Sid"].startswith("Express")}

    assert allowed() == set()
    account.deployed["Darkroom"]["WorkflowKind"] = "express"
    assert allowed() == {"ExpressLogs", "ExpressDefinitions"}
