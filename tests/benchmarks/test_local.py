"""What the benchmark of the local cloud compares. It takes a quarter of an hour, and is run by hand."""

import pytest
import typer

from benchmarks import local


def test_a_commit_is_not_compared_with_itself():
    with pytest.raises(typer.BadParameter, match="is this commit"):
        local.measure(against="HEAD")


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        (local.NEW, 19.9, True),
        (local.NEW, 20.1, False),
        (f"{local.SUSTAINED}10", 4.1, True),
        (f"{local.SUSTAINED}160", 3.9, False),
    ],
)
def test_seconds_have_a_ceiling_and_what_is_sustained_a_floor(name: str, value: float, met: bool):
    assert local._figure(name, value).met is met
