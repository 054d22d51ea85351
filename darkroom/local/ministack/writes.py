"""What reads, works out and writes is one act: nothing that was answered with success is lost to another.

MiniStack takes no lock for it. It answers requests one after the other, but executions, failures of functions, mappings
and what removes old rows have threads of their own. Of two writes to a row at the same time one was lost; so was a
message that came into a queue while another was deleted from it, and a point of a metric while old ones were forgotten.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from types import ModuleType
from typing import Any

from ministack.services import cloudwatch, dynamodb, eventbridge, lambda_svc, s3, sns, sqs

Lock = AbstractContextManager[Any]
Names = Mapping[ModuleType, Sequence[str]]

ROWS: Names = {
    dynamodb: (
        *("_put_item", "_delete_item", "_update_item", "_batch_write_item", "_transact_write_items"),
        *("_execute_statement", "_batch_execute_statement", "_execute_transaction"),
        *("_query", "_scan", "_transact_get_items"),  # no row comes or goes while they go through them
        *("_trim_stream_records", "stream_records_since", "stream_end_position"),
    )
}
MESSAGES: Names = {
    sqs: (
        *("_act_send_message", "_act_delete_message", "_act_delete_message_batch", "_act_purge_queue"),
        *("_act_change_visibility", "_act_change_visibility_batch", "_act_get_queue_attributes"),
        *("_expire_retained", "_dlq_sweep", "_collect_msgs", "_receive_messages_for_esm", "_delete_messages_for_esm"),
    ),
    # These put what they send into the queue themselves.
    eventbridge: ("_dispatch_to_sqs",),
    s3: ("_deliver_event_to_sqs",),
    sns: ("_deliver_to_sqs",),
}
FAILURES = ("_route_async_failure", "_send_ddb_stream_failure_record")  # of functions, which go to a queue or a topic
POINTS: Names = {cloudwatch: ("record_metric", "_store_datum", "_evict_old_metrics")}


def add(new_lock: Callable[[], Lock] = threading.RLock) -> None:
    """Locks that a thread may take again, because some of these functions call others of them."""
    of_rows, of_messages, of_points = new_lock(), new_lock(), new_lock()
    for lock, names in ((of_rows, ROWS), (of_messages, MESSAGES), (of_points, POINTS)):
        for module, of_module in names.items():
            for name in of_module:
                setattr(module, name, _alone(getattr(module, name), lock))
    this: Any = dynamodb
    this._lock = of_rows  # of what removes the rows whose time is over
    sqs._HANDLERS.update({action: getattr(sqs, act.__name__) for action, act in sqs._HANDLERS.items()})
    for name in FAILURES:
        setattr(lambda_svc, name, _alone_to_a_queue(getattr(lambda_svc, name), of_messages))


def _alone(act: Callable[..., Any], lock: Lock) -> Callable[..., Any]:
    @wraps(act)
    def alone(*given: Any, **named: Any) -> Any:
        with lock:
            return act(*given, **named)

    return alone


def _alone_to_a_queue(send: Callable[..., Any], lock: Lock) -> Callable[..., Any]:
    """A topic may call a function, and wait for its end: meanwhile nobody else is to wait."""
    alone = _alone(send, lock)

    def sent(target: Any, *given: Any) -> Any:
        return (alone if ":sqs:" in str(target) else send)(target, *given)

    return sent
