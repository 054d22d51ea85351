"""Runs a function in a process of its own, and says what that cost: for cold starts and for peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# VmHWM is the peak of this program alone; the kernel's maxrss begins with that of the process which started it.
# Lambda ends no interpreter: to take one down costs as much as half its imports.
_CODE = """
import os, sys
from {module} import {name} as work
beside = work(*sys.argv[1:])
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(int(own) + (beside or 0), flush=True)
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Usage:
    cpu: float  # seconds
    peak: float  # MB of 2**20 bytes, as Lambda counts them


def in_new_process(
    work: Callable[..., int | None], *arguments: str, environment: Mapping[str, str] | None = None
) -> Usage:
    """From the start of the interpreter to its end. Linux only: the peak is read from /proc. `work` may answer with the
    KB of another process that it started, which count as well.

    Raises RuntimeError with what the process wrote, if it failed.
    """
    code = _CODE.format(module=work.__module__, name=work.__name__)
    with tempfile.TemporaryFile("w+") as written, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-c", code, *arguments]
        process = subprocess.Popen(command, stdout=written, stderr=errors, env={**os.environ, **(environment or {})})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        written.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{work.__name__} {' '.join(arguments)}: {errors.read()}")
        peak = int(written.read().split()[-1]) / 1024
    return Usage(usage.ru_utime + usage.ru_stime, peak)
