"""Resize: one rendition, written with its headers."""

import io
import json

import pytest
from botocore.exceptions import ClientError
from PIL import ExifTags, Image

from darkroom.local.pictures import photo
from functions import resize, validate
from functions.imaging import Rejected
from tests.functions.conftest import RENDITIONS, UPLOADS


@pytest.fixture
def validated(upload, call):
    return call(validate, upload("raw/cat.jpg", photo(900, 600)))


def test_it_writes_what_was_planned(s3, call, validated):
    """The object has the size, type and cache headers of the contract, and the answer says the same of it."""
    for planned in validated["renditions"]:
        answer = call(resize, validated["source"], rendition=planned)
        stored = s3.get_object(Bucket=RENDITIONS, Key=planned["key"])
        body = stored["Body"].read()
        assert answer == {
            "name": planned["name"],
            "key": planned["key"],
            "format": planned["format"],
            "content_type": stored["ContentType"],
            "width": planned["width"],
            "height": planned["height"],
            "bytes": len(body),
        }
        assert stored["ContentType"] == f"image/{planned['format']}"
        assert stored["CacheControl"] == "public, max-age=31536000, immutable"
        with Image.open(io.BytesIO(body)) as picture:
            assert (picture.format, picture.size) == (planned["format"].upper(), (planned["width"], planned["height"]))


@pytest.mark.parametrize("setting", ["true", "false"])
def test_the_copyright_is_kept_where_the_setting_says_so(s3, upload, call, monkeypatch, setting):
    """`keep_copyright` goes from Validate's environment through the plan into every rendition."""
    monkeypatch.setenv("KEEP_COPYRIGHT", setting)
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Copyright], exif[ExifTags.Base.Make] = "(c) Ada 2026", "camera"
    Image.new("RGB", (60, 40)).save(file, "JPEG", exif=exif)
    verdict = call(validate, upload("raw/mine.jpg", file.getvalue()))
    for planned in verdict["renditions"]:
        call(resize, verdict["source"], rendition=planned)
        with Image.open(s3.get_object(Bucket=RENDITIONS, Key=planned["key"])["Body"]) as picture:
            kept = {ExifTags.Base.Copyright: "(c) Ada 2026"} if setting == "true" else {}
            assert dict(picture.getexif()) == kept


def test_doing_it_again_changes_nothing(s3, call, validated):
    """A retried task writes the same bytes under the same key."""
    [planned, *_] = validated["renditions"]
    first = call(resize, validated["source"], rendition=planned)
    etag = s3.head_object(Bucket=RENDITIONS, Key=planned["key"])["ETag"]
    assert call(resize, validated["source"], rendition=planned) == first
    assert s3.head_object(Bucket=RENDITIONS, Key=planned["key"])["ETag"] == etag


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_a_bucket_that_refuses_is_a_failure(call, validated, monkeypatch, log_lines):
    """What is not the picture's fault is raised, for the state machine to retry, and logged with key and execution."""
    monkeypatch.setenv("RENDITIONS_BUCKET", "nowhere")
    resize.renditions_bucket.cache_clear()
    with pytest.raises(ClientError, match="NoSuchBucket"):
        call(resize, validated["source"], rendition=validated["renditions"][0])
    [line] = [line for line in log_lines() if line.get("level") == "ERROR"]
    assert (line["key"], line["execution"]) == ("raw/cat.jpg", "arn:execution")
    assert "NoSuchBucket" in line["exception"]


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_an_original_that_was_archived_after_its_verdict_is_a_failure(s3, call, validated):
    """The verdict is Validate's, which a redrive asks again. The letter says why."""
    s3.copy_object(Bucket=UPLOADS, Key="raw/cat.jpg", CopySource=f"{UPLOADS}/raw/cat.jpg", StorageClass="GLACIER")
    version = s3.head_object(Bucket=UPLOADS, Key="raw/cat.jpg")["VersionId"]
    archived = {**validated["source"], "version_id": version}
    with pytest.raises(Rejected, match=r"unreadable: archived \(GLACIER\)"):
        call(resize, archived, rendition=validated["renditions"][0])


def test_metrics_and_log_say_how_long_a_rendition_took(call, validated, log_lines):
    """Milliseconds and bytes out; which rendition it was, only the log says."""
    call(resize, validated["source"], rendition=validated["renditions"][0])
    lines = log_lines()
    [line] = [line for line in lines if line.get("message") == "rendered"]
    [metrics] = [line for line in lines if "RenderTime" in line]
    assert metrics["RenderTime"][0] > 0
    assert metrics["BytesOut"] == [line["rendition"]["bytes"]]
    assert line["rendition"]["name"] == validated["renditions"][0]["name"]
    assert line["milliseconds"] == round(metrics["RenderTime"][0])


def test_the_number_of_metrics_is_bounded_whatever_the_renditions(upload, call, monkeypatch, log_lines):
    """CloudWatch bills each combination of a name and the values of its dimensions as a metric of its own."""
    formats = ["webp", "jpeg", "png", "avif"]
    how = {"fit": "cover", "crop": "center", "formats": formats}
    sizes = [{"name": f"size-{edge}", "width": edge, "height": edge, **how} for edge in range(1, 21)]
    monkeypatch.setenv("RENDITIONS", json.dumps(sizes))
    verdict = call(validate, upload("raw/cat.jpg", photo(32, 24)))
    assert len(verdict["renditions"]) == 20 * len(formats)
    for planned in verdict["renditions"]:
        call(resize, verdict["source"], rendition=planned)
    assert len(distinct_metrics(log_lines())) == 2 + 2  # of Validate and of Resize


def distinct_metrics(lines):
    return {
        (metric["Name"], *((name, line[name]) for name in names))
        for line in lines
        for published in line.get("_aws", {}).get("CloudWatchMetrics", [])
        for metric in published["Metrics"]
        for names in published["Dimensions"]
    }


def test_a_line_does_not_repeat_what_its_log_group_says(call, validated, log_lines):
    """Logs are billed by the byte."""
    call(resize, validated["source"], rendition=validated["renditions"][0])
    for line in (line for line in log_lines() if "message" in line):
        assert line["function_request_id"] == "request"
        assert "function_arn" not in line


def test_the_focus_that_its_uploader_named_is_kept(s3, call):
    """Whatever the rendition's own way to crop: of a picture that is red at its left end, the left end."""
    picture, file = Image.new("RGB", (400, 100), "blue"), io.BytesIO()
    picture.paste("red", (0, 0, 100, 100))
    picture.save(file, "PNG")
    shown = []
    for metadata in ({}, {"focus": "0.1,0.5"}):
        answer = s3.put_object(Bucket=UPLOADS, Key="raw/cat.png", Body=file.getvalue(), Metadata=metadata)
        source = {"bucket": UPLOADS, "key": "raw/cat.png", "version_id": answer["VersionId"], "etag": "e"}
        [planned] = [one for one in call(validate, source)["renditions"] if one["name"] == "thumb"]
        call(resize, source, rendition=planned)
        with Image.open(s3.get_object(Bucket=RENDITIONS, Key=planned["key"])["Body"]) as made:
            red, _, blue = made.convert("RGB").getpixel((50, 50))
            shown.append("red" if red > blue else "blue")
    assert shown == ["blue", "red"]
