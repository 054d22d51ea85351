"""Every end that a picture can have, and which execution owns its row then."""

import json
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest

from benchmarks.cost import TRANSITIONS
from tests.statemachine.engine import (
    CAPTION,
    DELETION,
    RENDITIONS,
    Pipeline,
    Run,
    accepts,
    deletion,
    event,
    rejects,
)

FACTS = {
    *("format", "width", "height", "frames", "content_hash", "placeholder", "color", "perceptual_hash"),
    *("notes", "metadata", "renditions", "recipe", "caption", "shown_version_id"),
}
FAILS = "RuntimeError"


def succeeds(pipeline: Pipeline) -> None:
    pipeline.tasks["Validate"].answers = accepts
    pipeline.tasks["Resize"].fails_with(FAILS, times=0)


def is_rejected(pipeline: Pipeline) -> None:
    pipeline.tasks["Validate"].answers = rejects


def fails(pipeline: Pipeline) -> None:
    pipeline.tasks["Validate"].answers = accepts
    pipeline.tasks["Resize"].fails_with(FAILS)


ENDS = {"SUCCEEDED": succeeds, "REJECTED": is_rejected, "FAILED": fails}


def test_a_picture_becomes_its_renditions_and_a_row(pipeline):
    """A good picture ends SUCCEEDED: the facts of the source, each rendition by name, captions OFF, and no letter."""
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=2)
    run = pipeline.run(event())

    assert run.status == "SUCCEEDED"
    row = pipeline.row()
    assert row.pop("created_at")["S"] <= row.pop("updated_at")["S"]
    rendition = {
        "format": {"S": "webp"},
        "content_type": {"S": "image/webp"},
        "width": {"N": "480"},
        "height": {"N": "360"},
        "bytes": {"N": "7"},
    }
    assert row == {
        "key": {"S": "raw/cat.jpg"},
        "status": {"S": "SUCCEEDED"},
        "version_id": {"S": "v1"},
        "shown_version_id": {"S": "v1"},
        "etag": {"S": "etag of v1"},
        "sequencer": {"S": "0A".ljust(40, "0")},
        "execution": {"S": run.arn},
        "size": {"N": "3"},
        "format": {"S": "jpeg"},
        "width": {"N": "4032"},
        "height": {"N": "3024"},
        "frames": {"N": "1"},
        "content_hash": {"S": "c0ffee"},
        "placeholder": {"S": "3OcRJYB4d3h_iIeHeEh3eIhw-j2w"},
        "color": {"S": "#8899aa"},
        "perceptual_hash": {"S": "a1b2c3d4e5f60718"},
        "notes": {"L": []},
        "metadata": {
            "M": {
                "orientation": {"N": "1"},
                "has_alpha": {"BOOL": False},
                "gps": {"M": {"latitude": {"N": "-45.332394"}}},
            }
        },
        "recipe": {"S": "0123456789abcdef"},
        "renditions": {
            "M": {
                "thumb": {"M": {"key": {"S": "cat/1/thumb.webp"}, **rendition}},
                "small": {"M": {"key": {"S": "cat/1/small.webp"}, **rendition}},
            }
        },
        "caption": {"M": {"status": {"S": "OFF"}}},
    }
    assert pipeline.tasks["Caption"].calls == []
    assert pipeline.letters() == []


def test_each_function_is_told_what_its_contract_says(pipeline):
    """Validate, Resize and Caption get the source and the execution, Resize its rendition too; the version is the one
    that Validate read."""
    pipeline.captions = True
    pinned = {"bucket": "uploads", "key": "raw/cat.jpg", "version_id": "v9", "etag": "etag of v1"}
    pipeline.tasks["Validate"].answers = lambda payload: {**accepts(payload), "source": pinned}
    run = pipeline.run(event())

    claimed = {**pinned, "version_id": "v1"}
    assert pipeline.tasks["Validate"].calls == [{"source": claimed, "execution": run.arn}]
    rendition = {"name": "thumb", "key": "cat/1/thumb.webp"}
    assert pipeline.tasks["Resize"].calls == [{"source": pinned, "rendition": rendition, "execution": run.arn}]
    assert pipeline.tasks["Caption"].calls == [{"source": pinned, "execution": run.arn}]
    assert pipeline.row()["version_id"] == {"S": "v9"}


@pytest.mark.parametrize(("notes", "written"), [(None, []), (["one"], ["one"]), (["one", "two"], ["one", "two"])])
def test_what_validate_noticed_is_a_list_in_the_row(pipeline, notes, written):
    """No, one or two remarks on a picture are a list of that length."""
    remarks = {} if notes is None else {"notes": notes}

    def noticing(payload: dict[str, Any]) -> dict[str, Any]:
        verdict = accepts(payload)
        return {**verdict, "picture": {**without(verdict["picture"], "notes"), **remarks}}

    pipeline.tasks["Validate"].answers = noticing
    assert pipeline.run(event()).status == "SUCCEEDED"
    assert pipeline.row()["notes"] == {"L": [{"S": note} for note in written]}


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {member: value for member, value in members.items() if member != name}


CAPTION_WRITTEN = {
    "status": {"S": "OK"},
    "text": {"S": "a cat"},
    "model": {"S": "a.model"},
    "input_tokens": {"N": "9"},
    "output_tokens": {"N": "2"},
}


def test_the_caption_is_in_the_row_when_captions_are_on(pipeline):
    """The model's text and its tokens are there, in native types."""
    pipeline.captions = True
    assert pipeline.run(event()).status == "SUCCEEDED"
    assert pipeline.row()["caption"]["M"] == CAPTION_WRITTEN


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": "FAILED", "model": "a.model", "reason": "throttled"}, "throttled"),
        ({**CAPTION, "status": "FAILED", "text": None, "reason": "no text"}, "no text"),
        ({}, "the answer is no caption"),
        (None, "the answer is no caption"),
        ("a cat", "the answer is no caption"),
    ],
)
def test_a_caption_that_fails_never_fails_the_picture(pipeline, answer, reason):
    """Whatever the function answers, the picture succeeds, and the row says why there is no caption."""
    pipeline.captions = True
    pipeline.tasks["Caption"].answers = answer
    run = pipeline.run(event())

    assert (run.status, pipeline.row()["status"]["S"]) == ("SUCCEEDED", "SUCCEEDED")
    assert pipeline.row()["caption"]["M"]["status"] == {"S": "FAILED"}
    assert pipeline.row()["caption"]["M"]["reason"] == {"S": reason}
    assert pipeline.letters() == []


@pytest.mark.parametrize("error", ["MemoryError", "Lambda.TooManyRequestsException", "States.Timeout", "ModelBusy"])
def test_a_caption_function_that_dies_never_fails_the_picture(pipeline, error):
    """After its retries the function is told what ended it, so that it counts that; the row has what it answers."""
    pipeline.captions = True
    pipeline.tasks["Caption"].fails_with(error)
    run = pipeline.run(event())
    assert run.status == "SUCCEEDED"
    assert pipeline.row()["caption"]["M"] == {"status": {"S": "FAILED"}, "reason": {"S": error}}
    assert pipeline.letters() == []
    [told] = pipeline.tasks["NoCaption"].calls
    assert (told["source"]["key"], told["execution"], told["error"]["Error"]) == ("raw/cat.jpg", run.arn, error)


def test_a_function_that_cannot_even_say_so_never_fails_the_picture(pipeline):
    pipeline.captions = True
    pipeline.tasks["Caption"].fails_with("MemoryError")
    pipeline.tasks["NoCaption"].fails_with("RuntimeError")
    run = pipeline.run(event())
    assert (run.status, run.states[-4:]) == ("SUCCEEDED", ["NoCaption", "Uncounted", "Record", "Leftovers"])
    assert pipeline.row()["caption"]["M"] == {"status": {"S": "FAILED"}, "reason": {"S": "RuntimeError"}}


def test_a_model_that_is_throttled_for_minutes_gives_its_caption_after_all(pipeline):
    """Eight retries: the first after 20 s at most, then up to double, never over 3 minutes; nothing is counted."""
    pipeline.captions = True
    pipeline.tasks["Caption"].fails_with("ModelBusy", times=8)
    assert pipeline.run(event()).status == "SUCCEEDED"
    assert pipeline.row()["caption"]["M"]["text"] == {"S": "a cat"}
    assert pipeline.waits == [20, 40, 80, 160, 180, 180, 180, 180]
    assert pipeline.tasks["NoCaption"].calls == []


@pytest.fixture
def speechless(pipeline: Pipeline) -> Pipeline:
    """With a picture that succeeded without a caption."""
    pipeline.captions = True
    pipeline.tasks["Caption"].fails_with("ModelBusy", times=9)
    pipeline.run(event())
    assert pipeline.row()["caption"]["M"]["status"] == {"S": "FAILED"}
    return pipeline


def test_a_caption_is_made_again_and_the_rest_of_the_row_stays(speechless):
    """The function gets what it got first; two states, no letter, no other function."""
    before = speechless.row()
    resized = len(speechless.tasks["Resize"].calls)
    run = speechless.recaption()
    assert (run.status, run.states) == ("SUCCEEDED", ["Caption", "Record"])
    after = speechless.row()
    assert after.pop("caption")["M"] == CAPTION_WRITTEN
    del before["caption"]
    assert after == before
    first, *_, again = speechless.tasks["Caption"].calls
    assert again == {"source": first["source"], "execution": run.arn}
    assert len(speechless.tasks["Resize"].calls) == resized


def test_a_caption_that_fails_again_says_why(speechless):
    """The row keeps all else, and can be captioned once more."""
    speechless.tasks["Caption"].answers = {"status": "FAILED", "model": "a.model", "reason": "not allowed"}
    before = speechless.row()
    assert speechless.recaption().status == "SUCCEEDED"
    assert speechless.row()["caption"]["M"]["reason"] == {"S": "not allowed"}
    assert {**speechless.row(), "caption": before["caption"]} == before


@pytest.mark.parametrize("happens", ["upload", "deletion", "caption"])
def test_what_happens_to_the_picture_meanwhile_wins(speechless, happens):
    """A newer upload, the deletion, a caption by somebody else: the row stays as that left it."""
    ways = {
        "upload": lambda: speechless.run(event(sequencer="0B", version="v2")),
        "deletion": lambda: speechless.run(deletion(), machine=DELETION),
        "caption": lambda: speechless.recaption(),
    }
    speechless.tasks["Caption"].meanwhile(ways[happens])
    run = speechless.recaption()
    assert (run.status, run.states[-1]) == ("SUCCEEDED", "Superseded")
    row = speechless.row()
    wanted = {"upload": ("SUCCEEDED", "v2"), "deletion": ("DELETED", "marker"), "caption": ("SUCCEEDED", "v1")}
    assert (row["status"]["S"], row["version_id"]["S"]) == wanted[happens]
    assert row.get("caption", {"M": {}})["M"].get("status") == (None if happens == "deletion" else {"S": "OK"})


@pytest.mark.parametrize("ending", ["REJECTED", "FAILED"])
def test_the_version_that_is_shown_is_captioned_whatever_became_of_a_newer_one(speechless, ending):
    """By its own version; the rest of the row, which speaks of the newer one, stays. Also if that one comes to its end
    meanwhile: what is shown is the same."""
    ENDS[ending](speechless)
    speechless.tasks["Caption"].meanwhile(lambda: speechless.run(event(sequencer="0B", version="v2")))
    assert speechless.recaption().states == ["Caption", "Record"]
    assert (speechless.row()["status"], speechless.row()["version_id"]) == ({"S": ending}, {"S": "v2"})
    assert speechless.row()["caption"]["M"]["text"] == {"S": "a cat"}
    assert speechless.tasks["Caption"].calls[-1]["source"]["version_id"] == "v1"


def test_a_caption_of_other_content_is_not_written(speechless):
    """A newer version succeeded meanwhile, and has no caption either: it is of another picture."""

    def another() -> None:
        speechless.tasks["Caption"].fails_with("RuntimeError", times=3)
        speechless.tasks["Validate"].answers = lambda payload: {
            **accepts(payload),
            "picture": {**accepts(payload)["picture"], "content_hash": "another"},
        }
        speechless.run(event(sequencer="0B", version="v2"))

    speechless.tasks["Caption"].meanwhile(another)
    assert speechless.recaption().states[-1] == "Superseded"
    assert (speechless.row()["version_id"], speechless.row()["caption"]["M"]["status"]) == (
        {"S": "v2"},
        {"S": "FAILED"},
    )


def test_a_caption_that_cannot_be_written_leaves_the_row_as_it_was(speechless):
    """And no letter: a letter would make the whole picture again."""
    before = speechless.row()
    speechless.tasks["Record"].fails_with("DynamoDB.InternalServerError")
    assert speechless.recaption().status == "FAILED"
    assert (speechless.row(), speechless.letters()) == (before, [])


def test_a_rejection_is_a_verdict(pipeline):
    """Bad input ends as a success with its reason in the row: no retry, no renditions, no letter."""
    is_rejected(pipeline)
    run = pipeline.run(event())

    reason = {"code": "unsupported_format", "message": "not a picture"}
    assert run.output == {"status": "REJECTED", "key": "raw/cat.jpg", "error": reason}
    assert pipeline.row()["status"] == {"S": "REJECTED"}
    assert pipeline.row()["error"]["M"] == {name: {"S": text} for name, text in reason.items()}
    assert len(pipeline.tasks["Validate"].calls) == 1
    assert (pipeline.tasks["Resize"].calls, pipeline.waits, pipeline.letters()) == ([], [], [])


def test_a_failure_leaves_a_row_and_one_letter(pipeline):
    """The letter has the contract's members and the whole event, from which the picture can be redriven."""
    fails(pipeline)
    run = pipeline.run(event())

    error = {"code": FAILS, "message": f"it said {FAILS}"}
    assert (run.status, run.error, run.cause) == ("FAILED", error["code"], error["message"])
    assert pipeline.row()["status"] == {"S": "FAILED"}
    assert pipeline.row()["error"]["M"] == {name: {"S": text} for name, text in error.items()}
    assert FACTS.isdisjoint(pipeline.row())
    assert pipeline.letters() == [
        {
            "key": "raw/cat.jpg",
            "bucket": "uploads",
            "error": error,
            "execution": run.arn,
            "event": event(),
            "reason": "FAILED",
        }
    ]


@pytest.mark.parametrize(("captions", "transitions"), [(False, TRANSITIONS), (True, TRANSITIONS + 1)])
def test_what_a_picture_with_four_renditions_costs(pipeline, captions, transitions):
    """11 state transitions with captions off, 12 with captions on: they are most of what a picture costs."""
    pipeline.captions = captions
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=len(RENDITIONS))
    run = pipeline.run(event())
    assert run.states.count("Resize") == 4
    assert len(run.states) == transitions


@pytest.mark.parametrize("ending", ENDS)
def test_a_duplicate_changes_nothing(pipeline, ending):
    """The same event a second time ends as a success, however the first one ended: same row, no second letter."""
    ENDS[ending](pipeline)
    pipeline.run(event())
    row, letters = pipeline.row(), pipeline.letters()
    assert row["status"] == {"S": ending}

    succeeds(pipeline)
    run = pipeline.run(event())
    assert run.states == ["Claim", "Duplicate"]
    assert run.output == {"status": "Duplicate", "key": "raw/cat.jpg"}
    assert (pipeline.row(), pipeline.letters()) == (row, letters)


def test_a_duplicate_of_a_picture_in_work_leaves_it_alone(pipeline):
    """Of two deliveries at once, the first to claim works and the other ends."""
    duplicates = []
    pipeline.tasks["Resize"].meanwhile(lambda: duplicates.append(pipeline.run(event())))
    run = pipeline.run(event())
    assert [duplicate.states for duplicate in duplicates] == [["Claim", "Duplicate"]]
    assert run.states[-2:] == ["Record", "Leftovers"]
    assert pipeline.row()["execution"] == {"S": run.arn}


@pytest.mark.parametrize("at", ["Claim", "Validate", "Resize", "Record"])
def test_of_ten_deliveries_at_once_one_works(pipeline, at):
    """Wherever the other nine come in between: one row and one set of renditions, and each of the rest says why."""
    runs = []
    pipeline.tasks[at].meanwhile(lambda: runs.extend(pipeline.run(event()) for _ in range(9)))
    runs.append(pipeline.run(event()))
    said = sorted(run.output["status"] for run in runs)
    assert said == [*["Duplicate"] * 9, "SUCCEEDED"]
    [worked] = [run for run in runs if run.output["status"] == "SUCCEEDED"]
    assert pipeline.row()["execution"] == {"S": worked.arn}
    assert len(pipeline.rows()) == len(pipeline.tasks["Validate"].calls) == len(pipeline.tasks["Resize"].calls) == 1


@pytest.mark.parametrize("ending", ENDS)
def test_an_older_event_never_overwrites_a_newer_one(pipeline, ending):
    """Events out of order: the row goes on speaking of the newest version, however that one ended."""
    ENDS[ending](pipeline)
    pipeline.run(event(sequencer="0B", version="v2"))
    row = pipeline.row()

    succeeds(pipeline)
    assert pipeline.run(event(sequencer="0A", version="v1")).states == ["Claim", "Duplicate"]
    assert pipeline.row() == row


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        ("0A", "0A1", True),
        ("0A1", "0A", False),
        ("0A", "0A0", False),
        ("0A0", "0A", False),
        ("0A", "0B", True),
        ("09F", "0A", True),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E6", True),
        ("0055AED6DCD90281E5", "0055AED6DCD902", False),
    ],
)
def test_sequencers_are_compared_as_if_of_one_length(pipeline, first, second, wins):
    """The shorter one counts as if filled with zeros on its right, so 0A is less than 0A1 and the same as 0A0."""
    pipeline.run(event(sequencer=first))
    run = pipeline.run(event(sequencer=second))
    assert (run.output["status"] == "SUCCEEDED") is wins


def test_events_of_other_keys_are_no_rivals(pipeline):
    """Sequencers order the events of one key only."""
    pipeline.run(event("raw/cat.jpg", sequencer="0B"))
    assert pipeline.run(event("raw/dog.jpg", sequencer="0A")).output["status"] == "SUCCEEDED"


@pytest.mark.parametrize("before", ENDS)
@pytest.mark.parametrize("after", ENDS)
def test_a_row_shows_the_last_version_that_succeeded(pipeline, before, after):
    """It speaks of the newest version from its claim on: status, version and error are of that. What was made and
    measured of a version stays as a whole until a newer one succeeds, and says of which version it is."""
    ENDS[before](pipeline)
    pipeline.run(event(sequencer="0A", version="v1"))
    first, seen = pipeline.row(), []
    shown = {name: first[name] for name in FACTS & first.keys()}
    assert shown.get("shown_version_id") == ({"S": "v1"} if before == "SUCCEEDED" else None)

    ENDS[after](pipeline)
    pipeline.tasks["Validate"].meanwhile(lambda: seen.append(pipeline.row()))
    pipeline.run(event(sequencer="0B", version="v2"))

    assert (seen[0]["status"], seen[0]["version_id"]) == ({"S": "PROCESSING"}, {"S": "v2"})
    assert "error" not in seen[0]
    assert {name: seen[0][name] for name in FACTS & seen[0].keys()} == shown
    row = pipeline.row()
    assert (row["status"], row["version_id"]) == ({"S": after}, {"S": "v2"})
    assert row["created_at"] == first["created_at"]
    assert ("error" in row) is (after != "SUCCEEDED")
    if after == "SUCCEEDED":
        assert row.keys() >= FACTS
        assert row["shown_version_id"] == {"S": "v2"}
    else:
        assert {name: row[name] for name in FACTS & row.keys()} == shown


@pytest.mark.parametrize(
    ("ending", "at"), [("SUCCEEDED", "Record"), ("REJECTED", "Reject"), ("FAILED", "RecordFailure")]
)
def test_who_lost_the_row_to_a_newer_version_does_not_write_it(pipeline, ending, at):
    """An execution overtaken while at work ends as Superseded: the newer version's row stays, and no letter is sent."""
    rows = []

    def a_newer_version() -> None:
        pipeline.run(event(sequencer="0B", version="v2"))
        rows.append(pipeline.row())
        ENDS[ending](pipeline)

    pipeline.tasks["Validate"].meanwhile(a_newer_version)
    run = pipeline.run(event(sequencer="0A", version="v1"))

    assert run.states[-4:] == [at, "Superseded", "Leftovers", "Cleanup"]
    assert run.output == {"status": "Superseded", "key": "raw/cat.jpg"}
    assert [pipeline.row()] == rows
    assert rows[0]["version_id"] == {"S": "v2"}
    assert pipeline.letters() == []


@pytest.mark.parametrize("during", ["Resize", "Record"])
def test_a_picture_overwritten_while_it_is_rendered_has_one_set_of_renditions(pipeline, during):
    """The newer version's are in the row; the older one ends by cleaning up its own."""
    pipeline.tasks[during].meanwhile(lambda: pipeline.run(event(sequencer="0B", version="v2")))
    run = pipeline.run(event(sequencer="0A", version="v1"))
    assert run.output == {"status": "Superseded", "key": "raw/cat.jpg"}
    assert [(row["status"], row["version_id"]) for row in pipeline.rows()] == [({"S": "SUCCEEDED"}, {"S": "v2"})]
    assert pipeline.tasks["Cleanup"].calls[-1]["execution"] == run.arn


@pytest.mark.parametrize(("ending", "at"), [("SUCCEEDED", "Claim"), ("SUCCEEDED", "Record"), ("REJECTED", "Reject")])
@pytest.mark.parametrize("error", ["DynamoDB.InternalServerError", "States.Timeout"])
def test_a_write_whose_answer_was_lost_is_not_taken_for_a_rival(pipeline, ending, at, error):
    """The retry of a write that took effect finds its own name in the row and goes on."""
    ENDS[ending](pipeline)
    pipeline.tasks[at].loses_its_answer(error)
    run = pipeline.run(event())

    assert run.output["status"] == ending
    assert pipeline.row()["status"] == {"S": ending}
    assert len(pipeline.tasks[at].calls) == 2


def test_a_failure_whose_record_lost_its_answer_still_sends_its_letter(pipeline):
    """RecordFailure, tried again over its own row, goes on to the letter."""
    fails(pipeline)
    pipeline.tasks["RecordFailure"].loses_its_answer("DynamoDB.InternalServerError")
    assert pipeline.run(event()).states[-2:] == ["DeadLetter", "Failed"]
    assert len(pipeline.letters()) == 1


def test_a_redrive_works_on_a_failed_picture_again(pipeline):
    """The event of a letter, sent again in the name of its execution, ends SUCCEEDED; the error leaves the row."""
    fails(pipeline)
    failed = pipeline.run(event())
    succeeds(pipeline)
    run = pipeline.run(pipeline.letters()[0]["event"], redrives=failed)

    assert run.output["status"] == "SUCCEEDED"
    assert pipeline.row()["status"] == {"S": "SUCCEEDED"}
    assert "error" not in pipeline.row()


def test_a_redrive_works_on_a_picture_whose_failure_was_not_recorded(pipeline):
    """The row still says PROCESSING then, and is not in the redrive's way."""
    fails(pipeline)
    pipeline.tasks["RecordFailure"].fails_with("DynamoDB.InternalServerError")
    failed = pipeline.run(event())
    assert pipeline.row()["status"] == {"S": "PROCESSING"}
    succeeds(pipeline)
    assert pipeline.run(pipeline.letters()[0]["event"], redrives=failed).output["status"] == "SUCCEEDED"


def test_a_redrive_that_fails_again_sends_a_letter_that_can_be_redriven(pipeline):
    """Whose execution is the one that owns the row now."""
    fails(pipeline)
    failed = pipeline.run(event())
    again = pipeline.run(event(), redrives=failed)
    assert again.status == "FAILED"
    assert [letter["execution"] for letter in pipeline.letters()] == [failed.arn, again.arn]
    assert pipeline.row()["status"] == {"S": "FAILED"}
    succeeds(pipeline)
    assert pipeline.run(pipeline.letters()[1]["event"], redrives=again).output["status"] == "SUCCEEDED"


@pytest.mark.parametrize("ending", ENDS)
def test_a_letter_is_redriven_once(pipeline, ending):
    """After it the row belongs to the redrive, however that ended; the same letter again is a duplicate."""
    fails(pipeline)
    failed = pipeline.run(event())
    ENDS[ending](pipeline)
    pipeline.run(event(), redrives=failed)
    row = pipeline.row()
    succeeds(pipeline)
    assert pipeline.run(event(), redrives=failed).states == ["Claim", "Duplicate"]
    assert pipeline.row() == row


def test_two_letters_of_one_execution_are_worked_on_once(pipeline):
    """A sweep that died just after its letter is followed by another letter: both redrives begin, and one works."""
    fails(pipeline)
    failed = pipeline.run(event())
    succeeds(pipeline)
    redrives = []
    pipeline.tasks["Validate"].meanwhile(lambda: redrives.append(pipeline.run(event(), redrives=failed)))
    redrives.append(pipeline.run(event(), redrives=failed))
    assert [run.output["status"] for run in redrives] == ["Duplicate", "SUCCEEDED"]
    assert (len(pipeline.rows()), len(pipeline.tasks["Resize"].calls)) == (1, 3 + 1)


def test_two_letters_of_one_deletion_delete_once(pipeline):
    """The second finds the row in the hands of the first redrive."""
    pipeline.run(event())
    pipeline.tasks["Cleanup"].fails_with("States.Timeout")
    failed = pipeline.run(deletion(), machine=DELETION)
    pipeline.tasks["Cleanup"].fails_with("States.Timeout", times=0)
    redrives = [pipeline.run(deletion(), machine=DELETION, redrives=failed) for _ in range(2)]
    assert [run.output["status"] for run in redrives] == ["DELETED", "Superseded"]
    assert pipeline.row()["status"] == {"S": "DELETED"}


def test_a_redrive_does_not_bring_back_an_older_version(pipeline):
    """A letter of a version that has been overwritten since is spent."""
    fails(pipeline)
    failed = pipeline.run(event(sequencer="0A"))
    pipeline.run(event(sequencer="0B", version="v2"))
    succeeds(pipeline)
    assert pipeline.run(event(sequencer="0A"), redrives=failed).states == ["Claim", "Duplicate"]


@pytest.mark.parametrize("ending", ENDS)
def test_only_a_key_that_had_a_row_is_cleaned_up(pipeline, ending):
    """A new picture does not pay for it; a newer version's success or rejection does, once."""
    ENDS[ending](pipeline)
    pipeline.run(event(sequencer="0A"))
    assert pipeline.tasks["Cleanup"].calls == []

    run = pipeline.run(event(sequencer="0B", version="v2"))
    cleaned = {"source": {"key": "raw/cat.jpg"}, "execution": run.arn}
    assert pipeline.tasks["Cleanup"].calls == ([] if ending == "FAILED" else [cleaned])


@pytest.mark.parametrize("overtaken", [False, True])
def test_a_cleanup_that_fails_never_fails_the_picture(pipeline, overtaken):
    """What could not be removed is left for the next execution of this key; the row and the output stay as they are."""
    pipeline.run(event(sequencer="0A"))
    if overtaken:
        pipeline.tasks["Validate"].meanwhile(lambda: pipeline.run(event(sequencer="0C", version="v3")))
    pipeline.tasks["Cleanup"].fails_with("Lambda.Unknown")
    run = pipeline.run(event(sequencer="0B", version="v2"))
    assert run.states[-1] == "LeftBehind"
    assert run.output["status"] == ("Superseded" if overtaken else "SUCCEEDED")
    assert pipeline.row()["status"] == {"S": "SUCCEEDED"}
    assert pipeline.letters() == []


@pytest.mark.parametrize("ending", ENDS)
def test_a_deletion_leaves_only_that_it_happened(pipeline, ending):
    """The row says DELETED and forgets the picture, whatever became of that; its renditions are cleaned up."""
    ENDS[ending](pipeline)
    pipeline.run(event())
    created = pipeline.row()["created_at"]
    run = pipeline.run(deletion(), machine=DELETION)

    assert run.output == {"status": "DELETED", "key": "raw/cat.jpg"}
    row = pipeline.row()
    assert row.pop("created_at") == created
    assert set(row) == {"key", "status", "version_id", "sequencer", "execution", "updated_at"}
    assert (row["status"], row["version_id"]) == ({"S": "DELETED"}, {"S": "marker"})
    assert pipeline.tasks["Cleanup"].calls[-1] == {"source": {"key": "raw/cat.jpg"}, "execution": run.arn}


def test_a_deletion_stops_a_picture_in_work(pipeline):
    """The picture's own execution finds its row taken, and removes what it made."""
    pipeline.tasks["Validate"].meanwhile(lambda: pipeline.run(deletion(), machine=DELETION))
    run = pipeline.run(event())
    assert run.states[-4:] == ["Record", "Superseded", "Leftovers", "Cleanup"]
    assert pipeline.row()["status"] == {"S": "DELETED"}
    assert len(pipeline.tasks["Cleanup"].calls) == 2


def test_a_deletion_may_come_before_what_it_deletes(pipeline):
    """Events out of order: the creation that comes late finds a newer row."""
    pipeline.run(deletion(), machine=DELETION)
    assert pipeline.run(event()).states == ["Claim", "Duplicate"]
    assert pipeline.row()["status"] == {"S": "DELETED"}


def test_a_deletion_without_a_version_is_of_the_whole_picture(pipeline):
    """A bucket that keeps no versions names none, and S3 calls each of its deletions permanent."""
    gone = deletion(version=None, marker=False)
    assert pipeline.run(event(version=None)).output["status"] == "SUCCEEDED"
    assert pipeline.run(gone, machine=DELETION).output["status"] == "DELETED"
    assert "shown_version_id" not in pipeline.row()


def test_a_deletion_without_a_version_may_come_before_what_it_deletes(pipeline):
    """Events out of order: here too the creation that comes late finds a newer row."""
    pipeline.run(deletion(version=None, marker=False), machine=DELETION)
    assert pipeline.run(event(version=None)).states == ["Claim", "Duplicate"]
    assert pipeline.row()["status"] == {"S": "DELETED"}


def test_a_deleted_picture_may_be_uploaded_again(pipeline):
    """The newer event wins, and the row speaks of the new picture."""
    pipeline.run(deletion(), machine=DELETION)
    assert pipeline.run(event(sequencer="0E", version="v2")).output["status"] == "SUCCEEDED"
    assert pipeline.run(deletion(), machine=DELETION).output["status"] == "Superseded"
    assert pipeline.row()["status"] == {"S": "SUCCEEDED"}


@pytest.mark.parametrize(("version", "deleted"), [("v2", True), ("v1", False)])
def test_the_deletion_of_one_version_concerns_the_row_that_speaks_of_it(pipeline, version, deleted):
    """An old version that somebody removes leaves the current picture alone."""
    pipeline.run(event(sequencer="0A", version="v1"))
    pipeline.run(event(sequencer="0B", version="v2"))
    run = pipeline.run(deletion(version=version, marker=False), machine=DELETION)
    assert run.output["status"] == ("DELETED" if deleted else "Superseded")
    assert pipeline.row()["status"] == {"S": "DELETED" if deleted else "SUCCEEDED"}


def test_the_deletion_of_one_version_makes_no_row(pipeline):
    """An old version of a picture from before the pipeline: the picture is still there."""
    run = pipeline.run(deletion(version="v0", marker=False), machine=DELETION)
    assert (run.states, pipeline.rows()) == (["MarkDeleted", "Withdraw", "Superseded"], [])


def test_a_deletion_costs_five_transitions(pipeline):
    """Three of them look whether something is there."""
    pipeline.run(event())
    states = pipeline.run(deletion(), machine=DELETION).states
    assert states == ["MarkDeleted", "Cleanup", "Look", "Undeleted?", "Deleted"]


def undeleted(pipeline: Pipeline, run: Run, version: str) -> bool:
    """Whether the picture is there again, made anew from that version by an execution that this one started."""
    row = pipeline.row()
    assert run.output == {"status": "UNDELETED", "key": "raw/cat.jpg", "execution": row["execution"]["S"]}
    return (row["status"], row["version_id"]) == ({"S": "SUCCEEDED"}, {"S": version})


def test_a_picture_whose_delete_marker_is_removed_is_there_again(pipeline):
    """S3 sends no event of what is current again, so that the deletion starts it: with all that an upload tells."""
    version = pipeline.upload()
    pipeline.run(event(sequencer="0A", version=version))
    marker = pipeline.delete()
    pipeline.run(deletion(sequencer="0B", version=marker), machine=DELETION)
    assert pipeline.row()["status"] == {"S": "DELETED"}

    pipeline.delete(version=marker)
    run = pipeline.run(deletion(sequencer="0C", version=marker, marker=False), machine=DELETION)
    assert run.states == ["MarkDeleted", "Cleanup", "Look", "Undeleted?", "Undelete"]
    assert undeleted(pipeline, run, version)
    [started] = pipeline.tasks["Undelete"].calls
    assert json.loads(started["Input"]) == {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": "uploads"},
            "object": {
                "key": "raw/cat.jpg",
                "size": 3,
                "etag": md5(b"cat").hexdigest(),
                "version-id": version,
                "sequencer": "0C",
            },
        },
        "redrives": run.arn,
    }


@pytest.mark.parametrize("version_is_told", [True, False])
def test_the_version_before_one_that_is_removed_for_good_is_there_again(pipeline, version_is_told):
    """It is current again. The local cloud does not tell which version was removed: it may be the row's."""
    older, newer = pipeline.upload(), pipeline.upload(data=b"dog")
    pipeline.run(event(sequencer="0A", version=older))
    pipeline.run(event(sequencer="0B", version=newer))
    pipeline.delete(version=newer)
    told = newer if version_is_told else None
    run = pipeline.run(deletion(sequencer="0C", version=told, marker=False), machine=DELETION)
    assert undeleted(pipeline, run, older)


def test_a_marker_whose_removal_was_told_first_is_no_deletion(pipeline):
    """The event of the removal finds a row that does not speak of the marker; that of the marker finds no marker."""
    version = pipeline.upload()
    pipeline.run(event(sequencer="0A", version=version))
    marker = pipeline.delete()
    pipeline.delete(version=marker)
    early = pipeline.run(deletion(sequencer="0C", version=marker, marker=False), machine=DELETION)
    late = pipeline.run(deletion(sequencer="0B", version=marker), machine=DELETION)
    assert early.output["status"] == "Superseded"
    assert undeleted(pipeline, late, version)


def leave_nothing(pipeline: Pipeline) -> None:
    """All versions are gone."""


def leave_a_marker(pipeline: Pipeline) -> None:
    pipeline.upload()
    pipeline.delete()


def leave_a_namesake(pipeline: Pipeline) -> None:
    """A key that begins like the deleted one."""
    pipeline.upload("raw/cat.jpg.bak")


@pytest.mark.parametrize("leave", [leave_nothing, leave_a_marker, leave_a_namesake])
def test_where_nothing_is_there_a_deletion_starts_nothing(pipeline, leave):
    """Nothing at all, a delete marker, or another picture only."""
    pipeline.run(event(sequencer="0A", version="v1"))
    leave(pipeline)
    run = pipeline.run(deletion(version="v1", marker=False), machine=DELETION)
    assert run.output == {"status": "DELETED", "key": "raw/cat.jpg"}
    assert pipeline.row()["status"] == {"S": "DELETED"}
    assert pipeline.tasks["Undelete"].calls == []


@pytest.mark.parametrize("at", ["Cleanup", "Look", "Undelete"])
def test_a_newer_upload_wins_over_an_undelete(pipeline, at):
    """Whenever its event comes: it takes the row, and what was found before that ends as a duplicate of no use."""
    version = pipeline.upload()
    pipeline.run(event(sequencer="0A", version=version))
    pipeline.tasks[at].meanwhile(lambda: pipeline.run(event(sequencer="0D", version="v9")))
    pipeline.run(deletion(sequencer="0C", version=version, marker=False), machine=DELETION)
    row = pipeline.row()
    assert (row["status"], row["version_id"]) == ({"S": "SUCCEEDED"}, {"S": "v9"})


def test_a_newer_upload_wins_over_an_undelete_at_work(pipeline):
    """The undelete finds its row taken, as any older upload does."""
    version = pipeline.upload()
    pipeline.run(event(sequencer="0A", version=version))
    happens = lambda: pipeline.run(event(sequencer="0D", version="v9"))  # noqa: E731
    pipeline.tasks["Undelete"].meanwhile(lambda: pipeline.tasks["Validate"].meanwhile(happens))
    pipeline.run(deletion(sequencer="0C", version=version, marker=False), machine=DELETION)
    assert pipeline.row()["version_id"] == {"S": "v9"}


def test_an_undelete_whose_answer_was_lost_works_once(pipeline):
    """It is started again, and the second finds the row in the hands of the first."""
    version = pipeline.upload()
    pipeline.run(event(sequencer="0A", version="v2"))
    pipeline.tasks["Undelete"].loses_its_answer("StepFunctions.ServiceUnavailable")
    pipeline.run(deletion(sequencer="0C", version="v2", marker=False), machine=DELETION)
    assert len(pipeline.tasks["Undelete"].calls) == 2
    assert len(pipeline.tasks["Validate"].calls) == 1 + 1
    assert pipeline.row()["version_id"] == {"S": version}


def test_an_undelete_that_fails_can_be_redriven(pipeline):
    """Its letter is of the picture's own execution, like that of an upload."""
    pipeline.upload()
    pipeline.run(event(sequencer="0A", version="v2"))
    fails(pipeline)
    pipeline.run(deletion(sequencer="0C", version="v2", marker=False), machine=DELETION)
    assert pipeline.row()["status"] == {"S": "FAILED"}
    [letter] = pipeline.letters()
    succeeds(pipeline)
    again = {**letter["event"], "redrives": letter["execution"]}
    assert pipeline.run(again).output["status"] == "SUCCEEDED"


FOLDER = {"key": "raw/2026/", "size": 0}


def of_a_folder(happened: dict[str, Any]) -> dict[str, Any]:
    happened["detail"]["object"] |= FOLDER
    return happened


def test_a_folders_marker_is_no_picture(pipeline):
    """A console makes one of 0 bytes, and may delete it: neither leaves a row, and no function is called for it."""
    assert pipeline.run(of_a_folder(event())).states == ["Claim", "Duplicate"]
    assert pipeline.run(of_a_folder(deletion()), machine=DELETION).output["status"] == "Superseded"
    assert pipeline.rows() == []


def test_a_folders_marker_that_could_not_be_looked_at_is_no_picture(pipeline):
    """While the table is away it gets no row, and no letter."""
    pipeline.tasks["Claim"].fails_with("DynamoDB.InternalServerError")
    assert pipeline.run(of_a_folder(event())).status == "SUCCEEDED"
    assert (pipeline.rows(), pipeline.letters()) == ([], [])


@pytest.mark.parametrize(("key", "size"), [("raw/empty.jpg", 0), ("raw/2026/", 3)])
def test_what_only_resembles_a_folders_marker_is_a_picture(pipeline, key, size):
    """An empty file gets its verdict, and a file whose name ends in a slash too."""
    happened = event(key)
    happened["detail"]["object"]["size"] = size
    assert pipeline.run(happened).output["status"] == "SUCCEEDED"
    assert pipeline.run(deletion(key), machine=DELETION).output["status"] == "DELETED"


@pytest.mark.parametrize("task", ["MarkDeleted", "Cleanup", "Look", "Undelete"])
def test_a_deletion_that_fails_sends_a_letter_that_can_be_redriven(pipeline, task):
    """It carries the event; redriven in the name of its execution, the deletion is done whatever the row says."""
    pipeline.upload()
    pipeline.run(event())
    pipeline.tasks[task].fails_with("States.Timeout")
    failed = pipeline.run(deletion(), machine=DELETION)
    assert failed.states[-3:] == ["Explain", "DeadLetter", "Failed"]
    [letter] = pipeline.letters()
    assert (letter["event"], letter["execution"]) == (deletion(), failed.arn)

    pipeline.tasks[task].fails_with("States.Timeout", times=0)
    again = pipeline.run(letter["event"], machine=DELETION, redrives=failed)
    assert again.output["status"] == "UNDELETED"
    assert pipeline.row()["status"] == {"S": "SUCCEEDED"}


@pytest.mark.parametrize(
    "key",
    [
        "raw/two words.jpg",
        "raw/a b+c%20é.jpg",
        "raw/it's.jpg",
        'raw/"quoted".jpg',
        r"raw/back\slash\n.jpg",
        "raw/{% 1 %}.jpg",
        "raw/${ResultsTable}.jpg",
        "raw/$states.input.jpg",
        "raw/猫/🐈.jpg",
    ],
)
@pytest.mark.parametrize("ending", ["SUCCEEDED", "FAILED"])
def test_a_key_is_never_decoded_nor_evaluated(pipeline, key, ending):
    """Whatever stands in a key, functions, row and letter get it character for character."""
    ENDS[ending](pipeline)
    run = pipeline.run(event(key))
    assert run.status == ending
    assert pipeline.tasks["Resize"].calls[0]["source"]["key"] == key
    assert [row["key"]["S"] for row in pipeline.rows()] == [key]
    assert [letter["key"] for letter in pipeline.letters()] == ([key] if ending == "FAILED" else [])


def test_a_bucket_without_versions_is_no_obstacle(pipeline):
    """S3 leaves the version id out then; the word for it everywhere else in S3 is `null`."""
    assert pipeline.run(event(version=None)).output["status"] == "SUCCEEDED"
    assert pipeline.tasks["Validate"].calls[0]["source"]["version_id"] == "null"
    assert pipeline.row()["version_id"] == {"S": "null"}


def _lacking(*path: str) -> dict[str, Any]:
    happened = event()
    part: Any = happened
    for member in path[:-1]:
        part = part[member]
    del part[path[-1]]
    return happened


@pytest.mark.parametrize(
    "happened",
    [
        _lacking("detail", "object", "sequencer"),
        _lacking("detail", "object", "key"),
        _lacking("detail", "object", "etag"),
        _lacking("detail", "object", "size"),
        _lacking("detail", "bucket"),
        _lacking("detail"),
        {},
        [],
    ],
    ids=["sequencer", "key", "etag", "size", "bucket", "detail", "everything", "the event itself"],
)
def test_an_event_that_lacks_something_ends_in_a_letter(pipeline, happened):
    """What cannot be worked on is handed back whole, with what is known of it."""
    assert pipeline.run(happened).status == "FAILED"
    [letter] = pipeline.letters()
    assert letter["event"] == happened
    assert letter["error"]["code"] == "States.QueryEvaluationError"
    assert set(letter) == {"key", "bucket", "error", "execution", "event", "reason"}


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (json.dumps({"errorMessage": 'the "best" of', "errorType": "E"}), r"the \"best\" of"),
        ('{"errorType":"E","errorMessage":"no space"}', "no space"),
        ('{"errorMessage": "ends in \\\\", "errorType": "E"}', "ends in \\\\"),
        ('{"errorMessage": "cut sho', "cut sho"),
        (json.dumps({"errorMessage": "x" * 30_000, "errorType": "E"}), "x" * 1024),
        ("no JSON at all", "no JSON at all"),
        ("y" * 30_000, "y" * 1024),
    ],
    ids=["quotes", "no space", "backslash", "cut short", "long", "plain", "plain and long"],
)
def test_the_message_is_what_the_function_said(pipeline, cause, message):
    """Lambda's wrapping is taken off, and a row and a letter stay small."""
    pipeline.tasks["Resize"].fails_with("E", cause=cause)
    pipeline.run(event())
    assert pipeline.row()["error"]["M"]["message"] == {"S": message}
    assert pipeline.letters()[0]["error"]["message"] == message


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("Validate", {}),
        ("Validate", None),
        ("Validate", "accepted"),
        ("Validate", []),
        ("Validate", {"accepted": True}),
        ("Validate", {"accepted": False}),
        ("Validate", lambda payload: without(accepts(payload), "accepted")),
        ("Validate", lambda payload: without(rejects(payload), "error")),
        ("Validate", lambda payload: without(accepts(payload), "renditions")),
        ("Validate", lambda payload: without(accepts(payload), "recipe")),
        ("Validate", lambda payload: {**accepts(payload), "renditions": None}),
        ("Validate", lambda payload: {**accepts(payload), "renditions": "thumb"}),
        ("Validate", lambda payload: accepts(payload, renditions=0)),
        ("Validate", lambda payload: {**accepts(payload), "picture": {}}),
        ("Resize", {}),
        ("Resize", None),
        ("Resize", "thumb"),
        ("Resize", []),
        ("Resize", {"name": "thumb"}),
    ],
)
def test_nonsense_from_a_function_is_a_failure(
    pipeline: Pipeline, task: str, answer: Callable[[dict[str, Any]], Any] | Any
):
    """An answer that breaks the contract ends like any error, in a FAILED row and a letter; never as a success."""
    pipeline.tasks[task].answers = answer
    assert pipeline.run(event()).status == "FAILED"
    assert pipeline.row()["status"] == {"S": "FAILED"}
    assert len(pipeline.letters()) == 1


@pytest.mark.parametrize("plan", [[], None])
def test_a_plan_without_renditions_fails_at_once(pipeline, plan):
    """Nothing is retried that will not change; the row says what was wrong."""
    pipeline.tasks["Validate"].answers = lambda payload: {**accepts(payload), "renditions": plan}
    run = pipeline.run(event())
    assert (run.status, run.error, pipeline.waits) == ("FAILED", "States.QueryEvaluationError", [])
    assert "the plan has no renditions" in pipeline.row()["error"]["M"]["message"]["S"]
    assert len(pipeline.letters()) == 1


def test_one_lost_rendition_is_a_failure(pipeline):
    """A picture never succeeds with fewer renditions than were planned."""
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=4)
    whole = pipeline.tasks["Resize"].answers
    pipeline.tasks["Resize"].answers = lambda payload: {} if payload["rendition"]["name"] == "large" else whole(payload)
    pipeline.run(event())
    assert pipeline.row()["status"] == {"S": "FAILED"}
    assert len(pipeline.letters()) == 1
