"""The name of an upload gives no power over another's pictures, whatever it is called.

`DARKROOM_SEQUENCES=100000` tries that many sequences of uploads, overwrites and deletions; a failure prints the
shortest one.
"""

import hashlib
import io
import os
import unicodedata
from collections.abc import Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from functions import cleanup, validate
from functions.keys import (
    DERIVED,
    LONGEST_DERIVED_NAME,
    LONGEST_FILE_NAME,
    LONGEST_KEY,
    derived_folder,
    folders,
    last_alike,
    rendition_key,
    version_of,
)
from functions.results import Results
from functions.storage import Storage
from functions.telemetry import logger
from stacks.settings import Settings
from tests.functions.conftest import RENDITIONS, Context

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

SEQUENCES = int(os.environ.get("DARKROOM_SEQUENCES", "200"))
PREFIX = "raw/"
VERSION = "0" * 16
PAGE = 3  # keys of one answer of S3's, of which the real one has 1,000

# The shortest and the longest file name that the settings allow: near S3's limit one fits after a key, the other not.
SETTINGS = Settings.model_validate(
    {"renditions": {"a": {"width": 8, "height": 8, "formats": ["png"]}, "z" * 32: {"width": 9, "height": 9}}}
)


class MemoryS3:
    """A bucket, as far as Storage asks S3."""

    def __init__(self, page: int = PAGE) -> None:
        self.files: dict[str, bytes] = {}
        self.asked, self._page = 0, page

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:
        assert len(Key.encode()) <= LONGEST_KEY
        self.files[Key] = Body

    def list_objects_v2(self, *, Prefix: str, StartAfter: str, **_: Any) -> dict[str, Any]:
        self.asked += 1
        there = sorted(key for key in self.files if key.startswith(Prefix) and key > StartAfter)
        page, more = there[: self._page], len(there) > self._page
        return {"IsTruncated": more} | ({"Contents": [{"Key": key} for key in page]} if page else {})

    def delete_objects(self, *, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:
        for one in Delete["Objects"]:
            self.files.pop(one["Key"], None)
        return {}


class MemoryTable:
    """The rows, as far as Results asks DynamoDB for one, written as the state machine does."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def get_item(self, *, Key: dict[str, Any], **_: Any) -> dict[str, Any]:
        row = self.rows.get(Key["key"]["S"])
        return {"Item": row} if row else {}

    def put(self, key: str, status: str, renditions: Sequence[str] | None = None) -> None:
        """Without renditions the row goes on showing those that it has."""
        kept = self.named(key) if renditions is None else renditions
        named = {f"r{number}": {"M": {"key": {"S": file}}} for number, file in enumerate(kept)}
        self.rows[key] = {"status": {"S": status}, "renditions": {"M": named}}

    def named(self, key: str) -> list[str]:
        row = self.rows.get(key, {"renditions": {"M": {}}})
        return [one["M"]["key"]["S"] for one in row["renditions"]["M"].values()]


class Pipeline:
    """What the state machines do to files and rows, with the functions that name files and remove them."""

    def __init__(self) -> None:
        self.s3, self.table = MemoryS3(), MemoryTable()
        self._versions = count()

    def upload(self, key: str, outcome: str) -> None:
        """SUCCEEDED and asked for in another size, REJECTED, or FAILED after some files were written."""
        self.table.put(key, "PROCESSING")
        source: Any = {"bucket": "uploads", "key": key, "version_id": str(next(self._versions)), "etag": ""}
        picture = {"width": 640, "height": 480, "content_hash": "", "metadata": {"animated": False}}
        planned = validate.planned_renditions(source, picture, validate.settings(), "arn:execution")
        files = [] if outcome == "REJECTED" else [one["key"] for one in planned]
        assert not any(file.startswith(DERIVED) for file in files)  # where files expire
        for file in files[: 1 if outcome == "FAILED" else None]:
            self._write(file, key)
        self.table.put(key, outcome, files if outcome == "SUCCEEDED" else None)
        if outcome == "SUCCEEDED":
            self._write(other_size(key, files[0]), key)
        if outcome != "FAILED":
            self.clean_up(key)

    def _write(self, file: str, key: str) -> None:
        Storage(self.s3).write(RENDITIONS, file, key.encode(), "image/webp")  # type: ignore[arg-type]

    def delete(self, key: str) -> None:
        self.table.put(key, "DELETED", ())
        self.clean_up(key)

    def clean_up(self, key: str) -> None:
        """Also by itself: an execution that was overtaken comes to its end at any time."""
        event: Any = {"source": {"key": key}, "execution": "arn:execution"}
        cleanup.handler(event, Context(), Storage(self.s3), Results(self.table, "results"))  # type: ignore[arg-type]

    def of(self, key: str) -> set[str]:
        return {file for file, owner in self.s3.files.items() if owner == key.encode()}

    def of_others(self, key: str) -> tuple[dict[str, bytes], dict[str, Any]]:
        files = {file: owner for file, owner in self.s3.files.items() if owner != key.encode()}
        return files, {other: row for other, row in self.table.rows.items() if other != key}


def sha256(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def other_size(key: str, file: str) -> str:
    """Of the version that the file is of, under the longest name there is."""
    return f"{derived_folder(key)}{version_of(file)}/{'w' * LONGEST_DERIVED_NAME}"


def filled(name: str, file_name: int) -> str:
    """So long that a file name of just that length fits after it."""
    return name + "x" * (LONGEST_KEY - len(f"{name}//".encode()) - len(VERSION) - file_name)


# How a name is made of another's, and of a file that is there.
RELATED = {
    "itself": lambda name, _: name,
    "its hash": lambda name, _: sha256(name),
    "the hash of its key": lambda name, _: sha256(PREFIX + name),
    "its hash in capitals": lambda name, _: sha256(name).upper(),
    "a name in the folder of its hash": lambda name, _: f"{sha256(name)}/{VERSION}",
    "a picture in its folder": lambda name, _: f"{name}/x",
    "its folder": lambda name, _: f"{name}/",
    "a version of it": lambda name, _: f"{name}/{VERSION}",
    "a file": lambda _, file: file,
    "the folder of a file": lambda _, file: file.rpartition("/")[0],
    "the folder of the folder": lambda _, file: file.rsplit("/", 2)[0],
    "a picture below a file": lambda _, file: f"{file}/x",
    "one among the other sizes": lambda name, _: f"{DERIVED}{PREFIX}{name}",
    "one with the prefix again": lambda name, _: PREFIX + name,
    "one in capitals": lambda name, _: name.upper(),
    "one composed": lambda name, _: unicodedata.normalize("NFC", name),
    "one decomposed": lambda name, _: unicodedata.normalize("NFD", name),
    "an unsafe one": lambda name, _: f"{name}\x01",
    "one that goes up": lambda name, _: f"../{name}",
    "one that stays": lambda name, _: f"{name}/.",
    "the last in its folder": lambda name, _: f"{name}/\U0010ffff\U0010ffff",
    "one after which every file fits": lambda name, _: filled(name, LONGEST_FILE_NAME),
    "one after which a short file fits": lambda name, _: filled(name, len("a.png")),
    "one after which no file fits": lambda name, _: filled(name, 0),
}
FIRST = ("cat.jpg", "é", "", "/", "..", "0", sha256("cat.jpg"), "derived", "derived/")
ACTS = ("SUCCEEDED", "REJECTED", "FAILED", "DELETED", "cleanup")

steps = st.lists(
    st.tuples(st.sampled_from(ACTS), st.integers(0, 20), st.sampled_from(sorted(RELATED)), st.integers(0, 20)),
    max_size=12,
)


@pytest.fixture
def small_renditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no log: a hundred thousand sequences would write gigabytes of it."""
    for name, value in SETTINGS.for_validate().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DERIVED_SIZES", "true")
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    monkeypatch.setattr(cleanup, "logger", SimpleNamespace(info=lambda *_, **__: None))
    monkeypatch.setattr(cleanup.metrics, "add_metric", lambda *_: None)


@pytest.mark.usefixtures("small_renditions")
@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    [
        ("SUCCEEDED", 0, "an unsafe one", 0),
        ("REJECTED", 1, "its hash", 0),
    ]
)
@example(
    [
        ("SUCCEEDED", 0, "one after which a short file fits", 0),
        ("SUCCEEDED", 1, "its hash", 0),
        ("DELETED", 1, "itself", 0),
    ]
)
@given(steps)
def test_what_is_done_to_a_key_changes_no_file_or_row_of_another(steps):
    """And of its own files exactly those stay that its row names, once Cleanup was there: of the last version that
    succeeded, until the deletion, whatever became of later ones."""
    pipeline, names = Pipeline(), [*FIRST]
    for act, which, related, of_files in steps:
        files = sorted(pipeline.s3.files) or ["nothing"]
        name = RELATED[related](names[which % len(names)], files[of_files % len(files)])
        key = PREFIX + name
        if len(key.encode()) > LONGEST_KEY:
            continue
        names.insert(0, name)
        before, shown = pipeline.of_others(key), pipeline.table.named(key)
        if act == "cleanup":
            pipeline.clean_up(key)
        elif act == "DELETED":
            pipeline.delete(key)
        else:
            pipeline.upload(key, act)
        assert pipeline.of_others(key) == before
        row, names_now = pipeline.table.rows.get(key), pipeline.table.named(key)
        assert names_now == shown or act in ("SUCCEEDED", "DELETED")
        assert bool(names_now) == (act == "SUCCEEDED" or (act != "DELETED" and bool(shown)))
        assert pipeline.of(key) >= {*names_now}
        if row and row["status"]["S"] != "FAILED":
            assert pipeline.of(key) == {*names_now, *(other_size(key, file) for file in names_now)}


def test_the_bucket_in_memory_lists_as_s3_does(s3):
    """As moto's does, page by page: names that begin alike, the last character there is, a letter of four bytes."""
    names = ["a", "a/", "a/b", "a/\U0010ffff", "a/\U0010ffffb", "a0", "é/b", "📷/b"]
    memory = MemoryS3(page=1000)
    for name in names:
        s3.put_object(Bucket=RENDITIONS, Key=name, Body=b"")
        memory.put_object(Key=name, Body=b"")
    for prefix in ("", "a", "a/", "é"):
        for after in ("", "a", "a/", "a/b", "a/\U0010ffff", "z"):
            real, ours = (Storage(one).list(RENDITIONS, prefix, after) for one in (s3, memory))
            assert ours == real


OLD_AND_NEW = [
    "cat.jpg",
    "2026/a b.jpg",
    "é" * 400,
    "é" * 510,
    "x" * 1000,
    "../up.jpg",
    "tab\t.jpg",
    "a" * 63,
    "A" * 64,
]


@pytest.mark.parametrize("name", OLD_AND_NEW)
@pytest.mark.parametrize("file_name", ["a.png", "z" * 32 + ".webp"])
def test_what_was_made_before_hashes_were_refused_as_names_is_found(name, file_name):
    """Keys are a contract: they changed for nothing but uploads that are called like a hash."""
    key = f"{name}/{VERSION}/{file_name}"
    unsafe = name.startswith("..") or "\t" in name
    before = f"{sha256(name)}/{VERSION}/{file_name}" if unsafe or len(key.encode()) > LONGEST_KEY else key
    assert rendition_key(name, VERSION, file_name) == before
    assert before.startswith(folders(name))


def test_the_folder_of_a_hash_is_nobodys_own():
    """An upload that is called like one lies under the hash of its name; a longer or a shorter name does not."""
    name = sha256("somebody's very long key")
    assert folders(name) == (f"{sha256(name)}/",)
    assert rendition_key(name, VERSION, "thumb.webp") == f"{sha256(name)}/{VERSION}/thumb.webp"
    assert folders(f"{name}.jpg") == (f"{name}.jpg/",)
    assert folders(f"{name}/cat.jpg") == (f"{name}/cat.jpg/",)


@pytest.mark.parametrize("name", ["derived", "derived/", "derived/raw/cat.jpg"])
def test_no_upload_lies_among_the_other_sizes(name):
    """They expire, and an upload's renditions do not."""
    assert folders(name) == (f"{sha256(name)}/",)
    assert folders("derived.jpg") == ("derived.jpg/",)


def test_the_longest_name_of_another_size_is_the_options_longest():
    longest = "w_16383,h_16383,fit_cover,crop_entropy,q_100.webp"
    assert len(longest) == LONGEST_DERIVED_NAME


def test_the_longest_file_name_is_the_settings_longest():
    planned = {one.split("/")[-1] for one in _names()}
    assert max(map(len, planned)) == LONGEST_FILE_NAME


def _names() -> list[str]:
    source: Any = {"key": "raw/x", "version_id": "1"}
    picture = {"width": 640, "height": 480, "content_hash": "", "metadata": {"animated": False}}
    chosen = validate.Settings.read(SETTINGS.for_validate())
    return [one["key"] for one in validate.planned_renditions(source, picture, chosen, "arn:execution")]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("IMG_1.jpg/0/a", "I\U0010ffff"),
        ("2026-01-01/x/0/a", "2026-\U0010ffff"),
        (f"{VERSION}0/x", f"{VERSION}0\U0010ffff"),
        (f"{VERSION}/x/y", f"{VERSION}/x/\U0010ffff"),
        ("I\U0010ffffx", "I\U0010ffffx"),
        (f"{VERSION}/x", f"{VERSION}/x"),
        ("00", "00"),
        (f"{VERSION}/{'x' * 995}/y", f"{VERSION}/{'x' * 995}/y"),
    ],
)
def test_others_are_passed_over_together(name, last):
    """Up to where a rendition may lie again."""
    assert last_alike(f"cat.jpg/{name}", "cat.jpg/") == f"cat.jpg/{last}"


@given(st.lists(st.text("09afg/\U0010ffff", max_size=20) | st.just(f"{VERSION}/a"), min_size=1), st.integers(0, 30))
def test_no_rendition_is_passed_over(names, which):
    """Whatever else lies in the folder, `last_alike` never goes back and never beyond a rendition."""
    keys = sorted({f"cat.jpg/{name}" for name in names} | {f"cat.jpg/{VERSION}/{number}" for number in "0af"})
    at = which % len(keys)
    skipped = [key for key in keys[at + 1 :] if key <= last_alike(keys[at], "cat.jpg/")]
    assert last_alike(keys[at], "cat.jpg/") >= keys[at]
    assert not any(cleanup.is_rendition(key, "cat.jpg/") for key in skipped)


def test_a_folder_of_millions_costs_a_few_requests():
    """Their names begin with what no version begins with, as those of cameras and of folders do."""
    s3 = MemoryS3(page=1000)
    s3.files = dict.fromkeys((f"2026/IMG_{number}.jpg/{VERSION}/a.webp" for number in range(20_000)), b"")
    s3.files |= dict.fromkeys((f"2026/01/{number}.jpg/{VERSION}/a.webp" for number in range(20_000)), b"")
    s3.files |= {f"2026/{version * 16}/a.webp": b"" for version in "0af"}
    found: list[str] = []
    assert cleanup._find(found, Storage(s3), RENDITIONS, "2026/")  # type: ignore[arg-type]
    assert found == [f"2026/{version * 16}/a.webp" for version in "0af"]
    assert s3.asked <= 5


@pytest.mark.usefixtures("small_renditions")
def test_a_folder_of_more_than_it_can_look_at_is_an_error_after_what_was_found(monkeypatch):
    """Where the names of others begin as versions do, so that they cannot be passed over. Its cost is bounded, and the
    alarm for errors of Cleanup tells that something may be left."""
    monkeypatch.setattr(cleanup, "LOOKS", 2)
    pipeline = Pipeline()
    others = {f"cat.jpg/a{number}.jpg/{VERSION}/a.webp": b"" for number in range(2 * PAGE)}
    last = {f"cat.jpg/{'f' * 16}/a.webp": b""}
    pipeline.s3.files = {f"cat.jpg/{VERSION}/a.webp": b"", **others, **last}
    with pytest.raises(cleanup.CrowdedError, match=r"raw/cat\.jpg is a folder of others: among 2,000 files"):
        pipeline.delete("raw/cat.jpg")
    assert pipeline.s3.files == others | last
