"""A secret of Secrets Manager and the one before it: whoever signs has time to change over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import boto3

KEPT = 300.0  # seconds


class Secrets:
    """The valid values of one secret. `client` is a client of Secrets Manager, `clock` counts seconds."""

    def __init__(self, client: Any, arn: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._arn = arn
        self._clock = clock
        self._values: list[bytes] = []
        self._read_at = 0.0

    def valid(self, not_older_than: float = KEPT) -> list[bytes]:
        """The current value, and after it the previous one if there is one, read again after so many seconds."""
        if not self._values or self._clock() - self._read_at >= not_older_than:
            self._values = [self._value("AWSCURRENT"), *self._previous()]
            self._read_at = self._clock()
        return self._values

    def _previous(self) -> list[bytes]:
        """None before the first rotation."""
        try:
            return [self._value("AWSPREVIOUS")]
        except self._client.exceptions.ResourceNotFoundException:
            return []

    def _value(self, stage: str) -> bytes:
        answer = self._client.get_secret_value(SecretId=self._arn, VersionStage=stage)
        text: str = answer["SecretString"]
        return text.encode()


@cache
def secrets(variable: str) -> Secrets:
    """Of the secret whose ARN that environment variable has."""
    return Secrets(boto3.client("secretsmanager"), os.environ[variable])
