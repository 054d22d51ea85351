"""`darkroom smoke` where no pipeline answers: it says so, waits no longer than it was told to, and leaves nothing.

On the deployed stack it is tried by `tests/e2e/test_smoke.py`.
"""

import json
from typing import Any

import pytest

from darkroom.pipeline import smoke
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import darkroom
from tests.schemas import document


def left(target: Target) -> list[Any]:
    """Every object, version, marker, row and letter."""
    answer: Any = target.s3.list_object_versions(Bucket="uploads")
    queue = target.output("DeadLetterQueueUrl")
    letters = target.sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0).get("Messages", [])
    rows = target.results.scan()["Items"]
    return [*answer.get("Versions", []), *answer.get("DeleteMarkers", []), *rows, *letters]


def test_a_stack_that_hears_of_no_upload_fails_its_first_check_alone(target: Target):
    """As in the first minutes after a deployment to AWS. Nothing else is waited for."""
    result = darkroom("--aws", "smoke", "--timeout", "0", "--json")
    assert result.exit_code == 1
    upload, *others, clean = document("smoke", result.stdout)["checks"]
    assert (upload["name"], upload["state"]) == ("upload", "failed")
    assert "first five minutes" in upload["seen"]
    assert {one["state"] for one in others} == {"skipped"}
    assert (clean["name"], clean["state"]) == ("clean", "passed")
    assert left(target) == []


@pytest.mark.parametrize("ends", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_it_what_it_made_is_removed(ends: type[BaseException], target: Target, monkeypatch):
    """A row and a letter of its own too; those of others stay."""
    event = {"detail": {"object": {"key": "raw/others.jpg"}}}

    def letter_of(key: str) -> None:
        body = {"key": key, "event": {"detail": {"object": {"key": key}}}, "error": {}}
        target.sqs.send_message(QueueUrl=target.output("DeadLetterQueueUrl"), MessageBody=json.dumps(body))

    def end(ours: smoke.Smoke) -> str:
        [key] = {one["Key"] for one in left(target) if one.get("Key", "").endswith("/folder/")}
        target.results.put_item(Item={"key": key, "status": "REJECTED"})
        letter_of(f"{ours.prefix}photo.jpg")
        raise ends

    letter_of("raw/others.jpg")
    monkeypatch.setattr(smoke.Smoke, "_upload", end)
    result = darkroom("--aws", "smoke")
    assert result.exit_code != 0
    [letter] = left(target)
    assert json.loads(letter["Body"])["event"] == event


@pytest.mark.parametrize("option", ["--burst=0", "--timeout=-1"])
def test_what_makes_no_sense_is_a_mistake_in_the_command(option: str):
    result = darkroom("smoke", option)
    assert result.exit_code == 2
    assert option.partition("=")[0] in result.stderr
