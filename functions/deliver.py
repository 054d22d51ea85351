"""Answer a view: a picture in the size of a signed URL, `/i/…`, or where its newest rendition is, `/p/<name>/<key>`.

CloudFront calls it where its cache has no answer, and nobody else can. CloudFront has reduced `Accept` to one of three
(stacks/viewer_request.js). What is asked for the first time is rendered and stored; the same bytes under the same key,
so that of many who ask for it at once each may do so.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypedDict
from urllib.parse import quote, unquote

from functions.imaging import Rejected, RenditionSetting, Target, focal_point, plan, render
from functions.imaging.plan import CONTENT_TYPES, EXTENSIONS, PlannedRendition
from functions.keys import derived_folder, version_of
from functions.links import LONGEST_SIDE, Link, LinkError, Options, check
from functions.results import File, Results, Shown, results
from functions.secrets import Secrets, secrets
from functions.storage import Source, Storage, storage
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics, view

# Bytes. A function's answer has at most 6 MB, as text of which base64 makes 4 characters of 3 bytes:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LARGEST_ANSWER = 4_500_000

# Seconds for which caches may keep an answer. After a new version, or a deletion, they show the old one as long.
SIZE_KEPT = 3600
REDIRECT_KEPT = 60

# Seconds. A signature that no known secret made may be one of a newer secret.
RECENT = 10

# AVIF takes a second for a megapixel or two, and a viewer waits: beyond this `auto` is WebP.
LARGEST_AUTO_AVIF = 2_500_000  # pixels

# By what the browser takes, the best first. The last are better than nothing.
PREFERRED = {
    "image/avif": ("avif", "webp", "jpeg", "png"),
    "image/webp": ("webp", "jpeg", "png", "avif"),
    "image/jpeg": ("jpeg", "png", "webp", "avif"),
}


class Answer(TypedDict, total=False):
    """As a function URL takes it."""

    statusCode: int
    headers: dict[str, str]
    body: str
    isBase64Encoded: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stack put into the environment."""

    uploads_bucket: str
    renditions_bucket: str
    renditions: Mapping[str, RenditionSetting]
    quality: Mapping[str, int]
    background: str
    keep_copyright: bool

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        return cls(
            uploads_bucket=environment["UPLOADS_BUCKET"],
            renditions_bucket=environment["RENDITIONS_BUCKET"],
            renditions={one["name"]: RenditionSetting.of(one) for one in json.loads(environment["RENDITIONS"])},
            quality=json.loads(environment["QUALITY"]),
            background=environment["BACKGROUND"],
            keep_copyright=json.loads(environment["KEEP_COPYRIGHT"]),
        )


@cache
def settings() -> Settings:
    return Settings.read(os.environ)


@view
def handler(
    event: Mapping[str, Any],
    context: LambdaContext,
    pictures: Storage | None = None,
    table: Results | None = None,
    signers: Secrets | None = None,
) -> Answer:
    path, headers = event["rawPath"], event["headers"]
    accept = headers.get("accept", "")
    preferred = PREFERRED.get(accept, PREFERRED["image/jpeg"])
    table = table or results()
    try:
        if path.startswith("/p/"):
            return _newest(unquote(path.removeprefix("/p/")), preferred, table)
        now = datetime.now(UTC)
        link = _checked(path, signers or secrets("DELIVERY_SECRET_ARN"), now)
        size = _Size.of(link.options, link.key, _shown(table, link.key), preferred)
        if size.etag in headers.get("if-none-match", ""):
            return {"statusCode": 304, "headers": size.headers(now)}
        return _sized(size, now, pictures or storage(), table)
    except LinkError as refused:
        return _problem(refused.status, refused.code, refused.message)
    except Rejected as rejected:  # of the original, which was there when Validate looked
        return _problem(404, rejected.code, rejected.message)


@dataclass(frozen=True, slots=True)
class _Size:
    """What is to be answered, exactly; `key` is the upload's, `file` where it is stored."""

    key: str
    shown: Shown
    planned: PlannedRendition
    quality: int | None
    version: str
    options: Options

    @classmethod
    def of(cls, options: Options, key: str, shown: Shown, preferred: tuple[str, ...]) -> _Size:
        planned = _planned(options, shown, preferred)
        quality = options.quality or settings().quality.get(planned.format)
        version = version_of(next(iter(shown.renditions.values())).key)
        return cls(key, shown, planned, quality, version, options)

    @property
    def file(self) -> str:
        """Boxes that give the same picture give one file."""
        planned = self.planned
        how = f",fit_cover,crop_{planned.crop}" if planned.fit == "cover" else ""
        quality = f",q_{self.quality}" if self.quality else ""
        name = f"w_{planned.width},h_{planned.height}{how}{quality}.{EXTENSIONS[planned.format]}"
        return f"{derived_folder(self.key)}{self.version}/{name}"

    @property
    def etag(self) -> str:
        return f'"{"-".join(self.file.split("/")[-2:])}"'

    def headers(self, now: datetime) -> dict[str, str]:
        """The same for every answer. `Vary` is for the caches behind CloudFront."""
        expires = self.options.expires
        kept = SIZE_KEPT if expires is None else min(SIZE_KEPT, expires - int(now.timestamp()))
        vary = {"vary": "Accept"} if self.options.format == "auto" else {}
        return {"etag": self.etag, "cache-control": f"public, max-age={kept}", **vary}


def _checked(path: str, signers: Secrets, now: datetime) -> Link:
    """The link, if its signature is of a secret that is valid, also of one that was made a moment ago."""
    try:
        return check(signers.valid(), path, now)
    except LinkError as refused:
        if refused.code != "wrong_signature":
            raise
    return check(signers.valid(not_older_than=RECENT), path, now)


def _shown(table: Results, key: str) -> Shown:
    shown = table.shown(key)
    if shown is None:
        raise LinkError(404, "not_shown", f"{key} has no version that succeeded, or was deleted")
    return shown


def _planned(options: Options, shown: Shown, preferred: tuple[str, ...]) -> PlannedRendition:
    """As Validate plans: never larger than the picture."""
    box = options.width or LONGEST_SIDE, options.height or LONGEST_SIDE
    formats = preferred if options.format == "auto" else (options.format,)
    setting = RenditionSetting("size", *box, options.fit, formats, options.crop)
    first, *others = plan(shown.width, shown.height, [setting])
    slow = first.format == "avif" and others and first.width * first.height > LARGEST_AUTO_AVIF
    return others[0] if slow else first


def _sized(size: _Size, now: datetime, pictures: Storage, table: Results) -> Answer:
    bucket = settings().renditions_bucket
    stored = pictures.stored(bucket, size.file, at_most=LARGEST_ANSWER)
    data = stored.data if stored else _made(size, pictures, table)
    logger.info("answered", extra={"file": size.file, "made": stored is None})
    headers = size.headers(now)
    if data is None or len(data) > LARGEST_ANSWER:
        return {"statusCode": 302, "headers": {**headers, "location": f"/{quote(size.file)}"}}
    return {
        "statusCode": 200,
        "headers": {**headers, "content-type": CONTENT_TYPES[size.planned.format]},
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }


def _made(size: _Size, pictures: Storage, table: Results) -> bytes:
    """Rendered and stored. If another version is shown by now, or none, Cleanup may have been there before the file:
    then it is removed here."""
    bucket, shown, planned = settings().renditions_bucket, size.shown, size.planned
    source: Source = {
        "bucket": settings().uploads_bucket,
        "key": size.key,
        "version_id": shown.version_id,
        "etag": shown.etag,
    }
    original = pictures.read(source)
    target = Target(
        format=planned.format,
        width=planned.width,
        height=planned.height,
        fit=planned.fit,
        crop=planned.crop,
        focus=focal_point(original.focus),
        quality=size.quality,
        background=settings().background,
        keep_copyright=settings().keep_copyright,
    )
    started = time.perf_counter()
    rendered = render(original.data, target)
    metrics.add_metric("RenderTime", MetricUnit.Milliseconds, (time.perf_counter() - started) * 1000)
    pictures.write(bucket, size.file, rendered.data, rendered.content_type)
    if table.shown(size.key) != shown:
        pictures.remove(bucket, [size.file])
    return rendered.data


def _newest(asked: str, preferred: tuple[str, ...], table: Results) -> Answer:
    """Where the file of that rendition is, in the best of its formats."""
    name, _, key = asked.partition("/")
    files = _files(name, key, _shown(table, key))
    best = min(files, key=lambda file: preferred.index(file.format))
    kept = f"public, max-age={REDIRECT_KEPT}"
    headers = {"location": f"/{quote(best.key)}", "cache-control": kept, "vary": "Accept"}
    return {"statusCode": 302, "headers": headers}


def _files(name: str, key: str, shown: Shown) -> list[File]:
    """Of that name in each format, also where another name has the very same file: the plan makes none twice."""
    chosen = settings().renditions
    wanted = [_unnamed(one) for one in plan(shown.width, shown.height, [chosen[name]])] if name in chosen else []
    planned = plan(shown.width, shown.height, list(chosen.values()))
    names = {name} | {one.name for one in planned if _unnamed(one) in wanted}
    files = [file for one, file in shown.renditions.items() if one in names or one == f"{name}_{file.format}"]
    if not files:
        there = ", ".join(sorted(shown.renditions))
        raise LinkError(404, "no_rendition", f"{key} has no rendition {name}, only {there}")
    return files


def _unnamed(planned: PlannedRendition) -> PlannedRendition:
    return replace(planned, name="")


def _problem(status: int, code: str, detail: str) -> Answer:
    """RFC 9457."""
    logger.info("refused", extra={"status": status, "code": code, "reason": detail})
    body = json.dumps({"status": status, "code": code, "detail": detail}, ensure_ascii=False)
    headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": body}
