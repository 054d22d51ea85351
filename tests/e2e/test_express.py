"""With `workflow: express`: what a person sees of executions is from a log; Step Functions tells nothing of them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from darkroom.local.pictures import photo
from tests.darkroom.conftest import darkroom
from tests.e2e import test_console as page_tests
from tests.e2e.conftest import Deployed, own_cloud
from tests.e2e.people import person

# The page in a real browser, as on a Standard workflow.
browser, served, context, page = page_tests.browser, page_tests.served, page_tests.context, page_tests.page
eventful = page_tests.eventful
test_a_picture_is_followed_to_its_row_without_reloading = (
    page_tests.test_a_picture_is_followed_to_its_row_without_reloading
)
test_an_open_page_sees_what_others_upload = page_tests.test_an_open_page_sees_what_others_upload
test_a_broken_picture_is_found_among_the_dead_letters_and_redriven = (
    page_tests.test_a_broken_picture_is_found_among_the_dead_letters_and_redriven
)
test_the_logs_of_an_execution_are_found = page_tests.test_the_logs_of_an_execution_are_found
test_a_read_only_page_offers_nothing_that_writes = page_tests.test_a_read_only_page_offers_nothing_that_writes


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """In place of the one that other files share."""
    with own_cloud(tmp_path_factory.mktemp("express"), {"workflow": "express"}) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def row(deployed: Deployed) -> dict[str, Any]:
    return deployed.picture("raw/express.jpg", photo(300, 200))


def test_step_functions_tells_nothing_of_an_express_execution(deployed: Deployed, row: dict[str, Any]):
    """As on AWS: or what is tried here would not be what is tried."""
    states, machine, arn = deployed.aws.states, deployed.aws.output("StateMachineArn"), row["execution"]
    assert arn.split(":")[5] == "express"
    for ask in (
        lambda: states.list_executions(stateMachineArn=machine),
        lambda: states.describe_execution(executionArn=arn),
        lambda: states.get_execution_history(executionArn=arn),
        lambda: states.describe_state_machine_for_execution(executionArn=arn),
        lambda: states.stop_execution(executionArn=arn),
    ):
        with pytest.raises(ClientError, match=r"StateMachineTypeNotSupported|InvalidArn"):
            ask()


def test_a_viewer_lists_and_inspects_by_the_log(deployed: Deployed, row: dict[str, Any]):
    """With the policy of one, and none of the calls that Step Functions refuses."""
    deployed.run({"detail": {"object": {"key": "raw/nothing.jpg"}}})  # an event that lacks nearly everything
    with person(deployed, "viewer") as used:
        listed = json.loads(darkroom("executions", "--json").stdout)
        inspected = json.loads(darkroom("inspect", row["key"], "--json").stdout)
        said = darkroom("executions", "--status", "FAILED").stderr
    ours = next(one for one in listed if one["execution"] == row["execution"])
    assert (ours["key"], ours["status"], ours["verdict"]) == (row["key"], "SUCCEEDED", "SUCCEEDED")
    assert "raw/nothing.jpg" in {one["key"] for one in listed}
    assert [state["item"] for state in inspected["states"] if state["name"] == "Resize"] != []
    assert all(state["exited"] for state in inspected["states"])
    assert "which is some seconds behind" in said
    assert "logs:FilterLogEvents" in used
    assert not {action for action in used if action.startswith("states:")} - {"states:DescribeStateMachine"}
