"""`TimeoutSeconds` of a state machine: an execution that takes longer ends as TIMED_OUT, and EventBridge is told.

An Express one ends after five minutes at the latest.
"""

import contextvars
import json
import threading
from contextlib import suppress
from typing import Any

from ministack.services import stepfunctions

from darkroom.local.ministack.history import PathEnded

LONGEST_EXPRESS = 300  # seconds


def add() -> None:
    run: Any = stepfunctions._run_execution

    def limited(arn: str) -> None:
        execution = stepfunctions._executions.get(arn) or {}
        machine = stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
        seconds = json.loads(machine.get("definition", "{}")).get("TimeoutSeconds")
        if machine.get("type") == "EXPRESS":
            seconds = min(seconds or LONGEST_EXPRESS, LONGEST_EXPRESS)
        if seconds is None:
            run(arn)
            return
        timer = threading.Timer(seconds, contextvars.copy_context().run, (time_out, execution))
        timer.daemon = True
        timer.start()
        try:
            run(arn)
        finally:
            timer.cancel()

    stepfunctions._run_execution = limited


def time_out(execution: dict[str, Any]) -> None:
    """End it now, unless it has ended."""
    if execution["status"] == "RUNNING":
        with suppress(PathEnded):  # it has just ended
            stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
            stepfunctions._emit_execution_status_event(execution)
