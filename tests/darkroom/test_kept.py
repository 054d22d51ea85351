"""What a killed local cloud left in its folder, before it starts again."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from darkroom.local import kept

OBJECT = Path("000000000000/uploads/raw/cat.jpg")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """With a journal that can be read."""
    data = tmp_path / "data"
    (data / "state").mkdir(parents=True)
    with sqlite3.connect(data / "state" / "memory.sqlite") as journal:
        journal.execute("CREATE TABLE records (service TEXT)")
    journal.close()
    return data


def mend(data: Path) -> list[str]:
    said: list[str] = []
    kept.mend(data, said.append)
    return said


def stored(data: Path, body: bytes, facts: dict[str, str] | None, *, confirmed: bool) -> Path:
    """An object as MiniStack writes it, or as a kill between the data and the facts leaves it."""
    path = data / "s3" / OBJECT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    os.utime(path, ns=(2000, 2000))
    if facts is not None:
        beside = path.with_name(path.name + kept.FACTS)
        beside.write_text(json.dumps(facts))
        written = 2000 if confirmed else 1000
        os.utime(beside, ns=(written, written))
    return path


def test_after_an_orderly_end_nothing_is_said_or_touched(data: Path):
    half = stored(data, b"half", None, confirmed=False)
    kept.end(data, interrupted=False)
    assert mend(data) == []
    assert half.exists()
    assert not kept.was_interrupted(data)


def test_a_home_in_which_nothing_happened_yet_was_not_killed(tmp_path: Path):
    (tmp_path / "data" / "state").mkdir(parents=True)
    assert mend(tmp_path / "data") == []


def test_a_confirmed_object_stays_as_it_is(data: Path):
    path = stored(data, b"whole", {"version_id": "one"}, confirmed=True)
    assert mend(data) == ["The local cloud was killed. It goes on with what it had written down"]
    assert path.read_bytes() == b"whole"
    assert kept.was_interrupted(data)


def test_an_object_that_was_being_overwritten_is_the_confirmed_one_again(data: Path):
    """MiniStack had written the new data, and not yet what it knows of them."""
    path = stored(data, b"new, unconfirmed", {"version_id": "one"}, confirmed=False)
    version = data / "s3" / ".versions" / "000000000000" / "uploads" / "one" / "raw" / "cat.jpg"
    version.parent.mkdir(parents=True)
    version.write_bytes(b"old, confirmed")
    mend(data)
    assert path.read_bytes() == b"old, confirmed"
    assert not list(kept._half_written(data / "s3"))


def test_an_object_that_was_never_confirmed_is_moved_aside_and_named(data: Path):
    path = stored(data, b"half", None, confirmed=False)
    unfinished = path.with_name("dog.jpg" + kept.BEGUN)
    unfinished.touch()
    said = mend(data)[1]
    [aside] = data.parent.glob(f"lost-*/s3/{OBJECT}")
    assert said == f"An upload that the kill interrupted is moved aside: {aside}"
    assert aside.read_bytes() == b"half"
    assert not path.exists()
    assert not unfinished.exists()


def test_what_cannot_be_read_is_moved_aside_and_named(data: Path):
    """Nothing of it is thrown away, and the cloud begins empty."""
    stored(data, b"whole", {"version_id": "one"}, confirmed=True)
    (data / "state" / "memory.sqlite").write_bytes(b"SQLite format 3\0 and then noise" * 100)
    [said] = mend(data)
    [aside] = data.parent.glob("lost-*")
    assert said.endswith(f"It begins empty; {aside} has it")
    assert (aside / "s3" / OBJECT).read_bytes() == b"whole"
    assert not data.exists()
