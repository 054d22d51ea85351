"""What watches over the pipeline: the sweep behind every execution that died."""

import json

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from stacks.grants import allow
from stacks.steps import Steps
from stacks.workflow import FILES, Workflow

SWEEPS_EVERY = Duration.minutes(15)


class Operations(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, steps: Steps, workflow: Workflow) -> None:
        super().__init__(scope, construct_id)
        machines = [workflow.images, workflow.deletions]
        pattern = json.loads(
            (FILES / "ended_rule.json")
            .read_text()
            .replace("${ImagePipeline}", workflow.images.state_machine_arn)
            .replace("${Deletion}", workflow.deletions.state_machine_arn)
        )
        sweep = targets.LambdaFunction(steps.sweep.invoked)
        ended = events.Rule(
            self,
            "Ended",
            description="An execution failed, timed out or was aborted: sweep up after it",
            event_pattern=events.EventPattern(
                source=pattern["source"], detail_type=pattern["detail-type"], detail=pattern["detail"]
            ),
            targets=[sweep],
        )
        sweeps = events.Rule(
            self,
            "Sweeps",
            description="Looks for rows that were left PROCESSING",
            schedule=events.Schedule.rate(SWEEPS_EVERY),
            targets=[sweep],
        )
        self.rules = [ended, sweeps]
        allow(
            steps.sweep.role,
            "states:DescribeExecution",
            "states:GetExecutionHistory",
            on=[
                f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:execution:{machine.state_machine_name}:*"
                for machine in machines
            ],
            because="an execution is named when it starts",
        )
