"""How an upload, or its deletion, starts an execution: the rules of `statemachine/`.

An event that cannot be delivered becomes a dead letter.
"""

from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
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

        def start(machine: sfn.StateMachine, role: iam.Role) -> targets.SfnStateMachine:
            allow(role, "states:StartExecution", on=[machine.state_machine_arn])
            return targets.SfnStateMachine(machine, role=role, dead_letter_queue=storage.dead_letters)

        uploaded = rule_of(
            self,
            "Uploaded",
            file="upload_rule.json",
            values=values,
            does="A picture was uploaded: start the image pipeline",
            target=start(starts.images, role_for(self, "UploadedRole", service="events", source="events:rule/*")),
        )
        deleted = rule_of(
            self,
            "Deleted",
            file="deletion_rule.json",
            values=values,
            does="An upload was deleted: its row and renditions follow",
            target=start(starts.deletions, role_for(self, "DeletedRole", service="events", source="events:rule/*")),
        )
        self.rules = [uploaded, deleted]
