"""The engine shows the same every time: nothing in it depends on which thread comes first."""

import sys

import pytest

from tests.statemachine.engine import RENDITIONS, accepts, definition, event, states

LIMITS = {name: state["TimeoutSeconds"] for name, state in states(definition()) if state["Type"] == "Task"}


@pytest.fixture
def _threads_that_take_turns_all_the_time():
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture
def pipeline(pipeline, _threads_that_take_turns_all_the_time):
    """With all renditions and a caption to make."""
    pipeline.captions = True
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=len(RENDITIONS))
    return pipeline


def test_branches_and_iterations_run_one_after_the_other(pipeline):
    """Each ends before the next begins: at the same time, they would take each other's values."""
    iterations = [
        (one["type"], details["name"], details["index"])
        for one in pipeline.history(pipeline.run(event()))
        for name, details in one.items()
        if name.startswith("mapIteration")
    ]
    expected = [*(("Renditions", index) for index in range(len(RENDITIONS))), ("Captions", 0)]
    assert iterations == [
        (f"MapIteration{what}", *iteration) for iteration in expected for what in ("Started", "Succeeded")
    ]


@pytest.mark.parametrize("how", ["ABORTED", "TIMED_OUT", "States.Runtime"])
@pytest.mark.parametrize(("last", "resized", "captioned"), [("Resize", 1, 0), ("Caption", len(RENDITIONS), 1)])
def test_nothing_begins_once_an_execution_has_ended(pipeline, how, last, resized, captioned):
    """No other rendition and no caption; and every task of its history has its own time limit."""
    pipeline.tasks[last].meanwhile(lambda: pipeline.end(how))
    run = pipeline.run(event())
    assert [len(pipeline.tasks[name].calls) for name in ("Resize", "Caption")] == [resized, captioned]
    scheduled = [one["taskScheduledEventDetails"] for one in pipeline.history(run) if one["type"] == "TaskScheduled"]
    called = ["Claim", "Validate", *["Resize"] * resized, *["Caption"] * captioned]
    assert [one["timeoutInSeconds"] for one in scheduled] == [LIMITS[name] for name in called]
