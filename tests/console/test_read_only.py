"""--read-only: not a promise of the views, but of every client that they are given."""

import re
from pathlib import Path

import pytest

from darkroom.console import connection, executions
from darkroom.console.connection import READS, Connection, ReadOnlyError
from darkroom.local.pictures import photo
from darkroom.pipeline import backfill as backfills
from darkroom.pipeline import letters
from darkroom.pipeline.target import Target
from tests.console.conftest import Open, again
from tests.console.test_backfills import count_maps
from tests.console.test_views import row, run
from tests.darkroom.test_letters import pipelines, put

WRITES = {
    "put_object": lambda target: target.s3.put_object(Bucket="uploads", Key="raw/x.jpg", Body=b"x"),
    "delete_object": lambda target: target.s3.delete_object(Bucket="uploads", Key="raw/x.jpg"),
    "put_item": lambda target: target.results.put_item(Item={"key": "raw/x.jpg"}),
    "update_item": lambda target: target.results.update_item(Key={"key": "raw/x.jpg"}),
    "start_execution": lambda target: target.states.start_execution(stateMachineArn=target.output("StateMachineArn")),
    "stop_execution": lambda target: target.states.stop_execution(executionArn="arn:x"),
    "delete_message": lambda target: target.sqs.delete_message(
        QueueUrl=target.output("DeadLetterQueueUrl"), ReceiptHandle="x"
    ),
    "receive_message": lambda target: target.sqs.receive_message(QueueUrl=target.output("DeadLetterQueueUrl")),
    "receive_and_hide": lambda target: target.sqs.receive_message(
        QueueUrl=target.output("DeadLetterQueueUrl"), VisibilityTimeout=1
    ),
    "create_log_group": lambda target: target.logs.create_log_group(logGroupName="x"),
    "get_activity_task": lambda target: target.states.get_activity_task(activityArn="arn:x"),
}


@pytest.mark.parametrize("write", WRITES)
def test_no_client_of_a_read_only_page_sends_a_write(target: Target, write):
    """Whatever a view might try."""
    reading = Connection(lambda: again(target), read_only=True).target()
    with pytest.raises(ReadOnlyError, match="read-only"):
        WRITES[write](reading)


def test_a_letter_is_looked_at_without_hiding_it(target: Target, open_page: Open):
    """Somebody who redrives at the same time misses none."""
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    page = open_page(read_only=True)
    assert "raw/cat.jpg" in page.get("/letters").text
    assert "raw/cat.jpg" in page.get("/letters/redrive", params={"all": "yes"}).text
    assert letters.count(target) == (1, 0)


def test_a_page_that_may_write_hides_letters_for_no_longer_than_it_looks(target: Target, open_page: Open):
    """More than the ten that SQS gives at once are seen, and all are back."""
    for number in range(25):
        put(target, pipelines(f"raw/{number:02}.jpg"), reason="FAILED")
    html = open_page().get("/letters").text
    assert all(f"raw/{number:02}.jpg" in html for number in range(25))
    assert letters.count(target) == (25, 0)


def test_every_operation_that_is_let_through_is_used():
    """The list holds no more than the page needs."""
    source = "\n".join(file.read_text() for file in Path(connection.__file__).parents[1].rglob("*.py"))
    used = re.findall(r"\.(\w+)\(", source) + re.findall(r"paginator\(\"(\w+)\"\)", source)
    names = {name.replace("_", "") for name in used}
    assert {name for name in READS if name.lower() not in names} == set()


# Of CloudFormation, which moto does not play here: needed on the deployed stack (tests/e2e). And of an Express machine:
# tests/console/test_express.py.
ELSEWHERE = {"DescribeStacks", "ListStackResources", "DescribeStateMachine"}


@pytest.mark.parametrize("operation", sorted(READS - ELSEWHERE))
def test_every_view_of_a_read_only_page_shows_what_it_would_and_needs_each_read(
    target: Target, open_page: Open, monkeypatch: pytest.MonkeyPatch, operation
):
    """Without one of them, some view would be refused."""
    monkeypatch.setattr("darkroom.pipeline.letters.WAIT_SECONDS", 0)
    monkeypatch.setattr(executions, "log_groups", lambda _: {"Resize": "/resize"})
    target.logs.create_log_group(logGroupName="/resize")
    target.s3.put_object(Bucket="uploads", Key="raw/cat.jpg", Body=photo(64, 48))
    execution = run(target, "raw/cat.jpg")
    row(target, "raw/cat.jpg", execution=execution)
    count_maps(monkeypatch, total=3, succeeded=1)
    backfills.start(target, "all")
    arn, key = f"arn={execution}", "key=raw/cat.jpg"
    paths = [
        *(
            "/upload",
            f"/upload/way?{key}&version=null",
            "/results",
            "/results/news",
            "/executions",
            "/letters",
            "/backfills",
            "/health",
        ),
        *(f"/picture?{key}", f"/original?{key}", f"/execution?{arn}", f"/execution/logs?{arn}"),
    ]
    page = open_page(read_only=True)
    assert {path: page.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
    monkeypatch.setattr(connection, "READS", READS - {operation})
    page = open_page(read_only=True)  # which remembers nothing
    assert 403 in {page.get(path).status_code for path in paths}
