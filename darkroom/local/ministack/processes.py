"""A function has no more processes at work than this machine has CPUs, but for calls that last: further calls wait for
one of them. The second starts when the first has.

The time limit of a state begins when its call has a process, which on AWS is at once: a burst that takes minutes here
would else fail.

MiniStack starts one for each call at once. On two CPUs the sixteen of the demo's first pictures only wait for each
other, each for a start of its own, which takes longer than most calls.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc, stepfunctions

AT_ONCE = os.cpu_count() or 1

# Seconds after which a call no longer counts. It waits more than it works, perhaps for a call of its own function,
# which would else wait for it.
LONG = 5.0
MOST = 4 * AT_ONCE  # on a machine that is busy with something else, every call takes long


class _Wait:
    """How long a call has waited for a process, in seconds."""

    def __init__(self) -> None:
        self._until_now = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        since = self._since
        return self._until_now + (time.monotonic() - since if since is not None else 0)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self._since = time.monotonic()
        yield
        self._until_now, self._since = self.seconds, None


_wait: ContextVar[_Wait] = ContextVar("_wait")


def add() -> None:
    """To the modules that call these functions by name. A limit of the function or the account is asked before."""
    acquire, release = lambda_runtime.acquire_worker, lambda_runtime.release_worker
    given_back = threading.Condition()
    turns: dict[str, threading.Lock] = defaultdict(threading.Lock)  # one call of a function looks; the others sleep

    def acquired(name: str, config: Any, code: bytes, qualifier: str = "$LATEST", max_concurrency: Any = None) -> Any:
        key = lambda_runtime._worker_key(name, config, qualifier)
        with _wait.get(_Wait()).going_on(), turns[key]:
            while True:
                most = min(MOST, (AT_ONCE if _has_started(key) else 1) + _long_at_work(key))
                found = acquire(name, config, code, qualifier, max_concurrency or most)
                if found[0] is not None or max_concurrency:
                    return found
                with given_back:
                    given_back.wait(0.1)  # the next may become one that no longer counts

    def released(worker: Any) -> None:
        release(worker)
        with given_back:
            given_back.notify_all()

    lambda_svc.acquire_worker, lambda_svc.release_worker = acquired, released
    stepfunctions._invoke_resource_with_timeout = _invoked


def _invoked(resource: str, arguments: Any, limit: float) -> Any:
    """As MiniStack does it: what takes longer goes on, and its answer is lost."""
    wait, context = _Wait(), copy_context()
    context.run(_wait.set, wait)
    until = time.monotonic() + limit
    pool = ThreadPoolExecutor(max_workers=1)
    answer = pool.submit(context.run, stepfunctions._invoke_resource, resource, arguments)
    pool.shutdown(wait=False)
    while not answer.done() and (left := until + wait.seconds - time.monotonic()) > 0:
        futures.wait([answer], left)
    if answer.done():
        return answer.result()
    raise stepfunctions._ExecutionError("States.Timeout", f"Task timed out after {limit} seconds")


def _has_started(key: str) -> bool:
    with lambda_runtime._lock:
        return any(one._start_time for one in lambda_runtime._workers.get(key, []))


def _long_at_work(key: str) -> int:
    with lambda_runtime._lock:
        workers = lambda_runtime._workers.get(key, [])
        return sum(one.in_use and time.time() - one.last_used > LONG for one in workers)
