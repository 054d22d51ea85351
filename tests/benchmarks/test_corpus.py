"""The corpus run: what it compares and what it ends with."""

import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.local.pictures import corrupt_jpeg, photo, transparent_png

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def corpus(tmp_path):
    """Three files that end as expected, and beside them a family of two."""
    family = tmp_path / "exif-orientation-examples"
    family.mkdir()
    for number in (1, 6):
        (family / f"Scene_{number}.jpg").write_bytes(photo(*((160, 240) if number == 6 else (240, 160)), number))
    (tmp_path / "photo.png").write_bytes(transparent_png(60, 40))
    (tmp_path / "broken.jpg").write_bytes(corrupt_jpeg(60, 40))
    (tmp_path / "expected.csv").write_text(
        "path,expect,reason\nphoto.png,accept,\nbroken.jpg,reject,corrupt\n"
        + "".join(f"exif-orientation-examples/Scene_{number}.jpg,either,\n" for number in (1, 6))
    )
    return tmp_path


def run(corpus: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.corpus", str(corpus)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_corpus_that_ends_as_expected_is_fine(corpus):
    """A table of what became of each kind, and exit code 0."""
    ended = run(corpus)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for line in ("accept 1 0 0", "reject 0 1 0", "either 2 0 0", "disagreeing 0", "corrupt 1"):
        assert line.split() in [printed.split() for printed in ended.stdout.splitlines()]
    assert "highest memory" in ended.stdout


def test_a_file_that_ends_otherwise_is_named(corpus):
    """With what was said of it, and exit code 1."""
    expected = corpus / "expected.csv"
    expected.write_text(expected.read_text().replace("broken.jpg,reject", "broken.jpg,accept"))
    ended = run(corpus)
    assert ended.returncode == 1
    [line] = [line for line in ended.stdout.splitlines() if line.startswith("broken.jpg")]
    assert line.split()[1:3] == ["accept", "rejected"]
    assert "JPEG that cannot be decoded" in line


@pytest.mark.parametrize(
    ("text", "says"),
    [("file,what\n", "has the columns file, what, and not path, expect"), (None, "No such file or directory")],
)
def test_a_folder_without_such_a_list_is_named(tmp_path, text, says):
    if text:
        (tmp_path / "expected.csv").write_text(text)
    ended = run(tmp_path)
    assert (ended.returncode, ended.stderr) == (1, f"{tmp_path}/expected.csv: {says}\n")
