"""The files of a picture are had by one command, under names that are no paths."""

from pathlib import Path

import pytest

from darkroom.pipeline.target import Target
from tests.darkroom.conftest import REGION, darkroom
from tests.schemas import document

SIZES = {"thumb": 128, "small": 480}


@pytest.fixture
def cat(target: Target) -> str:
    return picture(target, "raw/2026/cat.jpg")


def picture(target: Target, key: str) -> str:
    """With two renditions, and two versions of the original, of which the row is about the first."""
    if "renditions" not in {one["Name"] for one in target.s3.list_buckets()["Buckets"]}:
        target.s3.create_bucket(Bucket="renditions", CreateBucketConfiguration={"LocationConstraint": REGION})
    version = target.s3.put_object(Bucket="uploads", Key=key, Body=b"first")["VersionId"]
    target.s3.put_object(Bucket="uploads", Key=key, Body=b"second")
    renditions = {}
    for name, width in SIZES.items():
        of = {"key": f"folder/0123/{name}.webp", "format": "webp", "content_type": "image/webp", "bytes": len(name)}
        renditions[name] = {**of, "width": width, "height": width}
        target.s3.put_object(Bucket="renditions", Key=of["key"], Body=name.encode())
    row = {"key": key, "status": "SUCCEEDED", "updated_at": "2024-05-01T10:00:00Z", "version_id": version}
    target.results.put_item(Item={**row, "renditions": renditions})
    return key


def there(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ([], {"cat-thumb.webp": b"thumb", "cat-small.webp": b"small"}),
        (["--rendition", "small"], {"cat-small.webp": b"small"}),
        (["--rendition", "original"], {"cat.jpg": b"first"}),
        (["--rendition", "thumb", "--rendition", "original"], {"cat-thumb.webp": b"thumb", "cat.jpg": b"first"}),
    ],
)
def test_get_copies_what_is_asked_for(cat: str, tmp_path: Path, options: list[str], files: dict[str, bytes]):
    """Of the original the version that the row is about."""
    result = darkroom("--aws", "get", cat, "-o", tmp_path / "new" / "folder", "--json", *options)
    assert result.exit_code == 0, result.stderr
    assert there(tmp_path / "new" / "folder") == files
    told = {Path(one["path"]).name: one["bytes"] for one in document("get", result.stdout)}
    assert told == {name: len(body) for name, body in files.items()}


def test_renditions_of_an_older_version_are_copied_and_called_so(cat: str, target: Target, tmp_path: Path):
    """The newest was rejected: its original is another file, of which nothing needs to be said."""
    newest = target.s3.put_object(Bucket="uploads", Key=cat, Body=b"words")["VersionId"]
    target.results.update_item(
        Key={"key": cat},
        UpdateExpression="SET #status = :rejected, shown_version_id = version_id, version_id = :newest",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":rejected": "REJECTED", ":newest": newest},
    )
    older = target.results.get_item(Key={"key": cat})["Item"]["shown_version_id"]
    result = darkroom("--aws", "get", cat, "-o", tmp_path / "shown")
    assert there(tmp_path / "shown") == {"cat-thumb.webp": b"thumb", "cat-small.webp": b"small"}
    assert f"{cat} is REJECTED: its renditions are of an older version, {older}" in result.stderr
    result = darkroom("--aws", "get", cat, "-o", tmp_path / "newest", "--rendition", "original")
    assert there(tmp_path / "newest") == {"cat.jpg": b"words"}
    assert "older" not in result.stderr


def test_without_a_folder_it_is_this_one(cat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = darkroom("--aws", "get", cat, "--rendition", "small")
    assert result.stdout.splitlines()[-1].split() == ["small", "cat-small.webp", "5", "B"]
    assert (tmp_path / "cat-small.webp").exists()


@pytest.mark.parametrize("key", ["raw/..", "raw/a/../..", r"raw/..\..\evil", "raw//"])
def test_no_key_leads_out_of_the_folder(target: Target, key: str, tmp_path: Path):
    picture(target, key)
    result = darkroom(
        "--aws", "get", key, "-o", tmp_path / "in" / "here", "--rendition", "small", "--rendition", "original"
    )
    assert result.exit_code == 0, result.stderr
    assert len(there(tmp_path / "in" / "here")) == 2
    assert [file.name for file in tmp_path.iterdir() if file.name != "home"] == ["in"]
    assert [file.name for file in (tmp_path / "in").iterdir()] == ["here"]


def test_nothing_is_overwritten(cat: str, tmp_path: Path):
    (tmp_path / "cat-small.webp").write_bytes(b"mine")
    result = darkroom("--aws", "get", cat, "-o", tmp_path)
    assert result.exit_code == 1
    assert "cat-small.webp is there already" in result.stderr
    assert there(tmp_path) == {"cat-small.webp": b"mine"}


def test_what_there_is_not_is_said_with_what_there_is(cat: str, target: Target, tmp_path: Path):
    result = darkroom("--aws", "get", cat, "--rendition", "huge", "-o", tmp_path)
    assert result.stderr.splitlines()[-1].endswith("has no rendition 'huge', but thumb, small, original")
    target.s3.delete_object(Bucket="renditions", Key="folder/0123/small.webp")
    result = darkroom("--aws", "get", cat, "--rendition", "small", "-o", tmp_path)
    assert "not in renditions any more" in result.stderr
    target.results.put_item(Item={"key": "raw/no.jpg", "status": "REJECTED", "updated_at": "2024"})
    for command in ("get", "open"):
        result = darkroom("--aws", command, "no.jpg")
        assert result.exit_code == 1
        assert "raw/no.jpg is REJECTED and has no renditions" in result.stderr
    assert there(tmp_path) == {}


@pytest.mark.parametrize(("launched", "code"), [(0, 0), (1, 1)])
def test_open_hands_the_largest_rendition_to_the_machines_program(
    cat: str, launched: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    opened: list[Path] = []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("typer.launch", lambda path: opened.append(Path(path)) or launched)
    result = darkroom("--aws", "open", cat)
    assert result.exit_code == code
    assert [path.read_bytes() for path in opened] == [b"small"]
    assert result.stdout.strip() == str(opened[0])


def test_an_original_is_not_opened(cat: str, monkeypatch: pytest.MonkeyPatch):
    """Who uploads decides what is in it."""
    monkeypatch.setattr("typer.launch", lambda _: pytest.fail("it is opened"))
    assert darkroom("--aws", "open", cat, "--rendition", "original").exit_code == 2
