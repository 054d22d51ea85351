"""The policy that docs/access.md asks for with a key of one's own. `tests/e2e/test_customer_key.py` deploys with it."""

import json
from pathlib import Path

POLICY = Path(__file__).resolve().parents[2] / "docs" / "key-policy.json"


def test_the_policy_of_the_key_lets_no_service_in_but_for_this_stack():
    """What EventBridge, CloudWatch and CloudWatch Logs do themselves; all else is done by roles."""
    [account, *services] = json.loads(POLICY.read_text())["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::ACCOUNT:root"}
    assert [one["Principal"]["Service"].split(".")[0] for one in services] == ["events", "cloudwatch", "logs"]
    assert all("Darkroom" in json.dumps(one["Condition"]["ArnLike"]) for one in services)
