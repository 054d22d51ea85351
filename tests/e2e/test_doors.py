"""Who gets into the local cloud: the holder of its key or of one it gave out; no other user, and no web page."""

import hashlib
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

from darkroom.local.pictures import photo
from tests.browser import chromium
from tests.e2e.conftest import ALLOWED, Deployed

NOBODY = 65534

CALLER = "Action=GetCallerIdentity&Version=2011-06-15"
FOREIGN = "https://evil.example"
WEBSOCKET = ["--http1.1", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"]
WEBSOCKET += ["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]


class Stranger:
    """Another user of this machine, with curl. Where the tests do not run as root, the same user without the key."""

    def __init__(self, deployed: Deployed) -> None:
        self.cloud = deployed.cloud

    def curl(self, path: str, *options: str) -> tuple[int, str]:
        """The status and the body."""
        command = ["curl", "-sk", "-w", "\n%{http_code}", *options, self.cloud.endpoint + path]
        return self._answer(self.run(*command).stdout)

    def signed(self, service: str, key: str, path: str, *options: str) -> tuple[int, str]:
        """`key` is id:secret."""
        return self.curl(path, "--aws-sigv4", f"aws:amz:us-east-1:{service}", "--user", key, *options)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        user = NOBODY if os.geteuid() == 0 else None
        return subprocess.run(command, user=user, group=user, cwd="/", capture_output=True, text=True, check=False)

    @staticmethod
    def _answer(printed: str) -> tuple[int, str]:
        body, _, status = printed.rpartition("\n")
        return int(status), body


@pytest.fixture(scope="module")
def stranger(deployed: Deployed) -> Stranger:
    return Stranger(deployed)


@pytest.fixture(scope="module")
def key(deployed: Deployed) -> str:
    given = deployed.cloud.variables()
    return f"{given['AWS_ACCESS_KEY_ID']}:{given['AWS_SECRET_ACCESS_KEY']}"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/", [], 403),
        ("/", ["-d", CALLER], 403),
        ("/?" + CALLER, [], 403),
        ("/_ministack/reset", ["-X", "POST"], 403),
        ("/_ministack/config", ["-d", '{"lambda_svc.LAMBDA_EXECUTOR": "local"}'], 403),
        ("/_ministack/sqs/messages", [], 403),
        ("/_ministack/lambda-code/000000000000/us-east-1/any", [], 403),
        ("/_ministack/cfn-response/0", ["-X", "POST"], 403),
        ("/%5fministack/reset", ["-X", "POST"], 403),
        ("/_ministack/../_ministack/reset", ["-X", "POST", "--path-as-is"], 403),
        ("/_localstack/health", [], 403),
        ("/latest/meta-data/iam/security-credentials/", [], 403),
        ("/v2/_catalog", [], 403),
        ("/_aws/execute-api/00000000/x", [], 403),
        ("/_aws/execute-api/00000000/x", WEBSOCKET, 403),
        ("/_aws/execute-api/00000000/x", ["-X", "OPTIONS", "-H", f"Origin: {ALLOWED}"], 404),
        ("/_aws/execute-api/00000000/x", ["-X", "OPTIONS", "-H", f"Origin: {FOREIGN}"], 403),
        ("/_aws/execute-api/00000000/x", ["-X", "OPTIONS"], 403),
        ("/_aws/lambda-url/" + "0" * 32, ["-X", "OPTIONS", "-H", f"Origin: {ALLOWED}"], 403),
        ("/", ["-H", "X-Amz-Target: AWSCognitoIdentityProviderService.SignUp", "-d", "{}"], 400),
        ("/", ["-d", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken=a.b.c"], 403),
        ("/_ministack/health", ["-H", "Host: evil.example:{port}"], 421),
        ("/_ministack/health", ["-H", "Host: localhost.evil.example:{port}"], 421),
        ("/_ministack/health", ["-H", "Host: localhost:1"], 421),
        ("/_ministack/health", ["-H", "Host: localhost"], 421),
        ("/_ministack/health", ["-H", f"Origin: {FOREIGN}"], 403),
        ("/_ministack/health", ["-H", "Origin: null"], 403),
        ("/_ministack/health", ["-H", f"Origin: {ALLOWED}.evil.example"], 403),
        ("/x/y", ["-X", "OPTIONS", "-H", f"Origin: {FOREIGN}", "-H", "Access-Control-Request-Method: PUT"], 403),
        ("/x/y", ["-X", "OPTIONS"], 403),
    ],
)
def test_without_a_key_every_door_is_shut(
    path: str, options: list[str], status: int, version: str, stranger: Stranger, deployed: Deployed
):
    filled = [one.replace("{port}", str(deployed.cloud.port)) for one in options]
    assert stranger.curl(path, version, *filled)[0] == status
    assert deployed.aws.s3.list_buckets()["Buckets"], "it was reset"


@pytest.mark.parametrize(
    "key", ["test:wrong", "test:test", "000000000000:test", "123456789012:test", "AKIAIOSFODNN7EXAMPLE:x", "{id}:wrong"]
)
@pytest.mark.parametrize("service", ["sts", "s3"])
def test_no_key_of_ministacks_own_is_roots(service: str, key: str, stranger: Stranger, deployed: Deployed):
    key = key.format(id=deployed.cloud.variables()["AWS_ACCESS_KEY_ID"])
    body = ["-d", CALLER] if service == "sts" else []
    status, said = stranger.signed(service, key, "/", *body)
    assert status == 403
    assert ":root" not in said
    assert "<Bucket>" not in said


def test_the_root_key_opens(stranger: Stranger, key: str):
    """So that the refusals above are not just those of a cloud that answers nobody."""
    status, said = stranger.signed("sts", key, "/", "-d", CALLER)
    assert (status, "<Arn>arn:aws:iam::000000000000:root</Arn>" in said) == (200, True)
    assert stranger.curl("/_ministack/health")[0] == 200


def test_administration_is_shut_to_root_too(stranger: Stranger, key: str):
    """A browser or program that signs for somebody has no use for it."""
    assert stranger.signed("s3", key, "/_ministack/reset", "-X", "POST")[0] == 403


def test_a_functions_key_cannot_be_computed(deployed: Deployed, stranger: Stranger):
    """MiniStack alone makes it of the names of function and role, which anybody may know."""
    function = deployed.function("validate")
    digest = hashlib.sha256(f"{function['FunctionArn']}:{function['Role']}".encode()).hexdigest()
    secret, token = (hashlib.sha256(f"{word}:{digest}".encode()).hexdigest() for word in ("secret", "token"))
    deployed.picture("raw/doors/key.jpg", photo(40, 30))  # so that the function has a key
    key = f"ASIA{digest[:16].upper()}:{secret}"
    status, said = stranger.signed("sts", key, "/", "-d", CALLER, "-H", f"X-Amz-Security-Token: {token}")
    assert (status, "InvalidClientTokenId" in said) == (403, True)


def test_the_key_is_read_by_nobody_else(deployed: Deployed, stranger: Stranger):
    home = deployed.cloud.home
    assert (home / "root.json").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    if os.geteuid() == 0:
        assert "Permission denied" in stranger.run("cat", str(home / "root.json")).stderr
        environment = stranger.run("cat", f"/proc/{deployed.cloud.pid}/environ")
        assert "Permission denied" in environment.stderr
    shown = stranger.run("ps", "-p", str(deployed.cloud.pid), "-o", "args=").stdout
    assert deployed.cloud.variables()["AWS_SECRET_ACCESS_KEY"] not in shown


@pytest.fixture(scope="module")
def bucket(deployed: Deployed) -> str:
    return deployed.aws.output("UploadsBucketName")


def sent(deployed: Deployed, url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
    """With nothing but the address, as a browser or a colleague would."""
    trust = ssl.create_default_context(cafile=deployed.cloud.variables()["AWS_CA_BUNDLE"])
    request = urllib.request.Request(url, body, {name.replace("_", "-"): text for name, text in headers.items()})
    request.method = method
    try:
        with urllib.request.urlopen(request, context=trust) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_a_presigned_address_opens_what_it_was_made_for(version: str | None, deployed: Deployed, bucket: str):
    """In both versions that boto3 makes."""
    s3 = deployed.client("s3", config=Config(signature_version=version))
    where = {"Bucket": bucket, "Key": "doors/a b+é.jpg"}
    put = s3.generate_presigned_url("put_object", where)
    assert sent(deployed, put, "PUT", b"picture", Content_Type="") == 200
    get = s3.generate_presigned_url("get_object", where)
    assert sent(deployed, put, "PUT", Content_Type="", X_Amz_Copy_Source=f"/{bucket}/secret") == 403
    assert sent(deployed, put + f"&x-amz-copy-source=/{bucket}/secret", "PUT", Content_Type="") == 403
    assert sent(deployed, get + "&Action=ListUsers&Version=2010-05-08") == 403
    assert sent(deployed, get) == 200
    assert sent(deployed, get, Origin=ALLOWED) == 200
    assert sent(deployed, get, Origin=FOREIGN) == 403
    assert sent(deployed, get, "DELETE") == 403
    assert sent(deployed, get.replace("doors", "other")) == 403


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_the_bucket_may_be_named_in_the_host(version: str | None, deployed: Deployed, stranger: Stranger, bucket: str):
    """As on AWS. The name below `.localhost` is in the certificate, but not every program takes it for that."""
    key = deployed.picture("raw/doors/host.jpg", photo(40, 30))["key"]
    s3 = deployed.client("s3", config=Config(signature_version=version, s3={"addressing_style": "virtual"}))
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
    assert get.startswith(f"https://{bucket}.localhost:")
    for address, status in ((get, "200"), (get.partition("?")[0], "403")):
        assert stranger.run("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", address).stdout == status


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("path", "options", "status", "said"),
    [
        ("/{thumb}", ["-o", "/dev/null"], 200, ""),
        ("/{thumb}", ["-o", "/dev/null", "-H", f"Origin: {ALLOWED}"], 200, ""),
        ("/{thumb}", ["-H", f"Origin: {FOREIGN}"], 403, "Refused: sent by a web page"),
        ("/{thumb}", ["-d", ""], 403, "Missing"),
        ("/{thumb}", ["-X", "PUT"], 403, "Missing"),
        ("/{thumb}", ["-X", "DELETE"], 403, "Missing"),
        ("/{thumb}", ["-X", "OPTIONS", "-H", f"Origin: {ALLOWED}"], 403, "Missing"),
        ("/{thumb}", ["-H", "Host: nobodys.cloudfront.localhost:{port}"], 404, "no such distribution"),
        ("/{thumb}", ["-H", "Host: x.{host}"], 403, "Missing"),
        ("/{thumb}", ["-H", "Host: {label}.cloudfront.net:{port}"], 421, ""),
        ("/{thumb}", ["-H", "Host: {label}.cloudfront.localhost"], 421, ""),
        ("/", [], 403, "AccessDenied"),
        ("/?" + CALLER, [], 403, "AccessDenied"),
        ("/", ["-H", "X-Amz-Target: DynamoDB_20120810.ListTables"], 403, "AccessDenied"),
        ("/_ministack/sqs/messages", [], 403, "administration"),
        ("/_localstack/health", [], 403, "AccessDenied"),
        ("/_aws/lambda-url/{url}/p/thumb/x", [], 403, "AccessDenied"),
        ("/iceberg/v1/config", [], 403, "AccessDenied"),
        ("/v2/_catalog", [], 403, "AccessDenied"),
        ("/latest/meta-data/iam/security-credentials/", [], 403, "AccessDenied"),
        ("/{bucket}/{key}", [], 403, "AccessDenied"),
    ],
)
def test_a_viewer_reaches_the_distribution_and_nothing_else(
    path: str, options: list[str], status: int, said: str, version: str, stranger: Stranger, viewed: dict[str, str]
):
    """Whatever else the path would be for; and only where there is one, to look."""
    filled = [one.format(**viewed) for one in options]
    host = [] if any(one.startswith("Host") for one in filled) else ["-H", "Host: {host}".format(**viewed)]
    found = stranger.curl(path.format(**viewed), version, *host, *filled)
    assert (found[0], said in found[1]) == (status, True)


@pytest.fixture(scope="module")
def viewed(deployed: Deployed, bucket: str) -> dict[str, str]:
    """A picture, the distribution that shows it, and what no viewer may reach."""
    row = deployed.picture("raw/doors/viewed.jpg", photo(40, 30))
    host = deployed.aws.output("DeliveryUrl").removeprefix("https://")
    url = deployed.client("lambda").get_function_url_config(FunctionName=deployed.function("deliver")["FunctionName"])
    return {
        "thumb": row["renditions"]["thumb"]["key"],
        "key": row["key"],
        "bucket": bucket,
        "host": host,
        "label": host.partition(".")[0],
        "port": str(deployed.cloud.port),
        "url": url["FunctionUrl"].removeprefix("https://").partition(".")[0],
    }


def form(fields: dict[str, str]) -> tuple[bytes, str]:
    """The body of an upload by a form, and its type."""
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()
    ]
    parts.append('--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nbytes\r\n--edge--\r\n')
    return "".join(parts).encode(), "multipart/form-data; boundary=edge"


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_a_presigned_form_uploads_and_a_form_without_a_signature_does_not(
    version: str | None, deployed: Deployed, bucket: str
):
    s3 = deployed.client("s3", config=Config(signature_version=version))
    made = s3.generate_presigned_post(bucket, "doors/form.jpg")

    def posted(fields: dict[str, str], **headers: str) -> int:
        body, kind = form(fields)
        return sent(deployed, made["url"], "POST", body, Content_Type=kind, **headers)

    signature = "signature" if version is None else "x-amz-signature"
    unsigned = {name: text for name, text in made["fields"].items() if name in ("key", "policy")}
    assert posted(made["fields"]) == 204
    assert posted(made["fields"] | {"key": "doors/other.jpg"}) == 403
    assert posted(made["fields"] | {signature: "0" * 64}) == 403
    assert posted(unsigned) == 403
    assert posted({"key": "doors/other.jpg"}) == 403
    assert posted(unsigned | {signature: "0" * 64}) == 403
    assert posted(made["fields"], Content_Encoding="aws-chunked") == 403
    assert posted(made["fields"], X_Amz_Target="DynamoDB_20120810.ListTables") == 400
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="doors/other.jpg")


def test_only_an_allowed_page_may_ask_what_it_may_do(stranger: Stranger, bucket: str):
    """Then the bucket's own CORS configuration answers; this one has none."""
    asked = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"]
    status, said = stranger.curl(f"/{bucket}/key", *asked, "-H", f"Origin: {ALLOWED}")
    assert (status, "CORSResponse" in said) == (403, True)
    status, said = stranger.curl(f"/{bucket}/key", *asked, "-H", f"Origin: {FOREIGN}")
    assert (status, said.startswith("Refused: sent by a web page")) == (403, True)


# What a page of somebody else sends without asking first. It cannot read the answers, nor would it need to.
DRIVE_BY = """
async ([cloud, id]) => {
    const signed = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${id}/20261126/us-east-1/iam/aws4_request`
        + "&X-Amz-Date=20261126T000000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=0";
    const create = "Action=CreateUser&Version=2010-05-08&UserName=drive-by";
    const form = {"Content-Type": "application/x-www-form-urlencoded"};
    const sent = [];
    const send = (path, options) => sent.push(
        fetch(cloud + path, {mode: "no-cors", ...options}).then(answer => answer.type, error => "failed"));
    send(`/?${signed}`, {method: "POST", body: create, headers: form});
    send("/", {method: "POST", body: create, headers: form});
    send(`/?${create}&${signed}`, {});
    send("/_ministack/reset", {method: "POST"});
    const image = new Image();
    sent.push(new Promise(done => { image.onload = image.onerror = () => done("image"); }));
    image.src = `${cloud}/?${create}&${signed}`;
    const socket = new WebSocket(cloud.replace("https", "wss") + "/_aws/execute-api/00000000/x");
    sent.push(new Promise(done => { socket.onopen = () => done("open"); socket.onerror = () => done("shut"); }));
    return Promise.all(sent);
}
"""


@contextmanager
def somebodys_page() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("known", ["test", "root"])
def test_a_page_in_a_browser_that_trusts_everything_does_nothing(known: str, deployed: Deployed):
    """Not even one that knows the id of the root's key."""
    root = deployed.cloud.variables()["AWS_ACCESS_KEY_ID"]
    with somebodys_page() as address, chromium("--ignore-certificate-errors") as browser:
        page = browser.new_page()
        page.goto(address)
        sent = page.evaluate(DRIVE_BY, [deployed.cloud.endpoint, root if known == "root" else known])
    assert sent == ["opaque"] * 4 + ["image", "shut"], "none of it arrived, which proves nothing"
    assert "drive-by" not in {user["UserName"] for user in deployed.client("iam").list_users()["Users"]}
    assert deployed.aws.s3.list_buckets()["Buckets"], "it was reset"


@pytest.mark.skipif(not Path("/proc/self/net").exists(), reason="reads in /proc where a process listens")
def test_it_listens_nowhere_else(deployed: Deployed):
    """No port of MiniStack's, on which there is no gate."""
    pid = deployed.cloud.pid
    held = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()}
    tables = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
    ]
    listening = [row[1] for row in tables if row[3] == "0A" and f"socket:[{row[9]}]" in held]
    assert listening == [f"0100007F:{deployed.cloud.port:04X}"]


def test_env_hands_the_key_to_a_shell(deployed: Deployed):
    said = deployed.darkroom("env").stdout
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert f"export {name}={deployed.cloud.variables()[name]}\n" in said
    assert json.loads((deployed.cloud.home / "root.json").read_text())["secret"] in said
