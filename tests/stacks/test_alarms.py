"""The alarms: each reads what a person has to look at, says what to do, and reaches one topic."""

import re
from typing import Any

import pytest
from aws_cdk.assertions import Template

from tests.stacks.conftest import ROOT

EXECUTIONS = {f"AWS/States {name}" for name in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")}
UNDELIVERED = ("FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq")
WATCHED = {
    "FailedExecutions": EXECUTIONS,
    "DeadLetters": {"AWS/SQS ApproximateNumberOfMessagesVisible"},
    "StalledRows": {"Darkroom Stalled"},
    "ThrottledFunctions": {"AWS/Lambda Throttles"},
    "ThrottledExecutions": {"AWS/States ExecutionThrottled"},
    "RetriedEvents": {"AWS/Events RetryInvocationAttempts"},
    "LateEvents": {"AWS/Events IngestionToInvocationSuccessLatency"},
    "UndeliveredEvents": {f"AWS/Events {name}" for name in UNDELIVERED},
    "CleanupErrors": {"AWS/Lambda Errors"},
    "SweepErrors": {"AWS/Lambda Errors"},
}
OF_SETTINGS = {  # which come with one
    "FailedCaptions": {"Darkroom CaptionsFailed"},
    "AnnounceErrors": {"AWS/Lambda Errors"},
    "ApiErrors": {"AWS/ApiGateway 5xx"},
    "DeliverErrors": {"AWS/Lambda Errors"},
    "WebhookRefused": {"Darkroom WebhookRefused"},
}
EVERYTHING = {
    "captions": {"enabled": True},
    "events": {"enabled": True},
    "webhook": {"url": "https://example.com/"},
    "api": {"enabled": True},
    "delivery": {"enabled": True},
}


def alarms(template: Template) -> dict[str, list[dict[str, Any]]]:
    """Entry of the runbook → its alarms, one for each metric."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for name, one in template.find_resources("AWS::CloudWatch::Alarm").items():
        entries.setdefault(re.sub(r"^Alarms|[0-9]*[0-9A-F]{8}$", "", name), []).append(one["Properties"])
    return entries


def read(template: Template) -> dict[str, set[str]]:
    return {
        name: {f"{one['Namespace']} {one['MetricName']}" for one in several}
        for name, several in alarms(template).items()
    }


def test_each_alarm_reads_what_it_is_named_after_and_nothing_else(template: Template, synth):
    """So none fires for a rejection or a duplicate: those are no error of any of these."""
    assert read(template) == WATCHED
    assert read(synth(**EVERYTHING)) == {**WATCHED, **OF_SETTINGS}


@pytest.mark.parametrize(
    ("alarm", "kind", "dimension"),
    [
        ("FailedExecutions", "AWS::StepFunctions::StateMachine", "StateMachineArn"),
        ("ThrottledExecutions", "AWS::StepFunctions::StateMachine", "StateMachineArn"),
        ("ThrottledFunctions", "AWS::Lambda::Function", "FunctionName"),
        ("RetriedEvents", "AWS::Events::Rule", "RuleName"),
        ("UndeliveredEvents", "AWS::Events::Rule", "RuleName"),
    ],
)
def test_an_alarm_over_several_watches_all_of_them(synth, alarm, kind, dimension):
    """Every state machine, function and rule of the stack, a new one too. Who asks for a recaption or a backfill looks
    on."""
    template = synth(**{**EVERYTHING, "captions": {"enabled": False}})
    watched = [metric["Dimensions"][0]["Value"]["Ref"] for metric in alarms(template)[alarm]]
    there = {name for name in template.find_resources(kind) if not name.startswith("WorkflowBackfill")}
    assert set(watched) == there, dimension


def test_a_backfill_that_nobody_asked_for_is_watched(synth):
    """The scheduled one: whoever starts one looks on."""
    for days, expected in ((None, 0), (7, 2)):
        failed = alarms(synth(reconcile_days=days) if days else synth())["FailedExecutions"]
        watched = [one["Dimensions"][0]["Value"]["Ref"] for one in failed]
        assert sum(name.startswith("WorkflowBackfill") for name in watched) == expected


def test_events_are_late_by_the_time_to_their_delivery_and_by_rule(template: Template):
    """Of the rules that start an execution. The account's latency, or that to the first attempt, shows no overload."""
    late = alarms(template)["LateEvents"]
    rules = {metric["Dimensions"][0]["Value"]["Ref"] for metric in late}
    assert rules == {name for name in template.find_resources("AWS::Events::Rule") if name.startswith("Intake")}
    assert {(one["ExtendedStatistic"], one["Dimensions"][0]["Name"]) for one in late} == {("p95", "RuleName")}


def test_an_alarm_looks_back_as_far_as_its_cause_comes_again(template: Template):
    """A sweep that always fails stays an alarm from one run to the next; a letter is one after it waited a minute."""
    [rate] = [
        one["Properties"]["ScheduleExpression"]
        for one in template.find_resources("AWS::Events::Rule").values()
        if "ScheduleExpression" in one["Properties"]
    ]
    found = {
        name: {(one["Period"], one["EvaluationPeriods"], one["Threshold"]) for one in several}
        for name, several in alarms(template).items()
    }
    minutes = int(re.fullmatch(r"rate\((\d+) minutes\)", rate)[1])
    assert found["SweepErrors"] == found["StalledRows"] == {(minutes * 60, 1, 0)}
    assert found["DeadLetters"] == {(60, 2, 0)}
    for overload in ("ThrottledFunctions", "ThrottledExecutions", "RetriedEvents"):
        assert found[overload] == {(300, 2, 0)}
    assert found["LateEvents"] == {(300, 2, 60_000)}
    assert {name for name, looks in found.items() if looks == {(300, 1, 0)}} == {
        *("FailedExecutions", "UndeliveredEvents", "CleanupErrors"),
    }


def test_captions_that_fail_are_an_alarm_by_their_share(synth):
    """The mean of what Caption publishes of each, 0 or 1. Three periods of an hour's twelve must be above, so that one
    caption that fails, where few are made, fires nothing. Without captions there is no such alarm."""
    [alarm] = alarms(synth(captions={"enabled": True, "alarm_share": 0.35}))["FailedCaptions"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("Darkroom", "CaptionsFailed", "Average")
    assert alarm["Dimensions"] == [{"Name": "service", "Value": "caption"}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0.35, "GreaterThanThreshold")
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (300, 12, 3)
    assert "More than 35% of the captions fail" in alarm["AlarmDescription"]
    assert "FailedCaptions" not in alarms(synth())


def test_errors_of_the_api_are_an_alarm_where_there_is_one(synth):
    """Those that API Gateway counts as its own or the function's. Refusals of the function are seen as of any other."""
    there = alarms(synth(api={"enabled": True}))
    [alarm] = there["ApiErrors"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/ApiGateway", "5xx", "Sum")
    [http] = synth(api={"enabled": True}).find_resources("AWS::ApiGatewayV2::Api")
    assert (alarm["Dimensions"], alarm["Threshold"]) == ([{"Name": "ApiId", "Value": {"Ref": http}}], 0)
    assert len(there["ThrottledFunctions"]) == len(alarms(synth())["ThrottledFunctions"]) + 1


def test_every_alarm_says_what_to_do_and_has_an_entry_in_the_runbook(synth):
    """The description ends with the entry's place."""
    entries = set(re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE))
    there = alarms(synth(**EVERYTHING))
    assert entries == set(there) == {*WATCHED, *OF_SETTINGS}
    for name, several in there.items():
        assert all(one["AlarmDescription"].endswith(f". docs/runbook.md#{name.lower()}") for one in several)


def test_every_alarm_goes_to_the_one_topic_and_no_news_is_good_news(template: Template):
    """When it fires and when it clears; a pipeline at rest publishes nothing."""
    [topic] = template.find_resources("AWS::SNS::Topic")
    for alarm in template.find_resources("AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        assert properties["AlarmActions"] == properties["OKActions"] == [{"Ref": topic}]
        assert properties["TreatMissingData"] == "notBreaching"


def test_the_metric_of_stalled_rows_is_the_one_the_sweep_publishes(template: Template):
    """Its dimension is the service that Powertools puts there, by the sweep's environment."""
    [stalled] = alarms(template)["StalledRows"]
    [dimension] = stalled["Dimensions"]
    [sweep] = [
        one["Properties"]
        for one in template.find_resources("AWS::Lambda::Function").values()
        if one["Properties"]["Handler"] == "functions.sweep.handler"
    ]
    service = sweep["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert dimension == {"Name": "service", "Value": service}


def test_an_address_is_subscribed_when_one_is_set(synth):
    """By default nobody is."""
    synth().resource_count_is("AWS::SNS::Subscription", 0)
    address = {"Protocol": "email", "Endpoint": "ops@example.com"}
    synth(alarm_email="ops@example.com").has_resource_properties("AWS::SNS::Subscription", address)
