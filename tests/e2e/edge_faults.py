"""Breaks the functions that no state machine calls, on the local cloud: the second table of docs/faults.md.

`make faults` writes it, and `test_edge_faults.py` holds it.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from darkroom.local.pictures import photo
from functions.links import Options, signed_path
from functions.results import written
from tests.e2e.conftest import Deployed, eventually, own_cloud
from tests.e2e.faulty import faulty
from tests.e2e.test_api import EVERYTHING, Application
from tests.e2e.test_events import Heard, attempts, final, listening
from tests.e2e.web import web
from tests.statemachine.fault_matrix import OTHERS, PAGE

FOLDER = "raw/edge/"
FAULTS = ("raises", "exits", "out of memory", "out of time", "throttled")
ASKED, TELLING = ("deliver", "api"), ("announce", "notify")
CASES = tuple((function, fault) for function in (*ASKED, *TELLING) for fault in FAULTS)

NOT_TRIED = ("notify", "throttled")  # the local cloud leaves the message in its queue; on AWS each try counts

SECONDS = 5  # of each function, and of a message in its hands
TRIES = 2  # of the webhook's queue
OLDEST = 1  # seconds, of a change that Announce failed at
ALWAYS = 100  # attempts
SHOWN, NONE = "as it was", "-"
TOLD = {0: "not told", 1: "told", 2: "told twice"}
INTRODUCTION = f"""{OTHERS}
The way of a picture ends without them. Each was broken for one picture: Deliver for a size that nobody has asked for
before, the API for a `GET` of the picture, Announce and Notify for a row that becomes REJECTED. All of it is from the
local cloud. What a missing grant breaks is in the table of the [grants](permissions.md#what-breaks-without-each-grant).

- **seen**: the status that a viewer or a client gets, or whether the event bus or the webhook was told, while the
  function was broken. Where the local cloud's API answers 502, AWS answers 500.
- **picture**: whether its row is the same and its rendition can be fetched meanwhile. The rows that are told of have
  no pictures.
- **letters**: the reasons of the dead letters. So that they came soon, a change that Announce fails at is too old after
  a second (deployed: 6 hours, or 20 attempts), and Notify has {TRIES} attempts (deployed: 20). On AWS an attempt
  without a place to run counts too; the local cloud makes none.
- **afterwards**: the same as **seen** when the function is whole again, of an event after `darkroom redrive`.

| function | fault | seen | picture | letters | afterwards |
|---|---|---|---|---|---|
"""

Case = tuple[str, str]  # function, fault


class Observed(NamedTuple):
    seen: str
    picture: str
    letters: str
    afterwards: str


class Edge:
    """All cases on one deployed stack, one after the other: a batch of changes has one fate."""

    def __init__(self, deployed: Deployed, heard: Heard) -> None:
        self._deployed, self._heard = deployed, heard
        self._application = Application(deployed, EVERYTHING)
        self._names = {name: deployed.function(name)["FunctionName"] for name in (*ASKED, *TELLING)}
        found = deployed.client("secretsmanager").get_secret_value(SecretId=deployed.aws.output("DeliverySecretArn"))
        self._secret = found["SecretString"].encode()

    def observe(self) -> dict[Case, Observed]:
        observed = {}
        for case in CASES:
            self._deployed.empty_the_queue()
            observed[case] = self._asked(case) if case[0] in ASKED else self._told(case)
        return observed

    def _asked(self, case: Case) -> Observed:
        row = self._deployed.picture(_key(case), photo(640, 480))
        with self._broken(case):
            seen = self._ask(case)
            assert self._deployed.row(_key(case)) == row
            shown = self._view(f"/{row['renditions']['thumb']['key']}")
            assert not self._deployed.letters()
        eventually(lambda: self._ask(case) == 200, f"an answer of {case[0]}")
        return Observed(str(seen), SHOWN if shown == 200 else str(shown), "none", str(self._ask(case)))

    def _told(self, case: Case) -> Observed:
        key = _key(case)
        with self._impatient(), self._broken(case):
            final(self._deployed, key, version_id="v", updated_at=written(datetime.now(UTC)))
            if case == NOT_TRIED:
                eventually(lambda: self._heard.events(key), f"{key} to be told on the bus")
            else:
                eventually(self._deployed.letters, f"the letter of {key}")
            seen = self._heard_of(case)
            assert self._deployed.row(key)["status"] == "REJECTED"
        redriven = json.loads(self._deployed.darkroom("redrive", "--json").stdout)
        told = eventually(lambda: self._heard_of(case), f"{key} to be told")
        return Observed(TOLD[seen], NONE, ", ".join(one["reason"] for one in redriven) or "none", TOLD[told])

    def _ask(self, case: Case) -> int:
        function, fault = case
        if function == "api":
            return self._application("GET", "/v1/pictures/{key}", key=_key(case)).status
        return self._view(self._path(fault))

    def _view(self, path: str) -> int:
        address = self._deployed.aws.output("DeliveryUrl") + path
        return web(self._deployed, "GET", address, headers={"Accept": "image/webp"}).status

    def _path(self, fault: str) -> str:
        return signed_path(self._secret, _key(("deliver", fault)), Options.of({"w": 320}))

    def _heard_of(self, case: Case) -> int:
        """How often."""
        key = _key(case)
        return len(self._heard.events(key) if case[0] == "announce" else self._deployed.hook.of(key))

    @contextmanager
    def _broken(self, case: Case) -> Iterator[None]:
        function, fault = case
        if fault == "throttled":
            with self._without_a_place(self._names[function]):
                yield
            return
        plan = {function: {"*": [fault] * ALWAYS}}
        with faulty(self._deployed, plan, changes={function: {"Timeout": SECONDS}}):
            yield

    @contextmanager
    def _without_a_place(self, name: str) -> Iterator[None]:
        functions = self._deployed.client("lambda")
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        try:
            yield
        finally:
            functions.delete_function_concurrency(FunctionName=name)

    @contextmanager
    def _impatient(self) -> Iterator[None]:
        functions = self._deployed.client("lambda")
        mappings = functions.list_event_source_mappings(FunctionName=self._names["announce"])["EventSourceMappings"]
        [changes] = [one for one in mappings if "MaximumRecordAgeInSeconds" in one]
        age = changes["MaximumRecordAgeInSeconds"]
        try:
            functions.update_event_source_mapping(UUID=changes["UUID"], MaximumRecordAgeInSeconds=OLDEST)
            with attempts(self._deployed, TRIES, hidden=SECONDS):
                yield
        finally:
            functions.update_event_source_mapping(UUID=changes["UUID"], MaximumRecordAgeInSeconds=age)


def _key(case: Case) -> str:
    return f"{FOLDER}{'-'.join(case).replace(' ', '-')}.png"


def lines_of_the_page() -> dict[Case, Observed]:
    _, _, table = PAGE.read_text().partition(INTRODUCTION)
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {(line[0], line[1]): Observed(*line[2:]) for line in lines}


def write(observed: Mapping[Case, Observed]) -> None:
    before, _, _ = PAGE.read_text().partition(OTHERS)
    lines = [f"| {' | '.join([*case, *seen])} |\n" for case, seen in observed.items()]
    PAGE.write_text(before + INTRODUCTION + "".join(lines))


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(prefix="darkroom-faults-") as home,
        own_cloud(Path(home)) as deployed,
        listening(deployed) as heard,
    ):
        write(Edge(deployed, heard).observe())
