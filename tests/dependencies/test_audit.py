"""The audit fails on a known vulnerability, passes without one, and says in one line when it could not ask."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dependencies import audit as auditing
from dependencies.audit import audit
from dependencies.locks import LOCKS, NODE, PYTHON, ROOT, Package, of_node

PACKAGES = [Package(PYTHON, "sound", "1.0"), Package(PYTHON, "rotten", "2.0"), Package(NODE, "rotten", "2.0")]


@contextmanager
def service(answers: Callable[[list[dict]], bytes]) -> Iterator[str]:
    """A server of OSV's form on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers(queries))

        def log_message(self, *_: object) -> None:
            """The tests' output is not its log."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def of_python_is_known(queries: list[dict]) -> bytes:
    rotten = {"package": {"ecosystem": PYTHON, "name": "rotten"}, "version": "2.0"}
    vulns = [{"vulns": [{"id": "GHSA-1", "modified": "2026-01-01"}]} if one == rotten else {} for one in queries]
    return json.dumps({"results": vulns}).encode()


def test_a_known_vulnerability_fails_and_is_named():
    """With the package and version it is of, and of no other of that name."""
    with service(of_python_is_known) as url:
        code, says = audit(PACKAGES, url)
    assert code == 1
    assert says.splitlines()[1:] == ["rotten 2.0: GHSA-1"]


def test_one_that_was_accepted_does_not_fail(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(auditing.ACCEPTED, "GHSA-1", "it is of a feature that nobody calls")
    with service(of_python_is_known) as url:
        assert audit(PACKAGES, url) == (0, "no known vulnerability in 3 packages")


def test_none_is_said_with_how_many_were_looked_at():
    with service(lambda queries: json.dumps({"results": [{} for _ in queries]}).encode()) as url:
        assert audit(PACKAGES, url) == (0, "no known vulnerability in 3 packages")


@pytest.mark.parametrize("answer", [b"<html>please log in</html>", b"{}", b"[]", b'{"results": []}'])
def test_what_is_no_answer_is_not_taken_for_one(answer):
    """A page of a network that wants a password, or anything else in the way."""
    with service(lambda _: answer) as url:
        code, says = audit(PACKAGES, url)
    assert code == 0
    assert says.startswith("vulnerabilities were NOT looked up, in 3 packages: OSV could not be asked: ")
    assert "\n" not in says


def test_without_a_network_it_says_that_it_could_not_look():
    """Port 9 of this machine answers nobody."""
    code, says = audit(PACKAGES, "http://127.0.0.1:9")
    assert (code, says.partition(",")[0]) == (0, "vulnerabilities were NOT looked up")


def test_what_it_says_is_the_last_line_of_make_check():
    """Where nobody overlooks it."""
    commands = subprocess.run(["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert commands.stdout.splitlines()[-1] == ".venv/bin/python -m dependencies.audit"


def test_every_lock_file_is_asked_about():
    found = [*ROOT.glob("requirements*.txt"), *ROOT.glob("*/requirements*.txt")]
    assert {str(lock.relative_to(ROOT)) for lock in found} == set(LOCKS)
    assert [one.name for one in of_node()] == ["aws-cdk", "axe-core", "jsonata"]
