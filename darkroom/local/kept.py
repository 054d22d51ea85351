"""The folder `data` of a local cloud, from one end to the next start.

complete             there after an end at which all was written; gone while the cloud runs
interrupted          there if an end came in the middle of executions, until these are taken up again
settings.json        what was chosen for the stack; settings-NAME.json for one of another name
state/memory.sqlite  what the cloud holds beside objects: written every half second (`ministack/journal.py`)
s3/                  objects: MiniStack writes each before it answers, first the data, then a file of facts beside
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

FACTS = ".meta.json"
BEGUN = ".tmp"


def begin(data: Path) -> None:
    data.mkdir(mode=0o700, exist_ok=True)
    (data / "complete").unlink(missing_ok=True)


def end(data: Path, *, interrupted: bool) -> None:
    if interrupted:
        (data / "interrupted").touch()
    (data / "complete").touch()


def was_interrupted(data: Path) -> bool:
    """And what was on its way then still waits."""
    return (data / "interrupted").exists()


def all_taken_up(data: Path) -> None:
    (data / "interrupted").unlink(missing_ok=True)


def mend(data: Path, say: Callable[[str], object]) -> None:
    """After a kill. What cannot be read is moved aside, and said: nothing is thrown away."""
    if (data / "complete").exists() or not any(_files(data / "state", "*.json", "*.sqlite")):
        return
    aside = data.with_name(f"lost-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    if not _readable(data / "state" / "memory.sqlite"):
        data.rename(aside)
        say(f"The local cloud was killed, and what it had written down cannot be read. It begins empty; {aside} has it")
        return
    say("The local cloud was killed. It goes on with what it had written down")
    (data / "interrupted").touch()
    for half in _half_written(data / "s3"):
        if not _take_back(data / "s3", half):
            place = aside / half.relative_to(data)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in (half.name, half.name + FACTS):
                if half.with_name(name).exists():
                    half.with_name(name).rename(place.with_name(name))
            say(f"An upload that the kill interrupted is moved aside: {place}")


def _readable(journal: Path) -> bool:
    try:
        database = sqlite3.connect(f"{journal.as_uri()}?mode=rw", uri=True)
        try:
            return bool(database.execute("PRAGMA quick_check").fetchone() == ("ok",))
        finally:
            database.close()
    except sqlite3.DatabaseError:
        return False


def _half_written(objects: Path) -> Iterator[Path]:
    """Objects whose data are newer than the facts beside them: S3 has not confirmed these data."""
    for path in list(_files(objects, "*")):
        if path.name.endswith(BEGUN):
            path.unlink()
        elif not path.name.endswith(FACTS) and ".versions" not in path.relative_to(objects).parts[:1]:
            facts = path.with_name(path.name + FACTS)
            if not facts.exists() or facts.stat().st_mtime_ns < path.stat().st_mtime_ns:
                yield path


def _take_back(objects: Path, half: Path) -> bool:
    """What the facts tell of, if the bucket keeps versions: MiniStack copies the old one before it writes the new."""
    facts = half.with_name(half.name + FACTS)
    if not facts.exists():
        return False
    account, bucket, *key = half.relative_to(objects).parts
    version = (
        objects / ".versions" / account / bucket / str(json.loads(facts.read_text()).get("version_id")) / Path(*key)
    )
    if not version.is_file():
        return False
    shutil.copyfile(version, half)
    facts.touch()
    return True


def _files(folder: Path, *patterns: str) -> Iterator[Path]:
    return (path for pattern in patterns for path in folder.rglob(pattern) if path.is_file())
