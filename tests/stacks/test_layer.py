"""The dependency layer: built once, whole, whoever else is building at the same moment."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from benchmarks import optional
from stacks import wheels
from stacks.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_layers_built_at_once_do_not_mix(tmp_path, monkeypatch):
    """Two for one machine and one for another: each folder holds only what was installed for it."""
    together = Barrier(3, timeout=120)

    def install(command: list[str], **_: object) -> subprocess.CompletedProcess:
        target = Path(command[command.index("--target") + 1])
        target.mkdir(parents=True, exist_ok=True)
        together.wait()
        (target / command[command.index("--python-platform") + 1]).touch()
        together.wait()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(wheels, "BUILD", tmp_path / "layer")
    monkeypatch.setattr(subprocess, "run", install)
    asked = [("arm64", "3.14"), ("x86_64", "3.11"), ("x86_64", "3.11")]
    with ThreadPoolExecutor(3) as workers:
        built = list(workers.map(lambda one: wheels.build_layer(architecture=one[0], python_version=one[1]), asked))
    found = [[file.name for file in (folder / "python").iterdir()] for folder in built]
    assert found == [[wheels.PLATFORMS[architecture]] for architecture, _ in asked]
    assert len(list((tmp_path / "layer").iterdir())) == 2


# Drawn red over blue; then what the two steps make of it, and of half of it. HEIC is stored lying on its side.
DRAWN = """
import io, json, sys
import pillow_heif, pillow_jxl
from PIL import Image
from functions.imaging import Limits, Rejected, Target, examine, render

pillow_heif.register_heif_opener()
drawn = Image.new("RGB", (96, 128), (200, 30, 40))
drawn.paste((30, 50, 190), (0, 64, 96, 128))
exif = Image.Exif()
exif[0x0112] = 6
file = io.BytesIO()
if sys.argv[1] == "heic":
    drawn.transpose(Image.Transpose.ROTATE_90).save(file, "HEIF", quality=90, exif=exif.tobytes())
else:
    drawn.save(file, "JXL", quality=90, exif=exif.tobytes())
limits = Limits(max_bytes=10**6, max_pixels=10**6, optional={sys.argv[1]})
facts = examine(file.getvalue(), limits)
shown = Image.open(io.BytesIO(render(file.getvalue(), Target("png", 48, 64)).data)).convert("RGB")
try:
    examine(file.getvalue()[: len(file.getvalue()) // 2], limits)
except Rejected as rejected:
    half = rejected.code
points = [shown.getpixel(point) for point in ((24, 8), (24, 56))]
print(json.dumps([facts.format, facts.width, facts.height, half, *points]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a layer holds Linux's own code")
@pytest.mark.parametrize("name", Settings().decoders)
def test_with_its_setting_the_layer_takes_a_format(name):
    """With nothing but what is in it; upright, in its colours, and half a file is refused. Both settings are on."""
    environment = {**os.environ, "PYTHONPATH": f"{optional.packages()}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", DRAWN, name]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    *facts, top, bottom = json.loads(run.stdout)
    assert facts == [name, 96, 128, "corrupt"]
    for pixel, drawn in ((top, (200, 30, 40)), (bottom, (30, 50, 190))):
        assert max(abs(a - b) for a, b in zip(pixel, drawn, strict=True)) <= 6


def test_without_its_setting_nothing_of_a_decoder_is_in_the_layer():
    """Both are under the GPL, whose terms a closed product cannot take."""
    assert not re.search("heif|jxl|brotli", wheels.LOCK.read_text())
    for name, package in (("heic", "pillow-heif"), ("jxl", "pillow-jxl-plugin")):
        assert f"{package}==" in wheels.lock_of(name).read_text()
