"""When a person has to look: one alarm per entry of docs/runbook.md, each to one topic.

None counts rejections, duplicates or captions that failed: those are answers, not failures.
"""

from collections.abc import Iterable, Sequence

from aws_cdk import Aws, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.operations import SWEEPS_EVERY
from stacks.settings import Settings
from stacks.steps import Steps
from stacks.storage import Storage
from stacks.workflow import Workflow

NOTICED_WITHIN = Duration.minutes(5)


class Alarms(Construct):
    """`starts` are the rules that start executions, whose undelivered events become letters; `sweeps` the others."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        steps: Steps,
        workflow: Workflow,
        starts: Sequence[events.Rule],
        sweeps: Sequence[events.Rule],
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = self._topic(settings.alarm_email, storage.key)
        machines = [workflow.images, workflow.deletions]
        functions = [
            step.function for step in (steps.validate, steps.resize, steps.caption, steps.cleanup, steps.sweep)
        ]

        self._alarm(
            "FailedExecutions",
            "An execution failed, timed out or was aborted. Look at the newest with `darkroom executions`.",
            (
                metric
                for machine in machines
                for metric in (machine.metric_failed(), machine.metric_timed_out(), machine.metric_aborted())
            ),
        )
        self._alarm(
            "DeadLetters",
            "A picture failed and waits in the queue. Find out why, then start it again with `darkroom redrive`.",
            storage.dead_letters.metric_approximate_age_of_oldest_message(
                statistic="Maximum", period=Duration.minutes(1)
            ),
            above=60,
        )
        self._alarm(
            "StalledRows",
            "Rows were PROCESSING longer than an execution may last. The sweep finishes them: see that it did.",
            cloudwatch.Metric(
                namespace="Darkroom",
                metric_name="Stalled",
                dimensions_map={"service": "sweep"},
                statistic="Maximum",
                period=SWEEPS_EVERY,
            ),
        )
        self._alarm(
            "ThrottledFunctions",
            "Functions were refused for ten minutes. Raise the account's or the function's concurrency.",
            (function.metric_throttles(period=NOTICED_WITHIN) for function in functions),
            periods=2,  # a burst that the retries outlast asks for nothing
        )
        self._alarm(
            "UndeliveredEvents",
            "EventBridge could not start an execution or call the sweep. See that its target and role exist.",
            (
                of_rule(rule, name)
                for rules, names in (
                    (starts, ("FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq")),
                    (sweeps, ("FailedInvocations",)),
                )
                for rule in rules
                for name in names
            ),
        )
        for name, step, harm in (
            ("CleanupErrors", steps.cleanup, "Renditions that no row names may be left."),
            ("SweepErrors", steps.sweep, "Executions that died may be left without a row and a letter."),
        ):
            self._alarm(name, f"{harm} Read the function's log.", step.function.metric_errors(period=NOTICED_WITHIN))

    def _topic(self, email: str | None, key: kms.IKey | None) -> sns.Topic:
        """Publishing is for this account's alarms: a policy of its own takes the place of SNS's default."""
        topic = sns.Topic(self, "Topic", display_name="Darkroom", enforce_ssl=True, master_key=key)
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
        if email:
            topic.add_subscription(subscriptions.EmailSubscription(email))
        return topic

    def _alarm(
        self,
        name: str,
        does: str,
        metrics: cloudwatch.Metric | Iterable[cloudwatch.Metric],
        *,
        above: int = 0,
        periods: int = 1,
    ) -> None:
        """One for each metric: the local cloud takes no alarm over an expression."""
        several = [metrics] if isinstance(metrics, cloudwatch.Metric) else metrics
        for number, metric in enumerate(several):
            alarm = cloudwatch.Alarm(
                self,
                f"{name}{number or ''}",
                alarm_description=f"{does} docs/runbook.md#{name.lower()}",
                metric=metric,
                threshold=above,
                evaluation_periods=periods,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            alarm.add_alarm_action(actions.SnsAction(self.topic))
            alarm.add_ok_action(actions.SnsAction(self.topic))


def of_rule(rule: events.Rule, name: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/Events", metric_name=name, dimensions_map={"RuleName": rule.rule_name}, statistic="Sum"
    )
