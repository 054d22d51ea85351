"""Draws a file, and has Validate and Resize try it, each in a new process."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.bombs.files import FORMATS
from benchmarks.photos import LIMITS, SCRATCH, SETTINGS, targets
from benchmarks.process import in_new_process
from benchmarks.report import begin, tick
from functions.imaging import Facts, Rejected, Target, examine, render

CPU_BAR = 6.0  # seconds
MEMORY_BAR = 0.70 * min(SETTINGS.functions.validate_.memory, SETTINGS.functions.resize.memory)  # MB

FOLDER = SCRATCH / "bombs"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of the work alone, in seconds; the peak of the whole process, in MB."""

    cpu: float
    peak: float

    @property
    def is_within(self) -> bool:
        return self.cpu <= CPU_BAR and self.peak <= MEMORY_BAR

    def __str__(self) -> str:
        return f"{self.cpu:.1f} s, {self.peak:,.0f} MB"


def drawn(name: str, kind: str) -> Path:
    file = FOLDER / f"{kind}.{name}"
    if not file.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        begin(f"drawing {name}: {kind}")
        in_new_process(draw, name, kind, str(file))
    return file


def draw(name: str, kind: str, path: str) -> None:
    """In a process of its own, which gives the memory back."""
    Path(path).write_bytes(FORMATS[name][kind]())


def tried(file: Path) -> tuple[str, list[Cost]]:
    """The verdict, what that cost, and, of what is accepted, what the dearest of the default renditions cost."""
    begin(file.name)
    verdict, cost = _measured(validate, file)
    if "code" in verdict:
        return verdict["code"], [cost]
    planned = targets(Facts(**verdict), "webp").values()
    renditions = [_measured(resize, file, json.dumps(asdict(target)))[1] for target in planned]
    worst = Cost(max(one.cpu for one in renditions), max(one.peak for one in renditions))
    return f"{verdict['width']}x{verdict['height']}", [cost, worst]


def _measured(work: Callable[..., None], file: Path, *more: str) -> tuple[dict[str, Any], Cost]:
    tick()
    answer = file.with_suffix(".json")
    usage = in_new_process(work, str(file), str(answer), *more)
    verdict, cpu = json.loads(answer.read_text())
    return verdict, Cost(cpu, usage.peak)


def validate(path: str, answer: str) -> None:
    """Under the limit of memory that Validate has, and without the one of CPU, so that it is seen what that is for."""
    import functions.validate  # noqa: F401  what it imports counts as memory

    resource.setrlimit(resource.RLIMIT_DATA, (SETTINGS.functions.validate_.memory * 1024 * 1024 * 9 // 10,) * 2)
    data = Path(path).read_bytes()
    started = time.process_time()
    try:
        verdict = asdict(examine(data, LIMITS))
    except Rejected as rejected:
        verdict = {"code": str(rejected)}
    Path(answer).write_text(json.dumps((verdict, time.process_time() - started)))


def resize(path: str, answer: str, target: str) -> None:
    import functions.resize  # noqa: F401

    data = Path(path).read_bytes()
    started = time.process_time()
    render(data, Target(**json.loads(target)))
    Path(answer).write_text(json.dumps(({}, time.process_time() - started)))
