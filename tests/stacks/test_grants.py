"""Who may do what, all of it.

What state machines and rules need is read out of the state machine's file and the rule's target, and compared with what
they have. That each grant is needed is seen on the local cloud: `tests/e2e/permissions.py`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from stacks.models import GEOGRAPHIES
from stacks.steps import model_arns
from tests.stacks.conftest import ROOT

EXECUTIONS = "arn:AWS::Partition:states:AWS::Region:AWS::AccountId:execution"
WAITS_BY = (
    "arn:AWS::Partition:events:AWS::Region:AWS::AccountId:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
)
LISTED = "StorageUploads below raw/*"  # who reads an object that may be gone names no prefix
GRANTS = {
    "StepsValidateRole": {
        "s3:ListBucket on StorageUploads",
        "s3:ListBucketVersions on StorageUploads",
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
        "states:ListExecutions on WorkflowImagePipelineMachine",
        "states:ListExecutions on WorkflowDeletionMachine",
        f"states:DescribeExecution on {EXECUTIONS}:WorkflowImagePipelineMachine:*",
        f"states:GetExecutionHistory on {EXECUTIONS}:WorkflowImagePipelineMachine:*",
        f"states:DescribeExecution on {EXECUTIONS}:WorkflowDeletionMachine:*",
        f"states:GetExecutionHistory on {EXECUTIONS}:WorkflowDeletionMachine:*",
        "dynamodb:Query on StorageResults/index/by-status",
        "dynamodb:UpdateItem on StorageResults",
        "dynamodb:UpdateItem on OperationsMemory",
        "sqs:SendMessage on StorageDeadLetters",
    },
    "StepsBackfillRole": {"dynamodb:BatchGetItem on StorageResults", f"s3:ListBucketVersions on {LISTED}"},
    "WorkflowImagePipelineRole": {
        "lambda:InvokeFunction on StepsValidateFunction",
        "lambda:InvokeFunction on StepsResizeFunction",
        "lambda:InvokeFunction on StepsCaptionFunction",
        "lambda:InvokeFunction on StepsCleanupFunction",
        "dynamodb:UpdateItem on StorageResults",
        "sqs:SendMessage on StorageDeadLetters",
    },
    "IntakeUploadedRole": {"states:StartExecution on WorkflowImagePipelineMachine"},
    "WorkflowDeletionRole": {
        "lambda:InvokeFunction on StepsCleanupFunction",
        f"s3:ListBucketVersions on {LISTED}",
        "states:StartExecution on WorkflowImagePipelineMachine",
        "dynamodb:UpdateItem on StorageResults",
        "sqs:SendMessage on StorageDeadLetters",
    },
    "WorkflowRecaptionRole": {
        "lambda:InvokeFunction on StepsCaptionFunction",
        "dynamodb:UpdateItem on StorageResults",
    },
    "WorkflowBackfillRole": {
        "lambda:InvokeFunction on StepsBackfillFunction",
        f"s3:ListBucket on {LISTED}",
        *(f"{action} on StorageAccessLogs/backfill/*" for action in ("s3:PutObject", "s3:GetObject")),
        *(
            f"s3:{action} on StorageAccessLogs/backfill/*"
            for action in ("ListMultipartUploadParts", "AbortMultipartUpload")
        ),
        *(
            f"{action} on Workflow{machine}Machine"
            for action in ("states:StartExecution",)
            for machine in ("ImagePipeline", "Recaption", "Backfill")
        ),
        *(
            f"states:DescribeExecution on {EXECUTIONS}:Workflow{machine}Machine:*"
            for machine in ("ImagePipeline", "Recaption", "Backfill")
        ),
        f"states:StopExecution on {EXECUTIONS}:WorkflowBackfillMachine:*",
        *(f"events:{action} on {WAITS_BY}" for action in ("PutTargets", "PutRule", "DescribeRule")),
    },
    "IntakeDeletedRole": {"states:StartExecution on WorkflowDeletionMachine"},
}
EDGE_GRANTS = {
    "AnnouncementsAnnounceRole": {
        "dynamodb:DescribeStream on StorageResults.StreamArn",
        "dynamodb:GetRecords on StorageResults.StreamArn",
        "dynamodb:GetShardIterator on StorageResults.StreamArn",
        "dynamodb:GetItem on StorageResults",
        "events:PutEvents on arn:AWS::Partition:events:AWS::Region:AWS::AccountId:event-bus/default",
        "sqs:SendMessage on StorageDeadLetters",
        "sqs:SendMessage on AnnouncementsWebhookQueue",
    },
    "AnnouncementsWebhookNotifyRole": {
        *(f"sqs:{action} on AnnouncementsWebhookQueue" for action in ("ReceiveMessage", "DeleteMessage")),
        *(f"sqs:{action} on AnnouncementsWebhookQueue" for action in ("GetQueueAttributes", "ChangeMessageVisibility")),
        "secretsmanager:GetSecretValue on AnnouncementsWebhookSecret",
        "dynamodb:UpdateItem on StorageResults",
    },
    "ApiRole": {
        "s3:PutObject on StorageUploads/raw/*",
        "s3:DeleteObject on StorageUploads/raw/*",
        "dynamodb:GetItem on StorageResults",
        "dynamodb:Query on StorageResults/index/by-status",
        "dynamodb:GetItem on ApiPromises",
        "dynamodb:PutItem on ApiPromises",
        "states:StartExecution on WorkflowImagePipelineMachine",
        f"states:DescribeExecution on {EXECUTIONS}:WorkflowImagePipelineMachine:redrive-*",
        "secretsmanager:GetSecretValue on DeliverySecret",
    },
    "DeliveryDeliverRole": {
        "s3:ListBucket on StorageUploads",
        "s3:ListBucketVersions on StorageUploads",
        "s3:GetObjectVersion on StorageUploads/raw/*",
        "s3:ListBucket on StorageRenditions",
        "s3:GetObject on StorageRenditions/derived/*",
        "s3:PutObject on StorageRenditions/derived/*",
        "s3:DeleteObject on StorageRenditions/derived/*",
        "dynamodb:GetItem on StorageResults",
        "secretsmanager:GetSecretValue on DeliverySecret",
    },
}
EDGE: dict[str, Any] = {
    **{name: {"enabled": True} for name in ("api", "delivery", "events")},
    "webhook": {"url": "https://example.com/"},
}
KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
READS, WRITES = f"kms:Decrypt on {KEY}", f"kms:GenerateDataKey on {KEY}"
OF_ROWS_AND_LETTERS = {f"{READS} through dynamodb", f"{READS} through sqs", f"{WRITES} through sqs"}
SHOWS = {f"{READS} through {service}" for service in ("s3", "dynamodb", "secretsmanager")} | {f"{WRITES} through s3"}
KEY_GRANTS = {
    "StepsValidateRole": {f"{READS} through s3"},
    "StepsResizeRole": {f"{READS} through s3", f"{WRITES} through s3"},
    "StepsCaptionRole": {f"{READS} through s3"},
    "StepsCleanupRole": {f"{READS} through dynamodb"},
    "StepsSweepRole": OF_ROWS_AND_LETTERS,
    "StepsBackfillRole": {f"{READS} through dynamodb"},
    "WorkflowImagePipelineRole": OF_ROWS_AND_LETTERS,
    "WorkflowDeletionRole": OF_ROWS_AND_LETTERS,
    "WorkflowRecaptionRole": {f"{READS} through dynamodb"},
    "ApiRole": SHOWS,
    "DeliveryDeliverRole": SHOWS,
    "AnnouncementsAnnounceRole": OF_ROWS_AND_LETTERS,
    "AnnouncementsWebhookNotifyRole": {f"{READS} through {name}" for name in ("dynamodb", "sqs", "secretsmanager")},
}
MACHINES = {
    "WorkflowImagePipeline": "image_pipeline.asl.json",
    "WorkflowDeletion": "deletion.asl.json",
    "WorkflowRecaption": "recaption.asl.json",
}
OWN_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}  # of each function, on its own log group
# What has no resources to name: the delivery of the state machine's logs, and the list of streams.
WITHOUT_RESOURCE = ("logs:", "dynamodb:ListStreams")


def grants(template: Template) -> Iterator[tuple[str, str, str]]:
    """Role, action, resource and on which condition, if there is one; an id without the hash that the CDK appends."""
    for policy in template.find_resources("AWS::IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for role in policy["Properties"]["Roles"]:
                for action in _several(statement["Action"]):
                    for resource in _several(statement["Resource"]):
                        yield _named(role), action, _named(resource) + _where(statement)


def _where(statement: dict[str, Any]) -> str:
    """Through which service, or below which prefix."""
    if "Condition" not in statement:
        return ""
    [(compares, asked)] = statement["Condition"].items()
    [(key, value)] = asked.items()
    if (compares, key) == ("StringLike", "s3:prefix"):
        return f" below {value}"
    assert (compares, key) == ("StringEquals", "kms:ViaService")
    return f" through {_named(value).removesuffix('.AWS::Region.AWS::URLSuffix')}"


def _several(one_or_more: Any) -> list[Any]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _named(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(map(_named, value["Fn::Join"][1]))
    name, part = (value["Ref"], "") if "Ref" in value else value["Fn::GetAtt"]
    return re.sub(r"[0-9A-F]{8}$", "", name) + (f".{part}" if part == "StreamArn" else "")


def by_role(template: Template) -> dict[str, set[str]]:
    """Without what cannot be narrower: each function's own logs, and what has no resource to name."""
    found = defaultdict(set)
    for role, action, resource in grants(template):
        if action in OWN_LOGS and resource == role.replace("Role", "Logs"):
            continue
        if resource == "*":
            assert action.startswith(WITHOUT_RESOURCE)
            continue
        found[role].add(f"{action} on {resource}")
    return found


def test_each_role_has_its_grants_and_no_other(synth):
    """One line fewer and the pipeline stops on AWS; one more is more than it needs."""
    assert by_role(synth(captions={"enabled": True})) == GRANTS
    assert by_role(synth(captions={"enabled": True}, **EDGE)) == GRANTS | EDGE_GRANTS


def test_the_api_may_read_renditions_only_where_nothing_else_delivers_them(synth):
    """For presigned URLs, which have the rights of who signed them."""
    alone = by_role(synth(api={"enabled": True}))["ApiRole"]
    assert alone - EDGE_GRANTS["ApiRole"] == {"s3:GetObject on StorageRenditions/*"}
    assert EDGE_GRANTS["ApiRole"] - alone == {"secretsmanager:GetSecretValue on DeliverySecret"}


def test_with_a_key_of_ones_own_each_role_may_use_it_for_its_own_work_only(synth):
    """Beside what it may anyway; by way of the service that holds what it reads or writes, never directly."""
    with_key = by_role(synth(captions={"enabled": True}, kms_key=KEY, **EDGE))
    every = GRANTS | EDGE_GRANTS
    assert with_key == {role: grants | KEY_GRANTS.get(role, set()) for role, grants in every.items()}


def test_of_a_bucket_that_was_there_before_the_roles_read_and_nothing_else_is_touched(synth):
    """Where it keeps no versions, an upload is read without one. No resource is about it but who uses it, and what
    lists it."""
    template = synth(captions={"enabled": True}, uploads_bucket="my-photos", **EDGE)
    theirs = "arn:AWS::Partition:s3:::my-photos"
    expected = {
        role: {one.replace("StorageUploads", theirs) for one in grants}
        for role, grants in (GRANTS | EDGE_GRANTS).items()
    }
    for role in ("StepsResizeRole", "StepsCaptionRole", "DeliveryDeliverRole"):
        expected[role].add(f"s3:GetObject on {theirs}/raw/*")
    assert by_role(template) == expected
    about = {one["Type"] for one in template.to_json()["Resources"].values() if "my-photos" in json.dumps(one)}
    uses = {"AWS::IAM::Policy", "AWS::Lambda::Function", "AWS::Events::Rule", "AWS::StepFunctions::StateMachine"}
    assert about == uses


def tasks(states: Any) -> Iterator[dict[str, Any]]:
    """Every Task of a state machine, inside Parallel and Map too."""
    if isinstance(states, dict):
        if states.get("Type") == "Task":
            yield states
        states = list(states.values())
    if isinstance(states, list):
        for one in states:
            yield from tasks(one)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_state_machine_may_do_exactly_what_its_tasks_call(synth, machine):
    """Each Task's `Resource` names the call and its arguments name on what; each is granted, and nothing else is."""
    template = synth(captions={"enabled": True})
    [deployed] = [
        one["Properties"]
        for name, one in template.find_resources("AWS::StepFunctions::StateMachine").items()
        if name.startswith(machine)
    ]
    called = set()
    for task in tasks(json.loads((ROOT / "statemachine" / MACHINES[machine]).read_text())):
        action, argument = {
            "arn:aws:states:::dynamodb:updateItem": ("dynamodb:UpdateItem", "TableName"),
            "arn:aws:states:::lambda:invoke": ("lambda:InvokeFunction", "FunctionName"),
            "arn:aws:states:::sqs:sendMessage": ("sqs:SendMessage", "QueueUrl"),
            "arn:aws:states:::states:startExecution": ("states:StartExecution", "StateMachineArn"),
            "arn:aws:states:::aws-sdk:s3:listObjectVersions": ("s3:ListBucketVersions", "Bucket"),
        }[task["Resource"]]
        named = task["Arguments"][argument]
        if named == "{% $states.context.Execution.Input.detail.bucket.name %}":
            called.add(f"{action} on {LISTED}")  # the rules start it for no other bucket's events
        else:
            called.add(f"{action} on {_named(deployed['DefinitionSubstitutions'][named.strip('${}')])}")
    assert _named(deployed["RoleArn"]) == f"{machine}Role"
    assert by_role(template)[f"{machine}Role"] == called


def test_a_rule_may_start_its_target_and_nothing_else(template: Template):
    """The role of a rule that starts executions starts those of its target; a function lets just its rules call it."""
    called = set()
    for name, rule in template.find_resources("AWS::Events::Rule").items():
        [target] = rule["Properties"]["Targets"]
        if "RoleArn" in target:
            granted = by_role(template)[_named(target["RoleArn"])]
            assert granted == {f"states:StartExecution on {_named(target['Arn'])}"}
        else:
            called.add((_named(target["Arn"]), name))
    permissions = [one["Properties"] for one in template.find_resources("AWS::Lambda::Permission").values()]
    assert called
    assert {(_named(one["FunctionName"]), one["SourceArn"]["Fn::GetAtt"][0]) for one in permissions} == called


def statements_for_others(part: Any) -> Iterator[dict[str, Any]]:
    """Every statement of a policy that says whom it is for: of buckets, queue, topic, the trust of roles."""
    if isinstance(part, dict):
        if "Principal" in part and part.get("Effect") == "Allow":
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from statements_for_others(one)


@pytest.mark.parametrize("settings", [{}, {"kms_key": KEY}], ids=["as it comes", "with a key of one's own"])
def test_no_service_is_trusted_but_when_it_works_for_this_account(synth, settings):
    """A confused deputy: without the condition, another account could make the service use what is ours."""
    resources = synth(**settings).to_json()["Resources"]
    trusted = list(statements_for_others(resources))
    assert len(trusted) >= 9 + 3  # the roles; log delivery, undelivered events, alarms
    for statement in trusted:
        assert list(statement["Principal"]) == ["Service"], statement
        keys = {key for condition in statement["Condition"].values() for key in condition}
        assert keys & {"aws:SourceAccount", "aws:SourceArn"}, statement
    for permission in (one["Properties"] for one in resources.values() if one["Type"] == "AWS::Lambda::Permission"):
        assert permission["SourceArn"]["Fn::GetAtt"], permission


@pytest.mark.parametrize(
    "role",
    [
        "StepsValidateRole",
        "StepsResizeRole",
        "StepsCaptionRole",
        "StepsCleanupRole",
        "StepsSweepRole",
        "StepsBackfillRole",
    ],
)
def test_each_function_writes_to_its_own_log_group_only(template: Template, role: str):
    """Of all that it may do with logs."""
    logs = {(action, resource) for who, action, resource in grants(template) if who == role and "logs:" in action}
    assert logs == {(action, role.replace("Role", "Logs")) for action in OWN_LOGS}


@pytest.mark.parametrize("geography", sorted(GEOGRAPHIES))
def test_an_inference_profile_is_granted_with_the_models_behind_it(geography):
    """A cross-region profile (`eu.…`) sends to the model in whichever region has room."""
    stack = Stack()
    models = {_named(arn) for arn in stack.resolve(model_arns(f"{geography}.amazon.nova-lite-v1:0"))}
    assert models == {
        f"arn:AWS::Partition:bedrock:AWS::Region:AWS::AccountId:inference-profile/{geography}.amazon.nova-lite-v1:0",
        "arn:AWS::Partition:bedrock:*::foundation-model/amazon.nova-lite-v1:0",
    }


def test_without_captions_no_model_may_be_asked(synth):
    """The grant comes with the setting."""
    assert not [action for _, action, _ in grants(synth(captions={"enabled": False})) if "bedrock" in action]
