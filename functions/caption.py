"""Ask a Bedrock model for the alt text of a validated picture. A failure is an answer: the picture still succeeds.

A model that has no room is no failure yet: that is raised, and the state Caption comes again, for minutes.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

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

# What passes by itself: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
BUSY = frozenset(
    {
        *("ThrottlingException", "ServiceQuotaExceededException", "TooManyRequestsException"),
        *("ServiceUnavailableException", "ModelNotReadyException", "ModelTimeoutException", "InternalServerException"),
    }
)


class ModelBusy(Exception):
    """Bedrock throttles, or does not answer just now. The state machine is told to come again."""


class CaptionRequest(TypedDict):
    """`error` is the state machine's: it has given up on this picture, and wants that counted and said."""

    source: Source
    execution: str
    error: NotRequired[dict[str, str]]


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
    """One attempt: Lambda bills a wait, the state machine's costs nothing. It leaves 25 of the function's 60 s for the
    picture."""
    patience = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1})
    return boto3.client("bedrock-runtime", config=patience)


@step
def handler(
    event: CaptionRequest,
    context: LambdaContext,
    originals: Storage | None = None,
    model: BedrockRuntimeClient | None = None,
) -> Caption:
    """Raises ModelBusy."""
    if "error" in event:
        return _failed(_said(event["error"]))
    original = (originals or storage()).read(event["source"])
    picture_format, picture = for_caption(original.data, longest_edge=LONGEST_EDGE, max_bytes=MAX_BYTES)
    try:
        answer = (model or bedrock()).converse(**_question(picture_format, picture))
    except (BotoCoreError, ClientError) as error:
        if _is_busy(error):
            raise ModelBusy(f"throttled, or no answer: {error}") from None
        return _failed(str(error))
    text = _plain("".join(part.get("text", "") for part in answer["output"]["message"]["content"]))
    if not text or answer["stopReason"] in {"content_filtered", "guardrail_intervened"}:
        return _failed(f"the model gave no text: {answer['stopReason']}")

    usage = answer["usage"]
    metrics.add_metric("CaptionsFailed", MetricUnit.Count, 0)  # of 0 and 1 the mean is the share that failed
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


def _is_busy(error: BotoCoreError | ClientError) -> bool:
    """A connection that breaks or waits in vain is as passing as what Bedrock itself calls so."""
    return isinstance(error, (HTTPClientError, NoConnectionError)) or (
        isinstance(error, ClientError) and error.response["Error"]["Code"] in BUSY
    )


def _said(error: dict[str, str]) -> str:
    """The error's name, and its message, which Lambda wraps in JSON."""
    cause = error.get("Cause", "")
    with suppress(ValueError, KeyError, TypeError):
        cause = json.loads(cause)["errorMessage"]
    return f"{error['Error']}: {cause}" if cause else error["Error"]


def _plain(text: str) -> str:
    """One line of printable text of bounded length: what a picture makes a model say is only ever stored as that."""
    words = "".join(character if character.isprintable() else " " for character in text).split()
    return " ".join(words)[:LONGEST_TEXT]


def _failed(reason: str) -> Caption:
    logger.warning("caption failed", extra={"reason": reason})
    metrics.add_metric("CaptionsFailed", MetricUnit.Count, 1)
    return {"status": "FAILED", "model": settings()["model_id"], "reason": reason[:LONGEST_TEXT]}
