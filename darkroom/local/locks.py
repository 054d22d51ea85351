"""Which process a local cloud is: the system says who holds a lock, and to be asked is all that a look does to it.

A lock of fcntl belongs to one process and ends with it, however it ends. Whoever closes the file in that process gives
it up too, so that the process opens it once.
"""

import fcntl
import os
import signal
import struct
import sys
from pathlib import Path

from darkroom.errors import CloudError
from darkroom.local import homes

# `struct flock` of fcntl(2): type, whence, start, length, pid. A length of 0 is all of the file.
_FLOCK = "qqihh" if sys.platform == "darwin" else "hhqqi4x"


def hold(lock: Path) -> None:
    """Until this process ends. Raises BlockingIOError while another one holds it."""
    fcntl.lockf(homes.private(str(lock), os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(lock: Path) -> int | None:
    """The pid of another process that holds it. Raises CloudError if that is a process which cannot be seen here."""
    try:
        file = homes.private(str(lock), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        kind, pid = _asked(file)
    finally:
        os.close(file)
    if kind == fcntl.F_UNLCK:
        return None
    if pid <= 0:
        raise CloudError(f"a process outside of this container holds {lock}: the local cloud runs there")
    return pid


def _asked(file: int) -> tuple[int, int]:
    if sys.platform == "darwin":
        asked = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET))
        _, _, pid, kind, _ = struct.unpack(_FLOCK, asked)
    else:
        asked = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        kind, _, _, _, pid = struct.unpack(_FLOCK, asked)
    return kind, pid


def end_holder(lock: Path, pid: int) -> None:
    """Ask that process to end, if it holds the lock; no other, though the number may be another's by now."""
    if not hasattr(os, "pidfd_open"):  # Linux alone has it
        if holder(lock) == pid:
            os.kill(pid, signal.SIGTERM)
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if holder(lock) == pid:  # so that it was no other which has just been opened
            signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        pass
    finally:
        os.close(process)
