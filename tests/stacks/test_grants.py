"""Who may do what, all of it: the local cloud does not ask the state machine or the rule for their grants."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from aws_cdk.assertions import Template

EXECUTIONS = "arn:AWS::Partition:states:AWS::Region:AWS::AccountId:execution"
GRANTS = {
    "StepsValidateRole": {
        "s3:ListBucket on StorageUploads",
        "s3:GetObject on StorageUploads/raw/*",
        "s3:GetObjectVersion on StorageUploads/raw/*",
    },
    "StepsResizeRole": {
        "s3:GetObjectVersion on StorageUploads/raw/*",
        "s3:PutObject on StorageRenditions/*",
    },
    "StepsCaptionRole": {
        "s3:GetObjectVersion on StorageUploads/raw/*",
        "bedrock:InvokeModel on arn:AWS::Partition:bedrock:AWS::Region::foundation-model/amazon.nova-lite-v1:0",
    },
    "StepsCleanupRole": {
        "s3:ListBucket on StorageRenditions",
        "s3:DeleteObject on StorageRenditions/*",
        "dynamodb:GetItem on StorageResults",
    },
    "StepsSweepRole": {
        f"states:DescribeExecution on {EXECUTIONS}:WorkflowImagePipelineMachine:*",
        f"states:GetExecutionHistory on {EXECUTIONS}:WorkflowImagePipelineMachine:*",
        f"states:DescribeExecution on {EXECUTIONS}:WorkflowDeletionMachine:*",
        f"states:GetExecutionHistory on {EXECUTIONS}:WorkflowDeletionMachine:*",
        "dynamodb:Query on StorageResults/index/by-status",
        "dynamodb:UpdateItem on StorageResults",
        "sqs:SendMessage on StorageDeadLetters",
    },
    "WorkflowImagePipelineMachineRole": {
        "lambda:InvokeFunction on StepsValidateFunction",
        "lambda:InvokeFunction on StepsResizeFunction",
        "lambda:InvokeFunction on StepsCaptionFunction",
        "lambda:InvokeFunction on StepsCleanupFunction",
        "dynamodb:UpdateItem on StorageResults",
        "sqs:SendMessage on StorageDeadLetters",
    },
    "WorkflowImagePipelineMachineEventsRole": {"states:StartExecution on WorkflowImagePipelineMachine"},
    "WorkflowDeletionMachineRole": {
        "lambda:InvokeFunction on StepsCleanupFunction",
        "dynamodb:UpdateItem on StorageResults",
        "sqs:SendMessage on StorageDeadLetters",
    },
    "WorkflowDeletionMachineEventsRole": {"states:StartExecution on WorkflowDeletionMachine"},
}
OWN_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}  # of each function, on its own log group
WITHOUT_RESOURCE = ("logs:", "xray:")  # X-Ray, and the delivery of the state machine's logs, have none to name


def grants(template: Template) -> Iterator[tuple[str, str, str]]:
    """Role, action, resource; an id without the hash that the CDK appends."""
    for policy in template.find_resources("AWS::IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for role in policy["Properties"]["Roles"]:
                for action in _several(statement["Action"]):
                    for resource in _several(statement["Resource"]):
                        yield _named(role), action, _named(resource)


def _several(one_or_more: Any) -> list[Any]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _named(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(map(_named, value["Fn::Join"][1]))
    name = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
    return re.sub(r"[0-9A-F]{8}$", "", name)


def test_each_role_has_its_grants_and_no_other(synth):
    """One line fewer and the pipeline stops on AWS; one more is more than it needs."""
    template = synth(captions={"enabled": True})
    found: dict[str, set[str]] = {}
    for role, action, resource in grants(template):
        if action in OWN_LOGS and resource == role.replace("Role", "Logs"):
            continue
        if resource == "*":
            assert action.startswith(WITHOUT_RESOURCE)
            continue
        found.setdefault(role, set()).add(f"{action} on {resource}")
    assert found == GRANTS


@pytest.mark.parametrize(
    "role", ["StepsValidateRole", "StepsResizeRole", "StepsCaptionRole", "StepsCleanupRole", "StepsSweepRole"]
)
def test_each_function_writes_to_its_own_log_group_only(template: Template, role: str):
    """Of all that it may do with logs."""
    logs = {(action, resource) for who, action, resource in grants(template) if who == role and "logs:" in action}
    assert logs == {(action, role.replace("Role", "Logs")) for action in OWN_LOGS}


def test_an_inference_profile_is_granted_with_the_models_behind_it(synth):
    """A cross-region profile (`eu.…`) sends to the model in whichever region has room."""
    captions = {"enabled": True, "model_id": "eu.amazon.nova-lite-v1:0"}
    models = {resource for _, action, resource in grants(synth(captions=captions)) if action.startswith("bedrock:")}
    assert models == {
        "arn:AWS::Partition:bedrock:AWS::Region:AWS::AccountId:inference-profile/eu.amazon.nova-lite-v1:0",
        "arn:AWS::Partition:bedrock:*::foundation-model/amazon.nova-lite-v1:0",
    }


def test_without_captions_no_model_may_be_asked(synth):
    """The grant comes with the setting."""
    assert not [action for _, action, _ in grants(synth(captions={"enabled": False})) if "bedrock" in action]
