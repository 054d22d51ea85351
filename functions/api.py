"""The HTTP API: promises uploads, shows pictures, deletes them and starts them again. `openapi.json` is its contract.

API Gateway has checked who calls, and chosen the route, before this is called.
"""

from __future__ import annotations

import json
import os
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import boto3
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from functions.executions import Redrives, event_of, redrives
from functions.keys import LONGEST_KEY
from functions.links import LinkError, Options, signed_path
from functions.pictures import FINAL, Addresses, addresses, etag, shown
from functions.promises import VALID, Promises, Reused, media_types, promises
from functions.results import Results, results
from functions.secrets import Secrets, secrets
from functions.telemetry import SAID_BY_THE_LOG_GROUP, LambdaContext, logger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STATUSES = ("PROCESSING", *FINAL)
MOST_AT_ONCE = 100  # pictures of a page, and links of an answer
USUALLY_AT_ONCE = 50
LONGEST_WAIT = 20  # seconds, of the 30 in which API Gateway wants an answer
LOOK_EVERY = 0.5  # seconds, while a client waits
LATEST = "9999"  # later than any time a row has

TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,3})?)?)?Z?)?")
IDEMPOTENCY_KEY = re.compile(r'"?([A-Za-z0-9_-]{16,64})"?')


class Problem(Exception):
    """Why a request is not done. `code` is one of `x-problems`, `detail` is for people, and may be shown to anybody."""

    def __init__(self, code: str, detail: str, **more: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.more = more


@dataclass(frozen=True, slots=True)
class Services:
    promises: Promises
    results: Results
    addresses: Addresses
    redrives: Redrives
    uploads: S3Client
    secrets: Secrets | None


@cache
def services() -> Services:
    signer = secrets("DELIVERY_SECRET_ARN") if "DELIVERY_SECRET_ARN" in os.environ else None
    return Services(promises(), results(), addresses(), redrives(), boto3.client("s3"), signer)


@cache
def contract() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_text())
    return document


app = APIGatewayHttpResolver()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext, using: Services | None = None) -> dict[str, Any]:
    logger.remove_keys(SAID_BY_THE_LOG_GROUP)
    logger.append_keys(route=event["routeKey"], **(event.get("pathParameters") or {}))
    app.context["using"] = using or services()  # until this request is answered
    return app.resolve({**event, "rawPath": chosen_path(event)}, context)


def chosen_path(event: Mapping[str, Any]) -> str:
    """The path of the route that API Gateway chose, with the key in it percent-encoded whole.

    The path as it was sent does not tell a key's slashes from its own, and has the stage before it or not. API Gateway
    decodes a parameter, but leaves `%25` as it is.
    """
    path = event["routeKey"].partition(" ")[2]
    if not path.endswith("{key+}"):
        return str(path)
    key = event["pathParameters"]["key"].replace("%25", "%")
    action = "/redrive" if event["routeKey"].startswith("POST") else ""  # a greedy parameter is the last of its path
    if action and not key.endswith(action):
        return f"/v1/pictures{action}"
    return f"{path.removesuffix('{key+}')}{quote(key.removesuffix(action), safe='')}{action}"


@app.post("/v1/uploads")
def promise_upload() -> Response[str]:
    using, asked, now = _using(), _body({"name", "content_type", "bytes", "focus"}), datetime.now(UTC)
    name, kind, focus = _text(asked, "name"), _media_type(asked), _focus(asked)
    most = int(os.environ["MAX_BYTES"])
    size = asked.get("bytes", 1)
    if type(size) is not int or size < 1:
        raise Problem("wrong_request", f"bytes = {json.dumps(size)}: must be a whole number, 1 or more")
    if size > most:
        raise Problem("too_large", f"{size:,} bytes, limit {most:,} bytes")
    try:
        promise = using.promises.make(name, kind, now, _caller_and_key())
    except Reused:
        raise Problem("idempotency_key_reused", "it promises an upload of another name or type") from None
    answer = {"key": promise.key, "method": "POST", **using.promises.form(promise, focus), "headers": {}}
    answer["expires_at"] = (now + VALID).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _json(201, answer, {"Location": f"pictures/{quote(promise.key)}"})


@app.get("/v1/pictures")
def list_pictures() -> Response[str]:
    using, now = _using(), datetime.now(UTC)
    query = app.current_event.query_string_parameters
    if unknown := query.keys() - {"status", "since", "until", "limit", "next"}:
        raise Problem("wrong_request", f"{min(unknown)}: is none of status, since, until, limit and next")
    status, limit = query.get("status"), query.get("limit", str(USUALLY_AT_ONCE))
    if status not in (None, *STATUSES):
        raise Problem("wrong_request", f"status = {status}: must be one of {', '.join(STATUSES)}")
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MOST_AT_ONCE:
        raise Problem("wrong_request", f"limit = {limit}: must be a whole number from 1 to {MOST_AT_ONCE}")
    since, until = _time(query, "since", "0"), _time(query, "until", LATEST)
    if since > until:
        raise Problem("wrong_request", f"since = {since}: is later than until = {until}")
    try:
        rows, following = using.results.newest(
            STATUSES if status is None else (status,),
            since=since,
            until=until,
            limit=int(limit),
            after=_read_token(query.get("next")),
        )
    except ValueError:
        raise Problem("wrong_page", "`next` is not of a page of this question") from None
    answer: dict[str, Any] = {"pictures": [shown(row, using.addresses, now) for row in rows]}
    return _json(200, answer | ({"next": _token(following)} if following else {}))


@app.get("/v1/pictures/<encoded>")
def picture(encoded: str) -> Response[str]:
    using, key = _using(), unquote(encoded)
    wait = re.search(r"\bwait=([0-9]{1,9})\b", app.current_event.headers.get("prefer", ""))
    seconds = min(int(wait[1]), LONGEST_WAIT) if wait else 0
    row, now = _when_final(using, key, seconds), datetime.now(UTC)
    tag = etag(row, using.addresses, now)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if wait:
        headers["Preference-Applied"] = f"wait={seconds}"
    known = app.current_event.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in re.findall(r'"[^"]*"', known):
        return Response(304, body="", headers=headers)
    return _json(200, shown(row, using.addresses, now), headers)


@app.delete("/v1/pictures/<encoded>")
def delete_picture(encoded: str) -> Response[str]:
    using, key = _using(), unquote(encoded)
    if using.promises.find(key) is None:
        _row(using, key)  # a marker over nothing would make a row of its own
    deleted = using.uploads.delete_object(Bucket=os.environ["UPLOADS_BUCKET"], Key=key)
    return _json(202, {"key": key, **({"marker": deleted["VersionId"]} if "VersionId" in deleted else {})})


@app.post("/v1/pictures/<encoded>/redrive")
def redrive_picture(encoded: str) -> Response[str]:
    using, key = _using(), unquote(encoded)
    row = _row(using, key)
    if row["status"] != "FAILED":
        raise Problem("not_failed", f"{key}: its status is {row['status']}")
    using.redrives.start(event_of(row, os.environ["UPLOADS_BUCKET"]), row["execution"])
    return _json(202, {"key": key})


@app.post("/v1/links")
def sign_links() -> Response[str]:
    using, asked = _using(), _body({"keys", "options", "expires_at"})
    keys, options = asked.get("keys"), asked.get("options", {})
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_AT_ONCE:
        raise Problem("wrong_request", f"keys: must be a list of 1 to {MOST_AT_ONCE} keys")
    if wrong := [key for key in keys if not _is_key(key)]:
        raise Problem("wrong_request", f"keys: {json.dumps(wrong[0])[:100]} is no key of 1 to {LONGEST_KEY} bytes")
    if not isinstance(options, dict):
        raise Problem("wrong_request", "options: must be an object of names and values")
    expires = _date_time(asked, "expires_at")
    if using.secrets is None:
        raise Problem("delivery_off", "the setting delivery.enabled is off")
    try:
        secret, chosen = using.secrets.valid()[0], Options.of(options)
        paths = {key: signed_path(secret, key, chosen, expires) for key in keys}
    except LinkError as wrong_link:
        raise Problem(wrong_link.code, wrong_link.message) from None
    return _json(200, {"links": [{"key": key, "url": os.environ["DELIVERY_URL"] + paths[key]} for key in keys]})


@app.get("/v1/openapi.json")
def open_api() -> Response[str]:
    return _json(200, contract())


def explained(problem: Problem) -> Response[str]:
    """RFC 9457. `type` leads to the code's explanation in the document that the API itself serves."""
    told = contract()["components"]["x-problems"][problem.code]
    answer = {
        "type": f"/v1/openapi.json#/components/x-problems/{problem.code}",
        "title": told["title"],
        "status": told["status"],
        "code": problem.code,
        "detail": problem.detail,
        **problem.more,
    }
    return Response(told["status"], "application/problem+json", json.dumps(answer), {"Cache-Control": "no-store"})


def failed(_: Exception) -> Response[str]:
    logger.exception("failed")
    return explained(Problem("internal", "the function's log has the reason"))


def no_such_route(_: Exception) -> Response[str]:
    return explained(Problem("no_such_route", "the path and method are none of /v1/openapi.json"))


app.exception_handler(Problem)(explained)
app.exception_handler(Exception)(failed)
app.not_found(no_such_route)


def _using() -> Services:
    using: Services = app.context["using"]
    return using


def _when_final(using: Services, key: str, seconds: int) -> dict[str, Any]:
    """The row as it stands when it is final, or after so long. Raises Problem if there is none by then; at once if none
    is to be expected."""
    until = time.monotonic() + seconds
    while True:
        row = using.results.picture(key) if _is_key(key) else None
        left = until - time.monotonic()
        if (row and row["status"] in FINAL) or left <= 0:
            return row or _row(using, key)
        if row is None and using.promises.find(key) is None:
            return _row(using, key)
        time.sleep(min(LOOK_EVERY, left))


def _row(using: Services, key: str) -> dict[str, Any]:
    """Raises Problem, which says whether an upload was promised."""
    if _is_key(key) and (row := using.results.picture(key)):
        return row
    if promise := using.promises.find(key):
        raise Problem("not_uploaded", f"{key}: nothing has arrived under it", promised_at=promise.promised_at)
    raise Problem("unknown_picture", f"{key}: no row, and no promised upload")


def _body(members: set[str]) -> dict[str, Any]:
    """The JSON object that was sent, with no other members than these."""
    try:
        body = app.current_event.json_body
    except (ValueError, TypeError):
        raise Problem("wrong_request", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Problem("wrong_request", "the body must be a JSON object")
    if unknown := body.keys() - members:
        raise Problem("wrong_request", f"{min(unknown)}: is none of {', '.join(sorted(members))}")
    return body


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_KEY:
        raise Problem("wrong_request", f"{name}: must be a text of 1 to {LONGEST_KEY} characters")
    return value


def _media_type(asked: Mapping[str, Any]) -> str:
    """Of an upload: as it says, or by the ending of its name."""
    taken = media_types(os.environ)
    given, ending = asked.get("content_type"), _text(asked, "name").rpartition(".")[2].lower()
    kind = taken.get(ending) if given is None else given
    if kind not in taken.values():
        what = f".{ending[:20]}" if given is None else json.dumps(given)[:100]
        raise Problem("unsupported_type", f"{what}: must be one of {', '.join(sorted(set(taken.values())))}")
    return str(kind)


def _focus(asked: Mapping[str, Any]) -> str | None:
    """As its upload will say it (functions.imaging.focal_point)."""
    if "focus" not in asked:
        return None
    point = asked["focus"]
    is_point = isinstance(point, list) and len(point) == 2 and all(type(part) in (int, float) for part in point)
    if not (is_point and all(0 <= part <= 1 for part in point)):
        raise Problem("wrong_request", f"focus = {json.dumps(point)[:100]}: must be two numbers from 0 to 1")
    return ",".join(f"{part:.6f}" for part in point)


def _caller_and_key() -> str | None:
    """Who calls, and their Idempotency-Key. A role is one caller, whichever its session; a token's subject is one."""
    header = app.current_event.headers.get("idempotency-key")
    if header is None:
        return None
    read = IDEMPOTENCY_KEY.fullmatch(header)
    if read is None:
        raise Problem("wrong_request", "Idempotency-Key: must be 16 to 64 letters, digits, '-' and '_', as a UUID is")
    authorizer = app.current_event.raw_event["requestContext"]["authorizer"]
    if "iam" in authorizer:
        caller = re.sub(r"(:assumed-role/[^/]+)/.*", r"\1", authorizer["iam"]["userArn"])
    else:
        claims = authorizer["jwt"]["claims"]
        subject = claims.get("sub") or claims.get("client_id")
        if not subject:
            raise Problem(
                "wrong_request", "Idempotency-Key: the token has neither sub nor client_id to tell callers apart"
            )
        caller = json.dumps([claims["iss"], subject])
    return f"{caller}\0{read[1]}"


def _time(query: Mapping[str, str], name: str, otherwise: str) -> str:
    """The beginning of a row's time."""
    value = query.get(name, otherwise)
    if name in query and not TIME.fullmatch(value):
        raise Problem("wrong_request", f"{name} = {value}: must be a date or a time in UTC, such as 2026-11-24T14:43Z")
    return value.removesuffix("Z")


def _date_time(asked: Mapping[str, Any], name: str) -> datetime | None:
    if name not in asked:
        return None
    try:
        read = datetime.fromisoformat(asked[name])
    except (TypeError, ValueError):
        read = datetime.min
    if read.tzinfo is None:
        raise Problem("wrong_request", f"{name}: must be a time such as 2026-11-24T14:43:36Z")
    return read


def _is_key(key: Any) -> bool:
    try:
        return isinstance(key, str) and 1 <= len(key.encode()) <= LONGEST_KEY
    except UnicodeEncodeError:  # half a character
        return False


def _token(after: Mapping[str, Mapping[str, str]]) -> str:
    return urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=")


def _read_token(token: str | None) -> dict[str, dict[str, str]]:
    """Raises ValueError for one that was never given out."""
    if token is None:
        return {}
    read = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    if not isinstance(read, dict) or not all(_is_place(one) for one in read.values()):
        raise ValueError(token)
    return read


def _is_place(place: Any) -> bool:
    return isinstance(place, dict) and place.keys() == {"key", "updated_at"} and all(map(_is_key, place.values()))


def _json(status: int, answer: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response[str]:
    return Response(status, "application/json", json.dumps(answer, ensure_ascii=False), dict(headers or {}))
