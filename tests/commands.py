"""The real command, in a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def started(*arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """`darkroom`, which Ctrl-C ends though the shell that runs the tests may ignore it: `nohup make test &` does.

    A child inherits what is ignored. What is handled it has as the system does it. Called on the main thread only.
    """
    command = [str(Path(sys.executable).with_name("darkroom")), *arguments]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
