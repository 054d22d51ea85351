"""A workflow of its own for every test."""

from collections.abc import Iterator

import pytest

from tests.statemachine import engine


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[engine.Pipeline]:
    yield from engine.start(monkeypatch)
