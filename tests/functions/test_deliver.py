"""Deliver: what a signed URL asks for, made once, and where the newest rendition is."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError
from PIL import Image

from darkroom.local.pictures import photo
from functions import deliver, resize, validate
from functions.keys import derived_folder
from functions.links import Options, sign, signed_path
from functions.secrets import secrets
from tests.functions.conftest import ENVIRONMENT, RENDITIONS, UPLOADS, Context

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

KEY = "raw/cat é.jpg"
SECRET = b"a secret"


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    """The stack's own."""
    arn = boto3.client("secretsmanager").create_secret(Name="delivery", SecretString=SECRET.decode())["ARN"]
    monkeypatch.setenv("DELIVERY_SECRET_ARN", arn)
    deliver.settings.cache_clear()
    secrets.cache_clear()
    yield arn
    deliver.settings.cache_clear()
    secrets.cache_clear()


@pytest.fixture
def row(table):
    """Writes a row of these attributes."""

    def put(key: str, **attributes: Any) -> None:
        item = {name: TypeSerializer().serialize(value) for name, value in {"key": key, **attributes}.items()}
        table.put_item(TableName=ENVIRONMENT["RESULTS_TABLE"], Item=item)

    return put


@pytest.fixture
def picture(upload, row):
    """A picture of 600x400 that was planned, and the row that says it is made; the row."""

    def made(key: str = KEY, size: tuple[int, int] = (600, 400), **attributes: Any) -> dict[str, Any]:
        source: Any = upload(key, photo(*size))
        facts = {"width": size[0], "height": size[1], "content_hash": "0f", "metadata": {"animated": False}}
        planned = validate.planned_renditions(source, facts, validate.settings(), "arn:execution")
        written = {"status": "SUCCEEDED", "version_id": source["version_id"], "etag": source["etag"], **facts}
        written |= {"renditions": {one["name"]: one for one in planned}} | attributes
        row(key, **written)
        return written

    return made


def ask(path: str, accept: str = "image/jpeg", **headers: str) -> dict[str, Any]:
    """As a function URL calls it, through JSON both ways."""
    event = {
        "rawPath": path,
        "headers": {"accept": accept, **{name.replace("_", "-"): headers[name] for name in headers}},
    }
    return json.loads(json.dumps(deliver.handler(json.loads(json.dumps(event)), Context())))


def opened(answer: dict[str, Any]) -> Image.Image:
    assert answer["isBase64Encoded"]
    return Image.open(io.BytesIO(base64.b64decode(answer["body"])))


def link(key: str = KEY, **options: Any) -> str:
    return signed_path(SECRET, key, Options.of(options))


def derived(s3: Any) -> list[str]:
    listed = s3.list_objects_v2(Bucket=RENDITIONS, Prefix="derived/")
    return [one["Key"] for one in listed.get("Contents", [])]


def rendered(lines: list[dict[str, Any]]) -> list[bool]:
    return [line["made"] for line in lines if line.get("message") == "answered"]


def test_a_size_is_made_once_and_then_read(s3, picture, log_lines):
    """It lies under `derived/`, with the version that its picture's renditions have."""
    made = picture()
    answers = [ask(link(w=320)), ask(link(w=320))]
    assert answers[0] == answers[1]
    assert answers[0]["statusCode"] == 200
    assert opened(answers[0]).size == (320, 213)
    version = made["renditions"]["thumb"]["key"].split("/")[-2]
    assert derived(s3) == [f"derived/{KEY}/{version}/w_320,h_213,q_80.jpg"]
    stored = s3.get_object(Bucket=RENDITIONS, Key=derived(s3)[0])
    assert stored["Body"].read() == base64.b64decode(answers[0]["body"])
    assert (stored["ContentType"], stored["CacheControl"]) == ("image/jpeg", "public, max-age=31536000, immutable")
    assert rendered(log_lines()) == [True, False]


@pytest.mark.parametrize(
    ("options", "accept", "kind", "size"),
    [
        ({"w": 320}, "image/avif", "AVIF", (320, 213)),
        ({"w": 320}, "image/webp", "WEBP", (320, 213)),
        ({"w": 320, "f": "png"}, "image/avif", "PNG", (320, 213)),
        ({"h": 300}, "image/jpeg", "JPEG", (480, 320)),
        ({"w": 96, "h": 96, "fit": "cover", "crop": "entropy"}, "image/webp", "WEBP", (96, 96)),
        ({"w": 96, "h": 96, "fit": "cover", "crop": "attention"}, "image/webp", "WEBP", (96, 96)),
        ({"w": 4096, "h": 64, "fit": "cover"}, "image/webp", "WEBP", (600, 64)),
        ({"w": 16383, "h": 16383}, "image/webp", "WEBP", (600, 400)),
        ({"q": 1}, "image/webp", "WEBP", (600, 400)),
    ],
)
def test_it_has_the_size_and_the_format_that_were_asked_for(picture, options, accept, kind, size):
    """Rounded up to the ladder, but never larger than the picture."""
    picture()
    answer = ask(link(**options), accept)
    assert (opened(answer).format, opened(answer).size) == (kind, size)
    assert answer["headers"]["content-type"] == f"image/{kind.lower()}"


def test_boxes_that_give_one_picture_give_one_file(s3, picture):
    picture()
    for options in ({"w": 320}, {"w": 320, "h": 320}, {"w": 310}, {"w": 320, "q": 80}):
        assert ask(link(**options, f="webp"))["statusCode"] == 200
    for options in ({"w": 601}, {"f": "webp"}, {"w": 960, "h": 640, "fit": "cover", "crop": "entropy"}):
        assert ask(link(**{**options, "f": "webp"}))["statusCode"] == 200
    names = [key.split("/")[-1] for key in derived(s3)]
    assert sorted(names) == ["w_320,h_213,q_80.webp", "w_600,h_400,q_80.webp"]


def test_it_is_the_picture_that_resize_makes(s3, picture, call):
    """By the same code, to the byte."""
    made = picture()
    source = {"bucket": UPLOADS, "key": KEY, "version_id": made["version_id"], "etag": made["etag"]}
    small = call(resize, source, rendition=made["renditions"]["small"])
    stored = s3.get_object(Bucket=RENDITIONS, Key=small["key"])["Body"].read()
    assert base64.b64decode(ask(link(w=480, h=480, f="webp"))["body"]) == stored


def test_caches_keep_it_for_an_hour_and_ask_again_by_its_tag(s3, picture):
    """By `Accept` only where that decides. To ask again takes no file."""
    picture()
    answer = ask(link(w=320), "image/webp")
    assert answer["headers"]["cache-control"] == "public, max-age=3600"
    assert answer["headers"]["vary"] == "Accept"
    assert "vary" not in ask(link(w=320, f="webp"))["headers"]
    s3.delete_object(Bucket=RENDITIONS, Key=derived(s3)[0])
    again = ask(link(w=320), "image/webp", if_none_match=answer["headers"]["etag"])
    assert (again["statusCode"], again["headers"]["etag"]) == (304, answer["headers"]["etag"])
    assert derived(s3) == []
    assert ask(link(w=320), "image/avif", if_none_match=answer["headers"]["etag"])["statusCode"] == 200


def test_no_cache_keeps_it_longer_than_the_link_is_valid(picture, monkeypatch):
    picture()
    late = datetime(2026, 5, 4, 23, 59, 50, tzinfo=UTC)

    class Late(datetime):
        @classmethod
        def now(cls, *_):
            return late

    monkeypatch.setattr(deliver, "datetime", Late)
    path = signed_path(SECRET, KEY, Options(width=320), late - timedelta(hours=9))
    assert ask(path)["headers"]["cache-control"] == "public, max-age=10"
    late += timedelta(seconds=10)
    refused = ask(path)
    assert (refused["statusCode"], json.loads(refused["body"])["code"]) == (403, "expired")


def test_what_is_too_large_for_an_answer_is_redirected_to(s3, picture, monkeypatch):
    """Both when it is made and when it is read."""
    picture()
    monkeypatch.setattr(deliver, "LARGEST_ANSWER", 1000)
    for _ in range(2):
        answer = ask(link(w=320))
        assert answer["statusCode"] == 302
        assert unquote(answer["headers"]["location"]) == f"/{derived(s3)[0]}"
        assert answer["headers"]["location"].isascii()
        assert "body" not in answer


def test_the_largest_answer_is_within_lambdas_limit():
    """6 MB of a synchronous answer: 6,291,556 bytes as Lambda words its error."""
    body = base64.b64encode(bytes(deliver.LARGEST_ANSWER)).decode()
    assert len(json.dumps({"statusCode": 200, "body": body, "headers": {"x": "x" * 2000}})) < 6_291_556


def test_a_large_avif_is_not_waited_for(picture, monkeypatch):
    picture()
    monkeypatch.setattr(deliver, "LARGEST_AUTO_AVIF", 320 * 213)
    assert opened(ask(link(w=320), "image/avif")).format == "AVIF"
    assert opened(ask(link(w=352), "image/avif")).format == "WEBP"
    assert opened(ask(link(w=352, f="avif"))).format == "AVIF"


def test_many_who_ask_for_one_new_size_get_one_file(s3, picture):
    """They write the same bytes under the same key, so none has to wait for another."""
    picture()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: deliver._sized(size(), datetime.now(UTC), *services()), range(8)))
    assert len({answer["body"] for answer in answers}) == 1
    assert len(derived(s3)) == 1


def size() -> Any:
    shown = deliver.results().shown(KEY)
    assert shown
    return deliver._Size.of(Options(width=64), KEY, shown, deliver.PREFERRED["image/webp"])


def services() -> tuple[Any, Any]:
    return deliver.storage(), deliver.results()


def test_without_a_valid_signature_nothing_is_looked_up(s3, picture):
    picture()
    other = link(w=320).replace("w_320", "w_640")
    answer = ask(other)
    assert answer["statusCode"] == 403
    assert answer["headers"] == {"content-type": "application/problem+json", "cache-control": "no-store"}
    assert json.loads(answer["body"]) == {
        "status": 403,
        "code": "wrong_signature",
        "detail": "the signature is not that of these options and this key",
    }
    assert derived(s3) == []


def test_a_secret_of_a_moment_ago_signs(picture, secret, monkeypatch):
    """The function may have read the one before it."""
    picture()
    assert ask(link(w=320))["statusCode"] == 200
    monkeypatch.setattr(deliver, "RECENT", 0)
    boto3.client("secretsmanager").put_secret_value(SecretId=secret, SecretString="another")
    assert ask(signed_path(b"another", KEY, Options()))["statusCode"] == 200
    assert ask(link(w=320))["statusCode"] == 200
    boto3.client("secretsmanager").put_secret_value(SecretId=secret, SecretString="a third")
    monkeypatch.setattr(deliver, "RECENT", 10)
    assert ask(signed_path(b"a third", KEY, Options()))["statusCode"] == 403  # read less than ten seconds ago


@pytest.mark.parametrize("options", ["w_0", "z_1", "w_1,fit_cover"])
def test_a_wrong_option_is_answered_with_what_is_allowed(picture, options):
    picture()
    answer = ask(f"/i/{sign(SECRET, f'{options}/{KEY}')}/{options}/{KEY}")
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (400, "wrong_option")


@pytest.mark.parametrize(
    "attributes", [{"status": "PROCESSING"}, {"renditions": {}}, {"status": "DELETED", "renditions": {}}]
)
def test_what_is_not_shown_is_not_there(s3, picture, attributes):
    """Not yet, or not any more."""
    picture(**attributes)
    for path in (link(w=320), f"/p/small/{KEY}", link("raw/none.jpg")):
        answer = ask(path)
        assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "not_shown")
    assert derived(s3) == []


@pytest.mark.parametrize("status", ["PROCESSING", "REJECTED", "FAILED"])
def test_the_version_that_succeeded_is_shown_while_another_is_newer(picture, upload, row, status):
    """Its bytes too, of which S3 keeps the older version."""
    older = picture()
    upload(KEY, photo(60, 40))
    row(
        KEY,
        **{**older, "status": status, "version_id": "newer", "shown_version_id": older["version_id"], "etag": "new"},
    )
    assert opened(ask(link(w=320))).size == (320, 213)


def test_an_original_that_is_gone_is_named(s3, picture):
    """Where a lifecycle rule took the older version."""
    made = picture()
    s3.delete_object(Bucket=UPLOADS, Key=KEY, VersionId=made["version_id"])
    answer = ask(link(w=320))
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "gone")


@pytest.mark.parametrize("status", ["PROCESSING", "REJECTED", "FAILED"])
def test_where_no_versions_are_kept_a_newer_upload_is_never_taken_for_the_shown_one(s3, picture, row, status):
    """The row knows the newer one's ETag alone, and it may be what was rejected."""
    older = {**picture(), "version_id": "null", "shown_version_id": "null"}
    s3.put_bucket_versioning(Bucket=UPLOADS, VersioningConfiguration={"Status": "Suspended"})
    etag = s3.put_object(Bucket=UPLOADS, Key=KEY, Body=photo(60, 40))["ETag"].strip('"')
    row(KEY, **{**older, "status": status, "etag": etag})
    answer = ask(link(w=320))
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "gone")
    assert derived(s3) == []


def test_what_was_overwritten_meanwhile_leaves_no_file(s3, picture, row, monkeypatch):
    """Cleanup may have been there before the file was."""
    made = picture()
    write = deliver.Storage.write

    def overtaken(*arguments: Any) -> None:
        row(KEY, **{**made, "status": "DELETED", "renditions": {}})
        write(*arguments)

    monkeypatch.setattr(deliver.Storage, "write", overtaken)
    assert ask(link(w=320))["statusCode"] == 200
    assert derived(s3) == []


def test_a_failure_is_raised_and_logged_with_the_path(picture, monkeypatch, log_lines):
    """So that Lambda counts it."""
    picture()
    monkeypatch.setenv("RENDITIONS_BUCKET", "nowhere")
    deliver.settings.cache_clear()
    with pytest.raises(ClientError):
        ask(link(w=320))
    [line] = [line for line in log_lines() if line.get("level") == "ERROR"]
    assert line["path"] == link(w=320)


@pytest.mark.parametrize("key", ["raw/" + "x" * 1000, "raw/tab\t.jpg", "raw/derived/raw/cat.jpg", "raw/a b+c%20.jpg"])
def test_a_key_of_any_kind_has_its_sizes_in_a_folder_of_its_own(s3, picture, key):
    picture(key)
    assert ask(link(key, w=320))["statusCode"] == 200
    [file] = derived(s3)
    assert file.startswith(derived_folder(key))
    assert not any(
        one["Key"].startswith(derived_folder("raw/cat.jpg"))
        for one in s3.list_objects_v2(Bucket=RENDITIONS)["Contents"]
    )


@pytest.mark.parametrize(
    ("accept", "name"),
    [("image/avif", "small"), ("image/webp", "small"), ("image/jpeg", "small_png"), ("text/html", "small_png")],
)
def test_the_newest_file_is_in_the_best_format_there_is(picture, accept, name):
    """`small` is made as WebP and PNG."""
    made = picture()
    answer = ask("/p/small/raw/cat%20%C3%A9.jpg", accept)
    assert answer["statusCode"] == 302
    assert unquote(answer["headers"]["location"]) == f"/{made['renditions'][name]['key']}"
    assert answer["headers"]["cache-control"] == "public, max-age=60"
    assert answer["headers"]["vary"] == "Accept"


def test_a_name_that_the_plan_left_out_leads_to_the_same_picture(picture):
    """Of a picture smaller than both boxes only one file is made."""
    made = picture(size=(60, 60))
    assert list(made["renditions"]) == ["thumb", "small_png"]
    answer = ask(f"/p/small/{KEY}", "image/webp")
    assert unquote(answer["headers"]["location"]) == f"/{made['renditions']['thumb']['key']}"


@pytest.mark.parametrize("name", ["huge", "small_webp", ""])
def test_an_unknown_name_is_answered_with_those_there_are(picture, name):
    picture()
    answer = ask(f"/p/{name}/{KEY}")
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "no_rendition")
    assert json.loads(answer["body"])["detail"].endswith("only small, small_png, thumb")
