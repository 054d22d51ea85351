"""A picture that has all but its caption is captioned again by what its row says, and by nothing else."""

import json
from typing import Any

import pytest

from darkroom.errors import TargetError
from darkroom.pipeline.letters import recaption
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import Stacks, darkroom
from tests.schemas import document

REFUSED = {"status": "FAILED", "model": "a.model", "reason": "ModelBusy: throttled"}
SHOWN = {"renditions": {"small": {"key": "cat.jpg/1/small.webp", "width": 480, "height": 360}}}


def put(target: Target, name: str, status: str = "SUCCEEDED", **attributes: Any) -> dict[str, Any]:
    """A row as Record leaves it, as far as it matters here; where it has a caption, it shows a picture."""
    row = {
        "key": f"raw/{name}",
        "status": status,
        "updated_at": f"2024-05-01T10:00:00Z {name}",
        "execution": f"arn of {name}",
        "version_id": "v1",
        "etag": f"etag of {name}",
        **({"shown_version_id": "v1", "content_hash": f"hash of {name}", **SHOWN} if "caption" in attributes else {}),
        **attributes,
    }
    target.results.put_item(Item=row)
    return row


def started(target: Target) -> list[dict[str, Any]]:
    machine = target.output("RecaptionStateMachineArn")
    found = target.states.list_executions(stateMachineArn=machine)["executions"]
    given = [json.loads(target.states.describe_execution(executionArn=one["executionArn"])["input"]) for one in found]
    return sorted(given, key=lambda one: one["source"]["key"])


def test_only_captions_that_failed_are_made_again(target: Target):
    """Of pictures that are shown; with what the state Caption needs, and of which content the caption is to be."""
    put(target, "failed.jpg", caption=REFUSED)
    put(target, "fine.jpg", caption={"status": "OK", "text": "a cat"})
    put(target, "off.jpg", caption={"status": "OFF"})
    put(target, "at-work.jpg", "PROCESSING")
    put(target, "broken.jpg", "FAILED", error={"code": "RuntimeError", "message": "no room"})
    [done] = recaption(target, captions=["FAILED"])
    assert (done["key"], done["reason"], done["redriven"]) == ("raw/failed.jpg", "CAPTION", True)
    assert done["error"] == {"code": "FAILED", "message": "ModelBusy: throttled"}
    source = {"bucket": "uploads", "key": "raw/failed.jpg", "version_id": "v1", "etag": "etag of failed.jpg"}
    assert started(target) == [{"source": source, "content_hash": "hash of failed.jpg"}]


@pytest.mark.parametrize("status", ["REJECTED", "FAILED"])
def test_the_version_that_is_shown_is_captioned_whatever_became_of_a_newer_one(target: Target, status: str):
    """By its own version id; a caption is made of no other version."""
    error = {"code": "corrupt", "message": "no room"}
    put(target, "shown.jpg", status, version_id="v2", etag="of v2", caption=REFUSED, error=error)
    [done] = recaption(target, captions=["FAILED"])
    assert done["redriven"]
    [given] = started(target)
    assert (given["source"]["version_id"], given["content_hash"]) == ("v1", "hash of shown.jpg")


def test_a_row_from_before_rows_said_what_they_show_is_captioned_if_it_succeeded(target: Target):
    """Else nobody knows which version it shows."""
    for status in ("SUCCEEDED", "FAILED"):
        put(target, f"{status}.jpg", status, caption=REFUSED)
        target.results.update_item(Key={"key": f"raw/{status}.jpg"}, UpdateExpression="REMOVE shown_version_id")
    assert [one["key"] for one in recaption(target, captions=["FAILED"])] == ["raw/SUCCEEDED.jpg"]
    [given] = started(target)
    assert given["source"]["version_id"] == "v1"


@pytest.mark.parametrize(("status", "version"), [("PROCESSING", "v1"), ("REJECTED", "null")])
def test_what_is_about_to_be_replaced_or_was_overwritten_is_not_captioned(target: Target, status: str, version: str):
    """A newer version in work brings a caption of its own; a bucket without versions keeps no older one."""
    put(target, "shown.jpg", status, version_id=version, shown_version_id=version, caption=REFUSED)
    assert list(recaption(target, captions=["FAILED"])) == []
    [why] = recaption(target, ["shown.jpg"], captions=["FAILED"])
    assert why["problem"] == f"its row is {status}, its caption FAILED"


def test_pictures_from_before_captions_were_on_are_captioned_too_when_asked(target: Target):
    put(target, "failed.jpg", caption=REFUSED)
    put(target, "off.jpg", caption={"status": "OFF"})
    done = list(recaption(target, captions=["FAILED", "OFF"]))
    assert {one["key"] for one in done} == {"raw/failed.jpg", "raw/off.jpg"}
    assert {one["error"]["message"] for one in done} == {"ModelBusy: throttled", "captions were off"}


def test_of_the_named_pictures_each_that_is_not_captioned_again_says_why(target: Target):
    put(target, "failed.jpg", caption=REFUSED)
    put(target, "other.jpg", caption=REFUSED)
    put(target, "fine.jpg", caption={"status": "OK", "text": "a cat"})
    put(target, "broken.jpg", "FAILED")
    named = ["failed.jpg", "raw/fine.jpg", "broken.jpg", "nowhere.jpg"]
    first, *others = recaption(target, named, captions=["FAILED"])
    assert (first["key"], first["redriven"]) == ("raw/failed.jpg", True)
    assert [(one["key"], one["problem"]) for one in others] == [
        ("raw/fine.jpg", "its row is SUCCEEDED, its caption OK"),
        ("raw/broken.jpg", "its row is FAILED"),
        ("nowhere.jpg", "no row"),
    ]
    assert len(started(target)) == 1


def test_one_that_is_at_work_is_not_started_again_and_one_that_ended_is(
    target: Target, monkeypatch: pytest.MonkeyPatch
):
    """By its name, which is made from key and content, and after that has ended from its own."""
    put(target, "failed.jpg", caption=REFUSED)
    [first] = recaption(target, captions=["FAILED"])
    [again] = recaption(target, captions=["FAILED"])
    assert again["execution"] == first["execution"]
    ended = {"status": "SUCCEEDED"}
    describe = target.states.describe_execution
    monkeypatch.setattr(
        target.states,
        "describe_execution",
        lambda executionArn: ended if executionArn == first["execution"] else describe(executionArn=executionArn),
    )
    [later] = recaption(target, captions=["FAILED"])
    assert later["execution"] != first["execution"]


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("failed.jpg",), ("--caption-off",)])
def test_what_is_printed_is_as_its_schema_says(target: Target, options: tuple[str, ...]):
    put(target, "failed.jpg", caption=REFUSED)
    result = darkroom("--aws", "redrive", "--caption-failed", "--json", *options)
    assert result.exit_code == 0
    [one] = document("redrive", result.stdout)
    assert one["redriven"] is bool("--dry-run" not in options)
    assert len(started(target)) == (0 if "--dry-run" in options else 1)


@pytest.mark.parametrize("other", [("--reason", "STALLED"), ("--status", "FAILED"), ("--include-rejected",)])
def test_captions_and_letters_are_not_mixed(other: tuple[str, ...]):
    assert darkroom("--aws", "redrive", "--caption-failed", *other).exit_code == 2


def test_an_interrupt_leaves_the_other_captions_as_they_are(target: Target, monkeypatch: pytest.MonkeyPatch):
    for name in ("cat.jpg", "dog.jpg"):
        put(target, name, caption=REFUSED)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("darkroom.pipeline.letters.sleep", interrupt)
    result = darkroom("--aws", "redrive", "--caption-failed", "--json")
    assert result.exit_code != 0
    assert len(json.loads(result.stdout)) == len(started(target)) == 1
    assert "Stopped with 1 picture started again. The other captions are as before" in result.stderr


def test_where_captions_are_off_it_says_what_to_set(account: Stacks, target: Target):
    del account.deployed["Darkroom"]["RecaptionStateMachineArn"]
    with pytest.raises(TargetError, match=r"makes no captions: set captions.enabled and run `make deploy`"):
        list(recaption(target, captions=["FAILED"]))
