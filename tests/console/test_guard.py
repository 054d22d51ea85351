"""Who gets an answer, and what a page may do in the browser."""

import pytest
from starlette.testclient import TestClient

from darkroom.console.guard import ENTRANCE
from tests.console.conftest import HOST, SECRET, Open

PORT = HOST.partition(":")[2]


def test_without_the_secret_nothing_is_shown(page: TestClient):
    """Other users of this machine reach the port too."""
    page.cookies.clear()
    assert page.get("/results").status_code == 403
    assert page.get("/results", params={"secret": "wrong"}).status_code == 403
    assert page.post("/letters/redrive", data={"all": "yes"}).status_code == 403
    assert page.post("/letters/redrive", params={"secret": SECRET}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/results", "//evil.example/", "/%2fevil.example/", "/\\evil.example/"])
def test_the_secret_leaves_the_address_at_once(page: TestClient, path):
    """Or it would be in the history and in what is bookmarked. It leads to the page, whatever the address says more."""
    page.cookies.clear()
    answer = page.get(f"http://{HOST}{path}", params={"secret": SECRET, "status": "FAILED"})
    assert (answer.status_code, answer.headers["location"]) == (303, ENTRANCE)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "domain" not in cookie
    assert "samesite=strict" in cookie
    assert page.get("/results").status_code == 200


def test_the_entrance_leads_on_and_tells_nothing(page: TestClient):
    """Whoever asks: the cookie that was just given is not sent yet by one who comes from elsewhere."""
    page.cookies.clear()
    answer = page.get(ENTRANCE)
    assert 'content="0; url=/results"' in answer.text
    assert "set-cookie" not in answer.headers


OTHERS = [
    "evil.example",
    f"evil.example:{PORT}",
    "127.0.0.1",
    f"127.0.0.1:{PORT}",
    f"localhost:{PORT}",
    f"darkroom-0.localhost:{PORT}",
    HOST.partition(":")[0],
    f"x.{HOST}",
]


@pytest.mark.parametrize("host", OTHERS)
def test_another_name_for_this_machine_gets_nothing(page: TestClient, host):
    """A name that somebody else points here (DNS rebinding) would be their origin, with our answers."""
    assert page.get("/results", headers={"host": host}).status_code == 421
    assert page.get("/static/console.css", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", f"https://{HOST}", f"http://{HOST}1", f"http://127.0.0.1:{PORT}"]
)
@pytest.mark.parametrize("path", ["/upload", "/letters/redrive", "/letters/redrives/1/stop"])
def test_a_form_of_another_page_is_refused(page: TestClient, path, origin):
    """Though the browser sends our cookie along."""
    assert page.post(path, data={"all": "yes"}, headers={"origin": origin}).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(page: TestClient, method):
    assert page.request(method, "/results").status_code == 405


@pytest.mark.parametrize("path", ["/results", "/nowhere", "/static/console.js", "/original?key=nothing"])
def test_every_answer_says_what_it_may_do(page: TestClient, path):
    """No script or style in a page, none of another host, nobody's frame; nothing is guessed from content."""
    headers = page.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_no_view_needs_what_the_policy_forbids(page: TestClient):
    """No style or handler in an attribute, no script in the page."""
    for path in ("/results", "/executions", "/upload", "/letters", "/health", "/nowhere"):
        html = page.get(path).text
        assert " style=" not in html
        assert " onclick=" not in html
        assert "<script>" not in html


def test_read_only_refuses_every_post(open_page: Open):
    """Before any view is asked."""
    page = open_page(read_only=True)
    for path in ("/upload", "/letters/redrive", "/letters/redrives/1/stop", "/results"):
        answer = page.post(path, data={"all": "yes"})
        assert (answer.status_code, "read-only" in answer.text) == (403, True)
