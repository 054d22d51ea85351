"""The API's function, as API Gateway calls it: each answer is held against the contract."""

import json
import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from jsonschema import Draft202012Validator

from functions import api
from functions.executions import Redrives
from functions.imaging import focal_point
from functions.links import check
from functions.pictures import Addresses
from functions.promises import LONGEST_NAME, safe_name
from tests.aws import create_promises_table
from tests.functions.conftest import ENVIRONMENT, UPLOADS, Context

CONTRACT = api.contract()
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:Images"
OURS = {"iam": {"userArn": "arn:aws:sts::123456789012:assumed-role/web/task-1"}}
NEVER = "raw/" + "0" * 32 + "/cat.jpg"

DONE = {
    "key": "raw/cat.jpg",
    "status": "SUCCEEDED",
    "version_id": "v1",
    "etag": "e",
    "sequencer": "1",
    "size": 10,
    "width": 1000,
    "height": 601,
    "execution": "arn:execution",
    "updated_at": "2026-11-24T14:43:36.123Z",
    "caption": {"status": "OK", "text": "A cat."},
    "renditions": {
        name: {
            "key": f"cat.jpg/0123456789abcdef/{name}.webp",
            "format": "webp",
            "content_type": "image/webp",
            "width": width,
            "height": height,
            "bytes": 1,
        }
        for name, width, height in (("thumb", 128, 128), ("small", 480, 288), ("large", 1000, 601))
    },
}


class States:
    """Step Functions, as far as a redrive asks it. `took` are the names that are taken, and how they stand."""

    exceptions = SimpleNamespace(ExecutionAlreadyExists=KeyError)

    def __init__(self) -> None:
        self.took: dict[str, str] = {}
        self.started: list[dict[str, Any]] = []

    def start_execution(self, **given: Any) -> dict[str, str]:
        if given["name"] in self.took:
            raise KeyError
        self.started.append(given)
        return {"executionArn": f"arn:execution:{given['name']}"}

    def describe_execution(self, executionArn: str) -> dict[str, str]:
        return {"status": self.took[executionArn.rpartition(":")[2]]}


class Api:
    """Called as API Gateway calls it. Every answer must be one that the contract has."""

    def __init__(self, table: Any, s3: Any) -> None:
        create_promises_table(table, ENVIRONMENT["PROMISES_TABLE"])
        self._table = table
        self.states = States()
        self.addresses = Addresses(
            "https://pictures.example.com", lambda key: f"https://signed.example.com/{quote(key)}"
        )
        self.secrets: Any = None
        self.uploads = s3

    def __call__(
        self, method: str, route: str, body: Any = None, *, key: str = "", caller: Any = OURS, **given: Any
    ) -> Any:
        """`key` goes into the path; `query` and `headers` may be given."""
        using = api.Services(
            api.promises(), api.results(), self.addresses, Redrives(self.states, MACHINE), self.uploads, self.secrets
        )
        greedy = route.partition("{key}")[0] + "{key+}" if "{key}" in route else route
        event = {
            "version": "2.0",
            "routeKey": f"{method} {greedy}",
            "rawPath": "/nothing/that/is/read",
            "headers": {"content-type": "application/json", **given.get("headers", {})},
            "requestContext": {"stage": "$default", "http": {"method": method, "path": "/x"}, "authorizer": caller},
            "isBase64Encoded": False,
        }
        if "{key}" in route:
            event["pathParameters"] = {"key": key.replace("%", "%25") + route.partition("{key}")[2]}
        if "query" in given:
            event["queryStringParameters"] = given["query"]
        if body is not None:
            event["body"] = body if isinstance(body, str) else json.dumps(body)
        answer = api.handler(event, Context(), using)
        held(answer, route, method)
        return SimpleNamespace(
            status=answer["statusCode"],
            headers={name.lower(): value for name, value in answer["headers"].items()},
            json=json.loads(answer["body"]) if answer.get("body") else None,
        )

    def row(self, **members: Any) -> None:
        serialised = boto3.dynamodb.types.TypeSerializer().serialize({**DONE, **members})["M"]
        self._table.put_item(TableName=ENVIRONMENT["RESULTS_TABLE"], Item=serialised)


def held(answer: Any, route: str, method: str) -> None:
    """Against the contract: the status, the type of the content, and its schema."""
    operation = CONTRACT["paths"][route][method.lower()]
    told = operation["responses"][str(answer["statusCode"])]
    told = CONTRACT["components"]["responses"][told["$ref"].rpartition("/")[2]] if "$ref" in told else told
    assert {name.lower() for name in told.get("headers", {})} - {"preference-applied"} <= {
        name.lower() for name in answer["headers"]
    }
    if "content" in told:
        [(kind, content)] = told["content"].items()
        assert answer["headers"]["Content-Type"] == kind
        schema = {**content["schema"], "components": CONTRACT["components"]}
        Draft202012Validator(schema).validate(json.loads(answer["body"]))


@pytest.fixture
def ask(table: Any, s3: Any) -> Api:
    return Api(table, s3)


def refused(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json["code"]


def test_every_route_of_the_contract_is_one_of_the_resolver_and_the_other_way_round():
    ours = {
        (route.method, re.sub(r"<\w+>", "{key}", route.path))
        for route in api.app._static_routes + api.app._dynamic_routes
    }
    assert ours == {(method.upper(), path) for path, operations in CONTRACT["paths"].items() for method in operations}


def test_every_code_is_given_somewhere_and_every_one_that_is_given_is_explained():
    source = Path(api.__file__).read_text() + Path(api.__file__).with_name("links.py").read_text()
    given = set(re.findall(r'Problem\("(\w+)"', source)) | set(re.findall(r'LinkError\(400, "(\w+)"', source))
    assert given == set(CONTRACT["components"]["x-problems"])


def test_an_upload_is_promised_under_a_key_that_nobody_can_guess(ask):
    first, second = (ask("POST", "/v1/uploads", {"name": "cat.jpg"}) for _ in range(2))
    assert first.status == 201
    assert re.fullmatch(r"raw/[0-9a-f]{32}/cat\.jpg", first.json["key"])
    assert first.json["key"] != second.json["key"]
    assert first.headers["location"] == f"pictures/{first.json['key']}"
    assert first.json["fields"]["key"] == first.json["key"]
    assert first.json["fields"]["Content-Type"] == "image/jpeg"


def test_the_form_allows_what_was_promised_and_nothing_else(ask):
    """S3 refuses a form with a field that its policy does not name. tests/e2e tries that."""
    promise = ask("POST", "/v1/uploads", {"name": "cat.png"}).json
    policy = json.loads(b64decode(promise["fields"]["policy"]))
    signed = {"x-amz-algorithm", "x-amz-credential", "x-amz-date"}
    conditions = [one for one in policy["conditions"] if not (isinstance(one, dict) and one.keys() <= signed)]
    bucket, key, kind = {"bucket": UPLOADS}, {"key": promise["key"]}, {"Content-Type": "image/png"}
    assert sorted(map(str, conditions)) == sorted(map(str, [bucket, key, kind, ["content-length-range", 1, 1_000_000]]))
    ends = datetime.fromisoformat(policy["expiration"])
    assert abs(ends - datetime.fromisoformat(promise["expires_at"])) < timedelta(minutes=1)
    assert timedelta(minutes=14) < ends - datetime.now(UTC) <= timedelta(minutes=15)


@pytest.mark.parametrize("point", [[0.3, 0.6], [0, 1], [1e-7, 0.123456789], [0.9999999, 1 / 3]])
def test_the_form_says_what_no_crop_may_cut_off(ask, point):
    promise = ask("POST", "/v1/uploads", {"name": "cat.png", "focus": point}).json
    said = promise["fields"]["x-amz-meta-focus"]
    assert focal_point(said) == pytest.approx(point, abs=1e-6)
    assert {"x-amz-meta-focus": said} in json.loads(b64decode(promise["fields"]["policy"]))["conditions"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cat.jpg", "cat.jpg"),
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\Users\\me\\Über den Wolken+1.JPG", "Über-den-Wolken-1.JPG"),
        ("..", "picture"),
        (".htaccess", "htaccess"),
        ("a?b#c%20d&e.gif", "a-b-c-20d-e.gif"),
        ("猫.avif", "猫.avif"),
        ("x" * 300 + ".jpeg", "x" * (LONGEST_NAME - 5) + ".jpeg"),
        ("x." + "y" * 300, "x." + "y" * (LONGEST_NAME - 2)),
        ("\x00\n.png", "png"),
    ],
)
def test_a_name_of_a_client_has_no_power(name, file):
    assert safe_name(name) == file


def test_an_idempotency_key_gives_its_caller_the_same_key_again_and_nobody_else(ask):
    """Whichever session of the role it is; the same key of another role or another user is another."""

    def key(caller: Any, idempotency: str = "8e03978e-40d5-43e8-bc93-6894a57f9324") -> str:
        asked = ask("POST", "/v1/uploads", {"name": "a.png"}, caller=caller, headers={"idempotency-key": idempotency})
        return asked.json["key"]

    arn = "arn:aws:sts::123456789012:assumed-role/{}"
    web, other = ({"iam": {"userArn": arn.format(name)}} for name in ("web/task-2", "other/task-1"))
    ann, bob = ({"jwt": {"claims": {"iss": "https://issuer.example.com", "sub": name}}} for name in ("ann", "bob"))
    first = key(OURS)
    assert key(OURS) == key(web) == key(OURS, '"8e03978e-40d5-43e8-bc93-6894a57f9324"') == first
    assert len({first, key(other), key(ann), key(bob), key(OURS, "another-key-of-16-letters")}) == 5


def test_callers_that_no_token_tells_apart_get_no_idempotency(ask):
    """Or one would get the key of another."""
    nobody = {"jwt": {"claims": {"iss": "https://issuer.example.com"}}}
    header = {"idempotency-key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
    assert refused(ask("POST", "/v1/uploads", {"name": "a.png"}, caller=nobody, headers=header)) == (
        400,
        "wrong_request",
    )
    assert ask("POST", "/v1/uploads", {"name": "a.png"}, caller=nobody).status == 201


def test_an_idempotency_key_promises_one_upload(ask):
    again = {"headers": {"idempotency-key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}}
    ask("POST", "/v1/uploads", {"name": "a.png"}, **again)
    assert refused(ask("POST", "/v1/uploads", {"name": "b.png"}, **again)) == (422, "idempotency_key_reused")
    other_type = {"name": "a.png", "content_type": "image/gif"}
    assert refused(ask("POST", "/v1/uploads", other_type, **again)) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ("{", "wrong_request", "not JSON"),
        (None, "wrong_request", "JSON"),
        ([], "wrong_request", "JSON object"),
        ({}, "wrong_request", "name"),
        ({"name": ""}, "wrong_request", "name"),
        ({"name": 7}, "wrong_request", "name"),
        ({"name": "a.png", "key": "raw/b.png"}, "wrong_request", "key: is none of"),
        ({"name": "a.png", "bytes": "7"}, "wrong_request", 'bytes = "7"'),
        ({"name": "a.png", "bytes": True}, "wrong_request", "bytes = true"),
        ({"name": "a.png", "bytes": 0}, "wrong_request", "bytes = 0"),
        ({"name": "a.png", "bytes": 1_000_001}, "too_large", "1,000,001 bytes, limit 1,000,000 bytes"),
        ({"name": "a.png", "focus": "0.3,0.6"}, "wrong_request", 'focus = "0.3,0.6": must be two numbers from 0 to 1'),
        ({"name": "a.png", "focus": [0.3, 1.1]}, "wrong_request", "focus = [0.3, 1.1]: must be two numbers"),
        ({"name": "a.png", "focus": [True, 0]}, "wrong_request", "focus = [true, 0]: must be two numbers"),
        ('{"name": "a.png", "focus": [NaN, 0]}', "wrong_request", "focus = [NaN, 0]: must be two numbers"),
        ({"name": "a.svg"}, "unsupported_type", ".svg: must be one of image/avif, image/bmp"),
        ({"name": "a"}, "unsupported_type", "must be one of"),
        ({"name": "a.heic"}, "unsupported_type", ".heic"),
        ({"name": "a.jxl"}, "unsupported_type", ".jxl"),
        ({"name": "a.png", "content_type": "text/html"}, "unsupported_type", '"text/html"'),
        ({"name": "a.png", "content_type": ["image/png"]}, "unsupported_type", '["image/png"]'),
    ],
)
def test_a_wrong_promise_says_what_is_wrong_and_what_is_allowed(ask, body, code, detail):
    answer = ask("POST", "/v1/uploads", body)
    assert answer.json["code"] == code
    assert detail in answer.json["detail"]


@pytest.mark.parametrize("name", ["heic", "jxl"])
def test_a_format_is_taken_where_the_layer_has_its_decoder(ask, monkeypatch, name):
    monkeypatch.setenv(name.upper(), "true")
    asked = ask("POST", "/v1/uploads", {"name": f"a.{name.upper()}"})
    assert asked.json["fields"]["Content-Type"] == f"image/{name}"


@pytest.mark.parametrize("header", ["short", "x" * 65, "with spaces in it"])
def test_a_wrong_idempotency_key_is_refused(ask, header):
    asked = ask("POST", "/v1/uploads", {"name": "a.png"}, headers={"idempotency-key": header})
    assert refused(asked) == (400, "wrong_request")


def test_a_picture_is_its_row_with_urls_a_srcset_and_alt_text(ask):
    """The thumb is cropped, and shows a part of the picture only. What names the account stays inside."""
    ask.row()
    shown = ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg").json
    base = "https://pictures.example.com/cat.jpg/0123456789abcdef"
    assert shown["srcset"] == {"image/webp": f"{base}/small.webp 480w, {base}/large.webp 1000w"}
    assert shown["renditions"]["thumb"]["url"] == f"{base}/thumb.webp"
    assert (shown["alt"], shown["size"], "urls_expire_at" in shown) == ("A cat.", 10, False)
    assert shown.keys() & {"execution", "sequencer"} == set()


def test_a_place_and_a_focus_keep_their_fractions(ask):
    """A number that is whole stays so."""
    stored = {"orientation": 1, "animated": False, "has_alpha": False, "bits": 8}
    place = {"focus": [Decimal("0.3"), Decimal(1)], "gps": {"latitude": Decimal("-33.9249"), "longitude": 18}}
    ask.row(metadata=stored | place)
    shown = ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg").json
    assert shown["metadata"] == stored | {"focus": [0.3, 1], "gps": {"latitude": -33.9249, "longitude": 18}}
    assert isinstance(shown["size"], int)


@pytest.mark.parametrize(
    "key", ["raw/a b+c.jpg", "raw/ä/猫.jpg", "raw/100%25.jpg", "raw/a//b", "raw/x/redrive", "raw/?#&"]
)
def test_a_key_survives_its_way_whatever_is_in_it(ask, key):
    ask.row(key=key)
    assert ask("GET", "/v1/pictures/{key}", key=key).json["key"] == key
    assert ask("POST", "/v1/pictures/{key}/redrive", key=key).json["detail"] == f"{key}: its status is SUCCEEDED"


def test_what_has_not_changed_is_not_sent_again(ask):
    ask.row()
    tag = ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg").headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        assert ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg", headers={"if-none-match": known}).status == 304
    ask.row(updated_at="2026-11-24T14:43:37.000Z")
    assert ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg", headers={"if-none-match": tag}).status == 200


def test_without_a_distribution_urls_are_presigned_and_end_later_than_their_etag():
    """Who is answered 304 has URLs that are good for half an hour at least."""
    addresses = Addresses(None, lambda key: f"signed {key}")
    assert addresses.url("a") == "signed a"
    now = datetime(2026, 11, 24, 12, 1, tzinfo=UTC)
    tags = [api.etag(DONE, addresses, now + timedelta(minutes=minutes)) for minutes in (0, 28, 29, 60)]
    assert tags[0] == tags[1]
    assert len(set(tags[1:])) == 3
    assert addresses.expire_at(now) - (now + timedelta(minutes=29)) > timedelta(minutes=30)
    assert api.etag({**DONE, "renditions": {}}, addresses, now) == api.etag(
        {**DONE, "renditions": {}}, addresses, now + timedelta(days=1)
    )


def test_why_it_failed_stays_inside_and_why_it_was_rejected_does_not(ask):
    error = {"code": "ClientError", "message": "arn:aws:iam::123456789012:role/x may not"}
    ask.row(status="FAILED", error=error)
    assert "arn:" not in json.dumps(ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg").json)
    ask.row(status="REJECTED", error={"code": "empty", "message": "0 bytes"})
    assert ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg").json["error"]["message"] == "0 bytes"


def test_what_is_not_there_says_whether_it_was_promised(ask):
    key = ask("POST", "/v1/uploads", {"name": "cat.jpg"}).json["key"]
    asked = ask("GET", "/v1/pictures/{key}", key=key)
    assert refused(asked) == (404, "not_uploaded")
    assert asked.json["promised_at"].startswith("20")
    for never in (NEVER, key + "x", key.replace("cat", "dog"), "raw/cat.jpg", "x", "x" * 1025):
        assert refused(ask("GET", "/v1/pictures/{key}", key=never)) == (404, "unknown_picture")


def test_who_prefers_to_wait_is_answered_when_the_row_is_final(ask, monkeypatch):
    looks: list[float] = []

    def later(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            ask.row()

    monkeypatch.setattr(api.time, "sleep", later)
    ask.row(status="PROCESSING")
    answer = ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg", headers={"prefer": "respond-async, wait=99"})
    assert (answer.json["status"], answer.headers["preference-applied"], len(looks)) == ("SUCCEEDED", "wait=20", 3)


def test_who_waits_for_what_was_promised_waits_for_the_row_too(ask, monkeypatch):
    key = ask("POST", "/v1/uploads", {"name": "cat.jpg"}).json["key"]
    monkeypatch.setattr(api.time, "sleep", lambda _: ask.row(key=key))
    assert ask("GET", "/v1/pictures/{key}", key=key, headers={"prefer": "wait=5"}).json["status"] == "SUCCEEDED"


def test_nobody_waits_longer_than_the_time_or_for_nothing(ask, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(api.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(api.time, "sleep", lambda _: None)
    ask.row(status="PROCESSING")
    wait = {"headers": {"prefer": "wait=3"}}
    assert ask("GET", "/v1/pictures/{key}", key="raw/cat.jpg", **wait).json["status"] == "PROCESSING"
    monkeypatch.setattr(api.time, "sleep", pytest.fail)
    assert refused(ask("GET", "/v1/pictures/{key}", key=NEVER, **wait)) == (404, "unknown_picture")


def test_pictures_come_newest_first_a_page_at_a_time(ask):
    """Of all statuses together, each once."""
    for number in range(7):
        status = ("SUCCEEDED", "REJECTED", "FAILED")[number % 3]
        error = {} if status == "SUCCEEDED" else {"error": {"code": "x", "message": "y"}}
        ask.row(key=f"raw/{number}", status=status, updated_at=f"2026-11-24T10:00:0{number}.000Z", **error)
    seen, query = [], {"limit": "2"}
    for _ in range(4):
        page = ask("GET", "/v1/pictures", query=query).json
        seen.append([one["key"] for one in page["pictures"]])
        query = {"limit": "2", "next": page.get("next", "")}
    assert seen == [["raw/6", "raw/5"], ["raw/4", "raw/3"], ["raw/2", "raw/1"], ["raw/0"]]
    assert "next" not in page


def test_pictures_are_chosen_by_status_and_time(ask):
    for number in range(4):
        ask.row(key=f"raw/{number}", updated_at=f"2026-11-24T10:00:0{number}.500Z")

    def keys(**query: str) -> list[str]:
        return [one["key"] for one in ask("GET", "/v1/pictures", query=query).json["pictures"]]

    assert keys(status="SUCCEEDED", since="2026-11-24T10:00:01Z", until="2026-11-24T10:00:03Z") == ["raw/2", "raw/1"]
    assert keys(until="2026-11-24T10:00:01.500Z") == ["raw/0"]
    assert keys(status="FAILED") == keys(since="2026-11-25") == []
    assert len(keys()) == 4


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"status": "DONE"}, "wrong_request"),
        ({"limit": "0"}, "wrong_request"),
        ({"limit": "101"}, "wrong_request"),
        ({"limit": "-1"}, "wrong_request"),
        ({"since": "yesterday"}, "wrong_request"),
        ({"since": "2026-11-25", "until": "2026-11-24"}, "wrong_request"),
        ({"staus": "FAILED"}, "wrong_request"),
        ({"next": "x"}, "wrong_page"),
        ({"next": "é"}, "wrong_page"),
        ({"next": api._token({"FAILED": {"key": "a"}})}, "wrong_page"),
        ({"next": api._token({"FAILED": {"key": "a", "updated_at": ""}})}, "wrong_page"),
        ({"next": "W10"}, "wrong_page"),
    ],
)
def test_a_wrong_question_says_so(ask, query, code):
    assert refused(ask("GET", "/v1/pictures", query=query)) == (400, code)


def test_a_deletion_is_a_marker_that_can_be_taken_back(ask):
    ask.uploads.put_object(Bucket=UPLOADS, Key="raw/cat.jpg", Body=b"cat")
    ask.row()
    answer = ask("DELETE", "/v1/pictures/{key}", key="raw/cat.jpg")
    found = ask.uploads.list_object_versions(Bucket=UPLOADS, Prefix="raw/cat.jpg")
    assert [one["VersionId"] for one in found["DeleteMarkers"]] == [answer.json["marker"]]
    assert (answer.status, len(found["Versions"])) == (202, 1)


def test_a_deletion_in_a_bucket_without_versions_has_no_marker(ask, monkeypatch):
    monkeypatch.setenv("UPLOADS_BUCKET", "plain")
    ask.uploads.create_bucket(Bucket="plain", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    ask.uploads.put_object(Bucket="plain", Key="raw/cat.jpg", Body=b"cat")
    ask.row()
    answer = ask("DELETE", "/v1/pictures/{key}", key="raw/cat.jpg")
    assert (answer.status, answer.json) == (202, {"key": "raw/cat.jpg"})
    assert "Contents" not in ask.uploads.list_objects_v2(Bucket="plain")


def test_what_is_not_there_is_not_deleted(ask):
    """A marker over nothing would make a row. What was promised may have arrived a moment ago."""
    assert refused(ask("DELETE", "/v1/pictures/{key}", key=NEVER)) == (404, "unknown_picture")
    assert "DeleteMarkers" not in ask.uploads.list_object_versions(Bucket=UPLOADS)
    key = ask("POST", "/v1/uploads", {"name": "cat.jpg"}).json["key"]
    ask.uploads.put_object(Bucket=UPLOADS, Key=key, Body=b"cat")
    assert ask("DELETE", "/v1/pictures/{key}", key=key).status == 202


def test_a_redrive_starts_what_the_command_starts(ask):
    """By the name that `darkroom redrive` gives it, so that both together start one."""
    ask.row(status="FAILED", error={"code": "x", "message": "y"})
    assert ask("POST", "/v1/pictures/{key}/redrive", key="raw/cat.jpg").status == 202
    [started] = ask.states.started
    assert started["name"] == f"redrive-{sha256(b'arn:execution').hexdigest()[:40]}"
    given = json.loads(started["input"])
    assert given["redrives"] == "arn:execution"
    assert given["detail"]["object"] == {
        "key": "raw/cat.jpg",
        "version-id": "v1",
        "sequencer": "1",
        "etag": "e",
        "size": 10,
    }


@pytest.mark.parametrize(("stands", "started"), [("RUNNING", 0), ("FAILED", 1)])
def test_a_redrive_that_runs_is_enough_and_one_that_died_is_followed_by_another(ask, stands, started):
    ask.row(status="FAILED", error={"code": "x", "message": "y"})
    ask("POST", "/v1/pictures/{key}/redrive", key="raw/cat.jpg")
    ask.states.took = {ask.states.started.pop()["name"]: stands}
    assert ask("POST", "/v1/pictures/{key}/redrive", key="raw/cat.jpg").status == 202
    assert len(ask.states.started) == started
    assert all(json.loads(one["input"])["redrives"] == "arn:execution" for one in ask.states.started)


def test_only_a_picture_that_failed_is_redriven(ask):
    ask.row()
    assert refused(ask("POST", "/v1/pictures/{key}/redrive", key="raw/cat.jpg")) == (409, "not_failed")
    assert refused(ask("POST", "/v1/pictures/{key}/redrive", key=NEVER)) == (404, "unknown_picture")


def test_links_are_signed_by_the_current_secret(ask, monkeypatch):
    monkeypatch.setenv("DELIVERY_URL", "https://pictures.example.com")
    ask.secrets = SimpleNamespace(valid=lambda: [b"new", b"old"])
    body = {
        "keys": ["raw/a b.jpg", "raw/ä.jpg"],
        "options": {"w": 640, "f": "auto"},
        "expires_at": "2099-01-01T00:00:00Z",
    }
    links = ask("POST", "/v1/links", body).json["links"]
    assert [one["key"] for one in links] == body["keys"]
    for one in links:
        path = one["url"].removeprefix("https://pictures.example.com")
        assert check([b"new"], path, datetime.now(UTC)).key == one["key"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"keys": []}, "wrong_request"),
        ({"keys": "raw/a.jpg"}, "wrong_request"),
        ({"keys": [7]}, "wrong_request"),
        ({"keys": ["a"] * 101}, "wrong_request"),
        ({"keys": ["a"], "options": "w_1"}, "wrong_request"),
        ({"keys": ["a"], "expires_at": "tomorrow"}, "wrong_request"),
        ({"keys": ["a"], "expires_at": "2099-01-01T00:00:00"}, "wrong_request"),
        ({"keys": ["a"], "options": {"w": 0}}, "wrong_option"),
        ({"keys": ["a"], "options": {"size": 1}}, "wrong_option"),
        ({"keys": ["a/../b"]}, "wrong_key"),
    ],
)
def test_a_wrong_link_is_not_signed(ask, body, code):
    ask.secrets = SimpleNamespace(valid=lambda: [b"new"])
    assert refused(ask("POST", "/v1/links", body)) == (400, code)


def test_without_delivery_there_are_no_links(ask):
    assert refused(ask("POST", "/v1/links", {"keys": ["a"]})) == (501, "delivery_off")


def test_the_document_is_the_contract(ask):
    assert ask("GET", "/v1/openapi.json").json == CONTRACT


def test_what_fails_here_is_said_without_its_reason(ask, log_lines):
    ask.uploads = None
    ask.row()
    answer = ask("DELETE", "/v1/pictures/{key}", key="raw/cat.jpg")
    assert refused(answer) == (500, "internal")
    assert "NoneType" not in json.dumps(answer.json)
    [line] = log_lines()
    assert (line["route"], line["key"]) == ("DELETE /v1/pictures/{key+}", "raw/cat.jpg")
    assert "NoneType" in line["exception"]


@pytest.mark.parametrize("route", ["GET /v1/nothing", "POST /v1/pictures/{key+}"])
def test_what_is_no_route_is_a_problem_too(route):
    event = {"version": "2.0", "routeKey": route, "pathParameters": {"key": "raw/cat.jpg"}, "headers": {}}
    event["requestContext"] = {"stage": "$default", "http": {"method": route.partition(" ")[0]}}
    answer = api.handler(event, Context(), api.Services(*[None] * 6))
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "no_such_route")
