"""Where pictures, renditions and results live, and the letters of those that failed: all that outlives the code."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.grants import accept
from stacks.settings import Settings


class Storage(Construct):
    """`key` is the customer's own, if there is one: it encrypts everything here but the access logs, which S3 delivers
    only into a bucket with its own encryption.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html

    `new_uploads` is the uploads bucket if the stack makes it. Of one that was there before, the stack changes nothing.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        # Kept when the stack goes or replaces it, but not when its creation is rolled back: nothing is in it then.
        kept = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        self.removal_policy = kept if settings.removal_policy == "retain" else RemovalPolicy.DESTROY

        self.key = kms.Key.from_key_arn(self, "Key", settings.kms_key) if settings.kms_key else None

        self.access_logs = self._bucket("AccessLogs", lifecycle=s3.LifecycleRule(expiration=Duration.days(90)))
        self.new_uploads: s3.Bucket | None = None
        if settings.uploads_bucket:
            self.uploads: s3.IBucket = s3.Bucket.from_bucket_name(self, "Uploads", settings.uploads_bucket)
        else:
            self.uploads = self.new_uploads = self._uploads(settings.old_versions_days)
        self.renditions = self._bucket("Renditions", key=self.key, logs=self.access_logs)
        self.results = self._results(stream=settings.announces)
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.KMS if self.key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=self.key,
            retention_period=Duration.days(14),  # the longest SQS keeps a message
            removal_policy=self.removal_policy,
        )
        accept(self.dead_letters, "AwsSolutions-SQS3", because="it is the dead-letter queue")

    @property
    def reads_pinned(self) -> tuple[str, ...]:
        """What it takes to read the version that Validate pinned: by its ETag where a bucket keeps no versions."""
        return ("s3:GetObjectVersion",) if self.new_uploads else ("s3:GetObject", "s3:GetObjectVersion")

    @property
    def encryption(self) -> dynamodb.TableEncryption:
        """Of every table."""
        return dynamodb.TableEncryption.CUSTOMER_MANAGED if self.key else dynamodb.TableEncryption.AWS_MANAGED

    def _uploads(self, old_versions_days: int) -> s3.Bucket:
        bucket = self._bucket(
            "Uploads",
            versioned=True,
            key=self.key,
            logs=self.access_logs,
            lifecycle=s3.LifecycleRule(
                abort_incomplete_multipart_upload_after=Duration.days(7),
                expired_object_delete_marker=True,
                noncurrent_version_expiration=Duration.days(old_versions_days),
            ),
        )
        # The L2 property `event_bridge_enabled` deploys a custom-resource Lambda for what CloudFormation does itself.
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        return bucket

    def secret(self, scope: Construct, *, signs: str, characters: int, unrotated_because: str) -> secretsmanager.Secret:
        """Made by AWS, so that no template and no log has it. Another number of characters makes another one."""
        secret = secretsmanager.Secret(
            scope,
            "Secret",
            description=f"Signs {signs}",
            encryption_key=self.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=characters, exclude_punctuation=True
            ),
            removal_policy=self.removal_policy,
        )
        accept(secret, "AwsSolutions-SMG4", because=unrotated_because)
        return secret

    def _bucket(
        self,
        construct_id: str,
        *,
        versioned: bool = False,
        key: kms.IKey | None = None,
        logs: s3.IBucket | None = None,
        lifecycle: s3.LifecycleRule | None = None,
    ) -> s3.Bucket:
        return s3.Bucket(
            self,
            construct_id,
            versioned=versioned,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,  # one call of KMS for many objects
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=logs,
            server_access_logs_prefix=f"{construct_id.lower()}/" if logs else None,
            lifecycle_rules=[lifecycle] if lifecycle else [],
            removal_policy=self.removal_policy,
        )

    def _results(self, *, stream: bool) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Results",
            partition_key=dynamodb.Attribute(name="key", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=self.encryption,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            # With the row as it was: whether a write made it final, what it says now does not tell.
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES if stream else None,
            removal_policy=self.removal_policy,
        )
        table.add_global_secondary_index(
            index_name="by-status",
            partition_key=dynamodb.Attribute(name="status", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="updated_at", type=dynamodb.AttributeType.STRING),
        )
        table.add_global_secondary_index(
            index_name="by-key",
            partition_key=dynamodb.Attribute(name="status", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="key", type=dynamodb.AttributeType.STRING),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        return table
