"""How an upload starts an execution: `statemachine/upload_rule.json`.

An event that cannot be delivered becomes a dead letter.
"""

import json
from pathlib import Path

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from stacks.settings import Settings
from stacks.storage import Storage
from stacks.workflow import Workflow

PATTERN = Path(__file__).resolve().parent.parent / "statemachine" / "upload_rule.json"


class Intake(Construct):
    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, starts: Workflow
    ) -> None:
        super().__init__(scope, construct_id)
        pattern = json.loads(
            PATTERN.read_text()
            .replace("${UploadsBucket}", storage.uploads.bucket_name)
            .replace("${UploadPrefix}", settings.upload_prefix)
        )
        self.rule = events.Rule(
            self,
            "Uploaded",
            description="An object was created under the upload prefix: start the image pipeline",
            event_pattern=events.EventPattern(
                source=pattern["source"], detail_type=pattern["detail-type"], detail=pattern["detail"]
            ),
            targets=[targets.SfnStateMachine(starts.machine, dead_letter_queue=storage.dead_letters)],
        )
