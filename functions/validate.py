"""Decode a picture once and return the verdict: accepted with a plan of its renditions, or rejected with a reason."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, TypedDict

from functions.examiner import Examiner
from functions.imaging import OPTIONAL, Limits, Rejected, RenditionSetting, focal_point, plan
from functions.keys import NO_VERSION, VERSION_DIGITS, rendition_key
from functions.storage import Source, Storage, storage
from functions.telemetry import NAMESPACE, LambdaContext, MetricUnit, logger, metrics, single_metric, step

SAID = 50  # characters of an uploader's that a note repeats; S3 takes 2 KB


class ValidateRequest(TypedDict):
    source: Source
    execution: str


class Verdict(TypedDict, total=False):
    accepted: bool
    source: Source
    recipe: str
    picture: dict[str, Any]
    renditions: list[dict[str, Any]]
    error: dict[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stack put into the environment."""

    upload_prefix: str
    limits: Limits
    max_cpu_seconds: int
    recipe: str
    renditions: tuple[RenditionSetting, ...]
    quality: dict[str, int]
    background: str
    keep_copyright: bool
    keep_location: bool
    watermarks: dict[str, str]

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        return cls(
            upload_prefix=environment["UPLOAD_PREFIX"],
            limits=Limits(
                max_bytes=int(environment["MAX_BYTES"]),
                max_pixels=int(environment["MAX_PIXELS"]),
                optional=frozenset(name for name in OPTIONAL if json.loads(environment[name.upper()])),
                max_animated_pixels=json.loads(environment["MAX_ANIMATED_PIXELS"]),
            ),
            max_cpu_seconds=int(environment["MAX_CPU_SECONDS"]),
            recipe=environment["RECIPE"],
            renditions=tuple(RenditionSetting.of(setting) for setting in json.loads(environment["RENDITIONS"])),
            quality=json.loads(environment["QUALITY"]),
            background=environment["BACKGROUND"],
            keep_copyright=json.loads(environment["KEEP_COPYRIGHT"]),
            keep_location=json.loads(environment["KEEP_LOCATION"]),
            watermarks=json.loads(environment["WATERMARKS"]),
        )


@cache
def settings() -> Settings:
    return Settings.read(os.environ)


@cache
def examiner() -> Examiner:
    """It may allocate nine tenths of the function's memory: beyond that, Lambda would kill it."""
    megabytes = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    data_bytes = int(megabytes) * 1024 * 1024 * 9 // 10 if megabytes else None
    return Examiner(settings().limits, settings().max_cpu_seconds, data_bytes)


@step
def handler(event: ValidateRequest, context: LambdaContext, originals: Storage | None = None) -> Verdict:
    source, picture, said = event["source"].copy(), dict[str, Any](), list[str]()

    def read() -> bytes:
        """Keeps no bytes: the examiner has them."""
        original = (originals or storage()).read(source, at_most=settings().limits.max_bytes)
        source["version_id"] = original.version_id
        picture["size"] = len(original.data)
        said.append(original.focus)
        picture["content_hash"] = hashlib.sha256(original.data).hexdigest()
        metrics.add_metric("BytesIn", MetricUnit.Bytes, len(original.data))
        return original.data

    try:
        picture |= asdict(examiner().examine(read))
        if not settings().keep_location:
            picture["metadata"].pop("gps", None)
        _take_focus(picture, *said)
    except Rejected as rejected:
        verdict = _rejection(source, rejected)
    else:
        verdict = _acceptance(source, picture, event["execution"])
    metrics.add_metric("Pictures", MetricUnit.Count, 1)
    return verdict


def _take_focus(picture: dict[str, Any], focus: str) -> None:
    """What the uploader wrote, if it is a point; else a note says that it is none."""
    if point := focal_point(focus):
        picture["metadata"]["focus"] = point
    elif focus:
        picture["notes"] = [*picture["notes"], f"focus ignored: {focus[:SAID]!r} is not like 0.3,0.6, each from 0 to 1"]


def _acceptance(source: Source, picture: dict[str, Any], execution: str) -> Verdict:
    renditions = planned_renditions(source, picture, settings(), execution)
    # Where few are made at once, none is to wait for the one that takes longest.
    renditions.sort(key=lambda one: one["width"] * one["height"], reverse=True)
    logger.info("accepted", extra={"picture": picture, "renditions": [rendition["name"] for rendition in renditions]})
    return {
        "accepted": True,
        "source": source,
        "recipe": settings().recipe,
        "picture": picture,
        "renditions": renditions,
    }


def _rejection(source: Source, rejected: Rejected) -> Verdict:
    logger.info("rejected", extra={"code": rejected.code, "reason": rejected.message})
    with single_metric("Rejected", MetricUnit.Count, 1, namespace=NAMESPACE) as metric:
        metric.add_dimension("code", rejected.code)
    error = {"code": rejected.code, "message": rejected.message}
    return {"accepted": False, "source": source, "picture": {}, "error": error}


def planned_renditions(
    source: Source, picture: Mapping[str, Any], settings: Settings, execution: str
) -> list[dict[str, Any]]:
    """What each Resize is told. The keys change with the upload and with the settings, so that a URL is immutable, and
    so that what is removed as a leftover of one upload can never be a rendition of another. Uploads of the same bytes
    to a bucket that keeps no versions differ by their executions alone."""
    moves = picture["metadata"]["animated"]
    planned = plan(picture["width"], picture["height"], settings.renditions, moves=moves)
    upload = execution if source["version_id"] == NO_VERSION else source["version_id"]
    made_of = upload, picture["content_hash"]
    look = settings.quality, settings.background, settings.keep_copyright, settings.watermarks
    whole = [*made_of, *look, *(asdict(one) for one in planned)]
    version = hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:VERSION_DIGITS]
    return [
        {
            **asdict(one),
            "key": rendition_key(source["key"].removeprefix(settings.upload_prefix), version, one.file_name),
            "quality": settings.quality.get(one.format),
            "background": settings.background,
            "keep_copyright": settings.keep_copyright,
        }
        for one in planned
    ]
