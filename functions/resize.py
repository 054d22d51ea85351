"""Make one rendition of a validated picture. The Map state `Renditions` calls it once per rendition."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import cache
from typing import Any, TypedDict

from functions.imaging import Target, focal_point, render
from functions.storage import Source, Storage, storage
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics, step


class ResizeRequest(TypedDict):
    source: Source
    rendition: dict[str, Any]
    execution: str


class Rendition(TypedDict):
    name: str
    key: str
    format: str
    content_type: str
    width: int
    height: int
    bytes: int


@cache
def renditions_bucket() -> str:
    return os.environ["RENDITIONS_BUCKET"]


@step
def handler(event: ResizeRequest, context: LambdaContext, pictures: Storage | None = None) -> Rendition:
    pictures = pictures or storage()
    name, key = event["rendition"]["name"], event["rendition"]["key"]
    original = pictures.read(event["source"])
    started = time.perf_counter()
    target = replace(Target.of(event["rendition"]), focus=focal_point(original.focus))
    rendered = render(original.data, target)
    milliseconds = (time.perf_counter() - started) * 1000
    pictures.write(renditions_bucket(), key, rendered.data, rendered.content_type)

    # Without the rendition as a dimension: CloudWatch bills each value of one as a metric. The log line has it.
    metrics.add_metric("RenderTime", MetricUnit.Milliseconds, milliseconds)
    metrics.add_metric("BytesOut", MetricUnit.Bytes, len(rendered.data))
    rendition: Rendition = {
        "name": name,
        "key": key,
        "format": rendered.format,
        "content_type": rendered.content_type,
        "width": rendered.width,
        "height": rendered.height,
        "bytes": len(rendered.data),
    }
    logger.info("rendered", extra={"rendition": rendition, "milliseconds": round(milliseconds)})
    return rendition
