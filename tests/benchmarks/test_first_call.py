"""The benchmark calls the functions as they are: what the stack gives them, it gives them too."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import first_call
from benchmarks.cold_start import ENVIRONMENT
from benchmarks.process import in_new_process
from darkroom.local.pictures import photo
from functions.imaging import Target

RENDITION = json.dumps(asdict(Target("webp", 128, 96, quality=80)))


@pytest.mark.parametrize(
    ("work", "more"),
    [(first_call.validate, ()), (first_call.resize, (RENDITION,)), (first_call.caption, ()), (first_call.deliver, ())],
)
def test_each_function_answers_in_a_process_of_its_own(tmp_path: Path, work, more):
    """An answer that is no success ends the process, and the benchmark with it."""
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(photo(640, 480))
    assert in_new_process(work, str(picture), *more, environment=ENVIRONMENT).peak > 0
