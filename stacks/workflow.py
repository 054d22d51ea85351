"""The state machines: the files of `statemachine/`, with their placeholders filled. Those of pictures and captions are
Express where that is set, with what this changes in them; all else is deployed as it stands in the file."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks import STATE_MACHINES
from stacks.express import in_five_minutes, waiting_for_express
from stacks.grants import accept, allow, allow_key, role_for
from stacks.settings import Settings
from stacks.steps import Step, Steps, log_group
from stacks.storage import Storage


class Machine(Construct):
    """One state machine, with a role that may call its own functions, and write rows, send letters and start executions
    if the file does. `express`: of that type, whose log is all that Step Functions keeps of an execution."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        definition: str,
        calls: Sequence[Step],
        storage: Storage,
        settings: Settings,
        starts: Sequence["Machine"] = (),
        express: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        self.express = express
        values = {
            "ResultsTable": storage.results.table_name,
            "DeadLetterQueue": storage.dead_letters.queue_url,
            "UploadsBucket": storage.uploads.bucket_name,
            "ReportsBucket": storage.access_logs.bucket_name,
            "CaptionsEnabled": "true" if settings.captions.enabled else "false",
            "MapConcurrency": f"{{% {settings.map_concurrency} %}}",  # the field takes a number or an expression
            **{f"{step.node.id}Function": step.invoked.function_arn for step in calls},
            **{one.node.id: one.machine.state_machine_arn for one in starts},
        }
        placeholders = set(re.findall(r"\$\{(\w+)\}", definition))
        # The one physical name: AWS adds each log group without this prefix to a policy of the account that holds
        # 5,120 characters. https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
        log_name = f"/aws/vendedlogs/states/{Aws.STACK_NAME}-{construct_id}"
        self.log_group = log_group(self, settings, storage.key, name=log_name)
        self.role = role = role_for(self, "Role", service="states", source="states:stateMachine:*")
        self.machine: sfn.StateMachine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_string(definition),
            definition_substitutions={name: values[name] for name in sorted(placeholders)},
            state_machine_type=sfn.StateMachineType.EXPRESS if express else sfn.StateMachineType.STANDARD,
            role=role,
            tracing_enabled=settings.tracing,
            # A picture that goes well logs nothing where its events are in a history, which costs nothing.
            logs=sfn.LogOptions(
                destination=self.log_group,
                level=sfn.LogLevel.ALL if express else sfn.LogLevel.ERROR,
                include_execution_data=True,
            ),
        )
        allow(role, "lambda:InvokeFunction", on=[step.invoked.function_arn for step in calls])
        for one in starts:
            allow(role, "states:StartExecution", on=[one.machine.state_machine_arn])
        if "ResultsTable" in placeholders:
            allow(role, "dynamodb:UpdateItem", on=[storage.results.table_arn])
            allow_key(role, storage.key, "kms:Decrypt", through="dynamodb")
        if "DeadLetterQueue" in placeholders:
            allow(role, "sqs:SendMessage", on=[storage.dead_letters.queue_arn])
            allow_key(role, storage.key, "kms:Decrypt", "kms:GenerateDataKey", through="sqs")
        accept(
            self.machine, "AwsSolutions-SF1", because="the history has every event of an execution, and costs nothing"
        )
        if not settings.tracing:
            accept(self.machine, "AwsSolutions-SF2", because="X-Ray is billed by the trace: the setting `tracing`")
        accept(role, "AwsSolutions-IAM5[Resource::*]", because="log delivery and X-Ray have no resources to name")


class Workflow(Construct):
    """The way of a picture, what follows the deletion of one, where captions are on a caption made again, and the start
    of any of them for what is in the bucket already."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, steps: Steps, storage: Storage
    ) -> None:
        super().__init__(scope, construct_id)
        machine = partial(Machine, self, storage=storage, settings=settings)
        express = settings.is_express
        of_pictures = partial(machine, express=express)
        images = of_pictures(
            "ImagePipeline",
            definition=_file("image_pipeline.asl.json", in_five_minutes if express else None),
            calls=[steps.validate, steps.resize, steps.caption, steps.cleanup],
        )
        # Always of the type that lists what died: a row that is DELETED does not say that its renditions are left.
        deletions = machine("Deletion", definition=_file("deletion.asl.json"), calls=[steps.cleanup], starts=[images])
        uploads = settings.upload_prefix
        allow(deletions.role, "s3:ListBucketVersions", on=[storage.uploads.bucket_arn], below=uploads)
        self.machines = self.images, self.deletions = images.machine, deletions.machine
        self.listed = [one.machine for one in (images, deletions) if not one.express]
        captions = []
        if settings.captions.enabled:
            definition = _file("recaption.asl.json", in_five_minutes if express else None)
            captions = [of_pictures("Recaption", definition=definition, calls=[steps.caption])]
        self.recaptions = captions[0].machine if captions else None
        backfills = machine(
            "Backfill",
            definition=_file("backfill.asl.json", waiting_for_express if express else None),
            calls=[steps.backfill],
            starts=[] if express else [images, *captions],
        )
        self.backfills = backfills.machine
        self.logs = images.log_group, deletions.log_group, backfills.log_group
        allow(backfills.role, "s3:ListBucket", on=[storage.uploads.bucket_arn], below=uploads)
        self._let_it_wait(backfills, storage, [images, *captions])
        steps.backfill.function.add_environment("STATE_MACHINE", self.images.state_machine_arn)
        if self.recaptions:
            steps.backfill.function.add_environment("RECAPTION_STATE_MACHINE", self.recaptions.state_machine_arn)

    def _let_it_wait(self, backfills: Machine, storage: Storage, started: Sequence[Machine]) -> None:
        """It may not stop what it started: who stops a backfill would have a letter for each picture that is at work.

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
        https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
        """
        role, named = backfills.role, "an execution is named when it starts"
        for one in started:
            if one.express:
                allow(role, "states:StartSyncExecution", on=[one.machine.state_machine_arn])
            else:
                allow(role, "states:DescribeExecution", on=[executions_of(one.machine)], because=named)
        events = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}"
        waits_by = f"{events}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"  # AWS's own, made when needed
        allow(role, "events:PutTargets", "events:PutRule", "events:DescribeRule", on=[waits_by])
        reports = storage.access_logs.arn_for_objects("backfill/*")
        in_parts = ("s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")
        allow(role, "s3:PutObject", *in_parts, on=[reports], because="a report is named after its run")
        # Apart, because the machine waits for the role's own policy, and this one for the machine.
        children = iam.Policy(self, "BackfillChildren", roles=[role])
        allow(children, "states:StartExecution", on=[self.backfills.state_machine_arn])
        own = executions_of(self.backfills)
        allow(children, "states:DescribeExecution", "states:StopExecution", on=[own], because=named)


def _file(name: str, changed: Callable[[str], str] | None = None) -> str:
    text = (STATE_MACHINES / name).read_text()
    return changed(text) if changed else text


def executions_of(machine: sfn.StateMachine) -> str:
    """All of them, in the ARN's form."""
    account = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}"
    return f"{account}:execution:{machine.state_machine_name}:*"
