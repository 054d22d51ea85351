"""The state machine: `statemachine/image_pipeline.asl.json` as it stands, with its placeholders filled."""

from pathlib import Path

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.grants import accept, allow
from stacks.settings import Settings
from stacks.steps import Steps, set_retention
from stacks.storage import Storage

DEFINITION = Path(__file__).resolve().parent.parent / "statemachine" / "image_pipeline.asl.json"


class Workflow(Construct):
    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, steps: Steps, storage: Storage
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(self, "Logs", removal_policy=RemovalPolicy.DESTROY)
        set_retention(log_group, settings.log_retention_days)
        self.machine = sfn.StateMachine(
            self,
            "ImagePipeline",
            definition_body=sfn.DefinitionBody.from_string(DEFINITION.read_text()),
            definition_substitutions={
                "ResultsTable": storage.results.table_name,
                "ValidateFunction": steps.validate.invoked.function_arn,
                "ResizeFunction": steps.resize.invoked.function_arn,
                "CaptionFunction": steps.caption.invoked.function_arn,
                "DeadLetterQueue": storage.dead_letters.queue_url,
                "CaptionsEnabled": "true" if settings.captions.enabled else "false",
                "MapConcurrency": f"{{% {settings.map_concurrency} %}}",  # the field takes a number or an expression
            },
            state_machine_type=sfn.StateMachineType.STANDARD,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=True),
        )
        role = self.machine.role
        assert isinstance(role, iam.Role)
        functions = [steps.validate.invoked, steps.resize.invoked, steps.caption.invoked]
        allow(role, "lambda:InvokeFunction", on=[function.function_arn for function in functions])
        allow(role, "dynamodb:UpdateItem", on=[storage.results.table_arn])
        allow(role, "sqs:SendMessage", on=[storage.dead_letters.queue_arn])
        accept(role, "AwsSolutions-IAM5[Resource::*]", because="X-Ray and log delivery have no resources to name")
