"""Measures works against each other: one after the other, round by round, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.report import tick

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Spent:
    cpu: float  # seconds of all threads
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
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)
