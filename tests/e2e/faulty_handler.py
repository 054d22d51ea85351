"""Stands in a deployed function for its handler: breaks as was planned, or hands on to the real one.

`tests/e2e/faulty.py` puts it into the function, in a layer, with its plan beside it. Which attempt this is must outlive
the process, which the faults kill: each is noted by a file, in a folder that the tests read.
"""

import importlib
import json
import os
import time
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path
from typing import Any

PLAN = json.loads(Path(__file__).with_name("faulty_plan.json").read_text())


def handler(event: dict[str, Any], context: Any) -> Any:
    subject, execution = subject_of(event)
    faults = PLAN["faults"].get(subject, PLAN["faults"].get("*", []))
    fault = note(subject, execution, faults) if faults else None
    if fault == "raises":
        raise RuntimeError(f"broken on purpose for {subject}")
    if fault == "busy":
        raise importlib.import_module("functions.caption").ModelBusy(f"throttled on purpose for {subject}")
    if fault == "exits":
        os._exit(1)
    if fault == "out of memory":
        taken = b"x" * (context.memory_limit_in_mb << 20)
        return _sleeping(context, taken)
    if fault == "out of time":
        return _sleeping(context)
    if fault == "nonsense":
        return {"nonsense": True}
    if fault == "burns":
        return _burning(event, context)
    answer = _real()(event, context)
    if fault == "exits after":
        os._exit(1)  # all is done, and nobody hears of it
    return answer


def _sleeping(context: Any, _held: bytes = b"") -> None:
    """Longer than there is time."""
    time.sleep(context.get_remaining_time_in_millis() / 1000 + 1)


def _burning(event: dict[str, Any], context: Any) -> Any:
    """Validate, whose decoder takes minutes, in one call in C that no signal handler of Python's interrupts."""
    examiner, validate = (importlib.import_module(f"functions.{name}") for name in ("examiner", "validate"))
    decodes, examiner.examine = examiner.examine, lambda *_: pbkdf2_hmac("sha256", b"", b"", 2 * 10**9)
    try:
        validate.examiner().close()  # the next process has this decoder
        return _real()(event, context)
    finally:
        examiner.examine = decodes


def _real() -> Any:
    """Imported only for an attempt that gets that far: one that dies has a process of its own to start each time."""
    module, _, name = PLAN["handler"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def subject_of(event: dict[str, Any]) -> tuple[str, str]:
    """What is worked on, as the plan names it, and for which execution."""
    if event.get("source") == "aws.states":
        ended = event["detail"]
        return json.loads(ended["input"])["detail"]["object"]["key"], ended["executionArn"]
    if "execution" not in event:
        return "schedule", ""
    rendition = f" {event['rendition']['name']}" if "rendition" in event else ""
    return event["source"]["key"] + rendition, event["execution"]


def note(subject: str, execution: str, faults: list[str]) -> str:
    """The fault of this attempt; `passes` after the last."""
    name = sha256(f"{PLAN['step']} {subject} {execution}".encode()).hexdigest()
    for attempt in range(1000):
        fault = faults[attempt] if attempt < len(faults) else "passes"
        noted = {"step": PLAN["step"], "subject": subject, "execution": execution, "attempt": attempt, "fault": fault}
        try:
            with Path(PLAN["notes"], f"{name}.{attempt}").open("x") as file:
                json.dump(noted, file)
        except FileExistsError:
            continue
        return fault
    raise RuntimeError(f"{subject} was tried 1000 times")
