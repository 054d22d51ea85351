"""The backfills: how far the one that runs is, what failed of it, and how the last ones ended; and the end of one."""

from contextlib import suppress
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from darkroom.console.connection import Connection
from darkroom.console.pages import ENOUGH, Pages
from darkroom.pipeline import backfill as backfills
from darkroom.pipeline.backfill import NoneRunsError
from darkroom.pipeline.results import Count
from darkroom.pipeline.target import Target

LAST = 10  # that are listed
FAILED_SHOWN = 20  # of the pictures that failed


def routes(pages: Pages) -> list[Route]:
    return [
        Route("/backfills", pages.view(listed)),
        Route("/backfills/stop", pages.view(said_before)),
        Route("/backfills/stop", pages.form(stop), methods=["POST"]),
    ]


def listed(pages: Pages, request: Request, target: Target) -> Response:
    last = newest(pages.connection, target)
    running = [one for one in last if one["status"] == "RUNNING"]
    looked_into = running or last[:1]
    context: dict[str, Any] = {
        "looked_into": [in_detail(target, one) for one in looked_into],
        "earlier": [one for one in last if one not in looked_into],
        "running": bool(running),
        "every": target.poll_seconds,
        "read_only": pages.connection.read_only,
    }
    if "hx-request" in request.headers:
        return pages.part("backfills_part.html", status=200 if running else ENOUGH, **context)
    return pages.page(request, "backfills.html", target=target, **context)


def newest(connection: Connection, target: Target) -> list[dict[str, Any]]:
    """How far each of the last ones is, the newest first."""
    return [how_far(connection, target, one) for one in backfills.listing(target, LAST)]


def how_far(connection: Connection, target: Target, execution: str) -> dict[str, Any]:
    """What has ended is asked for once."""
    if known := connection.backfills.get(execution):
        return known
    far = backfills.how_far(target, execution) | {"by_a_person": backfills.is_by_a_person(execution)}
    if far["status"] != "RUNNING":
        connection.backfills[execution] = far
    return far


def in_detail(target: Target, far: dict[str, Any]) -> dict[str, Any]:
    """With what became of its pictures."""
    outcomes = backfills.outcomes(target, far)
    return far | {
        "outcomes": outcomes,
        "needed_work": Count(
            sum(one.number for one in outcomes.values()), all(one.complete for one in outcomes.values())
        ),
        "failures": backfills.failures(target, far, FAILED_SHOWN) if outcomes["FAILED"].number else [],
    }


def said_before(pages: Pages, request: Request, target: Target) -> Response:
    """What will be stopped, and what that means. Nothing is done yet."""
    running = [one for one in newest(pages.connection, target) if one["status"] == "RUNNING"]
    if not running:
        return RedirectResponse("/backfills", 303)
    return pages.page(request, "backfills_stop.html", target=target, running=running)


def stop(_: Request, target: Target, __: FormData) -> Response:
    """All that run. Where none does any more, there is nothing to say: the list has its end."""
    with suppress(NoneRunsError):
        backfills.stop(target)
    return RedirectResponse("/backfills", 303)
