"""What alarms and the dashboard look at, and the metrics that both have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_stepfunctions as sfn

from stacks.announcements import Announcements
from stacks.api import Api
from stacks.delivery import Delivery
from stacks.settings import Settings
from stacks.steps import Step, Steps
from stacks.storage import Storage
from stacks.workflow import Workflow

NOTICED_WITHIN = Duration.minutes(5)


@dataclass(frozen=True)
class Watched:
    """`starts` are the rules that start executions, whose undelivered events become letters; `sweeps` the others."""

    settings: Settings
    storage: Storage
    steps: Steps
    workflow: Workflow
    starts: Sequence[events.Rule]
    sweeps: Sequence[events.Rule]
    api: Api | None = None
    delivery: Delivery | None = None
    announcements: Announcements | None = None

    @property
    def functions(self) -> list[Step]:
        """All, those that a setting turns on at the end."""
        at_the_edge = [self.api and self.api.step, self.delivery and self.delivery.step]
        announcements = self.announcements.functions if self.announcements else []
        return [*self.steps.all, *(step for step in at_the_edge if step), *announcements]

    def undelivered(self) -> Iterator[cloudwatch.Metric]:
        """What EventBridge publishes of events that it could not deliver: rules without a queue have no letters."""
        for rule in self.starts:
            for name in ("FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq"):
                yield of_rule(rule, name)
        for rule in self.sweeps:
            yield of_rule(rule, "FailedInvocations")

    def retried(self) -> Iterator[cloudwatch.Metric]:
        """Deliveries that EventBridge tried again: for a day, and 185 times, before an event counts as undelivered."""
        return (of_rule(rule, "RetryInvocationAttempts") for rule in (*self.starts, *self.sweeps))

    def delivery_times(self) -> Iterator[cloudwatch.Metric]:
        """From the event to its delivery, in ms. To the first attempt (`…StartLatency`) it stays short, whatever
        waits."""
        return (of_rule(rule, "IngestionToInvocationSuccessLatency", "p95") for rule in self.starts)

    def of_ours(
        self,
        name: str,
        step: str,
        *,
        statistic: str = "Sum",
        label: str | None = None,
        period: Duration | None = None,
    ) -> cloudwatch.Metric:
        """What that step itself publishes (functions/telemetry.py), in the stack's own namespace."""
        return cloudwatch.Metric(
            namespace=self.settings.stack,
            metric_name=name,
            dimensions_map={"service": step},
            statistic=statistic,
            label=label,
            period=period,
        )


def ended_badly(machine: sfn.StateMachine) -> tuple[cloudwatch.Metric, ...]:
    return machine.metric_failed(), machine.metric_timed_out(), machine.metric_aborted()


def of_rule(rule: events.Rule, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html"""
    return cloudwatch.Metric(
        namespace="AWS/Events",
        metric_name=name,
        dimensions_map={"RuleName": rule.rule_name},
        statistic=statistic,
        period=NOTICED_WITHIN,
    )
