"""Who is told of rows: what neither local engine shows of it, and what the settings turn on."""

import json
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from functions.announce import TYPES
from stacks.announcements import BECAME_FINAL
from tests.stacks.conftest import Synth

EVENTS, WEBHOOK = {"events": {"enabled": True}}, {"webhook": {"url": "https://example.com/hook"}}
MAPPING = "AWS::Lambda::EventSourceMapping"


def variables(template: Template, name: str) -> dict[str, Any]:
    """The environment of a function."""
    [found] = template.find_resources(
        "AWS::Lambda::Function", {"Properties": {"Handler": f"functions.{name}.handler"}}
    ).values()
    return dict(found["Properties"]["Environment"]["Variables"])


def test_without_the_settings_there_is_nothing_of_it(template: Template):
    """No stream, no mapping, no secret, no function."""
    assert "StreamSpecification" not in json.dumps(template.to_json())
    for kind in (MAPPING, "AWS::SecretsManager::Secret"):
        template.resource_count_is(kind, 0)
    assert not {"AnnounceFunctionName", "WebhookSecretArn"} & template.find_outputs("*").keys()


@pytest.mark.parametrize(
    ("settings", "there"),
    [(EVENTS, {"EVENT_BUS"}), (WEBHOOK, {"WEBHOOK_QUEUE"}), (EVENTS | WEBHOOK, {"EVENT_BUS", "WEBHOOK_QUEUE"})],
    ids=["events", "webhook", "both"],
)
def test_each_setting_turns_on_its_own(synth: Synth, settings, there):
    """The event bus or the webhook alone; without the bus nobody may put events on it."""
    template = synth(**settings)
    assert variables(template, "announce").keys() & {"EVENT_BUS", "WEBHOOK_QUEUE"} == there
    assert ("events:PutEvents" in json.dumps(template.to_json())) == ("EVENT_BUS" in there)
    template.resource_count_is("AWS::SecretsManager::Secret", int("WEBHOOK_QUEUE" in there))


def test_a_stream_is_added_to_the_table_and_does_not_replace_it(synth: Synth):
    """Its logical id and key stay: CloudFormation updates it in place. The stream has each row as it was, too."""
    [(before, old)], [(after, new)] = (
        [
            (name, one["Properties"])
            for name, one in synth(**settings).find_resources("AWS::DynamoDB::Table").items()
            if name.startswith("StorageResults")
        ]
        for settings in ({}, EVENTS)
    )
    assert before == after
    assert new == {**old, "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"}}


def test_changes_that_cannot_be_told_become_a_letter(synth: Synth):
    """The one that the function dies of is found by halves; what is left of it is a letter. Nothing is skipped when
    the mapping is made."""
    [queue] = [
        name for name in synth(**EVENTS).find_resources("AWS::SQS::Queue") if name.startswith("StorageDeadLetters")
    ]
    synth(**EVENTS).has_resource_properties(
        MAPPING,
        {
            "StartingPosition": "TRIM_HORIZON",
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 20,
            "MaximumRecordAgeInSeconds": 6 * 3600,
            "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}},
        },
    )


def test_the_filter_lets_every_end_pass_and_no_row_at_work():
    """Each status that is told, and no other."""
    passed = [status for pattern in BECAME_FINAL for status in pattern["NewImage"]["status"]["S"]]
    assert sorted(passed) == sorted(TYPES)


def test_what_the_webhook_does_not_take_becomes_a_letter(synth: Synth):
    """After twenty attempts; one at a time, so that none waits for the answer to another."""
    template = synth(**WEBHOOK)
    letters = {"deadLetterTargetArn": {"Fn::GetAtt": [Match.any_value(), "Arn"]}, "maxReceiveCount": 20}
    template.has_resource_properties("AWS::SQS::Queue", {"RedrivePolicy": letters})
    template.has_resource_properties(
        MAPPING,
        {
            "BatchSize": 1,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": 10},
        },
    )


def test_the_secret_is_in_no_template_and_no_environment(synth: Synth):
    """AWS makes it; the function is told its ARN."""
    template = synth(**WEBHOOK)
    [(name, secret)] = template.find_resources("AWS::SecretsManager::Secret").items()
    assert "SecretString" not in secret["Properties"]
    assert "resolve:secretsmanager" not in json.dumps(template.to_json())
    assert variables(template, "notify")["WEBHOOK_SECRET"] == {"Ref": name}
