"""A picture never disappears: once a version succeeded, the row names renditions that exist, until the picture is
deleted, whatever becomes of later versions.

`DARKROOM_SEQUENCES=1000` tries that many sequences; a failure prints the shortest one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from functions import cleanup, sweep
from functions.results import Results
from functions.storage import Storage
from tests.statemachine.engine import (
    DELETION,
    REGION,
    TABLE,
    UPLOADS,
    Pipeline,
    Run,
    accepts,
    deletion,
    event,
    rejects,
    resizes,
)
from tests.statemachine.fault_matrix import CONTEXT, account

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

KEY, RENDITIONS = "raw/cat.jpg", "renditions"
SEQUENCES = int(os.environ.get("DARKROOM_SEQUENCES", "3"))
FATES = ("succeeds", "is rejected", "fails", "dies")


class World:
    """One picture: its versions in a bucket, the events of it, its row, and its renditions in another bucket.

    The workflow is the engine's; Cleanup and the sweep are the real functions.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.s3, self.dynamodb = pipeline, pipeline._s3, pipeline._dynamodb
        self.s3.create_bucket(Bucket=RENDITIONS, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.events: list[dict[str, Any]] = []  # that nobody was told of yet
        self.told: list[dict[str, Any]] = []
        self.fates: dict[str, str] = {}  # by version
        self._numbers = count(1)
        self._pictures = Storage(self.s3)
        pipeline.tasks["Validate"].answers = self._validate
        pipeline.tasks["Resize"].answers = self._resize
        pipeline.tasks["Cleanup"].answers = self._clean_up

    def upload(self, fate: str) -> str:
        number = next(self._numbers)
        version = self.pipeline.upload(data=f"cat {number}".encode())
        self.fates[version] = fate
        self.events.append(event(sequencer=f"{number:04X}", version=version))
        return version

    def hide(self) -> str:
        """By a delete marker."""
        marker = self.pipeline.delete()
        self.events.append(deletion(sequencer=f"{next(self._numbers):04X}", version=marker))
        return marker

    def remove(self, version: str) -> None:
        """For good, a marker too."""
        self.pipeline.delete(version=version)
        self.events.append(deletion(sequencer=f"{next(self._numbers):04X}", version=version, marker=False))

    def tell(self, which: int = 0, *, redrives: Run | None = None) -> Run:
        happened = self.events.pop(which % len(self.events))
        self.told.append(happened)
        return self.deliver(happened, redrives=redrives)

    def deliver(self, happened: dict[str, Any], *, redrives: Run | None = None) -> Run:
        machine = {"Object Deleted": DELETION}.get(happened["detail-type"])
        return self.pipeline.run(happened, redrives=redrives, **({"machine": machine} if machine else {}))

    def tell_all(self) -> None:
        while self.events:
            self.tell()

    def redrive(self) -> None:
        """All letters, as they lie there; whatever failed before goes well now."""
        self.fates = {
            version: "succeeds" if fate in {"fails", "dies"} else fate for version, fate in self.fates.items()
        }
        for letter in self.pipeline.letters():
            self.deliver({**letter["event"], "redrives": letter["execution"]})

    def sweep(self) -> None:
        sweep.handler({"source": "aws.events"}, CONTEXT, self.pipeline.services())  # type: ignore[arg-type]

    def versions(self) -> list[str]:
        """Also markers, the oldest first."""
        found = self.s3.list_object_versions(Bucket=UPLOADS, Prefix=KEY)
        return [one["VersionId"] for one in reversed([*found.get("Versions", []), *found.get("DeleteMarkers", [])])]

    def is_left(self) -> bool:
        return bool(self.s3.list_object_versions(Bucket=UPLOADS, Prefix=KEY).get("Versions"))

    def shown(self) -> str | None:
        """The version that the row shows, all of whose renditions are there."""
        row = self.pipeline.row()
        assert ("renditions" in row) == ("shown_version_id" in row) == ("caption" in row)
        if "renditions" not in row:
            return None
        version = str(row["shown_version_id"]["S"])
        named = {one["M"]["key"]["S"] for one in row["renditions"]["M"].values()}
        assert named == {_file(version, name) for name in row["renditions"]["M"]}, "renditions of another version"
        assert named <= self.files(), "the row names renditions that are not there"
        return version

    def files(self) -> set[str]:
        return {one["Key"] for one in self.s3.list_objects_v2(Bucket=RENDITIONS).get("Contents", [])}

    def _validate(self, payload: dict[str, Any]) -> dict[str, Any]:
        version = payload["source"]["version_id"]
        try:
            self.s3.head_object(Bucket=UPLOADS, Key=KEY, VersionId=version)
        except ClientError:
            return {**rejects(payload), "error": {"code": "gone", "message": "deleted before it was read"}}
        if self.fates[version] == "is rejected":
            return rejects(payload)
        planned = accepts(payload, renditions=2)
        return {
            **planned,
            "renditions": [{**one, "key": _file(version, one["name"])} for one in planned["renditions"]],
        }

    def _resize(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Half of them are written before it fails or dies."""
        fate = self.fates[payload["source"]["version_id"]]
        if payload["rendition"]["name"] != "thumb" and fate == "dies":
            self.pipeline.end("ABORTED")
        if payload["rendition"]["name"] != "thumb" and fate == "fails":
            return {}
        self._pictures.write(RENDITIONS, payload["rendition"]["key"], b"pixels", "image/webp")
        return resizes(payload)

    def _clean_up(self, payload: Any) -> Any:
        before = self.shown()
        cleaned = cleanup.handler(payload, CONTEXT, self._pictures, Results(self.dynamodb, TABLE))  # type: ignore[arg-type]
        assert self.shown() == before
        return cleaned


def _file(version: str, name: str) -> str:
    return f"cat.jpg/{sha256(version.encode()).hexdigest()[:16]}/{name}.webp"


@contextmanager
def world() -> Iterator[World]:
    with account() as pipeline, pytest.MonkeyPatch.context() as environment:
        environment.setenv("UPLOAD_PREFIX", "raw/")
        environment.setenv("RENDITIONS_BUCKET", RENDITIONS)
        environment.setenv("POWERTOOLS_SERVICE_NAME", "test")
        cleanup.settings.cache_clear()
        yield World(pipeline)
    cleanup.settings.cache_clear()


@pytest.fixture
def picture() -> Iterator[World]:
    """That succeeded, and is shown."""
    with world() as picture:
        picture.upload("succeeds")
        picture.tell()
        yield picture


def status(picture: World) -> str:
    return str(picture.pipeline.row()["status"]["S"])


@pytest.mark.parametrize("fate", ["is rejected", "fails", "dies"])
def test_a_newer_version_that_comes_to_nothing_is_not_shown(picture, fate):
    """Whatever it came to, the older one goes on being shown; when the newer one succeeds after all, by a redrive or as
    a third, that is shown, and no file of another is left."""
    older = picture.shown()
    picture.upload(fate)
    picture.tell()
    picture.sweep()
    assert (status(picture), picture.shown()) == ("REJECTED" if fate == "is rejected" else "FAILED", older)
    if fate == "is rejected":
        newest = picture.upload("succeeds")
        picture.tell()
    else:
        newest = picture.pipeline.row()["version_id"]["S"]
        picture.redrive()
    assert (status(picture), picture.shown()) == ("SUCCEEDED", newest)
    assert picture.files() == {_file(newest, name) for name in ("thumb", "small")}


@pytest.mark.parametrize("at", ["Validate", "Resize", "Record", "Cleanup"])
def test_what_is_shown_is_there_whenever_one_looks(picture, at):
    """Also while the newer version is in work: first the older one, then the newer."""
    older, newer, seen = picture.shown(), picture.upload("succeeds"), []
    picture.pipeline.tasks[at].meanwhile(lambda: seen.append(picture.shown()))
    picture.tell()
    assert seen == [newer if at == "Cleanup" else older]
    assert picture.shown() == newer


def test_an_overtaken_execution_that_ends_late_takes_nothing_away(picture):
    """The second version is overtaken by a third that fails: the first is shown, and what the second made goes with the
    next success."""
    first = picture.shown()
    picture.upload("succeeds")
    picture.upload("fails")
    picture.pipeline.tasks["Record"].meanwhile(lambda: picture.tell())
    assert picture.tell().output["status"] == "Superseded"
    assert (status(picture), picture.shown()) == ("FAILED", first)
    picture.redrive()
    assert len(picture.files()) == 2


def test_a_failed_newest_version_that_is_removed_gives_way_to_the_one_that_is_shown(picture):
    """Which is shown all the time, is made again as what is current, and owns the row then."""
    older, newer = picture.shown(), picture.upload("fails")
    picture.tell()
    seen = []
    for at in ("Cleanup", "Look", "Undelete", "Validate", "Record"):
        picture.pipeline.tasks[at].meanwhile(lambda at=at: seen.append((at, picture.shown())))
    picture.remove(newer)
    run = picture.tell()
    assert run.states == ["MarkDeleted", "Withdraw", "Cleanup", "Look", "Undeleted?", "Undelete"]
    assert seen == [(at, older) for at in ("Cleanup", "Look", "Undelete", "Validate", "Record")]
    row = picture.pipeline.row()
    assert (row["status"], row["version_id"], row["size"]) == ({"S": "SUCCEEDED"}, {"S": older}, {"N": "3"})
    assert picture.files() == {_file(older, name) for name in ("thumb", "small")}


def test_a_newest_version_that_is_removed_while_in_work_gives_way_too(picture):
    older, newer = picture.shown(), picture.upload("succeeds")
    picture.pipeline.tasks["Resize"].meanwhile(lambda: (picture.remove(newer), picture.tell()))
    picture.tell()
    assert (status(picture), picture.shown()) == ("SUCCEEDED", older)
    assert picture.files() == {_file(older, name) for name in ("thumb", "small")}


def test_the_removal_of_the_shown_version_alone_takes_nothing_away(picture):
    """As an expiry does not: the picture is still there, and shows that until a newer version succeeds."""
    older = picture.shown()
    picture.upload("fails")
    picture.tell()
    picture.remove(older)
    assert picture.tell().output["status"] == "Superseded"
    assert picture.shown() == older


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the older first", "the newer first"])
@pytest.mark.parametrize("told", [(0, 0), (1, 0)], ids=["in order", "out of order"])
def test_when_all_versions_are_removed_nothing_is_shown(picture, order, told):
    """One by one, whichever is removed first and whichever is told of first."""
    versions = [picture.shown(), picture.upload("is rejected")]
    picture.tell()
    for which in order:
        picture.remove(versions[which])
    for which in told:
        picture.tell(which)
    assert (status(picture), picture.shown(), picture.files()) == ("DELETED", None, set())


def test_when_versions_are_removed_one_after_the_other_nothing_is_shown_in_the_end(picture):
    """The first removal brings the older one back, and the second comes while that is made again."""
    older, newer = picture.shown(), picture.upload("fails")
    picture.tell()
    picture.remove(newer)
    picture.pipeline.tasks["Undelete"].meanwhile(lambda: (picture.remove(older), picture.tell()))
    picture.tell()
    assert (status(picture), picture.shown(), picture.files()) == ("DELETED", None, set())


def test_a_marker_that_is_told_of_late_still_deletes(picture):
    """The removal of the newest version was told of first."""
    newer = picture.upload("fails")
    picture.tell()
    picture.hide()
    picture.remove(newer)
    picture.tell(1)
    picture.tell()
    assert (status(picture), picture.shown(), picture.files()) == ("DELETED", None, set())


@pytest.mark.parametrize("error", ["DynamoDB.InternalServerError", "States.Timeout"])
def test_a_withdrawal_whose_answer_was_lost_goes_on(picture, error):
    older, newer = picture.shown(), picture.upload("fails")
    picture.tell()
    picture.remove(newer)
    picture.pipeline.tasks["Withdraw"].loses_its_answer(error)
    assert picture.tell().output["status"] == "UNDELETED"
    assert (status(picture), picture.shown()) == ("SUCCEEDED", older)


@pytest.mark.parametrize("at", ["MarkDeleted", "Withdraw", "Cleanup", "Look", "Undelete"])
def test_a_removal_that_fails_takes_nothing_away_and_can_be_redriven(picture, at):
    """Its letter waits, also after the schedule came twice; the redrive makes what is current again."""
    older, newer = picture.shown(), picture.upload("is rejected")
    picture.tell()
    picture.remove(newer)
    picture.pipeline.tasks[at].fails_with("States.Timeout")
    assert picture.tell().status == "FAILED"
    for _ in range(2):
        picture.sweep()
    assert picture.shown() == older
    picture.pipeline.tasks[at].fails_with("States.Timeout", times=0)
    [letter] = picture.pipeline.letters()
    again = picture.deliver({**letter["event"], "redrives": letter["execution"]})
    assert again.output["status"] == "UNDELETED"
    assert (status(picture), picture.shown()) == ("SUCCEEDED", older)


@pytest.mark.parametrize("done", [True, False], ids=["after its work", "before its work"])
@pytest.mark.parametrize("at", ["MarkDeleted", "Withdraw", "Cleanup", "Look"])
def test_a_removal_that_dies_takes_nothing_away_and_leaves_one_letter(picture, at, done):
    """By the sweep, which withdraws the removed version where the execution had not."""
    older, newer = picture.shown(), picture.upload("is rejected")
    picture.tell()
    picture.remove(newer)
    picture.pipeline.tasks[at].meanwhile(lambda: picture.pipeline.end("ABORTED"))
    if not done:
        picture.pipeline.tasks[at].fails_with("RuntimeError", times=1)
    assert picture.tell().status == "ABORTED"
    for _ in range(3):
        picture.sweep()
        assert picture.shown() == older
    row = picture.pipeline.row()
    assert (row["status"], row["version_id"]) == ({"S": "SUCCEEDED"}, {"S": older})
    [letter] = picture.pipeline.letters()
    again = picture.deliver({**letter["event"], "redrives": letter["execution"]})
    assert again.output["status"] == "UNDELETED"
    assert picture.shown() == older


def test_an_old_letter_changes_nothing(picture):
    """Redriven after a third version was rejected."""
    older = picture.shown()
    picture.upload("fails")
    picture.tell()
    picture.upload("is rejected")
    picture.tell()
    picture.redrive()
    assert (status(picture), picture.shown()) == ("REJECTED", older)


Act = Callable[[World, int], Any]


def _any_version(picture: World, which: int) -> str | None:
    versions = picture.versions()
    return versions[which % len(versions)] if versions else None


def hide(picture: World, _: int) -> None:
    if picture.versions():  # moto makes no marker where there is nothing
        picture.hide()


def remove(picture: World, which: int) -> None:
    if version := _any_version(picture, which):
        picture.remove(version)


def tell(picture: World, which: int) -> None:
    if picture.events:
        picture.tell(which)


def _tell_again(picture: World, which: int) -> None:
    if picture.told:
        picture.deliver(picture.told[which % len(picture.told)])


def _tell_two(picture: World, which: int) -> None:
    """The second while the first is in work, somewhere."""
    if len(picture.events) > 1:
        tell_while(picture, which, tell)


def tell_while(picture: World, which: int, act: Act) -> None:
    """That is done while what is told is in work, somewhere."""
    at = ("Validate", "Resize", "Record", "Cleanup", "Look", "Undelete", "MarkDeleted", "Withdraw")[which % 8]
    task = picture.pipeline.tasks[at]
    task.meanwhile(lambda: act(picture, which))
    picture.tell(which // 8)
    task._meanwhile = None


def _die(picture: World, which: int) -> None:
    """In a state, done or not."""
    if picture.events:
        at = ("Claim", "Validate", "Record", "Cleanup", "Look", "MarkDeleted", "Withdraw", "Reject")[which % 8]
        task = picture.pipeline.tasks[at]
        task.meanwhile(lambda: picture.pipeline.end("ABORTED"))
        if which // 8 % 2:
            task.fails_with("RuntimeError", times=1)
        picture.tell(which // 16)
        task.fails_with("RuntimeError", times=0)
        task._meanwhile = None


ACTS: dict[str, Act] = {
    **{f"a version {fate}": lambda picture, _, fate=fate: picture.upload(fate) for fate in FATES},  # type: ignore[misc]
    "hide": hide,
    "remove": remove,
    "tell": tell,
    "tell again": _tell_again,
    "tell two at once": _tell_two,
    "die": _die,
    "redrive": lambda picture, _: picture.redrive(),
    "sweep": lambda picture, _: picture.sweep(),
}


def deletes(happened: dict[str, Any], shown: str) -> bool:
    """Whether what was told may take the shown version away: a marker, or its own removal."""
    detail = happened["detail"]
    hides = detail.get("deletion-type") == "Delete Marker Created"
    return happened["detail-type"] == "Object Deleted" and (hides or detail["object"]["version-id"] == shown)


sequences = settings(
    max_examples=SEQUENCES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.target, Phase.shrink],
)


@sequences
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 63)), max_size=10))
@example([("a version fails", 0), ("tell", 0), ("remove", 1), ("tell", 0), ("hide", 0), ("tell", 0)])
def test_a_shown_picture_is_shown_until_it_is_deleted(acts):
    """Whatever happens to later versions, in whichever order it is told of; and when no version is left, nothing is
    shown. What the row names is there after every act, and before and after every Cleanup."""
    with world() as picture:
        picture.upload("succeeds")
        picture.tell()
        for act, which in acts:
            before, told = picture.shown(), len(picture.told)
            ACTS[act](picture, which)
            after = picture.shown()
            new = picture.told if act in {"tell again", "redrive", "sweep"} else picture.told[told:]
            if before and not any(deletes(one, before) for one in new) and picture.is_left():
                assert after, f"{act} took {before} away"
        picture.tell_all()
        for _ in range(2):
            picture.sweep()
            picture.redrive()
        if not picture.is_left():
            assert picture.shown() is None
