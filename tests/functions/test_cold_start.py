"""What a function imports before it knows of any picture: each millisecond of it is in every cold start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What few pictures need, and the parts that are off unless a setting says otherwise.
OPTIONAL = {
    *("functions.imaging." + name for name in ("animation", "code_points", "isobmff", "jxl", "metadata", "watermark")),
    *("PIL.ImageCms", "pillow_heif", "pillow_jxl", "statistics"),
}


@pytest.mark.parametrize("step", ["validate", "resize"])
def test_what_is_off_is_not_imported(step):
    looks = f"import sys, functions.{step}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", looks], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert f"functions.{step}" in imported
    assert not imported & OPTIONAL
