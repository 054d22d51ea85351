"""What each role may not do, and what breaks without each of its grants: `make permissions` writes docs/permissions.md.

Both are tried on the deployed stack. A role is taken by way of STS, for which its trust is opened for a moment: nobody
but its service may take it otherwise. The local cloud then asks IAM for every call of that role, as AWS does.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

from darkroom.local.pictures import photo
from darkroom.pipeline.backfill import Only, given
from darkroom.pipeline.executions import arn_of
from functions.links import Options, signed_path
from tests.e2e.conftest import SCHEDULED, Deployed, Role, eventually, own_cloud
from tests.e2e.web import form

PAGE = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"
INTRODUCTION = """# Permissions: who may do what

`make permissions` writes this page from what it observed. `make test` fails if the page is stale. Both tables are about
the stack that is deployed to the local cloud, which asks IAM about every call to its endpoint, every call of a state
machine, and every target of a rule. It has Standard workflows. What `workflow: express` changes, acts on executions and
the grants for them, is tried by `tests/e2e/test_express.py`.

Where the local cloud differs from AWS:

- It does not ask IAM about the calls that Lambda makes for a function: those that write its logs and traces, and those
  that read the stream or the queue which calls it. Nor about those that Step Functions makes for a distributed Map, but
  for the listing of the bucket, and to wait for an execution.
- It takes the role of a function without a look at who may take it. The template's tests check the conditions.
- It encrypts nothing, so no role uses a key. The template's tests check the grants of `kms_key`.
- It asks for `bedrock:Converse` where AWS asks for `bedrock:InvokeModel`.
"""

ROLES = {
    **{f"Steps{name}Role": name for name in ("Validate", "Resize", "Caption", "Cleanup", "Sweep", "Backfill")},
    **{f"Workflow{name}Role": f"{name} machine" for name in ("ImagePipeline", "Deletion", "Recaption", "Backfill")},
    **{f"Intake{name}Role": f"{name} rule" for name in ("Uploaded", "Deleted")},
    "ApiRole": "Api",
    "DeliveryDeliverRole": "Deliver",
    "AnnouncementsAnnounceRole": "Announce",
    "AnnouncementsWebhookNotifyRole": "Notify",
}
VALIDATE, RESIZE, CAPTION, CLEANUP, SWEEP, BACKFILL, *OF_OTHERS, API, DELIVER, ANNOUNCE, NOTIFY = ROLES.values()
IMAGES, DELETIONS, RECAPTIONS, BACKFILLS, UPLOADED, DELETED = OF_OTHERS
VIEWS = 10  # of a picture that is overwritten, until one comes in between
DENIED, MAY = "denied", "may"
HERE = Config(inject_host_prefix=False, proxies={})  # a call that waits has a host of its own on AWS
REFUSED = "AccessDenied"


class Act(NamedTuple):
    """One thing to try. `by` are the roles whose work it is; they are tried too, so that a denial means something.

    `harmless`: the error with which a call that is allowed ends, where its success would change something.
    """

    does: str
    service: str
    call: Callable[[Any], Any]
    by: frozenset[str] | set[str] = frozenset()
    harmless: str | None = None


def acts_on_executions(
    of: str, machine: str, execution: str, starts: set[str], waits: frozenset[str] = frozenset()
) -> Iterator[Act]:
    """`starts` are the roles whose work it is to start them, `waits` those that wait for their end. Of an Express one
    nobody may ask, and who waits for it starts it by another call."""
    service = "stepfunctions"
    is_express = ":express:" in execution
    asks: set[str] = set() if is_express else {SWEEP}
    if is_express:
        yield Act(
            f"start an execution of {of} and wait for it",
            service,
            lambda aws: aws.start_sync_execution(stateMachineArn=machine, input="no JSON"),
            waits,
            harmless="InvalidExecutionInput",
        )
        starts, waits = (starts | {SWEEP}) - waits, frozenset()
    yield Act(
        f"start an execution of {of}",
        service,
        lambda aws: aws.start_execution(stateMachineArn=machine, input="no JSON"),
        starts,
        harmless="InvalidExecutionInput",
    )
    yield Act(f"list the executions of {of}", service, lambda aws: aws.list_executions(stateMachineArn=machine), asks)
    yield Act(
        f"look at an execution of {of}",
        service,
        lambda aws: aws.describe_execution(executionArn=execution),
        {*asks, *waits},
    )
    yield Act(
        f"read the history of an execution of {of}",
        service,
        lambda aws: aws.get_execution_history(executionArn=execution),
        asks,
    )
    yield Act(f"stop an execution of {of}", service, lambda aws: aws.stop_execution(executionArn=execution))


def acts(stack: "Stack") -> list[Act]:
    """Everything that is in reach of one of the roles, and what an intruder would want next."""
    missing = {"key": {"S": "raw/no such row"}}
    never = {"TableName": stack.table, "Key": missing}
    only_if_there = {**never, "UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
    only_if_there |= {"ConditionExpression": "attribute_exists(#key)", "ExpressionAttributeNames": {"#key": "key"}}
    by_status = {
        "TableName": stack.table,
        "IndexName": "by-status",
        "KeyConditionExpression": "#status = :status",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":status": {"S": "PROCESSING"}},
    }
    unpromised = {"TableName": stack.promises, "Key": {"folder": {"S": "no such folder"}}}
    picture = {"Bucket": stack.uploads, "Key": "raw/tried.jpg"}
    old = {**picture, "VersionId": stack.version}
    rendition = {"Bucket": stack.renditions, "Key": "tried/rendition.webp"}
    other_size = {"Bucket": stack.renditions, "Key": "derived/raw/tried/size.webp"}
    letter = {"QueueUrl": stack.queue, "MessageBody": "x", "DelaySeconds": 10**6}  # SQS refuses so long a delay
    told = {"Source": "darkroom", "DetailType": "Tried", "Detail": "{}"}
    other_model = "anthropic.claude-3-haiku-20240307-v1:0"
    question = [{"role": "user", "content": [{"text": "?"}]}]

    def invoke(step: str) -> Callable[[Any], Any]:
        return lambda aws: aws.invoke(FunctionName=stack.function(step), InvocationType="DryRun", Payload=b"{}")

    return [
        Act("read an original", "s3", lambda aws: aws.get_object(**picture), stack.readers),
        Act(
            "read a version of an original",
            "s3",
            lambda aws: aws.get_object(**old),
            {VALIDATE, RESIZE, CAPTION, DELIVER},
        ),
        Act(
            "list the originals",
            "s3",
            lambda aws: aws.list_objects_v2(Bucket=stack.uploads, Prefix="raw/"),
            {VALIDATE, DELIVER, BACKFILLS},
        ),
        Act(
            "list the versions of the originals",
            "s3",
            lambda aws: aws.list_object_versions(Bucket=stack.uploads, Prefix=picture["Key"]),
            {VALIDATE, DELETIONS, DELIVER, BACKFILL},
        ),
        Act(
            "list uploads outside the prefix",
            "s3",
            lambda aws: aws.list_objects_v2(Bucket=stack.uploads, Prefix="elsewhere/"),
            {VALIDATE, DELIVER},  # as part of reading an object, whose request names no prefix
        ),
        Act("list all uploads", "s3", lambda aws: aws.list_objects_v2(Bucket=stack.uploads), {VALIDATE, DELIVER}),
        Act(
            "list versions outside the prefix",
            "s3",
            lambda aws: aws.list_object_versions(Bucket=stack.uploads, Prefix="elsewhere/"),
            {VALIDATE, DELIVER},
        ),
        Act(
            "read uploads outside the prefix",
            "s3",
            lambda aws: aws.get_object(Bucket=stack.uploads, Key="elsewhere/tried.jpg"),
        ),
        Act("delete an original", "s3", lambda aws: aws.delete_object(**picture), {API}),
        Act("write an original", "s3", lambda aws: aws.put_object(**picture, Body=b"x"), {API}),  # for the next role
        Act("delete a version of an original", "s3", lambda aws: aws.delete_object(**old)),
        Act("read a rendition", "s3", lambda aws: aws.get_object(**rendition)),
        Act("list the renditions", "s3", lambda aws: aws.list_objects_v2(Bucket=stack.renditions), {CLEANUP, DELIVER}),
        Act("write a rendition", "s3", lambda aws: aws.put_object(**rendition, Body=b"x"), {RESIZE}),
        Act("delete a rendition", "s3", lambda aws: aws.delete_object(**rendition), {CLEANUP}),
        Act("read another size", "s3", lambda aws: aws.get_object(**other_size), {DELIVER}, harmless="NoSuchKey"),
        Act("delete another size", "s3", lambda aws: aws.delete_object(**other_size), {CLEANUP, DELIVER}),
        Act("write another size", "s3", lambda aws: aws.put_object(**other_size, Body=b"x"), {RESIZE, DELIVER}),
        Act("read the access logs", "s3", lambda aws: aws.list_objects_v2(Bucket=stack.access_logs)),
        Act(
            "write a report",
            "s3",
            lambda aws: aws.put_object(Bucket=stack.access_logs, Key="backfill/tried.json", Body=b"{}"),
            {BACKFILLS},
        ),
        Act(
            "write among the access logs",
            "s3",
            lambda aws: aws.put_object(Bucket=stack.access_logs, Key="uploads/tried", Body=b"x"),
        ),
        Act("read another bucket", "s3", lambda aws: aws.get_object(Bucket=stack.strange, Key="strange.txt")),
        Act("write to another bucket", "s3", lambda aws: aws.put_object(Bucket=stack.strange, Key="x", Body=b"x")),
        Act("open a bucket to all", "s3", lambda aws: aws.delete_public_access_block(Bucket=stack.uploads)),
        Act("read a row", "dynamodb", lambda aws: aws.get_item(**never), {CLEANUP, API, DELIVER, ANNOUNCE}),
        Act(
            "read the rows of many keys",
            "dynamodb",
            lambda aws: aws.batch_get_item(RequestItems={stack.table: {"Keys": [missing]}}),
            {BACKFILL},
        ),
        Act("find rows by status", "dynamodb", lambda aws: aws.query(**by_status), {SWEEP, API}),
        Act(
            "change a row",
            "dynamodb",
            lambda aws: aws.update_item(**only_if_there),
            {SWEEP, IMAGES, DELETIONS, RECAPTIONS, NOTIFY},
            harmless="ConditionalCheckFailedException",
        ),
        Act("put a row", "dynamodb", lambda aws: aws.put_item(TableName=stack.table, Item=missing)),
        Act("delete a row", "dynamodb", lambda aws: aws.delete_item(**never)),
        Act("read all rows", "dynamodb", lambda aws: aws.scan(TableName=stack.table)),
        Act("read a promise", "dynamodb", lambda aws: aws.get_item(**unpromised), {API}),
        Act(
            "make a promise",
            "dynamodb",
            lambda aws: aws.put_item(
                TableName=stack.promises, Item=unpromised["Key"], ConditionExpression="attribute_exists(folder)"
            ),
            {API},
            harmless="ConditionalCheckFailedException",
        ),
        Act("delete a promise", "dynamodb", lambda aws: aws.delete_item(**unpromised)),
        Act("read another table", "dynamodb", lambda aws: aws.scan(TableName=stack.strange)),
        Act(
            "send a letter",
            "sqs",
            lambda aws: aws.send_message(**letter),
            {SWEEP, IMAGES, DELETIONS, ANNOUNCE},
            harmless="InvalidParameterValue",
        ),
        Act("read the letters", "sqs", lambda aws: aws.receive_message(QueueUrl=stack.queue)),
        Act("delete the letters", "sqs", lambda aws: aws.purge_queue(QueueUrl=stack.queue)),
        *(
            Act(f"call {step}", "lambda", invoke(step.lower()), by)
            for step, by in {
                "Validate": {IMAGES},
                "Resize": {IMAGES},
                "Caption": {IMAGES, RECAPTIONS},
                "Cleanup": {IMAGES, DELETIONS},
                "Sweep": set(),
                "Backfill": {BACKFILLS},
                "Api": set(),
                "Deliver": set(),
                "Announce": set(),
                "Notify": set(),
            }.items()
        ),
        Act(
            "change a function",
            "lambda",
            lambda aws: aws.update_function_configuration(FunctionName=stack.function("resize"), Timeout=59),
        ),
        *acts_on_executions(
            "a picture",
            stack.machine("ImagePipeline"),
            stack.execution,
            {UPLOADED, DELETIONS, API, BACKFILLS},
            frozenset({BACKFILLS}),
        ),
        *acts_on_executions("a deletion", stack.machine("Deletion"), stack.deletion, {DELETED}),
        Act(
            "start a backfill",
            "stepfunctions",
            lambda aws: aws.start_execution(stateMachineArn=stack.machine("Backfill"), input="no JSON"),
            {BACKFILLS},
            harmless="InvalidExecutionInput",
        ),
        Act(
            "stop a backfill",
            "stepfunctions",
            lambda aws: aws.stop_execution(executionArn=arn_of(stack.machine("Backfill"), "none")),
            {BACKFILLS},
            harmless="ExecutionDoesNotExist",
        ),
        Act(
            "ask the model",
            "bedrock-runtime",
            lambda aws: aws.converse(modelId="amazon.nova-lite-v1:0", messages=question),
            {CAPTION},
        ),
        Act(
            "ask another model",
            "bedrock-runtime",
            lambda aws: aws.converse(modelId=other_model, messages=question),
        ),
        Act(
            "look at a redrive of a picture",
            "stepfunctions",
            lambda aws: aws.describe_execution(executionArn=f"{stack.execution.rpartition(':')[0]}:redrive-none"),
            set() if stack.deployed.aws.is_express else {SWEEP, API, BACKFILLS},
            harmless="ExecutionDoesNotExist",
        ),
        Act(
            "read the secret that signs URLs",
            "secretsmanager",
            lambda aws: aws.get_secret_value(SecretId=stack.deployed.aws.output("DeliverySecretArn")),
            {API, DELIVER},
        ),
        # The local cloud refuses the other actions on streams to everybody.
        Act("list the streams of tables", "dynamodbstreams", lambda aws: aws.list_streams(), {ANNOUNCE}),
        Act("put an event on the bus", "events", lambda aws: aws.put_events(Entries=[told]), {ANNOUNCE}),
        Act("make a rule", "events", lambda aws: aws.put_rule(Name="x", ScheduleExpression="rate(1 day)")),
        Act(
            "have the webhook told something",
            "sqs",
            lambda aws: aws.send_message(**letter | {"QueueUrl": stack.webhook_queue}),
            {ANNOUNCE},
            harmless="InvalidParameterValue",
        ),
        Act(
            "read what the webhook is to be told",
            "sqs",
            lambda aws: aws.receive_message(QueueUrl=stack.webhook_queue, VisibilityTimeout=0),
            {NOTIFY},
        ),
        Act(
            "read the webhook's secret",
            "secretsmanager",
            lambda aws: aws.get_secret_value(SecretId=stack.webhook_secret),
            {NOTIFY},
        ),
        Act(
            "change the webhook's secret",
            "secretsmanager",
            lambda aws: aws.put_secret_value(SecretId=stack.webhook_secret, SecretString="x"),
        ),
        Act("raise an alarm", "sns", lambda aws: aws.publish(TopicArn=stack.topic, Message="x")),
        Act("silence the alarms", "cloudwatch", lambda aws: aws.disable_alarm_actions(AlarmNames=["x"])),
        Act("read logs", "logs", lambda aws: aws.filter_log_events(logGroupName=stack.logs)),
        Act("make a key", "iam", lambda aws: aws.create_access_key(UserName="x")),
        Act(
            "give itself a grant",
            "iam",
            lambda aws: aws.put_role_policy(RoleName=stack.roles[VALIDATE], PolicyName="x", PolicyDocument="{}"),
        ),
        Act(
            "take another role",
            "sts",
            lambda aws: aws.assume_role(RoleArn=stack.arn(SWEEP), RoleSessionName="intruder"),
        ),
    ]


class Stack:
    """The names of all that can be tried, and a bucket, table and version of a picture to try it on."""

    def __init__(self, deployed: Deployed) -> None:
        self.deployed = deployed
        found = deployed.client("cloudformation").describe_stack_resources(StackName=deployed.aws.stack)[
            "StackResources"
        ]
        self._resources = {one["LogicalResourceId"][:-8]: one["PhysicalResourceId"] for one in found}
        self.roles = {name: self._resources[logical_id] for logical_id, name in ROLES.items()}
        self.uploads, self.renditions = deployed.aws.output("UploadsBucketName"), self._resources["StorageRenditions"]
        # Of a bucket that the stack did not make, nobody knows whether it keeps versions.
        self.readers = {VALIDATE} if "StorageUploads" in self._resources else {VALIDATE, RESIZE, CAPTION, DELIVER}
        self.access_logs, self.table = self._resources["StorageAccessLogs"], self._resources["StorageResults"]
        self.queue, self.topic = deployed.aws.output("DeadLetterQueueUrl"), self._resources["AlarmsTopic"]
        self.logs, self.promises = self._resources["StepsCaptionLogs"], self._resources["ApiPromises"]
        self.webhook_queue = self._resources["AnnouncementsWebhookQueue"]
        self.webhook_secret = deployed.aws.output("WebhookSecretArn")
        self.strange = "somebody-elses"
        deployed.aws.s3.create_bucket(Bucket=self.strange)
        picture = deployed.picture("raw/tried.jpg", b"no picture")
        self.version, self.execution = picture["version_id"], picture["execution"]

    @cached_property
    def deletion(self) -> str:
        """The execution of one."""
        key = "raw/tried and deleted.jpg"
        self.deployed.picture(key, b"no picture")
        self.deployed.delete(key)
        row = eventually(lambda: self.deployed.row(key)["status"] == "DELETED" and self.deployed.row(key), key)
        return str(row["execution"])

    def function(self, step: str) -> str:
        return str(self.deployed.function(step)["FunctionName"])

    def machine(self, name: str) -> str:
        return str(self._resources[f"Workflow{name}Machine"])

    def arn(self, role: str) -> str:
        return str(self.deployed.client("iam").get_role(RoleName=self.roles[role])["Role"]["Arn"])

    def session(self, role: str) -> dict[str, str]:
        """The credentials of a session of that role, whose trust is opened to this account and closed again."""
        iam, sts, name = self.deployed.client("iam"), self.deployed.client("sts"), self.roles[role]
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        account = sts.get_caller_identity()["Account"]
        us = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
        opened = {**trust, "Statement": [*trust["Statement"], us]}
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(opened))
        try:
            session = sts.assume_role(RoleArn=self.arn(role), RoleSessionName="intruder")["Credentials"]
        finally:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
        return {
            "aws_access_key_id": session["AccessKeyId"],
            "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"],
        }


def outcome(act: Act, client: Any) -> str:
    try:
        act.call(client)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code.startswith("AccessDenied") or code == "AuthorizationError":
            return DENIED if "is not authorized to perform" in message else f"{code}: {message}"
        return MAY if code == act.harmless else f"{code}: {message}"
    return MAY


def denials(deployed: Deployed, service: str = "") -> dict[str, dict[str, str]]:
    """Act → role → whether it is denied, as tried; all acts, or those of one service. An act that is a role's own work
    is tried with it too."""
    stack = Stack(deployed)
    chosen = [act for act in acts(stack) if service in ("", act.service)]
    tried: dict[str, dict[str, str]] = {act.does: {} for act in chosen}
    for role in stack.roles:
        session = stack.session(role)
        clients = {act.service: deployed.client(act.service, config=HERE, **session) for act in chosen}
        for act in chosen:
            tried[act.does][role] = outcome(act, clients[act.service])
    return tried


def expected_denials(deployed: Deployed, service: str = "") -> dict[str, dict[str, str]]:
    return {
        act.does: {role: MAY if role in act.by else DENIED for role in ROLES.values()}
        for act in acts(Stack(deployed))
        if service in ("", act.service)
    }


class Removal(NamedTuple):
    """A grant, what was done without it, and how that ended."""

    role: str
    action: str
    resource: str
    done: str
    ended: str


# What the local cloud does for a function without asking: it writes logs and traces, and reads what calls the function.
NOT_ASKED: tuple[str, ...] = (
    *("logs:", "xray:", "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"),
    *("dynamodb:ListStreams", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
)

# And what it does for a backfill: it waits for what is started, begins and stops its children, and writes no report.
OF_A_BACKFILL = (
    *("states:DescribeExecution", "states:StopExecution", "events:PutTargets", "events:PutRule", "events:DescribeRule"),
    *("s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"),
)


class Without:
    """What is done while a grant is missing, by role and action: the words in which its lack shows."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed
        self._picture = photo(64, 64)  # of one rendition
        self._pictures = self._sizes = 0
        row = deployed.picture(self._key(), self._picture)
        self._image = deployed.execution(row["execution"])
        self._row = row
        self._deletion: dict[str, Any] = {}

        self._roles = Stack(deployed).roles
        self._lack = ""

    def _key(self) -> str:
        self._pictures += 1
        return f"raw/without/{self._pictures}.jpg"

    def upload(self) -> str:
        """A picture is uploaded"""
        row = self._deployed.picture(self._key(), self._picture)
        self._deployed.execution(row["execution"])  # its letter comes after its row, and is cleared away at the end
        return str(row["error"]["message"])

    def versioned_event(self) -> str:
        """A picture's event names its version"""
        event = json.loads(self._image["input"])
        event["detail"]["object"]["version-id"] = self._row["version_id"]
        ended = self._deployed.run({**event, "redrives": self._deployed.row(self._row["key"])["execution"]})
        return str(ended["cause"])

    def event_of_nothing(self) -> str:
        """The picture is gone before it is read"""
        event = json.loads(self._image["input"])
        event["detail"]["object"] |= {"key": self._key()}
        return str(self._deployed.run(event)["output"])

    def caption(self) -> str:
        """A picture is uploaded; it succeeds without a caption"""
        row = self._deployed.picture(self._key(), self._picture)
        assert (row["status"], row["caption"]["status"]) == ("SUCCEEDED", "FAILED")
        return str(row["caption"]["reason"]) + self._logged("caption", row["execution"])

    def deletion(self) -> str:
        """A picture is deleted"""
        event = json.loads(self._image["input"]) | {"detail-type": "Object Deleted"}
        row = self._deployed.row(self._row["key"])
        machine = self._deployed.aws.output("DeletionStateMachineArn")
        self._deletion = self._deployed.run({**event, "redrives": row["execution"]}, machine)
        return str(self._deletion["cause"])

    def schedule(self) -> str:
        """The sweep looks for stalled rows, and there is one"""
        machine = self._deployed.aws.output("StateMachineArn").replace(":stateMachine:", ":execution:")
        old = {"status": "PROCESSING", "updated_at": "2020-01-01T00:00:00.000Z", "execution": f"{machine}:forgotten"}
        rest = {"version_id": "null", "etag": "0", "sequencer": "0", "size": 1}
        self._deployed.aws.results.put_item(Item={"key": "raw/without/stalled", **old, **rest})
        return self._swept(SCHEDULED)

    def image_ended(self) -> str:
        """The sweep hears of a picture's execution"""
        return self._swept({"source": "aws.states", "detail": {"executionArn": self._image["executionArn"]}})

    def deletion_ended(self) -> str:
        """The sweep hears of a deletion's execution"""
        return self._swept({"source": "aws.states", "detail": {"executionArn": self._deletion["executionArn"]}})

    def _swept(self, event: dict[str, Any]) -> str:
        before = len(self._deployed.log_lines("sweep"))
        answer = self._deployed.call("sweep", event)
        logged = eventually(lambda: self._deployed.log_lines("sweep")[before:], "what the sweep logged")
        return answer + "".join(logged)

    def again(self) -> str:
        """A picture is worked on once more"""
        event = json.loads(self._image["input"])
        ended = self._deployed.run({**event, "redrives": self._deployed.row(self._row["key"])["execution"]})
        return self._causes(ended["executionArn"])

    def failing(self) -> str:
        """A picture fails, because no function may be called either"""
        with self.role(IMAGES).without("lambda:InvokeFunction"):
            return self.again()

    def failing_deletion(self) -> str:
        """A deletion fails, because no function may be called either"""
        with self.role(DELETIONS).without("lambda:InvokeFunction"):
            return self.undeletion()

    def undeletion(self) -> str:
        """A picture is deleted, and is there again"""
        self.deletion()
        return self._causes(self._deletion["executionArn"])

    def recaption(self) -> str:
        """A caption is made again"""
        row, machine = self._row, self._deployed.aws.output("RecaptionStateMachineArn")
        source = {name: row[name] for name in ("key", "version_id", "etag")}
        source["bucket"] = self._deployed.aws.output("UploadsBucketName")
        ended = self._deployed.run({"source": source, "content_hash": row["content_hash"]}, machine)
        return self._causes(ended["executionArn"])

    def backfilled(self) -> str:
        """A picture is backfilled"""
        return self._backfill("all")

    def backfilled_caption(self) -> str:
        """A caption is backfilled"""
        self._deployed.aws.results.put_item(Item={**self._row, "caption": {"status": "FAILED"}})
        return self._backfill("captions")

    def _backfill(self, only: Only) -> str:
        """What went wrong in it, and in the executions of its batches."""
        states, machine = self._deployed.aws.states, self._deployed.aws.output("BackfillStateMachineArn")
        ended = self._deployed.run(given(only, self._row["key"], at_once=1), machine)
        runs = states.list_map_runs(executionArn=ended["executionArn"])["mapRuns"]
        batches = [one for run in runs for one in states.list_executions(mapRunArn=run["mapRunArn"])["executions"]]
        return str(ended.get("cause")) + "".join(self._causes(one["executionArn"]) for one in batches)

    def uploaded(self) -> str:
        """A picture is uploaded; its event is a letter"""
        key = self._key()
        self._deployed.empty_the_queue()  # of which not all can be looked at
        self._deployed.upload(key, self._picture)
        return self._undelivered(key)

    def deleted(self) -> str:
        """A picture is deleted; its event is a letter"""
        key = self._key()
        self._deployed.picture(key, self._picture)
        self._deployed.empty_the_queue()
        self._deployed.delete(key)
        return self._undelivered(key)

    def ended(self) -> str:
        """A picture ends, and is to be told"""
        key = self._key()
        with self._refused("announce") as logged:
            self._deployed.picture(key, b"no picture")
        return logged[0]

    def untellable(self) -> str:
        """A picture ends, and cannot be told"""
        key = self._key()
        row = {"key": key, "updated_at": "2026-11-26", "execution": "arn"}  # of no version
        with self._refused("announce") as logged:
            for status in ("PROCESSING", "REJECTED"):
                self._deployed.aws.results.put_item(Item={**row, "status": status})
        return logged[0]

    def told_again(self) -> str:
        """A picture's end is told again"""
        return self._deployed.call("announce", {"keys": [self._row["key"]]})

    def webhook_told(self) -> str:
        """A picture ends, and the webhook is to be told"""
        notify = self._deployed.function("notify")["FunctionName"]
        functions, before = self._deployed.client("lambda"), len(self._deployed.log_lines("notify"))

        def look() -> str:
            """A process forgets its secret with its end. One that is at an earlier event ends later."""
            functions.update_function_configuration(FunctionName=notify, Description=self._key())
            self._deployed.picture(self._key(), b"no picture")
            return "".join(line for line in self._deployed.log_lines("notify")[before:] if self._lack in line)

        return str(eventually(look, "what notify logged"))

    def webhook_answered(self) -> str:
        """A picture ends, and the webhook answers"""
        key = self._key()
        with self._refused("notify") as logged:
            self._deployed.picture(key, b"no picture")
        return logged[0]

    def webhook_refuses(self) -> str:
        """A picture ends, and the webhook does not take its event"""
        key = self._key()
        self._deployed.hook.answers[key] = [500]
        with self._refused("notify") as logged:
            self._deployed.picture(key, b"no picture")
        return logged[0]

    @contextmanager
    def _refused(self, step: str) -> Iterator[list[str]]:
        """What it logs of its lack, once the block is over. Of rows, the first of those that wait is tried."""
        logged: list[str] = []
        before = len(self._deployed.log_lines(step))
        yield logged

        def look() -> str:
            return "".join(line for line in self._deployed.log_lines(step)[before:] if self._lack in line)

        logged.append(str(eventually(look, f"what {step} logged")))

    def _causes(self, execution: str) -> str:
        """All that went wrong in an execution."""
        pages = self._deployed.aws.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        details = (detail for page in pages for event in page["events"] for detail in event.values())
        return "".join(detail.get("cause", "") for detail in details if isinstance(detail, dict))

    def _undelivered(self, key: str) -> str:
        """Why EventBridge did not deliver the event of that key."""

        def look() -> str | None:
            for letter in self._deployed.letters():
                if key in letter["Body"]:
                    return str(letter["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"])
            return None

        return str(eventually(look, f"the letter of {key}"))

    def promised(self) -> str:
        """An upload is promised"""
        return self._asked("POST /v1/uploads", {"name": "cat.png"})[1]

    def form(self) -> str:
        """The form of a promised upload is sent"""
        promise = json.loads(self._asked("POST /v1/uploads", {"name": "cat.png"})[0])
        return form(self._deployed, promise, self._picture).body.decode()

    def shown(self) -> str:
        """A picture is asked for"""
        return self._asked("GET /v1/pictures/{key+}")[1]

    def never_promised(self) -> str:
        """A picture is asked for that may have been promised"""
        return self._asked("GET /v1/pictures/{key+}", key=f"raw/{'0' * 32}/cat.png")[1]

    def listed(self) -> str:
        """Pictures are asked for"""
        return self._asked("GET /v1/pictures")[1]

    def deleted_by_api(self) -> str:
        """A picture is deleted by the API"""
        return self._asked("DELETE /v1/pictures/{key+}")[1]

    def linked_by_api(self) -> str:
        """A link is asked for"""
        functions, api = self._deployed.client("lambda"), self._deployed.function("api")["FunctionName"]
        functions.update_function_configuration(FunctionName=api, Description="has not read the secret yet")
        return self._asked("POST /v1/links", {"keys": [self._row["key"]]})[1]

    def redriven_by_api(self) -> str:
        """A picture that failed is started again by the API"""
        self._deployed.aws.results.put_item(Item={**self._row, "key": "raw/without/failed", "status": "FAILED"})
        return self._asked("POST /v1/pictures/{key+}", key="raw/without/failed/redrive")[1]

    def redriven_twice_by_api(self) -> str:
        """A picture that failed again is started again by the API"""
        self.redriven_by_api()
        eventually(lambda: not self._deployed.at_work(), "the end of the first")
        return self.redriven_by_api()

    def _asked(self, route: str, body: Any = None, key: str | None = None) -> tuple[str, str]:
        """What the API's function answers, and then logged."""
        event = {
            "version": "2.0",
            "routeKey": route,
            "pathParameters": {"key": key or self._row["key"]},
            "headers": {"content-type": "application/json"},
            "requestContext": {"stage": "$default", "http": {"method": route.partition(" ")[0]}, "authorizer": {}},
            "body": json.dumps(body),
            "isBase64Encoded": False,
        }
        before = len(self._deployed.log_lines("api"))
        answer = json.loads(self._deployed.call("api", event))
        if answer["statusCode"] < 500:
            return answer["body"], ""
        return answer["body"], "".join(eventually(lambda: self._deployed.log_lines("api")[before:], "what it logged"))

    def viewed(self) -> str:
        """A viewer asks for a new size"""
        self._deployed.aws.results.put_item(Item=self._row)  # whatever was done to the picture meanwhile
        return self._viewed(self._row["key"])

    def viewed_at_first(self) -> str:
        """A new process is asked for a size"""
        deliver = self._deployed.function("deliver")["FunctionName"]
        functions = self._deployed.client("lambda")
        functions.update_function_configuration(
            FunctionName=deliver, Description=self._key()
        )  # its secret is forgotten
        return self.viewed()

    def viewed_when_gone(self) -> str:
        """A viewer asks for a new size of a picture whose original is gone"""
        row = {**self._row, "key": "raw/without/gone", "version_id": "none", "shown_version_id": "none"}
        self._deployed.aws.results.put_item(Item=row)
        return self._viewed(row["key"])

    def viewed_meanwhile(self) -> str:
        """A viewer asks for a new size while the picture is overwritten"""
        answer = ""
        for _ in range(VIEWS):
            with ThreadPoolExecutor(1) as pool:
                view = pool.submit(self.viewed)
                for number in count():
                    if view.done():
                        break
                    self._deployed.aws.results.put_item(Item={**self._row, "etag": str(number)})
            answer = view.result()
            if "'statusCode': 200" not in answer:
                break  # else none came between its two looks at the row
        self._deployed.aws.results.put_item(Item=self._row)
        return answer

    def _viewed(self, key: str) -> str:
        """What Deliver answers, or the error that it ends with. It is asked as CloudFront asks it."""
        self._sizes += 1
        manager = self._deployed.client("secretsmanager")
        secret = manager.get_secret_value(SecretId=self._deployed.aws.output("DeliverySecretArn"))["SecretString"]
        path = signed_path(secret.encode(), key, Options.of({"q": self._sizes, "f": "webp"}))
        event = {"rawPath": path, "headers": {"accept": "image/webp"}}
        return str(json.loads(self._deployed.call("deliver", event)))

    def role(self, name: str) -> Role:
        return Role(self._deployed, self._roles[name])

    def _logged(self, step: str, execution: str) -> str:
        def look() -> str:
            return "".join(line for line in self._deployed.log_lines(step) if execution in line)

        return str(eventually(look, f"what {step} logged"))

    def act(self, role: str, action: str, resource: str) -> Callable[[], str]:
        self._lack = f"is not authorized to perform: {action} "
        by_machine = self.deletion_ended if "Deletion" in resource else self.image_ended
        backfilled = self.backfilled_caption if "Recaption" in resource else self.backfilled
        return {
            ("Validate", "s3:ListBucket"): self.event_of_nothing,
            ("Validate", "s3:ListBucketVersions"): self.event_of_nothing,
            ("Validate", "s3:GetObject"): self.upload,
            ("Validate", "s3:GetObjectVersion"): self.versioned_event,
            ("Resize", "s3:GetObjectVersion"): self.upload,
            ("Resize", "s3:PutObject"): self.upload,
            ("Caption", "s3:GetObjectVersion"): self.caption,
            ("Caption", "bedrock:Converse"): self.caption,
            ("Cleanup", "s3:ListBucket"): self.deletion,
            ("Cleanup", "s3:DeleteObject"): self.deletion,
            ("Cleanup", "dynamodb:GetItem"): self.deletion,
            ("Sweep", "dynamodb:Query"): self.schedule,
            ("Sweep", "dynamodb:UpdateItem"): self.schedule,
            ("Sweep", "sqs:SendMessage"): self.schedule,
            ("Sweep", "states:ListExecutions"): self.schedule,
            ("Sweep", "states:DescribeExecution"): by_machine,
            ("Sweep", "states:GetExecutionHistory"): by_machine,
            (BACKFILL, "dynamodb:BatchGetItem"): self.backfilled,
            (BACKFILL, "s3:ListBucketVersions"): self.backfilled,
            (API, "s3:PutObject"): self.form,
            (API, "s3:DeleteObject"): self.deleted_by_api,
            (API, "dynamodb:GetItem"): self.never_promised if "Promises" in resource else self.shown,
            (API, "dynamodb:PutItem"): self.promised,
            (API, "dynamodb:Query"): self.listed,
            (API, "secretsmanager:GetSecretValue"): self.linked_by_api,
            (API, "states:StartExecution"): self.redriven_by_api,
            (API, "states:DescribeExecution"): self.redriven_twice_by_api,
            (IMAGES, "lambda:InvokeFunction"): self.again,
            (IMAGES, "dynamodb:UpdateItem"): self.again,
            (IMAGES, "sqs:SendMessage"): self.failing,
            (DELETIONS, "lambda:InvokeFunction"): self.undeletion,
            (DELETIONS, "s3:ListBucketVersions"): self.undeletion,
            (DELETIONS, "states:StartExecution"): self.undeletion,
            (DELETIONS, "dynamodb:UpdateItem"): self.undeletion,
            (DELETIONS, "sqs:SendMessage"): self.failing_deletion,
            (RECAPTIONS, "lambda:InvokeFunction"): self.recaption,
            (RECAPTIONS, "dynamodb:UpdateItem"): self.recaption,
            (BACKFILLS, "lambda:InvokeFunction"): self.backfilled,
            (BACKFILLS, "s3:ListBucket"): self.backfilled,
            (BACKFILLS, "states:StartExecution"): backfilled,
            (DELIVER, "s3:ListBucket"): self.viewed_when_gone,
            (DELIVER, "s3:ListBucketVersions"): self.viewed_when_gone,
            (DELIVER, "s3:GetObjectVersion"): self.viewed,
            (DELIVER, "s3:GetObject"): self.viewed,
            (DELIVER, "s3:PutObject"): self.viewed,
            (DELIVER, "s3:DeleteObject"): self.viewed_meanwhile,
            (DELIVER, "dynamodb:GetItem"): self.viewed,
            (DELIVER, "secretsmanager:GetSecretValue"): self.viewed_at_first,
            (ANNOUNCE, "dynamodb:GetItem"): self.told_again,
            (ANNOUNCE, "events:PutEvents"): self.ended,
            (ANNOUNCE, "sqs:SendMessage"): self.ended if "Webhook" in resource else self.untellable,
            (NOTIFY, "secretsmanager:GetSecretValue"): self.webhook_told,
            (NOTIFY, "dynamodb:UpdateItem"): self.webhook_answered,
            (NOTIFY, "sqs:ChangeMessageVisibility"): self.webhook_refuses,
            (UPLOADED, "states:StartExecution"): self.uploaded,
            (DELETED, "states:StartExecution"): self.deleted,
        }[role, action]

    def clear(self) -> None:
        """The letters and the rows that all this left."""
        for key in ("raw/without/stalled", "raw/without/failed", "raw/without/gone"):
            self._deployed.aws.results.delete_item(Key={"key": key})
        self._deployed.empty_the_queue()


# The local S3 tells everybody that an object is not there; AWS's tells only who may list, and refuses the others:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
NOT_AS_ON_AWS = (
    {
        ("Validate", action): ('"code": "gone"', "`gone` all the same: the local S3 hides nothing")
        for action in ("s3:ListBucket", "s3:ListBucketVersions")
    }
    | {
        ("Deliver", action): ('"code": "gone"', "`gone` all the same: the local S3 hides nothing")
        for action in ("s3:ListBucket", "s3:ListBucketVersions")
    }
    | {("Api", "s3:PutObject"): ("<Code>AccessDenied</Code>", "AccessDenied, but S3's answer to a form names no grant")}
)


def removals(deployed: Deployed) -> list[Removal]:
    """Each grant of each role, taken away for the time of the act that needs it."""
    without = Without(deployed)
    found = []
    for name in ROLES.values():
        role = without.role(name)
        for grant in role.grants():
            action, resource = grant["Action"], grant["Resource"]
            if _is_asked(name, action, resource):
                act = without.act(name, action, resource)
                with role.without(action, resource):
                    words = act()
                found.append(Removal(name, action, _short(resource), str(act.__doc__), _ended(name, action, words)))
    without.clear()
    return found


def _is_asked(role: str, action: str, resource: str) -> bool:
    """Whether the local cloud asks for the grant when it is used."""
    if role == BACKFILLS:
        begins_a_batch = action == "states:StartExecution" and "WorkflowBackfill" in resource
        return not (begins_a_batch or action.startswith((*NOT_ASKED, *OF_A_BACKFILL)))
    return not action.startswith(NOT_ASKED)


def _ended(role: str, action: str, words: str) -> str:
    if f"is not authorized to perform: {action} " in words:
        return REFUSED
    shown, ended = NOT_AS_ON_AWS.get((role, action), ("is never shown", ""))
    return ended if shown in words else f"**UNNOTICED**: {words}"


def _short(arn: str) -> str:
    """As a reader knows it, without what is different in every deployment."""
    if named := re.search(r"Workflow(\w+)Machine|Steps(\w+)Function", arn):
        return (named[1] or named[2]) + (", redrives" if arn.endswith(":redrive-*") else "")
    name = arn
    for storage, known in {"uploads": "uploads", "renditions": "renditions"}.items():
        name = re.sub(rf"^arn:aws:s3:::darkroom-storage{storage}[0-9a-f]+-[0-9a-f]+", known, name)
    name = re.sub(r"^.*:table/[\w-]*OperationsMemory.*", "the sweep's memory", name)
    name = re.sub(r"^.*:table/[\w-]*ApiPromises.*", "promises", name)
    name = re.sub(r"^.*:table/[\w-]+?(?=/|$)", "results", name)
    name = re.sub(r"^arn:aws:sqs:.*AnnouncementsWebhook.*", "the webhook's queue", name)
    name = re.sub(r"^arn:aws:sqs:.*", "the dead letters", name)
    name = re.sub(r"^arn:aws:secretsmanager:.*DeliverySecret.*", "the secret that signs URLs", name)
    name = re.sub(r"^arn:aws:secretsmanager:.*Delivery.*", "the secret that signs URLs", name)
    name = re.sub(r"^arn:aws:secretsmanager:.*", "the webhook's secret", name)
    name = re.sub(r"^arn:aws:events:.*", "the event bus", name)
    return name.rpartition("foundation-model/")[2]


def page(tried: dict[str, dict[str, str]], removed: list[Removal]) -> str:
    roles = list(ROLES.values())
    lines = [
        INTRODUCTION,
        "## What each role may not do",
        "",
        "Each act was tried with the credentials of each role. `may` is its own work, and was tried as well.",
        "",
        f"| | {' | '.join(roles)} |",
        f"|---|{'---|' * len(roles)}",
        *(f"| {does} | {' | '.join(by_role[role] for role in roles)} |" for does, by_role in tried.items()),
        "",
        "## What breaks without each grant",
        "",
        "Each grant of a role was taken away, alone, while the act that needs it was done. `AccessDenied` named the",
        "grant: in the row, the execution, the letter, the sweep's answer or, where a picture succeeds without it, the",
        "log. Not tried are the grants to write logs and traces, and those by which Step Functions begins and stops",
        "the batches of a backfill, waits for its pictures, and writes its report.",
        "",
        "| role | without | on | what was done | how it ended |",
        "|---|---|---|---|---|",
        *(f"| {one.role} | `{one.action}` | {one.resource} | {one.done} | {one.ended} |" for one in removed),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="darkroom-permissions-") as home, own_cloud(Path(home)) as deployed:
        PAGE.write_text(page(denials(deployed), removals(deployed)))


if __name__ == "__main__":
    main()
