"""The first step of a picture's way, the upload, and the wait for its last, the row."""

import mimetypes
import shlex
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

from darkroom.errors import DarkroomError, TargetError
from darkroom.pipeline import results
from darkroom.pipeline.results import ENDED, Row
from darkroom.pipeline.target import Target
from darkroom.text import pictures, plain

AT_ONCE = 8
POLL_SECONDS = 0.3
MANY = 10  # of them, the names of the first are said
WAITING = "WAITING"  # has no row yet
UNTOLD = timedelta(minutes=10)  # after the first deployment
NO_VERSION = "null"  # S3's own word


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


def keys(paths: Sequence[Path], prefix: str, say: Callable[[str], object] = str) -> dict[str, Path]:
    """Each key and the file it is for. A file gets its name; files of a folder keep their place below it.

    What has a name that begins with a dot is left out of a folder, and so is a link that leads out of it. Raises
    TargetError for a path that is not there, a name that no key can carry, two files for one key, or no file at all.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise TargetError(f"no such file or folder: {path}")
        for file in _files(path, say):
            key = prefix + (file.name if file == path else file.relative_to(path).as_posix())
            if key in found:
                raise TargetError(f"{found[key]} and {file} would both become {key}: upload them one by one")
            _check(key, file)
            found[key] = file
    if not found:
        raise TargetError(f"there is no file in {', '.join(map(str, paths))}")
    return found


def key_of(name: str, prefix: str) -> str:
    """The key of a file that is only known by its name. Raises TargetError for one that no key can carry."""
    key = prefix + name.strip("/")
    if key == prefix:
        raise TargetError("a picture needs a name")
    _check(key, Path(name))
    return key


def put(target: Target, key: str, body: IO[bytes]) -> Upload:
    """Upload what is read from `body`, under a key of its own."""
    before = {row["key"]: row.get("sequencer") for row in results.of(target, [key])}
    content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
    answer = target.s3.put_object(
        Bucket=target.output("UploadsBucketName"), Key=key, Body=body, ContentType=content_type
    )
    etag = answer["ETag"].strip('"')
    return Upload(Path(key), key, answer.get("VersionId", NO_VERSION), etag, time.monotonic(), before.get(key))


def row_of(target: Target, upload: Upload) -> Row | None:
    """The row as it stands, if it speaks of this very upload."""
    return next((row for row in results.of(target, [upload.key]) if _speaks_of(row, upload)), None)


class StoppedError(BaseException):
    """An upload was given up before S3 had all of it, and so has none of it. No Exception: those are tried again."""


@dataclass
class Sending:
    """What has become of the uploads so far. Told to stop, it begins no other, and gives up those under way."""

    files: dict[str, Path]
    told: Callable[[int], object] = int  # of bytes as they are sent; fewer than none where a part is sent again
    say: Callable[[str], object] = str
    sent: dict[str, Upload] = field(default_factory=dict)
    stopped: bool = False

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())

    @property
    def unsent(self) -> list[str]:
        return [key for key in self.files if key not in self.sent]


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
        part = super().read(-1 if size is None else size)
        self._sending.told(self.tell() - self._told)
        self._told = self.tell()
        return part


def send(target: Target, files: dict[str, Path], sending: Sending | None = None) -> Generator[Upload, None, None]:
    """Upload them, several at once; each is given back when S3 has it."""
    with _sending(target, sending or Sending(files)) as begun:
        for one in as_completed(list(begun)):
            yield one.result()


def send_and_follow(
    target: Target, files: dict[str, Path], timeout: float, sending: Sending | None = None
) -> Generator[Ended, None, None]:
    """As `send` and `follow`, with no more pictures on their way at any time than the target can work on."""
    with _sending(target, sending or Sending(files)) as begun:
        yield from _follow(target, [], begun, timeout)


def follow(target: Target, uploads: Iterable[Upload], timeout: float) -> Iterator[Ended]:
    """Each picture as its row says how it ended, for the version that was uploaded and for no other.

    When for `timeout` seconds after the last upload it has not ended, it is given back with the status its row has
    by then, or `WAITING`.
    """
    return _follow(target, uploads, iter(()), timeout)


def _follow(
    target: Target, uploads: Iterable[Upload], to_send: Iterator[Future[Upload]], timeout: float
) -> Iterator[Ended]:
    waiting = {upload.key: upload for upload in uploads}
    sending: list[Future[Upload]] = []
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
            waiting[one.result().key] = one.result()
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
def _sending(target: Target, sending: Sending) -> Iterator[Iterator[Future[Upload]]]:
    """Each upload begins when it is asked for. When the block is left, by Ctrl-C or an error, no other begins, and one
    under way is given up unless S3 has all its bytes already: then its answer is waited for."""
    bucket, s3 = target.output("UploadsBucketName"), target.s3
    before = {row["key"]: row.get("sequencer") for row in results.of(target, list(sending.files))}

    def put(key: str, path: Path) -> Upload:
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with _Body(path, sending) as body:
            answer = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
        etag = answer["ETag"].strip('"')
        sent = Upload(path, key, answer.get("VersionId", NO_VERSION), etag, time.monotonic(), before.get(key))
        sending.sent[key] = sent
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


def _files(path: Path, say: Callable[[str], object]) -> Sequence[Path]:
    """Of a folder those that are in it: a link may lead to any file that the caller may read, and the folder may be out
    of somebody's archive. No other folder is entered by a link."""
    if path.is_file():
        return [path]
    folder = path.resolve()
    shown = [
        file
        for file in sorted(path.rglob("*"))
        if file.exists() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    elsewhere = [file for file in shown if not file.resolve().is_relative_to(folder)]
    if elsewhere:
        names = [file.relative_to(path).as_posix() for file in elsewhere]
        say(f"Left out, because a link leads out of the folder ({len(names)}): {some(names)}")
    return [file for file in shown if file.is_file() and file not in elsewhere]


def _check(key: str, file: Path) -> None:
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise TargetError(f"the name {str(file)!r} is not text in UTF-8, and S3 takes no other: rename it") from None
    if length > 1024:  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
        raise TargetError(f"{file}: its key would be {length} bytes long, S3 takes 1024")


def some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(map(plain, names[:MANY])) + more
