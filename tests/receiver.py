"""Who is told by the webhook: an HTTP server of this machine that remembers what it was sent."""

import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TAKEN, SILENT = 204, 0


@dataclass(frozen=True)
class Sent:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver:
    """Takes every event, but for those of keys that it has `answers` for: these come first, one each time. SILENT is
    none at all, until the receiver ends."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/darkroom?from=tests"
        self.answers: dict[str, list[int]] = {}
        self._sent: dict[str, list[Sent]] = defaultdict(list)
        self.ended = threading.Event()

    def of(self, key: str) -> list[Sent]:
        """What it was sent of that picture, in this order."""
        return list(self._sent[key])

    def answer(self, sent: Sent) -> int:
        key = sent.event["detail"]["key"]
        self._sent[key].append(sent)
        return self.answers[key].pop(0) if self.answers.get(key) else TAKEN


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """On an open port of 127.0.0.1, or on `localhost` with TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiving.answer(Sent(self.path, dict(self.headers), body))
            if status == SILENT:
                receiving.ended.wait()
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", receiving.url)
            self.end_headers()
            if status != TAKEN:
                self.wfile.write(b"no " * 1000)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiving = Receiver(f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiving
    finally:
        receiving.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
