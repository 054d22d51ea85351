"""How fast the page and the commands that read rows are, and how much memory the page's server takes, with 5,000 and
with 100,000 rows.

`python -m benchmarks.console` starts a local cloud of its own, deploys, uploads one photo, and fills the stack from
that. Every further row is that photo's under another key, written into the data of the cloud while it is stopped. Every
further execution is a real one of the deployed state machine, started with an event that the row has already had, so
that it ends as a duplicate. A hundred rows are FAILED and have a letter each. The page runs as `darkroom console` in a
process of its own.
"""

import argparse
import http.cookiejar
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from benchmarks.report import Figure, show
from darkroom.cli.terminal import say
from darkroom.local import cloud
from darkroom.local.deploy import deploy
from darkroom.local.pictures import photo
from darkroom.pipeline import uploads
from darkroom.pipeline.target import Target, local
from tests.browser import console

ROWS = (5_000, 100_000)
EXECUTIONS = 5_000
BAR_SECONDS = 1.0
BAR_MB = 400
ROUNDS = 5
LETTERS = 100
STATUSES = ("SUCCEEDED",) * 90 + ("REJECTED",) * 6 + ("FAILED",) * 2 + ("PROCESSING",) * 1 + ("DELETED",) * 1
ERRORS = {
    "REJECTED": {"code": "corrupt", "message": "JPEG that cannot be decoded: image file is truncated"},
    "FAILED": {"code": "Lambda.Unknown", "message": "the function died"},
}
COMMANDS = {
    "darkroom results": "results",
    "darkroom results, one status": "results --status FAILED",
    "darkroom results, a prefix": "results --prefix 42/",
    "darkroom results, a prefix that no key has": "results --prefix nowhere/",
    "darkroom results, such a prefix and a time": "results --prefix nowhere/ --since 7d",
    "darkroom results, the newest 50 as JSON": "results --limit 50 --json",
    "darkroom results, one key": "results photo.jpg",
    "darkroom results, a mistyped key": "results 00/0009.jpg",
    "darkroom status": "status",
    "darkroom doctor": "doctor --quick",
    "darkroom executions": "executions --limit 20",
}


def first_row(target: Target) -> dict[str, Any]:
    """Of the photo that all others are made from."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "photo.jpg")
        file.write_bytes(photo(2400, 1600))
        [end] = uploads.send_and_follow(target, {f"{target.upload_prefix}photo.jpg": file}, 120)
    assert end.row is not None
    assert end.status == "SUCCEEDED"
    return dict(end.row)


def key_of(number: int) -> str:
    return f"raw/{number % 97:02}/{number:05}.jpg"


def write_rows(home: Path, numbers: range, newest: datetime) -> None:
    """Into what the cloud of that home, which is stopped, holds in its journal."""
    with closing(sqlite3.connect(home / "data" / "state" / "memory.sqlite")) as journal, journal:
        photos = (
            "SELECT store, key, part, value FROM records WHERE service = 'dynamodb' AND part LIKE '%raw/photo.jpg%'"
        )
        [[store, table, part, value]] = journal.execute(photos)
        _, sort = json.loads(part)
        rows = (copied(json.loads(value), number, newest) for number in numbers)
        records = ((store, table, json.dumps([row["key"]["S"], sort]), json.dumps(row)) for row in rows)
        journal.executemany("INSERT OR REPLACE INTO records VALUES ('dynamodb', ?, ?, ?, ?)", records)


def copied(row: dict[str, Any], number: int, newest: datetime) -> dict[str, Any]:
    """With DynamoDB's types."""
    status = STATUSES[number % len(STATUSES)]
    at = (newest - timedelta(seconds=2 * number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    changed: dict[str, Any] = {"key": {"S": key_of(number)}, "status": {"S": status}, "updated_at": {"S": at}}
    if status in ERRORS:
        changed["error"] = {"M": {name: {"S": text} for name, text in ERRORS[status].items()}}
    return {**row, **changed}


def start_executions(target: Target, row: Mapping[str, Any], count: int) -> None:
    """And a letter for some of them."""
    event = target.states.describe_execution(executionArn=row["execution"])["input"]
    machine = target.output("StateMachineArn")

    def given(number: int) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(event)
        read["detail"]["object"]["key"] = key_of(number)
        return read

    with ThreadPoolExecutor(8) as workers:
        started = workers.map(
            lambda number: target.states.start_execution(stateMachineArn=machine, input=json.dumps(given(number))),
            range(count),
        )
        list(started)
    for number in range(LETTERS):
        body = {"key": key_of(number), "bucket": "b", "error": ERRORS["FAILED"], "execution": row["execution"]}
        target.sqs.send_message(
            QueueUrl=target.output("DeadLetterQueueUrl"),
            MessageBody=json.dumps({**body, "event": given(number)}),
            MessageAttributes={"reason": {"DataType": "String", "StringValue": "FAILED"}},
        )


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
        "results, a prefix, the second page": next_of(page.get("/results?prefix=raw/42/")),
        "results, a prefix and a status": "/results?prefix=raw/42/&status=FAILED",
        "results, a prefix that no key has": "/results?prefix=raw/nowhere/",
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


def usual(act: Callable[[], object]) -> float:
    """The median of some times, in seconds: one of them may be slow by what else the machine does."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return median(took)


def run(home: Path, command: str) -> None:
    """In a process of its own, as a person runs it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    subprocess.run(
        [Path(sys.executable).parent / "darkroom", *command.split()],
        env={**environment, "DARKROOM_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,  # a mistyped key is no success
    )


def measured(home: Path, row: dict[str, Any]) -> Iterator[Figure]:
    """Each view and each command. The page may know executions from the walk to their 61st page."""
    with console(home, "--numeric") as served:  # Python finds no name below localhost
        page = Page(served.address)
        for name, path in views(page, row).items():
            yield Figure(f"{name}, s", usual(partial(page.get, path)), BAR_SECONDS, form=".2f")
        yield Figure("peak memory of the server, MB", peak_mb(served.pid), BAR_MB, form=".0f")
    for name, command in COMMANDS.items():
        yield Figure(f"{name}, s", usual(partial(run, home, command)), BAR_SECONDS, form=".2f")


def show_side_by_side(counts: list[int], figures: list[list[Figure]]) -> None:
    rows = []
    for alike in zip(*figures, strict=True):
        name, _, bar, _ = alike[0].row
        rows.append((name, *(one.row[1] for one in alike), bar, "yes" if all(one.met for one in alike) else "NO"))
    show(("figure", *(f"{count:,} rows" for count in counts), "bar", "met"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="how many, one after the other")
    parser.add_argument("--executions", type=int, default=EXECUTIONS)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="darkroom-console-"))
    figures: list[list[Figure]] = []
    try:
        running = cloud.start(home)
        deploy(running)
        row, newest = first_row(local(running)), datetime.now(UTC)
        there = 0
        for count in asked.rows:
            cloud.stop(home)
            write_rows(home, range(there, count - 1), newest)
            running = cloud.start(home)
            if not there:
                start_executions(local(running), row, asked.executions)
            there = count - 1
            say(f"{count:,} rows, {asked.executions:,} executions, {LETTERS} letters")
            figures.append(list(measured(home, row)))
    finally:
        cloud.stop(home)
        shutil.rmtree(home)
    show_side_by_side(asked.rows, figures)
    if not all(figure.met for some in figures for figure in some):
        sys.exit(1)


if __name__ == "__main__":
    main()
