"""`tests/e2e/test_hostile.py` finds no leak in the logs: because there is none, not because it could see none."""

import pytest

from tests.leaks import SECRETS, leaks


@pytest.mark.parametrize("pattern", SECRETS)
def test_a_secret_in_a_log_line_would_be_found(pattern: str):
    assert leaks([SECRETS[pattern]])
