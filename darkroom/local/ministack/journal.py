"""What MiniStack holds in memory is written down as it happens, so that a kill loses at most the last moment of it.

MiniStack writes all of it at its end, and only then; objects of S3 it writes at once. Here what has changed goes into a
database every half second, all of it in one transaction. While CloudFormation is at work on a stack, only what the
pictures change is written: a kill then leaves the stack as it was before.
"""

import hashlib
import json
import logging
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence

from darkroom.local.ministack import parts

FILE = "memory.sqlite"

EVERY = 0.5  # seconds
QUIET = 10  # seconds after the last request, from which on the looks are as far apart
SHARE = 20  # a look takes at most one second in so many: the more there is, the rarer they are
SHARE_OF_ALL = 100  # the same, of a look at what pictures do not change

LARGE = 1024  # bytes that are kept beside, once: the code of functions and layers
BLOB = "__blob__"
BLOBS = re.compile(rf'"{BLOB}": "([0-9a-f]+)"')

_log = logging.getLogger(__name__)
_load_persisted_state = app._load_persisted_state


def add() -> None:
    journal = Journal(Path(persistence.STATE_DIR) / FILE)
    app._load_persisted_state = journal.load
    app.save_all = lambda _: journal.close()
    serve = app.app

    async def noticed(*request: Any) -> None:
        await serve(*request)
        journal.last_request = time.monotonic()

    app.app = noticed


class Journal:
    def __init__(self, file: Path) -> None:
        self._file = file
        self.last_request = time.monotonic()
        self._marks: dict[str, dict[parts.Record, Any]] = defaultdict(dict)  # by service, of what is written down
        self._blobs: dict[int, tuple[bytes, str]] = {}
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write_until_ended, name="journal", daemon=True)

    def load(self) -> None:
        """What was written down; in a new home nothing, and in one of an earlier version what MiniStack wrote."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        self._database.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS records (
                service TEXT, store TEXT, key TEXT, part TEXT, value TEXT, PRIMARY KEY (service, store, key, part)
            );
            CREATE TABLE IF NOT EXISTS blobs (digest TEXT PRIMARY KEY, value BLOB);
            """
        )
        if self._database.execute("SELECT 1 FROM records LIMIT 1").fetchone():
            self._forget_unused_blobs()
            app.load_state = self._state
        _load_persisted_state()
        self._writer.start()

    def close(self) -> None:
        self._ended.set()
        self._writer.join()
        self._write(parts.services())
        self._database.close()

    def _write_until_ended(self) -> None:
        """All that is set up when it has changed, until it is written down, and now and then; in between what the
        pictures change."""
        next_of_all, began, pause, written = 0.0, 0.0, EVERY, dict[tuple[str, str], Any]()
        while not self._ended.wait(pause):
            if time.monotonic() > self.last_request + QUIET and time.monotonic() < began + QUIET:
                continue
            began, spent = time.monotonic(), time.thread_time()
            whole = False
            try:
                there = parts.set_up()
                of_all = began >= next_of_all or (there != written and not parts.stack_at_work())
                whole = self._write(parts.services() if of_all else parts.GROWING)
            except Exception:  # the next one tries again
                _log.exception("Not written down")
            took = time.thread_time() - spent  # and not what others took meanwhile
            if whole:
                next_of_all, written = began + SHARE_OF_ALL * took, there
            else:
                pause = max(EVERY, SHARE * took)

    def _write(self, services: Sequence[str]) -> bool:
        """What has changed in these since the last time; all of it or nothing. Whether it was all that there is."""
        everything = services != parts.GROWING and not parts.stack_at_work()
        changed, gone, whole = self._changes(services if everything else parts.GROWING, deployed=everything)
        if everything and parts.stack_at_work():
            return False  # some of it is of before, some of after
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            texts = ((*part.record, text) for part, text in changed)
            self._database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", texts)
            where = "service = ? AND store = ? AND key = ? AND part = ?"
            self._database.executemany(f"DELETE FROM records WHERE {where}", gone)
        for part, text in changed:
            self._marks[part.record[0]][part.record] = text if part.mark is None else part.mark
        for record in gone:
            del self._marks[record[0]][record]
        return everything and whole

    def _changes(
        self, services: Sequence[str], *, deployed: bool
    ) -> tuple[list[tuple[parts.Part, str]], list[parts.Record], bool]:
        """What to write and what to remove, and whether every service could be read."""
        changed, gone, whole = [], [], True
        for service in services:
            try:
                of_service, found = self._changes_of(service, deployed=deployed)
            except Exception:  # the others are written all the same
                _log.exception("What %s holds is not written down", service)
                whole = False
                continue
            changed += of_service
            lost = self._marks[service].keys() - found
            gone += [record for record in lost if deployed or record[3] != parts.WHOLE]
        return changed, gone, whole

    def _changes_of(self, service: str, *, deployed: bool) -> tuple[list[tuple[parts.Part, str]], set[parts.Record]]:
        marks = self._marks[service]
        stores = parts.state(service)
        if stores is None:  # it has not been asked for anything
            return [], set(marks)
        changed, found = [], set()
        for part in parts.taken_apart(service, stores):
            found.add(part.record)
            before = marks.get(part.record)
            if (part.deployed and not deployed) or (part.mark is not None and part.mark == before):
                continue
            text = json.dumps(part.value, default=self._default)
            if part.mark is not None or text != before:
                changed.append((part, text))
        return changed, found

    def _state(self, service: str) -> parts.State | None:
        """In place of MiniStack's own file."""
        query = "SELECT store, key, part, value FROM records WHERE service = ?"
        texts = {(service, *record): text for *record, text in self._database.execute(query, (service,))}
        marks = self._marks[service] = dict(texts)
        stores = parts.put_together(service, {record: self._value(text) for record, text in texts.items()})
        for part in parts.taken_apart(service, stores):
            marks[part.record] = texts[part.record] if part.mark is None else part.mark
        return stores or None

    def _default(self, value: Any) -> Any:
        if isinstance(value, bytes) and len(value) >= LARGE:
            if id(value) not in self._blobs:
                digest = hashlib.sha256(value).hexdigest()
                self._database.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, value))
                self._blobs[id(value)] = value, digest  # the value too, or the number would become another's
            return {BLOB: self._blobs[id(value)][1]}
        return persistence._json_default(value)

    def _value(self, text: str) -> Any:
        return json.loads(text, object_hook=self._restored) if '"__' in text else json.loads(text)

    def _restored(self, value: dict[str, Any]) -> Any:
        if BLOB in value:
            [[found]] = self._database.execute("SELECT value FROM blobs WHERE digest = ?", (value[BLOB],))
            return found
        return persistence._json_object_hook(value)

    def _forget_unused_blobs(self) -> None:
        texts = self._database.execute("SELECT value FROM records WHERE value LIKE ?", (f'%"{BLOB}"%',))
        used = {digest for [text] in texts for digest in BLOBS.findall(text)}
        kept = [digest for [digest] in self._database.execute("SELECT digest FROM blobs")]
        unused = [[digest] for digest in kept if digest not in used]
        self._database.executemany("DELETE FROM blobs WHERE digest = ?", unused)
