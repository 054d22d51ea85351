"""The load case in full, on a local cloud of its own: `make soak`. Exit code 1 if anything was lost or done twice."""

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from darkroom.cli.terminal import say, show_table, step
from tests.e2e.conftest import Deployed, own_cloud
from tests.e2e.load import Load, Seen, letters

PICTURES = 300
SHOWN = 20  # of what is wrong


def main(pictures: int, workflow: str) -> int:
    settings = {"workflow": workflow}
    with tempfile.TemporaryDirectory(prefix="darkroom-soak-") as home, own_cloud(Path(home), settings) as deployed:
        try:
            return soak(deployed, pictures)
        except pytest.fail.Exception as late:  # a picture that did not come to its end in time
            say(f"LOST: {late}")
            return 1


def soak(deployed: Deployed, pictures: int) -> int:
    load = Load(deployed, pictures)
    with step(f"Uploading {pictures} pictures, every function broken") as news:
        seen, counts = load.run(news)
    met = Counter((fault["step"], fault["fault"]) for fault in load.faults)
    show_table(("broken", "how", "times"), [(*one, count) for one, count in sorted(met.items())])
    fine = report(seen, load.expected(), counts)

    with step("Redriving what failed, the faults gone"):
        redriven = load.redrive()
        load.clean_up()
    after = load.look()
    failed = {key for key, row in seen.rows.items() if row["status"] == "FAILED"}
    expected = {"redriven": len(failed), "of those SUCCEEDED": len(failed), "FAILED": 0, "letters": 0}
    counts = {
        "redriven": len({one["key"] for one in redriven if one["redriven"]}),
        "of those SUCCEEDED": sum(after.rows[key]["status"] == "SUCCEEDED" for key in failed),
        "FAILED": after.statuses()["FAILED"],
        "letters": len(letters(load.deployed)),
    }
    return 0 if report(after, expected, counts) and fine else 1


def report(seen: Seen, expected: Mapping[str, int], counts: Mapping[str, int]) -> bool:
    """Whether everything is as it should be; shown in any case."""
    show_table(("", "expected", "counted"), [(name, count, counts[name]) for name, count in expected.items()])
    for line in seen.wrong[:SHOWN]:
        say(line)
    say(f"Lost or done twice: {len(seen.wrong)}")
    return not seen.wrong and counts == expected


if __name__ == "__main__":
    workflow, *pictures = sys.argv[1:] or ["standard"]
    sys.exit(main(int(pictures[0]) if pictures else PICTURES, workflow))
