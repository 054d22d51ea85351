"""The role of a state machine is asked before each of its calls; without the grant the task fails as on AWS.

There, what a service's model does not list is named after the exception that all of the service's have in common: an
optimised integration by version 1 of the SDK for Java, any other by version 2. So DynamoDB, which lists no
AccessDeniedException, says `DynamoDB.AmazonDynamoDBException` to the one, `DynamoDb.DynamoDbException` to the other:
https://docs.aws.amazon.com/step-functions/latest/dg/connect-ddb.html.
"""

import json
import uuid
from contextvars import ContextVar
from typing import Any, NamedTuple
from urllib.parse import quote

from ministack import app
from ministack.core.responses import _service_model
from ministack.services import stepfunctions

from darkroom.local.ministack.roles import Call, may_take, refusal

OPTIMISED = {  # of each service: the error, and what version 1 of the SDK calls it
    "dynamodb": ("DynamoDB.AmazonDynamoDBException", "AmazonDynamoDBv2"),
    "ecs": ("ECS.AccessDeniedException", "AmazonECS"),
    "events": ("EventBridge.AmazonEventBridgeException", "AmazonEventBridge"),
    "lambda": ("Lambda.AWSLambdaException", "AWSLambda"),
    "sns": ("SNS.AmazonSNSException", "AmazonSNS"),
    "sqs": ("SQS.AmazonSQSException", "AmazonSQS"),
    "states": ("StepFunctions.AWSStepFunctionsException", "AWSStepFunctions"),
}


class _Caller(NamedTuple):
    role: str
    machine: str
    session: str


_caller: ContextVar[_Caller | None] = ContextVar("_caller", default=None)


def add() -> None:
    execute = stepfunctions._execute_task
    invoke, call_back = stepfunctions._invoke_resource, stepfunctions._invoke_with_callback
    call = app.call_service_handler_sync

    def executed(state: Any, given: Any, execution: Any, context: Any) -> Any:
        token = _caller.set(_of(context))
        try:
            return execute(state, given, execution, context)
        finally:
            _caller.reset(token)

    def invoked(resource: str, given: Any) -> Any:
        _ask_for_optimised(resource, given)
        return invoke(resource, given)

    def called_back(resource: str, given: Any, *rest: Any) -> Any:
        _ask_for_optimised(resource, given)
        return call_back(resource, given, *rest)

    def called(handler: Any, method: str, path: str, headers: Any, body: Any, query: Any, **named: Any) -> Any:
        _ask_for_any_other(method, path, headers, body, query)
        return call(handler, method, path, headers, body, query, **named)

    stepfunctions._execute_task = executed
    stepfunctions._invoke_resource, stepfunctions._invoke_with_callback = invoked, called_back
    app.call_service_handler_sync = called


def ask_to_list(context: Any, bucket: str, prefix: str) -> None:
    """Before a Map reads a bucket."""
    token = _caller.set(_of(context))
    try:
        if said := _refusal(Call("s3", "GET", f"/{bucket}", {}, b"", {"list-type": ["2"], "prefix": [prefix]})):
            raise stepfunctions._ExecutionError("States.ItemReaderFailed", said)
    finally:
        _caller.reset(token)


def _of(context: Any) -> _Caller | None:
    machine = stepfunctions._state_machines.get(context["StateMachine"]["Id"])
    if machine is None:  # a state that is only tried
        return None
    return _Caller(machine["roleArn"], machine["stateMachineArn"], context["Execution"]["Name"])


def _ask_for_optimised(resource: str, given: Any) -> None:
    call = _optimised(resource, given)
    if call and (said := _refusal(call)):
        error, service = OPTIMISED[call.service]
        status = 403 if call.service in {"lambda", "sns", "sqs"} else 400
        details = f"Service: {service}; Status Code: {status}; Error Code: AccessDeniedException; {_request_id()}"
        raise stepfunctions._ExecutionError(error, f"{said} ({details})")


def _optimised(resource: str, given: Any) -> Call | None:
    if ":function:" in resource:
        return _invocation(resource)
    _, optimised, what = resource.partition("arn:aws:states:::")
    service, _, operation = what.partition(".")[0].partition(":")
    if not optimised or service not in OPTIMISED:
        return None
    if service == "lambda":
        return _invocation(str(given.get("FunctionName")))
    if service in {"ecs", "states"}:  # whose own names begin with a small letter
        given = {name[0].lower() + name[1:]: value for name, value in given.items()}
    call = Call.of_json(service, operation[0].upper() + operation[1:], json.dumps(given).encode())
    return call._replace(query={"TopicArn": given.get("TopicArn")}) if service == "sns" else call


def _invocation(function: str) -> Call:
    return Call("lambda", "POST", f"/2015-03-31/functions/{quote(function, safe='')}/invocations", {}, b"", {})


def _ask_for_any_other(method: str, path: str, headers: Any, body: Any, query: Any) -> None:
    """`headers` are those that MiniStack makes for a call of a workflow."""
    service = headers["host"].partition(".")[0]
    data = body.encode() if isinstance(body, str) else body
    if said := _refusal(Call(service, method, path, headers, data, query)):
        known = stepfunctions._AWS_SDK_SERVICE_MAP.items()
        name = next(one for one, how in known if how.get("service_key", one) == service)
        prefix = stepfunctions._AWS_SDK_ERROR_PREFIX.get(name, name.capitalize())
        listed = "AccessDeniedException" in _service_model(service).shape_names
        error = f"{prefix}.{'AccessDenied' if listed else prefix}Exception"
        raise stepfunctions._ExecutionError(error, f"{said} (Service: {prefix}, Status Code: 403, {_request_id()})")


def _refusal(call: Call) -> str | None:
    """None outside of a workflow."""
    caller = _caller.get()
    if caller is None:
        return None
    if not may_take("states", caller.role, source=caller.machine):
        said = f"The service states.amazonaws.com is not authorized to assume {caller.role}"
        raise stepfunctions._ExecutionError("States.Permissions", said)
    return refusal(call, role=caller.role, session=caller.session)


def _request_id() -> str:
    return f"Request ID: {uuid.uuid4()}"
