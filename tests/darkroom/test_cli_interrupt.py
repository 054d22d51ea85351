"""Ctrl-C, sent to the real command while a real upload is under way: nothing is half done, and what is known is said.

The stack's outputs, table and queue are on a local cloud of its own; S3 is a server here that stops when it is told to.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote

import pytest

from darkroom.local import cloud, deploy
from darkroom.local.cloud import Cloud
from darkroom.pipeline.target import local
from tests.commands import started
from tests.darkroom.conftest import darkroom

TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
    },
}
STACK = {
    "Resources": {"Table": TABLE},
    "Outputs": {"ResultsTableName": {"Value": {"Ref": "Table"}}, "UploadsBucketName": {"Value": "uploads"}},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home = tmp_path_factory.mktemp("cloud")
    running = cloud.start(home)
    try:
        stacks = local(running).stacks
        stacks.create_stack(StackName="Darkroom", TemplateBody=json.dumps(STACK))
        stacks.get_waiter("stack_create_complete").wait(StackName="Darkroom", WaiterConfig={"Delay": 1})
        yield running
    finally:
        cloud.stop(home)


class S3(ThreadingHTTPServer):
    """Takes objects. Of one key it reads a little and waits; of another it reads all, and waits before it answers."""

    daemon_threads = True

    def __init__(self, *, halfway: str = "", unanswered: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.halfway, self.unanswered = halfway, unanswered
        self.whole: set[str] = set()
        self.cut: set[str] = set()
        self.waits, self.go_on, self.over = Event(), Event(), Event()
        Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: S3
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        key = unquote(self.path.partition("/uploads/")[2].partition("?")[0])
        left = int(self.headers["Content-Length"])
        if "100-continue" in self.headers.get("Expect", ""):
            self.send_response_only(100)
            self.end_headers()
        if key == self.server.halfway:
            left -= len(self.rfile.read(1000))
            self._wait()
        while left and (part := self._read(min(left, 1 << 16))):
            left -= len(part)
        if left:
            self.server.cut.add(key)
            self.server.over.set()
            self.close_connection = True
            return
        if key == self.server.unanswered:
            self._wait()
        self.server.whole.add(key)
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("x-amz-version-id", "v1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _wait(self) -> None:
        self.server.waits.set()
        assert self.server.go_on.wait(300)

    def _read(self, count: int) -> bytes:
        with suppress(OSError):
            return self.rfile.read(count)
        return b""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Nine pictures. The third is too large to be in the buffers on the way while nobody reads it."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in "abcdefghi":
        (folder / f"{name}.jpg").write_bytes(b"picture")
    with (folder / "c.jpg").open("wb") as large:
        large.truncate(64 << 20)
    return folder


def interrupted(stack: Cloud, s3: S3, *arguments: object) -> tuple[int, str, str]:
    """Run `darkroom upload`, send Ctrl-C when S3 waits, let S3 go on when the command has noticed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **stack.variables(),
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3.server_port}",
        "PYTHONUNBUFFERED": "1",
    }
    process = started("upload", *map(str, arguments), environment=environment)
    try:
        assert s3.waits.wait(300), process.communicate()
        process.send_signal(signal.SIGINT)
        said = []
        for line in process.stderr:
            said.append(line)
            if "no other upload begins" in line:
                s3.go_on.set()
        stdout = process.stdout.read()
        return process.wait(300), stdout, "".join(said)
    finally:
        s3.go_on.set()
        process.kill()
        s3.shutdown()


def test_an_upload_that_s3_has_half_of_is_given_up_and_said_to_be_missing(stack: Cloud, album: Path):
    s3 = S3(halfway="raw/c.jpg")
    code, stdout, stderr = interrupted(stack, s3, album)
    assert s3.over.wait(300)
    assert (code, stdout) == (130, "")
    assert s3.cut == {"raw/c.jpg"}
    in_s3, missing = said(stderr)
    assert in_s3 == s3.whole
    assert missing == {f"raw/{name}.jpg" for name in "abcdefghi"} - s3.whole
    assert "raw/i.jpg" in missing  # the ninth does not begin before one of the others has ended


def test_an_upload_that_s3_has_all_of_is_waited_for_and_said_to_be_there(stack: Cloud, album: Path):
    (album / "c.jpg").write_bytes(b"small")
    s3 = S3(unanswered="raw/c.jpg")
    code, _, stderr = interrupted(stack, s3, album, "--json")
    assert code == 130
    in_s3, missing = said(stderr)
    assert "raw/c.jpg" in in_s3
    assert in_s3 == s3.whole
    assert missing
    assert "Traceback" not in stderr


@pytest.mark.parametrize("command", ["up", "down"])
def test_ctrl_c_while_the_cloud_is_worked_on_says_what_runs(
    command: str, stack: Cloud, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("DARKROOM_HOME", str(stack.home))
    monkeypatch.setattr(deploy, "deploy", interrupt)
    monkeypatch.setattr(cloud, "stop", interrupt)
    result = darkroom(command)
    assert result.exit_code == 130
    assert f"Stopped. The local cloud runs at {stack.endpoint}" in result.stderr
    assert "`darkroom up` goes on" in result.stderr


def test_ctrl_c_while_the_cloud_starts_leaves_none(monkeypatch: pytest.MonkeyPatch):
    """Whose process was already there is ended."""

    def interrupt(_: Cloud) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cloud, "healthy", interrupt)
    result = darkroom("up", "--no-deploy")
    assert result.exit_code == 130
    assert "Stopped. The local cloud is not running" in result.stderr


def said(stderr: str) -> tuple[set[str], set[str]]:
    """The keys that the command says S3 has, and those it says are not uploaded."""
    found = {}
    for line in stderr.splitlines():
        what, _, keys = line.rpartition("): ")
        found[what.partition(",")[0].partition(":")[0]] = set(keys.split(", "))
    return found.get("In S3", set()), found.get("Not uploaded", set())
