"""Names and input of somebody who means harm: each ends in its own row, or in a letter, and nothing else happens."""

import json
import re
from typing import Any

import pytest

from darkroom.local.pictures import corrupt_jpeg, photo
from tests.e2e.conftest import Deployed, eventually
from tests.leaks import leaks

LONGEST = "raw/" + "📷é" * 170  # 4 bytes, and 6 for each pair: 1,024

SAFE = {
    "emoji and a turn to the left": "📷\u202egpj.\u202c.jpg",
    "JSON": '{"key": ["raw/other.jpg"], "accepted": true}.jpg',
    "JSONata": "{% $states.context.Execution.Id %}.jpg",
    "a whole expression": "{% ( $source := 1; $eval('1') ) %}",
    "a placeholder": "${ResultsTable}${UploadsBucket}.jpg",
    "quotes and backslashes": "\\\"'`\\u0000\\n.jpg",
    "a shell": "$(id);`id`|&<script>.jpg",
    "slashes": "a//b///c.jpg",
    "a space": " ",
    "dots in a name": "..hidden.../..jpg",
}
UNSAFE = {
    "up": "../../etc/passwd",
    "up again": "a/../../../up.jpg",
    "here": "./here/./x.jpg",
    "control characters": "\x01\x1b[31m\x7f\r\t.jpg",
    "as long as may be": LONGEST.removeprefix("raw/"),
    "the hash of another": "0" * 64,
}


def comes_and_goes(deployed: Deployed, name: str) -> str:
    """Uploads a picture of that name, deletes it again, and returns where its renditions were in between."""
    key = f"raw/{name}"
    row = deployed.picture(key, photo(64, 48))
    assert (row["status"], row["key"]) == ("SUCCEEDED", key)
    stored = {one["key"] for one in row["renditions"].values()}
    assert all(deployed.rendition(one) for one in stored)
    [folder] = {one.rsplit("/", 2)[0] for one in stored}
    deployed.delete(key)
    deleted = eventually(lambda: deployed.row(key)["status"] == "DELETED" and deployed.row(key), f"{name!r} DELETED")
    assert deployed.execution(deleted["execution"])["status"] == "SUCCEEDED"
    assert not any(deployed.rendition(one) for one in stored)
    return folder


@pytest.mark.parametrize("name", SAFE.values(), ids=SAFE)
def test_a_name_is_never_evaluated(deployed: Deployed, name):
    """One row under the raw key, renditions under the name itself, and both go with the picture."""
    assert comes_and_goes(deployed, name) == name


@pytest.mark.parametrize("name", UNSAFE.values(), ids=UNSAFE)
def test_a_name_that_no_rendition_may_have_gives_way_to_its_hash(deployed: Deployed, name):
    """One row under the raw key; the renditions lie where no path leads anywhere else."""
    assert len(f"raw/{name}".encode()) <= 1024  # what S3 takes
    assert re.fullmatch(r"[0-9a-f]{64}", comes_and_goes(deployed, name))


def test_a_line_break_in_a_name_ends_in_a_letter_here(deployed: Deployed):
    """The local cloud's IAM takes no line break for part of a `*`, so that the picture cannot be read. Its row says so
    under the raw key, and its letter has it too."""
    key = "raw/two\nlines.jpg"
    row = deployed.picture(key, photo(64, 48))
    assert row["status"] == "FAILED"
    assert "s3:GetObject" in row["error"]["message"]
    deployed.execution(row["execution"])
    [letter] = deployed.letters()
    assert json.loads(letter["Body"])["key"] == key
    deployed.forget(letter)


WRONG: dict[str, tuple[str, Any]] = {
    "no key": ("key", None),
    "a number for a key": ("key", 7),
    "an empty key": ("key", ""),
    "a size in words": ("size", "big"),
    "a list for a sequencer": ("sequencer", ["0A"]),
    "a group for an ETag": ("etag", {"S": "0"}),
}


def with_object(event: dict[str, Any], **members: Any) -> dict[str, Any]:
    detail = event["detail"]
    return {**event, "detail": {**detail, "object": {**detail["object"], **members}}}


@pytest.fixture
def event(deployed: Deployed) -> dict[str, Any]:
    """The event of a picture, as it came."""
    row = deployed.picture("raw/genuine.jpg", b"no picture")
    return json.loads(deployed.execution(row["execution"])["input"])


def its_letter(deployed: Deployed, execution: dict[str, Any]) -> dict[str, Any]:
    """The one letter there is; it is of that execution, and is taken out."""
    assert execution["status"] == "FAILED"
    [letter] = deployed.letters()
    deployed.forget(letter)
    body = json.loads(letter["Body"])
    assert body["execution"] == execution["executionArn"]
    return body


@pytest.mark.parametrize("machine", ["StateMachineArn", "DeletionStateMachineArn"])
@pytest.mark.parametrize(
    "sent",
    [{}, [], "text", None, {"detail": "text"}, {"detail": {"object": []}}, {"source": "somebody", "detail": {"a": 1}}],
    ids=json.dumps,
)
def test_an_event_that_is_not_s3s_ends_in_a_letter_as_it_came(deployed: Deployed, machine, sent):
    """Whoever may start executions can send anything; it is handed back whole."""
    assert its_letter(deployed, deployed.run(sent, deployed.aws.output(machine)))["event"] == sent


@pytest.mark.parametrize("wrong", WRONG)
def test_an_event_with_a_wrong_member_ends_in_a_letter_as_it_came(deployed: Deployed, event, wrong):
    """No row is written under a name that nobody gave."""
    member, value = WRONG[wrong]
    sent = with_object(event, **{"key": "raw/wrong.jpg", member: value})
    assert its_letter(deployed, deployed.run(sent))["event"] == sent
    assert deployed.row("raw/wrong.jpg").get("status") in {None, "FAILED"}


@pytest.mark.parametrize("bucket", ["RenditionsBucketName", None], ids=["our renditions", "somebody else's"])
def test_an_event_of_another_bucket_reads_nothing(deployed: Deployed, event, bucket):
    """Validate may read the uploads only, whatever bucket an event names."""
    sent = with_object(event, key=f"raw/another {bucket}.jpg")
    deployed.aws.s3.create_bucket(Bucket="somebody-elses")
    sent["detail"]["bucket"] = {"name": deployed.aws.output(bucket) if bucket else "somebody-elses"}
    letter = its_letter(deployed, deployed.run(sent))
    assert "is not authorized to perform: s3:GetObject " in letter["error"]["message"]


def test_what_an_event_has_too_much_is_ignored(deployed: Deployed, event):
    """Extra members, and a `redrives` that is none, change nothing: it is the duplicate it would be without them."""
    sent = {**with_object(event, more=["{% 1 %}"]), "extra": {"status": "SUCCEEDED"}, "redrives": {"S": "arn"}}
    assert json.loads(deployed.run(sent)["output"])["status"] == "Duplicate"


# What no log line may hold, each with an example that shows that it would be found.
def test_no_log_line_holds_pictures_credentials_or_signed_urls(deployed: Deployed, without_grant):
    """After a picture that succeeded, one that was rejected, one that failed and one that was deleted."""
    deployed.picture("raw/log/fine.jpg", photo(600, 400))
    deployed.picture("raw/log/corrupt.jpg", corrupt_jpeg())
    with without_grant("resize", "s3:PutObject"):
        failed = deployed.picture("raw/log/failing.jpg", photo(64, 48))
        its_letter(deployed, deployed.execution(failed["execution"]))
    deployed.delete("raw/log/fine.jpg")
    eventually(lambda: deployed.row("raw/log/fine.jpg")["status"] == "DELETED", "the deletion")
    deployed.sweep()
    for step, about in {"validate": "fine", "resize": "failing", "caption": "fine", "cleanup": "fine"}.items():
        eventually(lambda step=step, about=about: any(about in line for line in deployed.log_lines(step)), step)
    lines = [
        line for step in ("validate", "resize", "caption", "cleanup", "sweep") for line in deployed.log_lines(step)
    ]
    assert len(lines) > 10
    assert leaks(lines) == []
