"""The list of executions, and the page of one: its drawn workflow, its states and its logs."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from darkroom.console.connection import Connection, Counted
from darkroom.console.diagram import Arrow, Machine, Mark, draw, nested
from darkroom.console.pages import ENOUGH, NotFound, Pages, link
from darkroom.pipeline import executions, results
from darkroom.pipeline.executions import State
from darkroom.pipeline.histories import Logged, NoExecutionError
from darkroom.pipeline.results import Count
from darkroom.pipeline.target import Target
from darkroom.text import as_json, seconds, unpacked

ON_A_PAGE = 50
STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
COUNTED_EVERY = 4  # looks at a list
LOG_LINES = 500
LOG_PAGES = 10  # of each function's log: AWS looks through it in parts, and a page may be empty
LOGGED_LATE = timedelta(minutes=5)  # after the end, by a function that nobody waited for any more
ERRORS = ("ERROR", "CRITICAL")  # levels of a log line
TIMES = "\N{MULTIPLICATION SIGN}"


def routes(pages: Pages) -> list[Route]:
    return [
        Route("/executions", pages.view(listed)),
        Route("/execution", pages.view(one)),
        Route("/execution/logs", pages.view(logs)),
    ]


def listed(pages: Pages, request: Request, target: Target) -> Response:
    asked = request.query_params
    status, key, token = asked.get("status", ""), asked.get("key", "").strip(), asked.get("older", "")
    if status not in ("", *STATUSES):
        raise NotFound("there is no such status")
    found = executions.find(
        target,
        key=key,
        status=status or None,
        token=token or None,
        limit=ON_A_PAGE,
        told=pages.connection.told,
    )
    context: dict[str, Any] = {
        "found": found,
        "statuses": STATUSES,
        "asked": {"status": status, "key": key, "older": token},
        "counts": None if key else counts(pages.connection, target),
        "note": executions.note(target),
        "live": not token,
        "every": target.poll_seconds,
        "latest": results.find(target, key) if key and not token else None,
    }
    if "hx-request" in request.headers:
        return pages.part("executions_table.html", **context)
    return pages.page(request, "executions.html", target=target, **context)


def counts(connection: Connection, target: Target) -> dict[str, Count]:
    """How many of the newest thousand executions have each status, and "all": one request for every few looks."""
    known = connection.counted
    if known is None or known.of is not target or monotonic() - known.at > COUNTED_EVERY * target.poll_seconds:
        found, older = executions.listing(target)
        by_status = Counter(one["status"] for one in found)
        numbers = {"all": len(found), **{status: by_status[status] for status in STATUSES}}
        known = Counted(target, monotonic(), {name: Count(number, older is None) for name, number in numbers.items()})
        connection.counted = known
    return known.counts


def one(pages: Pages, request: Request, target: Target) -> Response:
    arn, before = request.query_params.get("arn", ""), request.query_params.get("before")
    execution, history = found(target, arn, before), target.history(arn)
    machine = pages.connection.definitions.of(target, execution)
    states = executions.visits(target, arn, before)
    chosen = request.query_params.get("state") or _of_interest(states)
    marks = marked(machine, states, execution)
    here = partial(link, "/execution", arn=arn, before=before)
    linked = {
        name: Mark(mark.look, mark.words, mark.note, here(state=name) + "#state", name == chosen)
        for name, mark in marks.items()
    }
    row = results.find(target, execution["key"]) if execution["key"] else None
    redrives = executions.redriven(execution["input"])
    context: dict[str, Any] = {
        "execution": execution,
        "redrives": redrives,
        "undelete": executions.is_undelete(arn, redrives),
        "row": row,
        "owns_row": bool(row and row.get("execution") == arn),
        "renditions": results.by_width(results.of_newest(row)) if row and row.get("execution") == arn else [],
        "drawings": [draw(machine, linked, taken(states), narrow=narrow) for narrow in (False, True)],
        "chosen": _chosen(machine, states, marks, chosen),
        "timeline": timeline(execution, states),
        "aws": _log_console(target, history.group)
        if isinstance(history, Logged)
        else _console(target, "states", f"/v2/executions/details/{quote(arn, safe=':')}"),
        "arn": arn,
        "before": before,
        "note": history.note(),
        "every": target.poll_seconds,
        "asked_state": request.query_params.get("state"),
    }
    if "hx-request" in request.headers:
        status = 200 if execution["status"] == "RUNNING" else ENOUGH
        return pages.part("execution_part.html", status=status, **context)
    return pages.page(request, "execution.html", target=target, **context)


def found(target: Target, arn: str, before: str | None) -> dict[str, Any]:
    try:
        return executions.one(target, arn or "none", before)
    except NoExecutionError as error:
        raise NotFound(f"no such execution in {target.name}: {error.why}") from None


def marked(machine: Machine, states: Sequence[State], execution: dict[str, Any]) -> dict[str, Mark]:
    """What became of each state that was visited, from the events."""
    visits: dict[str, list[State]] = {}
    for state in states:
        visits.setdefault(state.name, []).append(state)
    return {
        name: _visited(visits[name], definition, states, execution)
        for name, definition in nested(machine)
        if name in visits
    }


def _visited(visits: Sequence[State], definition: Machine, states: Sequence[State], execution: dict[str, Any]) -> Mark:
    attempts = sum(visit.retries for visit in visits)
    note = f"{TIMES}{len(visits)}" if len(visits) > 1 else f"↻{attempts}" if attempts else ""
    took = seconds(sum(visit.duration or 0 for visit in visits))
    if definition["Type"] == "Fail":
        return Mark("failed", "the execution failed here", note)
    if execution["status"] == "RUNNING" and not all(visit.is_over for visit in visits):
        return Mark("running", "running", note)
    if any(visit.failures and visit.exited is None for visit in visits):
        return Mark("failed", "failed, after all its attempts", note)
    if any(visit.exited is None for visit in visits):
        return Mark("failed", f"not left: {_why_not(visits, execution)}", note)
    if any(_was_caught(visit, definition, states) for visit in visits):
        return Mark("caught", f"failed, and its error was caught, after {took}", note)
    times = f", visited {len(visits)} times" if len(visits) > 1 else ""
    tried = f", with {attempts} {'retry' if attempts == 1 else 'retries'}" if attempts else ""
    return Mark("succeeded", f"succeeded in {took}{times}{tried}", note)


def _why_not(visits: Sequence[State], execution: dict[str, Any]) -> str:
    if any(visit.inside and visit.inside.is_over for visit in visits):
        return "another iteration had failed"
    return f"the execution is {execution['status']}"


def _was_caught(visit: State, definition: Machine, states: Sequence[State]) -> bool:
    """Whether the state that came next is one that only its Catch leads to."""
    caught = {catch["Next"] for catch in definition.get("Catch", [])}
    beside = [one for one in states if one.inside is visit.inside and one.iteration == visit.iteration]
    after = beside[beside.index(visit) + 1 :]
    return bool(after and after[0].name in caught and after[0].name != definition.get("Next"))


def taken(states: Sequence[State]) -> set[Arrow]:
    """From each state to the one that came after it, at the same depth."""
    arrows = set()
    last: dict[tuple[int | None, int | None], str] = {}
    for state in states:
        at = (id(state.inside) if state.inside else None, state.iteration)
        if at in last:
            arrows.add((last[at], state.name))
        last[at] = state.name
    return arrows


def timeline(execution: dict[str, Any], states: Sequence[State]) -> list[dict[str, Any]]:
    """Each visit with its place between the start and the end, in parts of 1000."""
    began = execution["started"]
    end = execution["stopped"] or datetime.now(UTC)
    whole = max((end - began).total_seconds(), 0.001)

    def place(state: State) -> dict[str, Any]:
        left = max(0, (state.entered - began).total_seconds() / whole * 1000)
        right = max(
            left,
            ((state.exited or (state.inside and state.inside.exited) or end) - began).total_seconds() / whole * 1000,
        )
        return {
            "state": state,
            "left": round(min(left, 996), 1),
            "width": round(max(4, min(right, 1000) - left), 1),
            "look": _look(state, execution),
            "after": seconds((state.entered - began).total_seconds()),
        }

    return [place(state) for state in states]


def _look(state: State, execution: dict[str, Any]) -> str:
    if state.exited is not None:
        return "caught" if state.failures else "succeeded"
    return "running" if execution["status"] == "RUNNING" and not state.is_over else "failed"


def _of_interest(states: Sequence[State]) -> str | None:
    """The first state with an error, else the last that was entered."""
    failed = next((state.name for state in states if state.failures), None)
    return failed or (states[-1].name if states else None)


def _chosen(
    machine: Machine, states: Sequence[State], marks: dict[str, Mark], name: str | None
) -> dict[str, Any] | None:
    definition = dict(nested(machine)).get(name or "")
    if name is None or definition is None:
        return None
    return {
        "name": name,
        "kind": definition["Type"],
        "comment": definition.get("Comment", ""),
        "mark": marks.get(name),
        "errors": Counter(
            (one["error"], unpacked(one["cause"])) for state in states if state.name == name for one in state.failures
        ).items(),
        "visits": [
            {
                "state": state,
                "input": as_json(state.input, indent=2),
                "output": None if state.exited is None else as_json(state.output, indent=2),
            }
            for state in sorted(states, key=lambda one: not one.failures)  # what failed comes first
            if state.name == name
        ],
        "retry": definition.get("Retry", []),
    }


def logs(pages: Pages, request: Request, target: Target) -> Response:
    """What the functions wrote about this execution: every line of theirs names it."""
    arn, before = request.query_params.get("arn", ""), request.query_params.get("before")
    execution = found(target, arn, before)
    groups = log_groups(target)
    read = [_lines(target, name, group, execution) for name, group in groups.items()]
    lines = [line for some, _ in read for line in some]
    return pages.page(
        request,
        "logs.html",
        target=target,
        execution=execution,
        arn=arn,
        before=before,
        lines=folded(sorted(lines, key=lambda line: line["at"])[:LOG_LINES]),
        complete=all(complete for _, complete in read) and len(lines) <= LOG_LINES,
        groups={name: _log_console(target, group) for name, group in groups.items()},
    )


def folded(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each error of a function once, where it first came, with how many times it did."""
    kept: list[dict[str, Any]] = []
    errors: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        same = (line["function"], line["said"])
        is_error = line["level"] in ERRORS
        if is_error and same in errors:
            errors[same] |= {"times": errors[same]["times"] + 1, "last": line["at"]}
            continue
        kept.append({**line, "error": is_error, "times": 1, "last": line["at"]})
        if is_error:
            errors[same] = kept[-1]
    return kept


def log_groups(target: Target) -> dict[str, str]:
    """The log groups of the functions, by the name that the stack has for each."""
    pages = target.stacks.get_paginator("list_stack_resources").paginate(StackName=target.stack)
    found = [one for page in pages for one in page["StackResourceSummaries"]]
    return {
        one["LogicalResourceId"].removeprefix("Steps").partition("Log")[0]: one["PhysicalResourceId"]
        for one in found
        if one["ResourceType"] == "AWS::Logs::LogGroup" and one["LogicalResourceId"].startswith("Steps")
    }


def _lines(target: Target, name: str, group: str, execution: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """What one function wrote, and whether its log was looked through to the end."""
    named = execution["execution"].rpartition(":")[2]
    asked = {
        "logGroupName": group,
        "filterPattern": f'"{named}"',
        "startTime": _milliseconds(execution["started"]) - 1000,
    }
    if execution["stopped"]:
        asked["endTime"] = _milliseconds(execution["stopped"] + LOGGED_LATE)
    found: list[dict[str, Any]] = []
    pages = target.logs.get_paginator("filter_log_events").paginate(**asked)
    for page in islice(pages, LOG_PAGES):
        found += [
            {"at": datetime.fromtimestamp(event["timestamp"] / 1000, UTC), "function": name, **_read(text)}
            for event in page["events"]
            for text in event["message"].splitlines()
            if named in text
        ]
        if len(found) > LOG_LINES or "nextToken" not in page:
            return found, "nextToken" not in page
    return found, False


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _read(text: str) -> dict[str, str]:
    try:
        parsed = json.loads(text)
        said = " ".join(str(parsed[name]) for name in ("message", "exception_name") if parsed.get(name))
        last = str(parsed.get("exception", "")).strip().rpartition("\n")[2]
        return {
            "level": str(parsed.get("level", "")),
            "said": unpacked(last or said),
            "whole": as_json(parsed, indent=2),
        }
    except (ValueError, AttributeError):
        return {"level": "", "said": text, "whole": ""}


def _log_console(target: Target, group: str) -> str | None:
    # its own way of writing a name in an address: quoted twice, with $ for %
    name = quote(quote(group, safe=""), safe="").replace("%", "$")
    return _console(target, "cloudwatch", f"logsV2:log-groups/log-group/{name}")


def _console(target: Target, service: str, page: str) -> str | None:
    """That page of AWS's console, where the target is on AWS."""
    if ".amazonaws.com" not in target.states.meta.endpoint_url:
        return None
    region = target.session.region_name
    return f"https://{region}.console.aws.amazon.com/{service}/home?region={region}#{page}"
