"""An execution, drawn: what the events tell of each state."""

import base64
import json
import re
from dataclasses import replace
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import pytest

from darkroom.console.diagram import Chart, draw, lay_out, nested, way
from darkroom.console.executions import TIMES, marked, taken, timeline
from darkroom.console.placeholder import data_uri, decode
from darkroom.pipeline.executions import State, read_history
from tests.darkroom.test_executions import history

STATEMACHINE = Path(__file__).parents[2] / "statemachine"
MACHINES = [
    json.loads((STATEMACHINE / name).read_text())
    for name in ("image_pipeline.asl.json", "deletion.asl.json", "recaption.asl.json")
]
PIPELINE = MACHINES[0]


def execution(status: str = "SUCCEEDED") -> dict[str, Any]:
    return {"status": status}


def looks(machine: Any, states: list[State], status: str = "SUCCEEDED") -> dict[str, str]:
    return {name: mark.look for name, mark in marked(machine, states, execution(status)).items()}


def visited(*names: str, last: dict[str, Any] | None = None) -> list[State]:
    """One after the other. `last` is of the last state."""
    lines, at = [], 0
    for name in names:
        kind = PIPELINE["States"][name]["Type"]
        entered = {"name": name, "input": "{}"}
        exited = {"name": name, "output": json.dumps((last or {}).get("output", {}) if name == names[-1] else {})}
        stays = name == names[-1] and (last or {}).get("stays")
        events = [("StateEntered", {"stateEnteredEventDetails": entered})]
        events += [] if stays or kind == "Fail" else [("StateExited", {"stateExitedEventDetails": exited})]
        for suffix, details in events:
            at += 1
            lines.append({"id": at, "timestamp": history("local")[0]["timestamp"], "type": kind + suffix, **details})
    return read_history(lines)


def test_states_inside_are_coloured_by_their_own_events_where_there_are_any():
    """As on AWS. One item of the Map was tried again."""
    machine = {
        "StartAt": "Claim",
        "States": {
            "Claim": {"Type": "Pass", "Next": "Derive"},
            "Derive": {
                "Type": "Parallel",
                "Next": "Done",
                "Branches": [
                    {
                        "StartAt": "Renditions",
                        "States": {
                            "Renditions": {
                                "Type": "Map",
                                "End": True,
                                "ItemProcessor": {
                                    "StartAt": "Resize",
                                    "States": {
                                        "Resize": {
                                            "Type": "Task",
                                            "End": True,
                                            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Note"}],
                                        },
                                        "Note": {"Type": "Pass", "End": True},
                                    },
                                },
                            }
                        },
                    },
                    {"StartAt": "Caption", "States": {"Caption": {"Type": "Pass", "End": True}}},
                ],
            },
            "Done": {"Type": "Succeed"},
        },
    }
    states = read_history(history("nested"))
    marks = marked(machine, states, execution())
    fine = ("Claim", "Derive", "Renditions", "Note", "Caption", "Done")
    assert [marks[name].look for name in fine] == ["succeeded"] * len(fine)
    assert (marks["Resize"].look, marks["Resize"].note) == ("caught", "\N{MULTIPLICATION SIGN}2")
    assert "and its error was caught" in marks["Resize"].words
    assert {("Claim", "Derive"), ("Derive", "Done")} <= taken(states)


def test_a_rendition_that_fails_is_drawn_as_failed_and_the_map_around_it_as_caught():
    """As the local cloud recorded it: `small` failed three times, the others were made."""
    marks = marked(PIPELINE, read_history(history("local")), execution("FAILED"))
    assert {name: mark.look for name, mark in marks.items()} == {
        **dict.fromkeys(("Claim", "Validate", "Accepted?", "Explain", "RecordFailure", "DeadLetter"), "succeeded"),
        "Renditions": "caught",
        "Resize": "failed",
        "Failed": "failed",
    }
    assert (marks["Resize"].words, marks["Resize"].note) == ("failed, after all its attempts", f"{TIMES}4")


def test_each_rendition_is_on_the_timeline_by_its_name():
    states = read_history(history("local"))
    whole = {"status": "FAILED", "started": states[0].entered, "stopped": states[-1].entered}
    resized = [one for one in timeline(whole, states) if one["state"].name == "Resize"]
    assert sorted((one["state"].item, one["state"].retries, one["look"]) for one in resized) == [
        ("large", 0, "succeeded"),
        ("medium", 0, "succeeded"),
        ("small", 2, "failed"),
        ("thumb", 0, "succeeded"),
    ]


def test_a_state_that_another_iteration_ended_is_not_at_work_while_its_execution_is():
    """The Map around it was left by its Catch."""
    around, at = read_history(history("local"))[3:5]
    assert around.name == "Renditions"
    ended = replace(at, exited=None)
    assert marked(PIPELINE, [around, ended], execution("RUNNING"))["Resize"].words == (
        "not left: another iteration had failed"
    )
    at_work = replace(ended, inside=replace(around, exited=None))
    assert marked(PIPELINE, [around, at_work], execution("RUNNING"))["Resize"].look == "running"


@pytest.mark.parametrize(("status", "look"), [("RUNNING", "running"), ("ABORTED", "failed"), ("TIMED_OUT", "failed")])
def test_a_state_that_was_not_left_runs_or_is_where_it_ended(status, look):
    assert looks(PIPELINE, visited("Claim", "Validate", last={"stays": True}), status)["Validate"] == look


drawn = pytest.mark.parametrize(("machine", "narrow"), [*product(MACHINES, (False, True))])


@drawn
def test_every_state_is_drawn_once_and_none_over_another(machine, narrow):
    names = [name for name, _ in nested(machine)]
    svg = draw(machine, {}, set(), narrow=narrow)
    assert sorted(re.findall(r'aria-label="([^":]*?)(?: (?:Parallel|Map))?: not visited"', svg)) == sorted(names)

    def apart(chart: Chart) -> None:
        for a, b in combinations(chart.boxes.values(), 2):
            beside = a.x + a.width <= b.x or b.x + b.width <= a.x
            assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y, f"{a.name} over {b.name}"
        for box in chart.boxes.values():
            assert sum(inner.width for inner in box.inside) < box.width
            assert all(inner.height < box.height for inner in box.inside)
            for inner in box.inside:
                apart(inner)

    apart(lay_out(machine, narrow=narrow))


@drawn
def test_no_arrow_goes_through_a_box_that_it_does_not_concern(machine, narrow):
    """It would seem to begin or end there."""

    def check(chart: Chart) -> None:
        for start, end, _, _ in chart.arrows:
            points = way(chart, start, end)
            for (x0, y0), (x1, y1) in pairwise(points):
                for box in chart.boxes.values():
                    across = min(x0, x1) < box.x + box.width and max(x0, x1) > box.x
                    along = min(y0, y1) < box.y + box.height and max(y0, y1) > box.y
                    assert box.name in (start, end) or not (across and along), f"{start} to {end} through {box.name}"
        for box in chart.boxes.values():
            for inner in box.inside:
                check(inner)

    check(lay_out(machine, narrow=narrow))


def test_a_loop_is_drawn_and_ends():
    again = {"Type": "Choice", "Choices": [{"Condition": "{% true %}", "Next": "Work"}], "Default": "Done"}
    machine = {
        "StartAt": "Work",
        "States": {"Work": {"Type": "Pass", "Next": "Again"}, "Again": again, "Done": {"Type": "Succeed"}},
    }
    for narrow in (False, True):
        assert draw(machine, {}, set(), narrow=narrow).count("not visited") == 2 * 3


def test_a_name_in_a_drawing_is_shown_and_never_run():
    machine = {"StartAt": "<script>", "States": {"<script>": {"Type": "Pass", "End": True}}}
    assert "<script>" not in draw(machine, {}, set())


def test_a_placeholder_has_the_colours_of_its_picture():
    """The demo's photo: a blue sky over green hills, a quarter wider than high."""
    picture = decode(base64.b64decode("4LYRNYJ4d3iPd3d1h2iIiHZwVweG")).convert("RGB")
    assert picture.size == (20, 14)
    top, bottom = picture.getpixel((10, 1)), picture.getpixel((10, 12))
    assert top[2] > top[1] > top[0]
    assert bottom[1] > bottom[2]
    assert sum(top) > sum(bottom)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", "4LYR", "4LYRNYJ4d3"])
def test_a_placeholder_that_is_none_is_left_out(text):
    assert data_uri(text) is None
