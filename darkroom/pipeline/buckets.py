"""What is set on a bucket, as far as the pipeline depends on it."""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EVERYWHERE = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def region(s3: "S3Client", bucket: str) -> str:
    """Where it is: S3 has old names for two regions.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
    """
    place = s3.get_bucket_location(Bucket=bucket).get("LocationConstraint")
    return {None: "us-east-1", "EU": "eu-west-1"}.get(place, str(place))


def notifications(s3: "S3Client", bucket: str, **owner: str) -> dict[str, Any]:
    """Its notification configuration, as it is written back."""
    found: dict[str, Any] = dict(s3.get_bucket_notification_configuration(Bucket=bucket, **owner))
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def tells_eventbridge(configuration: dict[str, Any]) -> bool:
    return "EventBridgeConfiguration" in configuration


def key(s3: "S3Client", bucket: str) -> str | None:
    """The KMS key of which it makes new objects, as it is named there; None for S3's own keys, and for AWS's KMS key,
    which whoever may read the objects may use."""
    found = _or_none(s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError", bucket)
    rules = found["ServerSideEncryptionConfiguration"]["Rules"] if found else []
    defaults = [one.get("ApplyServerSideEncryptionByDefault", {}) for one in rules]
    named = next((one["KMSMasterKeyID"] for one in defaults if "KMSMasterKeyID" in one), None)
    return None if named is None or named.endswith("alias/aws/s3") else str(named)


def weaknesses(s3: "S3Client", bucket: str) -> list[str]:
    """In words, what is set otherwise than a bucket of originals should have it."""
    found = []
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        found.append("it keeps no versions, so that nothing that is overwritten or deleted can be brought back")
    blocks = _or_none(s3.get_public_access_block, "NoSuchPublicAccessBlockConfiguration", bucket)
    if not blocks or not all(blocks["PublicAccessBlockConfiguration"].get(one) for one in EVERYWHERE):
        found.append("it does not block public access")
    controls = _or_none(s3.get_bucket_ownership_controls, "OwnershipControlsNotFoundError", bucket)
    rules = controls["OwnershipControls"]["Rules"] if controls else []
    if [one["ObjectOwnership"] for one in rules] != ["BucketOwnerEnforced"]:
        found.append("it takes ACLs, so that an object may belong to another account")
    return found


def _or_none(call: Any, code: str, bucket: str) -> Any:
    """What S3 answers; None for the error by which it says that nothing is set."""
    try:
        return call(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise
        return None
