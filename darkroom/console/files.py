"""The pictures themselves, read with the caller's own credentials: no bucket is made public, and no address signed."""

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from darkroom.console.pages import NotFound, Pages
from darkroom.pipeline.target import Target

CHUNK = 256 * 1024  # bytes
AVIF = (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")

# A file runs no program, even if it is opened by itself.
ALONE = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


def routes(pages: Pages) -> list[Route]:
    return [Route("/original", pages.view(original)), Route("/rendition", pages.view(rendition))]


def original(_: Pages, request: Request, target: Target) -> Response:
    """An upload as it was sent: the version that is asked for, or the newest."""
    version = request.query_params.get("version", "")
    which = {"VersionId": version} if version not in ("", "null") else {}
    cache = {"cache-control": "private, max-age=3600, immutable"} if which else {}
    return _file(target, "UploadsBucketName", request.query_params.get("key", ""), which, cache)


def rendition(_: Pages, request: Request, target: Target) -> Response:
    cache = {"cache-control": "private, max-age=31536000, immutable"}  # its key changes when the picture does
    return _file(target, "RenditionsBucketName", request.query_params.get("key", ""), {}, cache)


def _file(target: Target, bucket: str, key: str, which: dict[str, str], headers: dict[str, str]) -> Response:
    if not key:
        raise NotFound("this address names no picture")
    try:
        found = target.s3.get_object(Bucket=target.output(bucket), Key=key, **which)  # type: ignore[arg-type]
    except target.s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in (
            "NoSuchKey",
            "NoSuchVersion",
            "404",
            "MethodNotAllowed",
            "InvalidArgument",
        ):
            raise NotFound(f"there is no such file in {target.output(bucket)}") from None
        raise
    body = found["Body"]
    head = body.read(32)
    kind = content_type(head)
    if kind is None:  # browsers cannot show it, and it may be a page or a drawing with a program in it
        kind, headers = "application/octet-stream", {**headers, "content-disposition": "attachment"}
    headers = {**headers, **ALONE, "content-length": str(found["ContentLength"])}
    return StreamingResponse(_chunks(head, body), media_type=kind, headers=headers)


def content_type(head: bytes) -> str | None:
    """By the first bytes and never by what the object calls itself: who uploads may call a page a picture."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:12] in AVIF:
        return "image/avif"
    return "image/bmp" if head.startswith(b"BM") else None


def _chunks(head: bytes, body: Any) -> Iterator[bytes]:
    try:
        yield head
        yield from body.iter_chunks(CHUNK)
    finally:
        body.close()
