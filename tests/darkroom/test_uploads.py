"""Files become keys, and each upload is followed to the end of its own version."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from darkroom.cli import watch
from darkroom.cli.upload import line
from darkroom.errors import TargetError
from darkroom.pipeline import files, uploads
from darkroom.pipeline.target import Target
from darkroom.pipeline.uploads import Upload
from functions.imaging import crop, focal_point
from tests.darkroom.conftest import Stacks, darkroom
from tests.schemas import document


def file(path: Path, content: bytes = b"picture") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def chosen(*paths: Path, **options: bool) -> dict[str, Path]:
    return files.choose(paths, "raw/", **options).files


def test_a_file_is_named_by_its_name_and_a_folder_by_what_is_below_it(tmp_path: Path):
    single = file(tmp_path / "elsewhere" / "cat.jpg")
    deep = file(tmp_path / "album" / "2024" / "a b+c%20é.jpg")
    assert chosen(single, tmp_path / "album") == {"raw/cat.jpg": single, "raw/2024/a b+c%20é.jpg": deep}


def test_hidden_files_of_a_folder_stay_at_home(tmp_path: Path):
    """`.DS_Store` is no picture that anybody meant. A hidden file that was named itself is."""
    for name in (".DS_Store", ".thumbnails/a.jpg", "a.jpg"):
        file(tmp_path / name)
    assert list(chosen(tmp_path, everything=True)) == ["raw/a.jpg"]
    assert files.choose([tmp_path], "raw/").left_out == {files.HIDDEN: [".DS_Store", ".thumbnails"]}
    assert list(chosen(tmp_path / ".DS_Store")) == ["raw/.DS_Store"]


def test_no_link_leads_out_of_a_folder(tmp_path: Path):
    """It may be out of somebody's archive, and the link may name any file of the person who uploads it."""
    secret = file(tmp_path / "secret" / "key")
    album = tmp_path / "album"
    inside = file(album / "a.jpg")
    (album / "again.jpg").symlink_to(inside)
    (album / "innocent\x1b.jpg").symlink_to(secret)
    (album / "upwards.jpg").symlink_to("../secret/key")
    (album / "folder").symlink_to(secret.parent)
    (album / "nowhere.jpg").symlink_to("gone")
    (tmp_path / "link").symlink_to(album)
    for folder in (album, tmp_path / "link"):
        found = files.choose([folder], "raw/")
        assert set(found.files) == {"raw/a.jpg", "raw/again.jpg"}
        assert found.left_out == {files.LINK: ["folder", "innocent\x1b.jpg", "nowhere.jpg", "upwards.jpg"]}


def test_a_link_that_is_named_itself_is_meant(tmp_path: Path):
    (tmp_path / "link.jpg").symlink_to(file(tmp_path / "elsewhere" / "cat.jpg"))
    assert list(chosen(tmp_path / "link.jpg")) == ["raw/link.jpg"]


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_of_a_folder_what_is_no_picture_by_name_or_bytes_is_left_out(tmp_path: Path, format_name: str):
    """Such as what a folder of settings has. What only says that it is a picture is for the pipeline to judge."""
    Image.new("RGB", (2, 2)).save(tmp_path / "without-extension", format_name)
    for name in ("settings.json", "empty", "broken.JPG"):
        file(tmp_path / name, b"{}" if name != "empty" else b"")
    found = files.choose([tmp_path], "raw/")
    assert list(found.files) == ["raw/broken.JPG", "raw/without-extension"]
    assert found.left_out == {files.NO_PICTURE: ["empty", "settings.json"]}
    assert len(chosen(tmp_path, everything=True)) == 4
    assert list(chosen(tmp_path / "settings.json")) == ["raw/settings.json"]


def test_two_files_for_one_key_are_refused_before_anything_is_uploaded(tmp_path: Path):
    paths = [file(tmp_path / "one" / "cat.jpg"), file(tmp_path / "two" / "cat.jpg")]
    with pytest.raises(TargetError, match=r"would both become raw/cat\.jpg"):
        chosen(*paths)


def test_a_path_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(TargetError, match=r"no such file or folder: .*gone\.jpg"):
        chosen(tmp_path / "gone.jpg")


def test_a_file_that_no_key_can_name_is_named_and_the_others_are_taken(tmp_path: Path):
    long = file(tmp_path.joinpath(*["é" * 100] * 6))
    wrong = file(Path(os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.jpg")))
    file(tmp_path / "a.jpg")
    found = files.choose([tmp_path], "raw/", everything=True)
    assert list(found.files) == ["raw/a.jpg"]
    problems = [found.unreadable[one.relative_to(tmp_path).as_posix()] for one in (long, wrong)]
    assert problems[0] == "its key would be 1209 bytes long, S3 takes 1024"
    assert "UTF-8" in problems[1]
    with pytest.raises(TargetError, match="UTF-8"):
        chosen(wrong)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Root may read any, so it is the system's answer that is played."""
    file(tmp_path / "a.jpg")
    file(tmp_path / "locked" / "b.jpg")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert files.choose([tmp_path], "raw/").unreadable == {"locked": "Permission denied"}


def test_an_interrupted_upload_names_what_it_could_not_read(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Ctrl-C comes when one file has turned out to be gone."""
    send = uploads.send

    def interrupted(*arguments: Any) -> Any:
        yield from send(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watch.send_all(target, {"raw/gone.jpg": tmp_path / "gone.jpg"})
    assert "Not sent: raw/gone.jpg: No such file or directory\n" in capsys.readouterr().err


@pytest.mark.parametrize("wait", ["--no-wait", "--timeout=0"])
def test_an_upload_goes_on_past_what_cannot_be_read(
    wait: str, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A file that is gone, one that is a folder by now, one with a name that is no text: each is named."""
    album = tmp_path / "album"
    for name in ("a.jpg", "b.jpg", "gone.jpg", "turned.jpg"):
        file(album / name)
    file(Path(os.fsdecode(os.fsencode(album / "caf") + b"\xe9.jpg")))
    choose = files.choose

    def and_change(*arguments: Any, **options: Any) -> Any:
        found = choose(*arguments, **options)
        for name in ("gone.jpg", "turned.jpg"):
            (album / name).unlink()
        (album / "turned.jpg").mkdir()
        return found

    monkeypatch.setattr(files, "choose", and_change)
    result = darkroom("--aws", "upload", album, wait)
    assert result.exit_code == 1
    named = [line for line in result.stderr.splitlines() if line.startswith("Not sent: ")]
    assert [line.split(":")[1].strip() for line in named] == [r"caf\udce9.jpg", "raw/gone.jpg", "raw/turned.jpg"]
    there = [one["Key"] for one in target.s3.list_objects_v2(Bucket="uploads")["Contents"]]
    assert there == ["raw/a.jpg", "raw/b.jpg"]


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(target: Target, tmp_path: Path):
    file(tmp_path / "a.jpg")
    file(tmp_path / "notes.txt")
    result = darkroom("--aws", "upload", "--dry-run", tmp_path)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["raw/a.jpg", str(tmp_path / "a.jpg")]
    assert result.stderr.count("notes.txt") == 1
    assert document("upload", darkroom("--aws", "upload", "--dry-run", "--json", tmp_path).stdout) == [
        {"path": str(tmp_path / "a.jpg"), "key": "raw/a.jpg"}
    ]
    assert "Contents" not in target.s3.list_objects_v2(Bucket="uploads")


def test_an_upload_carries_its_content_type_and_says_its_version(target: Target, tmp_path: Path):
    [sent] = uploads.send(target, {"raw/a b+c.webp": file(tmp_path / "a.webp", b"1234")})
    stored = target.s3.get_object(Bucket=target.output("UploadsBucketName"), Key="raw/a b+c.webp")
    assert stored["Body"].read() == b"1234"
    assert stored["ContentType"] == "image/webp"
    assert (sent.version_id, f'"{sent.etag}"') == (stored["VersionId"], stored["ETag"])


@pytest.mark.parametrize("wait", ["--no-wait", "--timeout=0"])
def test_an_upload_says_what_no_crop_may_cut_off(wait: str, target: Target, tmp_path: Path):
    darkroom("--aws", "upload", file(tmp_path / "cat.jpg"), wait, "--focus", " 0.3,\t0.6\n")
    assert target.s3.head_object(Bucket="uploads", Key="raw/cat.jpg")["Metadata"] == {"focus": "0.3,0.6"}


POINTS = ("0.3,0.6", "0,1", ".5, 1.0", "0.123456,0", " 1 , 0", "0.3,\t0.6", "1.000000,.0")
NO_POINTS = (
    *("a,b", "0.3", "0.3;0.6", "1.1,0.5", "-0.1,0.5", "0.3,0.6,0.9", "", " ", ",", "nan,0", "1e0,0", "0,5,0,6"),
    *("0.1234567,0", "1.000001,0", "00.5,0", "0.,0", "+0,0", "\u0660,1", "0.3,0.6\0"),
)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("said", "fine"), [*((p, True) for p in POINTS), *((p, False) for p in NO_POINTS)])
def test_a_point_is_refused_at_once_if_the_pipeline_would_ignore_it(said: str, fine: bool, tmp_path: Path):
    point = tuple(map(float, said.split(","))) if fine else None
    assert focal_point(said) == point
    result = darkroom("--aws", "upload", file(tmp_path / "cat.jpg"), "--dry-run", f"--focus={said}")
    assert result.exit_code == (0 if fine else 2)
    assert fine or "must be two" in result.stderr


def test_a_point_is_the_same_to_who_sends_it_and_to_who_crops():
    """Neither may import the other."""
    assert uploads.FOCUS.pattern == crop.FOCUS


def test_a_point_is_of_one_picture(target: Target, tmp_path: Path):
    paths = [file(tmp_path / name) for name in ("cat.jpg", "dog.jpg")]
    result = darkroom("--aws", "upload", *paths, "--focus", "0.3,0.6")
    assert result.exit_code == 2
    assert "is of one picture, and 2 pictures would" in result.stderr
    assert "Contents" not in target.s3.list_objects_v2(Bucket="uploads")


def ended(target: Target, row: dict[str, Any] | None, upload: Upload) -> str:
    """How the upload ended, if this is its row and nothing more happens."""
    if row is not None:
        target.results.put_item(Item={"key": upload.key, **row})
    [end] = uploads.follow(target, [upload], timeout=0)
    return end.status


UPLOAD = Upload(Path("cat.jpg"), "raw/cat.jpg", "v2", "e2", at=0, superseded="05")


@pytest.mark.parametrize("status", ["SUCCEEDED", "REJECTED", "FAILED", "DELETED"])
def test_a_terminal_row_of_its_version_is_its_end(status: str, target: Target):
    assert ended(target, {"status": status, "version_id": "v2"}, UPLOAD) == status


def test_a_row_of_an_older_version_is_not_its_end(target: Target):
    assert ended(target, {"status": "SUCCEEDED", "version_id": "v1", "etag": "e2"}, UPLOAD) == "WAITING"


def test_what_is_not_ended_in_time_has_the_status_it_has(target: Target):
    assert ended(target, {"status": "PROCESSING", "version_id": "v2"}, UPLOAD) == "PROCESSING"


def test_without_a_row_it_waits(target: Target):
    assert ended(target, None, UPLOAD) == "WAITING"


@pytest.mark.parametrize(
    ("etag", "sequencer", "status"),
    [("e2", "06", "FAILED"), ("e2", "05", "WAITING"), ("e1", "06", "WAITING")],
    ids=["claimed anew", "the row from before", "other content"],
)
def test_where_the_event_names_no_version_content_and_sequencer_tell(
    etag: str, sequencer: str, status: str, target: Target
):
    row = {"status": "FAILED", "version_id": "null", "etag": etag, "sequencer": sequencer}
    assert ended(target, row, UPLOAD) == status


def test_the_row_from_before_an_upload_is_remembered(target: Target, tmp_path: Path):
    """Else the same content uploaded again would seem to have ended at once."""
    target.results.put_item(Item={"key": "raw/cat.jpg", "status": "SUCCEEDED", "sequencer": "05"})
    [sent] = uploads.send(target, {"raw/cat.jpg": file(tmp_path / "cat.jpg")})
    assert sent.superseded == "05"


def test_many_pictures_are_followed_in_batches(target: Target):
    """DynamoDB gives 100 rows at once at most; the last of 250 is not kept waiting by the ones before it."""
    many = [Upload(Path(f"{n}"), f"raw/{n}", "v", "e", at=0, superseded=None) for n in range(250)]
    target.results.put_item(Item={"key": "raw/249", "status": "SUCCEEDED", "version_id": "v"})
    ends = {end.upload.key: end.status for end in uploads.follow(target, many, timeout=0)}
    assert ends.pop("raw/249") == "SUCCEEDED"
    assert list(ends.values()) == ["WAITING"] * 249


def test_the_command_uploads_and_says_the_versions_in_one_json_document(target: Target, tmp_path: Path):
    file(tmp_path / "album" / "a.jpg")
    result = darkroom("--aws", "upload", tmp_path / "album", "--no-wait", "--json")
    assert result.exit_code == 0
    [document] = json.loads(result.stdout)
    assert document["key"] == "raw/a.jpg"
    assert target.s3.head_object(
        Bucket=target.output("UploadsBucketName"), Key="raw/a.jpg", VersionId=document["version_id"]
    )


@pytest.mark.usefixtures("target")
def test_the_command_fails_when_a_picture_has_not_ended_in_time(tmp_path: Path):
    """There is no pipeline behind this stack: the wait goes on until its time is over."""
    file(tmp_path / "a.jpg")
    result = darkroom("--aws", "upload", tmp_path, "--timeout", "0", "--json")
    assert result.exit_code == 1
    assert [one["status"] for one in json.loads(result.stdout)] == ["WAITING"]


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("minutes", "said"), [(8, True), (12, False)])
def test_a_picture_without_a_row_soon_after_the_first_deployment_is_explained(
    account: Stacks, tmp_path: Path, minutes: int, said: bool
):
    """On AWS, S3 does not tell of uploads from the first minute on."""
    account.created = datetime.now(UTC) - timedelta(minutes=minutes)
    file(tmp_path / "a.jpg")
    result = darkroom("--aws", "upload", tmp_path, "--timeout", "0")
    assert ("needs about five minutes after the first deployment" in result.stderr) is said


@pytest.mark.usefixtures("target")
def test_an_empty_folder_is_no_success(tmp_path: Path):
    result = darkroom("--aws", "upload", tmp_path)
    assert result.exit_code == 1
    assert "there is no picture in" in result.stderr


def test_pictures_are_followed_while_others_are_still_sent(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first verdict does not wait for the last upload, and no verdict is lost."""
    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    monkeypatch.setattr(uploads, "POLL_SECONDS", 0)
    album = {f"raw/{name}.jpg": file(tmp_path / name) for name in "abc"}
    released = Event()
    put = target.s3.put_object

    def put_and_end(**request: Any) -> Any:
        assert request["Key"] != "raw/c.jpg" or released.wait(120)
        answer = put(**request)
        row = {"key": request["Key"], "status": "SUCCEEDED", "version_id": answer["VersionId"]}
        target.results.put_item(Item=row)
        return answer

    monkeypatch.setattr(target.s3, "put_object", put_and_end)
    following = uploads.send_and_follow(target, album, timeout=120)
    first = [next(following).upload.key, next(following).upload.key]
    released.set()
    assert [*first, *(end.upload.key for end in following)] == ["raw/a.jpg", "raw/b.jpg", "raw/c.jpg"]


def test_ctrl_c_says_how_far_it_came(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object) -> Any:
        yield uploads.Ended(UPLOAD, "SUCCEEDED", None, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "send_and_follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watch.watch(target, {"raw/cat.jpg": tmp_path, "raw/dog.jpg": tmp_path}, timeout=0)
    assert "Stopped with 1 of 2 at their end" in capsys.readouterr().err


@pytest.mark.usefixtures("target")
def test_an_upload_says_where_its_errors_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each entry once, below the table."""

    def ended(code: str) -> uploads.Ended:
        row = {"key": "raw/cat.jpg", "status": "REJECTED", "error": {"code": code, "message": "m"}}
        return uploads.Ended(UPLOAD, "REJECTED", row, 1.0)

    monkeypatch.setattr(watch, "watch", lambda *_: ([ended("corrupt"), ended("empty"), ended("corrupt")], {}))
    result = darkroom("--aws", "upload", file(tmp_path / "cat.jpg"))
    entries = "docs/results.md#corrupt, docs/results.md#empty"
    assert result.stderr.splitlines()[-1] == f"The errors are explained in {entries}"


def test_the_line_of_an_upload_names_its_renditions_and_what_was_said_of_it():
    renditions = {
        "thumb": {"width": 128, "bytes": 900},
        "large": {"width": 2048, "bytes": 30000},
        "small": {"width": 480, "bytes": 5000},
    }
    row = {"status": "SUCCEEDED", "renditions": renditions, "caption": {"status": "OK", "text": "a cat"}}
    end = uploads.Ended(UPLOAD, "SUCCEEDED", row, 1.0)
    assert line(end) == (
        "raw/cat.jpg",
        "SUCCEEDED",
        "1.00 s",
        "thumb 900 B, small 4.9 KiB, large 29.3 KiB",
        "a cat",
    )


@pytest.mark.parametrize(("read", "given_up"), [(3, True), (7, False)])
def test_a_file_that_is_sent_to_its_last_byte_is_not_given_up(tmp_path: Path, read: int, given_up: bool):
    """S3 may have all of it already: its answer says so."""
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"picture")
    sending = uploads.Sending({"raw/cat.jpg": path})
    with uploads._Body(path, sending) as body:
        body.read(read)
        sending.stopped = True
        with pytest.raises(uploads.StoppedError) if given_up else nullcontext():
            assert body.read(read) == b""


def test_an_upload_that_fails_ends_the_command_and_begins_no_other(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of fifty, at most the one that was already under way still happens."""
    begun, left = [], Event()

    class Workers(ThreadPoolExecutor):
        def shutdown(self, *, cancel_futures: bool) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            left.set()
            super().shutdown()

    def refuse(**request: Any) -> Any:
        begun.append(request["Key"])
        if len(begun) > 1:
            left.wait(120)
        raise RuntimeError("refused")

    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    monkeypatch.setattr(uploads, "ThreadPoolExecutor", Workers)
    monkeypatch.setattr(target.s3, "put_object", refuse)
    fifty = {f"raw/{number}.jpg": file(tmp_path / "cat.jpg") for number in range(50)}
    with pytest.raises(RuntimeError, match="refused"):
        list(uploads.send(target, fifty))
    assert len(begun) <= 2


def test_an_upload_that_s3_refuses_leaves_no_doubt_about_the_others(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is said to be in S3 is there, and what is said not to be is not."""
    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    put = target.s3.put_object

    def refuse_the_second(**request: Any) -> Any:
        if request["Key"] == "raw/b.jpg":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "refused"}}, "PutObject")
        return put(**request)

    monkeypatch.setattr(Target, "s3", target.s3)
    monkeypatch.setattr(target.s3, "put_object", refuse_the_second)
    for name in "abc":
        file(tmp_path / "album" / f"{name}.jpg")
    result = darkroom("--aws", "upload", tmp_path / "album", "--no-wait")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith("refused")
    said = dict(line.split("): ") for line in result.stderr.splitlines() if "): " in line)
    there = {one["Key"] for one in target.s3.list_objects_v2(Bucket="uploads")["Contents"]}
    [in_s3] = [set(keys.split(", ")) for what, keys in said.items() if what.startswith("In S3")]
    [missing] = [set(keys.split(", ")) for what, keys in said.items() if what.startswith("Not uploaded")]
    assert in_s3 == there
    assert missing == {"raw/a.jpg", "raw/b.jpg", "raw/c.jpg"} - there
