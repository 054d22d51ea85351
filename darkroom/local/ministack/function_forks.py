"""A process of a function that has a layer is forked from one that has imported the layer's packages.

On Lambda each process has a machine of its own as it starts; here those of the first pictures share two CPUs, and to
import boto3 and Pillow takes most of a start. Elsewhere than on Linux a process is started as ever.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime

from darkroom.local.ministack import fork_server
from darkroom.local.ministack.function_errors import Told

_servers: dict[tuple[str, ...], socket.socket] = {}
_one_at_a_time = threading.Lock()


def add() -> None:
    """After what else replaces the start of a process."""
    start = lambda_runtime.subprocess.Popen

    def started(command: list[str], **named: Any) -> Any:
        layers = named["env"].get("_LAMBDA_LAYERS_DIRS")
        if layers and command[0] == sys.executable and sys.platform == "linux":
            folders = tuple(os.path.realpath(Path(layer, "python")) for layer in layers.split(os.pathsep))
            try:
                return _Forked(_server_of(folders), command[1], named["cwd"], named["env"])
            except OSError:  # an environment of more than a packet, or a server that was ended
                _servers.pop(folders, None)
        return start(command, **named)

    lambda_runtime.subprocess.Popen = started


def _server_of(folders: tuple[str, ...]) -> socket.socket:
    """One for each set of layers, which ends with this process: nobody has the other end of its socket then."""
    with _one_at_a_time:
        if folders not in _servers:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            command = [sys.executable, "-P", fork_server.__file__, str(theirs.fileno()), *folders]
            with theirs:
                subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
            _servers[folders] = ours
        return _servers[folders]


class _Forked(Told):
    """As much of subprocess.Popen as MiniStack uses. Raises OSError where none was forked."""

    def __init__(self, server: socket.socket, script: str, folder: str, environment: dict[str, str]) -> None:
        (their_input, ours), (output, their_output), (errors, their_errors), (status, told) = (
            os.pipe() for _ in range(4)
        )
        self.stdin = os.fdopen(ours, "w", buffering=1)
        self.stdout, self.stderr = self.output(os.fdopen(output)), os.fdopen(errors)
        self._status = os.fdopen(status, "rb", buffering=0)
        asked = {"script": script, "folder": folder, "environment": environment}
        theirs = their_input, their_output, their_errors, told
        try:
            socket.send_fds(server, [json.dumps(asked).encode()], theirs)
        finally:
            for one in theirs:
                os.close(one)
        begun = self._read()
        if begun is None:
            raise OSError("the fork server has ended")
        self.pid, self._one_reads = begun, threading.Lock()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, what: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, what)

    def _look(self, timeout: float | None) -> int | None:
        poller = select.poll()
        poller.register(self._status, select.POLLIN)
        if self.returncode is None and poller.poll(None if timeout is None else timeout * 1000):
            with self._one_reads:
                if self.returncode is None:
                    code = self._read()
                    self.returncode = -signal.SIGKILL if code is None else code
        return self.returncode

    def _read(self) -> int | None:
        told = self._status.read(fork_server.NUMBER.size)
        return fork_server.NUMBER.unpack(told)[0] if told else None
