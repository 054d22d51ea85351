"""The Express form of the image pipeline, on the engine: it ends as the standard one does, at least once, and what dies
is started again by the sweep."""

import json
from typing import Any

import pytest

from benchmarks.cost import LOGGED_BYTES, LOGGED_EVENTS
from functions import sweep
from tests.statemachine import engine
from tests.statemachine.engine import IMAGES, Pipeline, event
from tests.statemachine.fault_matrix import CONTEXT, account
from tests.statemachine.logged import log_lines, photo
from tests.statemachine.test_histories import WAYS

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

OF_ITS_OWN = {"execution", "created_at", "updated_at"}


@pytest.fixture
def express(pipeline: Pipeline) -> Pipeline:
    pipeline.express = True
    return pipeline


def left(pipeline: Pipeline) -> tuple[Any, ...]:
    """Rows and letters, without what is another one's each time."""
    rows = [{name: value for name, value in row.items() if name not in OF_ITS_OWN} for row in pipeline.rows()]
    letters = [{name: value for name, value in one.items() if name != "execution"} for one in pipeline.letters()]
    return rows, letters


# A deletion runs on the machine that it always runs on; of a letter that cannot be sent, there is a test below.
@pytest.mark.parametrize(
    "name",
    [name for name in WAYS if "delete" not in name and name not in ("withdrawn", "without_a_letter", "not_cleaned_up")],
)
def test_a_picture_ends_as_it_does_in_a_standard_workflow(monkeypatch: pytest.MonkeyPatch, name: str):
    """The same status, row and letters."""
    found = []
    for kind in (False, True):
        for pipeline in engine.start(monkeypatch):
            pipeline.express = kind
            run = WAYS[name](pipeline)
            found.append((run.status, run.error, *left(pipeline)))
    assert found[0] == found[1]


def test_the_same_event_twice_makes_one_picture(express):
    """EventBridge delivers at least once, and an Express name may be used again: the second ends as a Duplicate."""
    first, second = express.run(event()), express.run(event())
    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED")
    assert second.output["status"] == "Duplicate"
    assert express.row()["execution"] == {"S": first.arn}
    assert len(express.tasks["Validate"].calls) == 1


@pytest.mark.parametrize("at", ["Claim", "Validate", "Resize", "Record", "Cleanup"])
def test_the_same_event_twice_at_once_makes_one_picture(express, at):
    """Wherever the first is when the second comes."""
    express.run(event(sequencer="09", version="v0"))
    twins: list[Any] = []
    express.tasks[at].meanwhile(lambda: twins.append(express.run(event())))
    express.run(event())
    [twin] = twins
    assert twin.output["status"] == "Duplicate" or at == "Claim"
    assert express.row()["status"] == {"S": "SUCCEEDED"}
    assert express.row()["shown_version_id"] == {"S": "v1"}
    assert express.letters() == []


def test_a_picture_logs_what_the_cost_table_counts(express):
    """Most of what an Express picture costs at Step Functions; the table has more bytes, for what AWS adds."""
    lines = list(log_lines(photo(express), level="ALL"))
    assert len(lines) == LOGGED_EVENTS
    assert 0.5 * LOGGED_BYTES < sum(map(len, lines)) < 0.7 * LOGGED_BYTES


def swept(pipeline: Pipeline, times: int = 1) -> list[str]:
    """What the schedule makes of it, long after."""
    answers = [sweep.handler({"source": "aws.events"}, CONTEXT, pipeline.services()) for _ in range(times)]  # type: ignore[arg-type]
    return [how for answer in answers for how in answer.values()]


@pytest.mark.parametrize("at", ["Validate", "Resize", "Record"])
def test_a_picture_that_ran_out_of_time_is_made_after_all(at):
    """Nobody has a letter of it."""
    with account(express=True) as pipeline:
        pipeline.tasks[at].meanwhile(lambda: pipeline.end("TIMED_OUT"))
        pipeline.tasks[at].fails_with("Lambda.TooManyRequestsException", times=1)
        assert pipeline.run(event()).status == "TIMED_OUT"
        assert pipeline.row()["status"] == {"S": "PROCESSING"}
        assert swept(pipeline, 2) == ["STARTED AGAIN"]
        assert pipeline.row()["status"] == {"S": "SUCCEEDED"}
        assert pipeline.letters() == []


def test_a_letter_that_could_not_be_sent_is_sent_by_the_sweep():
    """The row is not final before: it remembers the error."""
    with account(express=True) as pipeline:
        pipeline.tasks["Resize"].fails_with("RuntimeError")
        pipeline.tasks["DeadLetter"].fails_with("SQS.InternalErrorException")
        assert pipeline.run(event()).error == "LetterNotSent"
        assert pipeline.row()["status"] == {"S": "PROCESSING"}
        assert swept(pipeline, 2) == ["FAILED"]
        [letter] = pipeline.letters()
        assert (letter["error"]["code"], letter["reason"]) == ("RuntimeError", "FAILED")
        assert pipeline.row()["status"] == {"S": "FAILED"}


def test_a_newer_version_wins_over_what_the_sweep_starts_again():
    """Whenever its event comes: what is started again may take the row from the dead execution alone."""
    with account(express=True) as pipeline:
        pipeline.tasks["Validate"].meanwhile(lambda: pipeline.end("TIMED_OUT"))
        pipeline.run(event())
        pipeline.tasks["Validate"].meanwhile(lambda: pipeline.run(event(sequencer="0B", version="v2")))
        assert swept(pipeline) == ["STARTED AGAIN"]
        assert pipeline.row()["shown_version_id"] == {"S": "v2"}
        assert json.loads(pipeline.filled(IMAGES))["TimeoutSeconds"] == 300
