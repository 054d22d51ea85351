"""Stands in a deployed function for its handler, and logs what of a call was S3 and what pixels.

`benchmarks/whole.py` puts it into the functions, in a layer: what is deployed has no such clock.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

BEGAN = time.time()

from functions import resize as resizing  # noqa: E402  # the process begins with these imports
from functions import validate as validating  # noqa: E402
from functions.examiner import Examiner  # noqa: E402
from functions.storage import Storage  # noqa: E402
from functions.telemetry import logger  # noqa: E402

_spent: dict[str, dict[str, float]] = defaultdict(lambda: {"seconds": 0.0, "calls": 0, "bytes": 0})
_inside = [0.0]  # what was spent in works that another one called
_since: float | None = BEGAN  # until the first call


def timed(what: str, work: Callable[..., Any], size: Callable[..., int] = lambda *_: 0) -> Callable[..., Any]:
    """Its time without that of what it calls that is timed too. `size`: of its answer and of what it was given."""

    def inner(*given: Any, **named: Any) -> Any:
        _inside.append(0.0)
        began = time.perf_counter()
        try:
            answer = work(*given, **named)
        finally:
            took = time.perf_counter() - began
            spent = _spent[what]
            spent["seconds"] += took - _inside.pop()
            spent["calls"] += 1
            _inside[-1] += took
        spent["bytes"] += size(answer, *given)
        return answer

    return inner


def validate(event: dict[str, Any], context: Any) -> Any:
    return _told("Validate", validating.handler, event, context)


def resize(event: dict[str, Any], context: Any) -> Any:
    return _told(event["rendition"]["name"], resizing.handler, event, context)


def _told(what: str, handler: Callable[..., Any], event: dict[str, Any], context: Any) -> Any:
    """`since`: when the imports of a process began, in its first call."""
    global _since
    _put_clocks()
    _spent.clear()
    began = time.time()
    try:
        return handler(event, context)
    finally:
        note = {"execution": event["execution"], "what": what, "began": began, "ended": time.time(), "since": _since}
        _since = None
        logger.info("timed", extra={"timed": {**note, "spent": _spent}})


@cache
def _put_clocks() -> None:
    """`client`: what the first call takes to make one."""
    Storage.read = timed("read", Storage.read, lambda original, *_: len(original.data))  # type: ignore[method-assign]
    Storage.write = timed("write", Storage.write, lambda _, *given: len(given[3]))  # type: ignore[method-assign]
    Examiner.examine = timed("pixels", Examiner.examine)  # type: ignore[method-assign]
    resizing.render = timed("pixels", resizing.render)  # type: ignore[attr-defined]
    for module in (validating, resizing):
        module.storage = timed("client", module.storage)  # type: ignore[attr-defined]
