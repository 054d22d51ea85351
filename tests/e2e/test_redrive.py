"""`darkroom redrive`, the real command, on the deployed pipeline: what failed comes back, and no letter is lost."""

import json
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from darkroom.local.pictures import photo
from tests.e2e.conftest import Deployed, FunctionRole, eventually
from tests.e2e.faulty import ALWAYS, faulty
from tests.e2e.load import letters

NONSENSE = ("nonsense",) * ALWAYS


@contextmanager
def failed(deployed: Deployed, *keys: str) -> Iterator[None]:
    """Each has a row FAILED and a letter; what breaks them is there as long as the block runs."""
    with faulty(deployed, {"validate": dict.fromkeys(keys, NONSENSE)}):
        for key in keys:
            deployed.upload(key, photo(300, 200))
        eventually(lambda: waiting(deployed) >= {*keys}, "a letter for each")
        yield


def waiting(deployed: Deployed) -> set[str]:
    """The pictures that have letters."""
    return {letter["key"] for letter in letters(deployed)}


def count(deployed: Deployed) -> int:
    """Of the letters, also of those that somebody is at."""
    asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    queue = deployed.aws.output("DeadLetterQueueUrl")
    return sum(
        map(int, deployed.aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=asked)["Attributes"].values())
    )


def redrive(deployed: Deployed, *arguments: str) -> list[dict[str, Any]]:
    """All that it says; what it started has ended."""
    ran = deployed.darkroom("redrive", "--json", *arguments)
    done = json.loads(ran.stdout)
    assert ran.returncode == any("problem" in one for one in done)
    for one in done:
        if one["redriven"]:
            deployed.execution(one["execution"])
    return done


def statuses(deployed: Deployed, keys: Iterable[str]) -> set[str]:
    return {deployed.row(key)["status"] for key in keys}


def test_an_interrupted_redrive_leaves_the_rest_in_the_queue(deployed: Deployed):
    """Ctrl-C in the middle: what was started is reported and its letter gone, all others can be read at once. The next
    run finishes the work."""
    keys = {f"raw/interrupted/{number}.jpg" for number in range(4)}
    with failed(deployed, *keys):
        assert count(deployed) == len(keys)
    command = deployed.start("redrive", "--json", "--rate", "0.1")  # a second comes within 10 s at the earliest
    eventually(lambda: count(deployed) < len(keys), "the first letter to be deleted")
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=300)
    assert command.returncode != 0

    redriven = {one["key"] for one in json.loads(said)}
    assert 1 <= len(redriven) < len(keys)
    assert waiting(deployed) == keys - redriven
    assert {one["key"] for one in redrive(deployed, "--rate", "2")} == keys - redriven
    assert waiting(deployed) == set()
    eventually(lambda: statuses(deployed, keys) == {"SUCCEEDED"}, "the end of all")


def test_a_redrive_before_the_cause_is_gone_leaves_one_letter_again(deployed: Deployed):
    """It fails once more and no more than that, with one new letter; without the cause, the next redrive succeeds."""
    key = "raw/too-early.jpg"
    with failed(deployed, key):
        [first] = redrive(deployed)
        [letter] = eventually(lambda: letters(deployed), "the letter of the redrive")
        assert letter["execution"] == first["execution"] == deployed.row(key)["execution"]
    [second] = redrive(deployed)
    assert deployed.row(key)["status"] == "SUCCEEDED"
    assert deployed.row(key)["execution"] == second["execution"]
    assert letters(deployed) == []


def test_a_dry_run_shows_what_would_be_started_and_starts_nothing(deployed: Deployed):
    """The letter stays, and so does the row."""
    key = "raw/dry.jpg"
    with failed(deployed, key):
        row = deployed.row(key)
    [shown] = redrive(deployed, "--dry-run")
    assert (shown["key"], shown["redriven"], shown["execution"]) == (key, False, None)
    assert len(deployed.executions(key)) == 1
    assert deployed.row(key) == row
    assert [one["key"] for one in redrive(deployed)] == [key]


def test_a_failed_picture_is_found_by_its_row_when_its_letter_is_gone(deployed: Deployed):
    """`--status FAILED`, for a letter that somebody deleted."""
    key = "raw/letterless.jpg"
    with failed(deployed, key):
        [letter] = deployed.letters()
        deployed.forget(letter)
    assert redrive(deployed) == []
    assert key in {one["key"] for one in redrive(deployed, "--status", "FAILED")}
    assert deployed.row(key)["status"] == "SUCCEEDED"


def test_a_rejected_picture_is_redriven_only_when_asked_for(deployed: Deployed):
    """After the limits were changed, with `--include-rejected`."""
    key = "raw/large.jpg"
    with faulty(deployed, {"validate": {}}, changes={"validate": {"Environment": {"MAX_BYTES": "10"}}}):
        assert deployed.picture(key, photo(300, 200))["error"]["code"] == "too_large"
    [refused] = redrive(deployed, key)
    assert refused["problem"] == "no dead letter, and its row is REJECTED"
    [done] = redrive(deployed, key, "--include-rejected")
    assert (done["key"], done["reason"]) == (key, "REJECTED")
    assert deployed.row(key)["status"] == "SUCCEEDED"


def test_a_caption_that_failed_is_made_again_and_nothing_else(deployed: Deployed):
    """While the model refuses, the row says so again; after that it has its caption, and all else as before: the same
    renditions, of the same execution."""
    key = "raw/speechless once.jpg"
    with FunctionRole(deployed, "caption").without("bedrock:Converse"):
        before = deployed.picture(key, photo(300, 200))
        assert before["caption"]["status"] == "FAILED"
        [shown] = redrive(deployed, key, "--caption-failed", "--dry-run")
        assert "AccessDenied" in shown["error"]["message"]
        [refused] = redrive(deployed, key, "--caption-failed")
        assert deployed.row(key) == before
    done = {one["key"]: one for one in redrive(deployed, "--caption-failed")}
    assert done[key]["execution"] not in {None, refused["execution"]}
    after = deployed.row(key)
    assert after["caption"]["status"] == "OK"
    assert {**after, "caption": before["caption"]} == before
    assert redrive(deployed, key, "--caption-failed")[0]["problem"] == "its row is SUCCEEDED, its caption OK"


def test_an_archived_picture_is_redriven_after_its_restore(deployed: Deployed):
    """Until then S3 refuses it again."""
    key = "raw/restored.jpg"
    row = deployed.settled(key, deployed.upload(key, photo(64, 48), StorageClass="GLACIER"))
    assert row["error"]["code"] == "unreadable"
    redrive(deployed, key, "--include-rejected")
    assert deployed.row(key)["error"]["code"] == "unreadable"
    bucket = deployed.aws.output("UploadsBucketName")
    deployed.aws.s3.restore_object(Bucket=bucket, Key=key, RestoreRequest={"Days": 1})
    eventually(
        lambda: 'ongoing-request="false"' in deployed.aws.s3.head_object(Bucket=bucket, Key=key)["Restore"],
        "the end of the restore",
    )
    redrive(deployed, key, "--include-rejected")
    assert deployed.row(key)["status"] == "SUCCEEDED"
