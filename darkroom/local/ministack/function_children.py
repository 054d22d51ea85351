"""What a function has started ends with it, as all that runs in a Lambda function's machine does.

MiniStack ends the function's own process only, at a time out for instance: a decoder would go on.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ministack.core import lambda_runtime

PROCESSES = "/proc"  # which only Linux has: elsewhere nothing is found


def add() -> None:
    end = lambda_runtime._signal

    def ended(process: Any) -> None:
        if process is not None:
            with suppress(OSError):  # it has ended by itself
                for one in [*with_children(process.pid)][1:]:
                    os.kill(one, signal.SIGKILL)
        end(process)

    lambda_runtime._signal = ended


def with_children(pid: int) -> Iterator[int]:
    """The process, and those that it has started, and they."""
    yield pid
    for thread in os.scandir(f"{PROCESSES}/{pid}/task"):
        with suppress(OSError):  # it has ended meanwhile
            for child in read(pid, f"task/{thread.name}/children").split():
                yield from with_children(int(child))


def read(pid: int, what: str) -> str:
    """What the kernel says of a process."""
    file = os.open(f"{PROCESSES}/{pid}/{what}", os.O_RDONLY)  # a Path takes four times as long
    try:
        return os.read(file, 4096).decode()
    finally:
        os.close(file)
