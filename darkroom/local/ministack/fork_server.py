"""The program that functions of a layer are forked from. It has imported what their packages take a second to import.

Started as `python -P fork_server.py SOCKET FOLDER...`: the number of a Unix socket of sequenced packets, and what a
layer adds to the import path. Each packet asks for a process: JSON of `script`, `folder` and `environment`, and with it
the ends of four pipes: of the process's input, output and errors, and one for its number, which is written when it has
begun, and for its exit code as subprocess counts it, when it has ended.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

# What handlers import, and what boto3 imports for its first client.
PACKAGES = (
    *("boto3.s3.inject", "PIL.Image", "PIL.ImageFile", "PIL.ImageChops"),
    *("aws_lambda_powertools.logging", "aws_lambda_powertools.metrics", "aws_lambda_powertools.utilities.typing"),
)
LARGEST_PACKET = 1 << 18  # bytes; an environment has 20,000

# Of glibc's malloc.h. Where a function's environment says something else, a process heeds it only as it begins.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}

NUMBER = struct.Struct("i")


def main() -> None:
    asked = socket.socket(fileno=int(sys.argv[1]))
    sys.path[:0] = sys.argv[2:]
    for package in PACKAGES:
        with suppress(ImportError):  # the layer may have others
            importlib.import_module(package)
    ended, ending = os.pipe()
    os.set_blocking(ending, False)
    signal.set_wakeup_fd(ending)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    statuses: dict[int, int] = {}
    gc.freeze()  # to look for garbage in what all processes share would copy it
    while True:
        ready, _, _ = select.select([asked.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            tell_who_ended(statuses)
        if asked.fileno() not in ready:
            continue
        packet, ends, _, _ = socket.recv_fds(asked, LARGEST_PACKET, 4)
        if not packet:  # nobody is there to ask any more
            return
        *pipes, status = ends
        number = os.fork()
        if not number:
            for one in (asked.detach(), ended, ending, status, *statuses.values()):
                os.close(one)
            become(json.loads(packet), pipes)
            return
        for pipe in pipes:
            os.close(pipe)
        statuses[number] = status
        os.write(status, NUMBER.pack(number))


def tell_who_ended(statuses: dict[int, int]) -> None:
    for number in [*statuses]:
        ended, how = os.waitpid(number, os.WNOHANG)
        if ended:
            status = statuses.pop(number)
            with suppress(BrokenPipeError):
                os.write(status, NUMBER.pack(os.waitstatus_to_exitcode(how)))
            os.close(status)


def become(asked: dict[str, Any], pipes: list[int]) -> None:
    """A process as `python script` is one."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for target, pipe in enumerate(pipes):
        os.dup2(pipe, target)
        os.close(pipe)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(asked["environment"])
    for name, option in MALLOC.items():
        if name in os.environ:
            ctypes.CDLL(None).mallopt(option, int(os.environ[name]))
    os.chdir(asked["folder"])
    sys.argv = [asked["script"]]
    runpy.run_path(asked["script"], run_name="__main__")


if __name__ == "__main__":
    main()
