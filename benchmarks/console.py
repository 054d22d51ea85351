"""How fast the page is, and how much memory its server takes, with thousands of rows and executions.

`python -m benchmarks.console` starts a local cloud of its own, deploys, uploads one photo, and fills the stack from
that: every further row is that photo's under another key, written to the table; every further execution is a real one
of the deployed state machine, started with an event that the row has already had, so that it ends as a duplicate. A
hundred rows are FAILED and have a letter each. The page runs as `darkroom console` in a process of its own.
"""

import argparse
import http.cookiejar
import json
import re
import shutil
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.report import Figure, show_figures
from darkroom.cli.terminal import say
from darkroom.local import cloud
from darkroom.local.deploy import deploy
from darkroom.local.pictures import photo
from darkroom.pipeline import uploads
from darkroom.pipeline.target import Target, local
from tests.browser import console

BAR_SECONDS = 2.0
BAR_MB = 400
ROUNDS = 5
LETTERS = 100
STATUSES = ("SUCCEEDED",) * 90 + ("REJECTED",) * 6 + ("FAILED",) * 2 + ("PROCESSING",) * 1 + ("DELETED",) * 1
ERRORS = {
    "REJECTED": {"code": "corrupt", "message": "JPEG that cannot be decoded: image file is truncated"},
    "FAILED": {"code": "Lambda.Unknown", "message": "the function died"},
}


def fill(target: Target, count: int) -> dict[str, Any]:
    """So many rows and executions, and the row of the photo that they are made from."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "photo.jpg")
        file.write_bytes(photo(2400, 1600))
        [end] = uploads.send_and_follow(target, {f"{target.upload_prefix}photo.jpg": file}, 120)
    assert end.row is not None
    assert end.status == "SUCCEEDED"
    now = datetime.now(UTC)
    with target.results.batch_writer() as batch:
        for number in range(count - 1):
            status = STATUSES[number % len(STATUSES)]
            at = (now - timedelta(seconds=2 * number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            row = {**end.row, "key": f"raw/{number % 97:02}/{number:05}.jpg", "status": status, "updated_at": at}
            if status in ERRORS:
                row |= {"error": ERRORS[status]}
            batch.put_item(Item=row)
    event = target.states.describe_execution(executionArn=end.row["execution"])["input"]
    machine = target.output("StateMachineArn")

    def start(number: int) -> None:
        given = json.loads(event)
        given["detail"]["object"]["key"] = f"raw/{number % 97:02}/{number:05}.jpg"
        target.states.start_execution(stateMachineArn=machine, input=json.dumps(given))

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(start, range(count - 1)))
    for number in range(LETTERS):
        key = f"raw/{number:02}/{number:05}.jpg"
        body = {"key": key, "bucket": "b", "error": ERRORS["FAILED"], "execution": end.row["execution"]}
        given = json.loads(event)
        given["detail"]["object"]["key"] = key
        target.sqs.send_message(
            QueueUrl=target.output("DeadLetterQueueUrl"),
            MessageBody=json.dumps({**body, "event": given}),
            MessageAttributes={"reason": {"DataType": "String", "StringValue": "FAILED"}},
        )
    return dict(end.row)


class Page:
    """As a browser asks: with the cookie that the address with the secret gives."""

    def __init__(self, address: str) -> None:
        self._base = address.partition("/?")[0]
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self._opener.open(address).read()

    def get(self, path: str) -> str:
        with self._opener.open(self._base + path) as answer:
            return str(answer.read().decode(errors="replace"))


def views(page: Page, row: dict[str, Any]) -> dict[str, str]:
    older = next_of(page.get("/executions"))
    arn = quote(row["execution"], safe="")
    for _ in range(60):
        older = next_of(page.get(older)) or older
    return {
        "results, the newest": "/results",
        "results, the second page": next_of(page.get("/results")),
        "results, one status": "/results?status=REJECTED",
        "results, a prefix": "/results?prefix=raw/42/",
        "results, a piece of a key": "/results?key=04999",
        "results, a piece that no key has": "/results?key=nowhere",
        "one picture": f"/picture?key={quote(row['key'])}",
        "executions, the newest": "/executions",
        "executions, the 61st page": older,
        "executions, one status": "/executions?status=FAILED",
        "executions, a key that no one has": "/executions?key=nowhere",
        "one execution": f"/execution?arn={arn}",
        "logs of one execution": f"/execution/logs?arn={arn}",
        "dead letters": "/letters",
        "before the redrive of all": "/letters/redrive?all=yes",
        "health, the last hour": "/health",
        "health, the last week": "/health?span=week",
        "upload": "/upload",
        "a rendition": f"/rendition?key={quote(row['renditions']['large']['key'])}",
        "an original": f"/original?key={quote(row['key'])}",
    }


def next_of(html: str) -> str:
    found = re.search(r'rel="next" href="([^"]*)"', html)
    return unescape(found[1]) if found else ""


def peak_mb(pid: int) -> float:
    """The most memory that the process ever held, as Linux counts it."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1000


def measure(page: Page, paths: dict[str, str]) -> list[tuple[str, float]]:
    """Of each view the slowest of some times, in seconds. What the page remembers of executions it may know from the
    walk to their 61st page."""
    measured = []
    for name, path in paths.items():
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            page.get(path)
            times.append(time.perf_counter() - began)
        measured.append((name, max(times)))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="rows, and as many executions")
    count = parser.parse_args().count
    home = Path(tempfile.mkdtemp(prefix="darkroom-console-"))
    running = cloud.start(home)
    try:
        deploy(running)
        target = local(running)
        began = time.perf_counter()
        row = fill(target, count)
        say(f"{count} rows, {count} executions, {LETTERS} letters: filled in {time.perf_counter() - began:.0f} s")
        with console(home, "--numeric") as served:  # Python finds no name below localhost
            page = Page(served.address)
            measured = measure(page, views(page, row))
            memory = peak_mb(served.pid)
    finally:
        cloud.stop(home)
        shutil.rmtree(home)
    figures = [Figure(f"{name}, s", slowest, BAR_SECONDS, form=".2f") for name, slowest in measured]
    figures.append(Figure("peak memory of the server, MB", memory, BAR_MB, form=".0f"))
    show_figures(figures)
    if not all(figure.met for figure in figures):
        sys.exit(1)


if __name__ == "__main__":
    main()
