"""The picture of the state machine in docs/workflow.md."""

import json
import re
from pathlib import Path

import pytest

from pages.diagram import BEGIN, DEFINITION, END, draw, replace_diagram

PAGE = Path(__file__).resolve().parents[2] / "docs" / "workflow.md"
MACHINE = {
    "StartAt": "Claim",
    "States": {
        "Claim": {
            "Type": "Task",
            "Catch": [
                {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Duplicate"},
                {"ErrorEquals": ["States.ALL"], "Next": "Failed"},
            ],
            "Next": "Accepted?",
        },
        "Accepted?": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.accepted = true %}", "Next": "Derive"}],
            "Default": "Reject",
        },
        "Reject": {"Type": "Task", "End": True},
        "Derive": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Renditions",
                    "States": {
                        "Renditions": {
                            "Type": "Map",
                            "ItemProcessor": {
                                "StartAt": "Resize",
                                "States": {
                                    "Resize": {"Type": "Task", "Next": "Weigh"},
                                    "Weigh": {"Type": "Pass", "End": True},
                                },
                            },
                            "End": True,
                        }
                    },
                }
            ],
            "End": True,
        },
        "Duplicate": {"Type": "Succeed"},
        "Failed": {"Type": "Fail"},
    },
}


def test_what_a_state_machine_looks_like():
    """Boxes in boxes for Parallel and Map, a full arrow for each way on, a dashed and labelled one for each Catch."""
    assert draw(MACHINE) == (
        "flowchart TD\n"
        '    upload(["upload event"]) --> Claim\n'
        '    Claim["Claim"]\n'
        '    Accepted{"Accepted?"}\n'
        '    Reject["Reject"]\n'
        '    subgraph Derive["Derive (Parallel)"]\n'
        '        subgraph Renditions["Renditions (Map)"]\n'
        '            Resize["Resize"]\n'
        '            Weigh["Weigh"]\n'
        "            Resize --> Weigh\n"
        "        end\n"
        "    end\n"
        '    Duplicate(["Duplicate"])\n'
        '    Failed[["Failed"]]\n'
        "    Claim --> Accepted\n"
        '    Claim -. "ConditionalCheckFailed" .-> Duplicate\n'
        '    Claim -. "any error" .-> Failed\n'
        '    Accepted -- "accepted = true" --> Derive\n'
        '    Accepted -- "otherwise" --> Reject\n'
        "    Reject --> done([done])\n"
        "    Derive --> done([done])"
    )


def test_every_state_of_the_file_is_drawn_once():
    """And no two states of it share a box, although a box has no punctuation in its name."""
    drawn = draw(json.loads(DEFINITION.read_text()))
    names = re.findall(r'^ +(?:subgraph )?(\w+)(?:\["|\{"|\(\["|\[\[")', drawn, re.MULTILINE)
    assert "upload" in names
    assert len(names) == len(set(names))
    written = re.findall(r'"([^"]+)": \{\s*"Type"', DEFINITION.read_text())
    assert len(names) == 1 + len(written)


def test_only_what_is_between_the_markers_is_replaced():
    """The rest of the page stays, character for character, and doing it twice changes nothing."""
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\ntext\n"
    drawn = replace_diagram(page, "flowchart TD")
    assert drawn == f"# Title\n\n{BEGIN}\n```mermaid\nflowchart TD\n```\n{END}\n\ntext\n"
    assert replace_diagram(drawn, "flowchart TD") == drawn


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_page_without_a_place_for_it_is_left_alone(page):
    """A diagram put anywhere else would destroy text."""
    with pytest.raises(ValueError, match="no place for the diagram"):
        replace_diagram(page, "flowchart TD")


def test_the_page_shows_the_state_machine_as_it_is():
    """`python -m pages.diagram docs/workflow.md` brings it up to date."""
    page = PAGE.read_text()
    assert replace_diagram(page, draw(json.loads(DEFINITION.read_text()))) == page
