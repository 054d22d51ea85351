"""The page's process: what it tells the browser, and when; and what the browser tells others."""

import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from darkroom.console import server
from darkroom.console.connection import Connection
from darkroom.errors import DarkroomError, TargetError
from darkroom.pipeline.target import Target
from tests.browser import chromium, console


def status(address: str, path: str) -> int:
    """Of the page's answer, by its name, which Python does not find."""
    host = urlsplit(address)
    asking = HTTPConnection("127.0.0.1", host.port, timeout=120)
    asking.request("GET", path, headers={"Host": host.netloc})
    return asking.getresponse().status


def test_the_browser_is_opened_on_the_running_page_and_not_told_the_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    """Every user of the machine sees what a process is started with. A browser in the terminal ends when it is left."""
    seen: dict[str, Any] = {}

    def browser(argument: str) -> None:
        try:
            seen["file"] = file = Path(urlsplit(argument).path)
            seen["mode"] = stat.S_IMODE(file.stat().st_mode)
            seen["address"] = re.findall(r"url=([^\"]*)", file.read_text())[0]
            seen["script"] = status(seen["address"], "/static/console.js")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def choose() -> Target:
        raise TargetError("no local cloud is running")

    monkeypatch.setattr("webbrowser.open", browser)
    server.run(Connection(choose, read_only=True), print, port=None, browser=True)
    assert seen["address"] == capsys.readouterr().out.strip()
    assert seen["script"] == 200
    assert seen["mode"] == 0o600
    assert not seen["file"].exists()


@contextmanager
def another_page(html: str) -> Iterator[tuple[int, list[str]]]:
    """Of somebody else on this machine: its port, and the cookies that it was sent."""
    cookies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cookies.append(self.headers.get("Cookie", ""))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """The tests' output is not its log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield other.server_port, cookies
        finally:
            other.shutdown()
            thread.join()


def test_no_other_port_is_sent_the_cookie_and_no_link_of_another_page_sends_it(tmp_path: Path):
    """Whoever else is on this machine may listen, and send the developer a link: back to this page it is refused."""
    with console(tmp_path) as served, chromium() as browser:
        [host] = re.findall(r"http://(darkroom-\w{16}\.localhost:\d+)/", served.address)
        opener = tmp_path / "opener.html"
        opener.write_text(f'<meta http-equiv="refresh" content="0; url={served.address}">')
        page = browser.new_page()
        page.goto(opener.as_uri())
        page.wait_for_url(served.at("/results"))
        assert "No local cloud is running" in page.content()
        with another_page(f'<a href="http://{host}/letters">Look</a>') as (port, cookies):
            page.goto(f"http://localhost:{port}/")
            page.goto(f"http://127.0.0.1:{port}/")
            assert set(cookies) == {""}
            with page.expect_navigation() as led:
                page.get_by_text("Look").click()
            assert led.value.status == 403
        page.goto(served.at("/results"))
        assert "No local cloud is running" in page.content()


def test_the_page_by_number_is_for_browsers_that_do_not_find_its_name(tmp_path: Path):
    with console(tmp_path, "--numeric") as served:
        assert served.address.startswith("http://127.0.0.1:")
        assert status(served.address, "/static/console.js") == 200


def test_nobody_else_listens_under_the_names_address():
    """A name below localhost is ::1 first, where another user may have taken the port before."""
    try:
        others = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")
    with others:
        taken = others.getsockname()[1]
        with pytest.raises(DarkroomError, match=f"port {taken} is taken"):
            server._listen(taken, numeric=False)
        [by_number] = server._listen(taken, numeric=True)
        by_number.close()
    ours = server._listen(None, numeric=False)
    assert {one.getsockname()[0] for one in ours} == {"127.0.0.1", "::1"}
    assert len({one.getsockname()[1] for one in ours}) == 1
    for one in ours:
        one.close()
