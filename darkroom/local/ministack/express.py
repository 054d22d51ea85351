"""An Express execution has its ARN as on AWS, with an id of its own behind the name, so that a name may be used again.
It tells nobody how it ended, and who asks for it is refused as there: what is known of it is in the log.

MiniStack runs one as it runs a standard one. The refusals are as LocalStack recorded them on AWS:
https://github.com/localstack/localstack, tests/aws/services/stepfunctions/v2.
"""

import contextvars
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, new_uuid
from ministack.services import stepfunctions

Json = dict[str, Any]

OF_THE_TYPE = "This operation is not supported by this type of state machine"
OF_THE_ARN = "Invalid Arn: 'Resource type not valid in this context: express'"
OF_ONE = ("_describe_execution", "_get_execution_history", "_stop_execution", "_describe_state_machine_for_execution")

# MiniStack has `startExecution.sync`, which takes standard machines, go through StartSyncExecution, which does not.
_of_a_state: ContextVar[bool] = ContextVar("_of_a_state", default=False)


def add() -> None:
    this: Any = stepfunctions
    start, start_sync, list_them = this._start_execution, this._start_sync_execution, this._list_executions
    wait_for_nested = this._invoke_nested_start_execution_sync

    def started(asked: Json) -> Any:
        machine = _machine(asked)
        if machine is None or machine["type"] != "EXPRESS":
            return start(asked)
        execution = _begin(machine, asked)
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(this._run_execution, execution["executionArn"]), daemon=True).start()
        return json_response({name: execution[name] for name in ("executionArn", "startDate")})

    def started_and_awaited(asked: Json) -> Any:
        machine, of_a_state = _machine(asked), _of_a_state.get()
        _of_a_state.set(False)  # or what it starts would be taken for that too
        if machine is None or (of_a_state and machine["type"] != "EXPRESS"):
            return start_sync(asked)
        if machine["type"] != "EXPRESS":
            return error_response_json("StateMachineTypeNotSupported", OF_THE_TYPE, 400)
        execution = _begin(machine, asked)
        this._run_execution(execution["executionArn"])
        return json_response(_answer(execution))

    def waited_for(resource: str, given: Json) -> Any:
        _of_a_state.set(True)
        return wait_for_nested(resource, given)

    def listed(asked: Json) -> Any:
        machine = _machine(asked)
        if machine is not None and machine["type"] == "EXPRESS":
            return error_response_json("StateMachineTypeNotSupported", OF_THE_TYPE, 400)
        return list_them(asked)

    this._start_execution, this._start_sync_execution, this._list_executions = started, started_and_awaited, listed
    this._invoke_nested_start_execution_sync = waited_for
    for name in OF_ONE:
        setattr(this, name, _refusing(getattr(this, name)))


def _machine(asked: Json) -> Json | None:
    this: Any = stepfunctions
    found: Json | None = this._state_machines.get(this._resolve_state_machine_arn(asked.get("stateMachineArn", "")))
    return found


def _begin(machine: Json, asked: Json) -> Json:
    """An execution that has started, and has not run yet."""
    name, started = asked.get("name") or new_uuid(), stepfunctions.now_iso()
    given = asked.get("input", "{}")
    first = {"input": given, "roleArn": machine["roleArn"]}
    execution = {
        "executionArn": (
            f"arn:aws:states:{get_region()}:{get_account_id()}:express:{machine['name']}:{name}:{new_uuid()}"
        ),
        "stateMachineArn": machine["stateMachineArn"],
        "name": name,
        "status": "RUNNING",
        "startDate": started,
        "stopDate": None,
        "input": given,
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": {"included": True},
        "testCase": "",
        "mockAttempts": {},
        "sync": True,  # MiniStack's word for one that tells nobody
        "events": [{"id": 1, "type": "ExecutionStarted", "timestamp": started, "executionStartedEventDetails": first}],
    }
    stepfunctions._executions[execution["executionArn"]] = execution
    return execution


def _answer(execution: Json) -> Json:
    """Of StartSyncExecution; no error of it, however the execution ended."""
    told = ["executionArn", "stateMachineArn", "name", "startDate", "stopDate", "status", "input", "inputDetails"]
    if execution["status"] == "SUCCEEDED":
        told += ["output", "outputDetails"]
    answer = {name: execution[name] for name in told}
    return answer | {name: execution[name] for name in ("error", "cause") if execution.get(name)}


def _refusing(ask: Callable[[Json], Any]) -> Callable[[Json], Any]:
    def asked(of: Json) -> Any:
        if ":express:" in str(of.get("executionArn")):
            return error_response_json("InvalidArn", OF_THE_ARN, 400)
        return ask(of)

    return asked
