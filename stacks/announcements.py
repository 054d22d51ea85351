"""Others hear of each row that becomes final: from the event bus, from the webhook, or from both."""

import json

from aws_cdk import Aws, Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.grants import allow, allow_key, allow_secret
from stacks.settings import Settings
from stacks.steps import Steps
from stacks.storage import Storage

Mapping = lambda_.CfnEventSourceMapping

# The writes that make a row final: a row is PROCESSING before a success and a rejection, but not always before the
# others. A caption that is made again is left out here, and the webhook's answer in most rows: they cost nothing.
BECAME_FINAL = (
    {"NewImage": {"status": {"S": ["SUCCEEDED", "REJECTED"]}}, "OldImage": {"status": {"S": ["PROCESSING"]}}},
    {"NewImage": {"status": {"S": ["FAILED", "DELETED"]}}},
)

CHANGES = 100  # at once, of which each takes some milliseconds
TIMEOUT_OF_ANNOUNCE = Duration.minutes(1)

# Changes that the function cannot tell wait for so many attempts, or so long, and then are a letter. Of several that
# it dies of, the one is found by halves.
ATTEMPTS_TO_ANNOUNCE = 20
LATEST_ANNOUNCEMENT = Duration.hours(6)

TIMEOUT_OF_NOTIFY = Duration.seconds(30)
POSTS_AT_ONCE = 10
FIRST_WAIT, FIRST_WAIT_LOCALLY = 30, 1  # seconds; doubled each time, up to two hours
ATTEMPTS_TO_NOTIFY = 20  # the last is 24 hours after the first


class Announcements(Construct):
    """`functions` are all that are here. `delivery_url`: where renditions are delivered from, if they are."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        steps: Steps,
        delivery_url: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.webhook = (
            Webhook(self, "Webhook", settings=settings, storage=storage, steps=steps) if settings.webhook.url else None
        )
        self.announce = steps.step(
            self,
            "Announce",
            does="Tells the event bus and the webhook's queue of each row that became final",
            sizing=settings.functions.announce,
            environment={
                "STACK": settings.stack,
                "RESULTS_TABLE": storage.results.table_name,
                "DEAD_LETTER_QUEUE": storage.dead_letters.queue_url,
                **({"EVENT_BUS": "default"} if settings.events.enabled else {}),
                **({"WEBHOOK_QUEUE": self.webhook.queue.queue_url} if self.webhook else {}),
                **({"DELIVERY_URL": delivery_url} if delivery_url else {}),
            },
            timeout=TIMEOUT_OF_ANNOUNCE,
        )
        role = self.announce.role
        allow(role, "dynamodb:GetItem", on=[storage.results.table_arn])
        if settings.events.enabled:
            bus = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:event-bus/default"
            allow(role, "events:PutEvents", on=[bus])
        queues = [storage.dead_letters, *([self.webhook.queue] if self.webhook else [])]
        allow(role, "sqs:SendMessage", on=[queue.queue_arn for queue in queues])
        allow_key(role, storage.key, "kms:Decrypt", "kms:GenerateDataKey", through="sqs")
        self._follow_changes(storage)
        self.functions = [self.announce, *([self.webhook.notify] if self.webhook else [])]

    def _follow_changes(self, storage: Storage) -> None:
        role, stream = self.announce.role, str(storage.results.table_stream_arn)
        allow(role, "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", on=[stream])
        allow(role, "dynamodb:ListStreams", on=["*"], because="the action has no resources to name")
        allow_key(role, storage.key, "kms:Decrypt", through="dynamodb")
        filters = [Mapping.FilterProperty(pattern=json.dumps({"dynamodb": pattern})) for pattern in BECAME_FINAL]
        letters = Mapping.OnFailureProperty(destination=storage.dead_letters.queue_arn)
        mapping = Mapping(
            self,
            "Changes",
            event_source_arn=stream,
            function_name=self.announce.invoked.function_arn,
            starting_position="TRIM_HORIZON",  # or what is written while this is being made would be missed
            batch_size=CHANGES,
            filter_criteria=Mapping.FilterCriteriaProperty(filters=filters),
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=ATTEMPTS_TO_ANNOUNCE,
            maximum_record_age_in_seconds=int(LATEST_ANNOUNCEMENT.to_seconds()),
            destination_config=Mapping.DestinationConfigProperty(on_failure=letters),
        )
        mapping.node.add_dependency(role)  # Lambda tries the grants when it makes the mapping


class Webhook(Construct):
    """What waits for the webhook, in a queue where Announce puts it, and the function that sends it there, signed."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, steps: Steps
    ) -> None:
        super().__init__(scope, construct_id)
        self.queue = sqs.Queue(
            self,
            "Queue",
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.KMS if storage.key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=storage.key,
            retention_period=Duration.days(14),  # counted from here on as a dead letter too
            visibility_timeout=Duration.seconds(6 * TIMEOUT_OF_NOTIFY.to_seconds()),  # as Lambda asks for
            dead_letter_queue=sqs.DeadLetterQueue(queue=storage.dead_letters, max_receive_count=ATTEMPTS_TO_NOTIFY),
        )
        known_first = "the receiver has to know the next one first: docs/events.md"
        signs = "what Darkroom's webhook is sent"
        self.secret = storage.secret(self, signs=signs, characters=43, unrotated_because=known_first)
        self.notify = steps.step(
            self,
            "Notify",
            does="Sends one event to the webhook",
            sizing=settings.functions.notify,
            environment={
                "RESULTS_TABLE": storage.results.table_name,
                "WEBHOOK_URL": str(settings.webhook.url),
                "WEBHOOK_QUEUE": self.queue.queue_url,
                "WEBHOOK_SECRET": self.secret.secret_arn,
                "FIRST_WAIT_SECONDS": str(FIRST_WAIT_LOCALLY if settings.local_cloud else FIRST_WAIT),
            },
            timeout=TIMEOUT_OF_NOTIFY,
        )
        role = self.notify.role
        allow_secret(role, self.secret, storage.key)
        allow(role, "dynamodb:UpdateItem", on=[storage.results.table_arn])
        allow_key(role, storage.key, "kms:Decrypt", through="dynamodb")
        on_queue = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
        allow(role, *(f"sqs:{action}" for action in on_queue), on=[self.queue.queue_arn])
        allow_key(role, storage.key, "kms:Decrypt", through="sqs")
        mapping = Mapping(
            self,
            "Posts",
            event_source_arn=self.queue.queue_arn,
            function_name=self.notify.invoked.function_arn,
            batch_size=1,  # who waits for an answer keeps no other waiting
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=Mapping.ScalingConfigProperty(maximum_concurrency=POSTS_AT_ONCE),
        )
        mapping.node.add_dependency(role)
