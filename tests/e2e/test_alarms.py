"""Each alarm of the deployed stack fires, tells the topic, and clears again; what is only an answer makes none fire.

In a cloud of its own: the local cloud evaluates an alarm by its metric's name alone, whichever function, rule or state
machine the metric is of, so that another test's failing function would fire an alarm here. It evaluates alarms when a
metric is put, and at no other time.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.cost import ALARMS
from darkroom.local.pictures import photo
from tests.e2e.conftest import SCHEDULED, Deployed, FunctionRole, eventually, own_cloud

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"

ADDRESS = "operator@example.com"
SERVES = "darkroom console"  # until it is stopped: test_console.py
NOT_BROKEN = {
    "announceerrors",
    "delivererrors",
}  # fire all the same: the metric of any function has their metric's name
CLEANUP = {"source": {"key": "raw/words.jpg"}, "execution": "by hand"}


class Afterwards(NamedTuple):
    """What the topic was told, and by function how many calls and errors were published."""

    told: list[dict[str, Any]]
    calls: dict[str, float]
    errors: dict[str, float]


class Watch:
    """The alarms of the stack, and what they tell the topic."""

    def __init__(self, deployed: Deployed) -> None:
        self._cloudwatch = deployed.client("cloudwatch")
        self._sqs = deployed.aws.sqs
        [self.topic] = [one["TopicArn"] for one in deployed.client("sns").list_topics()["Topics"]]
        self._queue = self._sqs.create_queue(QueueName="operator")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        may_send = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [{**may_send, "Resource": attributes["QueueArn"]}]}
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": json.dumps(policy)})
        deployed.client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=attributes["QueueArn"])

    def alarms(self) -> list[dict[str, Any]]:
        return self._cloudwatch.get_paginator("describe_alarms").paginate().build_full_result()["MetricAlarms"]

    def states(self) -> dict[str, str]:
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in self.alarms()}

    def put(self, alarm: dict[str, Any], value: float, at: datetime) -> None:
        """The very metric that the alarm watches."""
        datum = {"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"], "Value": value, "Timestamp": at}
        self._cloudwatch.put_metric_data(Namespace=alarm["Namespace"], MetricData=[datum])

    def look(self) -> None:
        """Let the local cloud evaluate what it published itself."""
        self._cloudwatch.put_metric_data(Namespace="Nobody", MetricData=[{"MetricName": "Nothing", "Value": 0}])

    def told(self) -> list[dict[str, Any]]:
        """What the topic has sent since the last time."""
        messages = []
        while received := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for one in received:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=one["ReceiptHandle"])
                messages.append(json.loads(json.loads(one["Body"])["Message"]))
        return messages

    def sum(self, metric: str, function: str) -> float:
        """Of the last minutes, as the local cloud published it of that function."""
        now = datetime.now(UTC)
        found = self._cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=["Sum"],
        )
        return sum(point["Sum"] for point in found["Datapoints"])


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with own_cloud(tmp_path_factory.mktemp("watched"), {"alarm_email": ADDRESS}) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def watch(deployed: Deployed) -> Watch:
    return Watch(deployed)


@pytest.fixture(scope="module")
def after_answers(deployed: Deployed, watch: Watch) -> Afterwards:
    """After a rejection, a caption that failed, a duplicate, and a sweep that found nothing.

    Validate and Caption are also called directly: the local cloud publishes their metrics only then."""
    words = deployed.picture("raw/words.jpg", b"only words")
    assert words["status"] == "REJECTED"
    assert '"accepted": false' in deployed.call("validate", request(deployed, words))
    with FunctionRole(deployed, "caption").without("bedrock:Converse"):
        row = deployed.picture("raw/photo.jpg", photo(300, 200))
        assert '"status": "FAILED"' in deployed.call("caption", request(deployed, row))
    assert row["caption"]["status"] == "FAILED"
    again = deployed.run(json.loads(deployed.execution(row["execution"])["input"]))
    assert json.loads(again["output"])["status"] == "Duplicate"
    assert deployed.sweep() == {}
    watch.look()
    functions = {step: deployed.function(step)["FunctionName"] for step in ("validate", "caption", "sweep")}
    counts = [
        {step: watch.sum(metric, name) for step, name in functions.items()} for metric in ("Invocations", "Errors")
    ]
    return Afterwards(watch.told(), *counts)


@pytest.fixture(scope="module")
def by_metric(after_answers: Afterwards, watch: Watch) -> dict[str, list[dict[str, Any]]]:
    """Alarm → what the topic was told of it, while its metric was put: one too many, as old as the alarm looks back
    less a moment, and then none. What is summed up is taken back: to an alarm that looks back farther than another of
    the same name it would not be over in time."""
    del after_answers  # which must come first
    alarms = watch.alarms()
    lasts = 5  # seconds
    put = []
    for alarm in alarms:
        at = datetime.now(UTC) - timedelta(seconds=alarm["Period"] * alarm["EvaluationPeriods"] - lasts)
        watch.put(alarm, alarm["Threshold"] + 1, at)
        put.append((alarm, at))
    fired = watch.told()
    for alarm, at in put:
        if alarm.get("Statistic") == "Sum":
            watch.put(alarm, -alarm["Threshold"] - 1, at)

    def cleared() -> bool:
        for metric in {(alarm["Namespace"], alarm["MetricName"]): alarm for alarm in alarms}.values():
            watch.put(metric, 0, datetime.now(UTC))
        return set(watch.states().values()) == {"OK"}

    eventually(cleared, "the end of all alarms")
    told = [*fired, *watch.told()]
    return {alarm["AlarmName"]: [one for one in told if one["AlarmName"] == alarm["AlarmName"]] for alarm in alarms}


@pytest.fixture(scope="module")
def by_cause(by_metric: dict[str, Any], deployed: Deployed, watch: Watch) -> set[str]:
    """The entries of the runbook that the topic was told of after Cleanup and Sweep failed and Resize was refused."""
    del by_metric
    functions = deployed.client("lambda")
    for step, needs, event in (("cleanup", "s3:ListBucket", CLEANUP), ("sweep", "dynamodb:Query", SCHEDULED)):
        with FunctionRole(deployed, step).without(needs):
            is_denied(deployed, step, event)
    resize = deployed.function("resize")["FunctionName"]
    functions.put_function_concurrency(FunctionName=resize, ReservedConcurrentExecutions=0)
    with pytest.raises(functions.exceptions.TooManyRequestsException):
        functions.invoke(FunctionName=resize, Payload="{}")
    functions.delete_function_concurrency(FunctionName=resize)
    watch.look()
    return {entry(one) for one in watch.told() if one["NewStateValue"] == "ALARM"}


@pytest.fixture(scope="module")
def ran(by_cause: set[str], deployed: Deployed) -> dict[str, subprocess.CompletedProcess[str]]:
    """Each command of the runbook that comes to an end, the cures last, with a picture that really failed for KEY."""
    del by_cause
    with FunctionRole(deployed, "resize").without("s3:PutObject"):
        assert deployed.picture("raw/failed.jpg", photo(30, 20))["status"] == "FAILED"
    eventually(deployed.letters, "the dead letter")
    environment = {
        **deployed.cloud.environment(),
        "DARKROOM_HOME": str(deployed.cloud.home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    commands = set(re.findall(r"`((?:darkroom|aws) [a-z-]+[^`…]*)`", RUNBOOK.read_text())) - {SERVES}
    return {
        command: subprocess.run(
            command.replace("KEY", "failed.jpg"),
            shell=True,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for command in sorted(commands, key=is_the_cure)
    }


def is_the_cure(command: str) -> bool:
    return command.startswith("darkroom redrive") and "--dry-run" not in command


def request(deployed: Deployed, row: dict[str, Any]) -> dict[str, Any]:
    """What the state machine asks of a function about that picture."""
    object_version = {name: row[name] for name in ("key", "version_id", "etag")}
    return {"source": {"bucket": deployed.aws.output("UploadsBucketName"), **object_version}, "execution": "by hand"}


def is_denied(deployed: Deployed, step: str, event: dict[str, Any]) -> None:
    """In the function's answer, or in its log where the answer only counts what went wrong."""
    answer = deployed.call(step, event)
    eventually(lambda: "AccessDenied" in answer + "".join(deployed.log_lines(step)), "the denial")


def entry(told: dict[str, Any]) -> str:
    """Of the runbook, which the alarm's description ends with."""
    return told["AlarmDescription"].rpartition("docs/runbook.md#")[2]


def test_an_answer_makes_no_alarm_fire(after_answers: Afterwards):
    """A rejection, a caption that failed, a duplicate, a sweep that found nothing: calls, and none of them an error."""
    assert all(after_answers.calls.values())
    assert set(after_answers.errors.values()) == {0}
    assert [one["AlarmName"] for one in after_answers.told if one["NewStateValue"] == "ALARM"] == []


def test_every_alarm_fires_and_clears_and_tells_the_topic_of_both(by_metric: dict[str, list[dict[str, Any]]]):
    """By its metric: with the namespace, name and dimensions of the alarm itself."""
    assert len(by_metric) == ALARMS + 1 + 4 * 2  # captions have one; API, delivery, events and webhook have two each
    heard = {name: [one["NewStateValue"] for one in told] for name, told in by_metric.items()}
    assert heard == {name: ["ALARM", "OK"] for name in by_metric}


def test_what_an_alarm_watches_is_there(by_metric: dict[str, Any], deployed: Deployed, watch: Watch):
    """Its dimension names a function, rule, queue or state machine of the deployed stack."""
    del by_metric
    resources = deployed.aws.stacks.get_paginator("list_stack_resources").paginate(StackName="Darkroom")
    there = {one["PhysicalResourceId"] for page in resources for one in page["StackResourceSummaries"]}
    names = {name.rpartition("/")[2] for name in there} | there
    for alarm in watch.alarms():
        [dimension] = alarm["Dimensions"]
        assert dimension["Name"] == "service" or dimension["Value"] in names, alarm["AlarmName"]


@pytest.mark.parametrize(
    ("alarm", "metric", "step"),
    [
        ("CleanupErrors", "Errors", "cleanup"),
        ("SweepErrors", "Errors", "sweep"),
        ("ThrottledFunctions", "Throttles", "resize"),
    ],
)
def test_a_function_that_fails_or_is_refused_fires_its_alarm(
    by_cause: set[str], deployed: Deployed, watch: Watch, alarm, metric, step
):
    """By its cause: the local cloud publishes these metrics itself."""
    assert watch.sum(metric, deployed.function(step)["FunctionName"]) > 0
    assert alarm.lower() in by_cause


def test_every_command_of_the_runbook_runs(ran: dict[str, subprocess.CompletedProcess[str]], deployed: Deployed):
    """And finds the failed execution, its letter and its row; after `redrive` the picture has succeeded."""
    assert {command: one.stderr for command, one in ran.items() if one.returncode} == {}
    for command in ("executions --limit 20", "inspect KEY", "results --status FAILED", "redrive --dry-run"):
        assert "raw/failed.jpg" in ran[f"darkroom {command}"].stdout, command
    rules = json.loads(ran['aws events list-rules --query "Rules[].[Name, State]"'].stdout)
    assert sorted(state for _, state in rules) == ["DISABLED", *["ENABLED"] * 3], "the tests switch the schedule off"
    eventually(lambda: deployed.row("raw/failed.jpg")["status"] == "SUCCEEDED", "the success of the redrive")


def test_the_runbook_says_of_each_alarm_what_was_tried(by_metric: dict[str, Any], by_cause: set[str]):
    """By its metric all of them, by its cause those of functions."""
    entries = re.findall(r"^## (\w+)$.*?^- \*\*Tried\*\*: (.*?)$", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    assert {name for name, _ in entries} == {
        re.sub(r"^Darkroom-Alarms|\d*[0-9A-F]{8}-.*$", "", one) for one in by_metric
    }
    assert all("by its metric" in tried for _, tried in entries)
    assert {name.lower() for name, tried in entries if "by its cause" in tried} == by_cause - NOT_BROKEN


def test_an_address_is_subscribed_to_the_topic(deployed: Deployed, watch: Watch):
    """The setting `alarm_email`, through the real deployment."""
    found = deployed.client("sns").list_subscriptions_by_topic(TopicArn=watch.topic)["Subscriptions"]
    assert ADDRESS in [one["Endpoint"] for one in found if one["Protocol"] == "email"]
