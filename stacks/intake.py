"""How an upload, or its deletion, starts an execution: the rules of `statemachine/`.

An event that cannot be delivered becomes a dead letter.
"""

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.grants import allow, role_for
from stacks.rules import rule_of
from stacks.settings import Settings
from stacks.storage import Storage
from stacks.workflow import Workflow


class Intake(Construct):
    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, starts: Workflow
    ) -> None:
        super().__init__(scope, construct_id)
        values = {"UploadsBucket": storage.uploads.bucket_name, "UploadPrefix": settings.upload_prefix}

        def start(machine: sfn.StateMachine, rule_id: str, *, file: str, does: str) -> events.Rule:
            role = role_for(self, f"{rule_id}Role", service="events", source="events:rule/*")
            allow(role, "states:StartExecution", on=[machine.state_machine_arn])
            target = targets.SfnStateMachine(machine, role=role, dead_letter_queue=storage.dead_letters)
            return rule_of(self, rule_id, file=file, values=values, does=does, target=target)

        uploaded = "A picture was uploaded: start the image pipeline"
        deleted = "An upload was deleted: its row and renditions follow"
        self.rules = [
            start(starts.images, "Uploaded", file="upload_rule.json", does=uploaded),
            start(starts.deletions, "Deleted", file="deletion_rule.json", does=deleted),
        ]
