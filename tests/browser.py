"""Chromium, as the tests and the screenshots drive it, and the page that they open in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    found = shutil.which(os.environ.get("CHROMIUM") or "chromium")
    if found is None:
        raise RuntimeError("no Chromium on the PATH or at CHROMIUM: `make browser` says how to install it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Served:
    address: str  # with the secret
    pid: int

    def at(self, path: str) -> str:
        return self.address.partition("/?")[0] + path

    def enter(self, page: Any) -> None:
        """With the secret, and through the entrance."""
        page.goto(self.address)
        page.wait_for_url(self.at("/results"))


@contextmanager
def console(home: Path, *options: str) -> Iterator[Served]:
    """`darkroom console` for the cloud of that home, in a process of its own."""
    command = [str(Path(sys.executable).parent / "darkroom"), "console", "--no-browser", *options]
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        command, env={**env, "DARKROOM_HOME": str(home)}, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None  # it was asked for
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), "the console says where it is"
        yield Served(address, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=120)


def serious_violations(page: Any) -> list[str]:
    """What axe-core finds on the page as it stands: those that keep somebody out."""
    # Run by the browser's own debugger: the page's policy forbids scripts that are not its own, and keeps doing so.
    page.evaluate(AXE.read_text() + "; undefined")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
