"""The dead letters: what each is about, and the redrive of one, some or all: what it will do, and what it does."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Event, Thread
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from darkroom import documentation
from darkroom.console.pages import ENOUGH, NotFound, Pages, link
from darkroom.console.results import original_of
from darkroom.errors import explained
from darkroom.pipeline import executions, letters, results
from darkroom.pipeline.letters import Done, Letter, Unreadable
from darkroom.pipeline.target import Target
from darkroom.text import unpacked

SHOWN = 100  # letters at once: ten requests to SQS
A_SECOND = 10  # executions started, as `darkroom redrive` has it
FOLLOWED = 30  # of the newly started executions, how they are
KEPT = 20  # redrives that have ended
EXPLAINED = {
    "FAILED": "A step failed after all its retries.",
    "TIMED_OUT": "The execution took longer than it may.",
    "ABORTED": "Somebody stopped the execution.",
    "STALLED": "The row stayed PROCESSING, but its execution has ended.",
    "UNDELIVERED": "EventBridge could not start an execution for this picture.",
    "UNTOLD": "Nobody was told how this picture ended.",
    "WEBHOOK": "The webhook did not take the event that says how this picture ended.",
}


@dataclass
class Redrive:
    """One that was asked for. It goes on when the page is closed. Letters that it has not reached stay in the queue."""

    number: int
    asked: int
    done: list[Done] = field(default_factory=list)
    ended: bool = False
    problem: str | None = None
    stop: Event = field(default_factory=Event)
    thread: Thread | None = None


class Redrives:
    def __init__(self) -> None:
        self._numbers = count(1)
        self._all: dict[int, Redrive] = {}

    def __getitem__(self, number: int) -> Redrive:
        try:
            return self._all[number]
        except KeyError:
            raise NotFound("that redrive is not known: it is long over, or the page was started again since") from None

    def begin(self, target: Target, ids: set[str] | None, asked: int) -> Redrive:
        redrive = Redrive(next(self._numbers), asked)
        for number in [one.number for one in list(self._all.values()) if one.ended][:-KEPT]:
            self._all.pop(number, None)
        self._all[redrive.number] = redrive
        work = letters.redrive_letters(target, ids, rate=A_SECOND, stopped=redrive.stop.is_set)
        redrive.thread = Thread(target=_work, args=(redrive, work), name=f"redrive {redrive.number}")
        redrive.thread.start()
        return redrive

    def stop(self) -> None:
        """Lets each finish the letter it is at; the others go back into the queue."""
        for redrive in self._all.values():
            redrive.stop.set()
        for redrive in self._all.values():
            if redrive.thread:
                redrive.thread.join()


def _work(redrive: Redrive, work: Generator[Done, None, None]) -> None:
    try:
        with closing(work):
            for done in work:
                redrive.done.append(done)
    except Exception as error:
        redrive.problem = explained(error) or repr(error)
    finally:
        redrive.ended = True


def routes(pages: Pages, redrives: Redrives) -> list[Route]:
    return [
        Route("/letters", pages.view(listed)),
        Route("/letters/redrive", pages.view(said_before)),
        Route("/letters/redrive", pages.form(partial(redrive, redrives)), methods=["POST"]),
        Route("/letters/redrives/{number:int}", pages.view(partial(happening, redrives))),
        Route("/letters/redrives/{number:int}/stop", pages.form(partial(stop, redrives)), methods=["POST"]),
    ]


def listed(pages: Pages, request: Request, target: Target) -> Response:
    waiting = letters.look(target, SHOWN, hide=not pages.connection.read_only)
    return pages.page(
        request,
        "letters.html",
        target=target,
        letters=waiting,
        entry=documentation.LETTERS,
        groups=by_error([shown(letter) for letter in waiting.letters]),
        # where some letters were not seen, theirs would seem to have none
        without_letter=_failed_without(target, waiting.letters)
        if len(waiting.letters) >= waiting.total and not waiting.hidden
        else 0,
    )


def by_error(letters: list[dict[str, Any]]) -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """Each error once, with its letters: what is fixed for one of them is fixed for all."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in letters:
        letter = one["letter"]
        if one["readable"]:
            error = letter.error.get("code", ""), unpacked(letter.error.get("message", ""))
        else:
            error = "Unreadable", letter.problem
        groups.setdefault(error, []).append(one)
    return list(groups.items())


def shown(letter: Letter | Unreadable) -> dict[str, Any]:
    if isinstance(letter, Unreadable):
        return {"letter": letter, "readable": False}
    if letter.untold:
        why = EXPLAINED.get(letter.reason, "")
        return {"letter": letter, "readable": True, "deletion": False, "why": why, "source": None}
    about = letter.event["detail"]["object"]
    deletion = letter.event.get("detail-type") == "Object Deleted"
    return {
        "letter": letter,
        "readable": True,
        "deletion": deletion,
        "why": EXPLAINED.get(letter.reason, ""),
        "source": None if deletion else original_of({"key": letter.key, "version_id": about.get("version-id")}),
        "size": about.get("size"),
    }


def _failed_without(target: Target, found: list[Letter | Unreadable]) -> int:
    """How many rows are FAILED beyond the letters that are seen; it is a hint, and counts no further than a hundred."""
    keys = {letter.key for letter in found if isinstance(letter, Letter)}
    failed = [row["key"] for _, row in zip(range(SHOWN), results.rows(target, "FAILED", at_once=SHOWN), strict=False)]
    return sum(key not in keys for key in failed)


def said_before(pages: Pages, request: Request, target: Target) -> Response:
    """What a redrive will do. Nothing is done yet: this is also what a read-only page shows."""
    asked = set(request.query_params.getlist("letter"))
    everything = request.query_params.get("all") == "yes"
    waiting = letters.look(target, SHOWN, hide=not pages.connection.read_only)
    chosen = [one for one in waiting.letters if everything or one.id in asked]
    if not asked and not everything:
        return RedirectResponse("/letters", 303)
    return pages.page(
        request,
        "redrive_before.html",
        target=target,
        everything=everything,
        total=waiting.total if everything else len(chosen),
        chosen=[
            shown(letter) | {"row": results.find(target, letter.key) if isinstance(letter, Letter) else None}
            for letter in chosen[:FOLLOWED]
        ],
        gone=0 if everything else len(asked) - len(chosen),
        ids=[one.id for one in chosen],
        rate=A_SECOND,
    )


def redrive(redrives: Redrives, _: Request, target: Target, form: FormData) -> Response:
    everything = form.get("all") == "yes"
    ids = {str(one) for one in form.getlist("letter")}
    if not everything and not ids:
        return RedirectResponse("/letters", 303)
    asked = letters.count(target)[0] if everything else len(ids)
    begun = redrives.begin(target, None if everything else ids, asked)
    return RedirectResponse(f"/letters/redrives/{begun.number}", 303)


def happening(redrives: Redrives, pages: Pages, request: Request, target: Target) -> Response:
    one = redrives[request.path_params["number"]]
    ended = one.ended  # asked before what was done: once it is, nothing more is
    done = list(one.done)
    problems = [each for each in done if "problem" in each]
    newest = [each for each in done if "problem" not in each][-FOLLOWED:]
    shown = [*problems[:SHOWN], *reversed(newest)]
    started = [each["execution"] for each in newest if each["execution"]]
    outcomes = executions.those(target, started, pages.connection.told)
    running = [(each, _outcome(outcomes, each)) for each in shown]
    moving = not ended or any(outcome and outcome["status"] == "RUNNING" for _, outcome in running)
    context = {
        "redrive": one,
        "ended": ended,
        "started": sum(each["redriven"] for each in done),
        "problems": len(problems),
        "running": running,
        "moving": moving,
        "again": link(f"/letters/redrives/{one.number}"),
        "every": target.poll_seconds,
    }
    if "hx-request" in request.headers:
        return pages.part("redrive_part.html", status=ENOUGH if not moving else 200, **context)
    return pages.page(request, "redrive.html", target=target, **context)


def _outcome(outcomes: dict[str, executions.Summary], done: Done) -> dict[str, Any] | None:
    """How the execution is that was started; at first Step Functions may not know it yet."""
    if not done.get("execution"):
        return None
    return outcomes.get(done["execution"], {"status": "RUNNING", "verdict": None, "seconds": None})


def stop(redrives: Redrives, request: Request, _: Target, __: FormData) -> Response:
    one = redrives[request.path_params["number"]]
    one.stop.set()
    return RedirectResponse(f"/letters/redrives/{one.number}", 303)
