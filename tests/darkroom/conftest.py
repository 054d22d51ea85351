"""A stack with Darkroom's outputs, in moto: what the operator's commands read, without the pipeline behind it."""

import json
import os
import pty
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.s3.responses import S3Response
from typer.testing import CliRunner, Result

from darkroom.cli import app
from darkroom.local.ministack import workflow_log
from darkroom.pipeline.target import Target
from tests.aws import create_results_table

REGION = "eu-central-1"
LOG = "/aws/vendedlogs/states/Darkroom-ImagePipeline"
SERIALIZED = S3Response.serialized


class Stacks:
    """CloudFormation, as far as it is asked: moto's would bring a dozen packages for one call."""

    def __init__(self) -> None:
        self.deployed: dict[str, dict[str, str]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.created = datetime(2026, 1, 2, tzinfo=UTC)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        self._there(StackName)
        outputs = self.deployed[StackName].items()
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs]
        return {"Stacks": [{"Outputs": told, "CreationTime": self.created}]}

    def get_template(self, StackName: str) -> dict[str, Any]:
        self._there(StackName)
        return {"TemplateBody": self.templates.get(StackName, {})}

    def _there(self, name: str) -> None:
        if name not in self.deployed:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reaches a cloud of whoever runs it."""
    for name in [name for name in os.environ if name.upper().startswith(("AWS_", "DARKROOM_", "NO_PROXY"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stacks]:
    """An empty AWS account, with credentials for it in the environment."""
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    stacks = Stacks()
    monkeypatch.setattr(Target, "stacks", stacks)
    monkeypatch.setattr(S3Response, "serialized", _with_eventbridge)
    with mock_aws():
        yield stacks


def _with_eventbridge(self: S3Response, result: Any) -> Any:
    """moto knows of a bucket that it tells EventBridge, but does not say so."""
    if self.data.get("Action") == "GetBucketNotificationConfiguration":
        configuration = self.backend.get_bucket_notification_configuration(self.bucket_name)
        if configuration and configuration.event_bridge is not None:
            result.result["EventBridgeConfiguration"] = {}
    return SERIALIZED(self, result)


def create_bucket(target: Target, name: str, region: str = REGION) -> None:
    """Each of S3's endpoints makes buckets in its own region alone."""
    there: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    target.session.client("s3", region_name=region).create_bucket(Bucket=name, **there)


@pytest.fixture
def target(account: Stacks) -> Target:
    target = Target(boto3.Session(), name="a cloud for tests", deploy_with="make deploy")
    for bucket in ("uploads", "reports"):
        target.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    target.s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    create_results_table(target.session.client("dynamodb"), "results")
    machines = {
        name: target.states.create_state_machine(
            name=name,
            definition=json.dumps({"StartAt": "Claim", "States": {"Claim": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/pipeline",
        )["stateMachineArn"]
        for name in ("pipeline", "deletion", "recaption", "backfill")
    }
    account.deployed["Darkroom"] = {
        "UploadsBucketName": "uploads",
        "RenditionsBucketName": "renditions",
        "ResultsTableName": "results",
        "UploadPrefix": "raw/",
        "DeadLetterQueueUrl": target.sqs.create_queue(QueueName="letters")["QueueUrl"],
        "StateMachineArn": machines["pipeline"],
        "DeletionStateMachineArn": machines["deletion"],
        "RecaptionStateMachineArn": machines["recaption"],
        "BackfillStateMachineArn": machines["backfill"],
        "BackfillFunctionName": "backfill",
        "ReportsBucketName": "reports",
    }
    return target


ASKS_STEP_FUNCTIONS = {"ListExecutions", "DescribeExecution", "GetExecutionHistory", "DescribeStateMachineForExecution"}


@pytest.fixture
def express(target: Target, account: Stacks, monkeypatch: pytest.MonkeyPatch) -> Target:
    """With the setting `workflow: express`. Step Functions answers nothing about executions, as on AWS."""

    def refuse(self: Any, name: str, parameters: Any) -> Any:
        if name in ASKS_STEP_FUNCTIONS:
            raise ClientError({"Error": {"Code": "StateMachineTypeNotSupported", "Message": name}}, name)
        return ask(self, name, parameters)

    ask: Any = BaseClient._make_api_call
    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    account.deployed["Darkroom"]["WorkflowKind"] = "express"
    account.created = datetime.now(UTC)
    target.logs.create_log_group(logGroupName=LOG)
    target.logs.create_log_stream(logGroupName=LOG, logStreamName="one")
    return target


def express_arn(name: str) -> str:
    return f"arn:aws:states:{REGION}:123456789012:express:pipeline:{name}:4f1c"


def logged(target: Target, arn: str, history: list[Any], *, ago: float = 0) -> list[Any]:
    """A history as it would have been this many seconds ago, which is then in the log."""
    move = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=ago) - history[-1]["timestamp"]
    moved = [{**event, "timestamp": event["timestamp"] + move} for event in history]
    times = [round(event["timestamp"].timestamp() * 1000) for event in moved]
    lines = [
        {"timestamp": at, "message": workflow_log.line(event, arn, at=at)}
        for at, event in zip(times, moved, strict=True)
    ]
    target.logs.put_log_events(logGroupName=LOG, logStreamName="one", logEvents=lines)
    return moved


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run the command in this process with stdout on a terminal of 80 columns: its exit code, and what the terminal
    is sent."""

    def run(*arguments: object, columns: int = 80) -> tuple[int, str]:
        ours, its = pty.openpty()
        received: list[bytes] = []
        reader = Thread(target=lambda: received.extend(iter(lambda: _read(ours), b"")))
        reader.start()
        with monkeypatch.context() as changed, os.fdopen(its, "w") as stdout:
            changed.setattr(sys, "stdout", stdout)
            changed.setenv("COLUMNS", str(columns))
            changed.setenv("TERM", "xterm")
            with pytest.raises(SystemExit) as ended:
                app([str(argument) for argument in arguments])
        reader.join()
        os.close(ours)
        return int(ended.value.code or 0), b"".join(received).decode().replace("\r\n", "\n")

    return run


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


def darkroom(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
