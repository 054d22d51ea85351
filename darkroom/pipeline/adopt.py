"""Make a bucket that was there before the stack tell EventBridge of its uploads; all else in it stays as it is."""

import json
from dataclasses import dataclass
from typing import Any

from darkroom.errors import REFUSED, TargetError
from darkroom.pipeline import buckets
from darkroom.pipeline.target import Target


@dataclass(frozen=True)
class Adoption:
    """The bucket's notification configuration, as it is and as it is to be."""

    bucket: str
    owner: str  # the account
    before: dict[str, Any]

    @property
    def after(self) -> dict[str, Any]:
        return {**self.before, "EventBridgeConfiguration": {}}

    @property
    def is_done(self) -> bool:
        return buckets.tells_eventbridge(self.before)


def plan(target: Target, bucket: str) -> Adoption:
    """Changes nothing. Raises TargetError for a bucket that is not there, not the account's, or in another region."""
    owner = target.client("sts").get_caller_identity()["Account"]
    try:
        region = buckets.region(target.s3, bucket)
        before = buckets.notifications(target.s3, bucket, ExpectedBucketOwner=owner)
    except target.s3.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchBucket":
            raise TargetError(f"there is no bucket {bucket} in {target.name}") from None
        if code in REFUSED:
            lacking = "s3:GetBucketLocation and s3:GetBucketNotification"
            raise TargetError(f"{bucket} is not of account {owner}, or you lack {lacking} on it") from None
        raise
    if region != (here := target.session.region_name):
        raise TargetError(f"{bucket} is in {region}, and its events stay there: deploy the stack there, not in {here}")
    return Adoption(bucket, owner, before)


def carry_out(target: Target, adoption: Adoption) -> None:
    """Raises TargetError if somebody changed the configuration since it was planned, which S3 itself does not notice,
    or if S3 did not take it as it was written."""
    bucket = adoption.bucket
    if _now(target, adoption) != _unordered(adoption.before):
        raise TargetError(f"the notifications of {bucket} were changed meanwhile: nothing was written, begin again")
    target.s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration=adoption.after,  # type: ignore[arg-type]
        ExpectedBucketOwner=adoption.owner,
        SkipDestinationValidation=True,  # or S3 would refuse it for a queue of theirs that is gone by now
    )
    if _now(target, adoption) != _unordered(adoption.after):
        raise TargetError(f"the notifications of {bucket} are not as they were written: look at them in the S3 console")


def _now(target: Target, adoption: Adoption) -> Any:
    return _unordered(buckets.notifications(target.s3, adoption.bucket, ExpectedBucketOwner=adoption.owner))


def _unordered(part: Any) -> Any:
    """To be compared: S3 promises no order of its lists."""
    if isinstance(part, dict):
        return {name: _unordered(one) for name, one in part.items()}
    if isinstance(part, list):
        return sorted(map(_unordered, part), key=lambda one: json.dumps(one, sort_keys=True))
    return part
