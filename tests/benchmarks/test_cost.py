"""The model of what pictures cost."""

import pytest

from benchmarks.cost import BAR, Work, besides, lines, monthly

TYPICAL = Work(cpu=0.6, read=5 * 3.2e6, written=0.6e6, logged=6_000)


def test_seconds_are_what_lambda_bills_and_count_by_the_memory():
    """By hand: 0.6 s of CPU, 9 answers of 50 ms, 16.6 MB at 85 MB/s, and 5 calls of which 1 % start for 0.8 s."""
    assert TYPICAL.seconds == pytest.approx(0.6 + 0.45 + 0.1953 + 0.04, abs=1e-3)
    transitions, seconds, *_, logs = (line.usd for line in lines(TYPICAL))
    assert transitions == pytest.approx(0.275)
    assert seconds == pytest.approx(TYPICAL.seconds * 1769 / 1024 * 0.0133334, abs=1e-5)
    assert logs == pytest.approx(0.003)


def test_a_typical_picture_is_below_the_bar_by_all_of_its_lines():
    assert sum(line.usd for line in lines(TYPICAL)) < BAR


def test_what_comes_besides_and_every_month_has_its_lines():
    told = " ".join(line.what for line in [*besides(TYPICAL), *monthly()])
    for what in (
        "storage",
        "captions",
        "overwrite",
        "X-Ray",
        "the API",
        "1,000 views",
        "alarms",
        "metrics",
        "dashboard",
        "sweeps",
        "key",
    ):
        assert what in told
