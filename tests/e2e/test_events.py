"""Others hear how each picture ended, on the deployed stack: from the event bus and from the webhook."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from darkroom.local.pictures import photo
from tests.e2e.conftest import Deployed, FunctionRole, eventually
from tests.e2e.faulty import ALWAYS, faulty
from tests.e2e.load import letters
from tests.e2e.test_readme import blocks, run
from tests.pages.test_events import code
from tests.schemas import schema

OURS = json.dumps({"source": ["darkroom"]})


class Heard:
    """What a rule brings from the event bus into a queue, read as it comes."""

    def __init__(self, deployed: Deployed, name: str) -> None:
        self._sqs = deployed.aws.sqs
        self.queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        found = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        self.arn = found["Attributes"]["QueueArn"]
        self._bodies: list[dict[str, Any]] = []

    def let(self, service: str) -> None:
        """That service send here."""
        principal = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}}
        policy = {"Version": "2012-10-17", "Statement": [{**principal, "Action": "sqs:SendMessage", "Resource": "*"}]}
        self._sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": json.dumps(policy)})

    def all(self) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {"QueueUrl": self.queue, "MaxNumberOfMessages": 10}
        while messages := self._sqs.receive_message(**asked).get("Messages"):
            self._bodies += [json.loads(one["Body"]) for one in messages]
        return self._bodies

    def of(self, key: str) -> list[str]:
        """The detail-types of a picture, in their order; what was told twice counts once."""
        events = {one["detail"]["id"]: one["detail-type"] for one in self.events(key)}
        return [kind.removeprefix("Picture ") for kind in events.values()]

    def events(self, key: str) -> list[dict[str, Any]]:
        return [one for one in self.all() if one["detail"]["key"] == key]


@contextmanager
def listening(deployed: Deployed) -> Iterator[Heard]:
    """To the event bus, from now on."""
    events = deployed.client("events")
    found = Heard(deployed, "heard")
    found.let("events")
    events.put_rule(Name="heard", EventPattern=OURS)
    events.put_targets(Rule="heard", Targets=[{"Id": "queue", "Arn": found.arn}])
    yield found
    events.remove_targets(Rule="heard", Ids=["queue"])
    events.delete_rule(Name="heard")


@pytest.fixture(scope="module")
def heard(deployed: Deployed) -> Iterator[Heard]:
    with listening(deployed) as found:
        yield found


def hears(heard: Heard, key: str, *ends: str) -> list[dict[str, Any]]:
    """These and no others, in this order."""
    eventually(lambda: len(heard.of(key)) >= len(ends), f"{ends} of {key}")
    assert heard.of(key) == list(ends)
    return heard.events(key)


def test_a_success_an_overwrite_and_a_deletion_are_told_in_their_order(deployed: Deployed, heard: Heard):
    """Each as the schema has it, by the state machines."""
    key = "raw/told/a b+c é.jpg"
    row = deployed.picture(key, photo(64, 48))
    deployed.picture(key, b"no picture")
    deployed.delete(key)
    succeeded, *_ = hears(heard, key, "Succeeded", "Rejected", "Deleted")
    for event in heard.events(key):
        schema("event").validate(event)
    assert succeeded["detail"]["renditions"].keys() == row["renditions"].keys()
    assert succeeded["detail"]["caption"]["status"] == "OK"
    urls = succeeded["detail"]["urls"]
    assert urls.keys() == row["renditions"].keys()
    assert all(url.startswith(f"{deployed.aws.output('DeliveryUrl')}/") for url in urls.values())


def test_a_failure_and_its_redrive_are_told(deployed: Deployed, heard: Heard):
    key = "raw/told/failed.jpg"
    with faulty(deployed, {"validate": {key: ("nonsense",) * ALWAYS}}):
        assert deployed.picture(key, photo(64, 48))["status"] == "FAILED"
        eventually(lambda: key in {one.get("key") for one in letters(deployed)}, "its letter")
        [failed] = hears(heard, key, "Failed")
    assert failed["detail"]["error"]["code"]
    deployed.darkroom("redrive", key)
    hears(heard, key, "Failed", "Succeeded")


def test_what_the_sweep_writes_is_told(deployed: Deployed, heard: Heard):
    """Of an execution that nobody knows any more."""
    key = "raw/told/stalled.jpg"
    machine = deployed.aws.output("StateMachineArn").replace(":stateMachine:", ":execution:")
    row = {"status": "PROCESSING", "updated_at": "2020-01-01T00:00:00.000Z", "execution": f"{machine}:forgotten"}
    facts = {"version_id": "v", "etag": "0", "sequencer": "0", "size": 1}
    deployed.aws.results.put_item(Item={"key": key, **row, **facts})
    deployed.sweep()
    [event] = hears(heard, key, "Failed")
    assert event["detail"]["error"]["code"] == "STALLED"
    assert "swept" not in event["detail"]


def test_a_caption_made_again_is_not_told(deployed: Deployed, heard: Heard):
    """The picture has not ended anew. What is written behind it is."""
    key, behind = "raw/told/captioned.jpg", "raw/told/behind.jpg"
    with FunctionRole(deployed, "caption").without("bedrock:Converse"):
        deployed.picture(key, photo(64, 48))
    deployed.darkroom("redrive", key, "--caption-failed")
    eventually(lambda: deployed.row(key)["caption"]["status"] == "OK", "the caption")
    deployed.picture(behind, b"no picture")
    hears(heard, behind, "Rejected")
    hears(heard, key, "Succeeded")


def final(deployed: Deployed, key: str, end: str = "REJECTED", **row: Any) -> None:
    """A row that comes to that end, without a picture. Other tests look at it, too."""
    of = {"key": key, "execution": "arn", "updated_at": "2026-11-26T08:00:00.000Z", **row}
    if end == "REJECTED":
        of["error"] = {"code": "corrupt", "message": "no picture"}
    for status in ("PROCESSING", end):
        deployed.aws.results.put_item(Item={**of, "status": status})


def test_a_poisoned_row_is_a_letter_and_holds_no_other_up(deployed: Deployed, heard: Heard):
    """Once it is repaired, a redrive of its letter tells it."""
    for number in range(3):
        poisoned = number == 1
        final(deployed, f"raw/told/poison/{number}.jpg", **({} if poisoned else {"version_id": "v"}))
    hears(heard, "raw/told/poison/0.jpg", "Rejected")
    hears(heard, "raw/told/poison/2.jpg", "Rejected")
    key = "raw/told/poison/1.jpg"
    [letter] = eventually(lambda: [one for one in letters(deployed) if one.get("key") == key], "its letter")
    assert (letter["error"]["code"], letter["untold"]) == ("UnknownRow", {"status": "REJECTED"})
    assert heard.of(key) == []
    row = deployed.row(key)
    deployed.aws.results.put_item(Item={**row, "version_id": "v"})  # which is not told: it was REJECTED before
    [done] = json.loads(deployed.darkroom("redrive", "--reason", "UNTOLD", "--json").stdout)
    assert (done["key"], done["redriven"]) == (key, True)
    hears(heard, key, "Rejected")


def test_without_its_grant_all_wait_and_none_is_lost(deployed: Deployed, heard: Heard):
    """The stream comes again until they can be told."""
    keys = [f"raw/told/waiting/{number}.jpg" for number in range(2)]
    with FunctionRole(deployed, "announce").without("events:PutEvents"):
        for key in keys:
            final(deployed, key, version_id="v")
        eventually(lambda: "AccessDenied" in "".join(deployed.log_lines("announce")), "its refusal")
        assert [heard.of(key) for key in keys] == [[], []]
    for key in keys:
        hears(heard, key, "Rejected")
    assert not [one for one in letters(deployed) if one.get("key") in keys]


def secret(deployed: Deployed) -> bytes:
    found = deployed.client("secretsmanager").get_secret_value(SecretId=deployed.aws.output("WebhookSecretArn"))
    return str(found["SecretString"]).encode()


def test_a_webhook_that_fails_twice_and_comes_back_has_every_event_once(deployed: Deployed, heard: Heard):
    """The same each time, signed each time, as the page checks it. Its last answer is in the row, and that write is
    told to nobody."""
    key = "raw/told/webhook.jpg"
    deployed.hook.answers[key] = [500, 302]
    final(deployed, key, "DELETED", version_id="v")  # of which the stream hands on every write
    answer = eventually(lambda: _answered(deployed, key, 204), "the webhook's last answer")
    sent = deployed.hook.of(key)
    assert [one.event for one in sent] == [sent[0].event] * 3
    schema("event").validate(sent[0].event)
    assert (answer["attempts"], answer["event"]) == (3, sent[0].event["detail"]["id"])
    names: dict[str, Any] = {}
    exec(code("python"), names)
    assert all(names["is_genuine"](one.body, one.headers["Darkroom-Signature"], [secret(deployed)]) for one in sent)
    [event] = hears(heard, key, "Deleted")
    assert event["detail"] == sent[0].event["detail"]
    assert [line for line in deployed.log_lines("notify") if '"WebhookRefused":[1.0]' in line]


def _answered(deployed: Deployed, key: str, status: int) -> dict[str, Any] | None:
    answer = deployed.webhooks_answer(key) or {}
    return answer if answer.get("status_code") == status else None


@contextmanager
def attempts(deployed: Deployed, most: int, hidden: int | None = None) -> Iterator[None]:
    """The webhook's queue tries so often; on AWS and without this, for a day. `hidden`: seconds for which a message is
    one attempt's alone."""
    sqs = deployed.aws.sqs
    [queue] = [one for one in sqs.list_queues()["QueueUrls"] if "AnnouncementsWebhookQueue" in one]
    asked = ["RedrivePolicy", "VisibilityTimeout"]
    before = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=asked)["Attributes"]
    fewer = {"RedrivePolicy": json.dumps({**json.loads(before["RedrivePolicy"]), "maxReceiveCount": most})}
    shorter = {"VisibilityTimeout": str(hidden)} if hidden else {}
    try:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=fewer | shorter)
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=before)


def test_what_the_webhook_does_not_take_is_a_letter_and_is_sent_again_by_its_redrive(deployed: Deployed, heard: Heard):
    """To the webhook alone."""
    key = "raw/told/refused.jpg"
    deployed.hook.answers[key] = [500] * 2
    with attempts(deployed, 2):
        final(deployed, key, version_id="v")
        eventually(lambda: key in {one["detail"]["key"] for one in _undelivered(deployed)}, "its letter")
    [done] = json.loads(deployed.darkroom("redrive", "--reason", "WEBHOOK", "--json").stdout)
    assert (done["key"], done["reason"], done["redriven"]) == (key, "WEBHOOK", True)
    assert eventually(lambda: _answered(deployed, key, 204), "the webhook's answer")["attempts"] == 1
    assert len(heard.events(key)) == 1


def _undelivered(deployed: Deployed) -> list[dict[str, Any]]:
    return [body for one in deployed.letters() if "detail-type" in (body := json.loads(one["Body"]))]


def test_the_rule_of_the_pages_mails_each_rejection(deployed: Deployed):
    """Here into a queue instead of a mailbox."""
    rules = [block.commands for block in blocks() if "put-rule --name rejected-pictures" in block.commands]
    assert len(rules) == 2  # README.md begins it, docs/events.md completes it
    ran = run(["bash", "-euc", "".join(rules)], deployed.cloud)
    assert ran.returncode == 0, ran.stderr
    topics = deployed.client("sns")
    [topic] = [one["TopicArn"] for one in topics.list_topics()["Topics"] if "rejected-pictures" in one["TopicArn"]]
    mailed = Heard(deployed, "mailed")
    mailed.let("sns")
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=mailed.arn)
    deployed.picture("raw/told/words.jpg", b"no picture")
    said = eventually(lambda: [one["Message"] for one in mailed.all()], "the mail")
    why = "not JPEG, PNG, GIF, WebP, TIFF, BMP or AVIF by its content"
    assert [one.strip('"') for one in said] == [f"raw/told/words.jpg was rejected: unsupported_format, {why}"]
    events = deployed.client("events")
    events.remove_targets(Rule="rejected-pictures", Ids=["mail"])
    events.delete_rule(Name="rejected-pictures")
