"""Uploads, each followed live from its claim to its row."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from darkroom.console.pages import Pages, link
from darkroom.console.results import tile
from darkroom.errors import DarkroomError, TargetError
from darkroom.pipeline import executions, files, results, uploads
from darkroom.pipeline.target import Target
from darkroom.pipeline.uploads import Upload
from darkroom.text import size

FORM_BYTES = 64 * 1024  # of a request, beside the file
PATIENCE = 600  # seconds to follow one picture

# Limits of a form that the browser sends without our script; the script sends each file in its own form. A form is on
# the disk until S3 has it, and there are as many forms at once as uploads.
FILES = 20
LONGEST_REQUEST = 256 * 1024 * 1024  # bytes, or as many as one file may have

# Why a file was refused. The address has only these names, because anybody may have written it.
REFUSED = {
    "nothing": "Nothing was chosen.",
    "too_large": "A file was not taken: it has more than {limit}, which is the limit of this stack.",
    "unnamed": "A file was not taken: its name cannot be a key in S3.",
}


def routes(pages: Pages) -> list[Route]:
    return [
        Route("/upload", pages.view(choose)),
        Route("/upload", received(pages), methods=["POST"]),
        Route("/upload/way", pages.view(way)),
    ]


def choose(pages: Pages, request: Request, target: Target) -> Response:
    followed = [_asked(QueryParams(one)) for one in request.query_params.getlist("way")[:FILES]]
    codes = dict.fromkeys(request.query_params.getlist("refused"))
    return pages.page(
        request,
        "upload.html",
        target=target,
        limit=target.upload_limit,
        at_once=min(target.at_once, uploads.AT_ONCE),  # each is asked after by itself
        ways=[_way(target, upload, begun=begun) for upload, begun in followed],
        refused=[REFUSED[code].format(limit=size(target.upload_limit)) for code in codes if code in REFUSED],
    )


def received(pages: Pages) -> Any:
    """Refuses what is too long before it is read, and keeps no more of a file than may be one."""
    turns = asyncio.Semaphore(uploads.AT_ONCE)

    async def endpoint(request: Request) -> Response:
        limit = await run_in_threadpool(pages.tried, request, lambda target: target.upload_limit)
        if isinstance(limit, Response):
            return limit
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("Refused: a request without a length.", 411)
        most = FORM_BYTES + (limit if "hx-request" in request.headers else max(limit, LONGEST_REQUEST))
        if int(length) > most:
            return PlainTextResponse(f"Refused: {size(int(length))} at once, {size(most)} at most.", 413)
        try:
            async with turns, _form(request, limit) as form:
                answer = partial(take, pages, request, form=form)
                return await run_in_threadpool(pages.tried, request, answer)
        except MultiPartException as wrong:
            return PlainTextResponse(f"Refused: {wrong.message}", 400)

    return endpoint


@asynccontextmanager
async def _form(request: Request, limit: int) -> AsyncIterator[FormData]:
    """Raises MultiPartException for what is no form of files, or has too many."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise MultiPartException("no form with files.")
    form = await _Parser(request, limit).parse()
    try:
        yield form
    finally:
        await form.close()


class _Parser(MultiPartParser):
    """Of a file that is too large it keeps one byte more than is allowed, which tells that it is."""

    def __init__(self, request: Request, limit: int) -> None:
        super().__init__(request.headers, request.stream(), max_files=FILES, max_fields=FILES, max_part_size=FORM_BYTES)
        self._limit = self._room = limit + 1

    def on_part_begin(self) -> None:
        self._room = self._limit
        super().on_part_begin()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        kept = min(end, start + self._room)
        self._room -= kept - start
        super().on_part_data(data, start, kept)


class Refused(DarkroomError):
    """One file of a form. `code` is in REFUSED."""

    def __init__(self, code: str, line: str) -> None:
        super().__init__(line)
        self.code = code


def take(pages: Pages, request: Request, target: Target, form: FormData) -> Response:
    """Each file into the uploads bucket. A script is answered with the way of its one; a form with the page."""
    folder = str(form.get("folder", "")).strip().strip("/")
    sent: list[Upload] = []
    refused: list[Refused] = []
    for file in form.getlist("pictures"):
        if not isinstance(file, UploadFile) or not file.filename:
            continue
        try:
            sent.append(_put(target, folder, file))
        except Refused as error:
            refused.append(error)
    if not sent and not refused:
        refused.append(Refused("nothing", REFUSED["nothing"]))
    if "hx-request" in request.headers:
        if refused:
            return pages.part("trouble_part.html", status=422, line=" ".join(map(str, refused)))
        return pages.part("way.html", **_way(target, sent[0], begun=time.time()))
    ways = [_address(upload, time.time()).partition("?")[2] for upload in sent]
    return RedirectResponse(link("/upload", way=ways, refused=[one.code for one in refused]), 303)


def _put(target: Target, folder: str, file: UploadFile) -> Upload:
    """Raises Refused."""
    if (file.size or 0) > target.upload_limit:
        limit = size(target.upload_limit)
        raise Refused("too_large", f"more than {limit}, which is the limit of this stack: {file.filename}")
    name = Path(file.filename or "").name if "/" not in (file.filename or "") else file.filename
    try:
        key = files.key_of(f"{folder}/{name}" if folder else str(name), target.upload_prefix)
    except TargetError as error:
        raise Refused("unnamed", str(error)) from None
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
    row = results.of_newest(row) if row else None
    ended = bool(row and row["status"] in results.ENDED)
    late = time.time() - begun > PATIENCE
    return {
        "upload": upload,
        "row": row,
        "tile": tile(row) if row else None,
        "steps": [state for state in executions.visits(target, row["execution"], row["updated_at"]) if not state.inside]
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
