"""A person with just some of the policies of docs/policies, and what of them is used."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.client import BaseClient

from darkroom.pipeline.policies import policy
from tests.e2e.conftest import Deployed

# Of the calls whose grant has another name.
GRANTS = {
    "Invoke": "InvokeFunction",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteObjects": "DeleteObject",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
}

# What the local cloud asks for where AWS, as it documents, asks for what stands before it: a grant has another name, a
# log group that the stack leaves unnamed gets another one, the ARN of a rule has the name of its bus, and a Map Run has
# none.
LOCALLY = {
    '"sqs:ChangeMessageVisibility"': '"sqs:ChangeMessageVisibilityBatch"',
    ":rule/": ":rule/default/",
    "log-group:Darkroom-": "log-group:/aws/cloudformation/Darkroom/",
    '"arn:[^"]*:mapRun:[^"]*"': '"*"',
}


@contextmanager
def person(deployed: Deployed, *policies: str) -> Iterator[set[str]]:
    """As long as the block runs, a command in this process is theirs. What is given fills with the actions it used."""
    iam, name = deployed.client("iam"), f"person-with-{'-'.join(policies)}"
    iam.create_user(UserName=name)
    for one in policies:
        document = json.dumps(policy(deployed.aws, one))
        for on_aws, here in LOCALLY.items():
            document = re.sub(on_aws, here, document)
        iam.put_user_policy(UserName=name, PolicyName=one, PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    theirs = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    used: set[str] = set()
    call = BaseClient._make_api_call

    def recorded(self: Any, operation: str, given: dict[str, Any]) -> Any:
        if self._get_credentials().access_key == key["AccessKeyId"]:  # and not the test's own
            action = GRANTS.get(operation, operation)
            versions = "VersionId" in given or "VersionId" in str(given.get("Delete"))
            used.add(f"{self.meta.service_model.signing_name}:{action}{'Version' * versions}")
        return call(self, operation, given)

    with pytest.MonkeyPatch.context() as changed:
        for variable, value in {**deployed.cloud.variables(), **theirs}.items():
            changed.setenv(variable, value)
        changed.setattr(BaseClient, "_make_api_call", recorded)
        yield used
    for one in policies:
        iam.delete_user_policy(UserName=name, PolicyName=one)
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)


def granted(deployed: Deployed, *policies: str) -> set[str]:
    """Every action of these policies."""
    statements = [statement for one in policies for statement in policy(deployed.aws, one)["Statement"]]
    actions = [one["Action"] if isinstance(one["Action"], list) else [one["Action"]] for one in statements]
    return {action for some in actions for action in some}
