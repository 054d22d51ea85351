"""The policies of docs/policies are enough for every command, are the least, and keep a viewer from changing anything.

What `darkroom smoke` needs beyond them is tried with its own run, in `test_smoke.py`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from darkroom.console.connection import Connection
from darkroom.console.pages import ENOUGH
from darkroom.console.server import application
from darkroom.local import cloud
from darkroom.local.pictures import photo
from darkroom.pipeline import backfill as backfills
from darkroom.pipeline.target import STACK, choose
from tests.darkroom.conftest import darkroom
from tests.e2e.conftest import Deployed, FunctionRole, eventually
from tests.e2e.filled import lost_events
from tests.e2e.people import granted, person

KEY = "raw/policies/photo.jpg"


@pytest.fixture(scope="module")
def row(deployed: Deployed) -> dict[str, Any]:
    return deployed.picture(KEY, photo(300, 200))


def send_letter(deployed: Deployed, row: dict[str, Any]) -> None:
    """As if the picture had failed."""
    event = json.loads(deployed.execution(row["execution"])["input"])
    body = {"key": KEY, "error": {"code": "E", "message": "m"}, "execution": row["execution"], "event": event}
    deployed.aws.sqs.send_message(QueueUrl=deployed.aws.output("DeadLetterQueueUrl"), MessageBody=json.dumps(body))


def send_untold_letter(deployed: Deployed) -> None:
    """As if nobody could have been told how it ended."""
    body = {"key": KEY, "error": {"code": "E", "message": "m"}, "execution": None, "untold": {}}
    reason = {"reason": {"DataType": "String", "StringValue": "UNTOLD"}}
    queue = deployed.aws.output("DeadLetterQueueUrl")
    deployed.aws.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(body), MessageAttributes=reason)


def said(*arguments: object) -> Any:
    result = darkroom(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def page(*, read_only: bool) -> TestClient:
    """The page of whoever the environment says."""
    connection = Connection(lambda: choose(aws=False, stack=STACK, home=cloud.home_folder()), read_only=read_only)
    host = "darkroom-0123456789abcdef.localhost:8640"
    address = f"http://{host}"
    client = TestClient(
        application(connection, host=host, secret="s"),
        base_url=address,
        headers={"origin": address},
        follow_redirects=False,
    )
    client.get("/", params={"secret": "s"})
    return client


def look_at_all(client: TestClient, row: dict[str, Any]) -> None:
    """Every view."""
    arn, thumb = row["execution"], row["renditions"]["thumb"]["key"]
    paths: Iterable[str] = (
        *("/upload", "/results", "/results/news", "/results?key=polic", "/executions", "/letters", "/health"),
        "/backfills",
        *(f"/picture?key={KEY}", f"/original?key={KEY}", f"/original?key={KEY}&version={row['version_id']}"),
        *(f"/rendition?key={thumb}", f"/execution?arn={arn}", f"/execution/logs?arn={arn}"),
        f"/upload/way?key={KEY}&version={row['version_id']}",
    )
    answers = {path: client.get(path) for path in paths}
    assert {path: answer.text for path, answer in answers.items() if answer.status_code not in (200, ENOUGH)} == {}


def test_a_viewer_sees_everything_and_has_no_grant_that_is_not_used(deployed: Deployed, row: dict[str, Any]):
    """Of a deletion too. `status` and the bootstrap are looked at by DescribeStacks, as the outputs are."""
    send_letter(deployed, row)
    backfills.start(deployed.aws, "failed", "policies/none")
    with person(deployed, "viewer") as used:
        assert KEY in {one["key"] for one in said("results")}
        assert said("results", KEY)["status"] == "SUCCEEDED"
        assert said("executions", "--limit", "3")
        assert said("inspect", KEY)["states"]
        assert [one["key"] for one in said("redrive", "--dry-run")] == [KEY]
        followed = darkroom("backfill", "--follow")
        assert followed.exit_code == 0, followed.stderr
        checks = {
            one["name"]: one["state"] for one in json.loads(darkroom("doctor", "--quick", "--json").stdout)["checks"]
        }
        assert (checks["stack"], checks["stack's version"]) == ("ok", "skipped")
        look_at_all(page(read_only=True), row)
    assert used - {"bedrock:Converse"} == granted(deployed, "viewer")
    deployed.empty_the_queue()


def test_a_viewer_changes_nothing_and_is_told_why(deployed: Deployed, row: dict[str, Any], tmp_path: Path):
    """The letter that a redrive would have taken is back at once."""
    (tmp_path / "mine.jpg").write_bytes(photo(64, 48))
    send_letter(deployed, row)
    for command, grant in ((("upload", tmp_path), "s3:PutObject"), (("redrive",), "states:StartExecution")):
        with person(deployed, "viewer"):
            result = darkroom(*command)
        assert result.exit_code == 1
        last = result.stderr.splitlines()[-1]
        assert last.startswith("darkroom: not allowed (`darkroom policy` prints what you need): User: ")
        assert grant in last
    [letter] = deployed.letters()
    deployed.forget(letter)
    assert deployed.row(KEY)["execution"] == row["execution"]
    assert deployed.row("raw/mine.jpg") == {}


def test_an_operator_uploads_and_redrives_too_and_has_no_grant_that_is_not_used(
    deployed: Deployed, row: dict[str, Any], tmp_path: Path
):
    """By the command line and by the page."""
    (tmp_path / "theirs.jpg").write_bytes(photo(64, 48))
    with FunctionRole(deployed, "caption").without("bedrock:Converse"):
        speechless = deployed.picture("raw/policies/speechless.jpg", photo(64, 48))
    assert speechless["caption"]["status"] == "FAILED"
    with lost_events(deployed):
        for number in range(40):  # more than are made before it is stopped
            deployed.upload(f"raw/backfilled by them/{number}.png", photo(24, 16))
    send_letter(deployed, row)
    with person(deployed, "viewer", "operator") as used:
        assert [one["status"] for one in said("upload", tmp_path)] == ["SUCCEEDED"]
        [redriven] = said("redrive")
        deployed.execution(redriven["execution"])
        send_untold_letter(deployed)
        [told] = said("redrive", "--reason", "UNTOLD")
        assert (told["key"], told["redriven"]) == (KEY, True)
        [recaptioned] = said("redrive", "--caption-failed", speechless["key"])
        assert deployed.execution(recaptioned["execution"])["status"] == "SUCCEEDED"
        assert darkroom("link", KEY).exit_code == 0
        assert said("backfill", "--prefix", "backfilled by them/", "--dry-run")["pictures"] == 40
        assert said("backfill", "--prefix", "backfilled by them/", "--at-once", "1")["status"] == "RUNNING"
        assert said("backfill", "--stop")["status"] == "ABORTED"
        plan = said("plan", "-c", "quality.webp=5", "--prefix", "policies/", "-o", tmp_path / "plan")
        assert KEY in {one["key"] for one in plan["pictures"] if one["proposed"]["renditions"]}
        assert plan["backfill"]["pictures"] >= 1
        client = page(read_only=False)
        look_at_all(client, row)
        picture = {"pictures": ("by page.jpg", photo(64, 48), "image/jpeg")}
        assert client.post("/upload", data={}, files=picture).status_code == 303
    assert granted(deployed, "operator") <= used <= granted(deployed, "viewer", "operator")
    eventually(lambda: deployed.row("raw/by page.jpg").get("status") == "SUCCEEDED", "the picture sent by the page")
