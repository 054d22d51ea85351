"""Validate: the verdict and the plan."""

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from PIL import ExifTags, Image

from darkroom.local.pictures import corrupt_jpeg, photo
from functions import validate
from functions.keys import rendition_key
from functions.storage import Storage
from functions.validate import settings
from tests.functions.conftest import ENVIRONMENT, UPLOADS


def test_an_accepted_picture_comes_with_its_facts_and_plan(upload, call):
    """The answer holds what Record writes and what each Resize is told, the largest first; never pixels."""
    data = photo(900, 600)
    verdict = call(validate, upload("raw/cat.jpg", data))
    assert verdict["accepted"] is True
    picture = verdict["picture"]
    assert (picture["format"], picture["width"], picture["height"], picture["frames"]) == ("jpeg", 900, 600, 1)
    assert picture["size"] == len(data)
    assert picture["content_hash"] == hashlib.sha256(data).hexdigest()
    assert verdict["recipe"] == ENVIRONMENT["RECIPE"]
    planned = [(one["name"], one["format"], one["width"], one["height"]) for one in verdict["renditions"]]
    assert planned == [("small", "webp", 480, 320), ("small_png", "png", 480, 320), ("thumb", "webp", 128, 128)]
    assert [one["key"].rsplit("/", 1)[1] for one in verdict["renditions"]] == ["small.webp", "small.png", "thumb.webp"]


def test_it_reads_the_version_of_the_event(upload, call):
    """An overwrite between the event and the read does not change what is read."""
    first = upload("raw/cat.jpg", photo(900, 600))
    upload("raw/cat.jpg", photo(60, 90))
    assert call(validate, first)["picture"]["width"] == 900


def test_it_pins_the_version_where_the_event_named_none(upload, call):
    """Without a version id the ETag decides, and the version that was read is handed on."""
    source = upload("raw/cat.jpg", photo(90, 60))
    verdict = call(validate, {**source, "version_id": "null"})
    assert verdict["source"] == source


def test_another_content_under_the_key_is_not_what_the_event_meant(upload, call):
    """Without a version id, an overwritten picture is gone; the newer event brings the newer one."""
    first = upload("raw/cat.jpg", photo(90, 60))
    upload("raw/cat.jpg", photo(60, 90))
    assert call(validate, {**first, "version_id": "null"})["error"]["code"] == "gone"


def test_a_picture_deleted_before_it_was_read_is_gone(s3, upload, call):
    """A verdict, not a failure: there is nothing to retry."""
    source = upload("raw/cat.jpg", photo(90, 60))
    s3.delete_object(Bucket=source["bucket"], Key=source["key"], VersionId=source["version_id"])
    verdict = call(validate, source)
    assert (verdict["accepted"], verdict["error"]["code"]) == (False, "gone")
    assert "raw/cat.jpg" in verdict["error"]["message"]


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_picture_is_unreadable_until_it_is_restored(s3, call, storage_class):
    """The verdict says where it is and what to do."""
    answer = s3.put_object(Bucket=UPLOADS, Key="raw/old.jpg", Body=photo(90, 60), StorageClass=storage_class)
    source = {"bucket": UPLOADS, "key": "raw/old.jpg", "version_id": answer["VersionId"], "etag": "e"}
    error = call(validate, source)["error"]
    assert error["code"] == "unreadable"
    assert f"archived ({storage_class})" in error["message"]
    assert "redrive --include-rejected" in error["message"]
    s3.restore_object(Bucket=UPLOADS, Key="raw/old.jpg", RestoreRequest={"Days": 1})
    assert call(validate, source)["accepted"]


OWN, ANOTHER = (f"arn:aws:kms:eu-west-1:123456789012:key/{name}" for name in ("own", "another"))
ROLE = "arn:aws:sts::123456789012:assumed-role/Validate"
FORBIDDEN = f"User: {ROLE} is not authorized to perform: %s because no identity-based policy allows it"


def refusing(s3: Any, status: int, code: str, message: str, more: str = "") -> Storage:
    """S3 as it answers every read with that error."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()
    answer = AWSResponse("https://s3", status, {}, SimpleNamespace(stream=lambda *_, **__: [body]))
    s3.meta.events.register("before-send.s3.GetObject", lambda **_: answer)
    return Storage(s3, OWN)


@pytest.mark.parametrize(
    ("status", "code", "message", "says"),
    [
        (400, "InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct", "SSE-C"),
        (403, "AccessDenied", FORBIDDEN % f"kms:Decrypt on resource: {ANOTHER}", ANOTHER),
        (403, "AccessDenied", "The ciphertext refers to a customer master key that does not exist", "a KMS key"),
        (400, "KMS.DisabledException", f"{ANOTHER} is disabled.", ANOTHER),
        (400, "KMS.KMSInvalidStateException", f"{ANOTHER} is pending deletion.", ANOTHER),
        (400, "KMS.NotFoundException", f"Key '{ANOTHER}' does not exist", ANOTHER),
        (400, "KMS.InvalidKeyUsageException", f"{ANOTHER} key usage is SIGN_VERIFY", ANOTHER),
    ],
)
def test_what_is_encrypted_under_a_key_that_is_not_ours_is_unreadable(s3, upload, call, status, code, message, says):
    """A verdict that says which key: another attempt would not help, and neither would a letter."""
    error = call(validate, upload("raw/cat.jpg", photo(90, 60)), refusing(s3, status, code, message))["error"]
    assert error["code"] == "unreadable"
    assert says in error["message"]
    assert "upload it again" in error["message"]


def test_a_picture_in_an_archive_tier_is_unreadable(s3, upload, call):
    """Intelligent-Tiering moves what nobody reads, and its storage class does not tell."""
    tier = "<StorageClass>INTELLIGENT_TIERING</StorageClass><AccessTier>ARCHIVE_ACCESS</AccessTier>"
    s3 = refusing(s3, 403, "InvalidObjectState", "The operation is not valid for the object's access tier", tier)
    error = call(validate, upload("raw/cat.jpg", photo(90, 60)), s3)["error"]
    assert (error["code"], "(ARCHIVE_ACCESS)" in error["message"]) == ("unreadable", True)


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "AccessDenied", "Access Denied"),
        (403, "AccessDenied", FORBIDDEN % "s3:GetObjectVersion on resource: arn:aws:s3:::uploads/raw/cat.jpg"),
        (403, "AccessDenied", FORBIDDEN % f"kms:Decrypt on resource: {OWN}"),
        (400, "KMS.DisabledException", f"{OWN} is disabled."),
        (400, "KMS.ThrottlingException", f"Rate exceeded for {ANOTHER}"),
        (400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"),
    ],
)
def test_a_grant_that_is_missing_is_a_failure_of_ours(s3, upload, call, status, code, message):
    """Also of the stack's own key, and what may pass by itself: it is raised, and ends in a letter."""
    source = upload("raw/cat.jpg", photo(90, 60))
    with pytest.raises(ClientError, match=code):
        call(validate, source, refusing(s3, status, code, message))


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "empty", ""),
        (b"only words", "unsupported_format", ""),
        (corrupt_jpeg(), "corrupt", ""),
        (photo(2500, 1800), "too_many_pixels", "2500x1800 = 4.5 MP, limit 4 MP"),
        (bytes(1_000_001), "too_large", "1,000,001 bytes, limit 1,000,000 bytes"),
    ],
    ids=["empty", "unsupported_format", "corrupt", "too_many_pixels", "too_large"],
)
def test_bad_input_is_rejected_with_what_was_measured(upload, call, data, code, says):
    """Every reject code comes back as data, with the measured value and the limit; nothing is raised."""
    verdict = call(validate, upload("raw/bad.jpg", data))
    assert (verdict["accepted"], verdict["error"]["code"]) == (False, code)
    assert says in verdict["error"]["message"]


def test_a_picture_that_costs_too_much_is_rejected(upload, call, monkeypatch, log_lines):
    """Whatever the decoder is doing: here PBKDF2, in one call that no signal handler of Python's interrupts."""
    monkeypatch.setenv("MAX_CPU_SECONDS", "1")
    burn = partial(hashlib.pbkdf2_hmac, "sha256", b"", b"", 2 * 10**9)
    monkeypatch.setattr("functions.examiner.examine", lambda *_: burn())
    verdict = call(validate, upload("raw/bomb.jpg", photo(90, 60)))
    assert verdict["error"] == {"code": "too_costly", "message": "not decoded within 1 s of CPU, the limit"}
    lines = log_lines()
    assert [line["reason"] for line in lines if line.get("message") == "rejected"] == [verdict["error"]["message"]]
    assert [line["Rejected"] for line in lines if line.get("code") == "too_costly" and "_aws" in line] == [[1.0]]
    assert len([line for line in lines if "Pictures" in line]) == 1


def test_each_upload_has_keys_of_its_own(upload, call, monkeypatch):
    """Validated again they are the same, for a retry; another upload has others, even of the same bytes, and so have
    other settings: a URL never changes its picture, and no leftover is ever another upload's rendition."""

    def keys(source: dict[str, str]) -> list[str]:
        return [one["key"] for one in call(validate, source)["renditions"]]

    first, second = upload("raw/cat.jpg", photo(90, 60)), upload("raw/cat.jpg", photo(90, 60))
    once = keys(first)
    assert keys(first) == once
    assert keys(second) != once
    monkeypatch.setenv("QUALITY", '{"webp": 60, "jpeg": 80, "avif": 50}')
    settings.cache_clear()
    assert keys(first) != once


def test_uploads_of_the_same_bytes_differ_where_no_versions_are_kept(s3, call):
    """By their executions: what is removed after a deletion is never what was made of the next upload."""
    s3.create_bucket(Bucket="unversioned", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    etag = s3.put_object(Bucket="unversioned", Key="raw/cat.jpg", Body=photo(90, 60))["ETag"].strip('"')
    source = {"bucket": "unversioned", "key": "raw/cat.jpg", "version_id": "null", "etag": etag}
    first, again, second = (call(validate, source, execution=one) for one in ("arn:1", "arn:1", "arn:2"))
    assert first["source"]["version_id"] == "null"
    assert first["renditions"] == again["renditions"]
    assert not {one["key"] for one in first["renditions"]} & {one["key"] for one in second["renditions"]}


@pytest.mark.parametrize(
    ("setting", "name", "data"),
    [("heic", "HEIC", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"), ("jxl", "JPEG XL", b"\xff\x0a")],
)
def test_an_optional_format_is_taken_only_with_its_setting(upload, call, monkeypatch, setting, name, data):
    """Without it the verdict names the setting; with it the file itself is looked at, and this one is only a header."""
    source = upload(f"raw/phone.{setting}", data)
    assert call(validate, source)["error"] == {
        "code": "unsupported_format",
        "message": f"{name} is taken only where the setting `{setting}` is on",
    }
    monkeypatch.setenv(setting.upper(), "true")
    validate.examiner().close()
    settings.cache_clear()
    validate.examiner.cache_clear()
    assert call(validate, source)["error"]["code"] == "corrupt"


@pytest.mark.parametrize(
    "upload", ["../up.jpg", "a/../../up.jpg", "./here.jpg", "..", "tab\t.jpg", "\x01.jpg", "\ufffe.jpg"]
)
def test_a_key_that_no_rendition_may_have_gives_way_to_its_hash(upload):
    """Neither up and out of the bucket, nor what XML cannot hold."""
    hashed = hashlib.sha256(upload.encode()).hexdigest()
    assert rendition_key(upload, "0" * 16, "thumb.webp") == f"{hashed}/{'0' * 16}/thumb.webp"


@pytest.mark.parametrize("upload", ["..hidden/...", "a..b/c.", "/", "é/📷\u202e.jpg", "{% 1 %} ${A} \"'\\"])
def test_a_key_that_only_looks_dangerous_stays_as_it_is(upload):
    """A contract: whoever knows the upload's key finds its renditions."""
    assert rendition_key(upload, "0" * 16, "thumb.webp") == f"{upload}/{'0' * 16}/thumb.webp"


def test_a_key_too_long_for_s3_gives_way_to_its_hash():
    """An upload's key may have 1,024 bytes; its renditions' keys may not have more."""
    fits, long = "é" * 400, "é" * 510
    assert rendition_key(fits, "0" * 16, "thumb.webp") == f"{fits}/{'0' * 16}/thumb.webp"
    hashed = hashlib.sha256(long.encode()).hexdigest()
    assert rendition_key(long, "0" * 16, "thumb.webp") == f"{hashed}/{'0' * 16}/thumb.webp"


def test_log_lines_name_the_picture_and_metrics_count_it(upload, call, log_lines):
    """Key and execution on every line; pictures, bytes in, and rejects by code as metrics."""
    call(validate, upload("raw/cat.jpg", photo(90, 60)))
    call(validate, upload("raw/dog.jpg", b"words"))
    lines = log_lines()
    said = [line for line in lines if "message" in line]
    assert [(line["message"], line["key"], line["execution"]) for line in said] == [
        ("accepted", "raw/cat.jpg", "arn:execution"),
        ("rejected", "raw/dog.jpg", "arn:execution"),
    ]
    metrics = [line for line in lines if "_aws" in line]
    assert any("Pictures" in line and "BytesIn" in line for line in metrics)
    assert any(line.get("Rejected") == [1.0] and line.get("code") == "unsupported_format" for line in metrics)


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_an_attempt_without_a_verdict_counts_no_picture(upload, call, log_lines):
    """The state machine tries again, and that attempt counts it."""
    source = upload("raw/cat.jpg", photo(90, 60))
    with pytest.raises(ClientError, match="NoSuchBucket"):
        call(validate, {**source, "bucket": "nowhere"})
    assert not [line for line in log_lines() if "Pictures" in line]


@pytest.mark.parametrize(
    "missing",
    [
        *("UPLOAD_PREFIX", "MAX_BYTES", "MAX_CPU_SECONDS", "RECIPE", "RENDITIONS"),
        *("HEIC", "JXL", "KEEP_COPYRIGHT", "KEEP_LOCATION"),
    ],
)
def test_a_setting_that_is_missing_is_named(monkeypatch, missing):
    """A stack that forgot a variable fails with its name, not with a default nobody chose."""
    monkeypatch.delenv(missing)
    settings.cache_clear()
    with pytest.raises(KeyError, match=missing):
        settings()


# A PNG that declares 9000x9000 and goes no further: 324 MB are asked for before its first row is missed.
BOMB = """
import json, sys
from functions import validate
from functions.storage import Original
from tests.functions.conftest import Context

class Bomb:
    def read(self, source, at_most):
        return Original(bytes.fromhex(sys.argv[1]), "1")

event = {"source": {"bucket": "b", "key": "k", "version_id": "1", "etag": "e"}, "execution": "x"}
print(json.dumps(validate.handler(event, Context(), Bomb())["error"]["code"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone counts memory so")
@pytest.mark.parametrize(("megabytes", "code"), [("320", "too_many_pixels"), ("1769", "corrupt")])
def test_a_bomb_that_takes_more_memory_than_the_function_has_is_a_verdict(megabytes, code):
    """Not a process that Lambda kills, which would be tried again and end as a failure."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    png += b"\0\0\0\2IDAT" + b"\0\0" + struct.pack(">I", zlib.crc32(b"IDAT\0\0"))
    run = subprocess.run(
        [sys.executable, "-c", BOMB, png.hex()],
        env={**os.environ, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": megabytes, "MAX_PIXELS": "100000000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == code


@pytest.mark.parametrize("setting", ["true", "false"])
def test_where_a_picture_was_taken_is_kept_where_the_setting_says_so(upload, call, monkeypatch, log_lines, setting):
    """Else it is neither in the verdict nor in the log."""
    monkeypatch.setenv("KEEP_LOCATION", setting)
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Model] = "X100"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (45.0, 20.0, 0.0), 3: "W", 4: (2.0, 30.0, 0.0)})
    Image.new("RGB", (60, 40)).save(file, "JPEG", exif=exif)
    metadata = call(validate, upload("raw/mine.jpg", file.getvalue()))["picture"]["metadata"]
    assert metadata["camera"] == "X100"
    assert metadata.get("gps") == ({"latitude": 45.333333, "longitude": -2.5} if setting == "true" else None)
    assert ("45.33" in json.dumps(log_lines())) == (setting == "true")


@pytest.mark.parametrize(("said", "focus"), [("0.3,0.6", [0.3, 0.6]), ("left", None), ("x" * 2000, None)])
def test_an_uploader_says_what_matters(s3, call, said, focus):
    """As metadata of the object. What is no point is a note, and fails no picture."""
    answer = s3.put_object(Bucket=UPLOADS, Key="raw/cat.jpg", Body=photo(90, 60), Metadata={"focus": said})
    source = {"bucket": UPLOADS, "key": "raw/cat.jpg", "version_id": answer["VersionId"], "etag": "e"}
    picture = call(validate, source)["picture"]
    assert picture["metadata"].get("focus") == focus
    notes = [] if focus else [f"focus ignored: {said[:50]!r} is not like 0.3,0.6, each from 0 to 1"]
    assert picture["notes"] == notes
