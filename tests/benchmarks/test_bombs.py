"""The worst files are drawn and tried as Validate and Resize would meet them."""

import pytest

from benchmarks.bombs import trial
from benchmarks.bombs.trial import CPU_BAR, MEMORY_BAR, Cost, drawn, tried


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "FOLDER", tmp_path)


def test_what_is_refused_has_the_cost_of_its_verdict():
    verdict, costs = tried(drawn("jpeg", "index of pictures"))
    assert verdict.startswith("corrupt: ")
    assert [cost.is_within for cost in costs] == [True]


def test_what_is_accepted_has_the_cost_of_a_rendition_too():
    verdict, costs = tried(drawn("png", "profile of elements"))
    assert verdict == "8x8"
    assert [cost.is_within for cost in costs] == [True, True]


def test_a_bar_is_missed_by_time_or_by_memory():
    assert Cost(CPU_BAR, MEMORY_BAR).is_within
    assert not Cost(CPU_BAR + 0.1, MEMORY_BAR).is_within
    assert not Cost(CPU_BAR, MEMORY_BAR + 1).is_within
