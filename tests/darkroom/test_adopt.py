"""`darkroom adopt` turns on one thing of a bucket, and leaves all else of its notifications as it is."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from darkroom.errors import TargetError
from darkroom.pipeline import adopt, buckets
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import create_bucket, darkroom

BUCKET = "my-photos"


@pytest.fixture
def theirs(target: Target) -> dict[str, Any]:
    """The notifications of a bucket that another program lives by."""
    create_bucket(target, BUCKET)
    queue = "arn:aws:sqs:eu-central-1:123456789012:thumbnails"
    target.sqs.create_queue(QueueName="thumbnails")
    rules: Any = [{"Name": "prefix", "Value": "in/"}]
    told: Any = {
        "QueueConfigurations": [
            {
                "Id": "old",
                "QueueArn": queue,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": rules}},
            }
        ]
    }
    target.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=told)
    return buckets.notifications(target.s3, BUCKET)


def test_what_was_there_stays_and_eventbridge_is_told_too(target: Target, theirs: dict[str, Any]):
    """The difference is one line more, and is shown."""
    result = darkroom("--aws", "adopt", BUCKET, "--yes")
    assert result.exit_code == 0, result.stderr
    assert buckets.notifications(target.s3, BUCKET) == {**theirs, "EventBridgeConfiguration": {}}
    changed = [line for line in result.stdout.splitlines() if line.startswith(("+", "-"))]
    assert changed == ['+   "EventBridgeConfiguration": {},']
    assert "thumbnails" in result.stdout


@pytest.mark.usefixtures("theirs")
def test_a_second_time_there_is_nothing_to_change(target: Target):
    """It asks nothing then, and writes nothing."""
    adopt.carry_out(target, adopt.plan(target, BUCKET))
    result = darkroom("--aws", "adopt", BUCKET)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to change" in result.stderr


def test_without_a_yes_nothing_is_changed(target: Target, theirs: dict[str, Any]):
    """A script that forgets `--yes` has no answer to give."""
    result = darkroom("--aws", "adopt", BUCKET)
    assert result.exit_code == 1
    assert "Change the notifications of my-photos like this?" in result.stderr
    assert buckets.notifications(target.s3, BUCKET) == theirs


def test_what_somebody_changed_meanwhile_is_not_overwritten(target: Target, theirs: dict[str, Any]):
    """S3 takes the whole configuration, whatever it was before."""
    planned = adopt.plan(target, BUCKET)
    target.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})
    with pytest.raises(TargetError, match="changed meanwhile"):
        adopt.carry_out(target, planned)
    assert buckets.notifications(target.s3, BUCKET) == {}
    assert theirs


def test_the_order_in_which_s3_lists_them_is_no_change(theirs: dict[str, Any], target: Target):
    """Of the events of one, and of several."""
    [one] = theirs["QueueConfigurations"]
    one = {**one, "Events": ["s3:ObjectCreated:Put", "s3:ObjectCreated:Post"]}
    several: Any = {"QueueConfigurations": [one, {**one, "Id": "new", "Events": ["s3:ObjectRemoved:*"]}]}
    target.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=several)
    planned = adopt.plan(target, BUCKET)
    planned.before["QueueConfigurations"].reverse()
    planned.before["QueueConfigurations"][0]["Events"].reverse()
    adopt.carry_out(target, planned)
    assert adopt.plan(target, BUCKET).is_done


def test_a_bucket_of_another_account_is_refused(target: Target, monkeypatch: pytest.MonkeyPatch):
    """S3 says no more than that; so it does to somebody who lacks a grant."""

    def refuse(*_: object, **owner: str) -> None:
        assert owner == {"ExpectedBucketOwner": "123456789012"}
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "GetBucketNotification")

    monkeypatch.setattr(buckets, "notifications", refuse)
    with pytest.raises(TargetError, match=r"uploads is not of account 123456789012, or you lack s3:GetBucketLocation"):
        adopt.plan(target, "uploads")


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_that_is_not_there_and_one_of_another_region_are_named(target: Target, region: str):
    """Events of a bucket come to its own region, and no stack elsewhere hears them."""
    with pytest.raises(TargetError, match="there is no bucket nowhere in a cloud for tests"):
        adopt.plan(target, "nowhere")
    create_bucket(target, "far", region)
    with pytest.raises(TargetError, match=rf"far is in {region}, and its events stay there: .* not in eu-central-1"):
        adopt.plan(target, "far")
