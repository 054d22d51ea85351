"""A write to a table is one act: no other write comes between what it reads and what it writes.

MiniStack reads the row, works out the new one and puts it there, each thread for itself. Of two writes at the same time
one is lost, though both were answered with success.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from ministack.services import dynamodb

WRITES = (
    "_put_item",
    "_delete_item",
    "_update_item",
    "_batch_write_item",
    "_transact_write_items",
    "_execute_statement",
    "_batch_execute_statement",
    "_execute_transaction",
)

_one = threading.RLock()  # a statement calls the write that it stands for


def add() -> None:
    for name in WRITES:
        setattr(dynamodb, name, _alone(getattr(dynamodb, name)))


def _alone(write: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(write)
    def alone(*given: Any, **named: Any) -> Any:
        with _one:
            return write(*given, **named)

    return alone
