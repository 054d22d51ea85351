"""The simulation of bursts: it reads what is deployed, and it can fail."""

import json
from typing import Any

import pytest

from benchmarks.cost import TRANSITIONS
from benchmarks.scale import ASL, Bucket, Cloud, backfills, calls, entered, first_limits, way_of
from functions.executions import MOST_AGAIN
from stacks.express import in_five_minutes
from tests.statemachine.engine import states


def deployed() -> dict[str, Any]:
    machine: dict[str, Any] = json.loads(ASL.read_text())
    return machine


def giving_up_after_a_minute() -> dict[str, Any]:
    """What was deployed once: throttling among the errors of Lambda itself."""
    machine = deployed()
    for _, state in states(machine):
        if ":lambda:" in state.get("Resource", ""):
            throttling = {"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 2, "BackoffRate": 2}
            state["Retry"] = [throttling | {"MaxAttempts": 6, "MaxDelaySeconds": 60}]
    return machine


def test_the_way_is_read_from_the_file():
    """The transitions that tests/statemachine observes, and five calls of functions for a picture."""
    way = way_of(deployed())
    assert (entered(way), calls(way, "lambda"), calls(way, "dynamodb")) == (TRANSITIONS, 5, 2)


def test_a_burst_fails_no_picture():
    """A hundred times as many as there is room for: refused, tried again, and done."""
    burst = Cloud(deployed(), places=1, pictures=100).run()
    assert burst.failed == 0
    assert burst.retries == burst.refused["lambda"] > 100
    assert burst.done_after(1) >= 0.8 * burst.least_seconds


def test_the_same_burst_failed_pictures_before():
    """Six retries of at most a minute are over before the burst is: the simulation can fail."""
    burst = Cloud(giving_up_after_a_minute(), places=1, pictures=100).run()
    assert burst.failed > 10


def test_an_execution_that_runs_out_of_time_fails():
    """Its limit counts from its start, however patient the retriers are."""
    assert Cloud(deployed() | {"TimeoutSeconds": 10}, places=1, pictures=30).run().failed > 0


def express(**changes: Any) -> dict[str, Any]:
    return {**json.loads(in_five_minutes(ASL.read_text())), **changes}


def test_a_burst_that_outlasts_an_express_execution_is_started_again_and_fails_no_picture():
    """More than a place does in five minutes, 750 calls of functions: the rest is done a hundred at a time."""
    burst = Cloud(express(), places=1, pictures=400, express=True).run()
    assert burst.failed == 0
    assert 0 < sum(picture.again > 0 for picture in burst.pictures) < 400
    assert len(burst.executions) == 400 + sum(picture.again for picture in burst.pictures)


def test_an_express_picture_that_never_has_the_time_fails():
    """After it was started again three times."""
    burst = Cloud(express(TimeoutSeconds=0.5), places=1, pictures=2, express=True).run()
    assert burst.failed == 2
    assert len(burst.executions) == 2 * (1 + MOST_AGAIN)


def test_an_express_workflow_has_no_limit_in_a_small_region_below_that_of_lambda():
    """By hand: 1,000 places, of which a picture takes 2.0 s; AWS gives more to who asks."""
    limits = {line[:2]: line[2:] for line in first_limits(way_of(deployed()), express=True)}
    assert limits["100", "other regions"][0] == "none"
    assert limits["1,000", "other regions"] == ("Lambda: functions at work at the same time", "500")


def test_the_index_refuses_what_comes_too_fast():
    """More executions begin at once than one status of the index takes writes a second; all come through later."""
    burst = Cloud(deployed(), places=1_000, pictures=1_300).run()
    assert burst.refused["dynamodb"] > 0
    assert burst.failed == 0


def test_the_same_burst_ends_the_same():
    """What is printed can be compared with what was printed."""
    first, again = (Cloud(deployed(), places=2, pictures=20).run() for _ in range(2))
    assert first.row == again.row


def test_a_bucket_lets_so_many_through_at_once_and_then_so_many_a_second():
    """Whoever asks waits for its turn; after a quiet time as many may come at once again, and no more."""
    bucket = Bucket(size=2, rate=4)
    assert [bucket.take(0) for _ in range(4)] == [0, 0, 0.25, 0.5]
    assert [bucket.take(100) for _ in range(3)] == [100, 100, 100.25]


@pytest.mark.parametrize(
    ("rate", "where", "limit"),
    [
        ("10", "big regions", "none"),
        ("100", "other regions", "Step Functions: transitions"),
        ("10", "a new account", "Lambda: functions at work at the same time"),
        ("1,000", "big regions", "Step Functions: StartExecution"),
    ],
)
def test_the_first_limit_is_the_one_that_lets_the_fewest_through(rate, where, limit):
    """By hand: 800 / 11 = 73 a second, 10 / 2.0 s = 5 a second, 300 a second."""
    limits = {(line[0], line[1]): line[2] for line in first_limits(way_of(deployed()))}
    assert limits[rate, where] == limit


def test_a_backfill_of_express_pictures_costs_a_third():
    """By hand: 100 million at 0.14 for 1,000, and 0.90 a million to look; what waits takes one transition of 800."""
    lines = {line[:4]: line[4:] for line in backfills(way_of(deployed()), express=True)}
    assert lines["100,000,000", "all", "1,000", "other regions"] == ("none", "4 days", "14,090")


def test_a_backfill_takes_longer_where_less_is_allowed_and_costs_the_same():
    """What needs nothing takes only the time to look. More at once help until a limit of AWS is reached."""
    lines = {line[:4]: line[4:] for line in backfills(way_of(deployed()))}
    million, hundred = ("1,000,000", "all", "100", "other regions"), ("1,000,000", "all", "1,000", "other regions")
    assert lines[million][0] == "none"
    assert lines[hundred][0] == "Step Functions: transitions"
    assert lines["100,000,000", "all", "1,000", "big regions"] == ("Step Functions: StartExecution", "4 days", "41,090")
    assert {usd for (objects, needed, *_), (_, _, usd) in lines.items() if (objects, needed) == million[:2]} == {"411"}
