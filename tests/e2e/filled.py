"""A bucket that was filled without events, and backfilled: once stopped and gone on with, then by other settings.
`make backfill` does so with 1,000 pictures on a local cloud of its own. Exit code 1 if anything is lost or made twice.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from darkroom.cli.terminal import say, show_table, step
from darkroom.local.deploy import deploy
from darkroom.local.pictures import photo
from darkroom.pipeline import backfill as backfills
from darkroom.pipeline.backfill import Only
from darkroom.pipeline.executions import picture_key
from tests.e2e.conftest import Deployed, eventually, own_cloud, rules_off
from tests.e2e.load import letters

PICTURES = 1000
SHOWN = 20  # of what is wrong
SETTING = {"quality.webp": "60"}  # that is changed

News = Callable[[str], object]


def lost_events(deployed: Deployed) -> AbstractContextManager[None]:
    """Those of all uploads, for as long as the block runs."""
    return rules_off(deployed, "IntakeUploaded")


class Filled:
    """So many pictures under one prefix of their own."""

    def __init__(self, deployed: Deployed, pictures: int, name: str) -> None:
        self.deployed, self.prefix = deployed, f"{name}/"
        self.keys = [f"raw/{self.prefix}{number:04}.png" for number in range(pictures)]
        self.versions: dict[str, str] = {}
        self.wrong: list[str] = []

    def fill(self) -> None:
        with lost_events(self.deployed), ThreadPoolExecutor(4) as pool:
            uploaded = pool.map(lambda key: self.deployed.upload(key, photo(24, 16)), self.keys)
            self.versions = dict(zip(self.keys, uploaded, strict=True))

    def rows(self) -> dict[str, dict[str, Any]]:
        return {key: row for key in self.keys if (row := self.deployed.row(key))}

    def made(self) -> int:
        return sum(row["status"] == "SUCCEEDED" for row in self.rows().values())

    def run(self, change: Callable[[], object], at_once: int, news: News = str) -> dict[str, tuple[int, int]]:
        """Of each count what is expected, and what is there."""
        everything, before = len(self.keys), self._started()
        self.fill()
        counts = {"rows before": (0, len(self.rows()))}
        news("stopped")
        stopped = self._stopped(at_once)
        news(f"gone on with after {stopped}")
        backfills.go_on(self.deployed.aws)
        self._followed()
        first = self._started() - before
        counts |= {
            "made": (everything, self._right()),
            "started": (everything, sum(first[key] for key in self.keys)),
            "started for others": (0, sum(first.values()) - sum(first[key] for key in self.keys)),
            "missing then": (0, self._to_make("missing")),
            "stale then": (0, self._to_make("stale")),
        }
        addresses = self._addresses()
        change()
        counts |= {"addresses by the change alone": (0, len(self._addresses() - addresses))}
        news("made by other settings")
        backfills.start(self.deployed.aws, "stale", self.prefix, at_once=at_once)
        self._followed()
        second = self._started() - before
        counts |= {
            "made again": (everything, self._right()),
            "started in all": (2 * everything, sum(second[key] for key in self.keys)),
            "new addresses": (len(addresses), len(self._addresses() - addresses)),
            "old files": (0, len(addresses & self.deployed.renditions(self.prefix))),
            "stale in the end": (0, self._to_make("stale")),
            "letters": (0, len(letters(self.deployed))),
        }
        return counts

    def _stopped(self, at_once: int) -> int:
        """How many were made when it was stopped, and what was at work had come to its end. In this process, because
        the command takes as long as some pictures."""
        backfills.start(self.deployed.aws, "missing", self.prefix, at_once=at_once)
        eventually(lambda: self.made() > len(self.keys) / 10, "a tenth of the pictures")
        assert backfills.stop(self.deployed.aws)["status"] == "ABORTED"
        eventually(lambda: not self.deployed.at_work(), "the end of what was at work")
        made = self.made()
        if made == len(self.keys):
            self.wrong.append("all were made before it was stopped")
        return made

    def _followed(self) -> None:
        *_, ended = backfills.changes(self.deployed.aws)
        if (ended["status"], ended["not_looked_at"]) != ("SUCCEEDED", 0):
            self.wrong.append(f"the backfill: {ended}")

    def _right(self) -> int:
        """Pictures whose row is of the version that is there, with all its files."""
        files, right = self.deployed.renditions(self.prefix), 0
        for key, row in self.rows().items():
            named = {one["key"] for one in row.get("renditions", {}).values()}
            if (row["status"], row["version_id"]) == ("SUCCEEDED", self.versions[key]) and named and named <= files:
                right += 1
            else:
                self.wrong.append(f"{key}: {row['status']}")
        return right

    def _addresses(self) -> set[str]:
        return {one["key"] for row in self.rows().values() for one in row["renditions"].values()}

    def _to_make(self, only: Only) -> int:
        *_, estimate = backfills.estimates(self.deployed.aws, only, self.prefix)
        return estimate.pictures

    def _started(self) -> Counter[str]:
        """Executions, by key."""
        return Counter(str(picture_key(one["input"])) for one in self.deployed.all_executions())


def main(pictures: int, workflow: str) -> int:
    kind = {"workflow": workflow}
    with tempfile.TemporaryDirectory(prefix="darkroom-backfill-") as home, own_cloud(Path(home), kind) as deployed:
        filled = Filled(deployed, pictures, "filled")
        changed = {"captions.enabled": "true", **kind, **SETTING}
        with step(f"Backfilling {pictures} pictures") as news:
            counts = filled.run(lambda: deploy(deployed.cloud, changed), at_once=4, news=news)
        show_table(("", "expected", "counted"), [(name, *both) for name, both in counts.items()])
        for line in filled.wrong[:SHOWN]:
            say(line)
        return 0 if all(expected == there for expected, there in counts.values()) and not filled.wrong else 1


if __name__ == "__main__":
    workflow, *pictures = sys.argv[1:] or ["standard"]
    sys.exit(main(int(pictures[0]) if pictures else PICTURES, workflow))
