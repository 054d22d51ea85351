"""The state machine files on moto's interpreter, with real conditional writes, versions and a real queue under it.

Only the functions are fakes. They enter where the interpreter would call Lambda, and every task can be made to fail
there, so a fault takes the same way through Retry and Catch as one of AWS's own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any

import boto3
import jsonata
import pytest
from botocore.exceptions import ClientError
from jsonata.utils import Utils
from moto import mock_aws
from moto.stepfunctions.parser.api import EvaluationFailedEventDetails, ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry import jitter_strategy_decl, retrier_decl
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.branch_worker import BranchWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_task.lambda_eval_utils import (
    LambdaFunctionErrorException,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_dynamodb import (
    StateTaskServiceDynamoDB,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_lambda import (
    StateTaskServiceLambda,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sqs import (
    StateTaskServiceSqs,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend import execution
from moto.stepfunctions.parser.backend.execution_worker import SyncExecutionWorker
from moto.stepfunctions.parser.models import stepfunctions_parser_backends as ENGINES
from moto.stepfunctions.parser.utils import TMP_THREADS

from functions.executions import Again, Executions
from functions.memory import Memory
from functions.results import Results
from functions.sweep import Services
from stacks.express import in_five_minutes
from tests.aws import create_results_table, create_sweeps_table, letters

FILES = Path(__file__).resolve().parents[2] / "statemachine"
IMAGES, DELETION, RECAPTION = "image_pipeline", "deletion", "recaption"
ACCOUNT, REGION = "123456789012", "eu-west-1"
TABLE, SWEEPS, UPLOADS = "results", "sweeps", "uploads"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/workflow"

RENDITIONS = ["thumb", "small", "medium", "large"]
CAPTION = {"status": "OK", "text": "a cat", "model": "a.model", "input_tokens": 9, "output_tokens": 2}

Json = Any
Answer = Callable[[dict[str, Any]], Json]


def event(key: str = "raw/cat.jpg", *, sequencer: str | None = "0A", version: str | None = "v1") -> dict[str, Any]:
    """What EventBridge sends when an object was created; None leaves a member out."""
    members = {"key": key, "size": 3, "etag": f"etag of {version}", "version-id": version, "sequencer": sequencer}
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": "2026-01-02T03:04:05Z",
        "region": REGION,
        "resources": [f"arn:aws:s3:::{UPLOADS}"],
        "detail": {
            "version": "0",
            "bucket": {"name": UPLOADS},
            "object": {name: value for name, value in members.items() if value is not None},
            "request-id": "C3D13FE58DE4C810",
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            "reason": "PutObject",
        },
    }


def deletion(
    key: str = "raw/cat.jpg", *, sequencer: str = "0D", version: str | None = "marker", marker: bool = True
) -> dict[str, Any]:
    """What EventBridge sends when an object was hidden by a delete marker, or one of its versions removed."""
    happened = event(key, sequencer=sequencer, version=version)
    happened["detail-type"] = "Object Deleted"
    happened["detail"] |= {"reason": "DeleteObject"}
    happened["detail"]["deletion-type"] = "Delete Marker Created" if marker else "Permanently Deleted"
    del happened["detail"]["object"]["size"]
    return happened


def accepts(payload: dict[str, Any], *, renditions: int = 1) -> dict[str, Any]:
    """Validate's answer to a good picture."""
    return {
        "accepted": True,
        "source": payload["source"],
        "picture": {
            "size": 3,
            "format": "jpeg",
            "width": 4032,
            "height": 3024,
            "frames": 1,
            "content_hash": "c0ffee",
            "placeholder": "3OcRJYB4d3h_iIeHeEh3eIhw-j2w",
            "color": "#8899aa",
            "perceptual_hash": "a1b2c3d4e5f60718",
            "notes": [],
            "metadata": {"orientation": 1, "has_alpha": False, "gps": {"latitude": -45.332394}},
        },
        "recipe": "0123456789abcdef",
        "renditions": [{"name": name, "key": f"cat/1/{name}.webp"} for name in RENDITIONS[:renditions]],
    }


def rejects(payload: dict[str, Any]) -> dict[str, Any]:
    """Validate's answer to a text file that is called a picture."""
    error = {"code": "unsupported_format", "message": "not a picture"}
    return {"accepted": False, "source": payload["source"], "picture": {}, "error": error}


def resizes(payload: dict[str, Any]) -> dict[str, Any]:
    facts = {"format": "webp", "content_type": "image/webp", "width": 480, "height": 360, "bytes": 7}
    return {"name": payload["rendition"]["name"], "key": payload["rendition"]["key"], **facts}


@dataclass
class Task:
    """One task state as the interpreter calls it, and what is to go wrong there."""

    answers: Answer | Json = None  # of a function; what DynamoDB and SQS answer is moto's own
    calls: list[dict[str, Any]] = field(default_factory=list)
    _faults: list[Exception] = field(default_factory=list)
    _lost: Exception | None = None
    _meanwhile: Callable[[], Any] | None = None

    def fails_with(self, error: str, *, times: int = 1_000, cause: str | None = None) -> None:
        """`Service.SomeException` comes from the service, `States.Timeout` from the clock, the rest from the code."""
        self._faults = [_fault(error, cause)] * times

    def then_fails_with(self, error: str, *, times: int) -> None:
        self._faults += [_fault(error)] * times

    def loses_its_answer(self, error: str) -> None:
        """The next call does its work, but the interpreter is told that it failed."""
        self._lost = _fault(error)

    def meanwhile(self, happens: Callable[[], Any]) -> None:
        """Something that takes place once, while the task is at work."""
        self._meanwhile = happens

    def perform(self, arguments: dict[str, Any], work: Callable[[], Json]) -> Json:
        self.calls.append(arguments)
        happens, self._meanwhile = self._meanwhile, None
        if happens:
            happens()
        if self._faults:
            raise self._faults.pop(0)
        answer = work()
        lost, self._lost = self._lost, None
        if lost:
            raise lost
        return answer


def _fault(error: str, cause: str | None = None) -> Exception:
    service, _, code = error.partition(".")
    if error == "States.Timeout":
        return EvalTimeoutError()
    if not code or service in {"Sandbox", "Runtime"}:  # those two are in the answer of a function as well
        uncaught = {"errorMessage": f"it said {error}", "errorType": error, "stackTrace": []}
        return LambdaFunctionErrorException("Unhandled", cause or json.dumps(uncaught))
    told = {"HTTPStatusCode": 500, "RequestId": "0"}
    return ClientError({"Error": {"Code": code, "Message": "try again"}, "ResponseMetadata": told}, service)


@dataclass(frozen=True)
class Run:
    """One execution, after its end."""

    arn: str
    status: str
    output: Json
    error: str | None
    cause: str | None
    states: list[str]  # in the order they were entered, each as often as it was


class Pipeline:
    """The deployed workflow, as a test speaks of it."""

    def __init__(self) -> None:
        self.captions = False
        self.express = False  # the machines of pictures and captions as they are deployed with `workflow: express`
        self.patient = True  # else a throttled call is tried three times more and not sixty, which takes seconds here
        as_express = json.loads(in_five_minutes(json.dumps(definition(IMAGES))))
        every = [*states(definition(RECAPTION)), *states(as_express), *states(definition(DELETION))]
        self.tasks = {name: Task() for name, state in every if state["Type"] == "Task"}
        self.tasks["Validate"].answers = accepts
        self.tasks["Resize"].answers = resizes
        self.tasks["Caption"].answers = CAPTION
        self.tasks["NoCaption"].answers = lambda given_up: {"status": "FAILED", "reason": given_up["error"]["Error"]}
        self.tasks["Cleanup"].answers = {"removed": 0}
        self.waits: list[float] = []  # the longest pause each retry may take, before its jitter
        self._names = count()
        services = ("dynamodb", "sqs", "stepfunctions", "s3")
        self._dynamodb, self._sqs, self._sfn, self._s3 = (_client(name) for name in services)
        create_results_table(self._dynamodb, TABLE)
        create_sweeps_table(self._dynamodb, SWEEPS)
        self.queue = self._sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
        self._s3.create_bucket(Bucket=UPLOADS, CreateBucketConfiguration={"LocationConstraint": REGION})
        self._s3.put_bucket_versioning(Bucket=UPLOADS, VersioningConfiguration={"Status": "Enabled"})

    def run(self, happened: Json, *, machine: str = IMAGES, redrives: Run | None = None) -> Run:
        """Start an execution and stay with it to its end; `redrives` is the earlier one whose letter it redrives."""
        started = self._sfn.start_execution(
            stateMachineArn=self._machine(machine),
            name=f"run-{next(self._names)}",
            input=json.dumps({**happened, "redrives": redrives.arn} if redrives else happened),
        )
        arn = started["executionArn"]
        ended = self._sfn.describe_execution(executionArn=arn)
        history = ENGINES[ACCOUNT][REGION].get_execution_history(arn)["events"]  # the API needs 20 ms to write it down
        entered = [one["stateEnteredEventDetails"]["name"] for one in history if "stateEnteredEventDetails" in one]
        output = json.loads(ended["output"]) if "output" in ended else None
        return Run(arn, ended["status"], output, ended.get("error"), ended.get("cause"), entered)

    def recaption(self, key: str = "raw/cat.jpg") -> Run:
        """As `darkroom redrive --caption-failed` asks for it, by the row."""
        row = self.row(key)
        source = {"bucket": UPLOADS, "key": key, "version_id": row["shown_version_id"]["S"], "etag": row["etag"]["S"]}
        return self.run({"source": source, "content_hash": row["content_hash"]["S"]}, machine=RECAPTION)

    def history(self, run: Run) -> list[dict[str, Any]]:
        """Its events as Step Functions' API tells them, in their order."""
        events = self._sfn.get_execution_history(executionArn=run.arn, maxResults=1_000)["events"]
        return sorted(events, key=lambda one: one["id"])

    def upload(self, key: str = "raw/cat.jpg", data: bytes = b"cat") -> str:
        """Put an object into the bucket, and no event: its version."""
        return self._s3.put_object(Bucket=UPLOADS, Key=key, Body=data)["VersionId"]

    def delete(self, key: str = "raw/cat.jpg", version: str | None = None) -> str:
        """Hide the object behind a delete marker, or remove one version for good: the version of the marker or that."""
        which = {"VersionId": version} if version else {}
        return self._s3.delete_object(Bucket=UPLOADS, Key=key, **which)["VersionId"]

    def end(self, how: str) -> None:
        """End the execution at work as no Catch sees it: what its task is doing is still done, and nothing after it."""
        [running] = ENGINES[ACCOUNT][REGION]._get_executions(ExecutionStatus.RUNNING)
        environment = running.exec_worker.env
        match how:
            case "ABORTED":
                environment.set_stop(stop_date=None, error=None, cause=None)
            case "TIMED_OUT":
                environment.set_timed_out()
            case _:
                environment.set_error({"error": how, "cause": "no Catch sees it"})
        # moto takes an end inside a Map for the Map's own error, and would fail the execution by it once more.
        environment.set_error = lambda *_, **__: None

    def tells(self, run: Run) -> dict[str, Any]:
        """Step Functions' own event of its end."""
        found = self._sfn.describe_execution(executionArn=run.arn)
        detail = {
            name: found.get(name) for name in ("executionArn", "stateMachineArn", "status", "input", "error", "cause")
        }
        detail["stopDate"] = round(time() * 1000)  # moto keeps none of what timed out
        return {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}

    def services(self) -> Services:
        """What the sweep works with, of this account."""
        results, memory = Results(self._dynamodb, TABLE), Memory(self._dynamodb, SWEEPS)
        listed = [self._machine(machine) for machine in (IMAGES, DELETION) if machine == DELETION or not self.express]
        states = Executions(self._sfn, listed, rest=lambda _: None)
        again = Again(self._sfn, self._machine(IMAGES), results, 100, rest=lambda _: None) if self.express else None
        return Services(states, results, self._sqs, memory, again)

    def versions(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What S3 answers to the state Look."""
        return self._s3.list_object_versions(**asked)

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What Step Functions answers to the state Undelete; by then the execution has come to its end."""
        started = self._sfn.start_execution(
            stateMachineArn=asked["StateMachineArn"], name=f"run-{next(self._names)}", input=asked["Input"]
        )
        return {"ExecutionArn": started["executionArn"], "StartDate": started["startDate"]}

    def row(self, key: str = "raw/cat.jpg") -> dict[str, Any]:
        """In DynamoDB's own typed form."""
        return self._dynamodb.get_item(TableName=TABLE, Key={"key": {"S": key}}).get("Item", {})

    def rows(self) -> list[dict[str, Any]]:
        return self._dynamodb.scan(TableName=TABLE)["Items"]

    def letters(self) -> list[dict[str, Any]]:
        return letters(self._sqs, self.queue)

    def _machine(self, machine: str) -> str:
        """One for each set of placeholders; creating the same machine again answers with the first."""
        name = f"{machine}-captions-{self.captions}-express-{self.express}"
        created = self._sfn.create_state_machine(name=name, definition=self.filled(machine), roleArn=ROLE)
        return created["stateMachineArn"]

    def filled(self, machine: str) -> str:
        """The file with its placeholders filled, as `stacks/workflow.py` fills them."""
        values = {
            "ResultsTable": TABLE,
            "ValidateFunction": "Validate",
            "ResizeFunction": "Resize",
            "CaptionFunction": "Caption",
            "CleanupFunction": "Cleanup",
            "DeadLetterQueue": self.queue,
            "ImagePipeline": "" if machine == IMAGES else self._machine(IMAGES),
            "MapConcurrency": "{% 0 %}",
            "CaptionsEnabled": "true" if self.captions else "false",
        }
        text = (FILES / f"{machine}.asl.json").read_text()
        if self.express and machine != DELETION:
            text = in_five_minutes(text)
        if not self.patient:
            text = text.replace('"MaxAttempts": 60', '"MaxAttempts": 3')
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        return text


def definition(machine: str = IMAGES) -> dict[str, Any]:
    """The file as it stands."""
    read: dict[str, Any] = json.loads((FILES / f"{machine}.asl.json").read_text())
    return read


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state with its name, those inside Parallel and Map too."""
    for name, state in machine["States"].items():
        yield name, state
        for inner in inner_machines(state):
            yield from states(inner)


def inner_machines(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]


def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A fresh account with the workflow in it."""
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", _session())
        pipeline = Pipeline()
        _prepare_the_interpreter(monkeypatch, pipeline)
        yield pipeline
        TMP_THREADS.clear()  # moto never does


@cache
def _client(service: str) -> Any:
    """One for all tests as well."""
    client = _session().client(service)
    if service == "stepfunctions":  # of which moto does not know `reverseOrder`
        client.meta.events.register(
            "after-call.sfn.GetExecutionHistory", lambda parsed, **_: parsed["events"].reverse()
        )
    return client


@cache
def _session() -> boto3.Session:
    """One for all tests: a new one reads its service models from disk again, which takes longer than an execution."""
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


def _prepare_the_interpreter(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline) -> None:
    # moto leaves the JSONata evaluator to whoever has one, and would give it the variables as text: a character beyond
    # the first 65,536 as two, a quotation mark as the end of its string, and all of it to be parsed each time.
    monkeypatch.setattr(StringJSONata, "_eval_body", _expression)
    monkeypatch.setattr(StateTaskServiceDynamoDB, "_from_error", _keeping_the_names(StateTaskServiceDynamoDB))
    # moto lets no error named States.* out of a Map or a Parallel, nor through a Fail state.
    monkeypatch.setattr(custom_error_name, "ILLEGAL_CUSTOM_ERROR_PREFIX", "moto")

    # Executions on the caller's own thread, so that there is nothing to wait for; parsed once, for 0.2 s each.
    monkeypatch.setattr(execution, "ExecutionWorker", SyncExecutionWorker)
    monkeypatch.setattr(AmazonStateLanguageParser, "parse", _parsed)
    monkeypatch.setattr(Program, "eval", _not_beginning_what_has_ended(Program.eval))
    monkeypatch.setattr(BranchWorker, "start", _branch)
    monkeypatch.setattr(InlineIterationComponent, "_launch_worker", _iteration)
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=pipeline.waits.append))
    monkeypatch.setattr(jitter_strategy_decl, "random", SimpleNamespace(uniform=lambda _, longest: longest))
    monkeypatch.setattr(logging.getLogger("moto"), "level", logging.CRITICAL)

    for service in (StateTaskServiceDynamoDB, StateTaskServiceSqs):
        monkeypatch.setattr(service, "_eval_service_task", _watched(pipeline, service._eval_service_task))
    monkeypatch.setattr(StateTaskServiceLambda, "_eval_service_task", _invoked(pipeline))
    # moto's histories take no dates, which S3 tells, and its own StartExecution needs a name.
    monkeypatch.setattr(StateTaskServiceAwsSdk, "_normalise_exception_name", staticmethod(_named_as_s3_does))
    monkeypatch.setattr(StateTaskServiceAwsSdk, "_eval_service_task", _asked(pipeline, pipeline.versions))
    monkeypatch.setattr(StateTaskServiceSfn, "_eval_service_task", _asked(pipeline, pipeline.start))


_parsed = cache(AmazonStateLanguageParser.parse)


def _branch(worker: BranchWorker) -> None:
    """On the Parallel's own thread, so that the branches run one after the other.

    Once an execution has ended, moto skips every evaluation and takes whatever is on the stack for its result. A branch
    that is at work while another ends the execution would go on with such values: a Map's item as the time limit of its
    task. And two iterations that fail for the first time at once may count the same retries twice.
    """
    worker._program.eval(worker.env)
    worker._branch_worker_comm.on_terminated(env=worker.env)


def _iteration(component: InlineIterationComponent, env: Any, eval_input: Any, job_pool: Any) -> None:
    """As `_branch`: the first worker takes all items of the Map, in their order."""
    component._create_worker(env=env, eval_input=eval_input, job_pool=job_pool).eval()


def _not_beginning_what_has_ended(evaluate: Callable[..., None]) -> Callable[..., None]:
    """A branch that begins when the other has ended the execution dies in moto, and the Parallel waits for it."""

    def begun(program: Program, env: Any) -> None:
        try:
            evaluate(program, env)
        except RuntimeError:
            if env.is_running():
                raise

    return begun


def _watched(pipeline: Pipeline, call: Callable[..., None]) -> Callable[..., None]:
    def evaluate(state: Any, env: Any, **call_details: Any) -> None:
        arguments = call_details["normalised_parameters"]
        pipeline.tasks[state.name].perform(arguments, lambda: call(state, env=env, **call_details))

    return evaluate


def _named_as_s3_does(_: str, error: ClientError) -> str:
    """moto calls every error of S3 the same."""
    return f"S3.{error.response['Error']['Code']}"


def _asked(pipeline: Pipeline, work: Answer) -> Callable[..., None]:
    def evaluate(state: Any, env: Any, *, normalised_parameters: dict[str, Any], **_: Any) -> None:
        answer = pipeline.tasks[state.name].perform(normalised_parameters, lambda: work(normalised_parameters))
        env.stack.append(json.loads(json.dumps(answer, default=str)))

    return evaluate


def _invoked(pipeline: Pipeline) -> Callable[..., None]:
    def evaluate(state: Any, env: Any, *, normalised_parameters: dict[str, Any], **_: Any) -> None:
        task, payload = pipeline.tasks[state.name], json.loads(normalised_parameters["Payload"])
        answer = task.perform(payload, lambda: task.answers(payload) if callable(task.answers) else task.answers)
        env.stack.append({"StatusCode": 200, "Payload": json.loads(json.dumps(answer))})

    return evaluate


def _expression(expression: StringJSONata, env: Any) -> None:
    """One that gives nothing or cannot be evaluated is a States.QueryEvaluationError, whatever JSONata raised."""
    variables = env.variable_store
    try:
        value = evaluated(
            expression.expression,
            {"states": env.states._states_data, **variables._outer_scope, **variables._inner_scope},
        )
    except Exception as error:
        name = StatesErrorName(typ=StatesErrorNameType.StatesQueryEvaluationError)
        details = EvaluationFailedEventDetails(error=name.error_name, cause=str(error))
        raise FailureEventException(
            FailureEvent(
                env=env,
                error_name=name,
                event_type=HistoryEventType.EvaluationFailed,
                event_details=EventDetails(evaluationFailedEventDetails=details),
            )
        ) from error
    env.stack.append(value)


def evaluated(expression: str, variables: dict[str, Json]) -> Json:
    """Its value, which shares nothing with the variables. Raises ValueError if there is none."""
    parsed = _parsed_expression(expression)
    jsonata.Jsonata.CURRENT.jsonata = parsed  # or $now() is what it was for the one parsed last
    value = parsed.evaluate(None, {name: _with_null(value) for name, value in variables.items()})
    if value is None:
        raise ValueError(f"The JSONata expression '{expression}' returned nothing (undefined).")
    return Utils.convert_nulls(value)


@cache
def _parsed_expression(expression: str) -> jsonata.Jsonata:
    parsed = jsonata.Jsonata(expression)
    parsed.set_output_convert_nulls(False)
    return parsed


def _with_null(value: Json) -> Json:
    """A copy for this JSONata, to which None is no value at all."""
    if isinstance(value, dict):
        return {name: _with_null(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_null(member) for member in value]
    if isinstance(value, datetime):  # of the context
        return value.isoformat()
    return Utils.NULL_VALUE if value is None else value


def _keeping_the_names(service: Any) -> Callable[..., Any]:
    """moto calls everything that is no answer of DynamoDB's a DynamoDB exception, an expression's failure and a time
    limit too."""
    original = service._from_error

    def named(state: Any, env: Any, ex: Exception) -> Any:
        if isinstance(ex, FailureEventException):
            return ex.failure_event
        if isinstance(ex, EvalTimeoutError):
            return super(service, state)._from_error(env=env, ex=ex)
        return original(state, env=env, ex=ex)

    return named
