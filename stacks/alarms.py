"""When a person has to look: one alarm per entry of docs/runbook.md, each to one topic.

None counts rejections or duplicates: those are answers, not failures. Captions that fail count where many do.
"""

from collections.abc import Iterable

from aws_cdk import Aws, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.announcements import Announcements
from stacks.operations import SWEEPS_EVERY
from stacks.settings import Settings
from stacks.watched import NOTICED_WITHIN, Watched, ended_badly

LATE = Duration.minutes(1)  # an event is delivered within a second where nothing is short


class Alarms(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, watched: Watched) -> None:
        super().__init__(scope, construct_id)
        steps, machines, captions = watched.steps, watched.workflow.machines, watched.settings.captions
        backfills = watched.workflow.backfills
        # Not those that were aborted: `darkroom backfill --stop` aborts one.
        unattended = [backfills.metric_failed(), backfills.metric_timed_out()]
        # An Express execution that runs out of time asks for nothing: the sweep starts its picture again.
        bad_ends = [metric for machine in watched.workflow.listed for metric in ended_badly(machine)]
        if watched.settings.is_express:
            bad_ends.append(watched.workflow.images.metric_failed())
        self.topic = self._topic(watched.settings, watched.storage.key)

        self._alarm(
            "FailedExecutions",
            "An execution failed, timed out or was aborted. Look at the newest with `darkroom executions`.",
            [
                *bad_ends,
                *(unattended if watched.settings.reconcile_days else []),
            ],
        )
        self._alarm(
            "DeadLetters",
            "A picture failed and waits in the queue. Find out why, then start it again with `darkroom redrive`.",
            # Not their age: SQS leaves out what was received three times, and who looks at letters receives them.
            watched.storage.dead_letters.metric_approximate_number_of_messages_visible(
                statistic="Maximum", period=Duration.minutes(1)
            ),
            periods=2,  # a letter that is redriven at once asks for nothing
        )
        self._alarm(
            "StalledRows",
            "Rows were PROCESSING half an hour after their execution's end. The sweep finishes them: see that it did.",
            watched.of_ours("Stalled", "sweep", statistic="Maximum", period=SWEEPS_EVERY),
        )
        self._alarm(
            "ThrottledFunctions",
            "Functions were refused for ten minutes. Raise the account's or the function's concurrency.",
            (step.function.metric_throttles(period=NOTICED_WITHIN) for step in watched.functions),
            periods=2,  # a short burst asks for nothing
        )
        self._alarm(
            "ThrottledExecutions",
            "Step Functions has held back executions for ten minutes. Ask AWS for more state transitions a second.",
            (machine.metric_throttled(period=NOTICED_WITHIN) for machine in machines),
            periods=2,
        )
        self._alarm(
            "RetriedEvents",
            "EventBridge has delivered events again for ten minutes: uploads wait. See what their target is short of.",
            watched.retried(),
            periods=2,
        )
        self._alarm(
            "LateEvents",
            "For ten minutes, uploads or deletions have waited over a minute for their execution to start.",
            watched.delivery_times(),
            over=LATE.to_milliseconds(),
            periods=2,
        )
        self._alarm(
            "UndeliveredEvents",
            "EventBridge could not start an execution or call the sweep. See that its target and role exist.",
            watched.undelivered(),
        )
        self._alarm(
            "CleanupErrors",
            "Renditions that no row names may be left. Read the function's log.",
            steps.cleanup.function.metric_errors(period=NOTICED_WITHIN),
        )
        self._alarm(
            "SweepErrors",
            "Executions that died may be left without a row and a letter. Read the function's log.",
            # It would clear before each next run that fails, if it looked back over less than the time between two.
            steps.sweep.function.metric_errors(period=SWEEPS_EVERY),
        )

        if captions.enabled:
            self._alarm(
                "FailedCaptions",
                f"More than {captions.alarm_share:.0%} of the captions fail. Ask the model with"
                " `darkroom doctor`, then caption again with `darkroom redrive --caption-failed`.",
                # Their share: of each caption 0 or 1 is published, of a throttled one when it is given up.
                watched.of_ours("CaptionsFailed", "caption", statistic="Average", period=NOTICED_WITHIN),
                over=captions.alarm_share,
                periods=12,
                breaching=3,  # one that fails, where few are made, asks for nothing
            )

        if watched.api:
            self._alarm(
                "ApiErrors",
                "The API answered with errors of its own (5xx). Read the log of its function.",
                watched.api.errors(period=NOTICED_WITHIN),
            )
        if watched.delivery:
            self._alarm(
                "DeliverErrors",
                "Viewers of pictures got an error (5xx). Read the function's log.",
                watched.delivery.step.function.metric_errors(period=NOTICED_WITHIN),
            )
        if watched.announcements:
            self._of_announcements(watched, watched.announcements)

    def _of_announcements(self, watched: Watched, announcements: Announcements) -> None:
        self._alarm(
            "AnnounceErrors",
            "Rows that became final could not be told, and wait. Read the function's log.",
            announcements.announce.function.metric_errors(period=NOTICED_WITHIN),
        )
        if announcements.webhook:
            self._alarm(
                "WebhookRefused",
                "The webhook has not taken events for a quarter of an hour. They are sent again for a day: see that"
                " it answers.",
                watched.of_ours("WebhookRefused", "notify", period=NOTICED_WITHIN),
                periods=3,
                breaching=2,  # one that it takes at the second attempt asks for nothing
            )

    def _topic(self, settings: Settings, key: kms.IKey | None) -> sns.Topic:
        """Publishing is for this account's alarms: a policy of its own takes the place of SNS's default."""
        topic = sns.Topic(self, "Topic", display_name=settings.stack, enforce_ssl=True, master_key=key)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=[topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm:*"
                    },
                },
            )
        )
        if settings.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))
        return topic

    def _alarm(
        self,
        name: str,
        does: str,
        metrics: cloudwatch.Metric | Iterable[cloudwatch.Metric],
        *,
        over: float = 0,
        periods: int = 1,
        breaching: int | None = None,
    ) -> None:
        """One for each metric: the local cloud takes no alarm over an expression. It fires when the metric is over that
        in so many of the periods, or in all of them."""
        several = [metrics] if isinstance(metrics, cloudwatch.Metric) else metrics
        for number, metric in enumerate(several):
            alarm = cloudwatch.Alarm(
                self,
                f"{name}{number or ''}",
                alarm_description=f"{does} docs/runbook.md#{name.lower()}",
                metric=metric,
                threshold=over,
                evaluation_periods=periods,
                datapoints_to_alarm=breaching,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            alarm.add_alarm_action(actions.SnsAction(self.topic))
            alarm.add_ok_action(actions.SnsAction(self.topic))
