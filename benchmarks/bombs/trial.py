"""Draws a file, and has Validate and Resize try it, each in a new process."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.bombs.files import FORMATS, HONEST, MAX_BYTES, PNG_OF_16_BITS, SIDE
from benchmarks.bombs.recipe import recipe
from benchmarks.optional import packages
from benchmarks.photos import LIMITS, SCRATCH, SETTINGS, targets
from benchmarks.process import in_new_process
from benchmarks.report import begin, tick
from functions.imaging import OPTIONAL, Facts, Rejected, Target, examine, render

CPU_BAR = 6.0  # seconds
TIMES_BAR = 2.0  # what a rendition may cost, in those of an honest picture
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


@dataclass(frozen=True, slots=True)
class Trial:
    """`worst`: the dearest of the default renditions of what is accepted. `times`: its CPU, in that of an honest
    picture's."""

    verdict: str
    validate: Cost
    worst: Cost | None = None
    times: float = 0

    @property
    def is_within(self) -> bool:
        return self.validate.is_within and (not self.worst or self.worst.is_within) and self.times <= TIMES_BAR


def drawn(name: str, kind: str) -> Path:
    """The file as it is kept, or drawn anew if what draws it has changed."""
    file, drawn_by = FOLDER / f"{kind}.{name}", FOLDER / f"{kind}.{name}.recipe"
    wanted = recipe(HONEST[name] if kind.isdecimal() else FORMATS[name][kind])
    if not (file.exists() and drawn_by.exists() and drawn_by.read_text() == wanted):
        FOLDER.mkdir(parents=True, exist_ok=True)
        begin(f"drawing {name}: {kind}")
        in_new_process(draw, name, kind, str(file), environment=_environment(name))
        drawn_by.write_text(wanted)
    return file


def draw(name: str, kind: str, path: str) -> None:
    """In a process of its own, which gives the memory back."""
    Path(path).write_bytes(HONEST[name](int(kind)) if kind.isdecimal() else FORMATS[name][kind]())


def _environment(name: str) -> dict[str, str]:
    return {"PYTHONPATH": str(packages())} if name in OPTIONAL else {}


def tried(name: str, kind: str) -> Trial:
    file = drawn(name, kind)
    begin(file.name)
    verdict, cost = _measured(validate, file)
    if "code" in verdict:
        return Trial(verdict["code"], cost)
    worst = _worst_rendition(file, Facts(**verdict))
    form = "png of 16 bits" if kind in PNG_OF_16_BITS else name
    honest = _honest(form, _side_of_honest(verdict["width"] * verdict["height"], file.stat().st_size))
    return Trial(f"{verdict['width']}x{verdict['height']}", cost, worst, worst.cpu / honest)


def _worst_rendition(file: Path, facts: Facts) -> Cost:
    planned = targets(facts, "webp").values()
    renditions = [_measured(resize, file, json.dumps(asdict(target)))[1] for target in planned]
    return Cost(max(one.cpu for one in renditions), max(one.peak for one in renditions))


def _side_of_honest(pixels: int, size: int) -> int:
    """Of a picture that is as large: its share of the pixels that are taken, or of the bytes if that is more. In
    thousands, rounded down."""
    share = max(pixels / SIDE**2, size / MAX_BYTES)
    return max(1_000, min(SIDE, int(share**0.5 * SIDE) // 1_000 * 1_000))


@cache
def _honest(form: str, side: int) -> float:
    """CPU seconds of its dearest rendition. A PNG or TIFF of that many pixels may have more bytes than are taken."""
    return _worst_rendition(drawn(form, str(side)), Facts(form.split()[0], side, side, 1, "", "")).cpu


def _measured(work: Callable[..., None], file: Path, *more: str) -> tuple[dict[str, Any], Cost]:
    tick()
    answer = file.with_suffix(".json")
    usage = in_new_process(work, str(file), str(answer), *more, environment=_environment(file.suffix[1:]))
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
