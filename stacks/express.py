"""The Express form of the state machines: the same files, with waits that fit into five minutes.

An Express execution lasts five minutes at most, and afterwards Step Functions knows nothing of it. So nobody can ask
whether it sent its letter. The row says it: it stays PROCESSING until the letter is sent, and what dies before that is
found by its row. docs/decisions/0103-express-the-row-is-the-memory.md
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

LONGEST_EXECUTION = 300  # seconds, AWS's own: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LONGEST_WAIT = 30  # seconds between two attempts
WAITS = 120  # seconds of all waits of one retrier together

# Where also what is throttled gives up. Before the row is written only the letter remembers the event, so that there
# must be time for it; and a caption never fails its picture.
GIVES_UP_AFTER = {"Claim": 150, "Take": 30, "RecordFailure": 30, "Caption": WAITS, "NoCaption": 30}

THROTTLED = ("Throttling", "TooManyRequests", "SlowDown")  # parts of such errors' names


def in_five_minutes(definition: str) -> str:
    """Of a machine that makes pictures or captions."""
    machine = json.loads(definition)
    machine["TimeoutSeconds"] = LONGEST_EXECUTION
    if "RecordFailure" in machine["States"]:
        _send_the_letter_before_the_row_is_final(machine["States"])
    for name, state in _states(machine):
        state["Retry"] = [_shortened(name, one) for one in state["Retry"]]
    return json.dumps(machine, indent=2, ensure_ascii=False)


def waiting_for_express(definition: str) -> str:
    """Of the backfill. A synchronous call answers with how the execution ended, and is no error if it ended badly: the
    picture's row has that. So what is an error was not started, as far as anybody knows."""
    machine = json.loads(definition)
    pictures = machine["States"]["Objects"]["ItemProcessor"]["States"]["Pictures"]["ItemProcessor"]["States"]
    del pictures["Began"]
    pictures["Make"]["Catch"][0]["Next"] = "NotStarted"
    make = pictures["Make"]
    make |= {
        "Comment": "Starts the picture's way and waits for its end. What fails or runs out of time has its own row.",
        "Resource": "arn:aws:states:::aws-sdk:sfn:startSyncExecution",
        "TimeoutSeconds": LONGEST_EXECUTION + 30,
        "Parameters": {"StateMachineArn.$": "$.machine", "Input.$": "States.JsonToString($.input)"},
        "ResultSelector": {"execution.$": "$.ExecutionArn", "status.$": "$.Status"},
    }
    for retrier in make["Retry"]:
        retrier["ErrorEquals"] = [_as_the_sdk_names(error) for error in retrier["ErrorEquals"]]
    return json.dumps(machine, indent=2, ensure_ascii=False)


def _as_the_sdk_names(error: str) -> str:
    return error.replace("StepFunctions.AWSStepFunctions", "Sfn.Sfn").replace("StepFunctions.", "Sfn.")


def _send_the_letter_before_the_row_is_final(states: Json) -> None:
    """Explain, Take, DeadLetter, RecordFailure, Failed. Take is RecordFailure that leaves the row PROCESSING."""
    last = states["RecordFailure"]
    take = copy.deepcopy(last)
    take["Comment"] = "Sees that the row is this execution's still, or makes it, before the letter is sent."
    take["Arguments"]["ExpressionAttributeValues"][":failed"] = {"S": "PROCESSING"}
    last["Comment"] = "After the letter: a row that is FAILED has one. What the row shows stays."
    last["Catch"] = [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.input %}", "Next": "Failed"}]
    last["Next"] = "Failed"
    states["Take"] = take
    states["Explain"]["Next"] = "Take"
    states["DeadLetter"]["Next"] = "RecordFailure"


def _states(machine: Json) -> Iterator[tuple[str, Json]]:
    """Those that call something, also inside of a Map."""
    for name, state in machine["States"].items():
        if "Retry" in state:
            yield name, state
        if "ItemProcessor" in state:
            yield from _states(state["ItemProcessor"])


def _shortened(name: str, retrier: Json) -> Json:
    """What is throttled once the row is written waits until the time is over, and then the sweep starts it again.
    Anything else is tried as often as its longest waits have room."""
    if not retrier["MaxAttempts"]:
        return retrier
    retrier = {**retrier, "MaxDelaySeconds": min(retrier["MaxDelaySeconds"], LONGEST_WAIT)}
    throttled = any(part in error for part in THROTTLED for error in retrier["ErrorEquals"])
    if throttled and name not in GIVES_UP_AFTER:
        return retrier
    left, attempts = GIVES_UP_AFTER.get(name, WAITS), 0
    while attempts < retrier["MaxAttempts"]:
        left -= min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempts, retrier["MaxDelaySeconds"])
        if left < 0:
            break
        attempts += 1
    return {**retrier, "MaxAttempts": attempts}
