"""The model of what pictures cost."""

import pytest

from benchmarks.cost import BAR, EXPRESS_BAR, Work, besides, lines, monthly, of_express

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


def test_an_express_picture_is_below_its_bar_with_its_log():
    """By hand: 1 USD a million, 3 s of 64 MB at 0.06 USD a GB-hour, 61.5 kB of log at 0.50 a GB."""
    executions, seconds, log = (line.usd for line in of_express())
    assert (executions, seconds, log) == pytest.approx((0.001, 0.003125, 0.030767))
    express, standard = (sum(line.usd for line in lines(TYPICAL, express=kind)) for kind in (True, False))
    assert express < EXPRESS_BAR
    assert standard - express == pytest.approx(0.275 - sum((executions, seconds, log)))


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
