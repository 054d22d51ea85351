"""The webhook is sent each event until it takes it, signed, and its last answer is in the row."""

import hmac
import json
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import boto3
import pytest
import trustme

from functions import notify
from functions.notify import LONGEST_WAIT, Services
from functions.results import Results, plain
from functions.secrets import Secrets
from tests.functions.conftest import ENVIRONMENT, Context
from tests.receiver import SILENT, Receiver, receiver

KEY, ID = "raw/a b+c é.jpg", "0" * 32
EVENT = {"source": "darkroom", "detail-type": "Picture Succeeded", "detail": {"key": KEY, "id": ID}}
TABLE = ENVIRONMENT["RESULTS_TABLE"]


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as receiving:
        yield receiving


@pytest.fixture
def using(table: Any, hook: Receiver) -> Services:
    table.put_item(TableName=TABLE, Item={"key": {"S": KEY}, "status": {"S": "SUCCEEDED"}, "updated_at": {"S": "then"}})
    sqs, manager = boto3.client("sqs"), boto3.client("secretsmanager")
    queue = sqs.create_queue(QueueName="webhook")["QueueUrl"]
    secret = manager.create_secret(Name="webhook", SecretString="old")["ARN"]
    manager.put_secret_value(SecretId=secret, SecretString="new")
    return Services(Results(table, TABLE), sqs, Secrets(manager, secret), hook.url, queue, first_wait=30)


@pytest.fixture
def send(using: Services) -> Callable[..., bool]:
    """Whether it was taken, so that the queue forgets it."""

    def sent(attempt: int = 1, using: Services = using) -> bool:
        using.queues.send_message(QueueUrl=using.queue, MessageBody=json.dumps(EVENT))
        [message] = using.queues.receive_message(QueueUrl=using.queue)["Messages"]
        attributes = {"ApproximateReceiveCount": str(attempt)}
        identity = {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"]}
        event = {"Records": [{**identity, "body": message["Body"], "attributes": attributes}]}
        failures = notify.handler(event, Context(), using)["batchItemFailures"]
        assert failures in ([], [{"itemIdentifier": message["MessageId"]}])
        return not failures

    return sent


@pytest.fixture
def answer(table: Any) -> Callable[[], Any]:
    """What the row has of the webhook."""

    def read() -> Any:
        item = table.get_item(TableName=TABLE, Key={"key": {"S": KEY}})["Item"]
        assert plain(item)["updated_at"] == "then"  # or it would seem to have changed
        return plain(item)["webhook"]

    return read


def test_what_is_sent_is_the_event_signed_with_the_current_secret(send, hook, answer):
    """HMAC-SHA256 of time and body, byte for byte."""
    assert send()
    [sent] = hook.of(KEY)
    assert sent.event == EVENT
    assert sent.path == "/darkroom?from=tests"
    assert sent.headers["Content-Type"] == "application/json"
    time, signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", sent.headers["Darkroom-Signature"]).groups()  # type: ignore[union-attr]
    assert hmac.new(b"new", f"{time}.".encode() + sent.body, sha256).hexdigest() == signed
    assert answer().items() >= {"status_code": 204, "attempts": 1, "event": ID}.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer()["at"])


def test_a_url_without_a_path_is_of_the_root(send, using, hook):
    alone = replace(using, url=hook.url.partition("/darkroom")[0])
    assert send(using=alone)
    assert [one.path for one in hook.of(KEY)] == ["/"]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 410, 429, 500, 503])
def test_what_is_not_taken_waits_and_the_row_says_so(status, send, hook, answer):
    """A redirect is not followed: it leads to where nobody has chosen to send anything."""
    hook.answers[KEY] = [status]
    assert not send(attempt=3)
    assert len(hook.of(KEY)) == 1
    assert answer().items() >= {"status_code": status, "attempts": 3}.items()


def test_a_webhook_that_does_not_answer_is_waited_for_no_longer_than_it_may(send, hook, answer, monkeypatch):
    monkeypatch.setattr(notify, "TIMEOUT", 0.1)
    hook.answers[KEY] = [SILENT]
    assert not send()
    assert "status_code" not in answer()
    assert answer()["error"] == "TimeoutError: timed out"


def test_a_webhook_is_told_over_tls_only_if_its_certificate_is_trusted(send, using, answer, tmp_path, monkeypatch):
    """By the authorities that the system trusts, and for that name."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trusted: dict[str, Any] = {}
    for name in ("localhost", "elsewhere.example"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        with receiver(context) as hook:
            for trusts in ("nobody", "the authority"):
                if trusts == "the authority":
                    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
                trusted[name, trusts] = send(using=replace(using, url=hook.url)), answer().get("error", "")
        monkeypatch.delenv("SSL_CERT_FILE")
    assert trusted.pop(("localhost", "the authority")) == (True, "")
    for taken, error in trusted.values():
        assert not taken
        assert error.startswith("SSLCertVerificationError")


def test_a_webhook_that_is_not_there_is_tried_again(send, using, answer):
    """Nothing listens at port 1."""
    gone = replace(using, url="http://127.0.0.1:1/")
    assert not send(using=gone)
    assert answer()["error"].startswith("ConnectionRefusedError")


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 30), (2, 60), (5, 480), (9, LONGEST_WAIT), (20, LONGEST_WAIT)])
def test_each_attempt_waits_twice_as_long_as_the_one_before(attempt, seconds, send, using, hook, monkeypatch):
    """Up to two hours."""
    asked = []
    monkeypatch.setattr(using.queues, "change_message_visibility", lambda **how: asked.append(how["VisibilityTimeout"]))
    hook.answers[KEY] = [500]
    send(attempt=attempt)
    assert asked == [seconds]


def test_the_attempts_that_the_queue_allows_last_a_day():
    """What the page and the runbook say."""
    from stacks.announcements import ATTEMPTS_TO_NOTIFY, FIRST_WAIT

    waits = [min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) for attempt in range(ATTEMPTS_TO_NOTIFY - 1)]
    assert 23.5 < sum(waits) / 3600 < 24.5


def test_a_row_that_is_gone_does_not_come_back(send, table):
    """The answer alone would be no row."""
    table.delete_item(TableName=TABLE, Key={"key": {"S": KEY}})
    assert send()
    assert "Item" not in table.get_item(TableName=TABLE, Key={"key": {"S": KEY}})


def test_what_was_taken_is_not_sent_again_because_the_row_cannot_be_written(send, using, hook):
    table = Results(boto3.client("dynamodb"), "no such table")
    lost = replace(using, results=table)
    assert send(using=lost)
    assert len(hook.of(KEY)) == 1


def test_each_attempt_is_counted_for_the_alarm(send, hook, log_lines):
    """0 or 1: the alarm sums."""
    hook.answers[KEY] = [500]
    send(), send()
    assert [line["WebhookRefused"] for line in log_lines() if "WebhookRefused" in line] == [[1.0], [0.0]]


def test_what_the_webhook_says_is_cut_short(send, hook, log_lines):
    """It is in the log alone."""
    hook.answers[KEY] = [500]
    send()
    [said] = [line["body"] for line in log_lines() if "body" in line]
    assert len(said) == notify.SHOWN
