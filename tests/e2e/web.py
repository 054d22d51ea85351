"""Requests as another program sends them, with nothing but the address."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.e2e.conftest import Deployed


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        return self.status, self.json["code"]


def web(deployed: Deployed, method: str, url: str, body: bytes | None = None, headers: Any = None) -> Answer:
    """A name below `.localhost` is this machine, as browsers have it; Python asks the system, which may not know."""
    trust = ssl.create_default_context(cafile=deployed.cloud.variables()["AWS_CA_BUNDLE"])
    host = urlsplit(url).netloc
    request = urllib.request.Request(url.replace(host, f"localhost:{deployed.cloud.port}"), body, method=method)
    for name, text in {**(headers or {}), "Host": host}.items():
        request.add_header(name, text)
    try:
        with urllib.request.urlopen(request, context=trust) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.headers, refused.read())


def form(deployed: Deployed, promised: Any, data: bytes, **fields: str | None) -> Answer:
    """An upload by the form that was promised, with some fields changed, or left out."""
    chosen = {name: text for name, text in {**promised["fields"], **fields}.items() if text is not None}
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in chosen.items()
    ]
    file = '--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = "".join([*parts, file]).encode() + data + b"\r\n--edge--\r\n"
    return web(
        deployed, promised["method"], promised["url"], body, {"Content-Type": "multipart/form-data; boundary=edge"}
    )
