"""Runs a function in a process of its own, and says what that cost: for cold starts and for peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

# VmHWM is the peak of this program alone; the kernel's maxrss begins with that of the process which started it.
# Lambda ends no interpreter: to take one down costs as much as half its imports.
_CODE = """
import os, sys
sys.path += {last!r}
from {module} import {name} as work
beside = work(*sys.argv[1:])
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(len(sys.modules), int(own) + (beside or 0), flush=True)
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Usage:
    cpu: float  # seconds
    peak: float  # MB of 2**20 bytes, as Lambda counts them
    modules: int  # that it has imported, without those of a process that it started


def in_new_process(
    work: Callable[..., int | None],
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    functions_of: Path | None = None,
) -> Usage:
    """From the start of the interpreter to its end. Linux only: the peak is read from /proc. `work` may answer with the
    KB of another process that it started, which count as well. `functions_of`: the folder whose `functions` it imports,
    if not this one's; its module may then import nothing of `benchmarks`.

    Raises RuntimeError with what the process wrote, if it failed.
    """
    module, last = work.__module__, list[str]()
    if functions_of:  # beside which there may be other benchmarks
        module, last = module.rpartition(".")[2], [str(Path(__file__).parent)]
    code = _CODE.format(module=module, name=work.__name__, last=last)
    with tempfile.TemporaryFile("w+") as written, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-c", code, *arguments]
        environment = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command, stdout=written, stderr=errors, env=environment, cwd=functions_of)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        written.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{work.__name__} {' '.join(arguments)}: {errors.read()}")
        *_, modules, peak = written.read().split()
    return Usage(usage.ru_utime + usage.ru_stime, int(peak) / 1024, int(modules))
