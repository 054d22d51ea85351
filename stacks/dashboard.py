"""What an operator looks at: the dashboard, and the questions of Logs Insights that are saved beside it.

Everything shown is measured anyway. What no metric says (by which error an execution ended, what was retried) is asked
of the state machines' logs, which hold errors only, when somebody looks, and costs nothing while nobody does.
"""

from collections.abc import Iterable, Iterator, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.announcements import Announcements
from stacks.settings import STACK
from stacks.steps import Step
from stacks.watched import Watched, ended_badly

WIDTH = 24  # columns of a dashboard
STARTS = ("uploads", "deletions")
ENDS = ("failed", "timed out", "aborted")

# Queries, stage by stage.
ENDED_BADLY = (
    'filter type in ["ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"]',
    "stats count(*) as executions by type, details.error",
)
FAILED_ATTEMPTS = (
    'filter type in ["TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"]',
    'filter details.error != "DynamoDB.ConditionalCheckFailedException"',  # a duplicate, or one that was overtaken
    "stats count(*) as attempts by details.resourceType, details.error",
)
WHAT_HAPPENED = (
    "fields @timestamp, service, message, code, reason, execution",
    "fields type, details.error, details.cause, details.input, execution_arn",  # of the state machines' logs
    'filter @message like "raw/photo.jpg"',
    "sort @timestamp",
)
WHY_REJECTED = (
    "fields @timestamp, key, code, reason, execution",
    'filter message = "rejected"',
    "sort @timestamp desc",
)


class Dashboard(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, watched: Watched) -> None:
        super().__init__(scope, construct_id)
        storage, steps = watched.storage, watched.steps
        images, deletions = watched.workflow.machines
        machine_logs = watched.workflow.logs
        stack = watched.settings.stack
        dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=None if stack == STACK else stack,  # CloudFormation's own name does not say it
            default_interval=Duration.days(1),
            widgets=[
                [
                    graph(
                        "Pictures, and how executions ended",
                        watched.of_ours("Pictures", "validate", label="validated"),
                        search(stack, "Rejected", "code", total="rejected"),
                        images.metric_succeeded(label="ended well"),
                        *labelled(ended_badly(images), *ENDS),
                        *labelled(ended_badly(deletions), *(f"deletion {end}" for end in ENDS)),
                    ),
                    graph("Rejected, by code", search(stack, "Rejected", "code")),
                    graph(
                        "From upload to row: until the execution starts, and the execution, ms",
                        *labelled(watched.delivery_times(), *(f"{one} until they start, p95" for one in STARTS)),
                        *(images.metric_time(statistic=part, label=part) for part in ("p50", "p95", "p99")),
                    ),
                ],
                [
                    graph(
                        "Overload: executions held back by Step Functions",
                        images.metric_throttled(label="pictures"),
                        deletions.metric_throttled(label="deletions"),
                    ),
                    graph("Overload: events that EventBridge delivered again", *watched.retried()),
                    graph("Undelivered events", *watched.undelivered()),
                ],
                [
                    asked("Executions that ended badly, by error", ENDED_BADLY, *machine_logs),
                    asked("Attempts that failed: retried, or the picture's end", FAILED_ATTEMPTS, *machine_logs),
                ],
                [
                    graph("Functions: errors", *(of(step, "Errors") for step in watched.functions)),
                    graph("Functions: refused calls", *(of(step, "Throttles") for step in watched.functions)),
                    graph("Functions: duration, p95, ms", *(of(step, "Duration", "p95") for step in watched.functions)),
                ],
                [
                    graph(
                        "Dead letters",
                        storage.dead_letters.metric_approximate_number_of_messages_visible(statistic="Maximum"),
                        right=[
                            storage.dead_letters.metric_approximate_age_of_oldest_message(
                                statistic="Maximum", label="oldest, s"
                            )
                        ],
                    ),
                    graph(
                        "Rows that were left PROCESSING",
                        watched.of_ours("Stalled", "sweep", statistic="Maximum"),
                        watched.of_ours("Swept", "sweep"),
                    ),
                ],
                [
                    graph("Cost: Lambda, GB-seconds", *(gigabyte_seconds(step) for step in watched.functions)),
                    graph(
                        "Cost: Step Functions, transitions a second, of the whole account",
                        sfn.StateTransitionMetric.metric_consumed_capacity(),
                    ),
                    graph("Cost: DynamoDB, units", *units(storage.results)),
                    graph(
                        "Cost: captions, tokens",
                        watched.of_ours("CaptionInputTokens", "caption", label="in"),
                        watched.of_ours("CaptionOutputTokens", "caption", label="out"),
                        right=[watched.of_ours("CaptionsFailed", "caption", label="captions that failed")],
                    ),
                ],
            ],
        )
        if watched.announcements:
            dashboard.add_widgets(*of_announcements(watched, watched.announcements))
        if not watched.settings.local_cloud:  # its CloudFormation knows no saved queries
            every_log = [*(step.log_group for step in watched.functions), *machine_logs]
            saved(self, "WhatHappened", f"{stack}/what happened to this key", every_log, WHAT_HAPPENED)
            saved(self, "WhyRejected", f"{stack}/why were pictures rejected", [steps.validate.log_group], WHY_REJECTED)


def of_announcements(watched: Watched, announcements: Announcements) -> Iterator[cloudwatch.GraphWidget]:
    age = announcements.announce.function.metric("IteratorAge", statistic="Maximum", label="oldest, ms")
    yield graph("Events: how long rows wait to be told", age)
    if announcements.webhook:
        queue = announcements.webhook.queue
        yield graph(
            "Webhook: events that wait, and attempts that it did not take",
            queue.metric_approximate_number_of_messages_visible(statistic="Maximum", label="wait"),
            queue.metric_approximate_number_of_messages_not_visible(statistic="Maximum", label="wait to be sent again"),
            watched.of_ours("WebhookRefused", "notify", label="not taken"),
        )


def graph(title: str, *left: cloudwatch.IMetric, right: Sequence[cloudwatch.IMetric] = ()) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(left), right=list(right), width=WIDTH // 3)


def asked(title: str, query: Sequence[str], *log_groups: logs.ILogGroup) -> cloudwatch.LogQueryWidget:
    """A table of what the log groups answer."""
    names = [one.log_group_name for one in log_groups]
    return cloudwatch.LogQueryWidget(title=title, log_group_names=names, query_lines=list(query), width=WIDTH // 2)


def labelled(metrics: Iterable[cloudwatch.Metric], *labels: str) -> list[cloudwatch.Metric]:
    return [metric.with_(label=label) for metric, label in zip(metrics, labels, strict=True)]


def search(namespace: str, name: str, by: str, *, total: str | None = None) -> cloudwatch.MathExpression:
    """One line for each value of the dimension `by`, whichever there are; or their `total`, under that label."""
    where = namespace if namespace.isalnum() else f'"{namespace}"'
    found = f"SEARCH('{{{where},{by},service}} MetricName=\"{name}\"', 'Sum')"
    return cloudwatch.MathExpression(
        expression=f"SUM({found})" if total else found, label=total or f"${{PROP('Dim.{by}')}}", using_metrics={}
    )


def of(step: Step, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
    return step.function.metric(name, statistic=statistic, label=step.node.id)


def gigabyte_seconds(step: Step) -> cloudwatch.MathExpression:
    """What Lambda bills beside the requests."""
    function = step.function.node.default_child
    assert isinstance(function, lambda_.CfnFunction)
    milliseconds = f"{step.node.id.lower()}_milliseconds"  # an id is one graph's
    return cloudwatch.MathExpression(
        expression=f"{milliseconds} / 1000 * {function.memory_size} / 1024",
        label=step.node.id,
        using_metrics={milliseconds: of(step, "Duration")},
    )


def units(table: dynamodb.Table) -> Iterator[cloudwatch.Metric]:
    """The table's, and those of its indexes: a write of a row may write there too."""
    for name in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"):
        whole = {"TableName": table.table_name}
        indexes = {one: {**whole, "GlobalSecondaryIndexName": one} for one in ("by-status", "by-key")}
        for label, dimensions in {"table": whole, **indexes}.items():
            kind = name.removeprefix("Consumed").removesuffix("CapacityUnits").lower()
            yield cloudwatch.Metric(
                namespace="AWS/DynamoDB",
                metric_name=name,
                dimensions_map=dimensions,
                statistic="Sum",
                label=f"{kind}, {label}",
            )


def saved(scope: Construct, construct_id: str, name: str, of: Sequence[logs.ILogGroup], query: Sequence[str]) -> None:
    logs.CfnQueryDefinition(
        scope,
        construct_id,
        name=name,
        log_group_names=[one.log_group_name for one in of],
        query_string="\n| ".join(query),
    )
