"""An expression in JSONata is parsed once, and not each time that it is evaluated.

What is made of it may be shared by all threads: to evaluate it changes nothing in it.
"""

from functools import lru_cache
from typing import Any

from jsonata import jsonata, parser

REMEMBERED = 4096  # expressions; those of a stack are some 400


@lru_cache(REMEMBERED)
def _parsed(*expression: Any) -> Any:
    return parser.Parser().parse(*expression)


class _Remembering(parser.Parser):  # type: ignore[misc]
    def parse(self, *expression: Any) -> Any:
        return _parsed(*expression)


def add() -> None:
    """In place of a parser for each thread: each task and each iteration is a new one."""
    this: Any = jsonata.Jsonata
    one = _Remembering()
    this.get_parser = staticmethod(lambda: one)
