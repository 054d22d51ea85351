"""Examines pictures in a process beside the handler, which the kernel ends where one costs too much.

Decoders are C code: no signal handler of Python's runs before they return. The process is forked for the first picture
and serves those that follow; a fork for each would cost a third of a photo's CPU (docs/decisions/0084).
"""

from __future__ import annotations

import gc
import json
import math
import mmap
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from errno import ENOMEM
from threading import Lock
from typing import TYPE_CHECKING, NoReturn

from functions.imaging import Facts, Limits, RejectCode, Rejected, examine

if TYPE_CHECKING:
    import ctypes

CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}

NO_MEMORY: tuple[RejectCode, str] = "too_many_pixels", "takes more memory than there is"


class Examiner:
    """One process and how to ask it. `data_bytes`: how much it and what it is handed may take; what takes more is a
    MemoryError there, and so a verdict."""

    def __init__(self, limits: Limits, cpu_seconds: int, data_bytes: int | None = None) -> None:
        self._limits = limits
        self._cpu_seconds = cpu_seconds
        self._data_bytes = data_bytes
        self._original = mmap.mmap(-1, limits.max_bytes)
        self.process: int | None = None
        self._lock = Lock()

    def examine(self, read: Callable[[], bytes]) -> Facts:
        """What `functions.imaging.examine` says of what `read` returns, at most `max_bytes`. Only what both processes
        share has them then, if the caller keeps none.

        Raises Rejected as that does, and `too_costly` where it takes more CPU. Where the process died of the picture,
        it is asked once more, because an earlier picture may have damaged it; then that is a verdict as well:
        `too_many_pixels` of too little memory, `corrupt` of a crash. Raises RuntimeError where it failed otherwise.
        """
        with self._lock:
            self._start()  # before `read` makes its client: a fork has to copy what its process holds
            size = self._share(read())
            answer, died = self._ask(size)
            if died and died != -signal.SIGXCPU:
                answer, died = self._ask(size)
        if died:
            raise self._verdict(died)
        return _facts(answer)

    def close(self) -> int:
        """Ends the process, and says how it ended: its exit code, or minus the number of a signal."""
        if self.process is None:
            return 0
        with suppress(OSError):  # it is dead already
            self._socket.shutdown(socket.SHUT_RDWR)  # a process forked later holds this end open too
        with suppress(OSError):  # what was written for it
            self._channel.close()
        self._socket.close()
        _, status = os.waitpid(self.process, 0)
        self.process = None
        return os.waitstatus_to_exitcode(status)

    def _share(self, data: bytes) -> int:
        self._original[: len(data)] = data
        return len(data)

    def _ask(self, size: int) -> tuple[str, int]:
        """The answer, or how the process ended without one."""
        self._start()
        answer = ""
        with suppress(OSError):  # it is dead already
            self._channel.write(f"{size}\n")
            self._channel.flush()
            answer = self._channel.readline()
        return answer, 0 if answer else self.close() or 1

    def _start(self) -> None:
        if self.process is not None:
            return
        self._socket, theirs = socket.socketpair()
        gc.freeze()  # both processes share what is there now: to look for garbage in it would copy it
        with theirs:
            self.process = os.fork()
            if not self.process:
                self._socket.close()
                self._serve(theirs)
        self._channel = self._socket.makefile("rw")

    def _serve(self, asked: socket.socket) -> NoReturn:
        """In the process itself, until nobody is there to ask."""
        code = 1
        try:
            self._prepare()
            with asked.makefile("rw") as channel:
                while size := channel.readline():
                    channel.write(self._answer(int(size)) + "\n")
                    channel.flush()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _prepare(self) -> None:
        """Let go of the handler's input and output, leave no core behind, and learn where C says why something failed:
        most decoders say the same of a broken file and of too little memory."""
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _limit(resource.RLIMIT_CORE, 0)
        self._errno = _errno()

    def _answer(self, size: int) -> str:
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + self._cpu_seconds))
        if self._data_bytes:  # what both share has the file too
            _limit(resource.RLIMIT_DATA, max(0, self._data_bytes - size))
        self._errno.value = 0
        try:
            return json.dumps({"facts": asdict(examine(self._original[:size], self._limits))})
        except Rejected as rejected:
            is_of_memory = rejected.code == "corrupt" and self._errno.value == ENOMEM
            return json.dumps({"rejected": NO_MEMORY if is_of_memory else rejected.args})
        except MemoryError:
            return json.dumps({"rejected": NO_MEMORY})
        except Exception as fault:
            traceback.print_exc()
            return json.dumps({"fault": f"{type(fault).__name__}: {fault}"})

    def _verdict(self, died: int) -> Exception:
        """As `close` says it."""
        if died > 0:
            return RuntimeError(f"the examining process ended with exit code {died}")
        by = signal.Signals(-died)
        if by == signal.SIGXCPU:
            return Rejected("too_costly", f"not decoded within {self._cpu_seconds} s of CPU, the limit")
        if by == signal.SIGKILL:
            code, message = NO_MEMORY
            return Rejected(code, f"{message}: its decoder was killed (SIGKILL)")
        if by in CRASHES:
            return Rejected("corrupt", f"crashes its decoder ({by.name})")
        return RuntimeError(f"the examining process was ended by {by.name}")


def _errno() -> ctypes.c_int:
    """C's own, of this thread: `ctypes.get_errno` has another."""
    import ctypes  # 3 ms, while the handler reads the file

    find = ctypes.CDLL(None)["__error" if sys.platform == "darwin" else "__errno_location"]
    find.restype = ctypes.POINTER(ctypes.c_int)
    errno: ctypes.c_int = find().contents
    return errno


def _limit(what: int, soft: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _facts(answer: str) -> Facts:
    said = json.loads(answer)
    if "rejected" in said:
        raise Rejected(*said["rejected"])
    if "fault" in said:
        raise RuntimeError(said["fault"])
    return Facts(**{**said["facts"], "notes": tuple(said["facts"]["notes"])})
