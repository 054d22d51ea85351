"""The one stack, as a parts list in the order the data travels."""

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from stacks.alarms import Alarms
from stacks.announcements import Announcements
from stacks.api import Api
from stacks.dashboard import Dashboard
from stacks.delivery import Delivery
from stacks.intake import Intake
from stacks.operations import Operations
from stacks.settings import Settings
from stacks.steps import Steps
from stacks.storage import Storage
from stacks.watched import Watched
from stacks.workflow import Workflow


class Pipeline(Stack):
    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Darkroom: an upload becomes renditions and one row that says what happened to it",
            termination_protection=settings.removal_policy == "retain",
        )
        storage = Storage(self, "Storage", settings=settings)
        steps = Steps(self, "Steps", settings=settings, storage=storage)
        workflow = Workflow(self, "Workflow", settings=settings, steps=steps, storage=storage)
        intake = Intake(self, "Intake", settings=settings, storage=storage, starts=workflow)
        operations = Operations(self, "Operations", settings=settings, storage=storage, steps=steps, workflow=workflow)
        delivery = None
        if settings.delivery.enabled:
            delivery = Delivery(self, "Delivery", settings=settings, storage=storage, steps=steps)
        api = None
        if settings.api.enabled:
            api = Api(self, "Api", settings=settings, storage=storage, steps=steps, workflow=workflow)
            if delivery:
                delivery.lets_sign(api.step, storage.key)
        announcements = None
        if settings.announces:
            announcements = Announcements(
                self,
                "Announcements",
                settings=settings,
                storage=storage,
                steps=steps,
                delivery_url=delivery.url if delivery else None,
            )
        watched = Watched(
            settings,
            storage,
            steps,
            workflow,
            starts=intake.rules,
            sweeps=operations.rules,
            api=api,
            delivery=delivery,
            announcements=announcements,
        )
        Alarms(self, "Alarms", watched=watched)
        Dashboard(self, "Dashboard", watched=watched)

        CfnOutput(self, "UploadsBucketName", value=storage.uploads.bucket_name)
        CfnOutput(self, "UploadPrefix", value=settings.upload_prefix)
        CfnOutput(self, "UploadLimitBytes", value=str(settings.limits.max_bytes))
        CfnOutput(self, "RenditionsBucketName", value=storage.renditions.bucket_name)
        CfnOutput(self, "ResultsTableName", value=storage.results.table_name)
        if settings.is_express:
            CfnOutput(self, "WorkflowKind", value=settings.workflow)
        CfnOutput(self, "StateMachineArn", value=workflow.images.state_machine_arn)
        CfnOutput(self, "DeletionStateMachineArn", value=workflow.deletions.state_machine_arn)
        if workflow.recaptions:
            CfnOutput(self, "RecaptionStateMachineArn", value=workflow.recaptions.state_machine_arn)
        CfnOutput(self, "BackfillStateMachineArn", value=workflow.backfills.state_machine_arn)
        CfnOutput(self, "BackfillFunctionName", value=steps.backfill.function.function_name)
        CfnOutput(self, "ReportsBucketName", value=storage.access_logs.bucket_name)
        CfnOutput(self, "DeadLetterQueueUrl", value=storage.dead_letters.queue_url)
        if api:
            CfnOutput(self, "ApiUrl", value=api.url)
            CfnOutput(self, "ApiId", value=api.id)
        if delivery:
            CfnOutput(self, "DeliveryUrl", value=delivery.url)
            CfnOutput(self, "DeliverySecretArn", value=delivery.secret.secret_arn)
        if announcements:
            CfnOutput(self, "AnnounceFunctionName", value=announcements.announce.function.function_name)
            if announcements.webhook:
                CfnOutput(self, "WebhookSecretArn", value=announcements.webhook.secret.secret_arn)
