"""Ask a Bedrock model for the alt text of a validated picture. A failure is an answer: the picture still succeeds."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.imaging import for_caption
from functions.storage import Source, Storage, storage
from functions.telemetry import LambdaContext, MetricUnit, logger, metrics, step

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

# Claude scales anything larger down to this edge before it looks, and Converse takes 3.75 MB an image:
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html
LONGEST_EDGE = 1568
MAX_BYTES = 3_750_000

LONGEST_TEXT = 1000  # characters kept; alt text is a sentence, and the row is no place for a model's essay


class CaptionRequest(TypedDict):
    source: Source
    execution: str


class Caption(TypedDict, total=False):
    status: str
    model: str
    text: str
    input_tokens: int
    output_tokens: int
    reason: str


@cache
def settings() -> dict[str, Any]:
    captions: dict[str, Any] = json.loads(os.environ["CAPTIONS"])
    return captions


@cache
def bedrock() -> BedrockRuntimeClient:
    """Four attempts of 12 s, and 1 + 2 + 4 s between them, leave 5 of the function's 60 s for the picture."""
    patience = Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})
    return boto3.client("bedrock-runtime", config=patience)


@step
def handler(
    event: CaptionRequest,
    context: LambdaContext,
    originals: Storage | None = None,
    model: BedrockRuntimeClient | None = None,
) -> Caption:
    original = (originals or storage()).read(event["source"])
    picture_format, picture = for_caption(original.data, longest_edge=LONGEST_EDGE, max_bytes=MAX_BYTES)
    try:
        answer = (model or bedrock()).converse(**_question(picture_format, picture))
    except (BotoCoreError, ClientError) as error:
        return _failed(str(error))
    text = _plain("".join(part.get("text", "") for part in answer["output"]["message"]["content"]))
    if not text or answer["stopReason"] in {"content_filtered", "guardrail_intervened"}:
        return _failed(f"the model gave no text: {answer['stopReason']}")

    usage = answer["usage"]
    metrics.add_metric("CaptionInputTokens", MetricUnit.Count, usage["inputTokens"])
    metrics.add_metric("CaptionOutputTokens", MetricUnit.Count, usage["outputTokens"])
    logger.info("captioned", extra={"usage": usage})
    return {
        "status": "OK",
        "model": settings()["model_id"],
        "text": text,
        "input_tokens": usage["inputTokens"],
        "output_tokens": usage["outputTokens"],
    }


def _question(picture_format: str, picture: bytes) -> dict[str, Any]:
    wanted = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP"}
    image = {"image": {"format": picture_format, "source": {"bytes": picture}}}
    return {
        "modelId": settings()["model_id"],
        "messages": [{"role": "user", "content": [image, {"text": settings()["prompt"]}]}],
        "inferenceConfig": {theirs: settings()[ours] for ours, theirs in wanted.items() if ours in settings()},
    }


def _plain(text: str) -> str:
    """One line of printable text of bounded length: what a picture makes a model say is only ever stored as that."""
    words = "".join(character if character.isprintable() else " " for character in text).split()
    return " ".join(words)[:LONGEST_TEXT]


def _failed(reason: str) -> Caption:
    logger.warning("caption failed", extra={"reason": reason})
    metrics.add_metric("CaptionsFailed", MetricUnit.Count, 1)
    return {"status": "FAILED", "model": settings()["model_id"], "reason": reason[:LONGEST_TEXT]}
