"""Breaks the steps of the deployed stack on the local cloud: two columns of docs/faults.md, one for each `workflow`.

`make faults` writes them, and `test_faults.py` and `test_express.py` hold them. The functions are broken by
`faulty.py`. A state calls what its machine may not call, or what Lambda throttles, by a change of the deployed
definition for the one picture that is to meet it, and so is a time limit made short; Step Functions' event of an end is
lost by switching its rule off.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from darkroom.local.pictures import photo
from darkroom.pipeline.executions import visits
from stacks.express import GIVES_UP_AFTER
from tests.e2e.conftest import Deployed, eventually, own_cloud, rules_off
from tests.e2e.faulty import ALWAYS, Broken, Plan, faulty
from tests.statemachine.engine import states
from tests.statemachine.fault_matrix import (
    COLUMNS,
    LOCAL,
    LOCAL_EXPRESS,
    NOTHING,
    PAGE,
    SAME,
    Cell,
    lines_of_the_page,
    local_columns,
)

FOLDER = "raw/faults/"
OLDER = "raw/an older version.png"
OLD = "0" * 16  # the version in the keys of its renditions
AT_ONCE = 3  # beside those that only wait; each function at once is one more process that starts
PATIENCE = 600  # seconds, for three times SECONDS on a busy machine
FUNCTIONS = {
    "Validate": "validate",
    "Resize": "resize",
    "Caption": "caption",
    "Cleanup": "cleanup",
    "Cleanup (deletion)": "cleanup",
}
WRITES = (
    *("Claim", "Record", "Reject", "RecordFailure", "DeadLetter"),
    *("MarkDeleted (deletion)", "Withdraw (deletion)", "DeadLetter (deletion)"),
)
OTHER_CALLS = ("Look (deletion)", "Undelete (deletion)")
OF_A_FUNCTION = ("raises", "out of memory", "out of time", "exits", "nonsense")
OF_A_TARGET = ("throttled", "refused")
ENDS = ("aborted", "undelivered")
TASK_LIMIT, EXECUTION_LIMIT = "timeout", "timed out"
LIMITS = {TASK_LIMIT: 5, EXECUTION_LIMIT: 10}  # seconds; the second is of all steps up to the one that is held
UNSEEN = "nonsense"  # an answer that is taken may be of no use to anybody
HELD = "out of time"  # a function that is at work until its execution was ended
NOT_ASKED = "-"  # how an Express execution ended
SECONDS = 12  # of each function: longer than a cold start on a busy machine, and than any limit above
NAMES_OF_CALLED = {"FunctionName", "TableName", "QueueUrl", "Bucket", "StateMachineArn"}
WAITS = 0.03  # of their time for which retries wait with Express: a throttled call is still waiting at the limit above


class Observed(NamedTuple):
    row: str
    shown: str
    letters: str
    execution: str = NOT_ASKED


@dataclass(frozen=True)
class Case:
    step: str
    fault: str

    @property
    def cell(self) -> Cell:
        return self.step, self.fault

    @property
    def key(self) -> str:
        return f"{FOLDER}{self.step}/{self.fault}.png"

    @property
    def of_a_deletion(self) -> bool:
        return self.step.endswith("(deletion)")

    @property
    def state(self) -> str:
        return self.step.removesuffix(" (deletion)")

    @property
    def ends(self) -> bool:
        return self.fault in ENDS or self.step == "Sweep"

    def plans(self) -> Iterator[tuple[str, str, list[str]]]:
        """Function, subject, faults."""
        if self.step in FUNCTIONS and self.fault not in OF_A_TARGET:
            subject = f"{self.key} thumb" if self.step == "Resize" else self.key
            held = self.ends or self.fault in LIMITS
            once = self.ends or self.fault == EXECUTION_LIMIT
            yield FUNCTIONS[self.step], subject, [HELD if held else self.fault] * (1 if once else ALWAYS)
        if self.step in {"Take", "RecordFailure", "DeadLetter"}:
            yield "validate", self.key, ["raises"] * ALWAYS
        if self.step == "DeadLetter (deletion)":
            yield "cleanup", self.key, ["raises"] * ALWAYS
        if self.step == "Sweep":
            yield "validate", self.key, [HELD]
            yield "sweep", self.key, ["raises"]


CASES = (
    *(Case(step, fault) for step in FUNCTIONS for fault in (*OF_A_FUNCTION, *OF_A_TARGET, *ENDS, *LIMITS)),
    *(Case(step, "refused") for step in (*WRITES, *OTHER_CALLS)),
    Case("Sweep", "raises before its letter"),
)


# With `workflow: express`: nobody can abort an execution, and deletions are as with Standard.
EXPRESS_CASES = (
    *(case for case in CASES if not case.of_a_deletion and not case.ends),
    Case("Take", "refused"),
)

# Of what has another course there: after an error, and after the end of the time.
EXPRESS_SAMPLE = (
    Case("Validate", "raises"),
    Case("Validate", EXECUTION_LIMIT),
    *(Case(step, "refused") for step in ("Claim", "Take", "RecordFailure", "DeadLetter")),
)


class Matrix:
    """All cases on one deployed stack."""

    def __init__(self, deployed: Deployed, cases: Sequence[Case] = CASES) -> None:
        self.deployed, self.cases = deployed, cases
        self._picture = photo(24, 16)
        self._sweep = deployed.function("sweep")["FunctionName"]
        self._executions: dict[str, str] = {}  # by key

    def observe(self, expected: Mapping[Cell, Observed]) -> dict[Cell, Observed]:
        """Break all of them and look until all is as expected, or for as long as patience lasts; then the schedule
        comes twice more, which changes nothing."""
        self._make_older_versions()
        limits = {function: {"Timeout": SECONDS} for function in FUNCTIONS.values()}
        with self._without_targets(), faulty(self.deployed, self._plans(), changes=limits) as broken:
            limited = [case for case in self.cases if case.fault in LIMITS]
            self._run([case for case in self.cases if case.fault != "undelivered" and case not in limited], broken)
            self._run_limited(limited)
            with rules_off(self.deployed, "OperationsEnded"):
                self._run([case for case in self.cases if case.fault == "undelivered"], broken)
            self._schedule()
            with suppress(pytest.fail.Exception):
                eventually(lambda: self._look() == {case.cell: expected[case.cell] for case in self.cases}, "all cells")
            for _ in range(2):
                self._schedule()
            observed = self._look()
            self._check_the_unseen(broken)
        for letter in self._letters():
            self.deployed.forget(letter)
        return observed

    def _run(self, cases: Sequence[Case], broken: Broken) -> None:
        waiting = [case for case in cases if case.fault == HELD]
        others = [case for case in cases if case.fault != HELD]
        with ThreadPoolExecutor(len(waiting) or 1) as patient, ThreadPoolExecutor(AT_ONCE) as busy:
            ways = [patient.submit(self._way, case, broken) for case in waiting]
            ways += [busy.submit(self._way, case, broken) for case in others]
        for way in ways:
            way.result()

    def _run_limited(self, cases: Sequence[Case]) -> None:
        """An execution keeps the limits that it started with: the next one starts as soon as one is at work."""
        begun = {}
        for case in cases:
            with self._limit(case):
                begun[case] = self._begin(case)
        for case, execution in begun.items():
            self._end(case, execution)

    def _way(self, case: Case, broken: Broken) -> None:
        execution = self._begin(case)
        if case.ends:
            met = f"{case.step} to be at work on {case.key}"
            eventually(lambda: execution in {fault["execution"] for fault in broken.faults()}, met, patience=PATIENCE)
            self.deployed.aws.states.stop_execution(executionArn=execution, cause="a person stopped it")
        self._end(case, execution)

    def _begin(self, case: Case) -> str:
        """Its execution, as soon as it has the row."""
        deployed = self.deployed
        if case.of_a_deletion:
            deployed.picture(case.key, b"a newer version, and soon rejected")
        before = deployed.row(case.key).get("execution")
        if case.state == "Withdraw":
            return self._removed(case.key)
        if case.state == "Undelete":
            before = self._deleted(case.key)
            deployed.remove_version(case.key, deployed.markers(case.key)[0])
        elif case.of_a_deletion:
            deployed.delete(case.key)
        else:
            deployed.upload(case.key, b"no picture" if case.step == "Reject" else self._picture)

        def owner() -> Any:
            if case.state == "MarkDeleted":  # what it could not write, the schedule writes
                self._schedule()
            now = deployed.row(case.key).get("execution")
            return now if now != before else None

        return str(eventually(owner, f"the execution of {case.key}", patience=PATIENCE))

    def _end(self, case: Case, execution: str) -> None:
        self.deployed.execution(execution, patience=PATIENCE)
        self._executions[case.key] = execution
        if case.fault != UNSEEN and case.step != "Sweep":
            met = [one for one in visits(self.deployed.aws, execution) if one.name == case.state]
            errors = {failure["error"] for one in met for failure in one.failures}
            broke = "States.Timeout" in errors if case.fault in LIMITS else bool(errors)
            assert broke or any(one.exited is None for one in met), f"{case.key} did not meet its fault: {met}"

    def _check_the_unseen(self, broken: Broken) -> None:
        """That they were met: a history does not tell, and some of the pictures end as without a fault."""
        planned = {subject for case in self.cases if case.fault == UNSEEN for _, subject, _ in case.plans()}
        unmet = planned - {fault["subject"] for fault in broken.faults()}
        assert not unmet, f"{unmet} did not meet their fault"

    def _make_older_versions(self) -> None:
        """One that succeeds, and for each case a row like its own, with files like its own."""
        row = self.deployed.picture(OLDER, self._picture)
        self._older = row["shown_version_id"]
        for case in self.cases:
            folder = case.key.removeprefix("raw/")
            renditions = {
                name: {**one, "key": f"{folder}/{OLD}/{name}.webp"} for name, one in row["renditions"].items()
            }
            for one in renditions.values():
                self._put_rendition(one["key"])
            self.deployed.aws.results.put_item(
                Item={**row, "key": case.key, "sequencer": "0" * 40, "renditions": renditions}
            )

    def _put_rendition(self, key: str) -> None:
        bucket = self.deployed.aws.output("RenditionsBucketName")
        self.deployed.aws.s3.put_object(Bucket=bucket, Key=key, Body=b"an older version's")

    def _removed(self, key: str) -> str:
        """The execution of the removal of its newest version, told of as AWS does: the local event names no version."""
        version, bucket = self.deployed.row(key)["version_id"], self.deployed.aws.output("UploadsBucketName")
        told = {"key": key, "version-id": version, "sequencer": "F" * 40}
        detail = {"bucket": {"name": bucket}, "object": told, "deletion-type": "Permanently Deleted"}
        started = self.deployed.aws.states.start_execution(
            stateMachineArn=self.deployed.aws.output("DeletionStateMachineArn"),
            input=json.dumps({"source": "aws.s3", "detail-type": "Object Deleted", "detail": detail}),
        )
        return str(started["executionArn"])

    def _shown(self, row: Mapping[str, Any]) -> str:
        """Of which version the row names renditions, all of which are in the bucket."""
        if "renditions" not in row:
            return NOTHING
        missing = [one["key"] for one in row["renditions"].values() if not self.deployed.rendition(one["key"])]
        if missing:
            return f"named, but not there: {', '.join(missing)}"
        return "older" if row["shown_version_id"] == self._older else "newer"

    def _deleted(self, key: str) -> str:
        """The execution of its deletion, which has ended."""
        self.deployed.delete(key)
        eventually(lambda: self.deployed.in_status(key, "DELETED"), f"the deletion of {key}", patience=PATIENCE)
        return str(self.deployed.execution(self.deployed.row(key)["execution"])["executionArn"])

    def _look(self) -> dict[Cell, Observed]:
        reasons = defaultdict(list)
        for letter in self._letters():
            reasons[json.loads(letter["Body"])["key"]].append(letter["MessageAttributes"]["reason"]["StringValue"])
        rows = {case.cell: self.deployed.row(case.key) for case in self.cases}
        return {
            case.cell: Observed(
                rows[case.cell]["status"],
                self._shown(rows[case.cell]),
                ", ".join(reasons[case.key]) or "none",
                self._status(case),
            )
            for case in self.cases
        }

    def _status(self, case: Case) -> str:
        return str(self.deployed.execution(self._executions[case.key])["status"])

    def _letters(self) -> list[dict[str, Any]]:
        """Those of these cases. All that are in the queue are read, and back they go."""
        sqs, queue = self.deployed.aws.sqs, self.deployed.aws.output("DeadLetterQueueUrl")
        asked: dict[str, Any] = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 60}
        found: list[dict[str, Any]] = []
        while messages := sqs.receive_message(**asked, MessageAttributeNames=["All"]).get("Messages"):
            found += messages
        for message in found:
            sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        return [letter for letter in found if FOLDER in letter["Body"]]

    def _schedule(self) -> None:
        self.deployed.client("lambda").invoke(FunctionName=self._sweep, Payload=json.dumps({"source": "aws.events"}))

    def _plans(self) -> dict[str, Plan]:
        plans: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for case in self.cases:
            for function, subject, faults in case.plans():
                plans[function][subject] = faults
        return dict(plans)

    @contextmanager
    def _without_targets(self) -> Iterator[None]:
        """Each state calls what it may not, or what Lambda throttles, for the pictures that are to meet that."""
        aws, throttled = self.deployed.aws, self._throttled()
        iam, changed = self.deployed.client("iam"), []
        try:
            for output, of_a_deletion in (("StateMachineArn", False), ("DeletionStateMachineArn", True)):
                machine = aws.output(output)
                described = aws.states.describe_state_machine(stateMachineArn=machine)
                role, real = described["roleArn"].rpartition("/")[2], described["definition"]
                definition = json.loads(real)
                for name, state in states(definition):
                    targets = {
                        case.key: throttled if case.fault == "throttled" else "no business of this role"
                        for case in self.cases
                        if case.state == name and case.of_a_deletion == of_a_deletion and case.fault in OF_A_TARGET
                    }
                    if targets:
                        _redirect(state["Arguments"], targets)
                aws.states.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
                may = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": throttled}
                policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
                iam.put_role_policy(RoleName=role, PolicyName="throttled", PolicyDocument=policy)
                changed.append((machine, real, role))
            yield
        finally:
            for machine, real, role in changed:
                iam.delete_role_policy(RoleName=role, PolicyName="throttled")
                aws.states.update_state_machine(stateMachineArn=machine, definition=real)
            self.deployed.client("lambda").delete_function(FunctionName=throttled)

    @contextmanager
    def _limit(self, case: Case) -> Iterator[None]:
        """The time of the step, or of the whole execution, is short for what starts inside the block."""
        states_of = self.deployed.aws.states
        machine = self.deployed.aws.output("DeletionStateMachineArn" if case.of_a_deletion else "StateMachineArn")
        real = states_of.describe_state_machine(stateMachineArn=machine)["definition"]
        definition = json.loads(real)
        limited = dict(states(definition))[case.state] if case.fault == TASK_LIMIT else definition
        limited["TimeoutSeconds"] = LIMITS[case.fault]
        states_of.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
        try:
            yield
        finally:
            states_of.update_state_machine(stateMachineArn=machine, definition=real)

    def _throttled(self) -> str:
        """A function of which Lambda runs none at once."""
        functions, like = self.deployed.client("lambda"), self.deployed.function("validate")
        created = functions.create_function(
            FunctionName="throttled",
            Role=like["Role"],
            Runtime=like["Runtime"],
            Handler="nothing.handler",
            Code={"ZipFile": b"PK\x05\x06" + bytes(18)},  # an empty archive
        )
        functions.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
        return str(created["FunctionArn"])


class ExpressMatrix(Matrix):
    """Nobody is told how an execution ended, so that the schedule alone comes. It finds every row old, and comes only
    when nothing is at work. What it starts again finds the functions whole, but a call that is throttled still is."""

    def observe(self, expected: Mapping[Cell, Observed]) -> dict[Cell, Observed]:
        self._make_older_versions()
        throttled = [case for case in self.cases if case.fault == "throttled" and case.state not in GIVES_UP_AFTER]
        limited = [case for case in self.cases if case.fault in LIMITS]
        others = [case for case in self.cases if case not in (*throttled, *limited)]
        old = {"sweep": {"Environment": {"SECONDS_LEFT_ALONE": "-1"}}}
        limits = {function: {"Timeout": SECONDS} for function in FUNCTIONS.values()}
        with self._without_targets(), faulty(self.deployed, {"sweep": {}}, changes=old):
            with faulty(self.deployed, self._plans(), changes=limits) as broken:
                self._run(others, broken)
                self._run_limited(limited)
                self._nothing_at_work()
                self._check_the_unseen(broken)
            self._sweep_until(expected, [*others, *limited])
            with self._limit(Case("Validate", EXECUTION_LIMIT)):
                self._run(throttled, broken)
                self._sweep_until(expected, self.cases)
                observed = self._swept()
        for letter in self._letters():
            self.deployed.forget(letter)
        return observed

    def _sweep_until(self, expected: Mapping[Cell, Observed], cases: Sequence[Case]) -> None:
        """These are as expected, or patience is over."""

        def as_expected() -> bool:
            swept = self._swept()
            return all(swept[case.cell] == expected[case.cell] for case in cases)

        with suppress(pytest.fail.Exception):
            eventually(as_expected, "all cells", patience=PATIENCE)

    def _swept(self) -> dict[Cell, Observed]:
        self._schedule()
        self._nothing_at_work()
        return self._look()

    def _nothing_at_work(self) -> None:
        eventually(lambda: not self.deployed.at_work(), "the end of all executions", patience=PATIENCE)

    def _status(self, case: Case) -> str:  # noqa: ARG002 - as Matrix has it
        return NOT_ASKED


def _redirect(arguments: dict[str, Any], targets: Mapping[str, str]) -> None:
    [field] = NAMES_OF_CALLED & arguments.keys()
    key = "$states.context.Execution.Input.detail.object.key"
    real = arguments[field]
    real = real[2:-2] if real.startswith("{%") else json.dumps(real)
    choice = f"$exists($lookup($targets, {key})) ? $lookup($targets, {key}) : {real}"
    arguments[field] = f"{{% ( $targets := {json.dumps(targets)}; {choice} ) %}}"


def on_the_engine() -> dict[Cell, Observed]:
    """As the page has it."""
    return {
        (line["step"], line["fault"]): Observed(line["row"], line["shown"], line["letters"], line["execution"])
        for line in lines_of_the_page()
    }


def of_express() -> dict[Cell, Observed]:
    """As the page has it of the engine."""
    standard = on_the_engine()
    found = {(line["step"], line["fault"]): line["express"] for line in lines_of_the_page() if line["express"] != "-"}
    return {
        cell: standard[cell]._replace(execution=NOT_ASKED) if said == SAME else Observed(*said.split("; "))
        for cell, said in found.items()
    }


def on_the_page(column: str, engine: Mapping[Cell, Observed]) -> dict[Cell, Observed]:
    """What this column says of the local cloud, where it says more than that it cannot show the cell."""
    return {
        cell: engine[cell] if said == SAME else Observed(*said.split("; "))
        for cell, said in local_columns()[column].items()
    }


def write(column: str, observed: Mapping[Cell, Observed], engine: Mapping[Cell, Observed]) -> None:
    lines = PAGE.read_text().splitlines()
    for number, line in enumerate(lines):
        cells = line.strip("| ").split(" | ")
        cell = (cells[0], cells[1]) if len(cells) == len(COLUMNS) else None
        if cell in observed:
            ends = "; ".join(one for one in observed[cell] if one != NOT_ASKED)
            cells[COLUMNS.index(column)] = SAME if observed[cell] == engine[cell] else ends
            lines[number] = f"| {' | '.join(cells)} |"
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="darkroom-faults-") as home:
        with own_cloud(Path(home, "standard")) as deployed:
            write(LOCAL, Matrix(deployed).observe(on_the_engine()), on_the_engine())
        with own_cloud(Path(home, "express"), {"workflow": "express"}, waits=WAITS) as deployed:
            write(LOCAL_EXPRESS, ExpressMatrix(deployed, EXPRESS_CASES).observe(of_express()), of_express())
