"""Who may ask: the browser that was given the address, and no page of somebody else in it."""

import hmac

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A browser that opens the address with the secret comes from another site, and so does not send a strict cookie yet.
# This page, which shows nothing, sends it on from our own site.
ENTRANCE = "/entrance"
GO_ON = (
    '<!doctype html><html lang="en"><title>Darkroom</title><meta http-equiv="refresh" content="0; url=/results">'
    '<a href="/results">Darkroom</a>'
)

# A page loads nothing from another host, and has no script or style inside it. What a bucket holds runs nowhere:
# files.py adds that to each file.
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

    `host` is the page's name and port. It is checked because a name of somebody else may be made to point here (DNS
    rebinding); the Origin of every POST because a page of somebody else may hold a form that is sent here; and a strict
    cookie is sent with no link of another page. The secret keeps out the other users of this machine, who reach the
    port too. With `read_only` nothing but reading gets as far as a view.
    """

    def __init__(self, app: ASGIApp, *, host: str, secret: str, read_only: bool) -> None:
        self._app, self._host, self._secret, self._read_only = app, host, secret, read_only
        self._cookie = f"darkroom-{host.rpartition(':')[2]}"  # a browser keeps one jar for all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, self._with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("host") != self._host:
            return PlainTextResponse("This page has one address: the one that `darkroom console` prints.", 421)
        if request.method == "POST":
            if request.headers.get("origin") != f"http://{self._host}":
                return PlainTextResponse("Refused: this was sent by another page.", 403)
            if self._read_only:
                return PlainTextResponse("Refused: this page is read-only (`darkroom console --read-only`).", 403)
        elif request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Refused.", 405)
        if request.url.path == ENTRANCE:
            return HTMLResponse(GO_ON)
        if self._known(request.cookies.get(self._cookie)) or request.url.path.startswith("/static/"):
            return None
        if request.method != "POST" and self._known(request.query_params.get("secret")):
            answer = RedirectResponse(ENTRANCE, 303)
            answer.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
            return answer
        return PlainTextResponse(
            "Open the whole address that `darkroom console` printed: it ends in a secret. Or, if a link of another page"
            " led here, load this again from the address bar.",
            403,
        )

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
