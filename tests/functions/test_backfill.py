"""Backfill: which objects need work, and what is started for each."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from functions import backfill
from functions.backfill import NEEDS, Services
from functions.results import JUDGED_BY, Results
from functions.storage import Storage
from tests.functions.conftest import ENVIRONMENT, UPLOADS, Context

PICTURES, CAPTIONS = "arn of pictures", "arn of captions"
OLD = "2026-01-02T03:04:05.678Z"


class Bucket:
    """Objects, the rows of some of them, and what Backfill says to them."""

    def __init__(self, s3: Any, table: Any) -> None:
        self._s3, self._table = s3, table
        self.settings = backfill.Settings.read(
            {**ENVIRONMENT, "STATE_MACHINE": PICTURES, "RECAPTION_STATE_MACHINE": CAPTIONS}
        )

    def put(self, key: str, data: bytes = b"cat", **row: Any) -> dict[str, Any]:
        """With a row that speaks of it, if it is to have a status."""
        answer = self._s3.put_object(Bucket=UPLOADS, Key=key, Body=data)
        said = {
            "key": key,
            "version_id": answer["VersionId"],
            "shown_version_id": answer["VersionId"],
            "etag": answer["ETag"].strip('"'),
            "sequencer": f"sequencer of {key}",
            "execution": f"execution of {key}",
            "updated_at": f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%S.000Z}",
            "content_hash": "c0ffee",
            "recipe": ENVIRONMENT["RECIPE"],
            "caption": {"status": "OK", "text": "a cat"},
            **row,
        }
        if "status" in row:
            item = {name: TypeSerializer().serialize(value) for name, value in said.items() if value is not None}
            self._table.put_item(TableName=ENVIRONMENT["RESULTS_TABLE"], Item=item)
        return said

    def listed(self) -> list[dict[str, Any]]:
        """As the Map's reader and selector hand it on."""
        return [
            {"key": one["Key"], "etag": one["ETag"], "size": one["Size"], "modified": one["LastModified"].timestamp()}
            for one in self._s3.list_objects_v2(Bucket=UPLOADS)["Contents"]
        ]

    def ask(self, only: str, *, since: str = OLD, given: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        asked = {"backfill": "all-1", "only": only, "since": since, "pictures_at_once": 7, **(given or {})}
        batch = {"BatchInput": asked, "Items": self.listed(), **more}
        using = Services(self.settings, Results(self._table, ENVIRONMENT["RESULTS_TABLE"]), Storage(self._s3))
        return backfill.handler(batch, Context(), using)  # type: ignore[arg-type]

    def needing(self, only: str, **how: Any) -> list[str]:
        return [one["key"] for one in self.ask(only, **how)["pictures"]]


@pytest.fixture
def bucket(s3: Any, table: Any) -> Bucket:
    return Bucket(s3, table)


NONE = {"status": "OFF"}
ROWS: dict[str, dict[str, Any]] = {
    "no row": {},
    "fine": {"status": "SUCCEEDED"},
    "in work": {"status": "PROCESSING"},
    "in work, of an older version": {"status": "PROCESSING", "etag": "another"},
    "of an older version": {"status": "SUCCEEDED", "etag": "another"},
    "of the same bytes, uploaded before": {"status": "SUCCEEDED", "updated_at": OLD},
    "withdrawn": {"status": "SUCCEEDED", "etag": None},
    "deleted": {"status": "DELETED", "etag": None},
    "by an older recipe": {"status": "SUCCEEDED", "recipe": "fedcba9876543210"},
    "of before recipes": {"status": "SUCCEEDED", "recipe": None},
    "rejected": {"status": "REJECTED", "recipe": None},
    "failed": {"status": "FAILED", "recipe": None},
    "without its caption": {"status": "SUCCEEDED", "caption": {"status": "FAILED"}},
    "captions were off": {"status": "SUCCEEDED", "caption": NONE},
    "failed, and shows one without a caption": {"status": "FAILED", "caption": NONE},
    "shown, and overwritten": {"status": "REJECTED", "shown_version_id": "null", "caption": NONE},
    "written by 1.0.0": {"status": "SUCCEEDED", "shown_version_id": None, "caption": NONE},
}
UNKNOWN = {"no row", "in work, of an older version", "of an older version", "of the same bytes, uploaded before"}
MISSING = UNKNOWN | {"withdrawn", "deleted"}


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("missing", MISSING),
        ("stale", {"by an older recipe", "of before recipes"}),
        ("failed", {"failed", "failed, and shows one without a caption"}),
        (
            "captions",
            {
                "without its caption",
                "captions were off",
                "failed, and shows one without a caption",
                "written by 1.0.0",
            },
        ),
        ("all", ROWS.keys() - {"in work"}),
    ],
)
def test_which_need_work(bucket: Bucket, only: str, expected: set[str]):
    """By their rows, and by the listing; also when they are only counted."""
    for name, row in ROWS.items():
        bucket.put(f"raw/{name}", **row)
    assert {key.removeprefix("raw/") for key in bucket.needing(only, since="9")} == expected
    assert bucket.ask(only, since="9", count=True) == {"pictures": len(expected)}
    assert only in NEEDS


def test_what_would_be_stale_by_other_settings_is_counted(bucket: Bucket):
    """All that could be made but those that were made by them before."""
    for name, row in ROWS.items():
        bucket.put(f"raw/{name}", **row)
    by_others = {"recipe": "fedcba9876543210"}
    could_be_made = [name for name, row in ROWS.items() if row.get("status") == "SUCCEEDED"]
    assert bucket.ask("stale", count=True, given=by_others) == {"pictures": len(could_be_made) - 1}


def test_of_all_those_that_were_written_since_are_done(bucket: Bucket):
    """So that one that was stopped can go on."""
    bucket.put("raw/done", status="SUCCEEDED", updated_at="2099-01-01T00:00:00.001Z")
    bucket.put("raw/not yet", status="SUCCEEDED", updated_at="2098-12-31T23:59:59.999Z")
    assert bucket.needing("all", since="2099-01-01T00:00:00.000Z") == ["raw/not yet"]


def test_a_folders_marker_and_what_is_outside_of_the_prefix_are_no_pictures(bucket: Bucket):
    """Consoles make the one; the other nobody has asked for. An empty file is an upload, and rejected."""
    for key in ("raw/folder/", "elsewhere/cat.jpg", "raw/empty.jpg"):
        bucket.put(key, b"")
    bucket.put("raw/called like a folder/")
    assert bucket.needing("missing") == ["raw/called like a folder/", "raw/empty.jpg"]


def test_a_picture_is_started_as_by_its_event(bucket: Bucket):
    """Of the newest version, before every event of S3 where there is no row."""
    bucket.put("raw/cat.jpg", b"older")
    newest = bucket.put("raw/cat.jpg", b"newest")
    picture = {
        "key": "raw/cat.jpg",
        "size": 6,
        "etag": newest["etag"],
        "version-id": newest["version_id"],
        "sequencer": "0",
    }
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": UPLOADS}, "object": picture},
    }
    start = {"key": "raw/cat.jpg", "machine": PICTURES, "input": event}
    answer = bucket.ask("missing")
    assert (answer["at_once"], answer["backfill"], answer["pictures"]) == (7, "all-1", [start])


def test_a_row_is_taken_over_from_its_execution_alone(bucket: Bucket):
    """With its own sequencer, so that any newer event takes it in turn."""
    bucket.put("raw/cat.jpg", status="FAILED")
    [start] = bucket.ask("failed")["pictures"]
    assert start["input"]["redrives"] == "execution of raw/cat.jpg"
    assert start["input"]["detail"]["object"]["sequencer"] == "sequencer of raw/cat.jpg"


def test_a_caption_alone_is_started_as_redrive_does(bucket: Bucket):
    """For the version and the content that are shown; the renditions stay."""
    row = bucket.put("raw/cat.jpg", status="SUCCEEDED", caption={"status": "FAILED"})
    [start] = bucket.ask("captions")["pictures"]
    source = {
        "bucket": UPLOADS,
        "key": "raw/cat.jpg",
        "version_id": row["version_id"],
        "etag": row["etag"],
    }
    assert start == {
        "key": "raw/cat.jpg",
        "machine": CAPTIONS,
        "input": {"source": source, "content_hash": "c0ffee"},
    }


def test_what_is_gone_since_it_was_listed_is_not_started(bucket: Bucket, s3: Any, monkeypatch: pytest.MonkeyPatch):
    """Hidden by a marker, removed for good, or removed beside one whose key begins so."""
    for key in ("raw/hidden.jpg", "raw/removed.jpg", "raw/cat", "raw/cat.jpg"):
        bucket.put(key)
    listed = bucket.listed()
    monkeypatch.setattr(bucket, "listed", lambda: listed)
    s3.delete_object(Bucket=UPLOADS, Key="raw/hidden.jpg")
    for key in ("raw/removed.jpg", "raw/cat"):
        [version] = [
            one for one in s3.list_object_versions(Bucket=UPLOADS, Prefix=key)["Versions"] if one["Key"] == key
        ]
        s3.delete_object(Bucket=UPLOADS, Key=key, VersionId=version["VersionId"])
    assert bucket.needing("missing") == ["raw/cat.jpg"]


def test_a_bucket_without_versions_has_its_pictures_made_by_their_etag(s3: Any):
    """S3 calls the only version `null`, as the rows do."""
    where = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="plain", CreateBucketConfiguration=where)
    s3.put_object(Bucket="plain", Key="raw/cat.jpg", Body=b"cat")
    newest = Storage(s3).newest("plain", "raw/cat.jpg")
    assert newest is not None
    assert (newest.version_id, newest.size) == ("null", 3)


def test_rows_that_dynamodb_leaves_out_are_asked_for_again(table: Any, monkeypatch: pytest.MonkeyPatch):
    """Under load, or of more than 16 MB: otherwise their pictures would be taken for missing."""
    name, keys = ENVIRONMENT["RESULTS_TABLE"], [f"raw/{number}" for number in range(5)]
    for key in keys:
        table.put_item(TableName=name, Item={"key": {"S": key}, "status": {"S": "FAILED"}})
    ask = table.batch_get_item

    def one_at_a_time(RequestItems: Any) -> Any:
        first, rest = {**RequestItems[name]}, {**RequestItems[name]}
        first["Keys"], rest["Keys"] = first["Keys"][:1], rest["Keys"][1:]
        return {**ask(RequestItems={name: first}), "UnprocessedKeys": {name: rest} if rest["Keys"] else {}}

    monkeypatch.setattr(table, "batch_get_item", one_at_a_time)
    assert Results(table, name).of(keys).keys() == set(keys)


def test_an_error_of_the_table_is_an_error(bucket: Bucket, table: Any):
    """And not a bucket full of missing pictures."""
    bucket.put("raw/cat.jpg")
    table.delete_table(TableName=ENVIRONMENT["RESULTS_TABLE"])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        bucket.ask("missing")


def test_of_a_row_no_more_is_read_than_tells():
    """A hundred rows come at once, and what they show may be long."""
    assert {"renditions", "placeholder", "notes"}.isdisjoint(JUDGED_BY.replace(",", "").split())


def test_a_backfill_that_began_before_the_last_deployment_goes_on(bucket: Bucket):
    """Its definition says nothing of its name."""
    bucket.put("raw/new.jpg")
    asked = {"only": "missing", "since": OLD, "pictures_at_once": 7}
    assert len(bucket.ask("missing", BatchInput=asked)["pictures"]) == 1
