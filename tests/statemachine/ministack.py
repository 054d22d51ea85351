"""The state machine files on the local cloud's own interpreter, MiniStack's, in this process: with all that is added to
it, on the same fakes and the same tables of moto as the engine."""

import json
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from jsonata.jsonata import Jsonata
from ministack.core.responses import set_request_account_id, set_request_region
from ministack.services import stepfunctions
from ministack.services.stepfunctions import _ExecutionError
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.state.exec.state_task.lambda_eval_utils import (
    LambdaFunctionErrorException,
)

from darkroom.local.ministack import expressions, history, parallel, time_limit, workflow_log
from tests.statemachine.engine import ACCOUNT, IMAGES, REGION, ROLE, Json, Pipeline, Run

PARTS = (history, parallel, time_limit, workflow_log, expressions)
REPLACED = (
    *("_add_event", "_run_sub_machine", "_run_map_items", "_run_parallel_branches", "_execute_task"),
    *("_apply_jsonata_arguments", "_run_execution", "_invoke_resource", "_SFN_WAIT_SCALE", "time"),
    *("_run_distributed_map", "_stop_execution", "_map_run_view", "_read_map_items"),
    *("_start_execution", "_emit_execution_status_event"),
)
_at: ContextVar[str] = ContextVar("at")  # the state of the task that is at work


def prepared(monkeypatch: pytest.MonkeyPatch, *parts: ModuleType) -> None:
    """These parts are added to MiniStack until the end of the test, and no pause takes any time."""
    for name in REPLACED:
        monkeypatch.setattr(stepfunctions, name, getattr(stepfunctions, name))
    monkeypatch.setattr(history, "heard", [])
    monkeypatch.setattr(Jsonata, "get_parser", staticmethod(Jsonata.get_parser))
    set_request_account_id(ACCOUNT)
    set_request_region(REGION)
    stepfunctions.reset()
    for part in parts:
        part.add()
    monkeypatch.setattr(stepfunctions, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _: None}))
    monkeypatch.setattr(stepfunctions, "_SFN_WAIT_SCALE", 0)


def interprets(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the pipeline's executions run on MiniStack."""
    prepared(monkeypatch, *PARTS)
    monkeypatch.setattr(stepfunctions, "_execute_task", _naming_its_state(stepfunctions._execute_task))
    monkeypatch.setattr(stepfunctions, "_invoke_resource", lambda resource, given: _played(pipeline, resource, given))
    pipeline.run = lambda happened, machine=IMAGES: run(pipeline, happened, machine)  # type: ignore[method-assign]
    pipeline.history = lambda run: events(run.arn)  # type: ignore[method-assign]
    pipeline.end = end  # type: ignore[method-assign]


def run(pipeline: Pipeline, happened: Json, machine: str) -> Run:
    return executed(pipeline.filled(machine), happened, name=machine)


def events(arn: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stepfunctions._executions[arn]["events"]
    return found


def end(how: str) -> None:
    """The execution at work, from outside: as a person does, or its time limit."""
    [running] = [one for one in stepfunctions._executions.all_values() if one["status"] == "RUNNING"]
    if how == "ABORTED":
        _answer(stepfunctions._stop_execution({"executionArn": running["executionArn"]}))
    else:
        time_limit.time_out(running)


def executed(definition: str, given: Json, name: str = "machine", **options: Json) -> Run:
    """An execution, after its end."""
    asked = {"name": name, "definition": definition, "roleArn": ROLE, **options}
    created = _answer(stepfunctions._create_state_machine(asked))
    started = {"stateMachineArn": created["stateMachineArn"], "input": json.dumps(given)}
    arn = _answer(stepfunctions._start_sync_execution(started))["executionArn"]
    ended = stepfunctions._executions[arn]
    entered = [one["stateEnteredEventDetails"]["name"] for one in ended["events"] if "stateEnteredEventDetails" in one]
    output = json.loads(ended["output"]) if ended["output"] else None
    return Run(arn, ended["status"], output, ended.get("error"), ended.get("cause"), entered)


def _answer(response: tuple[int, Json, bytes]) -> Json:
    status, _, body = response
    assert status == 200, body
    return json.loads(body)


def _naming_its_state(execute: Callable[..., Any]) -> Callable[..., Any]:
    def named(state: Json, given: Json, execution: Json, ctx: Json) -> Any:
        _at.set(ctx["State"]["Name"])
        return execute(state, given, execution, ctx)

    return named


def _played(pipeline: Pipeline, resource: str, given: Json) -> Json:
    """What the service answers, or the fault that the test has put there."""
    task = pipeline.tasks[_at.get()]

    def work() -> Json:
        match resource.removeprefix("arn:aws:states:::"):
            case "lambda:invoke":
                answer = task.answers(given["Payload"]) if callable(task.answers) else task.answers
                return {"StatusCode": 200, "Payload": answer}
            case "dynamodb:updateItem":
                return pipeline._dynamodb.update_item(**given)
            case "sqs:sendMessage":
                return pipeline._sqs.send_message(**{**given, "MessageBody": json.dumps(given["MessageBody"])})
            case "aws-sdk:s3:listObjectVersions":
                return pipeline.versions(given)
            case "states:startExecution" | "aws-sdk:sfn:startExecution":
                return {"ExecutionArn": pipeline.run(given["Input"]).arn}
            case other:
                raise NotImplementedError(other)

    called = given["Payload"] if resource.endswith("lambda:invoke") else given
    try:
        answer = task.perform(called, work)
    except ClientError as error:
        raise _ExecutionError(_named(resource, error.response["Error"]["Code"]), str(error)) from error
    except LambdaFunctionErrorException as error:
        raise _ExecutionError(json.loads(error.payload)["errorType"], error.payload) from error
    except EvalTimeoutError as error:
        raise _ExecutionError("States.Timeout", "") from error
    answer.pop("ResponseMetadata", None)
    return json.loads(json.dumps(answer, default=str))


def _named(resource: str, code: str) -> str:
    """An error as the engine calls it."""
    match resource.split(":")[5]:
        case "dynamodb":
            return f"DynamoDB.{code}"
        case "sqs":
            return "SQS.SdkClientException"
        case "states":
            return f"StepFunctions.{code}Exception"
        case _:
            return f"Lambda.{code}"
