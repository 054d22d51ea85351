"""A function has no more processes at work than this machine has CPUs, but for calls that last: further calls wait for
one of them. The second starts when the first has.

MiniStack starts one for each call at once. On two CPUs the sixteen of the demo's first pictures only wait for each
other, each for a start of its own, which takes longer than most calls.
"""

import os
import threading
import time
from collections import defaultdict
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

AT_ONCE = os.cpu_count() or 1

# Seconds after which a call no longer counts. It waits more than it works, perhaps for a call of its own function,
# which would else wait for it.
LONG = 5.0
MOST = 4 * AT_ONCE  # on a machine that is busy with something else, every call takes long


def add() -> None:
    """To both modules that call these functions by name. A limit of the function or the account is asked before."""
    acquire, release = lambda_runtime.acquire_worker, lambda_runtime.release_worker
    given_back = threading.Condition()
    turns: dict[str, threading.Lock] = defaultdict(threading.Lock)  # one call of a function looks; the others sleep

    def acquired(name: str, config: Any, code: bytes, qualifier: str = "$LATEST", max_concurrency: Any = None) -> Any:
        key = lambda_runtime._worker_key(name, config, qualifier)
        with turns[key]:
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


def _has_started(key: str) -> bool:
    with lambda_runtime._lock:
        return any(one._start_time for one in lambda_runtime._workers.get(key, []))


def _long_at_work(key: str) -> int:
    with lambda_runtime._lock:
        workers = lambda_runtime._workers.get(key, [])
        return sum(one.in_use and time.time() - one.last_used > LONG for one in workers)
