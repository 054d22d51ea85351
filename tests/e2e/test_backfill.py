"""Pictures from what is in the bucket, by the real command on the deployed stack: `make backfill` makes 1,000."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from darkroom.local.pictures import photo
from darkroom.pipeline import backfill as backfills
from tests.e2e.conftest import Deployed, Role, eventually
from tests.e2e.filled import Filled, lost_events


@contextmanager
def other_quality(deployed: Deployed) -> Iterator[None]:
    """As if the setting had been changed and deployed: what that gives to the functions."""
    functions = deployed.client("lambda")
    before = {step: deployed.function(step) for step in ("validate", "backfill")}

    def give(changed: dict[str, str]) -> None:
        for one in before.values():
            variables = one["Environment"]["Variables"]
            given = {**variables, **{name: value for name, value in changed.items() if name in variables}}
            functions.update_function_configuration(FunctionName=one["FunctionName"], Environment={"Variables": given})

    give({"QUALITY": json.dumps({"webp": 60, "jpeg": 60, "avif": 50}), "RECIPE": "fedcba9876543210"})
    try:
        yield
    finally:
        give({})


def test_a_filled_bucket_is_made_and_made_again(deployed: Deployed):
    """Without events: none lost, none twice, though it is stopped and gone on with. By another setting all of it once
    more, and no address changes before."""
    filled = Filled(deployed, 12, "backfilled/filled")
    with ExitStack() as changed:
        counts = filled.run(lambda: changed.enter_context(other_quality(deployed)), at_once=1)
    assert filled.wrong == []
    assert {name: there for name, (_, there) in counts.items()} == {name: it for name, (it, _) in counts.items()}


def test_what_changed_while_events_were_lost_is_found(deployed: Deployed):
    """An upload and an overwrite; but not what a row knows of."""
    folder, picture = "raw/backfilled/lost", photo(24, 16)
    known = deployed.picture(f"{folder}/known.jpg", picture)
    deployed.picture(f"{folder}/overwritten.jpg", picture)
    with lost_events(deployed):
        versions = {
            key: deployed.upload(key, photo(30, 20)) for key in (f"{folder}/new.jpg", f"{folder}/overwritten.jpg")
        }
    command = deployed.darkroom("backfill", "--prefix", "backfilled/lost/", "--follow", "--json")
    ended = json.loads(command.stdout.splitlines()[-1])
    assert (ended["status"], ended["objects"], ended["done"], ended["not_looked_at"]) == ("SUCCEEDED", 3, 3, 0)
    rows = {key: deployed.row(key) for key in versions}
    assert {key: (row.get("status"), row.get("version_id")) for key, row in rows.items()} == {
        key: ("SUCCEEDED", version) for key, version in versions.items()
    }
    assert deployed.row(f"{folder}/known.jpg") == known


def test_what_cannot_be_started_is_counted_and_named_and_made_when_it_can(deployed: Deployed):
    """It has no row. The exit code tells."""
    key = "raw/unstarted/new.jpg"
    with lost_events(deployed):
        deployed.upload(key, photo(24, 16))
    machine = deployed.aws.output("BackfillStateMachineArn")
    role = deployed.aws.states.describe_state_machine(stateMachineArn=machine)["roleArn"].rpartition("/")[2]
    grant = "states:StartSyncExecution" if deployed.aws.is_express else "states:StartExecution"
    with Role(deployed, role).without(grant, deployed.aws.output("StateMachineArn")):
        command = deployed.darkroom("backfill", "--prefix", "unstarted/", "--follow", "--json")
    ended = json.loads(command.stdout.splitlines()[-1])
    assert (command.returncode, ended["status"], ended["not_started"]) == (1, "SUCCEEDED", 1)
    [named] = ended["not_started_first"]
    assert (named["key"], grant in named["error"]["message"]) == (key, True)
    assert f"{key} could not be started: {named['error']['code']}: " in command.stderr
    assert deployed.row(key) == {}
    made = deployed.darkroom("backfill", "--go-on", "--follow")
    assert (made.returncode, deployed.row(key)["status"]) == (0, "SUCCEEDED")


def test_beside_uploads_and_deletions_the_newest_is_left(deployed: Deployed):
    """Of the same keys, while a backfill of all of them runs. Each row speaks of what the bucket has in the end."""
    keys = [f"raw/backfilled/live/{number}.png" for number in range(6)]
    for key in keys:
        deployed.upload(key, photo(24, 16))
    eventually(lambda: all(deployed.row(key).get("status") == "SUCCEEDED" for key in keys), "the first versions")
    backfills.start(deployed.aws, "all", "backfilled/live/", at_once=3)

    def change(number: int) -> str | None:
        """Overwritten, deleted, or deleted and uploaded again."""
        key = keys[number]
        if number % 3:
            deployed.delete(key)
        return deployed.upload(key, photo(30, 20 + number)) if number % 3 != 1 else None

    with ThreadPoolExecutor(3) as pool:
        left = dict(zip(keys, pool.map(change, range(len(keys))), strict=True))

    def settled() -> bool:
        return not deployed.at_work() and all(
            (deployed.row(key)["version_id"] == version) if version else (deployed.row(key)["status"] == "DELETED")
            for key, version in left.items()
        )

    eventually(settled, "the rows of the newest")
    for key, version in left.items():
        row = deployed.row(key)
        assert row["status"] == ("SUCCEEDED" if version else "DELETED")
        assert bool(deployed.renditions(key.removeprefix("raw/"))) is bool(version)
    assert deployed.letters() == []
