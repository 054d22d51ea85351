"""The first step of a picture's way, the upload, and the wait for its last, the row."""

import mimetypes
import re
import shlex
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

from darkroom.errors import DarkroomError
from darkroom.pipeline import results
from darkroom.pipeline.results import ENDED, NO_VERSION, Row
from darkroom.pipeline.target import Target
from darkroom.text import pictures

AT_ONCE = 8
POLL_SECONDS = 0.3
WAITING = "WAITING"  # has no row yet
UNTOLD = timedelta(minutes=10)  # after the first deployment

_PART = r"\s*(0|0?\.[0-9]{1,6}|1(?:\.0{1,6})?)\s*"
FOCUS = re.compile(f"{_PART},{_PART}")  # what the pipeline takes for a point, as functions/imaging/crop.py has it


@dataclass(frozen=True)
class Upload:
    path: Path
    key: str
    version_id: str
    etag: str
    at: float  # time.monotonic() when S3 had all of it
    superseded: str | None  # the sequencer of the row that was there before

    def document(self) -> dict[str, Any]:
        return {"path": str(self.path), "key": self.key, "version_id": self.version_id}


@dataclass(frozen=True)
class Ended:
    upload: Upload
    status: str
    row: Row | None  # None if the picture had none for this version when the time was over
    seconds: float

    @property
    def fine(self) -> bool:
        """A rejection is a verdict: the pipeline did what it is for."""
        return self.status in ("SUCCEEDED", "REJECTED")

    def document(self) -> dict[str, Any]:
        return {
            **self.upload.document(),
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "row": self.row,
        }


def put(target: Target, key: str, body: IO[bytes]) -> Upload:
    """Upload what is read from `body`, under a key of its own."""
    return _put(target, key, Path(key), body, _sequencers(target, [key]), {})


def _put(
    target: Target,
    key: str,
    path: Path,
    body: IO[bytes],
    before: Mapping[str, str | None],
    metadata: Mapping[str, str],
) -> Upload:
    content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
    answer = target.s3.put_object(
        Bucket=target.output("UploadsBucketName"), Key=key, Body=body, ContentType=content_type, Metadata=metadata
    )
    etag = answer["ETag"].strip('"')
    return Upload(path, key, answer.get("VersionId", NO_VERSION), etag, time.monotonic(), before.get(key))


def _sequencers(target: Target, keys: Sequence[str]) -> dict[str, str | None]:
    """Of the rows that there are, by key."""
    return {row["key"]: row.get("sequencer") for row in results.of(target, keys)}


def row_of(target: Target, upload: Upload) -> Row | None:
    """The row as it stands, if it speaks of this very upload."""
    return next((row for row in results.of(target, [upload.key]) if _speaks_of(row, upload)), None)


class StoppedError(BaseException):
    """An upload was given up before S3 had all of it, and so has none of it. No Exception: those are tried again."""


class UnreadableError(StoppedError):
    """Its text says why a file could not be read to its end."""


@dataclass
class Sending:
    """What has become of the uploads so far. Told to stop, it begins no other, and gives up those under way. `metadata`
    goes with each."""

    files: dict[str, Path]
    told: Callable[[int], object] = int  # of bytes as they are sent; fewer than none where a part is sent again
    say: Callable[[str], object] = str
    metadata: Mapping[str, str] = field(default_factory=dict)
    sent: dict[str, Upload] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)  # why, by key
    stopped: bool = False

    @property
    def size(self) -> int:
        """Of all that can be read, in bytes."""
        return sum(_size(path) for path in self.files.values())

    @property
    def unsent(self) -> list[str]:
        return [key for key in self.files if key not in self.sent and key not in self.unreadable]


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


class _Body(FileIO):
    """A file that tells how far it is read. It is read once more where its upload is tried again."""

    def __init__(self, path: Path, sending: Sending) -> None:
        super().__init__(path)
        self._sending = sending
        self._size = path.stat().st_size
        self._told = 0

    def read(self, size: int | None = -1, /) -> Any:
        if self._sending.stopped and self.tell() < self._size:  # at its end S3 may have all of it
            raise StoppedError
        try:
            part = super().read(-1 if size is None else size)
        except OSError as problem:
            raise UnreadableError(problem.strerror) from None
        self._sending.told(self.tell() - self._told)
        self._told = self.tell()
        return part


def send(target: Target, files: dict[str, Path], sending: Sending | None = None) -> Generator[Upload, None, None]:
    """Upload them, several at once; each is given back when S3 has it. What cannot be read is left to `sending`."""
    with _sending(target, sending or Sending(files)) as begun:
        for one in as_completed(list(begun)):
            if upload := one.result():
                yield upload


def send_and_follow(
    target: Target, files: dict[str, Path], timeout: float, sending: Sending | None = None
) -> Generator[Ended, None, None]:
    """As `send` and `follow`, with no more pictures on their way at any time than the target can work on."""
    with _sending(target, sending or Sending(files)) as begun:
        yield from follow(target, [], timeout, begun)


def follow(
    target: Target, uploads: Iterable[Upload], timeout: float, to_send: Iterable[Future[Upload | None]] = ()
) -> Iterator[Ended]:
    """Each picture as its row says how it ended, for the version that was uploaded and for no other. Those `to_send`
    begin when the target has room for them.

    When for `timeout` seconds after the last upload it has not ended, it is given back with the status its row has
    by then, or `WAITING`.
    """
    to_send = iter(to_send)
    waiting = {upload.key: upload for upload in uploads}
    sending: list[Future[Upload | None]] = []
    deadline = time.monotonic() + timeout
    while True:
        room = max(0, target.at_once - len(waiting) - len(sending))
        sending += islice(to_send, room)
        if not (waiting or sending):
            return
        if sending:
            deadline = time.monotonic() + timeout
        for one in [one for one in sending if one.done()]:
            sending.remove(one)
            if upload := one.result():
                waiting[upload.key] = upload
        late = not sending and time.monotonic() > deadline
        for row in results.of(target, list(waiting)):
            upload = waiting[row["key"]]
            if _speaks_of(row, upload) and (row["status"] in ENDED or late):
                del waiting[upload.key]
                yield Ended(upload, row["status"], row, time.monotonic() - upload.at)
        if late:
            break
        time.sleep(POLL_SECONDS)
    for upload in waiting.values():
        yield Ended(upload, WAITING, None, time.monotonic() - upload.at)


@contextmanager
def _sending(target: Target, sending: Sending) -> Iterator[Iterator[Future[Upload | None]]]:
    """Each upload begins when it is asked for. When the block is left, by Ctrl-C or an error, no other begins, and one
    under way is given up unless S3 has all its bytes already: then its answer is waited for."""
    before = _sequencers(target, list(sending.files))
    _ = target.s3  # made here: threads may not share the making of a client

    def put(key: str, path: Path) -> Upload | None:
        try:
            body = _Body(path, sending)
        except OSError as problem:
            sending.unreadable[key] = problem.strerror or str(problem)
            return None
        try:
            with body:
                sent = sending.sent[key] = _put(target, key, path, body, before, sending.metadata)
        except UnreadableError as problem:
            sending.unreadable[key] = str(problem)
            return None
        return sent

    workers = ThreadPoolExecutor(AT_ONCE)
    try:
        yield (workers.submit(put, key, path) for key, path in sending.files.items())
    except KeyboardInterrupt:
        sending.stopped = True
        sending.say("Stopping: no other upload begins")
        raise
    finally:
        sending.stopped = True
        workers.shutdown(cancel_futures=True)


def silence(target: Target, ended: Sequence[Ended]) -> str | None:
    """Why pictures may have no row soon after the first deployment, where some have none."""
    silent = [end for end in ended if end.status == WAITING]
    if silent and datetime.now(UTC) - timedelta(seconds=max(end.seconds for end in silent)) < target.created + UNTOLD:
        return (
            f"{pictures(len(silent))} without a row, and the stack is new. On AWS, S3 needs about five minutes after"
            " the first deployment until it tells of uploads: upload again what has no row by then."
        )
    return None


def require_verdicts(ended: Sequence[Ended]) -> None:
    """Raises DarkroomError if one failed or has not ended in time."""
    other = [end for end in ended if not end.fine]
    if other:
        why = f"`darkroom inspect {shlex.quote(other[0].upload.key)}` says why"
        raise DarkroomError(f"{len(other)} of {len(ended)} failed or did not end in time: {why}")


def _speaks_of(row: Row, upload: Upload) -> bool:
    """Whether the row is about this very upload.

    Events of a bucket without versions name none, nor do those of the local cloud: there it is the same content
    claimed anew.
    """
    if row.get("version_id", NO_VERSION) != NO_VERSION:
        return bool(row["version_id"] == upload.version_id)
    return row.get("etag") == upload.etag and row.get("sequencer") != upload.superseded
