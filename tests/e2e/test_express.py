"""With `workflow: express`: what a person sees of executions is from a log; Step Functions tells nothing of them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from darkroom.local.pictures import photo
from darkroom.pipeline import results
from tests.darkroom.conftest import darkroom
from tests.e2e import test_console as page_tests
from tests.e2e.conftest import Deployed, eventually, own_cloud
from tests.e2e.filled import lost_events
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


def test_a_second_delivery_is_a_duplicate(deployed: Deployed, row: dict[str, Any]):
    """The row is as it was: EventBridge delivers at least once."""
    again = deployed.run(results.event(deployed.aws, row))
    assert json.loads(again["output"])["status"] == "Duplicate"
    assert deployed.row(row["key"]) == row


def test_what_was_left_processing_is_started_again(deployed: Deployed):
    """By the deployed sweep with its role, from what the row remembers of an execution that nobody can ask about."""
    key, at = "raw/left.jpg", results.written(datetime.now(UTC) - timedelta(minutes=7))
    with lost_events(deployed):
        version = deployed.upload(key, photo(30, 20))
    there = deployed.aws.s3.head_object(Bucket=deployed.aws.output("UploadsBucketName"), Key=key)
    dead = deployed.aws.output("StateMachineArn").replace(":stateMachine:", ":express:") + ":dead:0a1b"
    left = {"key": key, "status": "PROCESSING", "execution": dead, "version_id": version, "sequencer": "A" * 40}
    left |= {"etag": there["ETag"].strip('"'), "size": there["ContentLength"], "created_at": at, "updated_at": at}
    deployed.aws.results.put_item(Item=left)
    sweep = deployed.function("sweep")["FunctionName"]
    answer = deployed.client("lambda").invoke(FunctionName=sweep, Payload=json.dumps({"source": "aws.events"}))
    assert json.loads(answer["Payload"].read())[dead] == "STARTED AGAIN"  # other tests may have left others
    made = eventually(lambda: deployed.in_status(key, "SUCCEEDED", version), f"the row of {key}")
    assert made["execution"].split(":")[7].startswith("again-1-")
    assert [letter for letter in deployed.letters() if key in letter["Body"]] == []


def test_a_backfill_makes_pictures_and_waits_for_them(deployed: Deployed):
    """By a call that Express takes, with the role of the backfill."""
    keys = [f"raw/backfilled/{number}.jpg" for number in range(3)]
    with lost_events(deployed):
        versions = {key: deployed.upload(key, photo(24, 16)) for key in keys}
    command = deployed.darkroom("backfill", "--prefix", "backfilled/", "--follow", "--json")
    ended = json.loads(command.stdout.splitlines()[-1])
    assert (ended["status"], ended["objects"], ended["done"], ended["not_looked_at"]) == ("SUCCEEDED", 3, 3, 0)
    rows = {key: deployed.row(key) for key in keys}
    assert {key: (row["status"], row["version_id"]) for key, row in rows.items()} == {
        key: ("SUCCEEDED", version) for key, version in versions.items()
    }
