"""The application's own server: it serves the page, and passes two routes of the API on, signed with its own role.

A browser has no AWS credentials, and must not get any. This server has: it decides who may upload, and signs for them.

    DARKROOM_API_URL=… AWS_REGION=… python server.py 3000
"""

import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

API = os.environ["DARKROOM_API_URL"]
ALLOWED = re.compile(r"POST /v1/uploads|GET /v1/pictures/[^?]+")
PASSED_ON = ("Content-Type", "Idempotency-Key", "Prefer", "If-None-Match")
PAGE = Path(__file__).with_name("index.html")

credentials = botocore.session.Session().get_credentials()
trust = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))  # the local cloud's authority


class Application(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/":
            self.reply(200, "text/html", PAGE.read_bytes())
        else:
            self.pass_on(None)

    def do_POST(self) -> None:
        self.pass_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def pass_on(self, body: bytes | None) -> None:
        # Here your application asks who this is, and whether they may.
        if not ALLOWED.fullmatch(f"{self.command} {self.path}"):
            return self.reply(404, "application/json", b'{"message": "Not Found"}')
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        request = AWSRequest(self.command, API + self.path, headers, body)
        SigV4Auth(credentials, "execute-api", os.environ["AWS_REGION"]).add_auth(request)
        try:
            signed = urllib.request.Request(request.url, body, dict(request.headers), method=self.command)
            with urllib.request.urlopen(signed, context=trust) as answer:
                return self.reply(answer.status, answer.headers["Content-Type"], answer.read())
        except urllib.error.HTTPError as refused:
            return self.reply(refused.code, refused.headers["Content-Type"], refused.read())

    def reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Application) as server:
        print(f"http://localhost:{server.server_port}", flush=True)  # noqa: T201
        server.serve_forever()
