"""`darkroom smoke` on the deployed stack: what the first real account is tried with."""

import pytest

from tests.darkroom.conftest import darkroom
from tests.e2e.conftest import Deployed, eventually
from tests.e2e.people import granted, person
from tests.schemas import document


@pytest.mark.timeout(600)  # a dozen executions, one after the other, on a machine that may be busy
def test_every_check_passes_with_just_the_policies_for_it_and_nothing_is_left(deployed: Deployed):
    """With captions on, and so none is skipped. What the policy `smoke` grants is used."""
    with person(deployed, "viewer", "operator", "smoke") as used:
        result = darkroom("smoke", "--burst", "3", "--timeout", "60", "--json")
    checks = document("smoke", result.stdout)["checks"]
    assert [one for one in checks if one["state"] != "passed"] == []
    assert result.exit_code == 0
    assert granted(deployed, "smoke") <= used <= granted(deployed, "viewer", "operator", "smoke")
    uploads = deployed.aws.output("UploadsBucketName")
    objects = deployed.aws.s3.list_object_versions(Bucket=uploads, Prefix="raw/darkroom-smoke-")
    assert {"Versions", "DeleteMarkers"} & objects.keys() == set()
    eventually(lambda: not deployed.at_work(), "the end of all executions")
    assert deployed.renditions("darkroom-smoke-") == set()
    left = [row for row in deployed.aws.results.scan()["Items"] if "darkroom-smoke-" in row["key"]]
    assert {row["status"] for row in left} == {"DELETED"}  # or the sweep would finish what was stopped
    assert all("/aborted-" in row["key"] for row in left)
    assert [one for one in deployed.letters() if "darkroom-smoke-" in one["Body"]] == []
