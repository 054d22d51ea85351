"""The deployed stack on the local cloud: one real `cdk deploy` for all tests of this folder."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from darkroom.local import cloud as local_cloud
from darkroom.local.cloud import Cloud
from darkroom.local.deploy import deploy
from darkroom.pipeline.executions import MOST_AT_ONCE, picture_key
from darkroom.pipeline.histories import NoExecutionError
from darkroom.pipeline.target import STACK, Target, local
from tests.commands import started
from tests.receiver import Receiver, receiver

ALLOWED = "http://localhost:3000"  # the web page that may call the local cloud
PATIENCE = 300  # seconds until a wait is a failure; a picture takes one or two on two idle cores
SCHEDULED = {"source": "aws.events"}  # as much of the schedule's event as the sweep reads
PATIENT = Config(read_timeout=PATIENCE)  # by default a call that takes a minute is sent again, beside the first


def eventually(look: Callable[[], Any], what: str, *, patience: float = PATIENCE) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {patience} s")


class Deployed:
    """The pipeline as a person with the AWS SDK sees it."""

    hook: Receiver  # of the webhook, where the stack was deployed with one

    def __init__(self, cloud: Cloud, stack: str = STACK) -> None:
        self.cloud = cloud
        self.aws: Target = local(cloud, stack)

    def client(self, service: str, **options: Any) -> Any:
        """`options` as boto3 takes them: the credentials of somebody else."""
        here = {"endpoint_url": self.cloud.endpoint, "verify": self.cloud.variables()["AWS_CA_BUNDLE"]}
        return self.aws.session.client(service, **{"config": PATIENT, **here, **options})

    def upload(self, key: str, data: bytes, **how: Any) -> str:
        bucket = self.aws.output("UploadsBucketName")
        return self.aws.s3.put_object(Bucket=bucket, Key=key, Body=data, **how).get("VersionId", "null")

    def row(self, key: str) -> dict[str, Any]:
        """Without the webhook's answer, which comes at any time later."""
        row = self.aws.results.get_item(Key={"key": key}, ConsistentRead=True).get("Item", {})
        return {name: value for name, value in row.items() if name != "webhook"}

    def webhooks_answer(self, key: str) -> dict[str, Any] | None:
        row = self.aws.results.get_item(Key={"key": key}, ConsistentRead=True).get("Item", {})
        return row.get("webhook")

    def settled(self, key: str, version: str) -> dict[str, Any]:
        """The row once it is terminal for that version."""

        def look() -> dict[str, Any] | None:
            row = self.row(key)
            mine = row.get("version_id") in {version, "null"}
            return row if mine and row["status"] != "PROCESSING" else None

        return eventually(look, f"the row of {key}")

    def in_status(self, key: str, status: str, version: str | None = None) -> dict[str, Any] | None:
        row = self.row(key)
        return row if row.get("status") == status and version in (None, row["version_id"]) else None

    def picture(self, key: str, data: bytes) -> dict[str, Any]:
        return self.settled(key, self.upload(key, data))

    def execution(self, arn: str, *, patience: float = PATIENCE) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            with suppress(NoExecutionError):
                execution = self.aws.history(arn).described(arn)
                return execution if execution["status"] != "RUNNING" else None
            return None

        return eventually(look, f"the end of {arn}", patience=patience)

    def all_executions(self) -> list[dict[str, Any]]:
        """Of the image pipeline, each with what it was given and how it ended."""
        history = self.aws.history(self.aws.output("StateMachineArn"))
        found, token = history.listed(status=None, limit=MOST_AT_ONCE, token=None)
        while token:
            older, token = history.listed(status=None, limit=MOST_AT_ONCE, token=token)
            found += older
        return [history.described(one["executionArn"]) for one in found]

    def run(self, event: dict[str, Any], machine: str | None = None) -> dict[str, Any]:
        """A second delivery of an event: EventBridge delivers at least once. To the image pipeline, unless told."""
        machine = machine or self.aws.output("StateMachineArn")
        started = self.aws.states.start_execution(stateMachineArn=machine, input=json.dumps(event))
        return self.execution(started["executionArn"])

    def executions(self, key: str) -> list[dict[str, Any]]:
        """Of the image pipeline, for that key."""
        return [one for one in self.all_executions() if picture_key(one["input"]) == key]

    def idle(self, key: str) -> bool:
        """Whether the picture had an execution, and none is running."""
        found = self.executions(key)
        return bool(found) and all(one["status"] != "RUNNING" for one in found)

    def letters(self) -> list[dict[str, Any]]:
        """What is in the dead-letter queue, left there."""
        queue = self.aws.output("DeadLetterQueueUrl")
        found = self.aws.sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
        )
        return found.get("Messages", [])

    def forget(self, letter: dict[str, Any]) -> None:
        queue = self.aws.output("DeadLetterQueueUrl")
        self.aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])

    def empty_the_queue(self) -> None:
        self.aws.sqs.purge_queue(QueueUrl=self.aws.output("DeadLetterQueueUrl"))

    def at_work(self) -> bool:
        """Whether an execution is running."""
        machines = [arn for name, arn in self.aws.outputs.items() if name.endswith("StateMachineArn")]
        running = (self.aws.history(one).listed(status="RUNNING", limit=1, token=None) for one in machines)
        return any(found for found, _ in running)

    def delete(self, key: str) -> None:
        self.aws.s3.delete_object(Bucket=self.aws.output("UploadsBucketName"), Key=key)

    def markers(self, key: str) -> list[str]:
        """The versions of its delete markers, newest first."""
        found = self.aws.s3.list_object_versions(Bucket=self.aws.output("UploadsBucketName"), Prefix=key)
        return [one["VersionId"] for one in found.get("DeleteMarkers", [])]

    def remove_version(self, key: str, version: str) -> None:
        """For good, or a delete marker."""
        self.aws.s3.delete_object(Bucket=self.aws.output("UploadsBucketName"), Key=key, VersionId=version)

    def renditions(self, prefix: str) -> set[str]:
        found = self.aws.s3.list_objects_v2(Bucket=self.aws.output("RenditionsBucketName"), Prefix=prefix)
        return {one["Key"] for one in found.get("Contents", [])}

    def rendition(self, key: str) -> dict[str, Any] | None:
        try:
            return self.aws.s3.get_object(Bucket=self.aws.output("RenditionsBucketName"), Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def darkroom(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The real command, to its end."""
        with self.start(*arguments) as command:
            said, complained = command.communicate()
            return subprocess.CompletedProcess(command.args, command.returncode, said, complained)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The real command in a process of its own, on this cloud by its home, as a person's is."""
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {**theirs, "DARKROOM_HOME": str(self.cloud.home)}
        return started(*arguments, environment=environment)

    def call(self, step: str, event: Any) -> str:
        """What the function of a step answers, or its error."""
        name = self.function(step)["FunctionName"]
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return str(answer["Payload"].read().decode())

    def sweep(self) -> dict[str, str]:
        """What the schedule does every quarter of an hour: what became of each execution, or its error."""
        return dict(json.loads(self.call("sweep", SCHEDULED)))

    def log_lines(self, step: str) -> list[str]:
        """All that the function of a step has logged so far."""
        pages = self.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=self.function(step)["LoggingConfig"]["LogGroup"])
        return [line for page in found for event in page["events"] for line in event["message"].splitlines()]

    def function(self, step: str) -> dict[str, Any]:
        """The configuration of the function of a step."""
        functions = self.client("lambda").list_functions()["Functions"]
        ours = (one for one in functions if one["FunctionName"].startswith(f"{self.aws.stack}-"))
        return next(one for one in ours if one["Handler"] == f"functions.{step}.handler")


class Role:
    """A role of the stack, by its name, and its policies."""

    def __init__(self, deployed: Deployed, name: str) -> None:
        self._iam = deployed.client("iam")
        self._role = name

    def grants(self) -> list[dict[str, Any]]:
        """Its statements, each taken apart into those of one action on one resource."""
        return [one for statements in self._policies().values() for one in statements]

    def _policies(self) -> dict[str, list[dict[str, Any]]]:
        names = self._iam.list_role_policies(RoleName=self._role)["PolicyNames"]
        policies = {name: self._iam.get_role_policy(RoleName=self._role, PolicyName=name) for name in names}
        return {
            name: [
                {**statement, "Action": action, "Resource": resource}
                for statement in policy["PolicyDocument"]["Statement"]
                for action in _several(statement["Action"])
                for resource in _several(statement["Resource"])
            ]
            for name, policy in policies.items()
        }

    @contextmanager
    def without(self, action: str, resource: str | None = None) -> Iterator[None]:
        """Lacks that action, there or everywhere, for as long as the block runs, as by a mistake in its policies.

        Each is put back under its own name: a later deployment puts only those that it changes.
        """

        def keeps(one: dict[str, Any]) -> bool:
            return one["Action"] != action or resource not in (None, one["Resource"])

        before = self._policies()
        kept = {name: list(filter(keeps, statements)) for name, statements in before.items()}
        assert kept != before, f"{self._role} has no {action}"
        self._put(kept)
        try:
            yield
        finally:
            self._put(before)

    def _put(self, policies: dict[str, list[dict[str, Any]]]) -> None:
        for name, statements in policies.items():
            if statements:
                policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
                self._iam.put_role_policy(RoleName=self._role, PolicyName=name, PolicyDocument=policy)
            else:  # of which IAM takes no policy
                self._iam.delete_role_policy(RoleName=self._role, PolicyName=name)


class FunctionRole(Role):
    """Of a step's function."""

    def __init__(self, deployed: Deployed, step: str) -> None:
        super().__init__(deployed, deployed.function(step)["Role"].rpartition("/")[2])


def _several(one_or_more: str | list[str]) -> list[str]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


@contextmanager
def started_cloud(home: Path, *, waits: float = 0) -> Iterator[Deployed]:
    """A cloud of one's own for as long as the block runs, with nothing in it yet. `waits` is the part of their time
    for which retries wait."""
    env = {**os.environ, "SFN_WAIT_SCALE": str(waits), "DARKROOM_ALLOWED_ORIGINS": ALLOWED}
    cloud = local_cloud.start(home, env=env)
    try:
        yield Deployed(cloud)
    finally:
        local_cloud.stop(home)


@contextmanager
def own_cloud(home: Path, settings: Mapping[str, str] | None = None, *, waits: float = 0) -> Iterator[Deployed]:
    """And the stack in it, with captions, and with a webhook that takes everything. No schedule of it comes: of two
    sweeps at the same time the second leaves, and one that nobody asked for takes what a test left for its own."""
    with receiver() as hook, started_cloud(home, waits=waits) as deployed:
        deployed.hook = hook
        ours = {"captions.enabled": "true", "api.origins": json.dumps([ALLOWED]), "webhook.url": hook.url}
        deploy(deployed.cloud, {**ours, **(settings or {})})
        with rules_off(deployed, "OperationsSweeps", "OperationsReconciles"):
            yield deployed


@contextmanager
def rules_off(deployed: Deployed, *names: str) -> Iterator[None]:
    """Those of the stack that have one of these in their names, for as long as the block runs."""
    events = deployed.client("events")
    rules = [one["Name"] for one in events.list_rules()["Rules"] if any(name in one["Name"] for name in names)]
    assert rules, f"no rule of {names}"
    for rule in rules:
        events.disable_rule(Name=rule)
    try:
        yield
    finally:
        for rule in rules:
            events.enable_rule(Name=rule)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with own_cloud(tmp_path_factory.mktemp("cloud")) as deployed:
        yield deployed


@pytest.fixture(scope="session")
def cloud(deployed: Deployed) -> Cloud:
    return deployed.cloud


@pytest.fixture(scope="module", autouse=True)
def nothing_left(deployed: Deployed) -> None:
    """Files share a cloud, in any order: none meets the executions or the letters of another."""
    eventually(lambda: not deployed.at_work(), "the end of all executions")
    deployed.empty_the_queue()


@pytest.fixture
def without_grant(deployed: Deployed) -> Callable[[str, str], AbstractContextManager[None]]:
    return lambda step, action: FunctionRole(deployed, step).without(action)
