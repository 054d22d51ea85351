"""A layer is unpacked once, and compiled once, for all processes of all functions.

MiniStack unpacks it for each process. Those of the demo's first pictures are sixteen, and a layer has 25 MB.
"""

import hashlib
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

_one_at_a_time = threading.Lock()


class _UnpackedOnce(zipfile.ZipFile):
    """An archive as MiniStack reads it: a layer, or a function's own code."""

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        """Into a folder of that content; `path` gets links to what is in it."""
        assert self.filename is not None  # MiniStack has written it to a file
        digest = hashlib.sha256(Path(self.filename).read_bytes()).hexdigest()
        shared = Path(tempfile.gettempdir()) / "unpacked" / digest
        with _one_at_a_time:
            if not shared.exists():
                unfinished = shared.with_suffix(".new")
                super().extractall(unfinished, members, pwd)
                unfinished.rename(shared)
        for entry in shared.iterdir():
            (Path(path) / entry.name).symlink_to(entry)


def add() -> None:
    names = {name: getattr(zipfile, name) for name in zipfile.__all__}
    # MiniStack catches an error by a name that there is none of: any bad layer would end as an AttributeError.
    names |= {"ZipFile": _UnpackedOnce, "LargeFileError": zipfile.LargeZipFile}
    lambda_runtime.zipfile = SimpleNamespace(**names)
