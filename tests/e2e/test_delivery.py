"""Pictures are shown to everybody who has their URL, in any size to who has a signed one, and to nobody else.

Viewers here have no key of the cloud. Every call of the functions is their own roles'.
"""

import http.client
import io
import json
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from PIL import Image

from darkroom.local.cloud import REGION
from darkroom.local.pictures import photo
from functions.keys import derived_folder
from functions.links import Options, signed_path
from tests.e2e.conftest import Deployed, FunctionRole, eventually
from tests.e2e.people import person

Answer = tuple[int, dict[str, str], bytes]
View = Callable[..., Answer]


@pytest.fixture(scope="module")
def base(deployed: Deployed) -> str:
    return deployed.aws.output("DeliveryUrl")


@pytest.fixture(scope="module")
def view(deployed: Deployed, base: str) -> View:
    """A browser, which takes the certificate for the distribution's own name."""
    address = urlsplit(base)
    trust = ssl.create_default_context(cafile=deployed.cloud.variables()["AWS_CA_BUNDLE"])

    class Connection(http.client.HTTPSConnection):
        def connect(self) -> None:
            plain = socket.create_connection(("127.0.0.1", deployed.cloud.port))
            self.sock = trust.wrap_socket(plain, server_hostname=address.hostname)

    def asked(path: str, accept: str = "image/avif,image/webp,*/*", method: str = "GET", **headers: str) -> Answer:
        connection = Connection(address.netloc)
        try:
            connection.request(method, path.removeprefix(base), headers={"accept": accept, **headers})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    return asked


@pytest.fixture(scope="module")
def secret(deployed: Deployed) -> bytes:
    manager = deployed.client("secretsmanager")
    return manager.get_secret_value(SecretId=deployed.aws.output("DeliverySecretArn"))["SecretString"].encode()


@pytest.fixture(scope="module")
def picture(deployed: Deployed) -> dict[str, Any]:
    return deployed.picture("raw/delivery/a b+é.jpg", photo(600, 400))


def derived(deployed: Deployed, key: str) -> set[str]:
    return {file.split("/")[-1] for file in deployed.renditions(derived_folder(key))}


def made(deployed: Deployed, key: str) -> list[bool]:
    """Of each answer with a size of that picture, whether it was made for that."""
    lines = [json.loads(line) for line in deployed.log_lines("deliver") if line.startswith("{")]
    said = [line for line in lines if line.get("message") == "answered"]
    return [line["made"] for line in said if line["file"].startswith(derived_folder(key))]


def test_a_rendition_is_shown_by_its_key(view, picture):
    """With what S3 says of it, and what every answer has."""
    rendition = picture["renditions"]["small"]
    status, headers, body = view(f"/{quote(rendition['key'])}")
    assert status == 200
    assert len(body) == rendition["bytes"]
    assert headers["content-type"] == "image/webp"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert not headers.keys() & {"set-cookie", "x-amz-server-side-encryption", "access-control-allow-origin"}
    assert view(f"/{quote(rendition['key'])}", method="HEAD")[::2] == (200, b"")


@pytest.mark.usefixtures("picture")
@pytest.mark.parametrize("path", ["/", "/index.html", "/derived/", "/raw/delivery/a%20b%2B%C3%A9.jpg"])
def test_what_has_no_url_is_refused(view, path):
    """Among it the originals, and the list of what there is."""
    status, _, body = view(path)
    assert (status, b"<Code>AccessDenied</Code>" in body) == (403, True)


def test_a_size_that_did_not_exist_is_made_once(deployed, view, secret, picture):
    """Asked for again it is read, as the function's log says."""
    path = signed_path(secret, picture["key"], Options.of({"w": 320}))
    answers = [view(path), view(path)]
    assert [status for status, _, _ in answers] == [200, 200]
    assert answers[0][2] == answers[1][2]
    assert Image.open(io.BytesIO(answers[0][2])).size == (320, 213)
    assert answers[0][1]["vary"] == "Accept"
    eventually(lambda: made(deployed, picture["key"])[-2:] == [True, False], "the two answers in the log")
    status, headers, _ = view(path, **{"if-none-match": answers[0][1]["etag"]})
    assert (status, headers["etag"]) == (304, answers[0][1]["etag"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("image/avif,image/webp,*/*;q=0.8", "AVIF"), ("image/webp,image/avif;q=0", "WEBP"), ("*/*", "JPEG")],
)
def test_each_browser_gets_the_best_format_that_it_takes(view, secret, picture, accept, kind):
    _, headers, body = view(signed_path(secret, picture["key"], Options.of({"w": 64})), accept)
    assert Image.open(io.BytesIO(body)).format == kind
    assert headers["content-type"] == f"image/{kind.lower()}"


def test_without_the_right_signature_nothing_is_made(deployed, view, secret, picture):
    """Wrong, expired, or stolen: of another key, of another size. What is signed but wrong is answered with why."""
    key = picture["key"]
    other = deployed.picture("raw/delivery/other.jpg", photo(60, 40))
    signed = signed_path(secret, key, Options.of({"w": 48, "f": "png"}))
    _, _, signature, options, *_ = signed.split("/")
    before = derived(deployed, key)
    refused = {
        "wrong": signed_path(b"another secret", key, Options.of({"w": 48})),
        "of another size": signed.replace("w_48", "w_96"),
        "of another format": signed.replace("f_png", "f_jpeg"),
        "of another key": f"/i/{signature}/{options}/{other['key']}",
        "with a longer life": signed.replace("f_png", "f_png,exp_4102444800"),
        "none": f"/i//{options}/{quote(key)}",
        "cut": f"/i/{signature}",
    }
    codes = {why: (status, json.loads(body)["code"]) for why, (status, _, body) in _asked(view, refused).items()}
    assert codes == dict.fromkeys(refused, (403, "wrong_signature"))
    expired = signed_path(secret, key, Options.of({"w": 48}), datetime.now(UTC) - timedelta(days=2))
    status, headers, body = view(expired)
    assert (status, json.loads(body)["code"]) == (403, "expired")
    assert headers["content-type"] == "application/problem+json"
    assert derived(deployed, key) == before
    assert derived(deployed, other["key"]) == set()


def _asked(view: View, paths: dict[str, str]) -> dict[str, Answer]:
    return {why: view(path) for why, path in paths.items()}


def test_a_secret_that_was_rotated_signs_for_a_while(deployed, view, secret, picture):
    """Both halves are valid at once."""
    manager, arn = deployed.client("secretsmanager"), deployed.aws.output("DeliverySecretArn")
    manager.put_secret_value(SecretId=arn, SecretString="a newer secret")
    try:
        for one in (secret, b"a newer secret"):
            path = signed_path(one, picture["key"], Options.of({"w": 32}))
            eventually(lambda path=path: view(path)[0] == 200, "both are known")
    finally:
        manager.put_secret_value(SecretId=arn, SecretString=secret.decode())


def test_a_hundred_who_ask_for_a_new_size_at_once_get_one_file(deployed, view, secret, picture):
    """And no error."""
    path = signed_path(secret, picture["key"], Options.of({"w": 160, "h": 160, "fit": "cover", "f": "webp"}))
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: view(path), range(100)))
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 1
    assert {one for one in derived(deployed, picture["key"]) if "w_160" in one} == {
        "w_160,h_160,fit_cover,crop_center,q_80.webp"
    }


def test_the_newest_version_has_one_url_for_ever(deployed, view):
    """It leads to the file of the version that is shown."""
    key = "raw/delivery/newest.jpg"
    path = f"/p/small/{key}"
    assert json.loads(view(path)[2])["code"] == "not_shown"
    for edge in (60, 90):
        row = deployed.picture(key, photo(edge, edge))
        status, headers, _ = view(path, "image/webp")
        assert (status, headers["cache-control"], headers["vary"]) == (302, "public, max-age=60", "Accept")
        name = "small" if "small" in row["renditions"] else "thumb"
        assert unquote(headers["location"]) == f"/{row['renditions'][name]['key']}"
        assert view(headers["location"])[0] == 200


def test_other_sizes_go_with_their_picture(deployed, view, secret):
    """When it is overwritten, and when it is deleted."""
    key = "raw/delivery/gone.jpg"
    path = signed_path(secret, key, Options.of({"w": 48, "f": "webp"}))
    for edge in (60, 90):
        version = deployed.picture(key, photo(edge, edge))["renditions"]["thumb"]["key"].split("/")[-2]
        eventually(lambda: deployed.idle(key), "the cleanup of the older version")
        assert view(path)[0] == 200
        assert {file.split("/")[-2] for file in deployed.renditions(derived_folder(key))} == {version}
    deployed.delete(key)
    eventually(lambda: deployed.in_status(key, "DELETED"), "its deletion")
    eventually(lambda: not deployed.renditions(derived_folder(key)), "the end of its sizes")
    assert json.loads(view(path)[2])["code"] == "not_shown"


def test_only_the_distribution_calls_the_function(deployed, view, picture):
    """Not who knows the address of its URL, signed by whomever; and the distribution because the policy names it."""
    functions, name = deployed.client("lambda"), deployed.function("deliver")["FunctionName"]
    url = functions.get_function_url_config(FunctionName=name)
    assert url["AuthType"] == "AWS_IAM"
    address = f"{deployed.cloud.endpoint}/_aws/lambda-url/{urlsplit(url['FunctionUrl']).netloc.split('.')[0]}/p/small/x"
    assert _status(deployed, address) == 403
    with person(deployed, "viewer"):
        assert _status(deployed, address, boto3.Session()) == 403

    path = f"/p/small/{quote(picture['key'])}"
    assert view(path)[0] == 302
    statements = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    assert {one["Principal"]["Service"] for one in statements} == {"cloudfront.amazonaws.com"}
    for one in statements:
        functions.remove_permission(FunctionName=name, StatementId=one["Sid"])
        try:
            assert view(path)[0] == 403
        finally:
            _put_back(functions, name, one)
    assert view(path)[0] == 302


def _status(deployed: Deployed, address: str, signer: boto3.Session | None = None) -> int:
    request = AWSRequest("GET", address)
    if signer:
        SigV4Auth(signer.get_credentials(), "lambda", REGION).add_auth(request)
    trust = ssl.create_default_context(cafile=deployed.cloud.variables()["AWS_CA_BUNDLE"])
    try:
        with urlopen(Request(address, headers=dict(request.headers)), context=trust) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def _put_back(functions: Any, name: str, statement: dict[str, Any]) -> None:
    how = {"InvokedViaFunctionUrl": True} if "Bool" in statement["Condition"] else {}
    functions.add_permission(
        FunctionName=name,
        StatementId=statement["Sid"],
        Action=statement["Action"],
        Principal=statement["Principal"]["Service"],
        SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
        **how,
    )


def test_what_breaks_leaves_nothing_and_renditions_are_shown(deployed, view, secret, picture):
    """Without a grant the viewer gets an error; with it again, the picture."""
    path = signed_path(secret, picture["key"], Options.of({"w": 80, "f": "webp"}))
    with FunctionRole(deployed, "deliver").without("s3:PutObject"):
        assert view(path)[0] >= 500
        assert view(f"/{quote(picture['renditions']['small']['key'])}")[0] == 200
    assert not any("w_80" in name for name in derived(deployed, picture["key"]))
    assert view(path)[0] == 200


def test_link_prints_a_url_that_opens(deployed, view, picture):
    """To who may read the row and the secret."""
    done = deployed.darkroom("link", picture["key"], "--width", "100", "--format", "webp", "--days", "1")
    assert done.returncode == 0, done.stderr
    status, headers, body = view(done.stdout.strip())
    assert (status, Image.open(io.BytesIO(body)).size) == (200, (112, 75))
    assert headers["cache-control"] == "public, max-age=3600"
    shown = deployed.darkroom("results", picture["key"]).stdout.replace("\n", "").replace(" ", "")
    assert quote(picture["renditions"]["small"]["key"]) in shown
