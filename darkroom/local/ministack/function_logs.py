"""The log of a call has every line that the function wrote in it.

MiniStack waits 50 ms for the first line and 5 ms for the next. On a busy machine that is too short: a line was in the
log of the function's next call, or in none.
"""

import fcntl
import queue
import select
import struct
import termios
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

LONGEST_WAIT = 5.0  # seconds, for what a child of the function goes on writing
LOOK_SECONDS = 0.001


class _Output:
    """The lines of a process. `reading` is set while some are no longer in the pipe, and not in the queue yet; `rest`
    is the beginning of the next."""

    def __init__(self, pipe: Any, lines: "queue.Queue[str]") -> None:
        self._pipe, self._lines = pipe, lines
        self.reading, self.rest = False, b""

    def read(self) -> None:
        """Until the process has closed it."""
        part = b"begun"
        with suppress(OSError, ValueError):  # it was closed here
            while part:
                select.select([self._pipe], [], [])
                self.reading = True
                part = self._pipe.buffer.raw.read(65_536)
                *whole, self.rest = (self.rest + part).split(b"\n")
                for line in whole:
                    self._lines.put(line.decode(errors="replace"))
                self.reading = False
        self.reading = False

    @property
    def is_read(self) -> bool:
        """Whether all that was written is in the queue."""
        try:
            [waiting] = struct.unpack("i", fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)))
        except (OSError, ValueError):
            waiting = 0
        return not waiting and not self.reading


def add() -> None:
    worker = lambda_runtime.Worker

    def read(self: Any) -> None:
        self.output = _Output(self._proc.stderr, self._stderr_queue)
        self.output.read()

    def drained(self: Any, **_: float) -> str:
        """What was written before the answer, which is in the pipe when the answer is there."""
        until = time.monotonic() + LONGEST_WAIT
        while not self.output.is_read and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        rest, self.output.rest = self.output.rest, b""
        return f"{self._drain_stderr()}\n{rest.decode(errors='replace')}".strip("\n")

    worker.output = SimpleNamespace(is_read=False, rest=b"")  # until its thread has begun
    worker._read_stderr, worker._drain_stderr_bounded = read, drained
