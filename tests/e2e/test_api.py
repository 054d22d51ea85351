"""The API as applications call it: with roles that may, and roles that may not."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from darkroom.local.cloud import ACCOUNT, REGION
from darkroom.local.pictures import photo
from tests.browser import ROOT, chromium, serious_violations
from tests.e2e.conftest import ALLOWED, Deployed, FunctionRole, eventually
from tests.e2e.test_doors import FOREIGN
from tests.e2e.web import Answer, form, web

CONTRACT = json.loads((ROOT / "functions" / "openapi.json").read_text())
EVERYTHING = "*/v1/*"
MOST = 20_000  # bytes, for the time of these tests
PICTURE = photo(64, 48)
KEY = "{key}"


class Application:
    """A role of an application's own, which may call just these routes: `GET/v1/pictures/*`."""

    def __init__(self, deployed: Deployed, *routes: str) -> None:
        iam, self.name = deployed.client("iam"), f"application-{uuid.uuid4().hex[:8]}"
        trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=policy(trust))["Role"]
        api = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{deployed.aws.output('ApiId')}/$default"
        if routes:
            may = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": [f"{api}/{one}" for one in routes]}
            iam.put_role_policy(RoleName=self.name, PolicyName="calls", PolicyDocument=policy(may))
        self._sts, self._arn = deployed.client("sts"), role["Arn"]
        self._deployed, self._address = deployed, deployed.aws.output("ApiUrl")
        self.sign_in()

    def sign_in(self) -> None:
        """In a new session."""
        session = self._sts.assume_role(RoleArn=self._arn, RoleSessionName=uuid.uuid4().hex)["Credentials"]
        self.credentials = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """`path` may have a key in it, `{key}`, which is given by that name."""
        key = headers.pop("key", "")
        url = self._address + path.replace(KEY, quote(key))
        data = None if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): text for name, text in headers.items()} | {"Content-Type": "application/json"}
        request = AWSRequest(method, url, given, data)
        SigV4Auth(self.credentials, "execute-api", REGION).add_auth(request)
        return web(self._deployed, method, url, data, request.headers)

    def promised(self, name: str = "cat.jpg", *, focus: Any = None, **headers: str) -> Any:
        said = {} if focus is None else {"focus": focus}
        answer = self("POST", "/v1/uploads", {"name": name, **said}, **headers)
        assert answer.status == 201, answer.body
        return answer.json

    def picture(self, key: str) -> Any:
        """When it is final. The row of what has arrived may come a moment later."""
        wait = {"Prefer": "wait=20"}
        return eventually(
            lambda: (
                found.json
                if (found := self("GET", "/v1/pictures/{key}", key=key, **wait)).status == 200
                and found.json["status"] != "PROCESSING"
                else None
            ),
            f"the end of {key}",
        )


def policy(statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def application(deployed: Deployed) -> Iterator[Application]:
    """It may call every route. Uploads are small meanwhile."""
    functions, name = deployed.client("lambda"), deployed.function("api")["FunctionName"]
    variables = deployed.function("api")["Environment"]["Variables"]
    small = {"Variables": {**variables, "MAX_BYTES": str(MOST)}}
    functions.update_function_configuration(FunctionName=name, Environment=small)
    yield Application(deployed, EVERYTHING)
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


NONE = "raw/none.jpg"
# By the route as a policy has it: what is asked, and how it ends for who may.
ROUTES: dict[str, tuple[tuple[str, str, Any], int]] = {
    "POST/v1/uploads": (("POST", "/v1/uploads", {"name": "a.png"}), 201),
    "GET/v1/pictures": (("GET", "/v1/pictures", None), 200),
    "GET/v1/pictures/*": (("GET", f"/v1/pictures/{NONE}", None), 404),
    "DELETE/v1/pictures/*": (("DELETE", f"/v1/pictures/{NONE}", None), 404),
    "POST/v1/pictures/*/redrive": (("POST", f"/v1/pictures/{NONE}/redrive", None), 404),
    "POST/v1/links": (("POST", "/v1/links", {"keys": []}), 400),
    "GET/v1/openapi.json": (("GET", "/v1/openapi.json", None), 200),
}


@pytest.mark.parametrize("may", [*ROUTES, None])
def test_a_role_may_call_the_routes_that_it_may_and_no_other(may: str | None, deployed: Deployed):
    there = {f"{method.upper()}{path}" for path, methods in CONTRACT["paths"].items() for method in methods}
    assert {route.replace("*", KEY) for route in ROUTES} == there
    role = Application(deployed, may) if may else Application(deployed)
    answers = {route: role(*asked).status for route, (asked, _) in ROUTES.items()}
    assert answers == {route: status if route == may else 403 for route, (_, status) in ROUTES.items()}


def test_who_does_not_sign_or_signs_wrongly_is_refused(deployed: Deployed, application: Application):
    address = deployed.aws.output("ApiUrl") + "/v1/pictures"
    assert web(deployed, "GET", address).status == 403
    request = AWSRequest("GET", address)
    SigV4Auth(application.credentials, "execute-api", REGION).add_auth(request)
    assert web(deployed, "GET", address, headers=request.headers).status == 200
    assert web(deployed, "GET", f"{address}/raw/other.jpg", headers=request.headers).status == 403
    assert web(deployed, "DELETE", address, headers=request.headers).status == 403
    stolen = Credentials(application.credentials.access_key, "guessed", application.credentials.token)
    SigV4Auth(stolen, "execute-api", REGION).add_auth(request)
    assert web(deployed, "GET", address, headers=request.headers).status == 403


def test_an_upload_is_promised_uploaded_and_shown(application: Application, deployed: Deployed):
    """A URL of the answer is a picture, for whoever has it."""
    promised = application.promised("Über uns+1 %.JPG", focus=[0.3, 0.6])
    assert application("GET", "/v1/pictures/{key}", key=promised["key"]).code == (404, "not_uploaded")
    assert form(deployed, promised, PICTURE).status == 204
    picture = application.picture(promised["key"])
    assert (picture["status"], picture["width"], picture["height"]) == ("SUCCEEDED", 64, 48)
    assert picture["alt"]
    assert picture["metadata"]["focus"] == [0.3, 0.6]
    for one in picture["renditions"].values():
        shown = web(deployed, "GET", one["url"])
        assert (shown.status, shown.headers["Content-Type"], len(shown.body)) == (200, "image/webp", one["bytes"])
    again = application("GET", "/v1/pictures/{key}", key=promised["key"])
    assert (
        application("GET", "/v1/pictures/{key}", key=promised["key"], If_None_Match=again.headers["ETag"]).status == 304
    )
    newest = application("GET", "/v1/pictures?status=SUCCEEDED&limit=1").json
    assert newest["pictures"][0]["key"] == promised["key"]


def test_a_link_of_the_api_is_a_picture_in_that_size(application: Application, deployed: Deployed):
    """Signed with the stack's secret, which the function reads and nobody sees."""
    promised = application.promised("links.png")
    assert form(deployed, promised, PICTURE).status == 204
    assert application.picture(promised["key"])["status"] == "SUCCEEDED"
    asked = {"keys": [promised["key"]], "options": {"w": 16, "f": "png"}}
    [link] = application("POST", "/v1/links", asked).json["links"]
    shown = web(deployed, "GET", link["url"])
    assert (shown.status, shown.headers["Content-Type"]) == (200, "image/png")
    assert web(deployed, "GET", link["url"].replace("w_16", "w_32")).status == 403


@pytest.mark.parametrize(
    ("fields", "data", "refused"),
    [
        ({"key": "raw/somebody-elses.jpg"}, PICTURE, 403),
        ({"key": "elsewhere/cat.jpg"}, PICTURE, 403),
        ({"key": "${filename}"}, PICTURE, 403),
        ({"Content-Type": "image/png"}, PICTURE, 403),
        ({"Content-Type": "text/html"}, PICTURE, 403),
        ({"Content-Type": None}, PICTURE, 403),
        ({"x-amz-meta-owner": "me"}, PICTURE, 403),
        ({"acl": "public-read"}, PICTURE, 403),
        ({"x-amz-signature": "0" * 64}, PICTURE, 403),
        ({"x-amz-signature": None}, PICTURE, 403),
        ({"policy": "e30="}, PICTURE, 403),
        ({"x-amz-security-token": None}, PICTURE, 400),
        ({}, b"x" * (MOST + 1), 400),
        ({}, b"", 400),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_the_form_uploads_what_was_promised_and_nothing_else(
    fields: Any, data: bytes, refused: int, application: Application, deployed: Deployed
):
    promised = application.promised()
    answer = form(deployed, promised, data, **fields)
    assert answer.status == refused, answer.body
    stored = deployed.aws.s3.list_object_versions(Bucket=deployed.aws.output("UploadsBucketName"))
    assert not {promised["key"], fields.get("key")} & {one["Key"] for one in stored.get("Versions", [])}


def test_a_form_ends(application: Application, deployed: Deployed):
    """Its policy says in 15 minutes. One that is as old was signed by the same credentials, and is refused."""
    promised = application.promised()
    own = {"AWS_ACCESS_KEY_ID": "aws_access_key_id", "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key"}
    given = {theirs: deployed.cloud.variables()[ours] for ours, theirs in own.items()}
    s3 = deployed.client("s3", config=Config(signature_version="s3v4"), **given)
    bucket = deployed.aws.output("UploadsBucketName")
    for seconds, status in ((-1, 403), (60, 204)):
        made = s3.generate_presigned_post(bucket, promised["key"], ExpiresIn=seconds)
        assert form(deployed, {**made, "method": "POST"}, PICTURE).status == status
    application.picture(promised["key"])


def test_nobody_gets_the_key_of_somebody_else(application: Application, deployed: Deployed):
    """The same Idempotency-Key gives a role its key again, in whichever session, and another role another key."""
    other, header = Application(deployed, EVERYTHING), {"Idempotency_Key": str(uuid.uuid4())}
    first = application.promised(**header)["key"]
    application.sign_in()
    assert application.promised(**header)["key"] == first
    assert other.promised(**header)["key"] != first


@pytest.mark.parametrize("key", ["raw/api/a b+c.jpg", "raw/api/ä/猫.jpg", "raw/api/100%25 off.jpg", "raw/api/redrive"])
def test_a_key_survives_its_way_whatever_is_in_it(key: str, application: Application, deployed: Deployed):
    """From the row to the answer, and to the delete marker."""
    deployed.picture(key, b"no picture")
    found = application("GET", "/v1/pictures/{key}", key=key).json
    assert (found["key"], found["status"], found["error"]["code"]) == (key, "REJECTED", "unsupported_format")
    assert application("POST", "/v1/pictures/{key}/redrive", key=key).code == (409, "not_failed")
    marker = application("DELETE", "/v1/pictures/{key}", key=key).json["marker"]
    assert deployed.markers(key) == [marker]
    eventually(lambda: deployed.in_status(key, "DELETED"), f"{key} DELETED")


def test_a_picture_that_failed_is_started_again_and_its_letter_does_no_harm(
    application: Application, deployed: Deployed
):
    with FunctionRole(deployed, "resize").without("s3:PutObject"):
        promised = application.promised()
        form(deployed, promised, PICTURE)
        failed = application.picture(promised["key"])
    assert (failed["status"], "not authorized" in failed["error"]["message"]) == ("FAILED", False)
    assert application("POST", "/v1/pictures/{key}/redrive", key=promised["key"]).status == 202
    row = eventually(lambda: deployed.in_status(promised["key"], "SUCCEEDED"), "the redrive")
    eventually(lambda: deployed.letters(), "its letter")
    done = deployed.darkroom("redrive", promised["key"])
    assert done.returncode == 0, done.stderr
    eventually(lambda: not deployed.at_work(), "the end of the second")
    assert deployed.row(promised["key"]) == row


def test_a_page_that_is_allowed_may_ask_and_no_other(deployed: Deployed, application: Application):
    """The browser's question is answered without a signature; the answer of a signed request names the page."""
    address = deployed.aws.output("ApiUrl") + "/v1/pictures"
    question = {"Origin": ALLOWED, "Access-Control-Request-Method": "GET"}
    allowed = web(deployed, "OPTIONS", address, headers=question)
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (204, ALLOWED)
    assert "x-amz-date" in allowed.headers["Access-Control-Allow-Headers"]
    assert web(deployed, "OPTIONS", address, headers={**question, "Origin": FOREIGN}).status == 403
    told = application("GET", "/v1/pictures", Origin=ALLOWED).headers
    assert (told["Access-Control-Allow-Origin"], told["Vary"]) == (ALLOWED, "Origin")


def test_the_example_uploads_waits_and_shows(deployed: Deployed):
    """In Chromium, with the example's own server, whose role may do just what the page does."""
    role = Application(deployed, "POST/v1/uploads", "GET/v1/pictures/*")
    with (
        example(deployed, role) as port,
        chromium("--ignore-certificate-errors", f"--host-resolver-rules={port}") as browser,
    ):
        page = browser.new_page()
        page.goto(ALLOWED)
        assert serious_violations(page) == []
        page.set_input_files("input", {"name": "mon chat.jpg", "mimeType": "image/jpeg", "buffer": PICTURE})
        page.click("button")
        page.wait_for_selector("#pictures img", timeout=120_000)
        images = page.locator("img")
        page.wait_for_function("[...document.images].every((image) => image.complete)")
        assert page.locator("[role=status]").inner_text().startswith("mon chat.jpg is there, in ")
        assert all(image.evaluate("one => one.naturalWidth > 0") for image in images.all())
        assert serious_violations(page) == []
        page.set_input_files("input", {"name": "words.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
        page.click("button")
        page.wait_for_function(
            "document.querySelector('[role=status]').textContent.includes('not JPEG')", timeout=120_000
        )
        assert page.evaluate("fetch('/v1/pictures').then((answer) => answer.status)") == 404


@contextmanager
def example(deployed: Deployed, role: Application) -> Iterator[str]:
    """The example's server, and the rule by which Chromium finds it under the name of the allowed page."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **ours,
        **deployed.cloud.variables(),
        "AWS_ACCESS_KEY_ID": role.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": role.credentials.secret_key,
        "AWS_SESSION_TOKEN": role.credentials.token,
        "DARKROOM_API_URL": deployed.aws.output("ApiUrl"),
    }
    server = ROOT / "docs" / "examples" / "upload" / "server.py"
    command = [sys.executable, str(server), "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        [port] = re.findall(r":(\d+)$", process.stdout.readline().strip())
        yield f"MAP {ALLOWED.removeprefix('http://')} 127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
