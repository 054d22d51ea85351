"""`darkroom backfill`: what it starts, counts, shows and ends. That pictures are made is shown in tests/e2e."""

import io
import json
import uuid
from datetime import UTC, timedelta
from typing import Any

import pytest
from moto.stepfunctions.models import StepFunctionBackend

from darkroom.errors import TargetError
from darkroom.pipeline import backfill as backfills
from darkroom.pipeline.target import Target
from functions import backfill
from functions.results import Results
from functions.storage import Storage
from tests.darkroom.conftest import Stacks, darkroom
from tests.functions.conftest import Context
from tests.schemas import document


class Functions:
    """Lambda with the one function, the real one."""

    def __init__(self, target: Target) -> None:
        client = target.session.client("dynamodb")
        settings = backfill.Settings("uploads", "raw/", "0123456789abcdef", "pictures", "captions")
        self._using = backfill.Services(settings, Results(client, "results"), Storage(target.s3))
        self.batches: list[int] = []

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == "backfill"
        asked = json.loads(Payload)
        self.batches.append(len(asked["Items"]))
        answer = backfill.handler(asked, Context(), self._using)  # type: ignore[arg-type]
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def functions(target: Target, monkeypatch: pytest.MonkeyPatch) -> Functions:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test")
    made = Functions(target)
    monkeypatch.setattr(Target, "functions", made)
    return made


@pytest.fixture(autouse=True)
def _no_map_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto, which does not run what is started, answers without a list."""
    monkeypatch.setattr(StepFunctionBackend, "list_map_runs", lambda *_: {"mapRuns": []})


def put(target: Target, *keys: str) -> None:
    for key in keys:
        target.s3.put_object(Bucket="uploads", Key=key, Body=b"cat")


def asked(target: Target) -> list[dict[str, Any]]:
    """What each execution was started with, the newest first."""
    machine = target.output("BackfillStateMachineArn")
    found = target.states.list_executions(stateMachineArn=machine)["executions"]
    return [json.loads(target.states.describe_execution(executionArn=one["executionArn"])["input"]) for one in found]


def test_it_is_counted_by_the_function_that_decides(target: Target, functions: Functions):
    """From the listing, under the prefix, in batches; and nothing is started."""
    put(target, *(f"raw/{number:03}.jpg" for number in range(103)), "raw/folder/", "elsewhere/cat.jpg")
    target.results.put_item(
        Item={"key": "raw/000.jpg", "status": "SUCCEEDED", "updated_at": "9", "etag": "another", "recipe": "other"}
    )
    *_, stale = backfills.estimates(target, "stale")
    assert (stale.objects, stale.pictures, stale.prefix) == (104, 1, "raw/")
    assert sorted(functions.batches) == [4, 100]
    *_, missing = backfills.estimates(target, "missing", "00")
    assert (missing.objects, missing.pictures, missing.prefix) == (10, 10, "raw/00")
    *_, limited = backfills.estimates(target, "all", limit=7)
    assert (limited.objects, limited.pictures) == (7, 7)
    assert asked(target) == []


@pytest.mark.parametrize(
    ("only", "objects", "pictures", "usd"),
    [("missing", 1_000_000, 0, 0.90), ("missing", 0, 1000, 0.41), ("captions", 0, 1000, 0.11)],
)
def test_the_price_is_that_of_looking_and_that_of_making(only, objects, pictures, usd):
    assert backfills.Estimate(only, "raw/", objects, pictures).usd == pytest.approx(usd)


@pytest.mark.usefixtures("functions")
def test_the_price_is_that_of_the_workflow(target: Target):
    """Of an Express one a third."""
    put(target, "raw/cat.jpg")
    *_, standard = backfills.estimates(target, "missing")
    target.outputs["WorkflowKind"] = "express"
    *_, express = backfills.estimates(target, "missing")
    assert (standard.usd, express.usd) == pytest.approx((0.00041 + 9e-7, 0.00014 + 9e-7))
    assert express.document().keys() == standard.document().keys() - {"express"}


@pytest.mark.parametrize(
    ("objects", "pictures", "at_once", "seconds"),
    [(1_000_000, 0, 100, 1000), (0, 1000, 100, 30), (1000, 1000, 5, 610), (1000, 0, 1000, 0.1)],
)
def test_the_time_is_that_of_looking_and_that_of_making(objects, pictures, at_once, seconds):
    """A batch of 100 objects is looked at in a second, a picture made in three, ten of them at once in a batch."""
    assert backfills.Estimate("all", "raw/", objects, pictures, at_once).seconds == pytest.approx(seconds)


@pytest.mark.usefixtures("functions")
def test_the_dry_run_says_the_price(target: Target):
    put(target, "raw/cat.jpg", "raw/dog.jpg")
    result = darkroom("--aws", "backfill", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "pictures to make  2" in result.stdout
    assert "about 0.00 USD" in result.stdout
    assert "with 100 at once" in result.stdout
    printed = document("backfill", darkroom("--aws", "backfill", "--dry-run", "--json").stdout)
    assert (printed["objects"], printed["pictures"], printed["only"]) == (2, 2, "missing")
    slowly = darkroom("--aws", "backfill", "--dry-run", "--at-once", 2, "--json").stdout
    assert document("backfill", slowly)["seconds"] == pytest.approx(3)


def test_a_function_that_fails_is_said(target: Target, functions: Functions, monkeypatch: pytest.MonkeyPatch):
    failed = {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "no room"}')}
    monkeypatch.setattr(functions, "invoke", lambda **_: failed)
    put(target, "raw/cat.jpg")
    result = darkroom("--aws", "backfill", "--dry-run")
    assert (result.exit_code, "no room" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("at_once", "batches", "of_each"), [(1, 1, 1), (7, 1, 7), (10, 1, 10), (25, 2, 10), (100, 10, 10), (1000, 100, 10)]
)
def test_no_more_are_asked_for_at_once_than_were_allowed(at_once, batches, of_each):
    given = backfills.given("all", "raw/", at_once)
    assert (given["batches_at_once"], given["pictures_at_once"]) == (batches, of_each)


def test_it_starts_with_what_was_asked_for(target: Target):
    """With or without the upload prefix, on AWS a hundred at once."""
    result = darkroom("--aws", "backfill", "--only", "stale", "--prefix", "2026/", "--limit", 9, "--json")
    assert result.exit_code == 0, result.stderr
    begun = document("backfill", result.stdout)
    assert (begun["status"], begun["only"], begun["prefix"], begun["at_once"]) == ("RUNNING", "stale", "raw/2026/", 100)
    [given] = asked(target)
    assert (given["only"], given["prefix"], given["limit"]) == ("stale", "raw/2026/", 9)


def test_of_two_the_second_is_refused(target: Target):
    """Together they would have more at work than either was allowed."""
    backfills.start(target, "missing")
    result = darkroom("--aws", "backfill")
    assert result.exit_code == 1
    assert "missing-" in result.stderr
    assert "--follow" in result.stderr
    assert len(asked(target)) == 1


def test_what_was_stopped_goes_on_with_what_it_was_asked_for(target: Target):
    """And since when it counts as done."""
    backfills.start(target, "all", "2026/", limit=50, at_once=3)
    stopped = document("backfill", darkroom("--aws", "backfill", "--stop", "--json").stdout)
    assert stopped["status"] == "ABORTED"
    assert darkroom("--aws", "backfill", "--go-on").exit_code == 0
    first, second = asked(target)
    assert first == second


def test_the_schedules_search_is_not_what_a_person_goes_on_with(target: Target):
    backfills.start(target, "stale")
    backfills.stop(target)
    machine, search = target.output("BackfillStateMachineArn"), backfills.given("missing", "raw/", 10)
    named_by_eventbridge = "0f4c2d9e-1f0a-4c6b-9d8e-3a1b2c3d4e5f_7a6b5c4d-0000-4000-8000-000000000000"
    target.states.start_execution(stateMachineArn=machine, name=named_by_eventbridge, input=json.dumps(search))
    backfills.stop(target)
    assert backfills.go_on(target)["only"] == "stale"


@pytest.mark.parametrize("option", ["--stop", "--go-on", "--follow"])
@pytest.mark.usefixtures("target")
def test_where_there_is_none_it_says_so(option: str):
    result = darkroom("--aws", "backfill", option)
    assert (result.exit_code, "no backfill" in result.stderr) == (1, True)


@pytest.mark.parametrize("others", [["--go-on"], ["--only", "all"], ["--limit", "3"], ["--dry-run"]])
@pytest.mark.usefixtures("target")
def test_stop_stands_alone(others: list[str]):
    """Nobody knows which of the two was meant."""
    assert darkroom("--aws", "backfill", "--stop", *others).exit_code == 2


def test_captions_need_captions(target: Target, account: Stacks):
    """Where they are off, nothing can make them."""
    del account.deployed["Darkroom"]["RecaptionStateMachineArn"]
    with pytest.raises(TargetError, match=r"captions\.enabled"):
        backfills.start(target, "captions")
    with pytest.raises(TargetError, match=r"captions\.enabled"):
        next(backfills.estimates(target, "captions"))
    assert asked(target) == []


def test_it_is_followed_to_its_end(target: Target, monkeypatch: pytest.MonkeyPatch):
    """Each change once, as Step Functions counts the objects of its Map; here it is told three times."""
    begun = backfills.start(target, "missing")
    told = iter([(0, 100, 0), (0, 100, 0), (100, 0, 0), (150, 0, 50)])

    def described(**_: Any) -> Any:
        done, at_work, failed = next(told)
        counts = {"total": 200, "succeeded": done, "running": at_work, "failed": failed, "timedOut": 0, "aborted": 0}
        if done == 100:
            target.states.stop_execution(executionArn=begun["execution"])
        return {"itemCounts": counts}

    monkeypatch.setattr(target.states, "list_map_runs", lambda **_: {"mapRuns": [{"mapRunArn": "run"}]})
    monkeypatch.setattr(target.states, "describe_map_run", described)
    monkeypatch.setattr(target, "poll_seconds", 0)
    seen = [(one["status"], one["done"], one["at_work"], one["not_looked_at"]) for one in backfills.changes(target)]
    assert seen == [("RUNNING", 0, 100, 0), ("RUNNING", 100, 0, 0), ("ABORTED", 150, 0, 50)]


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({}, None),
        ({"not_looked_at": 3}, "3 objects were not looked at"),
        ({"not_started": 1}, "1 picture could not be started"),
        ({"not_looked_at": 3, "not_started": 2}, "2 pictures could not be started and 3 objects were not looked at"),
        ({"status": "ABORTED"}, "It was ended"),
    ],
)
def test_who_follows_is_told_what_is_left(
    target: Target, monkeypatch: pytest.MonkeyPatch, ended: dict[str, Any], said: str | None
):
    """By the exit code, too."""
    begun = backfills.start(target, "missing")
    monkeypatch.setattr(backfills, "changes", lambda _: iter([begun, {**begun, "status": "SUCCEEDED", **ended}]))
    result = darkroom("--aws", "backfill", "--follow")
    assert result.exit_code == (1 if said else 0)
    lines = [line for line in result.stderr.splitlines() if "--go-on" in line]
    assert lines == ([f"{said}: `darkroom backfill --go-on` makes the rest"] if said else [])


def test_who_follows_a_search_of_the_schedule_is_not_sent_to_a_persons_backfill(
    target: Target, monkeypatch: pytest.MonkeyPatch
):
    """A search looks for what is missing, as a backfill does that is asked for nothing else."""
    begun = backfills.start(target, "stale")
    of_the_schedule = f"{begun['execution'].rpartition(':')[0]}:{uuid.uuid4()}"
    left = {**begun, "status": "SUCCEEDED", "not_looked_at": 3, "execution": of_the_schedule}
    monkeypatch.setattr(backfills, "changes", lambda _: iter([left]))
    result = darkroom("--aws", "backfill", "--follow")
    assert result.exit_code == 1
    said = "3 objects were not looked at: `darkroom backfill` or the next search of `reconcile_days` makes the rest"
    assert said in result.stderr.splitlines()


def not_started(target: Target, execution: str, name: str) -> None:
    """As the state machine leaves it."""
    told = {"key": f"raw/{name}.jpg", "input": {}, "failed": {"Error": "StepFunctions.Gone", "Cause": f"no {name}"}}
    file = f"{backfills.NOT_STARTED}{execution.rpartition(':')[2]}/{name}.json"
    target.s3.put_object(Bucket="reports", Key=file, Body=json.dumps(told))


def test_pictures_that_could_not_be_started_are_counted_and_named(target: Target, monkeypatch: pytest.MonkeyPatch):
    """They have no row. The first of them are named, and the exit code tells."""
    monkeypatch.setattr(backfills, "MOST_NAMED", 2)
    begun = backfills.start(target, "missing")
    assert (begun["not_started"], begun["not_started_first"]) == (0, [])
    not_started(target, f"{begun['execution']}0", "of another")
    for name in "cab":
        not_started(target, begun["execution"], name)
    ended = {**backfills.progress(target, begun["execution"]), "status": "SUCCEEDED"}
    assert ended["not_started"] == 3
    assert [one["key"] for one in ended["not_started_first"]] == ["raw/a.jpg", "raw/b.jpg"]
    monkeypatch.setattr(backfills, "changes", lambda _: iter([ended]))
    result = darkroom("--aws", "backfill", "--follow")
    assert result.exit_code == 1
    assert "raw/a.jpg could not be started: StepFunctions.Gone: no a" in result.stderr
    assert "3 pictures could not be started: " in result.stderr
    printed = darkroom("--aws", "backfill", "--follow", "--json").stdout
    assert document("backfill", printed)["not_started"] == 3


def test_what_could_not_be_started_before_is_not_counted_again(target: Target):
    """By what goes on with it in the same second."""
    begun = backfills.start(target, "missing")["execution"]
    not_started(target, begun, "a")
    backfills.stop(target)
    gone_on = backfills.go_on(target)
    assert (gone_on["not_started"], backfills.progress(target, begun)["not_started"]) == (0, 1)


def test_a_stack_of_before_there_were_such_files_has_none(target: Target, account: Stacks):
    del account.deployed["Darkroom"]["ReportsBucketName"]
    assert backfills.start(target, "missing")["not_started"] == 0


def test_pictures_that_failed_since_are_counted(target: Target):
    """Those under its prefix."""
    rows = {"raw/a/new.jpg": "2999-01-01", "raw/a/old.jpg": "1999-01-01", "raw/b/new.jpg": "2999-01-01"}
    for key, updated in rows.items():
        target.results.put_item(Item={"key": key, "status": "FAILED", "updated_at": updated})
    assert backfills.start(target, "failed", "a/")["failed"] == 1


def test_what_failed_after_its_end_is_not_its_own(target: Target):
    """But for what was at work when it was stopped."""
    backfills.start(target, "failed")
    stopped = backfills.stop(target)["stopped"]
    for name, later in (("soon", 20), ("later", 120)):
        updated = (stopped + timedelta(seconds=later)).astimezone(UTC).isoformat(timespec="milliseconds")
        target.results.put_item(Item={"key": f"raw/{name}.jpg", "status": "FAILED", "updated_at": updated[:-6] + "Z"})
    [ended] = backfills.listing(target, 10)
    assert backfills.progress(target, ended)["failed"] == 1
