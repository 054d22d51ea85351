"""The setting `kms_key`, through a real deployment with a key of the local cloud, which encrypts nothing with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from botocore.exceptions import ClientError

from darkroom.local.cloud import ACCOUNT, REGION
from darkroom.local.deploy import deploy
from darkroom.local.pictures import photo
from tests.e2e.conftest import Deployed, started_cloud
from tests.e2e.permissions import ROLES, Stack
from tests.receiver import receiver

POLICY = Path(__file__).resolve().parents[2] / "docs" / "key-policy.json"


class Encrypted(NamedTuple):
    deployed: Deployed
    key: str


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """A cloud of its own, with a key that has the policy which docs/access.md asks for, and the stack that uses it."""
    with receiver() as hook, started_cloud(tmp_path_factory.mktemp("encrypted")) as deployed:
        policy = POLICY.read_text().replace("ACCOUNT", ACCOUNT).replace("REGION", REGION)
        key = deployed.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
        deploy(deployed.cloud, {"kms_key": key, "captions.enabled": "true", "webhook.url": hook.url})
        yield Encrypted(deployed, key)


@pytest.fixture(scope="module")
def deployed(encrypted: Encrypted) -> Deployed:
    """In place of the one that other files share."""
    return encrypted.deployed


def test_a_picture_goes_its_way_with_a_key_of_ones_own(encrypted: Encrypted):
    """Row, renditions and caption; letters and logs name the key. The local CloudFormation passes over the encryption
    of buckets and of a new table: that is asserted in the template."""
    deployed, key = encrypted
    row = deployed.picture("raw/encrypted.jpg", photo(300, 200))
    assert (row["status"], row["caption"]["status"]) == ("SUCCEEDED", "OK")
    assert all(deployed.rendition(one["key"]) for one in row["renditions"].values())
    queue = deployed.aws.output("DeadLetterQueueUrl")
    asked = deployed.aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["KmsMasterKeyId"])
    assert asked["Attributes"]["KmsMasterKeyId"] == key
    groups = deployed.client("logs").describe_log_groups()["logGroups"]
    assert {group["kmsKeyId"] for group in groups} == {key}


@pytest.mark.parametrize("role", ROLES.values())
def test_no_role_may_use_the_key_itself(encrypted: Encrypted, role):
    """Only S3, DynamoDB and SQS on its behalf: what else the key encrypts is out of reach."""
    deployed, key = encrypted
    secret = deployed.client("kms").encrypt(KeyId=key, Plaintext=b"of something else")["CiphertextBlob"]
    kms = deployed.client("kms", **Stack(deployed).session(role))
    with pytest.raises(ClientError, match=r"not authorized to perform: kms:Decrypt"):
        kms.decrypt(CiphertextBlob=secret, KeyId=key)
    with pytest.raises(ClientError, match=r"not authorized to perform: kms:GenerateDataKey"):
        kms.generate_data_key(KeyId=key, KeySpec="AES_256")
