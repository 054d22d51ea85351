"""The model of what pictures cost."""

import pytest

from benchmarks.cost import lines


def test_transitions_are_the_largest_cost_and_seconds_count_by_the_memory():
    """By hand: 12,000 x 0.025 / 1000 USD; 1,000 x 2 s x 1769 / 1024 GB x 0.0000133334 USD."""
    costs = {line.what: line.usd for line in lines(seconds=2)}
    assert costs["Step Functions: transitions"] == pytest.approx(0.3) == max(costs.values())
    assert costs["Lambda, arm64: GB-seconds (2.00 s of CPU here)"] == pytest.approx(0.04607, abs=1e-5)
