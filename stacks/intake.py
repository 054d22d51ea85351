"""How an upload, or its deletion, starts an execution: the rules of `statemachine/`.

An event that cannot be delivered becomes a dead letter.
"""

import json

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.settings import Settings
from stacks.storage import Storage
from stacks.workflow import FILES, Workflow


class Intake(Construct):
    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, starts: Workflow
    ) -> None:
        super().__init__(scope, construct_id)

        def rule(rule_id: str, file: str, machine: sfn.StateMachine, does: str) -> events.Rule:
            pattern = json.loads(
                (FILES / file)
                .read_text()
                .replace("${UploadsBucket}", storage.uploads.bucket_name)
                .replace("${UploadPrefix}", settings.upload_prefix)
            )
            return events.Rule(
                self,
                rule_id,
                description=does,
                event_pattern=events.EventPattern(
                    source=pattern["source"], detail_type=pattern["detail-type"], detail=pattern["detail"]
                ),
                targets=[targets.SfnStateMachine(machine, dead_letter_queue=storage.dead_letters)],
            )

        uploaded = "A picture was uploaded: start the image pipeline"
        deleted = "An upload was deleted: its row and renditions follow"
        self.rules = [
            rule("Uploaded", "upload_rule.json", starts.images, uploaded),
            rule("Deleted", "deletion_rule.json", starts.deletions, deleted),
        ]
