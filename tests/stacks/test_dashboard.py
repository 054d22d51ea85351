"""The dashboard and the saved queries name only what exists: metrics, dimensions, log groups, fields."""

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from aws_cdk.assertions import Template

from benchmarks.cost import ALARMS
from tests.stacks.conftest import ROOT, Synth

# What AWS publishes, of the metrics shown, and by which dimensions:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
OF_AWS = {
    ("AWS/Lambda", "FunctionName"): {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"}
    | {"IteratorAge"},
    ("AWS/States", "StateMachineArn"): {
        *("ExecutionTime", "ExecutionsStarted", "ExecutionsSucceeded"),
        *("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionThrottled"),
    },
    ("AWS/States", "ServiceMetric"): {"ConsumedCapacity", "ProvisionedBucketSize", "ThrottledEvents"},
    ("AWS/SQS", "QueueName"): {
        *("ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"),
        "ApproximateAgeOfOldestMessage",
    },
    ("AWS/Events", "RuleName"): {
        *("Invocations", "FailedInvocations", "TriggeredRules"),
        *("RetryInvocationAttempts", "IngestionToInvocationSuccessLatency"),
        *("InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq"),
    },
    ("AWS/DynamoDB", "TableName"): {"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"},
    ("AWS/DynamoDB", "GlobalSecondaryIndexName", "TableName"): {
        *("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"),
    },
}
# Those of an execution's events that the queries name and that a state machine logs at the level ERROR:
# https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html
ERRORS = {
    *("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"),
    *("TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"),
}
KINDS = {
    "FunctionName": "AWS::Lambda::Function",
    "StateMachineArn": "AWS::StepFunctions::StateMachine",
    "QueueName": "AWS::SQS::Queue",
    "RuleName": "AWS::Events::Rule",
    "TableName": "AWS::DynamoDB::Table",
}


OF_EVENTS = 4  # alarms, with the webhook's


@pytest.fixture(params=[{}, {"events": {"enabled": True}, "webhook": {"url": "https://example.com/"}}], ids=str)
def template(synth: Synth, request: pytest.FixtureRequest) -> Template:
    """As it comes, and with all that has functions of its own."""
    return synth(**request.param)


def text(value: Any) -> str:
    """A string of the template, with `<LogicalId>` for what is known at deployment only."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(text(part) for part in value["Fn::Join"][1])
    return f"<{value['Ref'] if 'Ref' in value else value['Fn::GetAtt'][0]}>"


def widgets(template: Template) -> list[dict[str, Any]]:
    [dashboard] = template.find_resources("AWS::CloudWatch::Dashboard").values()
    return [widget["properties"] for widget in json.loads(text(dashboard["Properties"]["DashboardBody"]))["widgets"]]


def metrics(template: Template) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of each line, and of each search with `*` for every value."""
    for widget in widgets(template):
        for line in widget.get("metrics", []):
            metric = [part for part in line if isinstance(part, str)]  # the rest is how it is drawn
            if metric:
                namespace, name, *dimensions = metric
                yield namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True))
            for found in re.findall(r"SEARCH\('\{(.*?)\} MetricName=\\\"(\w+)\\\"'", json.dumps(line)):
                namespace, *names = found[0].split(",")
                yield namespace, found[1], dict.fromkeys(names, "*")


def published(step: str) -> set[str]:
    """The names of what the functions publish, of one step or, with `*`, of all."""
    found = (file.read_text() for file in (ROOT / "functions").glob(f"{step}.py"))
    return {name for code in found for name in re.findall(r'(?:add_metric|single_metric)\("(\w+)"', code)}


def test_every_metric_shown_is_one_that_aws_or_a_function_publishes(template: Template):
    """By its dimensions too: a metric is found by all of them or not at all."""
    shown = list(metrics(template))
    assert len(shown) > 30
    for namespace, name, dimensions in shown:
        if namespace == "Darkroom":
            assert name in published(dimensions["service"]), name
        else:
            assert name in OF_AWS[namespace, *sorted(dimensions)], name


def test_every_dimension_names_a_resource_of_the_stack(template: Template):
    for _, name, dimensions in metrics(template):
        for kind, value in dimensions.items():
            if kind in KINDS:
                assert value.strip("<>") in template.find_resources(KINDS[kind]), name
    [table] = [one for name, one in template.find_resources("AWS::DynamoDB::Table").items() if "Results" in name]
    shown = {dimensions.get("GlobalSecondaryIndexName") for _, _, dimensions in metrics(template)} - {None}
    assert shown == {index["IndexName"] for index in table["Properties"]["GlobalSecondaryIndexes"]}


def test_every_function_is_shown_with_its_errors_its_refusals_and_its_cost(template: Template):
    """A new one too, and its cost with the memory that it has."""
    functions = template.find_resources("AWS::Lambda::Function")
    for name in ("Errors", "Throttles", "Duration"):
        shown = {dimensions["FunctionName"].strip("<>") for _, one, dimensions in metrics(template) if one == name}
        assert shown == set(functions)
    [cost] = [widget for widget in widgets(template) if widget["title"] == "Cost: Lambda, GB-seconds"]
    multiplied = [int(found) for found in re.findall(r"1000 \* (\d+) / 1024", json.dumps(cost))]
    assert sorted(multiplied) == sorted(function["Properties"]["MemorySize"] for function in functions.values())


def test_everything_an_alarm_watches_is_drawn(template: Template):
    """Who is told of one finds it on the dashboard, a new one too."""
    watched = {
        (one["Namespace"], one["MetricName"], *(text(part["Value"]).strip("<>") for part in one["Dimensions"]))
        for one in (alarm["Properties"] for alarm in template.find_resources("AWS::CloudWatch::Alarm").values())
    }
    shown = {
        (namespace, name, *(value.strip("<>") for value in dimensions.values()))
        for namespace, name, dimensions in metrics(template)
    }
    assert len(watched) == ALARMS + (OF_EVENTS if template.find_outputs("WebhookSecretArn") else 0)
    assert watched <= shown


def queries(template: Template) -> dict[str, tuple[list[str], str]]:
    """Title or name → log groups and query: those saved and those shown on the dashboard."""
    found = {
        one["Properties"]["Name"]: (one["Properties"]["LogGroupNames"], one["Properties"]["QueryString"])
        for one in template.find_resources("AWS::Logs::QueryDefinition").values()
    }
    saved = {name: ([text(group) for group in groups], query) for name, (groups, query) in found.items()}
    shown = [(widget["title"], widget["query"]) for widget in widgets(template) if "query" in widget]
    return saved | {title: (re.findall("SOURCE '(.*?)'", query), query) for title, query in shown}


def test_the_two_questions_of_an_operator_are_saved(template: Template):
    """The one about a key asks every log there is, the one about rejections that of the step that rejects."""
    asked = {name: groups for name, (groups, _) in queries(template).items() if name.startswith("Darkroom/")}
    every = [f"<{name}>" for name in template.find_resources("AWS::Logs::LogGroup")]
    [validates] = [name for name in every if "Validate" in name]
    assert sorted(asked.pop("Darkroom/what happened to this key")) == sorted(every)
    assert asked == {"Darkroom/why were pictures rejected": [validates]}


def test_what_failed_is_asked_of_every_state_machine(template: Template):
    """A deletion's too."""
    asked = [groups for title, (groups, _) in queries(template).items() if not title.startswith("Darkroom/")]
    machines = {name for name in template.find_resources("AWS::Logs::LogGroup") if name.startswith("Workflow")}
    assert [{one.strip("<>") for one in groups} for groups in asked] == [machines, machines]


def test_a_query_of_a_state_machine_names_events_and_members_that_step_functions_has(template: Template):
    """By the AWS SDK's own description of an execution's events, of which the log holds those of an error."""
    model = boto3.client("stepfunctions", region_name="eu-west-1").meta.service_model
    event = model.shape_for("HistoryEvent").members
    named = [(query, re.findall(r'"((?:Task|Execution)\w+)"', query)) for _, query in queries(template).values()]
    assert sum(bool(types) for _, types in named) == 2
    for query, types in named:
        assert set(types) <= ERRORS <= set(event["type"].enum)
        members = [set(event[f"{one[0].lower()}{one[1:]}EventDetails"].members) for one in types]
        for member in re.findall(r"details\.(\w+)", query) if types else []:
            assert all(member in one for one in members), member


def test_the_local_cloud_is_spared_the_saved_queries(synth):
    """Its CloudFormation does not know them, and would roll the whole stack back."""
    synth(local_cloud="true").resource_count_is("AWS::Logs::QueryDefinition", 0)
    synth().resource_count_is("AWS::Logs::QueryDefinition", 2)
