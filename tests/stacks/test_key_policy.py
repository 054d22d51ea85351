"""The policy that docs/access.md asks for with a key of one's own. `tests/e2e/test_yours.py` deploys with it."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

POLICY = Path(__file__).resolve().parents[2] / "docs" / "key-policy.json"
KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"


def test_the_policy_of_the_key_lets_no_service_in_but_for_this_stack():
    """What EventBridge, CloudWatch, CloudFront and CloudWatch Logs do themselves; all else is done by roles."""
    [account, *services] = json.loads(POLICY.read_text())["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::ACCOUNT:root"}
    names = [one["Principal"]["Service"].split(".")[0] for one in services]
    assert names == ["events", "cloudwatch", "cloudfront", "logs"]
    for one in services:
        [named] = one["Condition"]["ArnLike"].values()
        assert all("darkroom" in arn.lower() for arn in ([named] if isinstance(named, str) else named))


def test_the_policy_of_the_key_names_every_log_that_has_the_key(synth):
    """Also those with a name of their own. CloudFormation makes one that begins with the stack's for the others."""
    *_, logs = json.loads(POLICY.read_text())["Statement"]
    [arns] = logs["Condition"]["ArnLike"].values()
    allowed = [arn.partition(":log-group:")[2] for arn in arns]
    there = synth(kms_key=KEY, api={"enabled": True}).find_resources("AWS::Logs::LogGroup").values()
    names = [
        json.dumps(one["Properties"].get("LogGroupName", "Darkroom-x"))
        for one in there
        if "KmsKeyId" in one["Properties"]
    ]
    plain = [
        "".join(part if isinstance(part, str) else "Darkroom" for part in _parts(json.loads(name))) for name in names
    ]
    assert [name for name in plain if not any(fnmatchcase(name, one) for one in allowed)] == []
    assert len(plain) > len(allowed)


def _parts(name: object) -> list[object]:
    return list(name["Fn::Join"][1]) if isinstance(name, dict) else [name]
