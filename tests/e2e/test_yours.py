"""What is yours: the setting `kms_key`, and beside that stack another one with `uploads_bucket`, in one local cloud.

The key is one of the local cloud's, which encrypts nothing with it. The bucket was there before, and keeps no versions.
The first stack has the decoders of all settings too, in the layer that the tests of pictures build.
"""

import importlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from benchmarks import optional
from darkroom.local.cloud import ACCOUNT, REGION
from darkroom.local.deploy import deploy
from darkroom.local.pictures import encoded, landscape, photo
from functions.imaging.formats import OPTIONAL
from tests.e2e.conftest import Deployed, FunctionRole, eventually, started_cloud
from tests.e2e.permissions import ROLES, Stack, denials, expected_denials
from tests.functions.imaging.test_render import difference
from tests.receiver import Receiver, receiver

POLICY = Path(__file__).resolve().parents[2] / "docs" / "key-policy.json"


class Encrypted(NamedTuple):
    deployed: Deployed
    key: str
    hook: Receiver


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """A cloud of its own, with a key that has the policy which docs/access.md asks for, and the stack that uses it."""
    with receiver() as hook, started_cloud(tmp_path_factory.mktemp("encrypted")) as deployed:
        policy = POLICY.read_text().replace("ACCOUNT", ACCOUNT).replace("REGION", REGION)
        key = deployed.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
        ours = {"kms_key": key, "captions.enabled": "true", "webhook.url": hook.url}
        deploy(deployed.cloud, {**ours, **dict.fromkeys(OPTIONAL, "true")})
        yield Encrypted(deployed, key, hook)


@pytest.fixture(scope="module")
def deployed(encrypted: Encrypted) -> Deployed:
    """In place of the one that other files share."""
    return encrypted.deployed


def test_a_picture_goes_its_way_with_a_key_of_ones_own(encrypted: Encrypted):
    """Row, renditions and caption; letters and logs name the key. The local CloudFormation passes over the encryption
    of buckets and of a new table: that is asserted in the template."""
    deployed, key, _ = encrypted
    row = deployed.picture("raw/encrypted.jpg", photo(300, 200))
    assert (row["status"], row["caption"]["status"]) == ("SUCCEEDED", "OK")
    assert all(deployed.rendition(one["key"]) for one in row["renditions"].values())
    queue = deployed.aws.output("DeadLetterQueueUrl")
    asked = deployed.aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["KmsMasterKeyId"])
    assert asked["Attributes"]["KmsMasterKeyId"] == key
    groups = deployed.client("logs").describe_log_groups()["logGroups"]
    assert {group["kmsKeyId"] for group in groups} == {key}


@pytest.fixture
def with_encoder() -> Iterator[None]:
    with optional.importable():
        importlib.import_module("pillow_jxl")  # which makes Pillow write JPEG XL
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="a layer holds Linux's own code")
@pytest.mark.usefixtures("with_encoder")
def test_jpeg_xl_goes_its_way_where_its_setting_is_on(encrypted: Encrypted):
    """Without and with loss, with transparency, with 16 bits; and half of one."""
    deployed, plain = encrypted.deployed, landscape(90, 60)
    see_through, deep = plain.convert("RGBA"), Image.new("I;16", plain.size, 30_000)
    see_through.putalpha(100)
    files = {
        "lossless": encoded(plain, "JXL", lossless=True),
        "lossy": (lossy := encoded(plain, "JXL", quality=80)),
        "see-through": encoded(see_through, "JXL", lossless=True),
        "deep": encoded(deep, "JXL", lossless=True),
        "half": lossy[: len(lossy) // 2],
    }
    versions = {name: deployed.upload(f"raw/{name}.jxl", data) for name, data in files.items()}
    rows = {name: deployed.settled(f"raw/{name}.jxl", version) for name, version in versions.items()}
    half = rows.pop("half")
    assert (half["status"], half["error"]["code"]) == ("REJECTED", "corrupt")
    assert {row["status"] for row in rows.values()} == {"SUCCEEDED"}
    assert {(row["format"], row["width"], row["height"]) for row in rows.values()} == {("jxl", 90, 60)}
    assert rows["deep"]["metadata"]["bits"] == 16
    grey = Image.new("L", plain.size, 180)  # what 30,000 of 65,535 is of light itself
    for name, drawn in {"lossless": plain, "lossy": plain, "see-through": see_through, "deep": grey}.items():
        assert difference(shown(deployed, rows[name]), drawn) < 8, name  # which WebP takes of so few pixels


def shown(deployed: Deployed, row: dict[str, Any]) -> Image.Image:
    """The rendition that has its pixels."""
    [key] = (one["key"] for one in row["renditions"].values() if one["width"] == row["width"])
    rendition = deployed.rendition(key)
    assert rendition, key
    return Image.open(io.BytesIO(rendition["Body"].read()))


@pytest.mark.parametrize("role", ROLES.values())
def test_no_role_may_use_the_key_itself(encrypted: Encrypted, role):
    """Only S3, DynamoDB and SQS on its behalf: what else the key encrypts is out of reach."""
    deployed, key, _ = encrypted
    secret = deployed.client("kms").encrypt(KeyId=key, Plaintext=b"of something else")["CiphertextBlob"]
    kms = deployed.client("kms", **Stack(deployed).session(role))
    with pytest.raises(ClientError, match=r"not authorized to perform: kms:Decrypt"):
        kms.decrypt(CiphertextBlob=secret, KeyId=key)
    with pytest.raises(ClientError, match=r"not authorized to perform: kms:GenerateDataKey"):
        kms.generate_data_key(KeyId=key, KeySpec="AES_256")


PHOTOS, STAGING = "photos-of-before", "Staging"
OLD, KEY = "raw/from before.jpg", "raw/album/cat.jpg"


@pytest.fixture(scope="module")
def staging(encrypted: Encrypted) -> Deployed:
    """A second stack, on a bucket that another program hears of and that has a picture."""
    first = encrypted.deployed
    queue = first.aws.sqs.create_queue(QueueName="another-program")["QueueUrl"]
    arn = first.aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    first.aws.s3.create_bucket(Bucket=PHOTOS)
    first.aws.s3.put_bucket_notification_configuration(
        Bucket=PHOTOS,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
        SkipDestinationValidation=True,  # the queue has no policy
    )
    first.aws.s3.put_object(Bucket=PHOTOS, Key=OLD, Body=photo(64, 48))
    adopted = first.darkroom("adopt", PHOTOS, "--yes")
    assert adopted.returncode == 0, adopted.stderr
    settings = {"uploads_bucket": PHOTOS, "captions.enabled": "true", "webhook.url": encrypted.hook.url}
    deploy(first.cloud, settings, stack=STAGING)
    return Deployed(first.cloud, STAGING)


def uploaded(staging: Deployed, data: bytes) -> dict[str, Any]:
    """The row when it is final for this very upload: without versions, its ETag and a newer sequencer tell."""
    before = staging.row(KEY).get("sequencer", "")
    etag = staging.aws.s3.put_object(Bucket=PHOTOS, Key=KEY, Body=data)["ETag"].strip('"')

    def look() -> dict[str, Any] | None:
        row = staging.row(KEY)
        mine = row.get("etag") == etag and row["sequencer"] > before
        return row if mine and row["status"] != "PROCESSING" else None

    row: dict[str, Any] = eventually(look, f"the row of {KEY}")
    return row


def files(row: dict[str, Any]) -> set[str]:
    return {one["key"] for one in row.get("renditions", {}).values()}


def test_a_bucket_of_before_that_keeps_no_versions_is_worked_on_like_ones_own(staging: Deployed):
    """Uploads, overwrites, what is no picture, deletions, and the same bytes again."""
    first = uploaded(staging, photo(300, 200))
    assert (first["status"], first["caption"]["status"], first["version_id"]) == ("SUCCEEDED", "OK", "null")
    assert all(staging.rendition(file) for file in files(first))
    second = uploaded(staging, photo(200, 300))
    assert (second["status"], second["width"]) == ("SUCCEEDED", 200)
    eventually(lambda: staging.renditions("album/cat.jpg/") == files(second), "the end of the first's renditions")
    rejected = uploaded(staging, b"no picture")
    assert (rejected["status"], files(rejected)) == ("REJECTED", files(second))
    staging.aws.s3.delete_object(Bucket=PHOTOS, Key=KEY)
    eventually(lambda: staging.in_status(KEY, "DELETED"), "the deletion")
    eventually(lambda: not staging.renditions("album/cat.jpg/"), "the end of all renditions")
    again = uploaded(staging, photo(300, 200))
    assert again["status"] == "SUCCEEDED"
    assert not files(first) & files(again)
    assert staging.letters() == []


def test_what_was_in_the_bucket_before_is_made_by_a_backfill(staging: Deployed):
    """And by nothing else; a newer upload of it wins, because the backfill's sequencer is the least there is."""
    assert staging.row(OLD) == {}
    command = staging.darkroom("--stack", STAGING, "backfill", "--prefix", "from before", "--follow", "--json")
    assert command.returncode == 0, command.stderr
    row = staging.row(OLD)
    assert (row["status"], row["version_id"], set(row["sequencer"])) == ("SUCCEEDED", "null", {"0"})
    assert staging.renditions("from before.jpg/") == files(row)


def test_whatever_is_done_at_once_each_row_is_as_the_bucket_in_the_end(staging: Deployed):
    """The same bytes, others, what is no picture and a deletion, one upon the other: no event names a version, and no
    rendition is missing or left."""
    contents = {"a": photo(64, 48), "b": photo(48, 64), "x": b"no picture", "-": None}
    keys = {f"raw/at once/{history}.jpg": history for history in ("a-a", "ab-a", "ax", "-b-b-")}
    for step in range(max(map(len, keys.values()))):
        for key, history in keys.items():
            data = contents[history[step]] if step < len(history) else None
            if data is not None:
                staging.upload(key, data)
            elif step < len(history):
                staging.delete(key)
    ends = {"a": "SUCCEEDED", "b": "SUCCEEDED", "x": "REJECTED", "-": "DELETED"}
    for key, history in keys.items():
        eventually(lambda key=key, end=ends[history[-1]]: staging.in_status(key, end), f"the end of {key}")
    eventually(lambda: not staging.at_work(), "the end of all executions")
    for key, history in keys.items():
        row = staging.row(key)
        assert row["status"] == ends[history[-1]], key
        assert staging.renditions(f"{key.removeprefix('raw/')}/") == files(row), key
        if row["status"] == "SUCCEEDED":
            assert row["height"] == (48 if history[-1] == "a" else 64), key
    assert staging.letters() == []


def test_who_heard_of_the_bucket_before_still_does(staging: Deployed):
    """Its notifications are as they were, but for EventBridge."""
    found = staging.aws.s3.get_bucket_notification_configuration(Bucket=PHOTOS)
    assert [one["QueueArn"].rpartition(":")[2] for one in found["QueueConfigurations"]] == ["another-program"]
    assert "EventBridgeConfiguration" in found


def test_the_roles_can_do_their_work_on_such_a_bucket_and_nothing_else(staging: Deployed):
    """As on the stack's own: three of them may read it without a version too. All else is as in the other stack."""
    assert denials(staging, "s3") == expected_denials(staging, "s3")


@pytest.mark.parametrize("step", ["resize", "caption"])
def test_who_reads_it_needs_the_grant_to_read_without_a_version(staging: Deployed, step: str):
    """Which the stack's own bucket does not ask for."""
    with FunctionRole(staging, step).without("s3:GetObject"):
        row = staging.picture(f"raw/without/{step}.jpg", photo(64, 64))
        staging.execution(row["execution"])  # its letter comes after its row
    said = row["error"]["message"] if step == "resize" else row["caption"]["reason"]
    assert "AccessDenied" in said
    staging.empty_the_queue()


def test_the_doctor_says_how_such_a_bucket_is_set(staging: Deployed):
    """It is there, and is not protected as the stack's own would be."""
    said = staging.darkroom("--stack", STAGING, "doctor", "--quick", "--json").stdout
    found = {one["name"]: one for one in json.loads(said)["checks"]}
    assert found["uploads bucket"]["state"] == "ok"
    assert "keeps no versions" in found["bucket's protection"]["found"]


def namespaces(stack: Deployed) -> set[str]:
    """Of the metrics in the log lines of a function: the local cloud does not read them out of there."""
    metrics = [json.loads(line) for line in stack.log_lines("validate") if "CloudWatchMetrics" in line]
    return {each["Namespace"] for one in metrics for each in one["_aws"]["CloudWatchMetrics"]}


def test_two_stacks_in_one_account_share_nothing(encrypted: Encrypted, staging: Deployed):
    """No resource, no row, no metric, no setting; a command talks to the one that it names."""
    stacks = (encrypted.deployed, staging)
    resources = []
    for one in stacks:
        pages = one.aws.stacks.get_paginator("list_stack_resources").paginate(StackName=one.aws.stack)
        found = [each for page in pages for each in page["StackResourceSummaries"]]
        resources.append({(each["ResourceType"], each["PhysicalResourceId"]) for each in found})
    assert {kind for kind, _ in resources[0] & resources[1]} == {"AWS::ApiGatewayV2::Stage"}  # $default, of each API
    mine = [one.picture(f"raw/of {one.aws.stack}.jpg", b"no picture")["key"] for one in stacks]
    for one, theirs in zip(stacks, reversed(mine), strict=True):
        assert one.row(theirs) == {}
        eventually(lambda one=one: namespaces(one) == {one.aws.stack}, "the metrics of a function")
        answer = one.darkroom("--stack", one.aws.stack, "results", "--json").stdout
        assert {row["key"] for row in json.loads(answer)} & set(mine) == set(mine) - {theirs}
