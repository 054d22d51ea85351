"""The connection: read-only where it was asked for, and given up only where the cloud may be another one."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from darkroom.console.connection import Connection, ReadOnlyError
from darkroom.pipeline.target import Target
from tests.console.conftest import Chosen, Open


def test_a_read_only_page_goes_on_when_its_role_is_taken_anew(
    target: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The credentials of a role last an hour, and the client asks for the next by itself."""
    config, key = tmp_path / "config", "aws_access_key_id = test\naws_secret_access_key = test"
    role = "role_arn = arn:aws:iam::123456789012:role/looker\nsource_profile = base\nregion = eu-central-1"
    config.write_text(f"[profile base]\n{key}\n[profile looker]\n{role}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    def choose() -> Target:
        return Target(boto3.Session(profile_name="looker"), name=target.name, deploy_with=target.deploy_with)

    reading = Connection(choose, read_only=True).target()
    assert reading.results.get_item(Key={"key": "raw/x.jpg"})["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(ReadOnlyError):
        reading.results.put_item(Item={"key": "raw/x.jpg"})


@pytest.mark.parametrize(
    ("code", "lost"),
    [
        ("ThrottlingException", False),
        ("ProvisionedThroughputExceededException", False),
        ("AccessDeniedException", False),
        ("ValidationException", False),
        ("ResourceNotFoundException", True),
        ("ExpiredTokenException", True),
    ],
)
def test_the_cloud_is_looked_for_again_only_where_it_may_be_another(target: Target, open_page: Open, code, lost):
    chosen = Chosen(target)
    page = open_page(chosen)
    assert page.get("/executions").status_code == 200

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListExecutions")

    states = chosen[0].states.meta.events
    states.register("before-call", refuse)
    answer = page.get("/executions")
    said = "Not allowed" if code == "AccessDeniedException" else code
    assert (answer.status_code, said in answer.text) == (503, True)
    states.unregister("before-call", refuse)
    before = len(chosen)
    assert page.get("/executions").status_code == 200
    assert (len(chosen) > before) == lost
