"""The README: every command in it runs, one after the other, as a person would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.cloud import Cloud
from darkroom.pictures import draw

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.xdist_group("cloud")

# `make demo` and `make test`, which a person runs first and this test cannot run inside itself.
FIRST = "make demo"


def commands(readme: str) -> str:
    """The shell and Python blocks as one script."""
    blocks = re.findall(r"```(sh|python)\n(.*?)```", readme, re.DOTALL)
    shell = [code if kind == "sh" else f"python - <<'PYTHON'\n{code}PYTHON\n" for kind, code in blocks]
    return "\n".join(code for code in shell if not code.startswith(FIRST))


def test_every_command_of_the_readme_runs(cloud: Cloud):
    """In the order they stand there, against the deployed stack; the first that fails fails the test with its words."""
    draw(cloud.home / "demo")
    script = commands((ROOT / "README.md").read_text()).replace(".darkroom/", f"{cloud.home}/")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", script],
        cwd=ROOT,
        env={**environment, "PATH": path, "DARKROOM_HOME": str(cloud.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "raw/photo.jpg" in ran.stdout
    assert re.search(r"photo\.jpg/[0-9a-f]{16}/large\.webp 2048w", ran.stdout)
