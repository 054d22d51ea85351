"""A letter about what was not told: a redrive starts nothing, and has it told again."""

import io
import json
from typing import Any

import pytest

from darkroom.pipeline.letters import redrive
from darkroom.pipeline.target import Target
from functions.announce import _letter, announcement
from tests.darkroom.conftest import Stacks, darkroom
from tests.darkroom.test_letters import inputs, left, pipelines, put
from tests.schemas import document

KEY = "raw/a b+c%20é.jpg"
ROW = {"key": {"S": KEY}, "status": {"S": "REJECTED"}, "version_id": {"S": "v"}, "execution": {"S": "arn"}}
UNTOLD = _letter(KEY, ROW, {"code": "TooLarge", "message": "300,000 bytes, limit 262,144"})
WEBHOOK = announcement({**ROW, "updated_at": {"S": "2026-11-26T08:00:00.000Z"}}, "Darkroom")

# As Lambda writes it: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
OF_LAMBDA = {
    "requestContext": {
        "requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
        "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:announce",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1,
    },
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "version": "1.0",
    "timestamp": "2026-11-26T08:20:00.000Z",
    "DDBStreamBatchInfo": {
        "shardId": "shardId-00000001573689847184-864758bb",
        "startSequenceNumber": "800000000003126276362",
        "endSequenceNumber": "800000000003126276362",
        "approximateArrivalOfFirstRecord": "2026-11-26T08:00:00Z",
        "approximateArrivalOfLastRecord": "2026-11-26T08:05:00Z",
        "batchSize": 2,
        "streamArn": "arn:aws:dynamodb:us-east-2:123456789012:table/results/stream/2026-11-14T00:04:06.388",
    },
}


class Announce:
    """The deployed function, as far as a redrive sees it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: str | None = None
        self.untold: dict[str, Any] = {}

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == "announce"
        if self.error:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(self.error.encode())}
        self.asked.append(json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps({"told": [], "untold": self.untold}).encode())}


@pytest.fixture
def announce(account: Stacks, target: Target, monkeypatch: pytest.MonkeyPatch) -> Announce:
    function = Announce()
    account.deployed["Darkroom"]["AnnounceFunctionName"] = "announce"
    monkeypatch.setattr(Target, "functions", function)
    monkeypatch.setattr("darkroom.pipeline.letters.WAIT_SECONDS", 0)
    assert "AnnounceFunctionName" in target.outputs
    return function


@pytest.mark.parametrize(
    ("letter", "reason", "code"),
    [(UNTOLD, "UNTOLD", "TooLarge"), (WEBHOOK, "WEBHOOK", "WebhookRefused")],
    ids=["UNTOLD", "WEBHOOK"],
)
def test_it_is_told_again_and_nothing_is_started(letter, reason, code, target: Target, announce: Announce):
    """By the picture's key. What only the webhook did not take, the event bus is not told again."""
    put(target, letter, reason=reason)
    [done] = document("redrive", darkroom("--aws", "redrive", "--json").stdout)
    assert (done["key"], done["reason"], done["error"]["code"]) == (KEY, reason, code)
    assert (done["redriven"], done["execution"]) == (True, None)
    assert announce.asked == [{"keys": [KEY], "webhook_only": reason == "WEBHOOK"}]
    assert inputs(target) == []
    assert left(target) == []


@pytest.mark.usefixtures("announce")
def test_the_command_says_that_it_was_told_again(target: Target):
    """Where it names an execution otherwise."""
    put(target, UNTOLD, reason="UNTOLD")
    assert "would be told" in " ".join(darkroom("--aws", "redrive", "--dry-run").stdout.split())
    assert "told again" in " ".join(darkroom("--aws", "redrive").stdout.split())


def test_of_changes_without_a_key_the_rows_of_that_time_are_told(target: Target, announce: Announce):
    """Those that are final: a picture that is at work is told at its end. Some minutes more than the letter says: a
    write that is tried again comes after the time that its row bears."""
    times = {"07:44:59": False, "07:45:01": True, "08:00:00": True, "08:19:59": True, "08:20:01": False}
    for time in times:
        for status in ("SUCCEEDED", "DELETED", "PROCESSING"):
            item = {"key": f"raw/{time}/{status}", "status": status, "updated_at": f"2026-11-26T{time}.000Z"}
            target.results.put_item(Item=item)
    put(target, OF_LAMBDA)
    [done] = redrive(target)
    assert done["redriven"]
    assert done["key"] == "2 changes of rows, 2026-11-26T08:00:00Z to 2026-11-26T08:05:00Z"
    assert done["error"]["code"] == "RetryAttemptsExhausted"
    told = [key for asked in announce.asked for key in asked["keys"]]
    expected = {f"raw/{time}/{status}" for time, there in times.items() if there for status in ("SUCCEEDED", "DELETED")}
    assert sorted(told) == sorted(expected)


@pytest.mark.parametrize("letter", [UNTOLD, OF_LAMBDA], ids=["of a picture", "of Lambda"])
def test_a_letter_stays_while_it_cannot_be_told(letter, target: Target, announce: Announce):
    target.results.put_item(Item={"key": KEY, "status": "REJECTED", "updated_at": "2026-11-26T08:00:00.000Z"})
    sent = put(target, letter, reason="UNTOLD")
    announce.error = '{"errorType": "BusUnavailable"}'
    [done] = redrive(target)
    assert not done["redriven"]
    assert "BusUnavailable" in done["problem"]
    assert left(target) == [sent]


def test_a_letter_stays_while_its_row_cannot_be_told(target: Target, announce: Announce):
    """And the run comes to its end: no new letter takes its place."""
    sent = put(target, UNTOLD, reason="UNTOLD")
    announce.untold = {KEY: UNTOLD["error"]}
    [done] = redrive(target)
    assert "300,000 bytes" in done["problem"]
    assert left(target) == [sent]


def test_a_letter_stays_where_nobody_is_told_any_more(target: Target, monkeypatch: pytest.MonkeyPatch):
    """After the settings were taken back."""
    monkeypatch.setattr("darkroom.pipeline.letters.WAIT_SECONDS", 0)
    sent = put(target, UNTOLD, reason="UNTOLD")
    [done] = redrive(target)
    assert done["problem"].startswith("nobody is told of rows any more")
    assert left(target) == [sent]


def test_such_a_letter_keeps_no_other_from_its_redrive(target: Target, announce: Announce):
    put(target, UNTOLD, reason="UNTOLD")
    put(target, pipelines("raw/cat.jpg"), reason="FAILED")
    announce.error = "{}"
    assert {one["key"]: one["redriven"] for one in redrive(target)} == {KEY: False, "raw/cat.jpg": True}
    assert [one["detail"]["object"]["key"] for one in inputs(target)] == ["raw/cat.jpg"]
