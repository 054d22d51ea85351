"""A function that takes more memory than it has is killed, as the kernel of Lambda's machine would.

Linux counts no memory of several processes together without root, so that those of a function are looked at in short
intervals. Who takes and gives back more in between is not noticed.
"""

import os
import signal
import threading
from contextlib import suppress
from typing import Any

from ministack.core import lambda_runtime

from darkroom.local.ministack.function_children import read, with_children

EVERY = 0.02  # seconds; 50 MB are written in that time
MB = 1024**2
PAGE = os.sysconf("SC_PAGE_SIZE")


def add() -> None:
    invoke = lambda_runtime.Worker.invoke

    def invoked(worker: Any, *arguments: Any, **named: Any) -> Any:
        done = threading.Event()
        threading.Thread(target=_watch, args=(worker, done), daemon=True).start()
        try:
            return invoke(worker, *arguments, **named)
        finally:
            done.set()

    lambda_runtime.Worker.invoke = invoked


def _watch(worker: Any, done: threading.Event) -> None:
    limit = worker.config.get("MemorySize", 128) * MB
    while not done.wait(EVERY):
        if process := worker._proc:
            _kill_the_largest(process, limit)


def _kill_the_largest(process: Any, limit: int) -> None:
    """Of the processes of a function, if together they take more: the kernel chooses like that."""
    with suppress(OSError):  # one of them has ended meanwhile
        taken = {one: _resident(one) for one in with_children(process.pid)}
        if sum(taken.values()) > limit:  # perhaps by what they share
            taken = {one: taken[one] if one == process.pid else _own(one) for one in taken}
        if sum(taken.values()) > limit:
            largest = max(taken, key=lambda one: taken[one])
            process.killed_for_memory = largest == process.pid
            os.kill(largest, signal.SIGKILL)


def _resident(pid: int) -> int:
    """Bytes in memory, shared ones included: https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html."""
    return int(read(pid, "statm").split()[1]) * PAGE


def _own(pid: int) -> int:
    """Bytes that it shares with no other process. Slower: https://man7.org/linux/man-pages/man5/proc_pid_smaps.5.html."""
    lines = (line.split() for line in read(pid, "smaps_rollup").splitlines()[1:])
    return sum(int(size) for name, size, *_ in lines if name.startswith("Private_")) * 1024
