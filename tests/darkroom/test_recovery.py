"""What is taken up again after the local cloud ended. With a real cloud that is killed: `tests/e2e/test_killed.py`."""

from datetime import UTC, datetime, timedelta

from darkroom.local import recovery
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import Stacks


def test_what_was_in_a_bucket_before_its_stack_is_not_taken_up(account: Stacks, target: Target):
    """No event was ever due for it. An upload without a row lost its event."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    target.s3.put_object(Bucket="uploads", Key="raw/photo.jpg", Body=b"x")
    account.created = now + hour
    assert list(recovery._events(target, since=now + hour)) == []
    del target._described
    account.created = now - hour
    assert list(recovery._events(target, since=now + hour)) == ["raw/photo.jpg"]


def test_a_row_without_an_etag_is_of_an_upload_that_is_taken_up_again(account: Stacks, target: Target):
    """A withdrawal was the last that wrote it: the version that is the newest now has no execution yet."""
    target.s3.put_object(Bucket="uploads", Key="raw/photo.jpg", Body=b"x")
    row = {"key": "raw/photo.jpg", "status": "FAILED", "updated_at": "2020-01-01T00:00:00.000Z", "execution": "arn"}
    target.results.put_item(Item=row)
    account.created = datetime(2020, 1, 1, tzinfo=UTC)
    assert list(recovery._events(target, since=datetime.now(UTC) + timedelta(hours=1))) == ["raw/photo.jpg"]
