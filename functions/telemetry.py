"""Log lines and metrics of every step.

Traces come from Lambda's and Step Functions' own active tracing. Powertools' Tracer would add the segments of each AWS
call, but its SDK costs a cold start more than boto3 does (docs/decisions/0008).
"""

import os
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext

__all__ = [
    "NAMESPACE",
    "SAID_BY_THE_LOG_GROUP",
    "LambdaContext",
    "MetricUnit",
    "logger",
    "metrics",
    "single_metric",
    "step",
    "view",
]

Answer = TypeVar("Answer")

NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Darkroom")  # set where the stack has another name

# Each log group is one function's, and logs are billed by the byte.
SAID_BY_THE_LOG_GROUP = ("function_name", "function_arn", "function_memory_size")

logger = Logger()
metrics = Metrics(namespace=NAMESPACE)

# A step that fails before its first measurement has none to publish; its error is the line worth reading.
warnings.filterwarnings("ignore", "No application metrics to publish")


def step(handler: Callable[..., Answer]) -> Callable[..., Answer]:
    """Put the picture's key and the execution on every log line of a handler, and publish its metrics when it ends."""

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics
    @wraps(handler)
    def logged(event: dict[str, Any], context: LambdaContext, *services: Any) -> Answer:
        logger.remove_keys(SAID_BY_THE_LOG_GROUP)
        logger.append_keys(key=event["source"]["key"], execution=event["execution"])
        try:
            return handler(event, context, *services)
        except Exception:
            logger.exception("failed")  # Lambda's own line about it names neither picture nor execution
            raise

    return logged


def view(handler: Callable[..., Answer]) -> Callable[..., Answer]:
    """The same for a handler that answers over HTTP: the path is on its log lines."""

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics
    @wraps(handler)
    def logged(event: dict[str, Any], context: LambdaContext, *services: Any) -> Answer:
        logger.remove_keys(SAID_BY_THE_LOG_GROUP)
        logger.append_keys(path=event["rawPath"])
        try:
            return handler(event, context, *services)
        except Exception:
            logger.exception("failed")
            raise

    return logged
