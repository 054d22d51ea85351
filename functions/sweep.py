"""Finish what an execution left unfinished where no Catch could: its row is settled, and one letter is sent.

Called by Step Functions' own event that an execution timed out, was aborted or died without its letter, which AWS
delivers at best effort; it asks nobody about it. And on a schedule: then it looks at the rows that are PROCESSING while
no execution is at them, and at every execution that ended badly in the last hours. Of these calls one is at work at a
time; what it has looked at it remembers, and what it has no time for the next one looks at. An execution that is looked
at twice all the same is finished once: its row remembers.

Nobody can be asked about an Express execution. Its row tells by its age that it is over, and its picture is started
again, up to MOST_AGAIN times.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import boto3

from functions.executions import (
    MOST_AGAIN,
    Again,
    Ended,
    Executions,
    again,
    event_of,
    executions,
    times_started_again,
)
from functions.keys import LONGEST_KEY
from functions.memory import Memory, mark, memory
from functions.results import Results, plain, results
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# The texts that an event tells of its object, if it has a row.
IDENTITY = {"Object Created": {"key", "etag", "sequencer"}, "Object Deleted": {"key", "sequencer"}}

LARGEST_NUMBER = 10**38  # DynamoDB keeps 38 digits

# How long after its end an execution that ended badly is looked for: longer than queue and table are away together.
LOOKS_BACK = timedelta(hours=3)

# A sweep begins nothing when it has less time left: longer than one execution takes, even where calls are slow.
SPARE_SECONDS = 60

# A row whose execution ended longer ago has been missed by the event and by two sweeps.
STALLED_AFTER = timedelta(minutes=30)
FORGOTTEN = {"code": "STALLED", "message": "the row was left PROCESSING, and its execution is not known any more"}


@dataclass(frozen=True, slots=True)
class Services:
    executions: Executions
    results: Results
    letters: SQSClient
    memory: Memory
    again: Again | None = None


@cache
def services() -> Services:
    return Services(executions(), results(), boto3.client("sqs"), memory(), again())


@dataclass(frozen=True, slots=True)
class Suspect:
    """An execution that may have left something unfinished. `look` asks what became of it."""

    arn: str
    look: Callable[[], Ended | None]
    left_a_row: bool = False


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext, using: Services | None = None) -> dict[str, str]:
    """What became of each execution that was looked at."""
    using = using or services()
    if event["source"] == "aws.states":
        ended = using.executions.told(event["detail"])
        return {event["detail"]["executionArn"]: _finish(using, ended, told=True)}
    now = datetime.now(UTC)
    looked_at = using.memory.begin(now, now + timedelta(milliseconds=context.get_remaining_time_in_millis()))
    if looked_at is None:
        logger.warning("another sweep is at work: this one leaves")
        return {}
    return _sweep(using, context, looked_at)


def _sweep(using: Services, context: LambdaContext, looked_at: Set[bytes]) -> dict[str, str]:
    became: dict[str, str] = {}
    problems: list[Exception] = []
    found, done, all_found, stalled = set[bytes](), set[bytes](), False, 0

    def has_time() -> bool:
        return context.get_remaining_time_in_millis() >= SPARE_SECONDS * 1000

    try:
        for suspect in _suspects(using):
            found.add(mark(suspect.arn))
            if mark(suspect.arn) in looked_at and not suspect.left_a_row:
                continue
            if not has_time() or not (using.again is None or using.again.waits_for_room(has_time)):
                logger.warning("no time for the rest: the next sweep goes on")
                break
            logger.append_keys(key=None, execution=suspect.arn)
            try:
                ended = suspect.look()
                stalled += suspect.left_a_row and _is_long_over(ended)
                if ended and _may_be_started_again(using, ended) and mark(suspect.arn) not in looked_at:
                    became[suspect.arn] = _start_again(using, ended)
                else:
                    became[suspect.arn] = _finish(using, ended, told=False)
                if ended:
                    done.add(mark(suspect.arn))
            except Exception as problem:  # one that cannot be finished does not keep the others waiting
                logger.exception("not finished")
                problems.append(problem)
        else:
            all_found = True
    except Exception as problem:  # what was listed until then is finished
        logger.append_keys(key=None, execution=None)
        logger.exception("not listed")
        problems.append(problem)
    metrics.add_metric("Stalled", MetricUnit.Count, stalled)  # also none: an alarm of it clears by that
    # What Step Functions does not list any more need not be remembered.
    using.memory.end((looked_at & found if all_found else looked_at) | done)
    if problems:
        raise ExceptionGroup("not finished: the next sweep tries again", problems)
    return became


def _suspects(using: Services) -> Iterator[Suspect]:
    """First those of rows."""
    now = datetime.now(UTC)
    of_rows = set()
    for row in _left_rows(using, now - timedelta(seconds=int(os.environ["SECONDS_LEFT_ALONE"]))):
        arn = row["execution"]["S"]
        of_rows.add(arn)
        yield Suspect(arn, partial(_ended, using, row), left_a_row=True)
    stopped_since = now - LOOKS_BACK
    started_since = stopped_since - timedelta(seconds=int(os.environ["LONGEST_EXECUTION_SECONDS"]))
    for arn in using.executions.ended_badly(stopped_since, started_since):
        if arn not in of_rows:
            yield Suspect(arn, partial(using.executions.ended, arn))


def _left_rows(using: Services, before: datetime) -> Iterator[dict[str, Any]]:
    """The rows that are PROCESSING since before that time, and no execution is at them. All that run are listed once,
    because a burst has thousands at work for hours, and a question about each would take them all from others."""
    running: Set[bytes] | None = None
    for row in using.results.at_work_since(before):
        arn = row["execution"]["S"]
        if using.executions.can_tell_of(arn):
            try:
                running = {mark(one) for one in using.executions.running()} if running is None else running
            except LookupError as too_many:
                logger.warning("rows are looked at when fewer executions run", extra={"because": str(too_many)})
                return
            if mark(arn) in running:
                continue
        yield row


def _is_long_over(ended: Ended | None) -> bool:
    return ended is not None and (ended.stopped is None or ended.stopped < datetime.now(UTC) - STALLED_AFTER)


def _ended(using: Services, row: Mapping[str, Any]) -> Ended | None:
    """The execution of a row; where Step Functions does not know it any more, what the row itself remembers."""
    arn, remembered = row["execution"]["S"], plain(row)
    if using.executions.can_tell_of(arn):
        with suppress(LookupError):
            return using.executions.ended(arn)
    # With an error it had given up already: an Express execution says so before its letter, which may be sent or not.
    how, error = ("FAILED", remembered["error"]) if "error" in remembered else ("STALLED", FORGOTTEN)
    written = datetime.fromisoformat(remembered["updated_at"])
    event = event_of(remembered, os.environ["UPLOADS_BUCKET"])
    return Ended(arn, how, event, error, sent_nothing=True, stopped=written)


def _finish(using: Services, ended: Ended | None, *, told: bool) -> str:
    """The row is taken first and settled last: who comes second finds it taken, and who dies between is followed by
    the schedule. Without a row nothing remembers, so that only who was told of it sends the letter."""
    if ended is None:
        return "RUNNING"
    logger.append_keys(key=_told_of(ended.event, "object", "key"), execution=ended.arn)
    has_row, now = _has_row(ended.event), datetime.now(UTC)
    take = partial(using.results.take, ended.event, ended.arn, now)
    # Cut off while its row was not final, it never came to its letter: Step Functions is asked nothing.
    at_work = has_row and ended.was_cut_off and take(letter_owed=False)
    owed = at_work or ended.sent_nothing or not using.executions.has_sent_its_letter(ended.arn)
    mine = at_work or (take(letter_owed=owed) if has_row else told and owed)
    if not mine:
        return "SETTLED"
    if owed:
        _send_letter(using, ended)
    if has_row:
        using.results.settle(ended.event, ended.arn, ended.error, now)
    metrics.add_metric("Swept", MetricUnit.Count, 1)
    logger.warning("finished what an execution left", extra={"how": ended.how, "letter": owed})
    return ended.how


def _may_be_started_again(using: Services, ended: Ended) -> bool:
    """An upload of whose execution nobody knows more than that its row was left PROCESSING. If the row still names one
    that a sweep has looked at, then what it started died before it had the row, and so would the next."""
    if using.again is None or ended.how != "STALLED" or not ended.sent_nothing:
        return False
    return ended.event["detail-type"] == "Object Created" and times_started_again(ended.arn) < MOST_AGAIN


def _start_again(using: Services, ended: Ended) -> str:
    assert using.again
    started = using.again.start(ended.event, ended.arn)
    logger.warning("started again what ran out of time", extra={"started": started})
    return "STARTED AGAIN"


def _has_row(event: Any) -> bool:
    """Whether the row can be written. An event that lacks one of these, or has what S3 or the table does not take, was
    not sent by S3, and there is no telling which event of its key is newer."""
    kind = str(event.get("detail-type")) if isinstance(event, dict) else ""
    if kind not in IDENTITY:
        return False
    texts = [_told_of(event, "object", name) for name in IDENTITY[kind]]
    texts.append(_told_of(event, "object", "version-id") or "null")  # a bucket may have none
    texts.append(str(event.get("redrives") or None))
    size = 0 if kind == "Object Deleted" else _told_of(event, "object", "size")
    return (
        all(_bytes_of(text) for text in texts)
        and _bytes_of(_told_of(event, "object", "key")) <= LONGEST_KEY
        and type(size) is int  # True is an int too
        and 0 <= size < LARGEST_NUMBER
    )


def _bytes_of(text: Any) -> int:
    """In UTF-8; 0 also of what is no text, and of a text with half a character."""
    try:
        return len(text.encode()) if isinstance(text, str) else 0
    except UnicodeEncodeError:
        return 0


def _told_of(event: Any, *path: str) -> Any:
    """What stands there in the event's detail; None where nothing does, whatever the event is."""
    for name in ("detail", *path):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def _send_letter(using: Services, ended: Ended) -> None:
    """The state machine's own letter, with how the execution ended for a reason."""
    body = {
        "key": _told_of(ended.event, "object", "key"),
        "bucket": _told_of(ended.event, "bucket", "name"),
        "error": ended.error,
        "execution": ended.arn,
        "event": ended.event,
    }
    using.letters.send_message(
        QueueUrl=os.environ["DEAD_LETTER_QUEUE"],
        MessageBody=json.dumps(body),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": ended.how}},
    )
