"""Calls of the local cloud's services to each other: they need the grants that they need on AWS."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack import app
from ministack.core.responses import set_request_account_id, set_request_region
from ministack.services import eventbridge, iam, sqs, stepfunctions

from darkroom.local.cloud import ACCOUNT, REGION
from darkroom.local.ministack import roles, rule_targets, workflow_roles

HERE = f"{REGION}:{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/asked"
FUNCTION, TABLE = f"arn:aws:lambda:{HERE}:function:f", f"arn:aws:dynamodb:{HERE}:table/t"
QUEUE, TOPIC, BUS = f"arn:aws:sqs:{HERE}:q", f"arn:aws:sns:{HERE}:t", f"arn:aws:events:{HERE}:event-bus/b"
MACHINE, SECRET = f"arn:aws:states:{HERE}:stateMachine:other", f"arn:aws:secretsmanager:{HERE}:secret:s"
TASK = {"TaskDefinition": f"arn:aws:ecs:{HERE}:task-definition/d:1"}
KEY = {"TableName": "t", "Key": {"id": {"S": "1"}}}
NOW = {"StateMachineArn": MACHINE, "Input": {}}
EVENT = {"Source": "s", "DetailType": "d", "Detail": {}, "EventBusName": "b"}
URL = f"http://localhost:4566/{ACCOUNT}/q"

# What a state does, the grant that it needs, and its error without.
CALLS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    FUNCTION: ({}, "lambda:InvokeFunction", FUNCTION, "Lambda.AWSLambdaException"),
    "lambda:invoke": ({"FunctionName": FUNCTION}, "lambda:InvokeFunction", FUNCTION, "Lambda.AWSLambdaException"),
    "dynamodb:updateItem": (KEY, "dynamodb:UpdateItem", TABLE, "DynamoDB.AmazonDynamoDBException"),
    "sqs:sendMessage": ({"QueueUrl": URL, "MessageBody": "x"}, "sqs:SendMessage", QUEUE, "SQS.AmazonSQSException"),
    "sns:publish": ({"TopicArn": TOPIC, "Message": "x"}, "sns:Publish", TOPIC, "SNS.AmazonSNSException"),
    "events:putEvents": ({"Entries": [EVENT]}, "events:PutEvents", BUS, "EventBridge.AmazonEventBridgeException"),
    "ecs:runTask": (TASK, "ecs:RunTask", TASK["TaskDefinition"], "ECS.AccessDeniedException"),
    "states:startExecution": (NOW, "states:StartExecution", MACHINE, "StepFunctions.AWSStepFunctionsException"),
    "aws-sdk:sfn:startExecution": (NOW, "states:StartExecution", MACHINE, "Sfn.SfnException"),
    "aws-sdk:dynamodb:getItem": (KEY, "dynamodb:GetItem", TABLE, "DynamoDb.DynamoDbException"),
    "aws-sdk:s3:listObjectsV2": ({"Bucket": "b"}, "s3:ListBucket", "arn:aws:s3:::b", "S3.S3Exception"),
    "aws-sdk:ecs:runTask": (TASK, "ecs:RunTask", TASK["TaskDefinition"], "Ecs.AccessDeniedException"),
}


@pytest.fixture(autouse=True)
def _asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MiniStack with roles that are asked, and with nothing in it before and after."""
    set_request_account_id(ACCOUNT)  # another test of this process may have worked in another
    set_request_region(REGION)
    monkeypatch.setattr(app, "AUTH", True)
    monkeypatch.setattr(app, "call_service_handler_sync", app.call_service_handler_sync)
    for name in ("_execute_task", "_invoke_resource", "_invoke_with_callback"):
        monkeypatch.setattr(stepfunctions, name, getattr(stepfunctions, name))
    monkeypatch.setattr(eventbridge, "_invoke_target", eventbridge._invoke_target)
    workflow_roles.add()
    rule_targets.add()
    yield
    for service in (eventbridge, iam, sqs, stepfunctions):
        service.reset()


def document(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def role(service: str, action: str, resource: str, source: str = "*") -> None:
    """ROLE, which the service may take for `source`, with one grant."""
    trust = document(
        Principal={"Service": f"{service}.amazonaws.com"},
        Action="sts:AssumeRole",
        Condition={"ArnLike": {"aws:SourceArn": source}},
    )
    grant = {"grant": document(Action=action, Resource=resource)}
    named = {"RoleName": "asked", "Arn": ROLE, "AssumeRolePolicyDocument": trust, "InlinePolicies": grant}
    iam._roles["asked"] = {**named, "AttachedPolicies": []}


def ended(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """An execution of one state."""
    state = {"Type": "Task", "Resource": resource, "Parameters": arguments, "End": True}
    made = {"name": "m", "type": "EXPRESS", "roleArn": ROLE}
    made["definition"] = json.dumps({"StartAt": "Call", "States": {"Call": state}})
    _, _, created = stepfunctions._create_state_machine(made)
    _, _, answer = stepfunctions._start_sync_execution({"stateMachineArn": json.loads(created)["stateMachineArn"]})
    found: dict[str, Any] = json.loads(answer)
    return found


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("callback", ["", ".waitForTaskToken"])
def test_a_state_machine_needs_the_grant_of_each_call(call: str, callback: str):
    arguments, action, on, error = CALLS[call]
    resource = call if call == FUNCTION else f"arn:aws:states:::{call}{callback}"
    role("states", "s3:GetObject", "*")
    refused = ended(resource, arguments)
    assert (refused["status"], refused["error"]) == ("FAILED", error)
    assert f"/asked/{refused['name']} is not authorized to perform: {action} on resource: {on} " in refused["cause"]


@pytest.mark.parametrize("call", CALLS)
def test_with_the_grant_it_calls(call: str):
    """What is not there, but for the events: they are sent."""
    arguments, action, on, error = CALLS[call]
    role("states", action, on)
    allowed = ended(call if call == FUNCTION else f"arn:aws:states:::{call}", arguments)
    assert allowed.get("error") != error
    assert "not authorized" not in allowed.get("cause", "")


def test_a_state_machine_needs_a_role_that_it_may_take():
    role("states", "*", "*", source="arn:aws:states:*:*:stateMachine:another")
    refused = ended("arn:aws:states:::dynamodb:updateItem", KEY)
    assert (refused["status"], refused["error"]) == ("FAILED", "States.Permissions")


IN_CLEAR = {"Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}


def test_services_call_each_other_over_tls():
    """Also where no request came before, as of a schedule. Buckets and queues refuse all else."""
    role("states", "dynamodb:UpdateItem", TABLE)
    iam._roles["asked"]["InlinePolicies"]["encrypted"] = document(Effect="Deny", **IN_CLEAR)
    assert "not authorized" not in ended("arn:aws:states:::dynamodb:updateItem", KEY).get("cause", "")
    in_clear = json.loads(document(Principal="*", **IN_CLEAR))
    assert not roles.accepts(in_clear, "events", "sqs:SendMessage", QUEUE, source=MACHINE)


LETTERS = f"arn:aws:sqs:{HERE}:letters"
RULE = f"arn:aws:events:{HERE}:rule/uploaded"


def queue(name: str, **condition: Any) -> str:
    """A queue that EventBridge may send to, on that condition."""
    sender = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    on = f"arn:aws:sqs:{HERE}:{name}"
    policy = document(**sender, Resource=on, Condition={"ArnEquals": {"aws:SourceArn": RULE, **condition}})
    sqs._act_create_queue({"QueueName": name, "Attributes": {"Policy": policy}}, "")
    return on


def letters(name: str = "letters") -> list[dict[str, Any]]:
    asked = {"QueueUrl": sqs._queue_url(name), "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
    found: list[dict[str, Any]] = asyncio.run(sqs._act_receive_message(asked, "")).get("Messages", [])
    return found


def happens(target: str, role_arn: str | None = None) -> None:
    """An event, for which a rule has this target."""
    eventbridge._ensure_default_bus()
    eventbridge._put_rule({"Name": "uploaded", "EventPattern": json.dumps({"source": ["a"]})})
    named = {"Id": "1", "Arn": target, "DeadLetterConfig": {"Arn": LETTERS}} | (
        {"RoleArn": role_arn} if role_arn else {}
    )
    eventbridge._put_targets({"Rule": "uploaded", "Targets": [named]})
    eventbridge._put_events({"Entries": [{"Source": "a", "DetailType": "b", "Detail": '{"key": "raw/cat.jpg"}'}]})


def machine(name: str) -> str:
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    stepfunctions._create_state_machine({"name": name, "roleArn": ROLE, "definition": definition})
    return f"arn:aws:states:{HERE}:stateMachine:{name}"


@pytest.mark.parametrize(
    ("service", "resource"),
    [("states", "stateMachine:gone"), ("lambda", "function:gone"), ("sqs", "gone"), ("sns", "gone")],
)
def test_an_event_for_a_target_that_is_gone_is_a_letter(service: str, resource: str):
    target = f"arn:aws:{service}:{HERE}:{resource}"
    queue("letters")
    role("events", "*", "*")
    happens(target, ROLE)
    [letter] = letters()
    said = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert said == {
        "RULE_ARN": RULE,
        "TARGET_ARN": target,
        "ERROR_CODE": "NO_RESOURCE",
        "ERROR_MESSAGE": f"The target does not exist: {target}",
        "RETRY_ATTEMPTS": "0",
    }
    assert json.loads(letter["Body"])["detail"] == {"key": "raw/cat.jpg"}


@pytest.mark.parametrize(
    ("service", "resource", "code"),
    [
        ("events", "*", None),
        ("events", f"arn:aws:states:{HERE}:stateMachine:another", "NO_PERMISSIONS"),
        ("states", "*", "FAILED_TO_ASSUME_ROLE"),
    ],
)
def test_a_rule_needs_a_role_that_may_start_the_machine(service: str, resource: str, code: str | None):
    queue("letters")
    role(service, "states:StartExecution", resource)
    happens(machine("started"), ROLE)
    found = [one["MessageAttributes"]["ERROR_CODE"]["StringValue"] for one in letters()]
    assert found == ([code] if code else [])
    assert len(list(stepfunctions._executions)) == (0 if code else 1)


@pytest.mark.parametrize(("by", "arrive"), [(RULE, True), (f"{RULE}-of-another", False)])
def test_a_queue_takes_events_of_the_rules_that_its_policy_names(by: str, arrive: bool):
    queue("letters")
    happens(queue("target", **{"aws:SourceArn": by}))
    assert (len(letters("target")), len(letters())) == (1, 0) if arrive else (0, 1)


def test_an_event_that_no_queue_takes_is_lost_and_said_so(caplog: pytest.LogCaptureFixture):
    queue("letters", **{"aws:SourceArn": "arn:aws:events:*:*:rule/another"})
    happens(f"arn:aws:sqs:{HERE}:gone")
    assert letters() == []
    assert f"an event of {RULE} is lost, NO_RESOURCE" in caplog.text
