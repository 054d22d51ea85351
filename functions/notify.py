"""Send one event to the webhook: a signed POST. Its queue calls, and calls again while the webhook does not take it.

Taken is what is answered with 200 to 299. Redirects are not followed: they would lead to where nobody has chosen to
send anything. After as many attempts as its queue allows, SQS moves the event to the dead letters.
"""

from __future__ import annotations

import hmac
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

from functions.results import Results, results
from functions.secrets import Secrets, secrets
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TIMEOUT = 10  # seconds for each part of the answer; the function's own time limit is for all of it
SHOWN = 500  # bytes of an answer that are read, for the log

LONGEST_WAIT = 7200  # seconds between two attempts


@dataclass(frozen=True, slots=True)
class Services:
    results: Results
    queues: SQSClient
    secrets: Secrets
    url: str
    queue: str
    first_wait: int  # seconds


@cache
def services() -> Services:
    return Services(
        results(),
        boto3.client("sqs"),
        secrets("WEBHOOK_SECRET"),
        os.environ["WEBHOOK_URL"],
        os.environ["WEBHOOK_QUEUE"],
        int(os.environ["FIRST_WAIT_SECONDS"]),
    )


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext, using: Services | None = None) -> dict[str, Any]:
    """Which message the queue keeps, of the one that there is."""
    using = using or services()
    [message] = event["Records"]
    told = json.loads(message["body"])["detail"]
    logger.append_keys(key=told["key"], execution=told.get("execution"))
    try:
        taken = _notify(using, message, told)
    except Exception:
        logger.exception("not sent")  # Lambda's own line about it does not name the picture
        raise
    return {"batchItemFailures": [] if taken else [{"itemIdentifier": message["messageId"]}]}


def _notify(using: Services, message: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether it was taken; if not, the queue is told when the next attempt is."""
    attempts = int(message["attributes"]["ApproximateReceiveCount"])
    answer = _post(using.url, message["body"].encode(), using.secrets.valid()[0])
    taken = bool(200 <= answer.get("status_code", 0) <= 299)
    metrics.add_metric("WebhookRefused", MetricUnit.Count, int(not taken))
    say = logger.info if taken else logger.warning
    say("taken" if taken else "not taken", extra={"attempts": attempts, "id": told["id"], **answer})
    answer.pop("body", None)
    _keep(using, told["key"], {**answer, "at": _now(), "attempts": attempts, "event": told["id"]})
    if not taken:
        wait = min(using.first_wait * 2 ** (attempts - 1), LONGEST_WAIT)
        using.queues.change_message_visibility(
            QueueUrl=using.queue, ReceiptHandle=message["receiptHandle"], VisibilityTimeout=wait
        )
    return taken


def _post(url: str, body: bytes, secret: bytes) -> dict[str, Any]:
    """`status_code` and the beginning of what was said, or the `error` that there is no answer."""
    target = urlsplit(url)
    connect = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection = connect(str(target.hostname), target.port, timeout=TIMEOUT)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Darkroom",
        "Darkroom-Signature": signature(body, secret, int(time.time())),
    }
    try:
        path = f"{target.path or '/'}?{target.query}".removesuffix("?")
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return {"status_code": answer.status, "body": answer.read(SHOWN).decode(errors="replace")}
    except (OSError, HTTPException) as problem:  # of TLS too
        return {"error": f"{type(problem).__name__}: {problem}"[:SHOWN]}
    finally:
        connection.close()


def signature(body: bytes, secret: bytes, at: int) -> str:
    """Of the body and of the time, in seconds: what was overheard is no good for long."""
    signed = hmac.new(secret, f"{at}.".encode() + body, sha256).hexdigest()
    return f"t={at},v1={signed}"


def _keep(using: Services, key: str, answer: dict[str, Any]) -> None:
    """What the webhook has taken is not sent again because the row cannot be written."""
    try:
        using.results.keep_answer(key, answer)
    except ClientError:
        logger.exception("the answer is not in the row")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
