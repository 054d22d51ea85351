"""Who may call the local cloud: whoever holds its root key, or a key that it has given out.

By itself MiniStack lets everybody in. It takes a request without a signature, the key id `test` and every number of 12
digits for the account's root, and checks no signature of root's. Its endpoints for administration ask nobody, and it
answers to any Host and to any web page. So the gate stands before it, in the same process, and calls its own
verification of signatures before anything else of it.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHORT = 1024 * 1024  # bytes

HEALTH = "/_ministack/health"

# CloudFormation waits for these. Their last part is a random number that only who is to answer was told, as on AWS the
# signature of an address in S3 is.
ANSWERS = ("/_ministack/cfn-response/", "/_ministack/cfn-signal/")

# MiniStack's own, LocalStack's, and those with which MiniStack reaches what would have a host of its own on AWS.
NO_BUCKET = ("/_", "/restapis/", "/iceberg", "/login")
HTTP_APIS = "/_aws/execute-api/"
BUCKET = re.compile(r"/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/?")


class Gate:
    """A request gets as far as MiniStack if its Host is this machine's own name and port, its Origin is none or one of
    `origins`, and it has the signature of a key that MiniStack knows.

    Without a signature come: the question whether it is healthy, a function's answer to CloudFormation, an upload by a
    form, which MiniStack verifies itself, and an allowed page's question what it may ask (CORS). So do viewers, whose
    GET and HEAD go to a distribution of CloudFront and nowhere else: MiniStack's other endpoints do not see them.

    What AWS serves without a signature is refused nevertheless: STS with a token of somebody else's, of which MiniStack
    does not verify the signature; Cognito; and objects, APIs and function URLs that are open to everybody. Those which
    ask for a caller of their own would be let in by `_open`.
    """

    def __init__(self, app: ASGIApp, *, port: int, root: str, origins: Iterable[str] = ()) -> None:
        """`root` is the id of the root's key."""
        self._app, self._root, self._origins = app, root, frozenset(origins)
        self._host = re.compile(rf"(127\.0\.0\.1|([a-z0-9_-]+\.)*localhost):{port}", re.IGNORECASE)
        self._distribution = re.compile(rf"([a-z0-9]+)\.cloudfront\.localhost:{port}", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        call = Call(scope, receive)
        answer = self._stranger(call)
        if answer is None and (viewed := self._viewed(call)):
            answer = await _view(call, viewed)
        if answer is None and not await self._open(call):
            answer = await self._unverified(call)
        if answer is None:
            await self._app(scope, call.receive, send)
        else:
            await call.heard_out()
            await answer(scope, call.receive, send)

    def _stranger(self, call: "Call") -> Response | None:
        """What is refused whoever signed it."""
        if not self._host.fullmatch(call.headers.get("host", "")):
            return PlainTextResponse("The local cloud answers to localhost and its port only.", 421)
        if "origin" in call.headers and call.headers["origin"] not in self._origins:
            said = "Refused: sent by a web page, which DARKROOM_ALLOWED_ORIGINS did not name when `darkroom up` ran."
            return PlainTextResponse(said, 403)
        if call.path.startswith("/_ministack/") and call.path != HEALTH and not call.path.startswith(ANSWERS):
            return PlainTextResponse("Refused: administration of the emulator.", 403)
        return None

    def _viewed(self, call: "Call") -> str | None:
        """The label of the distribution that a viewer asks."""
        found = self._distribution.fullmatch(call.headers["host"])
        return found[1].lower() if found and call.method in ("GET", "HEAD") else None

    async def _open(self, call: "Call") -> bool:
        """Whether it needs no signature."""
        if call.path == HEALTH:
            return call.method in ("GET", "HEAD")
        if call.path.startswith(ANSWERS):
            return call.method == "PUT"
        plain = call.headers["host"].lower().startswith(("localhost:", "127.0.0.1:"))
        if call.method == "OPTIONS":
            answers_itself = call.path.startswith(HTTP_APIS) or not call.path.startswith(NO_BUCKET)
            return plain and "origin" in call.headers and answers_itself
        return plain and await _signed_form(call)

    async def _unverified(self, call: "Call") -> Response | None:
        """The refusal of a call without the signature of a key that is known, as its service words it."""
        from ministack.core.iam_actions import access_denied_response
        from ministack.core.router import detect_service

        refused = await self._failure(call)
        if refused is None:
            return None
        service = detect_service(call.method, call.path, call.headers, call.query)
        code, message = refused
        status, headers, body = access_denied_response(
            service, "", "", "", error_code=code, message=message, headers=call.headers
        )
        return Response(body, status, headers)

    async def _failure(self, call: "Call") -> tuple[str, str] | None:
        """Why MiniStack does not know whose signature it is."""
        from ministack.core import iam_evaluator as iam
        from ministack.core.responses import get_account_id, set_request_account_id
        from ministack.core.router import extract_access_key_id
        from ministack.services import s3

        key = extract_access_key_id(call.headers, call.query)
        if not key:
            return "MissingAuthenticationToken", "Missing Authentication Token"
        unknown = "UnrecognizedClientException", "The security token included in the request is invalid."
        if iam.is_root_access_key(key) and key != self._root:
            return unknown
        if added := call.added_headers():
            return "AccessDenied", f"There were headers present in the request which were not signed: {added}"
        set_request_account_id(iam.find_iam_access_key_account(key) or key)
        if isinstance(iam.resolve_credential(key), iam.CredentialResolutionError):
            return unknown  # before anything of a body is kept for whom nobody knows
        iam.pin_signed_request(call.method, call.raw_path, call.query, call.raw_headers)
        pinned = iam._signed_request.get()
        if pinned is not None and pinned.s3_scoped:
            if s3._verify_presigned_sigv4(call.method, call.path, call.headers, call.query) is None:
                return None
            return "SignatureDoesNotMatch", "The presigned address has expired, or its signature does not match."
        if pinned is not None and pinned.sigv2 and not call.is_plainly_for_s3():
            return "AccessDenied", "Version 2 does not sign all of this request: sign it by version 4."
        if call.hash_is_of_the_body:
            iam.pin_signed_body(await call.body())
        verified = iam.authenticate(key, get_account_id())
        if isinstance(verified, iam.ResolvedCredential):
            return None
        return unknown if verified is None else (verified.code, verified.message)


class Call:
    """A request or the handshake of a WebSocket, read as MiniStack reads it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._websocket = scope["type"] == "websocket"
        self._receive, self._kept = receive, list[Message]()
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.raw_path: str = (scope.get("raw_path") or quote(self.path).encode()).decode("latin-1")
        self.query_string: str = scope.get("query_string", b"").decode(errors="replace")
        self.query = parse_qs(self.query_string, keep_blank_values=True)
        self.raw_headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.headers: dict[str, str] = {}
        for name, value in self.raw_headers:
            key, text = name.decode("latin-1").lower(), _text(value)
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def added_headers(self) -> str:
        """With these the holder of a presigned address would make another call of it. AWS refuses them too."""
        names = {name.lower(): values[0] for name, values in self.query.items()}
        if "x-amz-signedheaders" not in names:
            return ""
        signed = names["x-amz-signedheaders"].split(";")
        return ", ".join(name for name in self.headers if name.startswith("x-amz-") and name not in signed)

    def is_plainly_for_s3(self) -> bool:
        """Else the holder of a presigned address of version 2, which signs few parameters, could add some to it."""
        from ministack.core.router import detect_service

        names = {name.lower() for name in self.query} - {"x-amz-security-token"}
        added = any(name.startswith("x-amz-") for name in names)
        return not added and detect_service(self.method, self.path, self.headers, self.query) == "s3"

    @property
    def hash_is_of_the_body(self) -> bool:
        """Whether the signature can only be verified with the body at hand."""
        said = self.headers.get("x-amz-content-sha256", "")
        return not self._websocket and (not said or said.startswith("STREAMING-AWS4"))

    async def body(self) -> bytes:
        """All of it. `receive` will give it once more."""
        while True:
            message = await self._receive()
            self._kept.append(message)
            if not message.get("more_body"):
                return b"".join(one.get("body", b"") for one in self._kept)

    async def heard_out(self) -> None:
        """Read a short body to its end: a client that is still sending may see a broken connection and no refusal."""
        length = self.headers.get("content-length", "")
        if not self._kept and length.isdecimal() and 0 < int(length) <= SHORT:
            await self.body()

    async def receive(self) -> Message:
        return self._kept.pop(0) if self._kept else await self._receive()


async def _view(call: Call, label: str) -> Response:
    """The distribution's own answer."""
    from ministack.core import iam_evaluator as iam
    from ministack.services import cloudfront

    distribution = cloudfront.find_distribution_for_label(label)
    if distribution is None:
        return PlainTextResponse("There is no such distribution.", 404)
    iam.pin_request_origin("127.0.0.1", True)  # over TLS, which the bucket's policy asks for
    status, headers, body = await cloudfront.handle_viewer_request(
        distribution,
        call.method,
        call.path,
        call.raw_path,
        call.query_string,
        {**call.headers, "x-forwarded-proto": "https"},  # this server speaks nothing else
        b"",
        call.query,
    )
    return Response(body if call.method == "GET" else b"", status, headers)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _signed_form(call: Call) -> bool:
    """Whether it is an upload by a form with a signature. MiniStack verifies that, but asks for none."""
    from ministack.services import s3

    kind = call.headers.get("content-type", "")
    form = call.method == "POST" and kind.startswith("multipart/form-data") and not call.query
    if not form or not BUCKET.fullmatch(call.path) or call.path.startswith(NO_BUCKET):
        return False
    if any(name.startswith("x-amz-") or name in ("authorization", "content-encoding") for name in call.headers):
        return False  # MiniStack might read another body than the one that is read here, or take it for another call
    names = {name.lower() for name, *_ in s3._parse_multipart_form(kind, await call.body()) if name != "file"}
    return bool(names & {"x-amz-signature", "signature"})


def verify_roots_signature() -> None:
    """Let MiniStack verify root's signature as it does everybody's. Root without a name is MiniStack itself."""
    from ministack.core import iam_evaluator

    iam_evaluator._is_root_key = lambda access_key_id: not access_key_id


def salt_the_functions_keys(salt: str) -> None:
    """Let nobody compute a function's key. MiniStack makes it of the names of the function and its role, no more.

    The salt goes before the role's name, of which MiniStack then reads only what follows the last slash.
    """
    from ministack.core import lambda_runtime

    keys_of = lambda_runtime.execution_credentials

    def salted(function: dict[str, Any]) -> dict[str, str]:
        key: dict[str, str] = keys_of({**function, "Role": f"{salt}/{function.get('Role', '')}"})
        return key

    lambda_runtime.execution_credentials = salted
