"""Of two starts with one name at the same time, one is refused.

MiniStack looks for an execution of that name first, and writes its own down some time later. One start may come from a
request, the other from an execution that starts one: then both ran, on the same picture.
"""

import threading
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import stepfunctions

Json = dict[str, Any]


def add() -> None:
    this: Any = stepfunctions
    start = this._start_execution
    starting: set[tuple[str, str]] = set()
    lock = threading.Lock()  # not held while one starts, which tells EventBridge, and so whoever listens

    def started(asked: Json) -> Any:
        machine, name = this._resolve_state_machine_arn(asked.get("stateMachineArn", "")), asked.get("name")
        if not machine or not name:
            return start(asked)
        with lock:
            if (machine, name) in starting:
                arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
                return error_response_json("ExecutionAlreadyExists", f"Execution already exists: '{arn}'", 400)
            starting.add((machine, name))
        try:
            return start(asked)
        finally:
            with lock:
                starting.remove((machine, name))

    this._start_execution = started
