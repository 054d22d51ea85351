"""Who may ask: the browser that was given the address, and no page of somebody else in it."""

import hmac
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"

# Nothing from another host, no script or style inside a page. Pictures are shown, and whatever else a bucket holds runs
# nowhere: files.py says so for each once more.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # "no-referrer" would take the Origin out of forms, which is checked here
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Nobody but the browser that was given the address with the secret in it gets an answer, whatever page it shows.

    The Host is checked because a name of somebody else may be made to point here (DNS rebinding); the Origin of every
    POST because a page of somebody else may hold a form that is sent here. The secret keeps out the other users of this
    machine, who reach the port too. With `read_only` nothing but reading gets as far as a view.
    """

    def __init__(self, app: ASGIApp, *, port: int, secret: str, read_only: bool) -> None:
        self._app, self._secret, self._read_only = app, secret, read_only
        self._hosts = {f"{LOOPBACK}:{port}", f"localhost:{port}"}
        self._cookie = f"darkroom-{port}"  # a browser keeps one jar for all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, self._with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("host") not in self._hosts:
            return PlainTextResponse("This page has one address: the one that `darkroom console` prints.", 421)
        if request.method == "POST":
            origin = request.headers.get("origin", "")
            if not origin.startswith("http://") or origin.removeprefix("http://") not in self._hosts:
                return PlainTextResponse("Refused: this was sent by another page.", 403)
            if self._read_only:
                return PlainTextResponse("Refused: this page is read-only (`darkroom console --read-only`).", 403)
        elif request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Refused.", 405)
        if self._known(request.cookies.get(self._cookie)) or request.url.path.startswith("/static/"):
            return None
        if request.method != "POST" and self._known(request.query_params.get("secret")):
            rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "secret"])
            answer = RedirectResponse(f"{request.url.path}?{rest}".rstrip("?"), 303)
            # Not "strict": the browser comes from a file, and would not send that cookie on. A POST has its Origin.
            answer.set_cookie(self._cookie, self._secret, httponly=True, samesite="lax")
            return answer
        return PlainTextResponse("Open the whole address that `darkroom console` printed: it ends in a secret.", 403)

    def _known(self, secret: str | None) -> bool:
        return hmac.compare_digest((secret or "").encode(), self._secret.encode())

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(one for one in more if one[0] not in given)]
            await send(message)

        return sending
