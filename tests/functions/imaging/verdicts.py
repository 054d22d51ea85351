"""The verdict on a picture, within limits that are wide for what tests draw."""

from typing import Any

import pytest

from functions.imaging import Limits, Rejected, examine

LIMITS = Limits(max_bytes=10**7, max_pixels=10**6)


def rejected(data: bytes, limits: Limits = LIMITS) -> tuple[Any, str]:
    """Code and message."""
    with pytest.raises(Rejected) as verdict:
        examine(data, limits)
    return verdict.value.code, verdict.value.message
