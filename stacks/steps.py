"""The Lambda functions, one per step that touches pixels. Each has its own role, which begins with nothing."""

import json
from functools import partial

from aws_cdk import Aws, Duration, IgnoreMode, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks import ROOT, STATE_MACHINES
from stacks.express import LONGEST_EXECUTION
from stacks.grants import accept, allow, allow_key, role_for
from stacks.layer import DependencyLayer, architecture, runtime
from stacks.models import GEOGRAPHIES
from stacks.settings import FREED, Function, Settings
from stacks.storage import Storage

# Longer than the largest picture takes to decode and encode; the state machine's tasks wait 90 s for it.
TIMEOUT = Duration.seconds(60)

# There may be thousands of executions to ask about, a few a second. Shorter than the time between two scheduled ones.
TIMEOUT_OF_THE_SWEEP = Duration.minutes(14)

# Seconds after its last write in which a row that is PROCESSING is nobody's business but its execution's. An Express
# execution is over by then, and what it wrote last has arrived.
LEFT_ALONE = 300
LEFT_ALONE_EXPRESS = LONGEST_EXECUTION + 60


class Step(Construct):
    """One function. `invoked` is what the workflow calls: its alias where concurrency is provisioned."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        does: str,
        sizing: Function,
        settings: Settings,
        layer: DependencyLayer,
        key: kms.IKey | None,
        environment: dict[str, str],
        timeout: Duration = TIMEOUT,
    ) -> None:
        super().__init__(scope, construct_id)
        name = construct_id.lower()
        self.log_group = log_group(self, settings, key)
        self.role = role_for(self, "Role", service="lambda")  # Lambda documents no `aws:SourceArn` there
        self.log_group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            description=does,
            handler=f"functions.{name}.handler",
            code=lambda_.Code.from_asset(
                str(ROOT),
                exclude=["/*", "!/functions", *(["!/watermarks"] if settings.watermarks else []), "__pycache__"],
                ignore_mode=IgnoreMode.GIT,
            ),
            layers=[layer.layer],
            runtime=runtime(settings),
            architecture=architecture(settings),
            role=self.role,
            memory_size=sizing.memory,
            timeout=timeout,
            reserved_concurrent_executions=sizing.reserved_concurrency,
            environment={"POWERTOOLS_SERVICE_NAME": name, **settings.for_metrics(), **environment},
            log_group=self.log_group,
            tracing=lambda_.Tracing.ACTIVE if settings.tracing else None,
        )
        self.invoked: lambda_.IFunction = self.function
        if sizing.provisioned_concurrency:
            self.invoked = lambda_.Alias(
                self,
                "Warm",
                alias_name="warm",
                version=self.function.current_version,
                provisioned_concurrent_executions=sizing.provisioned_concurrency,
            )
        if settings.tracing:
            accept(self.role, "AwsSolutions-IAM5[Resource::*]", because="X-Ray has no resources to name")


class Steps(Construct):
    """`all` are what alarms and the dashboard watch; `step` makes one more, where it is told."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage) -> None:
        super().__init__(scope, construct_id)
        layer = DependencyLayer(self, "Layer", settings=settings)
        self.step = partial(Step, settings=settings, layer=layer, key=storage.key)
        step = partial(self.step, self)
        originals = storage.uploads.arn_for_objects(f"{settings.upload_prefix}*")
        any_upload = "the originals under the upload prefix, whose names are not known before"
        renditions = storage.renditions.arn_for_objects("*")
        any_rendition = "renditions are named after uploads, whose names are not known before"

        self.validate = step(
            "Validate",
            does="Decodes a picture once and says whether it is accepted, and which renditions to make",
            sizing=settings.functions.validate_,
            environment=settings.for_validate() | FREED | ({"KMS_KEY": storage.key.key_arn} if storage.key else {}),
        )
        # Without ListBucket, S3 answers 403 for an object that is gone: a failure where a verdict is due. Of a version
        # that is gone it may ask for ListBucketVersions; AWS documents neither that nor the contrary. Neither request
        # names a prefix that the grant could be bound to.
        allow(self.validate.role, "s3:ListBucket", "s3:ListBucketVersions", on=[storage.uploads.bucket_arn])
        allow(self.validate.role, "s3:GetObject", "s3:GetObjectVersion", on=[originals], because=any_upload)
        allow_key(self.validate.role, storage.key, "kms:Decrypt", through="s3")

        self.resize = step(
            "Resize",
            does="Makes one rendition of a validated picture",
            sizing=settings.functions.resize,
            environment={"RENDITIONS_BUCKET": storage.renditions.bucket_name},
        )
        allow(self.resize.role, *storage.reads_pinned, on=[originals], because=any_upload)
        allow(self.resize.role, "s3:PutObject", on=[renditions], because=any_rendition)
        allow_key(self.resize.role, storage.key, "kms:Decrypt", "kms:GenerateDataKey", through="s3")

        self.caption = step(
            "Caption",
            does="Asks a Bedrock model for the alt text of a validated picture",
            sizing=settings.functions.caption,
            environment=settings.for_caption(),
        )
        allow(self.caption.role, *storage.reads_pinned, on=[originals], because=any_upload)
        allow_key(self.caption.role, storage.key, "kms:Decrypt", through="s3")
        if settings.captions.enabled and settings.captions.model_id:
            allow(
                self.caption.role,
                # AWS asks for InvokeModel when Converse is called; the local cloud asks for an action of that name.
                "bedrock:Converse" if settings.local_cloud else "bedrock:InvokeModel",
                on=model_arns(settings.captions.model_id),
                because="a cross-region inference profile sends to whichever region of its geography has room",
            )

        self.cleanup = step(
            "Cleanup",
            does="Removes the renditions of a key that its row does not name",
            sizing=settings.functions.cleanup,
            environment={
                "UPLOAD_PREFIX": settings.upload_prefix,
                "RENDITIONS_BUCKET": storage.renditions.bucket_name,
                "RESULTS_TABLE": storage.results.table_name,
            },
        )
        allow(self.cleanup.role, "s3:ListBucket", on=[storage.renditions.bucket_arn])
        allow(self.cleanup.role, "s3:DeleteObject", on=[renditions], because=any_rendition)
        allow(self.cleanup.role, "dynamodb:GetItem", on=[storage.results.table_arn])
        allow_key(self.cleanup.role, storage.key, "kms:Decrypt", through="dynamodb")

        pictures = json.loads((STATE_MACHINES / "image_pipeline.asl.json").read_text())
        self.sweep = step(
            "Sweep",
            does="Finishes what an execution left unfinished: a row FAILED, and one dead letter",
            sizing=settings.functions.sweep,
            environment={
                "UPLOADS_BUCKET": storage.uploads.bucket_name,
                "RESULTS_TABLE": storage.results.table_name,
                "DEAD_LETTER_QUEUE": storage.dead_letters.queue_url,
                "LONGEST_EXECUTION_SECONDS": str(pictures["TimeoutSeconds"]),
                "SECONDS_LEFT_ALONE": str(LEFT_ALONE_EXPRESS if settings.is_express else LEFT_ALONE),
            },
            timeout=TIMEOUT_OF_THE_SWEEP,
        )
        allow(self.sweep.role, "dynamodb:Query", on=[f"{storage.results.table_arn}/index/by-status"])
        allow(self.sweep.role, "dynamodb:UpdateItem", on=[storage.results.table_arn])
        allow_key(self.sweep.role, storage.key, "kms:Decrypt", through="dynamodb")
        allow(self.sweep.role, "sqs:SendMessage", on=[storage.dead_letters.queue_arn])
        allow_key(self.sweep.role, storage.key, "kms:Decrypt", "kms:GenerateDataKey", through="sqs")

        self.backfill = step(
            "Backfill",
            does="Says which objects of a batch need work: a picture that is missing or stale, or its caption",
            sizing=settings.functions.backfill,
            environment={
                "UPLOADS_BUCKET": storage.uploads.bucket_name,
                "UPLOAD_PREFIX": settings.upload_prefix,
                "RESULTS_TABLE": storage.results.table_name,
                "RECIPE": settings.recipe,
            },
        )
        allow(self.backfill.role, "dynamodb:BatchGetItem", on=[storage.results.table_arn])
        allow_key(self.backfill.role, storage.key, "kms:Decrypt", through="dynamodb")
        listed = settings.upload_prefix
        allow(self.backfill.role, "s3:ListBucketVersions", on=[storage.uploads.bucket_arn], below=listed)
        self.all = [self.validate, self.resize, self.caption, self.cleanup, self.sweep, self.backfill]


def model_arns(model_id: str) -> list[str]:
    """The model; for a cross-region inference profile (`eu.…`), that profile and the model in each of its regions.

    https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html
    """
    bedrock = f"arn:{Aws.PARTITION}:bedrock"
    geography, _, model = model_id.partition(".")
    if geography not in GEOGRAPHIES:
        return [f"{bedrock}:{Aws.REGION}::foundation-model/{model_id}"]
    return [
        f"{bedrock}:{Aws.REGION}:{Aws.ACCOUNT_ID}:inference-profile/{model_id}",
        f"{bedrock}:*::foundation-model/{model}",
    ]


def log_group(scope: Construct, settings: Settings, key: kms.IKey | None, name: str | None = None) -> logs.LogGroup:
    group = logs.LogGroup(scope, "Logs", log_group_name=name, encryption_key=key, removal_policy=RemovalPolicy.DESTROY)
    # The L2 property takes an enumeration; CloudFormation takes the number of days that the setting is.
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)
    resource.retention_in_days = settings.log_retention_days
    return group
