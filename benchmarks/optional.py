"""Decoders that only a layer has: one for this machine, with those of all settings that add one."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacks.settings import Settings
from stacks.wheels import build_layer


def packages() -> Path:
    """The folder that Python finds them in. The first time it is built, from the lock files."""
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return build_layer(architecture=machine, python_version=version, decoders=list(Settings().decoders)) / "python"


@contextmanager
def importable() -> Iterator[None]:
    """Behind all that is installed here: some are under the GPL, and nobody needs them for development."""
    folder = str(packages())
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
