"""FilterLogEvents finds by a pattern for JSON, and what does not fit into one answer is in the next.

MiniStack takes such a pattern for one that every event fits, and leaves out all but the oldest 10,000.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/matching-terms-json-log-events.html
"""

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import json_response
from ministack.services import cloudwatch_logs

MOST = 10_000  # events in one answer
EQUAL = re.compile(r'\s*\$\.(\w+)\s*=\s*"([^"]*)"\s*')  # of all that AWS knows, what is asked here

Fits = Callable[[str], bool]


def add() -> None:
    this: Any = cloudwatch_logs
    this._compile_filter_pattern = _with_json(this._compile_filter_pattern)
    this._filter_log_events = _in_parts(this._filter_log_events)


def _with_json(compiled: Callable[[str], Fits]) -> Callable[[str], Fits]:
    def inner(pattern: str) -> Fits:
        inside = re.fullmatch(r"\s*\{(.*)\}\s*", pattern or "", re.DOTALL)
        terms = [EQUAL.fullmatch(term) for term in inside[1].split("&&")] if inside else []
        if not terms or not all(terms):
            return compiled(pattern)
        return _all_of([(term[1], term[2]) for term in terms if term])

    return inner


def _all_of(wanted: list[tuple[str, str]]) -> Fits:
    begins = [f'"{value.partition("*")[0]}' for _, value in wanted]  # so that few lines are parsed
    fitting = [(name, re.compile(".*".join(map(re.escape, value.split("*"))), re.DOTALL)) for name, value in wanted]

    def fits(message: str) -> bool:
        if not all(begin in message for begin in begins):
            return False
        try:
            told = json.loads(message)
        except ValueError:
            return False
        return isinstance(told, dict) and all(one.fullmatch(str(told.get(name))) for name, one in fitting)

    return fits


def _in_parts(found: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A token is the time of the last event that was given, and how many of that time were."""

    def inner(data: Any) -> Any:
        given, at = 0, data.get("startTime")
        if token := data.get("nextToken"):
            at, given = map(int, token.split(":"))
        limit = min(data.get("limit") or MOST, MOST - given)
        status, headers, body = found({**data, "startTime": at, "limit": given + limit})
        if status != 200:
            return status, headers, body
        events = json.loads(body)["events"]
        answer: dict[str, Any] = {"events": events[given:], "searchedLogStreams": []}
        if len(events) == given + limit:
            last = events[-1]["timestamp"]
            answer["nextToken"] = f"{last}:{sum(one['timestamp'] == last for one in events)}"
        return json_response(answer)

    return inner
