"""Measures works against each other: one after the other, round by round, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import tick

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Spent:
    cpu: float  # seconds of all threads and processes
    wall: float


def least(works: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[Spent]:
    """The least that each took: what is above it is the machine's doing."""
    spent = [_round(works) for _ in range(rounds)]
    by_work = zip(*spent, strict=True)
    return [Spent(min(one.cpu for one in runs), min(one.wall for one in runs)) for runs in by_work]


def _round(works: Sequence[Callable[[], object]]) -> list[Spent]:
    tick()
    return [_spent(work) for work in works]


def _spent(work: Callable[[], object]) -> Spent:
    cpu, wall = _cpu(), time.perf_counter()
    work()
    return Spent(_cpu() - cpu, time.perf_counter() - wall)


def _cpu() -> float:
    """Of this process and those that it has started and not waited for yet. Linux only, as that clock's number is:
    https://man7.org/linux/man-pages/man3/clock_getcpuclockid.3.html"""
    children = Path("/proc/thread-self/children").read_text().split()
    return time.process_time() + sum(time.clock_gettime(~int(child) << 3 | 2) for child in children)
