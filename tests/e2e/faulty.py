"""Breaks deployed functions on purpose, through the Lambda API and without a hook in them.

A fault is one of FAULTS; a plan says for each picture which fault meets the first attempt of each execution, which the
second, and so on; after the last, attempts pass. Nothing is left to chance, so that what becomes of a picture can be
worked out beforehand.
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Deployed, eventually

FAULTS = ("raises", "busy", "exits", "exits after", "out of memory", "out of time", "nonsense", "burns", "passes")
ALWAYS = 3  # attempts that the state machine makes of a function that breaks, and is not out of time
MEMORY = 512  # MB of a broken function: to run out of it takes no more of this machine's
WRAPPER = Path(__file__).with_name("faulty_handler.py")

# By key; for Resize by key, space and rendition; for Sweep by the key whose execution ended, or `schedule`. `*` is any
# other.
Plan = Mapping[str, Sequence[str]]


class Broken:
    """What was broken so far, in no order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def faults(self) -> list[dict[str, Any]]:
        """Those that were met: step, subject, execution, attempt from 0, fault."""
        notes = [json.loads(text) for note in self._folder.iterdir() if (text := note.read_text())]
        return [note for note in notes if note["fault"] != "passes"]


@contextmanager
def faulty(
    deployed: Deployed, plans: Mapping[str, Plan], *, changes: Mapping[str, Any] | None = None
) -> Iterator[Broken]:
    """The functions of these steps, broken as planned, for as long as the block runs.

    To be entered and left when nothing is at work: a new configuration ends the processes of the old one. Inside,
    `deployed.function` does not find them. `changes` are configuration as well, by step: {"resize": {"Timeout": 3}}, or
    {"sweep": {"Environment": {NAME: value}}}.
    """
    functions, changes = deployed.client("lambda"), changes or {}
    before = {step: deployed.function(step) for step in plans}
    with tempfile.TemporaryDirectory(prefix="faults-") as notes:
        try:
            for step, plan in plans.items():
                _check(plan)
                layer = functions.publish_layer_version(
                    LayerName=f"faults-of-{step}", Content={"ZipFile": _layer(before[step], step, plan, notes)}
                )
                _configure(
                    functions,
                    before[step],
                    {"Handler": "faulty_handler.handler", "MemorySize": MEMORY, **changes.get(step, {})},
                    layers=[layer["LayerVersionArn"]],
                )
            _updated(functions, before)
            yield Broken(Path(notes))
        finally:
            _updated(functions, before)
            for function in before.values():
                _configure(functions, function, {})
            _updated(functions, before)


def _check(plan: Plan) -> None:
    unknown = {fault for faults in plan.values() for fault in faults} - {*FAULTS}
    assert not unknown, f"{unknown} are no faults"


def _layer(function: Mapping[str, Any], step: str, plan: Plan, notes: str) -> bytes:
    content = {"step": step, "handler": function["Handler"], "faults": plan, "notes": notes}
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as archive:
        archive.write(WRAPPER, f"python/{WRAPPER.name}")
        archive.writestr("python/faulty_plan.json", json.dumps(content))
    return layer.getvalue()


def _configure(
    functions: Any, function: Mapping[str, Any], changes: Mapping[str, Any], layers: Sequence[str] = ()
) -> None:
    """As it was, but for the changes."""
    functions.update_function_configuration(
        FunctionName=function["FunctionName"],
        Handler=changes.get("Handler", function["Handler"]),
        MemorySize=changes.get("MemorySize", function["MemorySize"]),
        Timeout=changes.get("Timeout", function["Timeout"]),
        Environment={"Variables": {**function["Environment"]["Variables"], **changes.get("Environment", {})}},
        Layers=[*(layer["Arn"] for layer in function["Layers"]), *layers],
    )


def _updated(functions: Any, before: Mapping[str, Mapping[str, Any]]) -> None:
    """Its own waiter would look once a second."""

    def done() -> bool:
        found = (functions.get_function_configuration(FunctionName=one["FunctionName"]) for one in before.values())
        return all(one["LastUpdateStatus"] == "Successful" for one in found)

    eventually(done, "the new configuration")
