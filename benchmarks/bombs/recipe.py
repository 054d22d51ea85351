"""What a file is drawn by, so that it is drawn again when that has changed."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import PIL

OURS = ("benchmarks.", "darkroom.")


def recipe(maker: Callable[..., bytes]) -> str:
    """A digest of its code, of the code of ours that it calls, of their constants, and of Pillow's version. Comments
    and the lines that it stands on do not count."""
    told = [PIL.__version__, *_told(inspect.unwrap(maker), set())]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _told(function: Any, seen: set[Any]) -> Iterator[object]:
    seen.add(function)
    yield function.__defaults__, function.__kwdefaults__
    for code in _nested(function.__code__):
        yield code.co_code, [_told_alike(one) for one in code.co_consts if not isinstance(one, CodeType)]
        for name in code.co_names:
            value = inspect.unwrap(function.__globals__.get(name, name))
            yield name
            if not isinstance(value, FunctionType):
                yield value if isinstance(value, int | float | str | bytes | tuple) else None
            elif value.__module__.startswith(OURS) and value not in seen:
                yield from _told(value, seen)


def _nested(code: CodeType) -> Iterator[CodeType]:
    """And the functions inside it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _nested(one)


def _told_alike(constant: object) -> object:
    """A set is told in another order by each process."""
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
