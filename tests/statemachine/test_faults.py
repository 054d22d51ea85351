"""What every task does when what it calls fails: how often it tries again, how long it may wait, where it ends."""

import json

import pytest

from tests.statemachine.engine import DELETION, IMAGES, Pipeline, accepts, definition, deletion, event, rejects, states
from tests.statemachine.logged import log_lines

# Without NoCaption, which is reached over the retries of Caption: test_outcomes.py.
TASKS = {name: state for name, state in states(definition()) if state["Type"] == "Task" and name != "NoCaption"}
SERVICES = {name: task["Resource"].removeprefix("arn:aws:states:::").split(":")[0] for name, task in TASKS.items()}
FUNCTIONS, STORES = ([name for name in TASKS if (SERVICES[name] == "lambda") is of] for of in (True, False))

SERVICE_ERRORS = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
]
# By the name of the service's exception, and by that of the SDK's class for it: which of the two Step Functions gives
# is not documented for each.
THROTTLED = {
    "lambda": ["Lambda.TooManyRequestsException"],
    "dynamodb": [
        "DynamoDB.ProvisionedThroughputExceededException",
        "DynamoDB.ThrottlingException",
        "DynamoDB.RequestLimitExceeded",
        "DynamoDB.RequestLimitExceededException",
    ],
}
OTHER_ERRORS = ["RuntimeError", "Lambda.Unknown"]
OUT_OF_TIME = ["Sandbox.Timedout", "States.Timeout"]
STORE_ERRORS = {
    "dynamodb": ["DynamoDB.InternalServerError", "States.Timeout"],
    "sqs": ["SQS.AmazonSQSException", "States.Timeout"],
}
EVERY_STORE_AND_ERROR = [(name, error) for name in STORES for error in STORE_ERRORS[SERVICES[name]]]


def reach(pipeline: Pipeline, task: str) -> None:
    """Lead the picture to a task that a good one does not pass."""
    if task == "Caption":
        pipeline.captions = True
    if task == "Reject":
        pipeline.tasks["Validate"].answers = rejects
    if task == "Cleanup":
        for key in ("raw/cat.jpg", "raw/first.jpg", "raw/second.jpg"):
            pipeline.run(event(key, sequencer="09", version="v0"))
    if task in {"RecordFailure", "DeadLetter"}:
        pipeline.tasks["Validate"].answers = {}


@pytest.mark.parametrize("task", ["Claim", "Validate"])
def test_a_call_that_is_throttled_outlasts_the_burst(pipeline, task):
    """Sixty retries: the first after 5 s at most, then up to double, never over 10 minutes; five hours in the mean.
    Whichever names the throttling has, they are one kind. That every task has this retrier is in test_definition."""
    reach(pipeline, task)
    for error in THROTTLED[SERVICES[task]]:
        pipeline.tasks[task].then_fails_with(error, times=60 // len(THROTTLED[SERVICES[task]]))
    pipeline.tasks[task].then_fails_with(THROTTLED[SERVICES[task]][0], times=1)
    pipeline.run(event())
    assert len(pipeline.tasks[task].calls) == 1 + 60
    assert pipeline.waits == [5, 10, 20, 40, 80, 160, 320, *[600] * 53]


@pytest.mark.parametrize("task", FUNCTIONS)
def test_a_function_that_lambda_could_not_run_is_tried_six_times_more(pipeline, task):
    """Lambda itself failed: six retries, the first after 2 s at most, then up to double, never over 60 s."""
    reach(pipeline, task)
    pipeline.tasks[task].fails_with("Lambda.ServiceException")
    pipeline.run(event())
    assert len(pipeline.tasks[task].calls) == 1 + 6
    assert pipeline.waits == [2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize("task", FUNCTIONS)
def test_all_errors_of_lambda_itself_are_one_kind(pipeline, task):
    """Whichever of them come one after the other, they count as the same six retries."""
    reach(pipeline, task)
    for error in SERVICE_ERRORS:
        pipeline.tasks[task].then_fails_with(error, times=1)
    assert pipeline.run(event()).status == "SUCCEEDED"
    assert pipeline.waits == [2, 4, 8, 16]


@pytest.mark.parametrize("task", FUNCTIONS)
@pytest.mark.parametrize("error", OTHER_ERRORS)
def test_a_function_that_failed_is_tried_twice_more(pipeline, task, error):
    """Errors of our own code seldom pass: two retries."""
    reach(pipeline, task)
    pipeline.tasks[task].fails_with(error)
    pipeline.run(event())
    assert len(pipeline.tasks[task].calls) == 1 + 2
    assert pipeline.waits == [1, 2]


@pytest.mark.parametrize("task", FUNCTIONS)
@pytest.mark.parametrize("error", OUT_OF_TIME)
def test_a_picture_that_takes_too_long_is_not_tried_again(pipeline, task, error):
    """It would take as long. Cleanup decodes nothing: what it found slow may be fast the next time."""
    reach(pipeline, task)
    pipeline.tasks[task].fails_with(error)
    pipeline.run(event())
    assert len(pipeline.tasks[task].calls) == (1 + 2 if task == "Cleanup" else 1)


@pytest.mark.parametrize(("task", "error"), EVERY_STORE_AND_ERROR)
def test_a_write_that_failed_is_tried_five_times_more(pipeline, task, error):
    """DynamoDB and SQS: five retries, the last after 16 s at most."""
    reach(pipeline, task)
    pipeline.tasks[task].fails_with(error)
    pipeline.run(event())
    assert len(pipeline.tasks[task].calls) == 1 + 5
    assert pipeline.waits == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("task", [name for name in STORES if SERVICES[name] == "dynamodb"])
def test_a_condition_that_failed_is_an_answer(pipeline, task):
    """It is not tried again, and it ends the execution as a success without a letter."""
    reach(pipeline, task)
    pipeline.tasks[task].fails_with("DynamoDB.ConditionalCheckFailedException")
    run = pipeline.run(event())
    assert len(pipeline.tasks[task].calls) == 1
    assert run.output["status"] == ("Duplicate" if task == "Claim" else "Superseded")
    assert (pipeline.waits, pipeline.letters()) == ([], [])


@pytest.mark.parametrize(
    ("task", "error", "times"),
    [
        *((task, THROTTLED[SERVICES[task]][0], 3) for task in TASKS if SERVICES[task] in THROTTLED),
        *((task, SERVICE_ERRORS[0], 6) for task in FUNCTIONS),
        *((task, "RuntimeError", 2) for task in FUNCTIONS),
        *((task, STORE_ERRORS[SERVICES[task]][0], 5) for task in STORES),
    ],
)
def test_a_fault_that_passes_leaves_no_trace(pipeline, task, error, times):
    """If a later try succeeds, or the last, the picture ends as if nothing had been."""
    reach(pipeline, task)
    undisturbed = pipeline.run(event("raw/first.jpg"))
    letters = len(pipeline.letters())

    pipeline.tasks[task].fails_with(error, times=times)
    run = pipeline.run(event("raw/second.jpg"))
    assert sorted(run.states) == sorted(undisturbed.states)
    assert run.status == undisturbed.status
    assert len(pipeline.letters()) == 2 * letters
    first, second = (pipeline.row(f"raw/{name}.jpg") for name in ("first", "second"))
    own = {"key", "execution", "created_at", "updated_at"}
    assert {name: first[name] for name in first.keys() - own} == {name: second[name] for name in second.keys() - own}


def test_the_kinds_of_retry_are_counted_apart(pipeline):
    """Throttling does not use up the tries that an error of the code or of Lambda has."""
    pipeline.tasks["Resize"].then_fails_with("RuntimeError", times=2)
    pipeline.tasks["Resize"].then_fails_with("Lambda.TooManyRequestsException", times=3)
    pipeline.tasks["Resize"].then_fails_with("Lambda.ServiceException", times=6)
    assert pipeline.run(event()).status == "SUCCEEDED"
    assert pipeline.waits == [1, 2, 5, 10, 20, 2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize(
    "task", [name for name in TASKS if name not in {"Caption", "Cleanup", "RecordFailure", "DeadLetter"}]
)
def test_every_task_ends_in_the_dead_letters_when_all_else_fails(pipeline, task):
    """A task that fails for good leaves a FAILED row and one letter, and the execution fails with its error. A new task
    is in this test by itself."""
    error = "RuntimeError" if task in FUNCTIONS else "DynamoDB.InternalServerError"
    reach(pipeline, task)
    pipeline.tasks[task].fails_with(error)
    run = pipeline.run(event())

    assert pipeline.tasks[task].calls, f"{task} was never called: reach() does not know the way there"
    assert run.states[-4:] == ["Explain", "RecordFailure", "DeadLetter", "Failed"]
    assert (run.status, run.error) == ("FAILED", error)
    row = pipeline.row()
    assert (row["status"], row["error"]["M"]["code"], row["execution"]) == (
        {"S": "FAILED"},
        {"S": error},
        {"S": run.arn},
    )
    assert [letter["error"]["code"] for letter in pipeline.letters()] == [error]


@pytest.mark.parametrize(
    ("machine", "task", "happens"), [(IMAGES, "Resize", event), (DELETION, "MarkDeleted", deletion)]
)
def test_a_failure_is_in_the_log_by_its_key_and_without_the_uploaders_address(pipeline, machine, task, happens):
    """So that the saved query of a key finds it. What goes well is not in the log at all."""
    assert list(log_lines(pipeline.run(happens(sequencer="0A"), machine=machine).arn)) == []
    pipeline.tasks[task].fails_with("States.Timeout")
    failed = pipeline.run(happens(sequencer="0E"), machine=machine)
    lines = list(log_lines(failed.arn))
    assert "FailStateEntered" in [json.loads(line)["type"] for line in lines if "raw/cat.jpg" in line]
    assert "127.0.0.1" in "".join(log_lines(failed.arn, level="ALL"))
    assert "127.0.0.1" not in "".join(lines)


def test_a_claim_that_fails_for_good_still_makes_a_row(pipeline):
    """RecordFailure writes the whole identity, because there may be no row to change."""
    pipeline.tasks["Claim"].fails_with("DynamoDB.InternalServerError")
    run = pipeline.run(event())
    row = pipeline.row()
    assert row["created_at"] == row["updated_at"]
    assert {name: row[name] for name in ("version_id", "etag", "size", "sequencer", "execution")} == {
        "version_id": {"S": "v1"},
        "etag": {"S": "etag of v1"},
        "size": {"N": "3"},
        "sequencer": {"S": "0A".ljust(40, "0")},
        "execution": {"S": run.arn},
    }


def test_a_claim_that_fails_for_good_spares_a_newer_version(pipeline):
    """RecordFailure is bound by Claim's own condition."""
    pipeline.run(event(sequencer="0B", version="v2"))
    row = pipeline.row()
    pipeline.tasks["Claim"].fails_with("DynamoDB.InternalServerError")
    assert pipeline.run(event(sequencer="0A")).output["status"] == "Superseded"
    assert (pipeline.row(), pipeline.letters()) == (row, [])


def test_a_failure_that_cannot_be_recorded_still_sends_its_letter(pipeline):
    """The letter then carries the first error, not the one of the recording."""
    pipeline.tasks["Resize"].fails_with("RuntimeError")
    pipeline.tasks["RecordFailure"].fails_with("DynamoDB.InternalServerError")
    run = pipeline.run(event())
    assert (run.status, run.error) == ("FAILED", "RuntimeError")
    assert [letter["error"]["code"] for letter in pipeline.letters()] == ["RuntimeError"]


def test_a_letter_that_cannot_be_sent_still_ends_in_a_failure(pipeline):
    """The row says FAILED, and the execution's error that the letter is owed, with the first error behind it: by that
    the sweep is called."""
    pipeline.tasks["Resize"].fails_with("RuntimeError")
    pipeline.tasks["DeadLetter"].fails_with("SQS.AmazonSQSException")
    run = pipeline.run(event())
    assert (run.status, run.error, run.cause) == ("FAILED", "LetterNotSent", "RuntimeError: it said RuntimeError")
    assert pipeline.row()["status"] == {"S": "FAILED"}
    assert pipeline.letters() == []


def test_one_bad_rendition_of_four_makes_one_letter(pipeline):
    """One picture makes one letter, however many of its renditions fail."""
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=4)
    pipeline.tasks["Resize"].fails_with("RuntimeError")
    pipeline.run(event())
    assert len(pipeline.letters()) == 1
