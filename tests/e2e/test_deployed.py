"""From an upload to renditions, a row and, when something breaks, a dead letter: the real stack, end to end.

`cdk deploy` on the local cloud with IAM enforced; the functions run in processes of their own with the layer.
"""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from darkroom.local.deploy import deploy
from darkroom.local.pictures import corrupt_jpeg, photo
from darkroom.pipeline.executions import visits
from tests.e2e.conftest import Deployed, eventually
from tests.e2e.faulty import faulty

CONTRACT = {
    *("key", "status", "version_id", "etag", "sequencer", "size", "format", "width", "height", "frames"),
    *(
        "shown_version_id",
        "content_hash",
        "renditions",
        "recipe",
        "placeholder",
        "color",
        "perceptual_hash",
        "metadata",
        "caption",
        "execution",
        "created_at",
        "updated_at",
    ),
}


def test_a_photo_becomes_every_size_and_one_row(deployed: Deployed):
    """Upload, four renditions with their headers, a row with all that the contract names, a caption, no letter."""
    data = photo(2400, 1600, orientation=6)
    version = deployed.upload("raw/happy/photo.jpg", data)
    row = deployed.settled("raw/happy/photo.jpg", version)

    assert row["status"] == "SUCCEEDED"
    assert set(row) >= CONTRACT
    assert row["version_id"] == version
    assert (row["format"], row["width"], row["height"], row["size"]) == ("jpeg", 1600, 2400, len(data))
    assert row["caption"]["status"] == "OK"
    assert row["caption"]["text"]
    sizes = {name: (int(one["width"]), int(one["height"])) for name, one in row["renditions"].items()}
    assert sizes == {"thumb": (128, 128), "small": (320, 480), "medium": (683, 1024), "large": (1365, 2048)}
    for name, rendition in row["renditions"].items():
        assert re.fullmatch(rf"happy/photo\.jpg/[0-9a-f]{{16}}/{name}\.webp", rendition["key"])
        stored = deployed.rendition(rendition["key"])
        assert stored is not None
        assert stored["ContentType"] == rendition["content_type"] == "image/webp"
        assert stored["CacheControl"] == "public, max-age=31536000, immutable"
        body = stored["Body"].read()
        assert len(body) == rendition["bytes"]
        assert Image.open(io.BytesIO(body)).size == sizes[name]
    assert deployed.letters() == []


def test_the_index_finds_rows_by_status(deployed: Deployed):
    """What was rejected today is one query."""
    deployed.picture("raw/index.jpg", b"no picture")
    found = deployed.aws.results.query(
        IndexName="by-status",
        KeyConditionExpression="#status = :rejected AND updated_at > :morning",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":rejected": "REJECTED", ":morning": "2020-01-01"},
    )
    assert "raw/index.jpg" in [row["key"] for row in found["Items"]]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("words.jpg", b"only words", "unsupported_format"),
        ("nothing.png", b"", "empty"),
        ("half.jpg", corrupt_jpeg(), "corrupt"),
    ],
)
def test_bad_input_is_a_verdict(deployed: Deployed, name, data, code):
    """A rejection says why in the row; the execution succeeds; no rendition is made and no letter sent."""
    row = deployed.picture(f"raw/bad/{name}", data)
    assert row["status"] == "REJECTED"
    assert row["error"]["code"] == code
    assert row["error"]["message"]
    assert "renditions" not in row
    assert deployed.execution(row["execution"])["status"] == "SUCCEEDED"
    assert deployed.letters() == []


def test_a_picture_that_costs_too_much_is_a_verdict(deployed: Deployed):
    """Validate's process is ended while it decodes: one attempt, no letter, and the next picture is taken as ever."""
    limit = {"validate": {"Environment": {"MAX_CPU_SECONDS": "1"}}}
    with faulty(deployed, {"validate": {"raw/bad/costly.jpg": ("burns",)}}, changes=limit):
        row = deployed.picture("raw/bad/costly.jpg", photo(64, 48))
        after = deployed.picture("raw/fine.jpg", photo(64, 48))
    assert row["status"] == "REJECTED"
    assert row["error"] == {"code": "too_costly", "message": "not decoded within 1 s of CPU, the limit"}
    history = deployed.aws.states.get_execution_history(executionArn=row["execution"])["events"]
    assert [one["type"] for one in history].count("TaskScheduled") == 3  # Claim, Validate, Reject
    assert (after["status"], deployed.letters()) == ("SUCCEEDED", [])


@pytest.mark.parametrize(
    ("name", "how", "says"),
    [
        ("archived.jpg", {"StorageClass": "GLACIER"}, "archived (GLACIER)"),
        ("sse-c.jpg", {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}, "SSE-C"),
    ],
)
def test_what_s3_does_not_hand_over_is_a_verdict(deployed: Deployed, name, how, says):
    """The row says why and what to do, and no letter is sent."""
    row = deployed.settled(f"raw/{name}", deployed.upload(f"raw/{name}", photo(64, 48), **how))
    assert (row["status"], row["error"]["code"]) == ("REJECTED", "unreadable")
    assert says in row["error"]["message"]
    assert deployed.letters() == []


def test_a_failure_ends_in_one_letter_that_can_be_redriven(deployed: Deployed, without_grant):
    """A function that may not write fails after its retries: row FAILED, one letter; its event, redriven, succeeds."""
    with without_grant("resize", "s3:PutObject"):
        row = deployed.picture("raw/failing.jpg", photo(600, 400))
        assert row["status"] == "FAILED"
        assert "AccessDenied" in row["error"]["message"]
        [letter] = eventually(deployed.letters, "the dead letter")
    body = json.loads(letter["Body"])
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "FAILED"
    assert body["key"] == "raw/failing.jpg"
    assert body["bucket"] == deployed.aws.output("UploadsBucketName")
    assert body["execution"] == row["execution"]
    assert body["error"] == row["error"]
    assert deployed.execution(row["execution"])["status"] == "FAILED"

    assert json.loads(deployed.run(body["event"])["output"])["status"] == "Duplicate"
    assert deployed.row("raw/failing.jpg")["status"] == "FAILED"
    deployed.run({**body["event"], "redrives": body["execution"]})
    assert deployed.row("raw/failing.jpg")["status"] == "SUCCEEDED"
    deployed.forget(letter)


def test_a_duplicate_event_changes_nothing(deployed: Deployed):
    """The same event again ends as a success that says why, and the row stays as it was."""
    row = deployed.picture("raw/twice.jpg", photo(300, 200))
    event = json.loads(deployed.execution(row["execution"])["input"])
    again = deployed.run(event)
    assert again["status"] == "SUCCEEDED"
    assert json.loads(again["output"])["status"] == "Duplicate"
    assert deployed.row("raw/twice.jpg") == row


def test_an_overwrite_wins_and_its_late_elder_does_not(deployed: Deployed):
    """A new version takes the row, under new rendition keys; the old one's event, delivered late, changes nothing."""
    first = deployed.picture("raw/over.jpg", photo(300, 200))
    second = deployed.picture("raw/over.jpg", photo(200, 300))
    assert (second["width"], second["height"]) == (200, 300)
    assert second["version_id"] != first["version_id"]
    assert second["created_at"] == first["created_at"]
    assert second["renditions"]["thumb"]["key"] != first["renditions"]["thumb"]["key"]

    late = deployed.run(json.loads(deployed.execution(first["execution"])["input"]))
    assert json.loads(late["output"])["status"] == "Duplicate"
    assert deployed.row("raw/over.jpg") == second


def test_a_picture_overwritten_while_it_is_rendered_has_one_set_of_renditions(deployed: Deployed):
    """However the two overlap: the row speaks of the newer, and no file of the older one stays."""
    deployed.upload("raw/overtaken.jpg", photo(3000, 2000))
    eventually(lambda: deployed.row("raw/overtaken.jpg"), "the claim of the older version")
    newer = deployed.picture("raw/overtaken.jpg", photo(200, 300))
    eventually(lambda: deployed.idle("raw/overtaken.jpg"), "the end of both executions")
    row = deployed.row("raw/overtaken.jpg")
    assert (row["status"], row["width"], row["execution"]) == ("SUCCEEDED", 200, newer["execution"])
    assert deployed.renditions("overtaken.jpg/") == {one["key"] for one in row["renditions"].values()}
    assert {one["status"] for one in deployed.executions("raw/overtaken.jpg")} == {"SUCCEEDED"}


def test_of_ten_deliveries_at_once_one_works(deployed: Deployed):
    """The rest end as successes that say why."""
    deployed.upload("raw/ten.jpg", photo(300, 200))
    [first] = eventually(lambda: deployed.executions("raw/ten.jpg"), "the execution")
    event = json.loads(first["input"])
    with ThreadPoolExecutor(9) as at_once:
        others = at_once.map(deployed.run, [event] * 9)
        ends = [deployed.execution(first["executionArn"]), *others]
    said = sorted(json.loads(end["output"])["status"] for end in ends)
    assert said == [*["Duplicate"] * 9, "SUCCEEDED"]
    row = deployed.row("raw/ten.jpg")
    assert deployed.renditions("ten.jpg/") == {one["key"] for one in row["renditions"].values()}


def test_an_aborted_execution_ends_in_a_row_and_a_letter(deployed: Deployed):
    """No Catch sees an abort; Step Functions tells of it, and the sweep does the rest. The letter is redriven."""
    held = {"validate": {"raw/aborted.jpg": ("out of time",)}}
    with faulty(deployed, held, changes={"validate": {"Timeout": 30}}) as broken:
        deployed.upload("raw/aborted.jpg", photo(64, 48))
        [met] = eventually(broken.faults, "Validate to be at work")
        deployed.aws.states.stop_execution(executionArn=met["execution"], cause="a person stopped it")
        execution = deployed.execution(met["execution"])

    def failed() -> dict | None:
        row = deployed.row("raw/aborted.jpg")
        return row if row.get("status") == "FAILED" else None

    row = eventually(failed, "the row FAILED")
    assert row["error"]["code"] == "ABORTED"  # its message is the event's cause, which the local cloud leaves out
    [letter] = eventually(deployed.letters, "the dead letter")
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "ABORTED"
    body = json.loads(letter["Body"])
    assert (body["key"], body["execution"]) == ("raw/aborted.jpg", execution["executionArn"])

    deployed.run({**body["event"], "redrives": body["execution"]})
    assert deployed.row("raw/aborted.jpg")["status"] == "SUCCEEDED"
    deployed.forget(letter)


def test_an_overwrite_removes_what_the_older_version_made(deployed: Deployed):
    """Once the newer version has succeeded, its renditions are all there is."""
    older = deployed.picture("raw/replaced.jpg", photo(300, 200))
    newer = deployed.picture("raw/replaced.jpg", photo(200, 300))
    assert deployed.execution(newer["execution"])["status"] == "SUCCEEDED"  # the cleanup comes after the row
    assert deployed.renditions("replaced.jpg/") == {one["key"] for one in newer["renditions"].values()}
    assert older["renditions"].keys() == newer["renditions"].keys()


def test_a_picture_that_is_shown_stays_when_a_newer_version_is_rejected(deployed: Deployed):
    """With its files; and when the rejected version is removed, told of as AWS does: the local event names no version.
    Here it is still there, so that it is rejected once more."""
    key = "raw/kept.jpg"
    shown = deployed.picture(key, photo(300, 200))
    rejected = deployed.picture(key, b"only words")
    assert (rejected["status"], rejected["shown_version_id"]) == ("REJECTED", shown["version_id"])
    deployed.execution(rejected["execution"])
    files = {one["key"] for one in shown["renditions"].values()}
    assert rejected["renditions"] == shown["renditions"]
    assert deployed.renditions("kept.jpg/") == files

    event = json.loads(deployed.execution(rejected["execution"])["input"])
    removed = {"key": key, "version-id": rejected["version_id"], "sequencer": "F" * 16}
    detail = {"bucket": event["detail"]["bucket"], "object": removed, "deletion-type": "Permanently Deleted"}
    deletion = {**event, "detail-type": "Object Deleted", "detail": detail}
    ended = deployed.run(deletion, deployed.aws.output("DeletionStateMachineArn"))
    again = json.loads(ended["output"])
    assert again["status"] == "UNDELETED"
    assert [one.name for one in visits(deployed.aws, ended["executionArn"])][:3] == [
        "MarkDeleted",
        "Withdraw",
        "Cleanup",
    ]
    deployed.execution(again["execution"])
    row = deployed.row(key)
    assert (row["status"], row["execution"]) == ("REJECTED", again["execution"])
    assert row["renditions"] == shown["renditions"]
    assert deployed.renditions("kept.jpg/") == files


@pytest.mark.parametrize("at", ["at work", "done"])
def test_a_deletion_takes_row_and_renditions_with_it(deployed: Deployed, at):
    """Whether the picture is done or still at work, the row says DELETED and no rendition stays."""
    key = f"deleted {at}.jpg"
    version = deployed.upload(f"raw/{key}", photo(300, 200))
    pictures = deployed.settled(f"raw/{key}", version)["execution"] if at == "done" else None
    deployed.delete(f"raw/{key}")

    def gone() -> dict | None:
        row = deployed.row(f"raw/{key}")
        return row if row.get("status") == "DELETED" else None

    row = eventually(gone, "the row DELETED")
    assert "renditions" not in row
    assert deployed.execution(row["execution"])["status"] == "SUCCEEDED"
    assert row["execution"] != pictures
    eventually(lambda: deployed.idle(f"raw/{key}"), "the end of the picture's own execution")
    assert deployed.renditions(f"{key}/") == set()
    assert deployed.row(f"raw/{key}") == row


def test_what_is_undeleted_is_there_again(deployed: Deployed):
    """A delete marker that is removed, and a newest version that is removed for good: the older version is current
    again, and its row and renditions are made anew."""
    key = "raw/un deleted+é.jpg"
    older = deployed.upload(key, photo(300, 200))
    deployed.settled(key, older)
    deployed.delete(key)
    eventually(lambda: deployed.row(key)["status"] == "DELETED" and not deployed.at_work(), "the row DELETED")
    assert deployed.renditions("un deleted+é.jpg/") == set()

    deployed.remove_version(key, deployed.markers(key)[0])
    row = eventually(lambda: deployed.in_status(key, "SUCCEEDED"), "the row after the marker was removed")
    assert (row["version_id"], row["width"]) == (older, 300)
    assert deployed.renditions("un deleted+é.jpg/") == {one["key"] for one in row["renditions"].values()}

    newer = deployed.upload(key, photo(200, 300))
    assert deployed.settled(key, newer)["width"] == 200
    deployed.remove_version(key, newer)
    row = eventually(
        lambda: deployed.in_status(key, "SUCCEEDED", version=older), "the row after the newest was removed"
    )
    eventually(lambda: not deployed.at_work(), "the end of the deletion")
    assert deployed.renditions("un deleted+é.jpg/") == {one["key"] for one in row["renditions"].values()}
    assert deployed.letters() == []


def test_a_folders_marker_leaves_no_row(deployed: Deployed):
    """As a console makes it and removes it."""
    deployed.upload("raw/2026/", b"")
    [execution] = eventually(lambda: deployed.executions("raw/2026/"), "the execution")
    assert json.loads(deployed.execution(execution["executionArn"])["output"])["status"] == "Duplicate"
    deployed.delete("raw/2026/")
    deployed.picture("raw/after folder.jpg", photo(64, 48))  # by now the earlier event would have been delivered
    eventually(lambda: not deployed.at_work(), "the end of the deletion")
    assert deployed.row("raw/2026/") == {}


@pytest.mark.parametrize("key", ["a b.jpg", "a+b.jpg", "a%20b.jpg", "é/日本語.jpg", "q'\"{% 1 %}.jpg", "deep/er/x.jpg"])
def test_a_key_is_taken_as_it_is(deployed: Deployed, key):
    """Keys are raw everywhere, never URL-decoded: in the row, in the rendition's key, in the execution."""
    row = deployed.picture(f"raw/{key}", photo(64, 48))
    assert row["status"] == "SUCCEEDED"
    assert row["renditions"]["thumb"]["key"].startswith(f"{key}/")
    assert deployed.rendition(row["renditions"]["thumb"]["key"])


def test_objects_elsewhere_in_the_bucket_are_left_alone(deployed: Deployed):
    """Only what is under the upload prefix starts an execution."""
    deployed.upload("elsewhere/photo.jpg", photo(64, 48))
    deployed.picture("raw/after.jpg", photo(64, 48))  # by now the earlier event would have been delivered
    assert deployed.executions("elsewhere/photo.jpg") == []


def test_a_caption_that_fails_does_not_fail_the_picture(deployed: Deployed, without_grant):
    """The model refuses; the row says so; the picture succeeds."""
    with without_grant("caption", "bedrock:Converse"):
        row = deployed.picture("raw/speechless.jpg", photo(300, 200))
    assert row["status"] == "SUCCEEDED"
    assert row["caption"]["status"] == "FAILED"
    assert "AccessDenied" in row["caption"]["reason"]
    assert deployed.letters() == []


def test_a_model_that_is_busy_is_asked_again_as_often_as_the_state_machine_says(deployed: Deployed):
    """By the name of the exception: any other has three attempts."""
    key = "raw/busy.jpg"
    with faulty(deployed, {"caption": {key: ("busy",) * 9}}) as broken:
        row = deployed.picture(key, photo(30, 20))
        attempts = [fault["fault"] for fault in broken.faults()]
    assert attempts == ["busy"] * 9
    assert (row["status"], row["caption"]["status"]) == ("SUCCEEDED", "FAILED")
    assert f"throttled on purpose for {key}" in row["caption"]["reason"]


def test_every_log_line_names_the_picture_and_the_execution(deployed: Deployed):
    """One search finds all that happened to a key; the metrics are beside it."""
    row = deployed.picture("raw/logged.jpg", photo(300, 200))

    def lines() -> list[dict]:
        return [json.loads(line) for line in deployed.log_lines("resize") if line.startswith("{")]

    def of_this_picture() -> list[dict]:
        return [line for line in lines() if line.get("key") == "raw/logged.jpg"]

    rendered = eventually(of_this_picture, "the log lines of the picture")
    assert {line["execution"] for line in rendered} == {row["execution"]}
    metrics = {name for line in lines() if "_aws" in line for name in line}
    assert {"RenderTime", "BytesOut"} <= metrics


def test_all_processes_of_the_functions_share_one_unpacked_layer(deployed: Deployed):
    deployed.picture("raw/layer.jpg", photo(300, 200))
    found = list((deployed.cloud.home / "tmp").glob("ministack-lambda-*/layer_0/python"))
    assert len(found) > 1
    assert len({one.resolve() for one in found}) == 1


def test_captions_off_asks_no_model(deployed: Deployed):
    """The setting, through another real deployment: the row says OFF, and the stack goes on working."""
    deploy(deployed.cloud, {"captions.enabled": "false"})
    try:
        row = deployed.picture("raw/quiet.jpg", photo(300, 200))
        assert row["status"] == "SUCCEEDED"
        assert row["caption"] == {"status": "OFF"}
    finally:
        deploy(deployed.cloud, {"captions.enabled": "true"})
