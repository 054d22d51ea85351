"""What IAM must allow a person who works with this tool: docs/policies, with the names of a deployed stack put in."""

import json
from string import Template
from typing import Any

from darkroom.local.cloud import PROJECT
from darkroom.pipeline.executions import arn_of
from darkroom.pipeline.target import Target

FOLDER = PROJECT / "docs" / "policies"


# Statements, and the output that is there if the setting is on, or the stack no older than what they are for.
OF_SETTINGS = {
    "NotStarted": "ReportsBucketName",
    "WhyNotStarted": "ReportsBucketName",
    "TellAgain": "AnnounceFunctionName",
    "SignedUrls": "DeliverySecretArn",
    "ExpressLogs": "WorkflowKind",
    "ExpressDefinitions": "WorkflowKind",
}


def policy(target: Target, name: str) -> dict[str, Any]:
    """The policy of that name. Raises TargetError if the stack is not deployed."""
    machine = target.output("StateMachineArn")
    recaptions = target.outputs.get("RecaptionStateMachineArn", machine)  # where captions are off, nothing more
    backfills = target.output("BackfillStateMachineArn")
    _, partition, _, region, account, *_ = machine.split(":")
    values = {
        **target.outputs,
        "Partition": partition,
        "Region": region,
        "Account": account,
        "StackName": target.stack,
        "UploadPrefix": target.upload_prefix,
        "DeadLetterQueueName": target.output("DeadLetterQueueUrl").rpartition("/")[2],
        "ImagePipelineExecutions": arn_of(machine, "*"),
        "DeletionExecutions": arn_of(target.output("DeletionStateMachineArn"), "*"),
        "RecaptionStateMachineArn": recaptions,
        "RecaptionExecutions": arn_of(recaptions, "*"),
        "BackfillExecutions": arn_of(backfills, "*"),
        "BackfillMapRuns": f"{backfills.replace(':stateMachine:', ':mapRun:')}/*",
    }
    policy = json.loads(
        Template((FOLDER / f"{name}.json").read_text()).substitute(
            {**dict.fromkeys(OF_SETTINGS.values(), ""), **values}
        )
    )
    policy["Statement"] = [one for one in policy["Statement"] if _is_of(target, one)]
    return dict(policy)


def _is_of(target: Target, statement: dict[str, Any]) -> bool:
    """What belongs to an output is there only with it."""
    output = OF_SETTINGS.get(statement["Sid"])
    return output is None or output in target.outputs
