"""The worst files are drawn and tried as Validate and Resize would meet them."""

import subprocess
import sys

import pytest

from benchmarks.bombs import files, trial
from benchmarks.bombs.files import MAX_BYTES
from benchmarks.bombs.recipe import recipe
from benchmarks.bombs.trial import CPU_BAR, MEMORY_BAR, TIMES_BAR, Cost, Trial, tried


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "FOLDER", tmp_path)


def test_what_is_refused_has_the_cost_of_its_verdict():
    found = tried("jpeg", "index of pictures")
    assert found.verdict.startswith("corrupt: ")
    assert (found.is_within, found.worst) == (True, None)


def test_what_is_accepted_has_the_cost_of_a_rendition_too():
    found = tried("png", "profile of elements")
    assert found.verdict == "8x8"
    assert found.worst.is_within
    assert 0 < found.times < TIMES_BAR


def test_a_file_is_drawn_again_only_if_what_draws_it_has_changed(monkeypatch):
    """That is its own code, with its arguments, or what that calls, or a constant of either."""
    drawings = []
    monkeypatch.setattr(
        trial, "in_new_process", lambda draw, *of, environment: drawings.append((draw(*of), environment))
    )

    def of_files(code):
        return eval(code, vars(files))

    def is_drawn_with(module, name, value):
        before = len(drawings)
        (monkeypatch.setitem if isinstance(module, dict) else monkeypatch.setattr)(module, name, value)
        trial.drawn("gif", "comments")
        return len(drawings) > before

    assert is_drawn_with(files.GIF, "comments", of_files("lambda: _gif(bytes(SIDE), b'frame')"))
    assert not is_drawn_with(files.GIF, "comments", of_files("lambda:   _gif(bytes(SIDE), b'frame')"))
    assert is_drawn_with(files.GIF, "comments", of_files("lambda: _gif(bytes(SIDE), b'another')"))
    assert is_drawn_with(files, "SIDE", 8)
    assert is_drawn_with(files, "_gif", of_files("lambda blocks, frame=b'', side=1: _chunk(blocks, frame)"))
    assert is_drawn_with(files, "_chunk", of_files("lambda name, body: name + body"))
    assert not is_drawn_with(files, "_segment", of_files("lambda marker, body: body"))
    trial.drawn("gif", "comments").unlink()
    assert is_drawn_with(files, "SIDE", 8)


def test_each_kind_has_a_recipe_that_another_process_reads_alike():
    code = (
        "from benchmarks.bombs.files import FORMATS; from benchmarks.bombs.recipe import recipe;"
        "print(*(recipe(maker) for kinds in FORMATS.values() for maker in kinds.values()))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    recipes = [recipe(maker) for kinds in files.FORMATS.values() for maker in kinds.values()]
    assert elsewhere.stdout.split() == recipes
    assert len(set(recipes)) == len(recipes)


def test_a_bar_is_missed_by_time_or_by_memory():
    assert Cost(CPU_BAR, MEMORY_BAR).is_within
    assert not Cost(CPU_BAR + 0.1, MEMORY_BAR).is_within
    assert not Cost(CPU_BAR, MEMORY_BAR + 1).is_within


def test_a_rendition_may_cost_twice_what_an_honest_pictures_does():
    """However little that is."""
    cheap = Cost(0.1, 50)
    assert Trial("8x8", cheap, cheap, TIMES_BAR).is_within
    assert not Trial("8x8", cheap, cheap, TIMES_BAR + 0.1).is_within
    assert not Trial("8x8", cheap, Cost(CPU_BAR + 1, 50), 1).is_within


@pytest.mark.parametrize(
    ("pixels", "size", "side"),
    [(8_660**2, 100, 8_000), (64, MAX_BYTES, 10_000), (64, MAX_BYTES // 4, 5_000), (64, 100, 1_000)],
)
def test_an_honest_picture_of_the_same_size_has_as_many_pixels_or_bytes(pixels, size, side):
    assert trial._side_of_honest(pixels, size) == side
