"""Whether a deployed stack does what it should, tried from outside with pictures of its own: `darkroom smoke`.

Everything it makes is under a new folder of the upload prefix, and is removed at the end: objects, rows and letters.
Executions stay for as long as Step Functions keeps them, and of those that ended badly the rows, which say DELETED.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

from darkroom.errors import explained
from darkroom.local.pictures import photo
from darkroom.pipeline import backfill, executions, letters, results, uploads
from darkroom.pipeline.histories import NoExecutionError
from darkroom.pipeline.results import Row
from darkroom.pipeline.target import Target
from darkroom.text import pictures, seconds

Found = TypeVar("Found")
Check = Callable[[], str]

POLL_SECONDS = 0.5
QUICK_POLL_SECONDS = 0.1  # for an execution that is to be stopped before it ends
BURST_SECONDS = 3  # more to wait for each picture of a burst: an account with 10 functions at once makes one in 2 s
STOPS = 3  # pictures that are tried to be stopped at work
DELETED_AT_ONCE = 1000  # objects, by one request to S3

FOLDER = "folder/"  # a console's marker for one
NEVER_HEARD = (
    "S3 sends EventBridge no events in the first five minutes or so after a deployment. "
    "If this stack is older, check that its rule for uploads is enabled"
)


class UnexpectedError(Exception):
    """Its text is what was seen."""


class NotTriedError(Exception):
    """Its text says why not."""


@dataclass(frozen=True)
class Line:
    name: str
    state: Literal["passed", "failed", "skipped"]
    expected: str
    seen: str
    seconds: float

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}


class Smoke:
    """`burst` is how many pictures are dropped at once. No wait is longer than `patience` seconds, but the burst's."""

    def __init__(self, target: Target, *, burst: int, patience: float) -> None:
        self.prefix = f"{target.upload_prefix}darkroom-smoke-{token_hex(4)}/"
        self._target, self._burst, self._patience = target, burst, patience
        self._bucket = target.output("UploadsBucketName")
        self._keys: set[str] = set()  # of all that was uploaded
        self._stopped_keys: set[str] = set()
        self._answers = False  # whether an upload has got a row
        self._first: Row = {}

    def checks(self) -> Iterator[tuple[str, Callable[[], Line]]]:
        """Each by its name, to be called when its turn has come: some go on with what an earlier one left."""
        checks: list[tuple[str, str, Check]] = [
            ("upload", "row SUCCEEDED, and each rendition it names is in the bucket", self._upload),
            ("history", "every state entered and left, one Resize for each rendition", self._history),
            ("event twice", "the second ends as Duplicate, and the row is as it was", self._deliver_again),
            ("captions", "caption OK, with a text", self._caption),
            ("burst", f"{pictures(self._burst)} at once, all SUCCEEDED", self._drop_burst),
            ("rejected", "row REJECTED with unsupported_format", self._reject),
            ("overwrite", "row of the newer version, and only its renditions", self._overwrite),
            (
                "backfill",
                "one object listed, and its picture made again by an execution that took the row over",
                self._backfill,
            ),
            ("delete", "row DELETED, no rendition left", self._delete),
            ("undelete", "without its delete marker the picture is back", self._undelete),
            ("version deleted", "without its newest version the older one is back", self._delete_newest),
            ("version gone", "row REJECTED with gone: the version was deleted before it was read", self._gone),
            ("lifecycle", "the rule takes a person's deletions, and no expiry", self._lifecycle),
            ("abort", "row FAILED and one letter; the redrive succeeds and takes the letter", self._abort),
            ("folder marker", "no row", self._marker),
        ]
        self._put(FOLDER, b"")  # the first event of all; its row is looked for last
        for name, expected, check in checks:
            yield name, partial(_tried, name, expected, check if self._answers or name == "upload" else _unheard)

    def clean(self) -> Line:
        """Remove what this made."""
        return _tried("clean", "nothing is left but a row DELETED for each execution that ended badly", self._clean)

    def _upload(self) -> str:
        ended = self._put_and_follow("photo.jpg", photo(600, 400))
        if ended.row is None:
            raise UnexpectedError(f"no row after {self._patience:g} s. {NEVER_HEARD}")
        self._answers = True
        self._first = self._with_renditions("photo.jpg", 600)
        return f"{_said(self._first)}; {', '.join(results.by_width(self._first))}"

    def _history(self) -> str:
        states = self._execution(self._first["execution"])["states"]
        visits = Counter(state["name"] for state in states)
        seen = ", ".join(name if count == 1 else f"{name} x {count}" for name, count in visits.items())
        if not states or any(state["exited"] is None for state in states):
            raise UnexpectedError(f"not every state was left: {seen}")
        if visits["Resize"] != len(self._first["renditions"]):
            raise UnexpectedError(seen)
        return seen

    def _execution(self, arn: str) -> dict[str, Any]:
        """With its states, once it has ended."""

        def ended() -> dict[str, Any] | None:
            try:
                found = executions.read(self._target, arn)
            except NoExecutionError:
                return None  # a log is some seconds behind
            return found if found["execution"]["status"] != "RUNNING" else None

        return self._wait(ended, lambda: f"{arn} still RUNNING")

    def _deliver_again(self) -> str:
        """What EventBridge may do at any time."""
        machine, event = self._target.output("StateMachineArn"), results.event(self._target, self._first)
        arn = self._target.states.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
        verdict, row = self._execution(arn)["execution"]["verdict"], self._row("photo.jpg")
        if verdict != "Duplicate" or row != self._first:
            raise UnexpectedError(f"{verdict}; {_said(row)}")
        return f"{verdict}; {_said(row)}"

    def _caption(self) -> str:
        caption = self._first["caption"]
        if caption["status"] == "OFF":
            raise NotTriedError("captions are off")
        if caption["status"] != "OK" or not caption.get("text"):
            raise UnexpectedError(f"{caption['status']}: {caption.get('reason', 'no text')}")
        return str(caption["text"])

    def _drop_burst(self) -> str:
        with TemporaryDirectory() as folder:
            picture = Path(folder, "photo.jpg")
            picture.write_bytes(photo(96, 64))
            files = {self._key(f"burst/{number:04}.jpg"): picture for number in range(self._burst)}
            self._keys |= files.keys()
            sent = list(uploads.send(self._target, files))
        ended = list(uploads.follow(self._target, sent, self._patience + BURST_SECONDS * self._burst))
        count = ", ".join(f"{number} {status}" for status, number in Counter(one.status for one in ended).items())
        if worst := next((one for one in ended if one.status != "SUCCEEDED"), None):
            raise UnexpectedError(f"{count}; {worst.upload.key}: {_said(worst.row)}")
        return f"{count}, the last after {seconds(max(one.seconds for one in ended))}"

    def _reject(self) -> str:
        row = self._put_and_follow("words.jpg", b"only words").row
        return self._rejected(row, "unsupported_format")

    def _overwrite(self) -> str:
        self._put("photo.jpg", photo(400, 300))
        return _said(self._with_renditions("photo.jpg", 400))

    def _backfill(self) -> str:
        before = self._row("photo.jpg") or {}
        arn = backfill.start(self._target, "all", self._key("photo.jpg"))["execution"]

        def ended() -> dict[str, Any] | None:
            now = backfill.progress(self._target, arn)
            return now if now["status"] != "RUNNING" else None

        found = self._wait(ended, lambda: f"{arn} still RUNNING")
        row, seen = self._row("photo.jpg"), f"{found['status']}, {found['done']} of {found['objects']} done"
        taken_over = row is not None and row["execution"] != before.get("execution")
        if (found["status"], found["objects"], found["done"]) != ("SUCCEEDED", 1, 1) or not taken_over:
            raise UnexpectedError(f"{seen}; {_said(row)}, {'another' if taken_over else 'the same'} execution")
        return f"{seen}; {_said(self._with_renditions('photo.jpg', 400))}"

    def _delete(self) -> str:
        self._target.s3.delete_object(Bucket=self._bucket, Key=self._key("photo.jpg"))
        return self._deleted("photo.jpg")

    def _undelete(self) -> str:
        self._delete_current("photo.jpg", "DeleteMarkers")
        return _said(self._with_renditions("photo.jpg", 400))

    def _delete_newest(self) -> str:
        self._delete_current("photo.jpg", "Versions")
        return _said(self._with_renditions("photo.jpg", 600))

    def _gone(self) -> str:
        """The event of the upload again, for the version it was about, as a redrive of what then had the row."""
        sent = self._put_and_follow("gone.jpg", photo(96, 64))
        if sent.row is None:
            raise UnexpectedError(_said(None))
        event = results.event(self._target, sent.row)
        event["detail"]["object"]["version-id"] = sent.upload.version_id
        self._delete_current("gone.jpg", "Versions")
        self._deleted("gone.jpg")
        event["redrives"] = (self._row("gone.jpg") or {})["execution"]
        machine = self._target.output("StateMachineArn")
        arn = self._target.states.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
        row = self._row_when("gone.jpg", lambda row: row["execution"] == arn and row["status"] in results.ENDED)
        return self._rejected(row, "gone")

    def _lifecycle(self) -> str:
        """By the pattern that is deployed, and by EventBridge's own judgement of it."""
        rules: Any = self._target.client("events")
        names = rules.list_rule_names_by_target(TargetArn=self._target.output("DeletionStateMachineArn"))["RuleNames"]
        patterns = [rules.describe_rule(Name=name)["EventPattern"] for name in names]
        if not patterns:
            raise UnexpectedError("no rule starts the deletion workflow")
        wrong = []
        for reason, taken in (("DeleteObject", True), ("Lifecycle Expiration", False)):
            for kind in ("Delete Marker Created", "Permanently Deleted"):
                event = json.dumps(self._deletion(reason, kind))
                answers = [rules.test_event_pattern(EventPattern=one, Event=event)["Result"] for one in patterns]
                if any(answers) != taken:
                    wrong.append(f"{reason}, {kind}: {'not ' * taken}taken")
        if wrong:
            raise UnexpectedError("; ".join(wrong))
        return f"{', '.join(names)} takes DeleteObject, and no Lifecycle Expiration"

    def _abort(self) -> str:
        if self._target.is_express:
            raise NotTriedError("nobody can stop an Express execution")
        key, arn = self._stopped()
        row = self._row_when(key, lambda row: row["status"] == "FAILED")
        [letter] = self._wait(lambda: self._letters(key), lambda: f"{_said(row)}; no letter")[:1]
        seen = f"{_said(row)}; letter {letter.reason}"
        if letter.reason != "ABORTED" or letter.execution != arn:
            raise UnexpectedError(f"{seen} of {letter.execution}")
        started = [one for one in letters.redrive(self._target, [self._key(key)]) if one["redriven"]]
        row = self._row_when(key, lambda row: row["status"] == "SUCCEEDED")
        left = self._letters(key)
        if len(started) != 1 or left:
            raise UnexpectedError(f"{seen}; redriven {len(started)} times; {len(left)} letters left")
        return f"{seen}; then {_said(row)}"

    def _stopped(self) -> tuple[str, str]:
        """The name of a picture whose execution was stopped at work, and that execution's ARN."""
        for number in range(STOPS):
            name = f"aborted-{number}.jpg"
            arn = self._claimed(self._put(name, photo(3000, 2000)))["execution"]
            self._stopped_keys.add(self._key(name))
            if self._stop(arn):
                return name, arn
        raise UnexpectedError(f"{STOPS} executions ended before they could be stopped")

    def _claimed(self, upload: uploads.Upload) -> Row:
        return self._wait(lambda: uploads.row_of(self._target, upload), lambda: _said(None), QUICK_POLL_SECONDS)

    def _stop(self, arn: str) -> bool:
        """False if it had ended already."""
        states = self._target.states
        try:
            states.stop_execution(executionArn=arn, cause="darkroom smoke stopped it")
        except states.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
        return states.describe_execution(executionArn=arn)["status"] == "ABORTED"

    def _marker(self) -> str:
        if row := self._row(FOLDER):
            raise UnexpectedError(_said(row))
        return "no row"

    def _clean(self) -> str:
        """The newest version of each key goes last: the deletion of an older one then makes none current again."""
        left = self._objects()
        failed = {row["key"] for row in results.of(self._target, sorted(self._keys)) if row["status"] == "FAILED"}
        kept = self._stopped_keys | failed  # the sweep looks at their executions for hours: no row is unfinished work
        for newest in (False, True):
            some = [{name: one[name] for name in ("Key", "VersionId")} for one in left if one["IsLatest"] is newest]
            for start in range(0, len(some), DELETED_AT_ONCE):
                batch: Any = {"Objects": some[start : start + DELETED_AT_ONCE], "Quiet": True}
                answer = self._target.s3.delete_objects(Bucket=self._bucket, Delete=batch)
                if answer.get("Errors"):
                    raise UnexpectedError(f"{answer['Errors'][0]} and perhaps more below {self.prefix}")
        deleted = {one["Key"] for one in left} - {self._key(FOLDER)}
        undone = self._undone(deleted) if self._answers else ""
        with self._target.results.batch_writer() as batch:
            for key in self._keys - kept:
                batch.delete_item(Key={"key": key})
        thrown = letters.forget(self._target, lambda key: key.startswith(self.prefix))
        seen = f"{len(left)} versions and {thrown} letters removed, and the rows but {len(kept)}"
        if undone:
            raise UnexpectedError(f"{seen}; {undone}")
        return seen

    def _undone(self, deleted: set[str]) -> str:
        """What the workflow has not done, when the patience is at its end, about these objects that were deleted. Its
        cleanup looks at their rows, which so must stay until then."""

        def rest() -> str:
            gone = {row["key"] for row in results.of(self._target, sorted(deleted)) if row["status"] == "DELETED"}
            late, renditions = sorted(deleted - gone), self._renditions()
            said = [f"not DELETED: {', '.join(late[:3])}"] if late else []
            return "; ".join([*said, *([f"{len(renditions)} renditions are left"] if renditions else [])])

        with suppress(UnexpectedError):
            self._wait(lambda: not rest(), str)
        return rest()

    def _objects(self) -> list[Any]:
        """Every version and delete marker of this."""
        paginator: Any = self._target.s3.get_paginator("list_object_versions")
        pages = paginator.paginate(Bucket=self._bucket, Prefix=self.prefix)
        return [one for page in pages for kind in ("Versions", "DeleteMarkers") for one in page.get(kind, [])]

    def _letters(self, name: str) -> list[letters.Letter]:
        most = sum(letters.count(self._target))
        found = letters.look(self._target, most, hide=True).letters
        return [one for one in found if isinstance(one, letters.Letter) and one.key == self._key(name)]

    def _deletion(self, reason: str, kind: str) -> dict[str, Any]:
        """As S3 sends it: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html."""
        picture = {"key": self._key("photo.jpg"), "version-id": "v", "sequencer": "0"}
        return {
            "version": "0",
            "id": "17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type": "Object Deleted",
            "source": "aws.s3",
            "account": "123456789012",
            "time": "2026-01-01T00:00:00Z",
            "region": "us-east-1",
            "resources": [f"arn:aws:s3:::{self._bucket}"],
            "detail": {
                "version": "0",
                "bucket": {"name": self._bucket},
                "object": picture,
                "reason": reason,
                "deletion-type": kind,
            },
        }

    def _delete_current(self, name: str, kind: Literal["Versions", "DeleteMarkers"]) -> None:
        """For good. Its version must be of this kind."""
        key = self._key(name)
        answer: Any = self._target.s3.list_object_versions(Bucket=self._bucket, Prefix=key)
        current = [one for one in answer.get(kind, []) if one["Key"] == key and one["IsLatest"]]
        if not current:
            raise NotTriedError(f"the newest of {key} is none of its {kind}")
        self._target.s3.delete_object(Bucket=self._bucket, Key=key, VersionId=current[0]["VersionId"])

    def _key(self, name: str) -> str:
        return self.prefix + name

    def _put(self, name: str, data: bytes) -> uploads.Upload:
        self._keys.add(self._key(name))
        return uploads.put(self._target, self._key(name), BytesIO(data))

    def _put_and_follow(self, name: str, data: bytes) -> uploads.Ended:
        [ended] = uploads.follow(self._target, [self._put(name, data)], self._patience)
        return ended

    def _row(self, name: str) -> Row | None:
        return results.find(self._target, self._key(name))

    def _row_when(self, name: str, right: Callable[[Row], bool]) -> Row:
        def look() -> Row | None:
            row = self._row(name)
            return row if row and right(row) else None

        return self._wait(look, lambda: _said(self._row(name)))

    def _with_renditions(self, name: str, width: int) -> Row:
        """The row of the picture that is so wide, once what it names is all that is in the bucket."""
        row = self._row_when(name, lambda row: row["status"] == "SUCCEEDED" and row["width"] == width)
        named = {one["key"] for one in row["renditions"].values()}
        self._wait(
            lambda: named == self._renditions(name),
            lambda: f"{_said(row)}; named {sorted(named)}, there are {sorted(self._renditions(name))}",
        )
        return row

    def _deleted(self, name: str) -> str:
        row = self._row_when(name, lambda row: row["status"] == "DELETED")
        self._wait(lambda: not self._renditions(name), lambda: f"{_said(row)}; {sorted(self._renditions(name))}")
        return f"{_said(row)}, no rendition"

    def _rejected(self, row: Row | None, code: str) -> str:
        if row is None or row["status"] != "REJECTED" or row["error"]["code"] != code:
            raise UnexpectedError(_said(row))
        return _said(row)

    def _renditions(self, name: str = "") -> set[str]:
        """Of that picture; without one, of all that this made."""
        folder = self._key(f"{name}/" if name else "").removeprefix(self._target.upload_prefix)
        bucket = self._target.output("RenditionsBucketName")
        pages = self._target.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
        return {one["Key"] for page in pages for one in page.get("Contents", [])}

    def _wait(self, look: Callable[[], Found | None], seen: Callable[[], str], poll: float = POLL_SECONDS) -> Found:
        """What it looks for, once that is there. Raises UnexpectedError with what was `seen` at the end."""
        deadline = time.monotonic() + self._patience
        while True:
            if found := look():
                return found
            if time.monotonic() > deadline:
                raise UnexpectedError(f"{seen()}, still after {self._patience:g} s")
            time.sleep(poll)


def _tried(name: str, expected: str, check: Check) -> Line:
    began = time.monotonic()
    state: Literal["passed", "failed", "skipped"]
    try:
        state, seen = "passed", check()
    except UnexpectedError as other:
        state, seen = "failed", str(other)
    except NotTriedError as why:
        state, seen = "skipped", str(why)
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        state, seen = "failed", line
    return Line(name, state, expected, seen, time.monotonic() - began)


def _unheard() -> str:
    raise NotTriedError("no upload gets a row")


def _said(row: Row | None) -> str:
    if row is None:
        return "no row"
    if row["status"] == "SUCCEEDED":
        return f"row SUCCEEDED, {row['width']}x{row['height']}"
    return f"row {row['status']}{': ' if 'error' in row else ''}{results.caption_or_error(row)}"
