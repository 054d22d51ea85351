"""A state machine writes its log into the log group that it names, at its level, one event a line; and who asks is told
which level that is.

https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html; a line is as LocalStack recorded it on AWS.
"""

import json
from typing import Any

from ministack.core.responses import json_response
from ministack.services import cloudwatch_logs, stepfunctions

from darkroom.local.ministack import history
from darkroom.local.ministack.history import Event, Execution

FATAL = {"ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}
# Of the types that occur here. https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html
ERROR = FATAL | {
    *("FailStateEntered", "EvaluationFailed"),
    *("TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed", "TaskStateAborted"),
    *("MapIterationFailed", "MapIterationAborted", "MapStateFailed", "MapStateAborted"),
    *("ParallelStateFailed", "ParallelStateAborted"),
}
LEVELS = {"FATAL": FATAL, "ERROR": ERROR}
# What is left out without execution data; error, cause, name and resource stay.
DATA = {"input", "inputDetails", "output", "outputDetails", "parameters"}


def add() -> None:
    this: Any = stepfunctions
    describe = this._describe_state_machine

    def described(asked: Any) -> Any:
        status, headers, body = describe(asked)
        told = json.loads(body)
        if "loggingConfiguration" not in told:  # there is no such machine
            return status, headers, body
        return json_response({**told, "loggingConfiguration": _as_the_api_spells(told["loggingConfiguration"])})

    this._describe_state_machine = described
    history.heard.append(_write)


def line(event: Event, execution: str, *, at: int, data: bool = True) -> str:
    """The event as AWS logs it; `at` in milliseconds. Without `data` it has nothing that the execution works on."""
    [details] = [value for name, value in event.items() if name.endswith("EventDetails")] or [{}]
    told = {
        "id": str(event["id"]),
        "type": event["type"],
        "details": {name: value for name, value in details.items() if data or name not in DATA},
        "previous_event_id": str(event.get("previousEventId", 0)),
        "event_timestamp": str(at),
        "execution_arn": execution,
        "redrive_count": "0",
    }
    return json.dumps(told, separators=(",", ":"))


def is_logged(kind: str, level: str) -> bool:
    return level == "ALL" or kind in LEVELS.get(level, ())


def _write(execution: Execution, event: Event) -> None:
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
    asked = _as_the_api_spells(machine.get("loggingConfiguration") or {})
    if not is_logged(event["type"], asked.get("level", "OFF")):
        return
    at = stepfunctions._iso_to_epoch_ms(event["timestamp"])
    text = line(event, execution["executionArn"], at=at, data=bool(asked.get("includeExecutionData")))
    stream = f"states/{machine['name']}/{event['timestamp'][:13]}"
    for destination in asked.get("destinations", []):
        group = destination["cloudWatchLogsLogGroup"]["logGroupArn"].split(":log-group:")[1].removesuffix(":*")
        there = {"logGroupName": group, "logStreamName": stream}
        cloudwatch_logs._create_log_stream(there)
        cloudwatch_logs._put_log_events({**there, "logEvents": [{"timestamp": at, "message": text}]})


def _as_the_api_spells(asked: Any) -> Any:
    """MiniStack keeps what a template asks for as it came: `Level`, not `level`."""
    if isinstance(asked, list):
        return [_as_the_api_spells(one) for one in asked]
    if isinstance(asked, dict):
        return {name[:1].lower() + name[1:]: _as_the_api_spells(value) for name, value in asked.items()}
    return asked
