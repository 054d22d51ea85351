"""Of two starts with one name at the same time only one runs.

MiniStack looks for an execution of that name first, and writes its own down some time later. One start may come from a
request, the other from an execution that starts one: then both ran, on the same picture. The other is refused, as
MiniStack refuses a later one. AWS does so too, except where the first is running with the same input: then it answers
as to the first.
"""

import threading
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions


def add(new_lock: Callable[[], Any] = threading.Lock) -> None:
    this: Any = stepfunctions
    start, tell = this._start_execution, this._emit_execution_status_event
    lock, here = new_lock(), threading.local()

    def let_go() -> None:
        if vars(here).pop("starts", False):
            lock.release()

    def started(asked: Any) -> Any:
        lock.acquire()
        here.starts = True
        try:
            return start(asked)
        finally:
            let_go()

    def told(execution: Any) -> None:
        """It is written down, and who listens may start others."""
        let_go()
        tell(execution)

    this._start_execution, this._emit_execution_status_event = started, told
