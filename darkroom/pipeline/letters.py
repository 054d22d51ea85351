"""Where a picture's way broke off: read the dead letters and send their pictures on their way again."""

import json
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from math import inf
from time import monotonic, sleep
from typing import Any, NamedTuple

from darkroom.errors import TargetError
from darkroom.pipeline import results
from darkroom.pipeline.executions import arn_of
from darkroom.pipeline.target import Target

# While this long nobody else is given a letter that was read: time to start its execution, and many more.
HIDDEN_SECONDS = 120
LOOK_SECONDS = 10  # to read some hundreds; who dies over it leaves them hidden no longer
AT_ONCE = 10  # messages; SQS takes and gives no more
NAME_DIGITS = 40
WAIT_SECONDS = 1  # makes SQS ask all its servers; without it a short queue may look empty

UNTOLD, WEBHOOK = "UNTOLD", "WEBHOOK"  # the reasons of letters about what was not told
WRITTEN_WITHIN = 15  # minutes between the time that a row bears and its change in the table's stream, at most
TOLD_AT_ONCE = 100  # rows, in one call of a function that has a minute

Done = dict[str, Any]


class Between(NamedTuple):
    """Rows that were written in that time, which nobody was told of. Beginnings of `updated_at`."""

    since: str
    until: str


@dataclass(frozen=True)
class Letter:
    """`untold`: the picture's way is over, but somebody was not told of its end. Such a letter has no event: its row
    says what there is to tell."""

    id: str
    receipt: str
    key: str
    reason: str
    error: dict[str, str]
    event: dict[str, Any]
    execution: str | None  # that failed; none where EventBridge could start none
    sent: datetime | None = None
    untold: bool = False
    between: Between | None = None  # of an untold letter that names no picture; its `key` says so in words


@dataclass(frozen=True)
class Unreadable:
    """A message that is no letter: shown, and left where it is."""

    id: str
    problem: str
    body: str
    sent: datetime | None

    def done(self) -> Done:
        return {"letter": self.id, "redriven": False, "problem": self.problem}


def read_letter(message: Any) -> Letter | Unreadable:
    """One SQS message: the pipeline's own letter, the bare event that EventBridge could not deliver, or what could not
    be told.

    EventBridge says why in the attributes ERROR_CODE and ERROR_MESSAGE:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    milliseconds = message.get("Attributes", {}).get("SentTimestamp")
    sent = datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    try:
        body = json.loads(message["Body"])
        if untold := _untold(body, attributes):
            return Letter(message["MessageId"], message["ReceiptHandle"], **untold, sent=sent, untold=True)
        own = "event" in body
        event = body["event"] if own else body
        key = event["detail"]["object"]["key"]
    except (ValueError, KeyError, TypeError) as problem:
        said = f"neither a dead letter of the pipeline nor an undelivered event: {problem!r}"
        return Unreadable(message["MessageId"], said, message["Body"], sent)
    if own:
        reason, error, execution = attributes.get("reason", "FAILED"), body.get("error", {}), body.get("execution")
    else:
        reason, execution = "UNDELIVERED", None
        error = {"code": attributes.get("ERROR_CODE", ""), "message": attributes.get("ERROR_MESSAGE", "")}
    return Letter(message["MessageId"], message["ReceiptHandle"], key, reason, error, event, execution, sent)


def _untold(body: Any, attributes: dict[str, str]) -> dict[str, Any] | None:
    """What Announce could not tell, what the webhook did not take, and changes of rows at which Announce itself died:
    of those Lambda writes the letter. https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html"""
    of = {"reason": attributes.get("reason", ""), "event": {}}
    if "untold" in body:
        return {**of, "key": body["key"], "error": body["error"], "execution": body["execution"]}
    if of["reason"] == WEBHOOK:
        detail = body["detail"]
        message = f"the webhook did not take “{body['detail-type']}”; its row has the last answer"
        error = {"code": "WebhookRefused", "message": message}
        return {**of, "key": detail["key"], "error": error, "execution": detail.get("execution")}
    if "DDBStreamBatchInfo" in body:
        batch, why = body["DDBStreamBatchInfo"], body["requestContext"]["condition"]
        first, last = (batch[f"approximateArrivalOf{which}Record"] for which in ("First", "Last"))
        between = Between(_minutes_from(first, -WRITTEN_WITHIN), _minutes_from(last, WRITTEN_WITHIN))
        error = {"code": why, "message": "the function that tells of rows failed each time: its log says why"}
        what = f"{batch['batchSize']} changes of rows, {first} to {last}"
        return {**of, "reason": UNTOLD, "key": what, "error": error, "execution": None, "between": between}
    return None


def _minutes_from(time: str, minutes: int) -> str:
    return f"{datetime.fromisoformat(time) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S}"


def redrive(
    target: Target,
    keys: Sequence[str] = (),
    reason: str | None = None,
    *,
    failed: bool = False,
    rejected: bool = False,
    rate: float = inf,
    dry_run: bool = False,
) -> Generator[Done, None, None]:
    """Start again the pictures that have letters, or these keys, or this reason; what became of each.

    `failed` are those whose row says FAILED, with and without a letter; `rejected` adds those whose row says REJECTED.
    A letter is deleted only after its execution was started. That is named after the letter: one which comes
    twice starts one. Those not asked for, and unreadable ones, go back into the queue.
    """
    wanted = {name for key in keys for name in (key, target.upload_prefix + key)}
    # Before the letters, so that what is started by one and fails at once is not started again by its row.
    rows = [] if reason else _rows(target, keys, failed=failed or bool(keys), rejected=rejected)
    with_row = {row["key"] for row in rows}
    run = _Run(target, rate, dry_run=dry_run)
    found = set()
    with closing(_Queue(target)) as queue:
        for letter in queue:
            if isinstance(letter, Unreadable):
                yield letter.done()
                continue
            if (wanted and letter.key not in wanted) or reason not in (None, letter.reason):
                continue
            if (failed and letter.key not in with_row) or letter.execution in run.started:
                continue
            found.add(letter.key)
            yield _redrive(target, run, queue, letter)
    for row in rows:
        found.add(row["key"])
        if row["execution"] not in run.redriven:
            yield _done(row["key"], row["status"], row["error"], None if dry_run else _again(target, run, row))
    for key in keys:
        if not {key, target.upload_prefix + key} & found:
            yield {"key": key, "redriven": False, "problem": _why_not(target, key)}


def recaption(
    target: Target,
    keys: Sequence[str] = (),
    *,
    captions: Collection[str],
    rate: float = inf,
    dry_run: bool = False,
) -> Generator[Done, None, None]:
    """Have pictures captioned again, of these keys or all, that are shown with a caption that is FAILED or OFF, as
    asked. The rest of the row stays, and so do the renditions. Raises TargetError where captions are off."""
    if "RecaptionStateMachineArn" not in target.outputs:
        off = f"stack {target.stack} in {target.name} makes no captions"
        raise TargetError(f"{off}: set captions.enabled and run `{target.deploy_with}`")
    run = _Run(target, rate, dry_run=dry_run)
    for key in keys:
        row = results.find(target, key)
        if row is None or row.get("caption", {}).get("status") not in captions or not _can_be_captioned(row):
            yield {"key": row["key"] if row else key, "redriven": False, "problem": _why_no_caption(row)}
        else:
            yield _recaptioned(target, run, row)
    if not keys:
        for row in results.rows(target, captions=captions):
            if _can_be_captioned(row):
                yield _recaptioned(target, run, row)


def _again(target: Target, run: "_Run", row: results.Row) -> str | None:
    """A picture without a letter, by its row."""
    name = _name(target, target.output("StateMachineArn"), row["execution"])
    return run.start(results.event(target, row), row["execution"], name)


def _can_be_captioned(row: results.Row) -> bool:
    """Whether the version that is shown can be read. A newer one in work brings a caption of its own if it succeeds."""
    shown = results.shown_version(row)
    overwritten = shown == results.NO_VERSION and row["status"] != "SUCCEEDED"  # where no version is kept
    return shown is not None and not overwritten and row["status"] != "PROCESSING"


def _recaptioned(target: Target, run: "_Run", row: results.Row) -> Done:
    """Of the version that is shown. The new execution may write the caption where the row still shows that content."""
    caption, execution = row["caption"], None
    if not run.dry:
        machine, content = target.output("RecaptionStateMachineArn"), row["content_hash"]
        source = {
            "bucket": target.output("UploadsBucketName"),
            "key": row["key"],
            "version_id": results.shown_version(row),
            "etag": row.get("etag", ""),
        }
        name = _name(target, machine, f"{row['key']} {content}")
        execution = run.begin(machine, name, {"source": source, "content_hash": content})
    error = {"code": caption["status"], "message": caption.get("reason", "captions were off")}
    return _done(row["key"], "CAPTION", error, execution)


def _why_no_caption(row: results.Row | None) -> str:
    if row is None:
        return "no row"
    return f"its row is {row['status']}" + (f", its caption {row['caption']['status']}" if "caption" in row else "")


@dataclass(frozen=True)
class Waiting:
    """What was found in the queue, oldest first. `total` is SQS's own count, which is approximate; `hidden` of them
    somebody else is working on."""

    letters: list[Letter | Unreadable]
    total: int
    hidden: int


def count(target: Target) -> tuple[int, int]:
    """How many letters wait, and how many more somebody is working on; SQS calls both approximate."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = target.sqs.get_queue_attributes(QueueUrl=target.output("DeadLetterQueueUrl"), AttributeNames=names)
    return tuple(int(found["Attributes"][name]) for name in names)  # type: ignore[return-value]


def look(target: Target, most: int, *, hide: bool) -> Waiting:
    """The letters, at most so many, and back they go.

    SQS shows the same ten again and again unless those that were read are hidden for the moment. Where even that is
    too much (`hide` false), what it shows at once is all that is seen.
    """
    total, hidden = count(target)
    with closing(_Queue(target, hidden_seconds=LOOK_SECONDS if hide else 0)) as queue:
        seen = {letter.id: letter for letter in islice(queue.at_most(total), most)}
    found = sorted(seen.values(), key=lambda one: one.sent or datetime.max.replace(tzinfo=UTC))
    return Waiting(found, max(total, len(found)), hidden)


def redrive_letters(
    target: Target,
    ids: Collection[str] | None,
    *,
    rate: float = inf,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Done, None, None]:
    """As `redrive`, of these letters and no others, whatever their pictures' rows say; None is every letter. Once
    `stopped` it takes no more of them: a long queue is read through for a few."""
    run = _Run(target, rate, dry_run=False)
    missing = set(ids or ())
    with closing(_Queue(target)) as queue:
        for letter in queue:
            if stopped():
                return
            if ids is not None and letter.id not in missing:
                continue
            missing.discard(letter.id)
            if isinstance(letter, Unreadable):
                yield letter.done()
            elif letter.execution not in run.started:
                yield _redrive(target, run, queue, letter)
            if ids is not None and not missing:
                return
    for lost in sorted(missing):
        yield {"letter": lost, "redriven": False, "problem": "is not in the queue any more: redriven by somebody else?"}


def forget(target: Target, whose: Callable[[str], bool]) -> int:
    """Delete the letters of these pictures without a redrive; how many there were."""
    forgotten = 0
    with closing(_Queue(target)) as queue:
        for letter in queue:
            if isinstance(letter, Letter) and whose(letter.key):
                queue.delete(letter)
                forgotten += 1
    return forgotten


def _redrive(target: Target, run: "_Run", queue: "_Queue", letter: Letter) -> Done:
    """The letter goes only after its execution was started, or what it is about was told."""
    if letter.untold:
        return _tell(target, run, queue, letter)
    execution = run.start(letter.event, _redrives(target, letter), f"redrive-{letter.id}")
    if execution:
        queue.delete(letter)
    return _done(letter.key, letter.reason, letter.error, execution, letter.id)


def _tell(target: Target, run: "_Run", queue: "_Queue", letter: Letter) -> Done:
    """What the rows say now: what they said then may be long over. To the webhook alone, if only that was not told."""
    if run.dry:
        return _done(letter.key, letter.reason, letter.error, None, letter.id)
    if "AnnounceFunctionName" not in target.outputs:
        problem = "nobody is told of rows any more: set events.enabled or webhook.url, or delete the letter"
        return {"letter": letter.id, "key": letter.key, "redriven": False, "problem": problem}
    keys = [row["key"] for row in _ended(target, letter.between)] if letter.between else [letter.key]
    for start in range(0, len(keys), TOLD_AT_ONCE):
        run.wait()
        asked = {"keys": keys[start : start + TOLD_AT_ONCE], "webhook_only": letter.reason == WEBHOOK}
        answer = target.functions.invoke(
            FunctionName=target.output("AnnounceFunctionName"), Payload=json.dumps(asked).encode()
        )
        said = answer["Payload"].read().decode(errors="replace")
        if "FunctionError" in answer or json.loads(said)["untold"]:
            problem = f"could not be told: {said}"
            return {"letter": letter.id, "key": letter.key, "redriven": False, "problem": problem}
    queue.delete(letter)
    return {**_done(letter.key, letter.reason, letter.error, None, letter.id), "redriven": True}


def _ended(target: Target, between: Between) -> Iterator[results.Row]:
    for status in results.ENDED:
        yield from results.rows(target, status, since=between.since, until=between.until)


class _Queue:
    """The dead letters, each once. Those that were not deleted go back when it is closed."""

    def __init__(self, target: Target, hidden_seconds: int | None = None) -> None:
        self._sqs, self._url = target.sqs, target.output("DeadLetterQueueUrl")
        self._hidden_seconds = HIDDEN_SECONDS if hidden_seconds is None else hidden_seconds
        self._held: dict[str, str] = {}  # receipts, by letter

    def __iter__(self) -> Iterator[Letter | Unreadable]:
        while messages := self._read():
            yield from self._new(messages)

    def at_most(self, total: int) -> Iterator[Letter | Unreadable]:
        """Those that are there by SQS's own count, without waiting for more."""
        seen = 0
        while seen < total and (new := self._new(self._read())):
            seen += len(new)
            yield from new

    def delete(self, letter: Letter) -> None:
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)
        self._held.pop(letter.id, None)

    def close(self) -> None:
        if not self._hidden_seconds:
            return
        receipts = iter(self._held.values())
        while ten := list(islice(receipts, AT_ONCE)):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                    for place, receipt in enumerate(ten)
                ],
            )

    def _new(self, messages: Sequence[Any]) -> list[Letter | Unreadable]:
        new = [read_letter(message) for message in messages if message["MessageId"] not in self._held]
        self._held |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
        return new

    def _read(self) -> list[Any]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=AT_ONCE,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
            VisibilityTimeout=self._hidden_seconds,
            WaitTimeSeconds=WAIT_SECONDS,
        )
        return list(answer.get("Messages", []))


class _Run:
    """Starts executions, so many a second at most, and remembers them; a dry one only says what it would, and asks
    Step Functions nothing: of a thousand pictures that would take the account's quota away from the sweep."""

    def __init__(self, target: Target, rate: float, *, dry_run: bool) -> None:
        self._target, self._turns, self.dry = target, _turns(rate), dry_run
        self.started: set[str] = set()  # a letter that one of these sends is for the next run
        self.redriven: set[str] = set()

    def start(self, event: dict[str, Any], redrives: str | None, name: str) -> str | None:
        """The new execution may take the picture's row over from the one that it `redrives`, and from no other."""
        if redrives:
            event = {**event, "redrives": redrives}
            self.redriven.add(redrives)
        deletion = event.get("detail-type") == "Object Deleted"
        machine = self._target.output("DeletionStateMachineArn" if deletion else "StateMachineArn")
        return self.begin(machine, name, event)

    def wait(self) -> None:
        """For the next turn."""
        next(self._turns)

    def begin(self, machine: str, name: str, given: dict[str, Any]) -> str | None:
        """That execution, or the one that has the name already."""
        if self.dry:
            return None
        self.wait()
        states = self._target.states
        try:
            execution = states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(given))[
                "executionArn"
            ]
        except states.exceptions.ExecutionAlreadyExists:
            execution = arn_of(machine, name)
        self.started.add(execution)
        return execution


def _turns(rate: float) -> Iterator[None]:
    while True:
        began = monotonic()
        yield
        sleep(max(0, began + 1 / rate - monotonic()))


def _rows(target: Target, keys: Sequence[str], *, failed: bool, rejected: bool) -> list[results.Row]:
    statuses = [status for status, asked in (("FAILED", failed), ("REJECTED", rejected)) if asked]
    if keys:
        named = [row for key in keys if (row := results.find(target, key))]
        return [row for row in named if row["status"] in statuses]
    return [row for status in statuses for row in results.rows(target, status)]


def _redrives(target: Target, letter: Letter) -> str | None:
    """The execution that failed; or, where that was itself a redrive and died before it had the row, the one that still
    has it."""
    before = letter.event.get("redrives")
    row = results.find(target, letter.key) if before else None
    return before if row and row["execution"] == before else letter.execution


def _name(target: Target, machine: str, redrives: str) -> str:
    """Of a picture's redrive without a letter: after the execution that has its row, or the content that has no
    caption. A redrive of that name that has ended died before it had the row, or brought no caption; the next is named
    after that one. Express executions may have one name: Claim lets one of them have the row."""
    while True:
        name = f"redrive-{sha256(redrives.encode()).hexdigest()[:NAME_DIGITS]}"
        if target.is_express:
            return name
        redrives = arn_of(machine, name)
        try:
            if target.states.describe_execution(executionArn=redrives)["status"] == "RUNNING":
                return name
        except target.states.exceptions.ExecutionDoesNotExist:
            return name


def _why_not(target: Target, key: str) -> str:
    row = results.find(target, key)
    return f"no dead letter, and its row is {row['status']}" if row else "no dead letter and no row"


def _done(key: str, reason: str, error: dict[str, str], execution: str | None, letter: str | None = None) -> Done:
    return {
        "letter": letter,
        "redriven": execution is not None,
        "key": key,
        "reason": reason,
        "error": error,
        "execution": execution,
    }
