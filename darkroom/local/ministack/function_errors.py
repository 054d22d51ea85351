"""A function that fails says what it says on Lambda: the class of its exception, or how its process ended.

MiniStack calls each failure `Runtime.HandlerError`. Lambda's own names and words are those of its runtime for Python
(https://github.com/aws/aws-lambda-python-runtime-interface-client) and of what a caller is answered.
"""

import json
import signal
import subprocess
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc, stepfunctions

EXIT, TIME_OUT, THROTTLED = "Runtime.ExitError", "Sandbox.Timedout", "TooManyRequestsException"

# In the process of the function.
IN_THE_PROCESS = """
def _ms_said(error):
    import json, traceback
    stack = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
    return json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": stack})

def _ms_not_begun(error, module, handler):
    import json
    if isinstance(error, ImportError):
        said = "Runtime.ImportModuleError", f"Unable to import module '{module}': {error}"
    elif isinstance(error, SyntaxError):
        said = "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}"
    elif isinstance(error, AttributeError) and error.name == handler:
        said = "Runtime.HandlerNotFound", f"Handler '{handler}' missing on module '{module}'"
    else:
        return _ms_said(error)
    return json.dumps({"errorMessage": said[1], "errorType": said[0], "stackTrace": []})

def _ms_marshalled(result):
    import json
    try:
        json.dumps(result)
    except Exception as error:
        raise type("Runtime.MarshalError", (Exception,), {})(f"Unable to marshal response: {error}") from None
    return result
"""
EDITS = {  # MiniStack's words, and ours
    '{"status": "error", "error": str(e)}': '{"status": "error", "error": _ms_not_begun(e, module_name, handler_name)}',
    '"error": str(e), "trace"': '"error": _ms_said(e), "trace"',
    '"result": result}': '"result": _ms_marshalled(result)}',
}


def add() -> None:
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    for theirs, ours in EDITS.items():
        assert script.count(theirs) == 1, theirs
        script = script.replace(theirs, ours)
    lambda_runtime._PYTHON_WORKER_SCRIPT = IN_THE_PROCESS + script
    lambda_runtime.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": _Process})

    invoke, execute = lambda_runtime.Worker.invoke, lambda_svc._execute_function_warm
    call = stepfunctions._call_lambda

    def invoked(worker: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return invoke(worker, *arguments, **named)
        except RuntimeError as error:  # which would end the function's other processes too, at work or not
            _, not_begun, said = str(error).partition("Worker init failed: ")
            if not not_begun:
                raise
            worker.kill()
            return {"status": "error", "error": said, "log": worker._drain_stderr_bounded()}

    def executed(function: Any, event: Any, request_id: str) -> Any:
        result = execute(function, event, request_id)
        if result.get("error") and not result.get("throttle"):
            result["body"] = _as_lambda_says(result["body"], request_id)
        return result

    def called(function: str, event: Any) -> Any:
        try:
            return call(function, event)
        except stepfunctions._ExecutionError as error:
            if error.error == "Lambda.Unknown" and THROTTLED in error.cause:
                raise stepfunctions._ExecutionError(f"Lambda.{THROTTLED}", error.cause) from None
            raise

    lambda_runtime.Worker.invoke = invoked
    lambda_svc._execute_function_warm = executed
    stepfunctions._call_lambda = called


def _as_lambda_says(body: dict[str, Any], request_id: str) -> dict[str, Any]:
    try:
        said = json.loads(body["errorMessage"])
    except ValueError:  # MiniStack's own words
        said = body
    if said["errorType"] in {EXIT, TIME_OUT}:
        return {**said, "errorMessage": f"RequestId: {request_id} Error: {said['errorMessage']}"}
    return {**said, "requestId": request_id}


class Told:
    """A process of a function. Whoever reads past the end of what it wrote is told how it ended."""

    killed_for_memory = False
    wait: Any

    def output(self, pipe: Any) -> Any:
        """What MiniStack reads its lines from."""
        return SimpleNamespace(readline=lambda: pipe.readline() or self._ended(), close=pipe.close)

    def _ended(self) -> str:
        code = self.wait()
        how = f"exited with error: exit status {code}" if code else "exited without providing a reason"
        if code < 0:
            how = f"exited with error: signal: {str(signal.strsignal(-code)).lower()}"
        said = json.dumps({"errorMessage": f"Runtime {how}", "errorType": EXIT})
        logged = f"Runtime {how}\n{'Runtime.OutOfMemory' if self.killed_for_memory else EXIT}"
        return json.dumps({"status": "error", "error": said, "trace": logged}) + "\n"


class _Process(Told, subprocess.Popen[str]):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if named.get("text"):  # MiniStack's own protocol of lines; a runtime of the function's own has another
            self.stdout: Any = self.output(self.stdout)
