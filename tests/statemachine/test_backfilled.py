"""What Backfill starts loses against every newer upload and deletion, whenever those come; and it brings what no event
has brought.

`DARKROOM_SEQUENCES=1000` tries that many sequences; a failure prints the shortest one.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions import backfill
from functions.results import Results
from functions.storage import Storage
from tests.statemachine.engine import TABLE, UPLOADS
from tests.statemachine.fault_matrix import CONTEXT
from tests.statemachine.test_shown import KEY, World, hide, remove, sequences, status, tell, tell_while, world

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

SETTINGS = backfill.Settings(UPLOADS, "raw/", "0123456789abcdef", "the machine of pictures", None)


def asked(picture: World, only: str = "missing", storage: Storage | None = None) -> list[dict[str, Any]]:
    """The events that Backfill would start for what is listed now."""
    listed = [
        {"key": one["Key"], "etag": one["ETag"], "size": one["Size"], "modified": one["LastModified"].timestamp()}
        for one in picture.s3.list_objects_v2(Bucket=UPLOADS).get("Contents", [])
    ]
    using = backfill.Services(SETTINGS, Results(picture.dynamodb, TABLE), storage or Storage(picture.s3))
    given = {"backfill": f"{only}-1", "only": only, "since": "9", "pictures_at_once": 1}
    batch = {"BatchInput": given, "Items": listed}
    return [one["input"] for one in backfill.handler(batch, CONTEXT, using)["pictures"]]  # type: ignore[arg-type]


def current(picture: World) -> str | None:
    found = picture.s3.list_object_versions(Bucket=UPLOADS, Prefix=KEY).get("Versions", [])
    return next((str(one["VersionId"]) for one in found if one["IsLatest"]), None)


@pytest.fixture
def picture() -> Iterator[World]:
    """That succeeded, and is shown."""
    with world() as picture:
        picture.upload("succeeds")
        picture.tell()
        yield picture


def test_an_upload_whose_event_was_lost_is_made():
    """With the row that its event would have brought, and nothing is missing afterwards."""
    with world() as picture:
        version = picture.upload("succeeds")
        [start] = asked(picture)
        picture.deliver(start)
        assert (status(picture), picture.shown()) == ("SUCCEEDED", version)
        assert asked(picture) == []


@pytest.mark.parametrize("lost", ["an overwrite", "an undelete"])
def test_what_a_row_does_not_know_of_is_made(picture, lost):
    """It speaks of an older version, or of a deletion."""
    if lost == "an overwrite":
        version = picture.upload("succeeds")
    else:
        version, marker = picture.shown(), picture.hide()
        picture.tell()
        picture.remove(marker)
    picture.events.clear()
    [start] = asked(picture)
    picture.deliver(start)
    assert (status(picture), picture.shown()) == ("SUCCEEDED", version)
    assert len(picture.files()) == 2
    assert asked(picture) == []


WHEN = [
    "before it looks",
    "after it looked",
    "before its start",
    "Claim",
    "Validate",
    "Resize",
    "Record",
    "Cleanup",
    "after its end",
]


@pytest.mark.parametrize("happens", ["an upload", "a deletion"])
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("only", ["missing", "all"])
def test_whatever_is_newer_wins(only, when, happens):
    """Whether its event comes at once or later."""
    for at_once in (True, False):
        with world() as picture:
            picture.upload("succeeds")
            if only == "all":
                picture.tell()
            picture.events.clear()
            _wins(picture, only, when, partial(_happen, picture, happens, at_once=at_once))
            picture.tell_all()
            there = current(picture)
            assert (picture.shown(), status(picture)) == (there, "SUCCEEDED" if there else "DELETED")


def _happen(picture: World, what: str, *, at_once: bool) -> None:
    if what == "an upload":
        picture.upload("succeeds")
    else:
        picture.hide()
    if at_once:
        picture.tell()


def _wins(picture: World, only: str, when: str, happen: Callable[[], None]) -> None:
    class Meanwhile(Storage):
        """The key changes beside the look at its newest version, wherever that stands."""

        def newest(self, *where: str) -> Any:
            if when == "before it looks":
                happen()
            found = super().newest(*where)
            if when == "after it looked":
                happen()
            return found

    starts = asked(picture, only, Meanwhile(picture.s3))
    if when == "before its start":
        happen()
    if when in picture.pipeline.tasks:
        picture.pipeline.tasks[when].meanwhile(happen)
    for start in starts:
        picture.deliver(start)
    if when in picture.pipeline.tasks and picture.pipeline.tasks[when]._meanwhile:
        assert (only, when) == ("missing", "Cleanup")  # of a new row nothing is left over
        happen()
    if when == "after its end":
        happen()


def test_what_is_started_twice_is_made_once(picture):
    """By two backfills, or by one whose answer was lost."""
    version = picture.shown()
    [start], [again] = asked(picture, "all"), asked(picture, "all")
    assert [picture.deliver(one).output["status"] for one in (start, again)] == ["SUCCEEDED", "Duplicate"]
    assert picture.shown() == version


def test_what_a_picture_shows_stays_until_it_has_something_newer(picture):
    older, seen = picture.shown(), []
    for at in ("Validate", "Resize", "Record"):
        picture.pipeline.tasks[at].meanwhile(lambda: seen.append(picture.shown()))
    [start] = asked(picture, "all")
    picture.deliver(start)
    assert seen == [older] * 3


class Filled(World):
    """And a backfill may come at any time, and what it starts at any later time."""

    starts: list[dict[str, Any]]


def _lose(picture: Filled, which: int) -> None:
    if picture.events:
        picture.events.pop(which % len(picture.events))


def _ask(only: str) -> Callable[[Filled, int], None]:
    return lambda picture, _: picture.starts.extend(asked(picture, only))


def _start(picture: Filled, which: int) -> None:
    if picture.starts:
        picture.deliver(picture.starts.pop(which % len(picture.starts)))


def _start_while_told(picture: Filled, which: int) -> None:
    if picture.events and picture.starts:
        tell_while(picture, which, _start)


ACTS: dict[str, Callable[[Filled, int], Any]] = {
    "upload": lambda picture, _: picture.upload("succeeds"),
    "upload what is rejected": lambda picture, _: picture.upload("is rejected"),
    "hide": hide,
    "remove": remove,
    "tell": tell,
    "lose": _lose,
    "ask for what is missing": _ask("missing"),
    "ask for all": _ask("all"),
    "start": _start,
    "start while told": _start_while_told,
}


@sequences
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 63)), max_size=12))
@example([("upload", 0), ("lose", 0), ("ask for what is missing", 0), ("hide", 0), ("tell", 0), ("start", 0)])
def test_in_the_end_the_row_speaks_of_what_is_there(acts):
    """Whatever was told in whichever order, lost, listed and started; one more backfill finds what is missing, and a
    further one nothing."""
    with world() as picture:
        picture.__class__ = Filled
        picture.starts = []
        for act, which in acts:
            ACTS[act](picture, which)
        picture.tell_all()
        while picture.starts:
            _start(picture, 0)
        for start in asked(picture):
            picture.deliver(start)
        there = current(picture)
        if there:
            made = picture.fates[there] == "succeeds"
            row = picture.pipeline.row()
            assert (row["version_id"]["S"], status(picture)) == (there, "SUCCEEDED" if made else "REJECTED")
            assert picture.shown() == there or not made
        assert asked(picture) == []
