"""A row that has become final is told: to the event bus, to the webhook's queue, once, and in its place."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from functions import announce
from functions.announce import LARGEST_EVENT, BusUnavailable, Services
from functions.results import Results
from tests.aws import letters
from tests.functions.conftest import ENVIRONMENT, Context
from tests.schemas import schema

FINAL = ("SUCCEEDED", "REJECTED", "FAILED", "DELETED")
MEDIUM = {"key": "a b.jpg/0123456789abcdef/medium.webp", "format": "webp", "content_type": "image/webp"}


def row(key: str = "raw/cat.jpg", status: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
    """As DynamoDB types it."""
    facts = {"version_id": "v1", "execution": "arn:1", "updated_at": "2026-11-26T08:00:00.000Z", **more}
    return typed({"key": key, "status": status, **facts})["M"]


def typed(value: Any) -> dict[str, Any]:
    match value:
        case dict():
            return {"M": {name: typed(one) for name, one in value.items()}}
        case list():
            return {"L": [typed(one) for one in value]}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
    return {"S": value}


def change(new: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    images = {"Keys": {"key": new["key"]}, "NewImage": new, **({"OldImage": old} if old else {})}
    return {"eventName": "MODIFY" if old else "INSERT", "dynamodb": images}


def became(new: dict[str, Any]) -> dict[str, Any]:
    return change(new, {**new, "status": {"S": "PROCESSING"}})


class Bus:
    """Takes events, but for those of keys that it answers with an error."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refuses: dict[str, Any] = {}  # by key: an entry's error, or an exception

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        [entry] = Entries
        detail = json.loads(entry["Detail"])
        refused = self.refuses.get(detail["key"])
        if isinstance(refused, Exception):
            raise refused
        if refused:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": refused, "ErrorMessage": "because"}]}
        self.taken.append({"source": entry["Source"], "detail-type": entry["DetailType"], "detail": detail})
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one["detail"]["key"], one["detail-type"]) for one in self.taken]


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def using(table: Any, bus: Any) -> Services:
    sqs = boto3.client("sqs")
    dead, waiting = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("letters", "webhook"))
    results = Results(table, ENVIRONMENT["RESULTS_TABLE"])
    return Services(results, bus, sqs, "default", waiting, dead, "https://pictures.example", "Darkroom")


@pytest.fixture
def tell(using: Services) -> Callable[..., list[str]]:
    def told(*changes: dict[str, Any], **asked: Any) -> list[str]:
        event = {"Records": list(changes)} if changes else asked
        return announce.handler(json.loads(json.dumps(event)), Context(), using)["told"]

    return told


@pytest.mark.parametrize("status", FINAL)
def test_each_end_of_a_picture_is_told_as_the_schema_has_it(status, tell, bus, using):
    """On the bus and to the webhook's queue: the row in JSON's own types, an id, and where its renditions are."""
    renditions = {"medium": {**MEDIUM, "width": 640, "height": 480, "bytes": 4842}}
    assert tell(became(row(status=status, renditions=renditions, notes=["odd"], size=12))) == ["raw/cat.jpg"]
    [event] = bus.taken
    schema("event").validate(event)
    detail = event["detail"]
    assert (event["source"], event["detail-type"]) == ("darkroom", f"Picture {status.capitalize()}")
    assert (detail["status"], detail["size"], detail["notes"]) == (status, 12, ["odd"])
    assert detail["renditions"]["medium"]["width"] == 640
    assert detail["urls"] == {"medium": "https://pictures.example/a%20b.jpg/0123456789abcdef/medium.webp"}
    [waiting] = letters(using.queues, str(using.webhook_queue))
    assert waiting == {**event, "reason": "WEBHOOK"}


def test_only_what_the_settings_name_is_told(bus, using):
    """Without `events` not the bus, without `webhook` not its queue; without `delivery` there are no URLs."""
    alone = Services(using.results, bus, using.queues, None, None, using.letters, None, "Darkroom")
    assert announce.handler({"Records": [became(row())]}, Context(), alone)["told"] == ["raw/cat.jpg"]
    assert bus.taken == []
    assert letters(using.queues, str(using.webhook_queue)) == []
    assert "urls" not in announce.announcement(row(), "Darkroom")["detail"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (row(), row(caption={"status": "OK"})),
        (row(status="FAILED"), row(status="FAILED", webhook={"status_code": 200, "attempts": 1})),
        (row(status="DELETED"), row(status="DELETED", updated_at="2026-11-26T08:00:01.000Z")),
        (row(status="PROCESSING"), row(status="PROCESSING", swept="2026-11-26T08:00:01.000Z")),
        (row(), row(status="PROCESSING", version_id="v2")),
    ],
    ids=["captioned again", "the webhook's answer", "written twice", "swept", "claimed anew"],
)
def test_a_write_that_ends_nothing_is_not_told(old, new, tell, bus):
    """Status, version and execution as they were; or none of the four."""
    assert tell(change(new, old)) == []
    assert bus.taken == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, row(status="DELETED")),
        (row(status="FAILED"), row(status="FAILED", execution="arn:2")),
        (row(), row(status="DELETED", version_id="v2")),
    ],
    ids=["no row before", "a redrive failed at its claim", "deleted"],
)
def test_an_end_without_a_claim_before_it_is_told(old, new, tell):
    """The state machine writes FAILED and DELETED over any row, and where there is none."""
    assert tell(change(new, old)) == ["raw/cat.jpg"]


def test_a_repetition_has_the_same_id_and_another_end_another(tell, bus):
    """It is made of key, version, status and the files of the renditions: a picture that a backfill made again by other
    settings is to be fetched again."""
    first = row()
    made_again = row(renditions={"medium": MEDIUM})
    others = [row(key="raw/dog.jpg"), row(version_id="v2"), row(status="FAILED"), made_again]
    tell(became(first), became(row(execution="arn:2", updated_at="later")), *map(became, others))
    ids = [event["detail"]["id"] for event in bus.taken]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 1 + len(others)


def test_uploads_to_a_bucket_that_keeps_no_versions_have_ids_of_their_own(tell, bus):
    """Else a receiver would take an overwrite for a repetition. A redrive has the sequencer of its upload."""
    first = row(version_id="null", sequencer="0A")
    tell(became(first), became(row(version_id="null", sequencer="0B")), became({**first, "execution": {"S": "arn:2"}}))
    ids = [event["detail"]["id"] for event in bus.taken]
    assert ids[0] == ids[2] != ids[1]


def test_what_is_of_the_telling_itself_is_not_told():
    """The last answer of the webhook would be another one each time."""
    detail = announce.announcement(row(webhook={"status_code": 500}, swept="then"), "Darkroom")["detail"]
    assert not {"webhook", "swept"} & detail.keys()


POISONED = {
    "no version": {name: value for name, value in row("raw/poisoned.jpg").items() if name != "version_id"},
    "renditions that are none": row("raw/poisoned.jpg", renditions="many"),
    "of another type": {**row("raw/poisoned.jpg"), "notes": {"B": "YQ=="}},
    "too large": row("raw/poisoned.jpg", notes=["x" * LARGEST_EVENT]),
}


@pytest.mark.parametrize("poisoned", POISONED.values(), ids=POISONED)
def test_a_poisoned_row_is_a_letter_and_holds_no_other_up(poisoned, tell, bus, using):
    """Those before and behind it are told. The letter says why, and is small whatever the row is."""
    assert tell(became(row("raw/1.jpg")), became(poisoned), became(row("raw/2.jpg"))) == ["raw/1.jpg", "raw/2.jpg"]
    assert [key for key, _ in bus.told] == ["raw/1.jpg", "raw/2.jpg"]
    [letter] = letters(using.queues, using.letters)
    assert (letter["key"], letter["reason"]) == ("raw/poisoned.jpg", "UNTOLD")
    assert letter["untold"]["status"] == "SUCCEEDED"
    assert letter["error"]["code"] in {"UnknownRow", "TooLarge"}
    assert len(json.dumps(letter)) < 1000


def test_the_largest_event_is_told_and_one_byte_more_is_not(tell, using):
    """Source, type and detail together, as EventBridge counts them."""
    empty = announce.announcement(row(notes=[""]), using.stack, using.delivery)
    size = sum(len(part) for part in (empty["source"], empty["detail-type"], json.dumps(empty["detail"])))
    room = LARGEST_EVENT - size
    assert tell(became(row(notes=["x" * room])), became(row(notes=["x" * (room + 1)]))) == ["raw/cat.jpg"]
    [letter] = letters(using.queues, using.letters)
    assert letter["error"] == {"code": "TooLarge", "message": "262,145 bytes, limit 262,144"}


@pytest.mark.parametrize("how", ["in the answer", "as an error"])
def test_an_event_that_the_bus_refuses_for_good_is_a_letter(how, tell, bus, using):
    """With the bus's own words."""
    error = {"Error": {"Code": "ValidationException", "Message": "because"}}
    refused = "ValidationException" if how == "in the answer" else ClientError(error, "PutEvents")  # type: ignore[arg-type]
    bus.refuses["raw/1.jpg"] = refused
    assert tell(became(row("raw/1.jpg")), became(row("raw/2.jpg"))) == ["raw/2.jpg"]
    [letter] = letters(using.queues, using.letters)
    assert letter["error"] == {"code": "ValidationException", "message": "because"}


def test_while_the_bus_takes_nothing_all_wait_in_their_order(tell, bus, using):
    """The stream comes again with the same changes: none is a letter, and none goes before one that waits."""
    bus.refuses["raw/2.jpg"] = "ThrottlingException"
    changes = [became(row(f"raw/{number}.jpg")) for number in (1, 2, 3)]
    with pytest.raises(BusUnavailable, match="ThrottlingException"):
        tell(*changes)
    assert [key for key, _ in bus.told] == ["raw/1.jpg"]
    assert letters(using.queues, using.letters) == []
    bus.refuses.clear()
    assert tell(*changes) == ["raw/1.jpg", "raw/2.jpg", "raw/3.jpg"]


def test_a_grant_that_is_missing_is_of_all_and_no_letter(tell, bus, using):
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents")
    bus.refuses["raw/cat.jpg"] = denied
    with pytest.raises(ClientError):
        tell(became(row()))
    assert letters(using.queues, using.letters) == []


def test_a_redrive_tells_what_the_row_says_now(tell, bus, table):
    """Not what it said when nobody was told. A row that is at work is told at its end, and one that is gone never."""
    for one in (row("raw/1.jpg", status="DELETED"), row("raw/2.jpg", status="PROCESSING")):
        table.put_item(TableName=ENVIRONMENT["RESULTS_TABLE"], Item=one)
    assert tell(keys=["raw/1.jpg", "raw/2.jpg", "raw/3.jpg"]) == ["raw/1.jpg"]
    assert bus.told == [("raw/1.jpg", "Picture Deleted")]


def test_a_redrive_of_a_row_that_cannot_be_told_says_so_and_sends_no_letter(using, table):
    """The letter that was there stays. A new one would be read by the same redrive, without end."""
    poisoned = POISONED["too large"]
    table.put_item(TableName=ENVIRONMENT["RESULTS_TABLE"], Item=poisoned)
    said = announce.handler({"keys": ["raw/poisoned.jpg"]}, Context(), using)
    assert (said["told"], said["untold"]["raw/poisoned.jpg"]["code"]) == ([], "TooLarge")
    assert letters(using.queues, using.letters) == []


def test_a_redrive_of_the_webhooks_letter_does_not_repeat_it_on_the_bus(tell, bus, table, using):
    table.put_item(TableName=ENVIRONMENT["RESULTS_TABLE"], Item=row())
    assert tell(keys=["raw/cat.jpg"], webhook_only=True) == ["raw/cat.jpg"]
    assert bus.taken == []
    assert len(letters(using.queues, str(using.webhook_queue))) == 1
