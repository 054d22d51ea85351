"""Cleanup: what the row does not name goes, and nothing else."""

import pytest

from functions import cleanup
from functions.keys import rendition_key
from functions.storage import Storage
from tests.functions.conftest import ENVIRONMENT, RENDITIONS

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

OLD, NEW = "0" * 16, "f" * 16


@pytest.fixture
def row(table):
    def put(status: str, key: str = "raw/cat.jpg", **renditions: str) -> None:
        named = {name: {"M": {"key": {"S": file}}} for name, file in renditions.items()}
        item = {"key": {"S": key}, "status": {"S": status}, "renditions": {"M": named}}
        table.put_item(TableName=ENVIRONMENT["RESULTS_TABLE"], Item=item)

    return put


@pytest.fixture
def files(s3):
    """Writes these into the renditions bucket, and says later which are there."""

    def there(*keys: str) -> set[str]:
        for key in keys:
            s3.put_object(Bucket=RENDITIONS, Key=key, Body=b"pixels")
        return {one["Key"] for one in s3.list_objects_v2(Bucket=RENDITIONS).get("Contents", [])}

    return there


def test_a_success_keeps_what_its_row_names(row, files, call):
    """The older version's renditions go."""
    files(f"cat.jpg/{OLD}/thumb.webp", f"cat.jpg/{OLD}/small.webp", f"cat.jpg/{NEW}/thumb.webp")
    row("SUCCEEDED", thumb=f"cat.jpg/{NEW}/thumb.webp")
    assert call(cleanup, {"key": "raw/cat.jpg"}) == {"removed": 2}
    assert files() == {f"cat.jpg/{NEW}/thumb.webp"}


@pytest.mark.parametrize("status", ["SUCCEEDED", "REJECTED", "FAILED", "PROCESSING"])
def test_what_a_row_shows_stays_whatever_its_status(row, files, call, status):
    """It is of the last version that succeeded. What others left goes where no execution may still need it."""
    files(f"cat.jpg/{OLD}/thumb.webp", f"cat.jpg/{NEW}/thumb.webp")
    row(status, thumb=f"cat.jpg/{OLD}/thumb.webp")
    call(cleanup, {"key": "raw/cat.jpg"})
    left = {f"cat.jpg/{NEW}/thumb.webp"} if status in {"FAILED", "PROCESSING"} else set()
    assert files() == {f"cat.jpg/{OLD}/thumb.webp"} | left


@pytest.mark.parametrize("status", ["DELETED", "REJECTED"])
def test_a_picture_that_shows_no_renditions_keeps_none(row, files, call, status):
    """Neither one that was deleted nor one of which no version was ever taken."""
    files(f"cat.jpg/{OLD}/thumb.webp")
    row(status)
    call(cleanup, {"key": "raw/cat.jpg"})
    assert files() == set()


@pytest.mark.parametrize("status", ["PROCESSING", "FAILED", None])
def test_what_an_execution_may_still_need_is_left_to_it(row, files, call, status):
    """At work, or to be sent again, it writes files that no row names yet. Without a row, nothing is known."""
    files(f"cat.jpg/{NEW}/thumb.webp")
    if status:
        row(status)
    assert call(cleanup, {"key": "raw/cat.jpg"}) == {"removed": 0}
    assert files() == {f"cat.jpg/{NEW}/thumb.webp"}


def test_an_execution_that_begins_meanwhile_loses_nothing(row, files, call, s3):
    """It claims and writes after the files were listed and before the row is read: its file was not on the list."""
    files(f"cat.jpg/{OLD}/thumb.webp")

    class Busy(Storage):
        def list(self, bucket, prefix, after):
            found = super().list(bucket, prefix, after)
            files(f"cat.jpg/{NEW}/thumb.webp")
            row("SUCCEEDED")
            return found

    call(cleanup, {"key": "raw/cat.jpg"}, Busy(s3))
    assert files() == {f"cat.jpg/{NEW}/thumb.webp"}


def test_a_key_that_is_a_folder_of_others_leaves_them_alone(row, files, call):
    """`raw/cat.jpg` may be a picture and `raw/cat.jpg/0000000000000000/tail.jpg` another."""
    other = f"cat.jpg/{OLD}/tail.jpg/{OLD}/thumb.webp"
    files(f"cat.jpg/{OLD}/thumb.webp", other)
    row("DELETED")
    assert call(cleanup, {"key": "raw/cat.jpg"}) == {"removed": 1}
    assert files() == {other}


def test_an_upload_that_is_called_like_the_hash_of_another_removes_nothing_of_it(row, files, call):
    """Whose key is too long for its renditions, and is known to whoever guesses it."""
    key = "é" * 500
    file = rendition_key(key, OLD, "thumb.webp")
    files(file)
    row("REJECTED", f"raw/{file.partition('/')[0]}")
    assert call(cleanup, {"key": f"raw/{file.partition('/')[0]}"}) == {"removed": 0}
    assert files() == {file}


def test_renditions_of_a_very_long_key_are_found(row, files, call):
    """They lie under its SHA-256."""
    key = "é" * 500
    files(rendition_key(key, OLD, "thumb.webp"))
    row("DELETED", f"raw/{key}")
    assert call(cleanup, {"key": f"raw/{key}"}) == {"removed": 1}
    assert files() == set()


def test_more_than_s3_removes_at_once(row, files, call):
    """1,000 in one request."""
    files(*(f"cat.jpg/{number:016x}/thumb.webp" for number in range(1001)))
    row("DELETED")
    assert call(cleanup, {"key": "raw/cat.jpg"}) == {"removed": 1001}
    assert files() == set()


def test_a_refusal_is_a_failure(row, files, call, s3, monkeypatch):
    """S3 answers 200 to a batch of which it refused some."""
    files(f"cat.jpg/{OLD}/thumb.webp")
    row("DELETED")
    refused = {"Errors": [{"Key": f"cat.jpg/{OLD}/thumb.webp", "Code": "AccessDenied"}]}
    monkeypatch.setattr(s3, "delete_objects", lambda **_: refused)
    with pytest.raises(OSError, match=r"S3 kept 1 of 1 files, cat\.jpg/0+/thumb\.webp: AccessDenied"):
        call(cleanup, {"key": "raw/cat.jpg"}, Storage(s3))


def test_what_a_cleanup_that_died_has_left_goes_with_the_next(row, files, call, s3, monkeypatch):
    """It had removed some and not all: the next run of this key begins anew and needs nothing of the first."""
    left = {f"cat.jpg/{number:016x}/thumb.webp" for number in range(1000, 1003)}
    files(*left, *(f"cat.jpg/{number:016x}/thumb.webp" for number in range(1000)), f"cat.jpg/{NEW}/thumb.webp")
    row("SUCCEEDED", thumb=f"cat.jpg/{NEW}/thumb.webp")
    remove = s3.delete_objects
    with monkeypatch.context() as dying:
        thousands = lambda **batch: remove(**batch) if len(batch["Delete"]["Objects"]) == 1000 else 1 / 0  # noqa: E731
        dying.setattr(s3, "delete_objects", thousands)
        with pytest.raises(ZeroDivisionError):
            call(cleanup, {"key": "raw/cat.jpg"}, Storage(s3))
    assert files() == left | {f"cat.jpg/{NEW}/thumb.webp"}
    assert call(cleanup, {"key": "raw/cat.jpg"}, Storage(s3)) == {"removed": 3}
    assert files() == {f"cat.jpg/{NEW}/thumb.webp"}


@pytest.mark.parametrize(("status", "kept"), [("SUCCEEDED", {NEW}), ("DELETED", set())])
def test_other_sizes_go_with_their_version(row, files, call, monkeypatch, status, kept):
    """Where they are made: else nobody looks for them."""
    sizes = {version: f"derived/raw/cat.jpg/{version}/w_640,h_427,q_80.webp" for version in (OLD, NEW)}
    others = {f"derived/raw/cat.jpg/x/{OLD}/w_640.webp", f"derived/raw/cat.jpgs/{OLD}/w_640.webp"}
    files(*sizes.values(), *others, f"cat.jpg/{NEW}/thumb.webp")
    row(status, **({"thumb": f"cat.jpg/{NEW}/thumb.webp"} if kept else {}))
    event = {"key": "raw/cat.jpg"}
    call(cleanup, event)
    assert set(sizes.values()) <= files()
    monkeypatch.setenv("DERIVED_SIZES", "true")
    cleanup.settings.cache_clear()
    call(cleanup, event)
    left = {f"cat.jpg/{version}/thumb.webp" for version in kept} | {sizes[version] for version in kept}
    assert files() == left | others
