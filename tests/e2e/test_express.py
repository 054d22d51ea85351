"""With `workflow: express`: what a person sees of executions is from a log; Step Functions tells nothing of them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from botocore.exceptions import ClientError

from darkroom.local.pictures import photo
from darkroom.pipeline import results
from tests.darkroom.conftest import darkroom
from tests.e2e import test_backfill as backfill_tests
from tests.e2e import test_console as page_tests
from tests.e2e.conftest import Deployed, FunctionRole, eventually, own_cloud
from tests.e2e.fault_matrix import EXPRESS_SAMPLE, Case, Cell, ExpressMatrix, Observed, of_express, on_the_page
from tests.e2e.filled import lost_events
from tests.e2e.people import person
from tests.e2e.permissions import denials, expected_denials
from tests.statemachine.fault_matrix import LOCAL_EXPRESS

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


def left(deployed: Deployed, key: str) -> str:
    """An upload whose execution died: the version. Its row remembers an execution that nobody can ask about."""
    with lost_events(deployed):
        version = deployed.upload(key, photo(30, 20))
    at = results.written(datetime.now(UTC) - timedelta(minutes=7))
    there = deployed.aws.s3.head_object(Bucket=deployed.aws.output("UploadsBucketName"), Key=key)
    row = {"key": key, "status": "PROCESSING", "execution": dead(deployed, key), "version_id": version}
    row |= {"sequencer": "A" * 40, "etag": there["ETag"].strip('"'), "size": there["ContentLength"]}
    deployed.aws.results.put_item(Item={**row, "created_at": at, "updated_at": at})
    return version


def dead(deployed: Deployed, key: str) -> str:
    machine = deployed.aws.output("StateMachineArn").replace(":stateMachine:", ":express:")
    return f"{machine}:{sha256(key.encode()).hexdigest()[:9]}:0a1b"


def test_what_was_left_processing_is_started_again(deployed: Deployed):
    """By the deployed sweep with its role."""
    key = "raw/left.jpg"
    version = left(deployed, key)
    assert deployed.sweep()[dead(deployed, key)] == "STARTED AGAIN"  # other tests may have left others
    made = eventually(lambda: deployed.in_status(key, "SUCCEEDED", version), f"the row of {key}")
    assert made["execution"].split(":")[7].startswith("again-1-")
    assert [letter for letter in deployed.letters() if key in letter["Body"]] == []


def test_the_roles_can_do_their_work_on_executions_and_nothing_else(deployed: Deployed):
    """All else is as with Standard, where each act and each grant is tried: `test_permissions.py`."""
    assert denials(deployed, "stepfunctions") == expected_denials(deployed, "stepfunctions")


@pytest.mark.parametrize(("action", "rows"), [("states:StartExecution", 1), ("dynamodb:BatchGetItem", 5)])
def test_the_sweep_needs_its_grants_of_express(deployed: Deployed, action: str, rows: int):
    """It looks at rows once it has four at work. What it could not do the next sweep does."""
    keys = [f"raw/swept/{rows}/{number}.jpg" for number in range(rows)]
    versions = {key: left(deployed, key) for key in keys}
    before = len(deployed.log_lines("sweep"))
    with FunctionRole(deployed, "sweep").without(action):
        assert "errorMessage" in deployed.sweep()
    lack = f"is not authorized to perform: {action} "
    eventually(lambda: any(lack in line for line in deployed.log_lines("sweep")[before:]), f"a line with: {lack}")
    deployed.sweep()
    for key, version in versions.items():
        eventually(lambda key=key, version=version: deployed.in_status(key, "SUCCEEDED", version), key)


test_what_cannot_be_started_is_counted_and_named_and_made_when_it_can = (
    backfill_tests.test_what_cannot_be_started_is_counted_and_named_and_made_when_it_can
)


def test_the_log_is_as_the_doctor_wants_it(deployed: Deployed):
    """And is said to be another as soon as somebody changes it."""
    machine = deployed.aws.output("StateMachineArn")
    configured = deployed.aws.states.describe_state_machine(stateMachineArn=machine)["loggingConfiguration"]

    def said() -> tuple[str, str]:
        checks = json.loads(deployed.darkroom("doctor", "--quick", "--json").stdout)["checks"]
        return next((one["state"], one["found"]) for one in checks if one["name"] == "log of executions")

    assert said() == ("ok", "has every event")
    eventually(lambda: not deployed.at_work(), "the end of all executions")  # which the log would not have
    errors_only: Any = {**configured, "level": "ERROR"}
    deployed.aws.states.update_state_machine(stateMachineArn=machine, loggingConfiguration=errors_only)
    try:
        state, found = said()
    finally:
        deployed.aws.states.update_state_machine(stateMachineArn=machine, loggingConfiguration=configured)
    assert (state, "ImagePipeline has the level ERROR, and ALL is wanted" in found) == ("missing", True)


@pytest.fixture(scope="module")
def expected() -> dict[Cell, Observed]:
    return on_the_page(LOCAL_EXPRESS, of_express())


@pytest.fixture(scope="module")
def observed(deployed: Deployed, expected: dict[Cell, Observed]) -> dict[Cell, Observed]:
    return ExpressMatrix(deployed, EXPRESS_SAMPLE).observe(expected)


@pytest.mark.timeout(1800)  # seconds for all of them together, on a machine that is busy with something else as well
@pytest.mark.parametrize("case", EXPRESS_SAMPLE, ids=lambda case: f"{case.step}: {case.fault}")
def test_a_broken_step_ends_as_docs_faults_says(
    observed: dict[Cell, Observed], expected: dict[Cell, Observed], case: Case
):
    """Row, what it shows, and letters, after the schedule."""
    assert observed[case.cell] == expected[case.cell]


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
