"""Pictures in, and each followed live from its claim to its row."""

import time
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from darkroom import executions, results, uploads
from darkroom.console.pages import Pages, link
from darkroom.console.results import tile
from darkroom.errors import DarkroomError
from darkroom.target import Target
from darkroom.terminal import size
from darkroom.uploads import Upload

LONGEST_REQUEST = 1024 * 1024 * 1024  # bytes: of a form with several files; what is beyond memory waits on the disk
FORM_BYTES = 64 * 1024  # of a request that are not the file
PATIENCE = 600  # seconds to follow one picture


def routes(pages: Pages) -> list[Route]:
    return [
        Route("/upload", pages.view(lambda request, target: choose(pages, request, target))),
        Route("/upload", bounded(pages), methods=["POST"]),
        Route("/upload/way", pages.view(lambda request, target: way(pages, request, target))),
    ]


def choose(pages: Pages, request: Request, target: Target) -> Response:
    followed = [_asked(QueryParams(one)) for one in request.query_params.getlist("way")]
    return pages.page(
        request,
        "upload.html",
        target=target,
        limit=target.upload_limit,
        at_once=min(target.at_once, uploads.AT_ONCE),  # each is asked after by itself
        ways=[_way(target, upload, begun=begun) for upload, begun in followed],
        refused=request.query_params.getlist("refused"),
    )


def bounded(pages: Pages) -> Any:
    """Refuses what is too long before it is read."""
    receive = pages.form(lambda request, target, form: take(pages, request, target, form))

    async def endpoint(request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("Refused: a request without a length.", 411)
        if int(length) > LONGEST_REQUEST + FORM_BYTES:
            return PlainTextResponse(f"Refused: {size(int(length))} at once, {size(LONGEST_REQUEST)} at most.", 413)
        response: Response = await receive(request)
        return response

    return endpoint


def take(pages: Pages, request: Request, target: Target, form: FormData) -> Response:
    """Each file into the uploads bucket. A script is answered with the way of its one; a form with the page."""
    folder = str(form.get("folder", "")).strip().strip("/")
    sent: list[Upload] = []
    refused = []
    for file in form.getlist("pictures"):
        if not isinstance(file, UploadFile) or not file.filename:
            continue
        try:
            sent.append(_put(target, folder, file))
        except DarkroomError as error:
            refused.append(str(error))
    if "hx-request" in request.headers:
        if refused:
            return pages.part("trouble_part.html", status=422, line=" ".join(refused))
        return pages.part("way.html", **_way(target, sent[0], begun=time.time()))
    if not sent and not refused:
        refused.append("Nothing was chosen.")
    ways = [_address(upload, time.time()).partition("?")[2] for upload in sent]
    return RedirectResponse(link("/upload", way=ways, refused=refused), 303)


def _put(target: Target, folder: str, file: UploadFile) -> Upload:
    if (file.size or 0) > target.upload_limit:
        limit = size(target.upload_limit)
        raise DarkroomError(f"{file.filename} has {size(file.size)}, and this stack takes {limit} at most.")
    name = Path(file.filename or "").name if "/" not in (file.filename or "") else file.filename
    key = uploads.key_of(f"{folder}/{name}" if folder else str(name), target.upload_prefix)
    return uploads.put(target, key, file.file)


def way(pages: Pages, request: Request, target: Target) -> Response:
    """Where a picture is by now; asked again by the page until it has ended."""
    upload, begun = _asked(request.query_params)
    return pages.part("way.html", **_way(target, upload, begun=begun))


def _asked(asked: QueryParams) -> tuple[Upload, float]:
    """What `_address` wrote down: the page remembers nothing itself."""
    key, superseded = asked.get("key", ""), asked.get("superseded") or None
    return Upload(Path(key), key, asked.get("version", ""), asked.get("etag", ""), 0, superseded), _seconds(
        asked.get("begun")
    )


def _seconds(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return time.time()


def _way(target: Target, upload: Upload, *, begun: float) -> dict[str, Any]:
    row = uploads.row_of(target, upload)
    ended = bool(row and row["status"] in results.ENDED)
    late = time.time() - begun > PATIENCE
    return {
        "upload": upload,
        "row": row,
        "tile": tile(row) if row else None,
        "steps": [state for state in executions.visits(target, row["execution"]) if not state.inside]
        if row and "execution" in row
        else [],
        "moving": not ended and not late,
        "late": late and not ended,
        "again": _address(upload, begun),
        "every": target.poll_seconds,
    }


def _address(upload: Upload, begun: float) -> str:
    return link(
        "/upload/way",
        key=upload.key,
        version=upload.version_id,
        etag=upload.etag,
        superseded=upload.superseded,
        begun=f"{begun:.1f}",
    )
