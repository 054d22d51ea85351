"""Sweep: what an execution left unfinished becomes a row FAILED and one letter, whoever looks and however often."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from functions import sweep
from functions.executions import (
    MOST_AGAIN,
    PAGES,
    SECONDS_A_LOOK,
    SECONDS_A_PAGE,
    SECONDS_A_QUESTION,
    Again,
    Ended,
    Executions,
)
from functions.memory import BYTES_OF_A_MARK, MOST, Memory
from functions.results import Results
from functions.sweep import Services
from tests.aws import create_sweeps_table, letters
from tests.functions.conftest import ENVIRONMENT, Context

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

ARN = "arn:aws:states:eu-west-1:123456789012:execution:pipeline:one"
ERROR = {"code": "ABORTED", "message": "the execution ended as ABORTED"}
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event"}


def event(sequencer: str = "0A", **more: Any) -> dict[str, Any]:
    picture = {"key": "raw/cat.jpg", "etag": "e", "size": 3, "version-id": "v1", "sequencer": sequencer}
    return {"detail-type": "Object Created", "detail": {"bucket": {"name": "uploads"}, "object": picture}, **more}


def ended(how: str = "ABORTED", *, arn: str = ARN, of: Any = None, minutes_ago: float = 0) -> Ended:
    stopped = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return Ended(arn, how, event() if of is None else of, ERROR, stopped=stopped)


def deletion(*, version: str = "v1", marker: bool = True, sequencer: str = "0D") -> dict[str, Any]:
    happened = event(sequencer, **{"detail-type": "Object Deleted"})
    happened["detail"]["object"] = {"key": "raw/cat.jpg", "version-id": version, "sequencer": sequencer}
    happened["detail"]["deletion-type"] = "Delete Marker Created" if marker else "Permanently Deleted"
    return happened


def status_change(arn: str = ARN) -> dict[str, Any]:
    return {"source": "aws.states", "detail": {"executionArn": arn}}


class Known(Executions):
    """Step Functions with these executions, and what it was asked. `letter`: those that ended have sent theirs."""

    def __init__(self, *ended: Ended, running: tuple[str, ...] = (), letter: bool = False) -> None:
        self._known: dict[str, Ended | None] = {one.arn: one for one in ended} | dict.fromkeys(running)
        self._letter = letter
        self.asked: list[str] = []

    def can_tell_of(self, arn: str) -> bool:
        return ":express:" not in arn

    def ended(self, arn: str) -> Ended | None:
        self.asked.append(f"describe {arn}")
        if arn not in self._known:
            raise LookupError(arn)
        return self._known[arn]

    def told(self, detail: Any) -> Ended | None:
        return self._known[detail["executionArn"]]

    def has_sent_its_letter(self, arn: str) -> bool:
        self.asked.append(f"history of {arn}")
        return self._letter

    def running(self) -> Iterator[str]:
        self.asked.append("running")
        yield from (arn for arn, one in self._known.items() if one is None)

    def ended_badly(self, stopped_since: datetime, started_since: datetime) -> Iterator[str]:
        assert stopped_since > started_since
        yield from (arn for arn, one in self._known.items() if one and one.how != "STALLED")


class Swept:
    """The tables and the queue, and the sweep over them."""

    def __init__(self, dynamodb: Any) -> None:
        self.dynamodb, self.sqs = dynamodb, boto3.client("sqs")
        self.table = ENVIRONMENT["RESULTS_TABLE"]
        self.queue = self.sqs.create_queue(QueueName="letters")["QueueUrl"]
        create_sweeps_table(dynamodb, "sweeps")
        self.memory = Memory(dynamodb, "sweeps")

    def services(
        self, known: Executions, letters: Any = None, results: Results | None = None, again: Again | None = None
    ) -> Services:
        results = results or Results(self.dynamodb, self.table)
        return Services(known, results, letters or self.sqs, self.memory, again)

    def __call__(
        self, happened: dict[str, Any], *known: Ended, running: tuple[str, ...] = (), letter: bool = False
    ) -> dict[str, str]:
        """As it is without a memory of earlier sweeps."""
        self.memory.end(set())
        return sweep.handler(happened, Context(), self.services(Known(*known, running=running, letter=letter)))

    def put(
        self,
        status: str,
        *,
        key: str = "raw/cat.jpg",
        execution: str = ARN,
        sequencer: str = "0A",
        minutes_ago: float = 0,
        of_a_deletion: bool = False,
        shows: str | None = None,
    ) -> None:
        written = (datetime.now(UTC) - timedelta(minutes=minutes_ago)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        texts = {"key": key, "status": status, "execution": execution, "version_id": "v1"}
        texts |= {"sequencer": sequencer.ljust(40, "0"), "updated_at": written}
        item: Any = {name: {"S": text} for name, text in texts.items()}
        if not of_a_deletion:
            item |= {"etag": {"S": "e"}, "size": {"N": "3"}}
        if shows:
            item |= {**SHOWN, "shown_version_id": {"S": shows}}
        self.dynamodb.put_item(TableName=self.table, Item=item)

    def row(self, key: str = "raw/cat.jpg") -> dict[str, Any]:
        return self.dynamodb.get_item(TableName=self.table, Key={"key": {"S": key}}).get("Item", {})

    def letters(self) -> list[dict[str, Any]]:
        return letters(self.sqs, self.queue)


@pytest.fixture
def swept(table: Any, monkeypatch: pytest.MonkeyPatch) -> Swept:
    swept = Swept(table)
    monkeypatch.setenv("DEAD_LETTER_QUEUE", swept.queue)
    return swept


def test_an_execution_that_died_leaves_a_failed_row_and_one_letter(swept: Swept):
    """The letter is the state machine's own, with how the execution ended for a reason."""
    swept.put("PROCESSING")
    assert swept(status_change(), ended("TIMED_OUT")) == {ARN: "TIMED_OUT"}
    row = swept.row()
    assert (row["status"], row["error"]["M"]["code"]) == ({"S": "FAILED"}, {"S": "ABORTED"})
    letter = {"key": "raw/cat.jpg", "bucket": "uploads", "error": ERROR, "execution": ARN, "event": event()}
    assert swept.letters() == [{**letter, "reason": "TIMED_OUT"}]


SHOWN = {"shown_version_id": {"S": "v0"}, "color": {"S": "#7a6f5d"}, "renditions": {"M": {"small": {"M": {}}}}}


def test_what_a_row_shows_stays_when_a_newer_version_died(swept: Swept):
    """All of it, through every write of the sweep: the error is the newer version's."""
    swept.put("PROCESSING", shows="v0")
    swept(status_change(), ended("TIMED_OUT"))
    row = swept.row()
    assert {name: row[name] for name in SHOWN} == SHOWN
    assert (row["status"], row["version_id"], "error" in row) == ({"S": "FAILED"}, {"S": "v1"}, True)


@pytest.mark.parametrize("marker", [True, False])
def test_a_deletion_that_died_takes_what_was_shown_away(swept: Swept, marker):
    """A marker whatever was shown, the removal of a version if that was."""
    swept.put("PROCESSING", execution="arn:picture", shows="v0" if marker else "v1")
    swept(status_change(), ended(of=deletion(marker=marker)))
    assert swept.row()["status"] == {"S": "DELETED"}
    assert swept.row().keys().isdisjoint(SHOWN)


@pytest.mark.parametrize("status", ["PROCESSING", "REJECTED", "FAILED"])
def test_the_removal_of_a_newer_version_that_died_takes_nothing_away(swept: Swept, status):
    """The row speaks of the version again that it shows; one letter, and the schedule adds none. Its redrive looks what
    is left of the picture."""
    swept.put(status, execution="arn:picture", shows="v0")
    removal = ended(of=deletion(marker=False))
    assert [swept(SCHEDULED, removal)[ARN] for _ in range(3)] == ["ABORTED", "SETTLED", "SETTLED"]
    row = swept.row()
    assert {name: row[name] for name in SHOWN} == SHOWN
    assert (row["status"], row["version_id"]) == ({"S": "SUCCEEDED"}, {"S": "v0"})
    assert row.keys().isdisjoint({"etag", "size", "error"})
    assert [letter["event"] for letter in swept.letters()] == [deletion(marker=False)]


def test_a_row_that_speaks_of_the_shown_version_again_shows_it(swept: Swept):
    """Until what is current is made again, its ETag is not known: whoever delivers it reads it by its version."""
    sizes = {name: {"N": "9"} for name in ("width", "height")}
    small = {
        "key": {"S": "cat.jpg/0/small.webp"},
        "format": {"S": "webp"},
        "content_type": {"S": "image/webp"},
        **sizes,
    }
    swept.put("REJECTED", execution="arn:picture", shows="v0")
    swept.dynamodb.update_item(
        TableName=swept.table,
        Key={"key": {"S": "raw/cat.jpg"}},
        UpdateExpression="SET width = :nine, height = :nine, renditions = :renditions",
        ExpressionAttributeValues={":nine": {"N": "9"}, ":renditions": {"M": {"small": {"M": small}}}},
    )
    swept(status_change(), ended(of=deletion(marker=False)))
    shown = Results(swept.dynamodb, swept.table).shown("raw/cat.jpg")
    assert shown is not None
    assert (shown.version_id, shown.etag, list(shown.renditions)) == ("v0", "", ["small"])


def test_an_execution_that_died_before_its_claim_leaves_a_row_too(swept: Swept):
    """Nothing else would know that there was a picture."""
    swept(status_change(), ended())
    row = swept.row()
    assert (row["status"], row["execution"], row["version_id"]) == ({"S": "FAILED"}, {"S": ARN}, {"S": "v1"})
    assert len(swept.letters()) == 1


def test_a_redrive_that_died_before_its_claim_leaves_a_letter_again(swept: Swept):
    """The letter it was started from is gone by then."""
    swept.put("FAILED", execution="arn:first")
    swept(status_change(), ended(of=event(redrives="arn:first")))
    assert swept.row()["execution"] == {"S": ARN}
    assert len(swept.letters()) == 1


@pytest.mark.parametrize("status", ["PROCESSING", "FAILED"])
def test_sweeping_twice_sends_one_letter(swept: Swept, status):
    """Events come twice, and the schedule comes as well."""
    swept.put(status)
    assert [swept(status_change(), ended())[ARN] for _ in range(2)] == ["ABORTED", "SETTLED"]
    assert len(swept.letters()) == 1


def test_sweeping_at_once_sends_one_letter(swept: Swept):
    """The second finds the row taken."""
    swept.put("PROCESSING")
    services = swept.services(Known(ended()))
    inner: list[dict[str, str]] = []
    send = swept.sqs.send_message

    class Slow:
        def send_message(self, **message: Any) -> None:
            inner.append(sweep.handler(status_change(), Context(), services))
            send(**message)

    sweep.handler(status_change(), Context(), swept.services(Known(ended()), Slow()))
    assert inner == [{ARN: "SETTLED"}]
    assert len(swept.letters()) == 1


def test_an_event_without_its_input_is_asked_about(swept: Swept):
    """DescribeExecution may still say RUNNING then: the schedule follows, and nobody is told of an error."""
    states = boto3.client("stepfunctions")
    described = {"executionArn": ARN, "stateMachineArn": "arn:machine", "startDate": 0, "status": "RUNNING"}
    with Stubber(states) as stub:
        stub.add_response("describe_execution", described)
        services = swept.services(Executions(states, [], rest=lambda _: None))
        assert sweep.handler(status_change(), Context(), services) == {ARN: "RUNNING"}
    assert swept.letters() == []


def told(status: str, **more: Any) -> dict[str, Any]:
    """The whole event of Step Functions."""
    happened = status_change()
    happened["detail"] |= {"status": status, "input": json.dumps(event()), "stopDate": 1_764_000_000_000} | more
    return happened


@pytest.mark.parametrize(
    ("happened", "error"),
    [
        (told("ABORTED", error=None, cause=None), ERROR),
        (told("TIMED_OUT"), {"code": "TIMED_OUT", "message": "the execution ended as TIMED_OUT"}),
        (told("FAILED", error="States.Runtime", cause="no"), {"code": "States.Runtime", "message": "no"}),
        (
            told("FAILED", error="LetterNotSent", cause="RuntimeError: no: room"),
            {"code": "RuntimeError", "message": "no: room"},
        ),
    ],
    ids=["aborted", "timed out", "runtime", "letter not sent"],
)
def test_what_step_functions_tells_it_is_not_asked(swept: Swept, happened, error):
    """After a mass failure thousands are told of at once. A stub without an answer refuses every call."""
    swept.put("FAILED" if error["code"] == "RuntimeError" else "PROCESSING")
    states = boto3.client("stepfunctions")
    with Stubber(states):
        how = sweep.handler(happened, Context(), swept.services(Executions(states, ["arn:a"])))
    assert how == {ARN: happened["detail"]["status"]}
    [letter] = swept.letters()
    assert (letter["error"], letter["event"]) == (error, event())
    assert swept.row()["error"]["M"]["code"] == {"S": error["code"]}


def test_a_success_that_was_recorded_meanwhile_stays(swept: Swept):
    """Record was on its way when its execution was aborted, and arrives between the sweep's two writes."""
    swept.put("PROCESSING")
    send = swept.sqs.send_message

    class Slow:
        def send_message(self, **message: Any) -> None:
            swept.dynamodb.update_item(
                TableName=swept.table,
                Key={"key": {"S": "raw/cat.jpg"}},
                UpdateExpression="SET #status = :succeeded",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":succeeded": {"S": "SUCCEEDED"}},
            )
            send(**message)

    sweep.handler(status_change(), Context(), swept.services(Known(ended()), Slow()))
    assert (swept.row()["status"], "error" in swept.row()) == ({"S": "SUCCEEDED"}, False)


def test_a_sweep_that_died_is_followed_by_another(swept: Swept, monkeypatch):
    """It had taken the row and sent nothing; after five minutes the next may take it."""
    swept.put("PROCESSING", minutes_ago=300)
    monkeypatch.setenv("DEAD_LETTER_QUEUE", f"{swept.queue}-of-nobody")
    with pytest.raises(swept.sqs.exceptions.QueueDoesNotExist):
        swept(status_change(), ended())
    monkeypatch.setenv("DEAD_LETTER_QUEUE", swept.queue)
    assert swept.row()["status"] == {"S": "PROCESSING"}
    assert swept(status_change(), ended()) == {ARN: "SETTLED"}

    monkeypatch.setattr("functions.results.LEASE", timedelta(0))
    assert swept(status_change(), ended()) == {ARN: "ABORTED"}
    assert len(swept.letters()) == 1


def test_a_letter_that_was_sent_is_not_sent_again(swept: Swept):
    """Only the row could not be written."""
    swept.put("PROCESSING")
    swept(status_change(), ended("FAILED"), letter=True)
    assert (swept.row()["status"], swept.letters()) == ({"S": "FAILED"}, [])


def test_a_letter_that_could_not_be_sent_is_sent_now(swept: Swept):
    """The row says FAILED already."""
    swept.put("FAILED")
    swept(status_change(), ended("FAILED"))
    assert (swept.row()["status"], len(swept.letters())) == ({"S": "FAILED"}, 1)


def test_a_failure_that_was_recorded_and_sent_is_left_alone(swept: Swept):
    """The usual one: only the schedule looks at it."""
    swept.put("FAILED")
    row = swept.row()
    assert swept(status_change(), ended("FAILED"), letter=True) == {ARN: "SETTLED"}
    assert (swept.row(), swept.letters()) == (row, [])


@pytest.mark.parametrize("status", ["SUCCEEDED", "REJECTED", "DELETED"])
def test_a_settled_row_stays_as_it_is(swept: Swept, status):
    """Aborted during its cleanup, a picture is done all the same."""
    swept.put(status)
    row = swept.row()
    assert swept(status_change(), ended()) == {ARN: "SETTLED"}
    assert (swept.row(), swept.letters()) == (row, [])


@pytest.mark.parametrize(("sequencer", "whose"), [("0B", "newer"), ("0A", "twin")])
def test_the_row_of_another_execution_stays_as_it_is(swept: Swept, sequencer, whose):
    """A newer version, or the same event delivered twice: that execution sees to the row."""
    swept.put("PROCESSING", execution=f"arn:{whose}", sequencer=sequencer)
    assert swept(status_change(), ended()) == {ARN: "SETTLED"}
    assert swept.letters() == []


def test_an_older_versions_row_does_not_hide_a_newer_one_that_died(swept: Swept):
    """Died before its claim, the newer version takes the row now."""
    swept.put("SUCCEEDED", execution="arn:older", sequencer="09")
    swept(status_change(), ended())
    assert (swept.row()["status"], len(swept.letters())) == ({"S": "FAILED"}, 1)


def test_the_schedule_finds_what_nobody_told_of(swept: Swept):
    """Step Functions' own events are best effort."""
    swept.put("PROCESSING", minutes_ago=91)
    assert swept(SCHEDULED, ended()) == {ARN: "ABORTED"}
    assert len(swept.letters()) == 1


@pytest.mark.parametrize(("minutes_ago", "stalled"), [(31, 1.0), (29, 0.0)])
def test_the_schedule_says_how_many_rows_are_stalled(swept: Swept, log_lines, minutes_ago, stalled):
    """By the end of their execution, not by their age: a picture may wait its turn for hours. An alarm hangs on it, and
    clears by the next sweep that finds none."""
    swept.put("PROCESSING", minutes_ago=300)
    swept(SCHEDULED, ended(minutes_ago=minutes_ago))
    assert [line["Stalled"] for line in log_lines() if "Stalled" in line] == [[stalled]]


def test_the_schedule_leaves_the_young_and_the_slow_alone(swept: Swept):
    """A young row is nobody's business but its execution's; of an old one it is seen in one listing that it runs."""
    known = Known(running=(ARN,))
    swept.put("PROCESSING", minutes_ago=4)
    assert sweep.handler(SCHEDULED, Context(), swept.services(known)) == {}
    assert known.asked == []
    swept.put("PROCESSING", minutes_ago=600)
    assert sweep.handler(SCHEDULED, Context(), swept.services(known)) == {}
    assert known.asked == ["running"]
    assert (swept.row()["status"], swept.letters()) == ({"S": "PROCESSING"}, [])


def test_a_row_whose_execution_died_is_found_within_minutes(swept: Swept):
    """However long an execution may last: none is at it any more."""
    swept.put("PROCESSING", minutes_ago=6)
    known = Known(ended("TIMED_OUT"), running=("arn:other",))
    assert sweep.handler(SCHEDULED, Context(), swept.services(known)) == {ARN: "TIMED_OUT"}
    assert known.asked == ["running", f"describe {ARN}"]


def test_one_that_runs_again_by_the_time_it_is_asked_about_is_left_alone(swept: Swept):
    """A listing is older than an answer."""
    swept.put("PROCESSING", minutes_ago=6)

    class Unlisted(Known):
        def running(self) -> Iterator[str]:
            yield from ()

    assert sweep.handler(SCHEDULED, Context(), swept.services(Unlisted(running=(ARN,)))) == {ARN: "RUNNING"}
    assert swept.row()["status"] == {"S": "PROCESSING"}


def test_rows_wait_where_more_run_than_can_be_listed(swept: Swept):
    """Nobody can say then which of them are dead; what ended badly is finished all the same."""
    swept.put("PROCESSING", minutes_ago=6, execution="arn:other")

    class Crowded(Known):
        def running(self) -> Iterator[str]:
            raise LookupError("more than one knows")
            yield

    assert sweep.handler(SCHEDULED, Context(), swept.services(Crowded(ended("FAILED")))) == {ARN: "SETTLED"}
    assert swept.row()["status"] == {"S": "PROCESSING"}


def test_what_was_looked_at_is_not_asked_about_again(swept: Swept):
    """Not by the next sweep, and not by the one after it; what came since is."""
    known = Known(ended("FAILED"), letter=True)
    for _ in range(3):
        sweep.handler(SCHEDULED, Context(), swept.services(known))
    assert known.asked == [f"describe {ARN}", f"history of {ARN}"]
    more = Known(ended("FAILED"), ended("FAILED", arn="arn:new"), letter=True)
    assert sweep.handler(SCHEDULED, Context(), swept.services(more)) == {"arn:new": "SETTLED"}


def test_what_could_not_be_finished_is_looked_at_again(swept: Swept, monkeypatch):
    """Only what is done is remembered."""
    swept.put("PROCESSING")
    with monkeypatch.context() as away:
        away.setattr(Results, "take", lambda *_, **__: 1 / 0)
        with pytest.raises(ExceptionGroup):
            sweep.handler(SCHEDULED, Context(), swept.services(Known(ended())))
    assert sweep.handler(SCHEDULED, Context(), swept.services(Known(ended()))) == {ARN: "ABORTED"}


def test_a_row_left_processing_is_looked_at_whatever_is_remembered(swept: Swept):
    """Another call had it when its execution was looked at, and died."""
    swept.put("SUCCEEDED")
    assert sweep.handler(SCHEDULED, Context(), swept.services(Known(ended()))) == {ARN: "SETTLED"}
    swept.put("PROCESSING", minutes_ago=6)
    assert sweep.handler(SCHEDULED, Context(), swept.services(Known(ended()))) == {ARN: "ABORTED"}


def test_what_is_not_listed_any_more_is_forgotten(swept: Swept):
    """Else the memory would grow for ever."""
    sweep.handler(SCHEDULED, Context(), swept.services(Known(ended("FAILED"), letter=True)))
    sweep.handler(SCHEDULED, Context(), swept.services(Known()))
    [item] = swept.dynamodb.scan(TableName="sweeps")["Items"]
    assert item["looked_at"] == {"B": b""}


def test_a_memory_that_is_full_still_fits_into_its_item(swept: Swept):
    """DynamoDB takes 400 KB; what is left out is looked at once more."""
    swept.memory.end({number.to_bytes(BYTES_OF_A_MARK) for number in range(MOST + 9)})
    now = datetime.now(UTC)
    remembered = swept.memory.begin(now, now)
    assert remembered is not None
    assert len(remembered) == MOST


def test_a_sweep_beside_another_does_nothing(swept: Swept):
    """Neither a slow one and the next, nor one that Lambda calls late."""
    beside: list[dict[str, str]] = []

    class Slow(Known):
        def ended(self, arn: str) -> Ended | None:
            other = Known(ended(arn="arn:other"))
            beside.append(sweep.handler(SCHEDULED, Context(), swept.services(other)))
            beside.append({"asked": str(other.asked)})
            return super().ended(arn)

    assert sweep.handler(SCHEDULED, Context(), swept.services(Slow(ended()))) == {ARN: "ABORTED"}
    assert beside == [{}, {"asked": "[]"}]
    assert sweep.handler(SCHEDULED, Context(), swept.services(Known(ended(arn="arn:other")))).keys() == {"arn:other"}


def test_a_sweep_that_was_killed_is_in_the_way_until_its_time_is_up(swept: Swept, monkeypatch):
    """Lambda ends it then at the latest, and the next scheduled one comes after that."""
    with monkeypatch.context() as killed:
        killed.setattr(Memory, "end", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sweep.handler(SCHEDULED, Context(seconds_left=840), swept.services(Known()))
    assert swept.memory.begin(datetime.now(UTC) + timedelta(seconds=820), datetime.now(UTC)) is None
    assert swept.memory.begin(datetime.now(UTC) + timedelta(seconds=840), datetime.now(UTC)) == set()


def test_a_sweep_that_has_no_time_left_is_followed_by_the_next(swept: Swept):
    """It ends by itself, as a success: nobody is told of an error, and Lambda calls nobody again."""
    every = [ended("FAILED", arn=f"arn:{number}") for number in range(5)]

    became = []
    for _ in range(3):
        context = Context(seconds_left=400)

        class Slow(Known):
            def ended(self, arn: str) -> Ended | None:
                context.seconds_left -= 200  # noqa: B023
                return super().ended(arn)

        became.append(sweep.handler(SCHEDULED, context, swept.services(Slow(*every, letter=True))))
    assert [list(one) for one in became] == [["arn:0", "arn:1"], ["arn:2", "arn:3"], ["arn:4"]]


def test_an_execution_that_is_forgotten_is_redriven_from_its_row(swept: Swept):
    """Step Functions keeps a history for 90 days; the row knows enough of the event."""
    swept.put("PROCESSING", minutes_ago=91)
    assert swept(SCHEDULED) == {ARN: "STALLED"}
    [letter] = swept.letters()
    assert letter["reason"] == "STALLED"
    assert letter["event"]["detail"]["object"] == {**event()["detail"]["object"], "sequencer": "0A".ljust(40, "0")}
    assert letter["event"]["detail"]["bucket"] == {"name": ENVIRONMENT["UPLOADS_BUCKET"]}


def test_a_deletion_that_is_forgotten_is_redriven_from_its_row(swept: Swept):
    """A sweep took its row and died. Such a row tells of no content, and not of what kind the deletion was."""
    swept.put("PROCESSING", sequencer="0D", minutes_ago=91, of_a_deletion=True)
    assert [swept(SCHEDULED) for _ in range(2)] == [{ARN: "STALLED"}, {}]
    assert swept.row()["status"] == {"S": "DELETED"}
    [letter] = swept.letters()
    assert (letter["reason"], letter["event"]["detail-type"]) == ("STALLED", "Object Deleted")
    assert letter["event"]["detail"] == deletion(sequencer="0D".ljust(40, "0"))["detail"] | {
        "bucket": {"name": ENVIRONMENT["UPLOADS_BUCKET"]}
    }


def whole(**changes: Any) -> dict[str, Any]:
    """An upload's event with these members of its object changed."""
    happened = event()
    happened["detail"]["object"] |= changes
    return happened


HALF = "\ud83d"  # of an emoji: JSON may have it, UTF-8 not


@pytest.mark.parametrize(
    "of",
    [
        *({"detail": {}}, {"any": "thing"}, {}, [], "text", {**event(), "detail-type": ["Object Created"]}),
        *(whole(key=None), whole(key=""), whole(key=7), whole(sequencer=7), whole(etag=None), whole(size="3")),
        *(whole(**{"version-id": 7}), {**event(), "detail": "text"}, {**event(), "detail": {"object": []}}),
        *(whole(size=True), whole(size=-1), whole(key=HALF), whole(etag=HALF), whole(sequencer=HALF)),
        *(whole(**{"version-id": HALF}), event(redrives=HALF)),
        pytest.param(whole(key="é" * 512 + "k"), id="a key of 1025 bytes"),
        pytest.param(whole(size=10**38), id="a size of 39 digits"),
    ],
    ids=str,
)
def test_what_is_no_upload_has_a_letter_and_no_row(swept: Swept, of: Any):
    """Nothing says which event of its key is the newest. Only who was told of it sends the letter: nothing remembers
    that it was sent."""
    assert swept(status_change(), ended(of=of)) == {ARN: "ABORTED"}
    assert swept(SCHEDULED, ended(of=of)) == {ARN: "SETTLED"}
    assert swept.dynamodb.scan(TableName=swept.table)["Count"] == 0
    assert [letter["event"] for letter in swept.letters()] == [of]


def test_the_longest_key_has_a_row(swept: Swept):
    """1,024 bytes, as S3 takes them: the schedule alone finishes only what has a row."""
    assert swept(SCHEDULED, ended(of=whole(key="é" * 512))) == {ARN: "ABORTED"}


@pytest.mark.parametrize("how", ["told", "scheduled"])
@pytest.mark.parametrize("row", [None, ("SUCCEEDED", "0A", "arn:picture"), ("DELETED", "0D", ARN)])
def test_a_deletion_that_died_leaves_its_row_and_one_letter(swept: Swept, row, how):
    """Whether it died before its row or after; however often it is looked at. Its letter removes the renditions."""
    if row:
        swept.put(row[0], sequencer=row[1], execution=row[2])
    happened = status_change() if how == "told" else SCHEDULED
    assert [swept(happened, ended(of=deletion()))[ARN] for _ in range(3)] == ["ABORTED", "SETTLED", "SETTLED"]
    assert (swept.row()["status"], swept.row()["execution"]) == ({"S": "DELETED"}, {"S": ARN})
    assert swept.row().keys().isdisjoint({"etag", "size", "error"})
    assert [letter["event"] for letter in swept.letters()] == [deletion()]


@pytest.mark.parametrize(
    ("of", "sequencer"), [(deletion(sequencer="09"), "0A"), (deletion(version="v0", marker=False), "0A")]
)
def test_a_deletion_that_died_spares_what_it_did_not_delete(swept: Swept, of, sequencer):
    """A newer picture, and one of another version: by MarkDeleted's own condition."""
    swept.put("SUCCEEDED", execution="arn:picture", sequencer=sequencer)
    row = swept.row()
    assert swept(status_change(), ended(of=of)) == {ARN: "SETTLED"}
    assert (swept.row(), swept.letters()) == (row, [])


@pytest.mark.parametrize("status", [None, "SUCCEEDED"])
def test_a_deletion_without_a_version_that_died_is_of_the_whole_picture(swept: Swept, status):
    """A bucket that keeps no versions names none: also where there was no row yet."""
    if status:
        swept.put(status, sequencer="0A", execution="arn:picture", shows="null")
    happened = deletion(marker=False)
    del happened["detail"]["object"]["version-id"]
    assert swept(status_change(), ended(of=happened)) == {ARN: "ABORTED"}
    assert (swept.row()["status"], "shown_version_id" in swept.row()) == ({"S": "DELETED"}, False)


def of_a_folder(happened: dict[str, Any]) -> dict[str, Any]:
    happened["detail"]["object"] |= {"key": "raw/2026/", "size": 0}
    return happened


@pytest.mark.parametrize("of", [deletion(marker=False), of_a_folder(deletion()), of_a_folder(event())])
def test_what_makes_no_row_makes_none_when_it_died(swept: Swept, of):
    """The deletion of one version, and a folder's marker: there is nothing to finish, and no letter to send."""
    assert swept(status_change(), ended(of=of)) == {ARN: "SETTLED"}
    assert (swept.row(of["detail"]["object"]["key"]), swept.letters()) == ({}, [])


def test_a_deletion_whose_letter_was_sent_is_left_alone(swept: Swept):
    """The usual one: it could not clean up, and said so itself."""
    swept.put("DELETED", sequencer="0D")
    row = swept.row()
    assert swept(status_change(), ended("FAILED", of=deletion()), letter=True) == {ARN: "SETTLED"}
    assert (swept.row(), swept.letters()) == (row, [])


@pytest.mark.parametrize("status", [None, "PROCESSING", "FAILED"])
def test_the_schedule_asks_step_functions_itself(swept: Swept, status):
    """Nobody told of an execution that died, and no row is old: before its claim, at work, and before its letter."""
    if status:
        swept.put(status)
    assert [swept(SCHEDULED, ended())[ARN] for _ in range(3)] == ["ABORTED", "SETTLED", "SETTLED"]
    assert (swept.row()["status"], len(swept.letters())) == ({"S": "FAILED"}, 1)


@pytest.mark.parametrize("status", ["SUCCEEDED", "REJECTED", "DELETED", "FAILED"])
def test_the_schedule_leaves_alone_what_is_done(swept: Swept, status):
    """An execution that was overtaken, redriven or aborted in its cleanup ended badly and left nothing to do."""
    swept.put(status, execution="arn:redrive")
    row = swept.row()
    assert swept(SCHEDULED, ended("FAILED")) == {ARN: "SETTLED"}
    assert (swept.row(), swept.letters()) == (row, [])


def test_one_that_cannot_be_finished_does_not_keep_the_others_waiting(swept: Swept):
    """The sweep fails all the same, so that an alarm tells of it."""

    class Unanswered(Known):
        def ended(self, arn: str) -> Ended | None:
            if arn == "arn:unanswered":
                raise RuntimeError("Step Functions did not answer")
            return super().ended(arn)

    known = Unanswered(ended(arn="arn:unanswered"), ended())
    with pytest.raises(ExceptionGroup, match="the next sweep tries again"):
        sweep.handler(SCHEDULED, Context(), swept.services(known))
    assert (swept.row()["status"], len(swept.letters())) == ({"S": "FAILED"}, 1)


def test_a_listing_that_fails_does_not_keep_the_rows_waiting(swept: Swept):
    """They are finished before Step Functions lists anything, and the sweep fails all the same."""
    swept.put("PROCESSING", minutes_ago=91)
    when_listed = []

    class Unlisted(Known):
        def ended_badly(self, *_: datetime) -> Iterator[str]:
            when_listed.append(swept.row()["status"])
            raise RuntimeError("Step Functions did not list")

    with pytest.raises(ExceptionGroup, match="the next sweep tries again") as failed:
        sweep.handler(SCHEDULED, Context(), swept.services(Unlisted(ended())))
    assert [str(problem) for problem in failed.value.exceptions] == ["Step Functions did not list"]
    assert when_listed == [{"S": "FAILED"}]
    assert len(swept.letters()) == 1


def test_a_sweep_that_died_after_its_letter_is_followed_by_a_letter_of_the_same_execution(swept: Swept, monkeypatch):
    """No queue takes a letter and a row in one step. Both letters redrive one execution, so that the second finds the
    row taken: `test_a_letter_is_redriven_once`."""
    swept.put("PROCESSING")
    with monkeypatch.context() as died:
        died.setattr(Results, "settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            swept(status_change(), ended())
    assert swept(status_change(), ended()) == {ARN: "SETTLED"}
    monkeypatch.setattr("functions.results.LEASE", timedelta(0))
    assert [swept(SCHEDULED, ended())[ARN] for _ in range(2)] == ["ABORTED", "SETTLED"]
    assert [letter["execution"] for letter in swept.letters()] == [ARN, ARN]
    assert swept.row()["status"] == {"S": "FAILED"}


def history(*events: tuple[str, str | None]) -> dict[str, Any]:
    """Newest first, as it is asked for."""
    return {
        "events": [
            {"timestamp": 0, "type": kind, "id": number}
            | ({"stateEnteredEventDetails": {"name": name}} if name else {})
            for number, (kind, name) in enumerate(events)
        ]
    }


SENT = [
    ("ExecutionFailed", None),
    ("TaskStateExited", None),
    ("TaskSucceeded", None),
    ("TaskStateEntered", "DeadLetter"),
]
REFUSED = [("ExecutionFailed", None), ("TaskFailed", None), ("TaskStateEntered", "DeadLetter"), ("TaskSucceeded", None)]
ELSEWHERE = [("ExecutionAborted", None), ("TaskSucceeded", None), ("TaskStateEntered", "Record")]


@pytest.mark.parametrize(("events", "sent"), [(SENT, True), (REFUSED, False), (ELSEWHERE, False), ([], False)])
def test_the_history_says_whether_the_letter_was_sent(events, sent):
    """The last task that was entered is DeadLetter, and it succeeded."""
    states = boto3.client("stepfunctions")
    with Stubber(states) as stub:
        stub.add_response("get_execution_history", history(*events))
        assert Executions(states, []).has_sent_its_letter(ARN) is sent


def test_an_execution_is_described_as_its_event_tells_of_it():
    """Whoever looks, the same is found; and Step Functions is not asked faster than a few times a second."""
    states, rests = boto3.client("stepfunctions"), list[float]()
    stopped = datetime.fromtimestamp(1_764_000_000, UTC)
    described = {"executionArn": ARN, "stateMachineArn": "arn:machine", "name": "one", "startDate": 0}
    described |= {"status": "FAILED", "input": json.dumps(event()), "error": "LetterNotSent", "cause": "E: m"}
    with Stubber(states) as stub:
        stub.add_response("describe_execution", described | {"stopDate": stopped})
        found = Executions(states, [], rest=rests.append).ended(ARN)
        happened = described | {"stopDate": 1_764_000_000_000}
        assert Executions(states, []).told(happened) == found
    assert found == Ended(ARN, "FAILED", event(), {"code": "E", "message": "m"}, sent_nothing=True, stopped=stopped)
    assert rests == [SECONDS_A_QUESTION]


def test_of_what_ended_badly_only_the_newer_is_looked_at():
    """Step Functions lists by start, the newest first, so that what is older is not even asked for; an execution that
    ran for long may have ended just now. Those that FAILED, most of which have sent their letter themselves, come last,
    whichever machine's."""
    states = boto3.client("stepfunctions")
    now = datetime.now(UTC)
    listings = [(status, machine) for status in ("TIMED_OUT", "ABORTED", "FAILED") for machine in ("arn:a", "arn:b")]

    def listed(machine: str, status: str, hours: tuple[int, int]) -> dict[str, Any]:
        started, stopped = (now - timedelta(hours=ago) for ago in hours)
        described = {"executionArn": f"{machine}:{status}-{hours[0]}", "stateMachineArn": machine, "name": "one"}
        return {**described, "status": status, "startDate": started, "stopDate": stopped}

    with Stubber(states) as stub:
        for status, machine in listings:
            found = [listed(machine, status, hours) for hours in ((1, 0), (2, 2), (5, 4), (8, 1), (30, 1))]
            asked = {"stateMachineArn": machine, "statusFilter": status, "maxResults": 1000}
            stub.add_response("list_executions", {"executions": found, "nextToken": "older"}, asked)
        executions = Executions(states, ["arn:a", "arn:b"], rest=lambda _: None)
        bad = list(executions.ended_badly(now - timedelta(hours=3), now - timedelta(hours=24)))
        stub.assert_no_pending_responses()
    assert bad == [f"{machine}:{status}-{hours}" for status, machine in listings for hours in (1, 2, 8)]


class Endless:
    """A Step Functions in which there is always one page more."""

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> Iterator[Any]:
        now = datetime.now(UTC)
        while True:
            yield {"executions": [{"executionArn": ARN, "startDate": now, "stopDate": now}], "nextToken": "more"}


def test_a_listing_is_bounded_and_leaves_room_for_others():
    """However many executions there are; after each page it rests."""
    rests: list[float] = []
    executions = Executions(Endless(), ["arn:a"], rest=rests.append)  # type: ignore[arg-type]
    ever = datetime.min.replace(tzinfo=UTC)
    assert len(list(executions.ended_badly(ever, ever))) == 3 * PAGES
    with pytest.raises(LookupError, match="arn:a runs more than 200,000 executions"):
        list(executions.running())
    assert rests == [SECONDS_A_PAGE] * 4 * PAGES


MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:pipeline"


def of_express(name: str = "one") -> str:
    return f"{MACHINE.replace('stateMachine', 'express')}:{name}:0a1b2c3d"


class Express:
    """The sweep of a stack whose pictures are made by an Express workflow. `takes`: whether a started execution gets as
    far as its Claim, and `makes`: whether it then makes the picture as soon as somebody waits for that."""

    def __init__(self, swept: Swept, *, at_once: int = 100, takes: bool = True, makes: bool = False) -> None:
        self._swept, self._takes, self._makes = swept, takes, makes
        self.started: list[dict[str, Any]] = []
        self.at_work: list[str] = []
        self.most_at_work = 0
        self.waited = 0.0
        again = Again(self, MACHINE, Results(swept.dynamodb, swept.table), at_once, self._rest)  # type: ignore[arg-type]
        self._services = swept.services(Known(), again=again)

    def __call__(self, context: Any = None) -> dict[str, str]:
        return sweep.handler(SCHEDULED, context or Context(), self._services)

    def start_execution(self, *, name: str, **asked: str) -> dict[str, Any]:
        assert asked["stateMachineArn"] == MACHINE
        given = json.loads(asked["input"])
        self.started.append({"name": name, "input": given})
        key, execution = given["detail"]["object"]["key"], of_express(name)
        if self._takes:
            self._swept.put("PROCESSING", key=key, execution=execution, minutes_ago=7)
        self.at_work.append(key)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        return {"executionArn": execution, "startDate": datetime.now(UTC)}

    def _rest(self, seconds: float) -> None:
        self.waited += seconds
        if self._makes:
            self._swept.put("SUCCEEDED", key=self.at_work.pop(0))


def test_a_picture_whose_express_execution_died_is_started_again(swept: Swept):
    """By what its row remembers, as a redrive of the execution that has the row; nobody has to look at it."""
    swept.put("PROCESSING", execution=of_express(), minutes_ago=7)
    express = Express(swept)
    assert express() == {of_express(): "STARTED AGAIN"}
    [started] = express.started
    assert started["name"].startswith("again-1-")
    assert (started["input"]["redrives"], started["input"]["detail-type"]) == (of_express(), "Object Created")
    assert started["input"]["detail"]["object"] == {**event()["detail"]["object"], "sequencer": "0A".ljust(40, "0")}
    assert swept.letters() == []


def test_a_picture_that_dies_each_time_becomes_a_letter(swept: Swept):
    """After three more executions."""
    swept.put("PROCESSING", execution=of_express(), minutes_ago=7)
    express = Express(swept)
    became = [how for _ in range(5) for how in express().values()]
    assert became == [*["STARTED AGAIN"] * MOST_AGAIN, "STALLED"]
    assert [one["name"][:8] for one in express.started] == ["again-1-", "again-2-", "again-3-"]
    assert swept.row()["status"] == {"S": "FAILED"}
    assert [letter["reason"] for letter in swept.letters()] == ["STALLED"]


def test_a_picture_whose_execution_is_started_again_in_vain_becomes_a_letter(swept: Swept):
    """That one never had the row, which still names the execution that died first: there would be no end of it."""
    swept.put("PROCESSING", execution=of_express(), minutes_ago=7)
    express = Express(swept, takes=False)
    assert [how for _ in range(3) for how in express().values()] == ["STARTED AGAIN", "STALLED"]
    assert [letter["execution"] for letter in swept.letters()] == [of_express()]


def test_an_execution_that_gave_up_is_not_started_again(swept: Swept):
    """It had an error after all its retries, and died at its letter: that is sent, with the error."""
    swept.put("PROCESSING", execution=of_express(), minutes_ago=7)
    error = {"code": "RuntimeError", "message": "it broke"}
    swept.dynamodb.update_item(
        TableName=swept.table,
        Key={"key": {"S": "raw/cat.jpg"}},
        UpdateExpression="SET #error = :error",
        ExpressionAttributeNames={"#error": "error"},
        ExpressionAttributeValues={":error": {"M": {name: {"S": text} for name, text in error.items()}}},
    )
    express = Express(swept)
    assert (express(), express.started) == ({of_express(): "FAILED"}, [])
    assert [(letter["reason"], letter["error"]) for letter in swept.letters()] == [("FAILED", error)]
    assert swept.row()["error"]["M"]["code"] == {"S": "RuntimeError"}


def test_no_more_pictures_are_at_work_again_at_once_than_are_allowed(swept: Swept):
    """What was too much for the account would be too much again."""
    for number in range(7):
        swept.put("PROCESSING", key=f"raw/{number}.jpg", execution=of_express(str(number)), minutes_ago=7)
    express = Express(swept, at_once=2, makes=True)
    assert list(express().values()) == ["STARTED AGAIN"] * 7
    assert (express.most_at_work, express.waited) == (2, 5 * SECONDS_A_LOOK)


def test_pictures_for_which_there_is_no_room_are_started_again_by_the_next_sweep(swept: Swept):
    """This one ends by itself, before Lambda ends it."""
    for number in range(3):
        swept.put("PROCESSING", key=f"raw/{number}.jpg", execution=of_express(str(number)), minutes_ago=7)
    express = Express(swept, at_once=2)

    class Waiting(Context):
        def get_remaining_time_in_millis(self) -> int:
            return round((100 - express.waited) * 1000)

    assert list(express(Waiting()).values()) == ["STARTED AGAIN"] * 2
    assert len(Express(swept)()) == 3


@pytest.mark.parametrize("minutes_ago", [0, 4])
def test_an_express_execution_has_its_five_minutes(swept: Swept, minutes_ago):
    swept.put("PROCESSING", execution=of_express(), minutes_ago=minutes_ago)
    assert Express(swept)() == {}


def test_step_functions_tells_of_its_own_standard_machines_only():
    """Not of Express executions, nor of a machine that was replaced, as by a change of the setting."""
    known = Executions(boto3.client("stepfunctions"), [MACHINE])
    assert known.can_tell_of(ARN)
    assert not known.can_tell_of(of_express())
    assert not known.can_tell_of(ARN.replace("pipeline", "replaced"))
