"""Breaks every step in every way on the engine; `make faults` writes what was observed to docs/faults.md.

Two columns of the page are the local cloud's: `tests/e2e/fault_matrix.py` writes them, and `edge_faults.py` the table
after this one. Here all of it is kept.
"""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from moto.events.models import EventPattern

from functions import results, sweep, telemetry
from functions.executions import MOST_AGAIN
from stacks.express import in_five_minutes
from tests.statemachine import engine
from tests.statemachine.engine import DELETION, IMAGES, Pipeline, Run, deletion, event, rejects

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
INTRODUCTION = """# What happens to a picture when something breaks

`make faults` writes this page from what it observed. `make test` fails if the page is stale or a line of it is lost.

Each picture had a version that succeeded before, and a newer one was broken: each step so that every attempt failed.
The deletions are of the whole picture, but for Withdraw: there only the newer version was removed, which had been
rejected. After the end of the execution the sweep ran: first by Step
Functions' own event, if the deployed rule matches the event (it does not match if the execution sent its letter
itself), then several times by its schedule.

## How to read the table

- **engine**: all columns but the two of the **local cloud** are from the deployed ASL file on moto's interpreter, with
  the real sweep. The functions are stand-ins there. Without memory or time they do not really end: they only give the
  error that Step Functions would see. A throttled call is tried three times more, not sixty times.
- **local cloud**: these columns are from the deployed stack with IAM on, one for each kind of
  [`workflow`](express.md). **same** means that it showed the same as the engine. **engine only** means that the local
  cloud cannot show it: a write there ends before any limit or abort, there is no error that no Catch sees, and no
  DynamoDB or SQS that throttles, fails or hangs.
- **row**, **letters**: the status of the row and the reasons of the dead letters after everything ended.
- **shown**: whether the row then names the renditions of the older or of the newer version. On the local cloud they are
  also in the bucket.
- **metric**: the metric that follows from the status of the execution (`Executions…`, of Step Functions), or from the
  calls of the sweep (`Swept`). Letters also count in the queue's `ApproximateNumberOfMessagesVisible`. No metric was
  read from CloudWatch.
- **express**: row, shown and letters with `workflow: express`, or **same** if they are the same as those before.
  Nobody can abort an Express execution, and Step Functions tells nothing of its end, so only the schedule comes. It
  starts a picture again that ran out of time, three times at most. A fault that ends an execution happens once here, so
  the picture is made then; what is throttled runs out of time each time. On the local cloud that time is 10 seconds,
  and retries wait for 3 % of theirs. Deletions always run on a Standard workflow. Take is there in an Express workflow
  only.
- `make faults` tries every line that names the local cloud. `make test` tries all of them with Standard, and with
  Express six, whose course is another: Validate raises and timed out; Claim, Take, RecordFailure and DeadLetter
  refused.

The faults:

- **throttled**: on the local cloud, the function has no place to run. A step that calls nothing cannot be throttled.
- **refused**: on the local cloud, the state machine has no grant for the call.
- **timeout** is the limit of the task, **timed out** that of the execution, **out of time** that of the function.
- **raises**, **exits**, **out of memory**, **nonsense**: the function raises an error, exits, takes more memory than
  it has and is killed, or gives a wrong answer.
- **undelivered**: the execution is aborted in this step, and the event of the abort is lost, so only the schedule finds
  it. **undone**: the execution is aborted before the step has done anything.

A line that is **LOST** has a picture without a final row or a letter. A line that is **GONE** has a picture that was
shown, was not deleted, and is not shown any more.

Not in the table:

- An Express execution that dies before Claim has written its row, and without a letter, leaves nothing. Its picture is
  found as that of a lost event is ([how](express.md#what-can-be-lost)).
- An event that EventBridge cannot deliver becomes a letter. It is not in this table, but in that of the
  [grants](permissions.md#what-breaks-without-each-grant).
- Deliver, the API, Announce and Notify are no steps of a picture. They have
  [a table of their own](#the-functions-that-no-state-machine-calls).
- The line of a sweep that exits after its letter shows two letters. There can also be two if the answer to a
  SendMessage is lost and it is sent again, or if a sweep takes longer than the five minutes for which it has the row.
  Both letters redrive the same execution, and the picture is made once
  ([why](decisions/0040-a-second-letter-is-possible-and-harmless.md)).
"""
STEPS = {
    "image_pipeline": ("Claim", "Validate", "Accepted?", "Resize", "Caption", "Record", "Reject", "Cleanup"),
    "image_pipeline, after Resize raised": ("Take", "RecordFailure", "DeadLetter"),
    "deletion": ("MarkDeleted", "Withdraw", "Cleanup", "Look", "Undelete", "DeadLetter"),
}
CODES = {
    "dynamodb": ("DynamoDB.ThrottlingException", "DynamoDB.InternalServerError", "DynamoDB.AmazonDynamoDBException"),
    "sqs": ("SQS.RequestThrottledException", "SQS.InternalErrorException", "SQS.AmazonSQSException"),
    "aws-sdk": ("S3.SlowDownException", "S3.S3Exception", "S3.S3Exception"),
    "states": (
        "StepFunctions.Throttling",
        "StepFunctions.InternalServer",
        "StepFunctions.AWSStepFunctionsException",
    ),
    "lambda": ("Lambda.TooManyRequestsException", "Lambda.ServiceException", "Lambda.AWSLambdaException"),
}
SERVICE = ("throttled", "service error", "refused")
FUNCTION = {
    "raises": "RuntimeError",
    "out of memory": "Lambda.Unknown",
    "out of time": "Sandbox.Timedout",
    "exits": "Runtime.ExitError",
}
ENDINGS = {
    "aborted": "ABORTED",
    "timed out": "TIMED_OUT",
    "States.Runtime": "States.Runtime",
    "States.DataLimitExceeded": "States.DataLimitExceeded",
    "undelivered": "ABORTED",
    "undelivered, undone": "ABORTED",
}
ABORTS = {name for name, how in ENDINGS.items() if how == "ABORTED"}
FAULTS = (*SERVICE, "timeout", *FUNCTION, "nonsense", *ENDINGS)
ENGINE_ONLY, SAME = "engine only", "same"
LOCAL, LOCAL_EXPRESS = "local cloud", "express, local cloud"
COLUMNS = (
    *("step", "fault", "execution", "row", "shown", "letters", "metric"),
    *(LOCAL, "express", LOCAL_EXPRESS),
)
NOTHING = "nothing"
EXPRESS_ONLY = "Take"
OTHERS = "\n## The functions that no state machine calls\n"  # the heading of the other table
CONTEXT = SimpleNamespace(
    function_name="sweep",
    memory_limit_in_mb=1,
    invoked_function_arn="arn",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 840_000,
)

Cell = tuple[str, str]  # step, fault


class Observed(NamedTuple):
    step: str
    fault: str
    execution: str
    row: str
    shown: str
    letters: str
    metric: str
    express: str = "-"

    @property
    def is_lost(self) -> bool:
        """Not made, not refused, and nobody has a letter of it; a deletion's renditions may be left."""
        settled = self.execution in {"-", "SUCCEEDED"} or self.row in {"SUCCEEDED", "REJECTED"}
        return not settled and self.letters == "none"

    @property
    def is_gone(self) -> bool:
        """Though it was not deleted."""
        return self.shown == NOTHING and (not self.step.endswith("(deletion)") or self.step.startswith("Withdraw"))


def observations() -> Iterator[Observed]:
    for way, steps in STEPS.items():
        for step in steps:
            for fault in FAULTS:
                yield _observed(DELETION, step, fault) if way == "deletion" else _in_both_kinds(step, fault)
    yield from (_swept(fault) for fault in ("raises before its letter", "exits after its letter"))
    yield _without_table_and_queue()


def _in_both_kinds(step: str, fault: str) -> Observed:
    """Of the image pipeline."""
    if step == EXPRESS_ONLY:
        standard = Observed(step, fault, "-", "is not there", "-", "none", "-")
    else:
        standard = _observed(IMAGES, step, fault)
        if standard.execution == "-":
            return standard
    if fault in ABORTS:
        return standard
    express = _observed(IMAGES, step, fault, express=True)
    if express.execution == "-":
        return standard
    lost, gone = express.is_lost, express.is_gone
    ends = (express.row, "**GONE**" if gone else express.shown, "**LOST**" if lost else express.letters)
    return standard._replace(express=SAME if express[3:6] == standard[3:6] else "; ".join(ends))


def _observed(machine: str, step: str, fault: str, *, express: bool = False) -> Observed:
    name = f"{step} (deletion)" if machine == DELETION else step
    state = _state(machine, step, express=express)
    kind = _kind(state)
    if kind is None and fault != "nonsense":
        return Observed(name, fault, "-", "calls nothing", "-", "none", "-")
    if kind != "lambda" and kind is not None and (fault in FUNCTION or fault == "nonsense"):
        return Observed(name, fault, "-", "is no function", "-", "none", "-")
    with account(express=express) as pipeline:
        older = _older(pipeline)
        happens = _lead_to(pipeline, step, machine)
        task = pipeline.tasks["Validate" if kind is None else step]
        calls = len(task.calls)
        if fault in ENDINGS:
            task.meanwhile(lambda: pipeline.end(ENDINGS[fault]))
            if fault == "undelivered, undone":
                task.fails_with("RuntimeError", times=1)
        elif fault == "nonsense":
            task.answers = "nonsense" if kind else {**engine.accepts({"source": {}}), "accepted": "perhaps"}
        elif fault == "timeout":
            task.fails_with("States.Timeout")
        else:
            task.fails_with(FUNCTION.get(fault) or CODES[kind or ""][SERVICE.index(fault)])
            if express and fault == "throttled" and any(one["MaxAttempts"] == 60 for one in state["Retry"]):
                _runs_out_of_time(pipeline, task)
        run = pipeline.run(happens, machine=machine)
        assert len(task.calls) > calls, f"{step} was never called"
        swept = _sweep(pipeline, told=[] if "undelivered" in fault or express else _told(pipeline, run))
        return _after(pipeline, name, fault, run, swept, older)


def _swept(fault: str) -> Observed:
    """The sweep itself dies once, after an abort; the schedule calls it again."""
    with account() as pipeline:
        older = _older(pipeline)
        pipeline.tasks["Resize"].meanwhile(lambda: pipeline.end("ABORTED"))
        run = pipeline.run(event())
        real = pipeline.services()
        broken = (
            replace(real, letters=SimpleNamespace(send_message=_raises))  # type: ignore[arg-type]
            if fault == "raises before its letter"
            else replace(real, results=SimpleNamespace(take=real.results.take, settle=_raises))  # type: ignore[arg-type]
        )
        [told] = _told(pipeline, run)
        with pytest.raises(RuntimeError):
            sweep.handler(told, CONTEXT, broken)  # type: ignore[arg-type]
        return _after(pipeline, "Sweep", fault, run, _sweep(pipeline), older)


def _without_table_and_queue() -> Observed:
    """Neither takes what execution and sweep write, for several sweeps; then both do again."""
    with account() as pipeline:
        older = _older(pipeline)
        for task in ("Claim", "RecordFailure"):
            pipeline.tasks[task].fails_with("DynamoDB.InternalServerError")
        pipeline.tasks["DeadLetter"].fails_with("SQS.InternalErrorException")
        run = pipeline.run(event())
        real = pipeline.services()
        away = SimpleNamespace(take=_raises, at_work_since=real.results.at_work_since)
        broken = replace(real, results=away, letters=SimpleNamespace(send_message=_raises))  # type: ignore[arg-type]
        for happened in (*_told(pipeline, run), {"source": "aws.events"}, {"source": "aws.events"}):
            with pytest.raises((RuntimeError, ExceptionGroup)):
                sweep.handler(happened, CONTEXT, broken)  # type: ignore[arg-type]
        return _after(pipeline, "all", "table and queue away", run, _sweep(pipeline), older)


def _raises(*_: Any, **__: Any) -> None:
    raise RuntimeError("it died")


def _told(pipeline: Pipeline, run: Run) -> list[dict[str, Any]]:
    """Step Functions' own event of the end, if the deployed rule lets it through to the sweep."""
    happened = pipeline.tells(run)
    of = happened["detail"]["stateMachineArn"]
    pattern = (engine.FILES / "ended_rule.json").read_text().replace("${ImagePipeline}", of).replace("${Deletion}", of)
    return [happened] if EventPattern.load(pattern).matches_event(happened) else []


def _sweep(pipeline: Pipeline, *, told: Sequence[dict[str, Any]] = ()) -> bool:
    """What follows the end of an execution: what Step Functions tells of it, and twice the schedule, long after."""
    calls = [*told, *[{"source": "aws.events"}] * (MOST_AGAIN + 2 if pipeline.express else 2)]
    answers = [sweep.handler(one, CONTEXT, pipeline.services()) for one in calls]  # type: ignore[arg-type]
    return any(how not in {"SETTLED", "RUNNING"} for answer in answers for how in answer.values())


def _after(pipeline: Pipeline, step: str, fault: str, run: Run, swept: bool, older: str) -> Observed:
    letters = ", ".join(letter["reason"] for letter in pipeline.letters()) or "none"
    row = pipeline.row()
    status = row.get("status", {"S": "no row"})["S"]
    shown = row["shown_version_id"]["S"] if "renditions" in row else None
    which = NOTHING if shown is None else "older" if shown == older else "newer"
    metric = "Executions" + {"TIMED_OUT": "TimedOut"}.get(run.status, run.status.capitalize())
    return Observed(step, fault, run.status, status, which, letters, metric + (", Swept" if swept else ""))


def _runs_out_of_time(pipeline: Pipeline, task: engine.Task) -> None:
    """Each execution, before as many retries are over."""

    def ends() -> None:
        pipeline.end("TIMED_OUT")
        task.meanwhile(ends)

    task.meanwhile(ends)


def _state(machine: str, step: str, *, express: bool) -> dict[str, Any]:
    definition = engine.definition(machine)
    if express:
        definition = json.loads(in_five_minutes(json.dumps(definition)))
    found: dict[str, Any] = dict(engine.states(definition))[step]
    return found


def _kind(state: Mapping[str, Any]) -> str | None:
    return state["Resource"].removeprefix("arn:aws:states:::").split(":")[0] if state["Type"] == "Task" else None


def _older(pipeline: Pipeline) -> str:
    """A version that succeeds before anything breaks."""
    pipeline.run(event(sequencer="09", version="v0"))
    return "v0"


def _lead_to(pipeline: Pipeline, step: str, machine: str) -> dict[str, Any]:
    """What is to happen then, so that the step is reached."""
    if step == "Withdraw":
        pipeline.tasks["Validate"].answers = rejects
        pipeline.run(event(sequencer="0A", version="v1"))
        pipeline.tasks["Validate"].answers = engine.accepts
        pipeline.upload()  # the version that is left
        return deletion(sequencer="0B", version="v1", marker=False)
    ways: dict[str, Callable[[], Any]] = {
        "Caption": lambda: setattr(pipeline, "captions", True),
        "Reject": lambda: setattr(pipeline.tasks["Validate"], "answers", rejects),
        "Undelete": pipeline.upload,
        **dict.fromkeys(("Take", "RecordFailure"), lambda: pipeline.tasks["Resize"].fails_with("RuntimeError")),
        "DeadLetter": lambda: pipeline.tasks["Resize" if machine == IMAGES else "Cleanup"].fails_with("RuntimeError"),
    }
    if step in ways:
        ways[step]()
    return deletion() if machine == DELETION else event()


class account:
    """A fresh account whose sweep finds every row old and no other call at it."""

    def __init__(self, *, express: bool = False) -> None:
        self._express = express

    def __enter__(self) -> Pipeline:
        self._patch = pytest.MonkeyPatch()
        self._pipelines = engine.start(self._patch)
        pipeline = next(self._pipelines)
        pipeline.patient, pipeline.express = False, self._express
        variables = {
            "DEAD_LETTER_QUEUE": pipeline.queue,
            "UPLOADS_BUCKET": "uploads",
            "SECONDS_LEFT_ALONE": "-1",
            "LONGEST_EXECUTION_SECONDS": "604800",
        }
        for name, value in variables.items():
            self._patch.setenv(name, value)
        self._patch.setattr(results, "LEASE", timedelta(seconds=-1))
        self._patch.setattr(telemetry.logger._logger, "level", logging.CRITICAL)
        self._silence = redirect_stdout(io.StringIO())  # the sweep's metrics
        self._silence.__enter__()
        return pipeline

    def __exit__(self, *_: object) -> None:
        self._silence.__exit__(None, None, None)
        self._pipelines.close()  # type: ignore[attr-defined]
        self._patch.undo()


def page(observed: list[Observed], local: Mapping[str, Mapping[Cell, str]]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for one in observed:
        letters = "**LOST**" if one.is_lost else one.letters
        shown = "**GONE**" if one.is_gone else one.shown
        there, express_there = (
            "-" if engine == "-" else local[column].get((one.step, one.fault), ENGINE_ONLY)
            for column, engine in ((LOCAL, one.execution), (LOCAL_EXPRESS, one.express))
        )
        ends = (one.execution, one.row, shown, letters, one.metric)
        lines.append(f"| {' | '.join((one.step, one.fault, *ends, there, one.express, express_there))} |")
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n" + "".join(_page()[1:])


def lines_of_the_page() -> list[dict[str, str]]:
    """Of its first table, each by its columns."""
    lines = [line.strip("| ").split(" | ") for line in _page()[0].splitlines() if line.startswith("| ")]
    return [dict(zip(COLUMNS, line, strict=True)) for line in lines[1:]]


def _page() -> tuple[str, str, str]:
    """As it stands: this part, the heading of the other, and that."""
    return PAGE.read_text().partition(OTHERS)


def local_columns() -> dict[str, dict[Cell, str]]:
    """What they say as they stand, where that is more than that the local cloud cannot show it."""
    lines, nothing = lines_of_the_page(), {ENGINE_ONLY, "-"}
    return {
        column: {(line["step"], line["fault"]): line[column] for line in lines if line[column] not in nothing}
        for column in (LOCAL, LOCAL_EXPRESS)
    }


if __name__ == "__main__":
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "faults")
    PAGE.write_text(page(list(observations()), local_columns()))
