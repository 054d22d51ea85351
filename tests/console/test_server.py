"""The page's process: what it tells the browser, and when."""

import os
import re
import signal
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from darkroom.console import server
from darkroom.console.connection import Connection
from darkroom.errors import TargetError
from darkroom.target import Target


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
            seen["script"] = urlopen(seen["address"].partition("?")[0] + "static/console.js", timeout=120).status
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def choose() -> Target:
        raise TargetError("no local cloud is running")

    monkeypatch.setattr("webbrowser.open", browser)
    server.run(Connection(choose, read_only=True), port=None, browser=True)
    assert seen["address"] == capsys.readouterr().out.strip()
    assert seen["script"] == 200
    assert seen["mode"] == 0o600
    assert not seen["file"].exists()
