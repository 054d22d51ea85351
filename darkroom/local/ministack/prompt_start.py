"""An execution begins at once. MiniStack lets each wait for 0.15 s before its first state."""

import time
from typing import Any

from ministack.services import stepfunctions

BEFORE_THE_FIRST_STATE = 0.15  # seconds


class _Time:
    """The module `time`, as MiniStack's Step Functions reads it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        if seconds != BEFORE_THE_FIRST_STATE:
            time.sleep(seconds)


def add() -> None:
    stepfunctions.time = _Time()
