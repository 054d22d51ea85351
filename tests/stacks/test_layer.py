"""The dependency layer: built once, whole, whoever else is building at the same moment."""

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from stacks import layer

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

    monkeypatch.setattr(layer, "BUILD", tmp_path / "layer")
    monkeypatch.setattr(subprocess, "run", install)
    asked = [("arm64", "3.14"), ("x86_64", "3.11"), ("x86_64", "3.11")]
    with ThreadPoolExecutor(3) as workers:
        built = list(workers.map(lambda one: layer.build_layer(architecture=one[0], python_version=one[1]), asked))
    found = [[file.name for file in (folder / "python").iterdir()] for folder in built]
    assert found == [[layer.PLATFORMS[architecture]] for architecture, _ in asked]
    assert len(list((tmp_path / "layer").iterdir())) == 2


# Drawn red over blue, stored lying on its side; then what the two steps make of it, and of half of it.
HEIC = """
import io, json
import pillow_heif
from PIL import Image
from functions.imaging import Limits, Rejected, Target, examine, render

pillow_heif.register_heif_opener()
drawn = Image.new("RGB", (96, 128), (200, 30, 40))
drawn.paste((30, 50, 190), (0, 64, 96, 128))
exif = Image.Exif()
exif[0x0112] = 6
file = io.BytesIO()
drawn.transpose(Image.Transpose.ROTATE_90).save(file, "HEIF", quality=90, exif=exif.tobytes())
limits = Limits(max_bytes=10**6, max_pixels=10**6, heic=True)
facts = examine(file.getvalue(), limits)
shown = Image.open(io.BytesIO(render(file.getvalue(), Target("png", 48, 64)).data)).convert("RGB")
try:
    examine(file.getvalue()[: len(file.getvalue()) // 2], limits)
except Rejected as rejected:
    half = rejected.code
points = [shown.getpixel(point) for point in ((24, 8), (24, 56))]
print(json.dumps([facts.format, facts.width, facts.height, half, *points]))
"""


@pytest.fixture
def with_heic() -> dict[str, str]:
    """An environment in which Python finds that layer, built for this machine, before anything else."""
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = layer.build_layer(architecture=machine, python_version=version, heic=True)
    return {**os.environ, "PYTHONPATH": f"{folder / 'python'}{os.pathsep}{ROOT}"}


@pytest.mark.skipif(sys.platform != "linux", reason="a layer holds Linux's own code")
def test_with_the_setting_heic_the_layer_takes_heic(with_heic):
    """Upright, in its colours, and half a file is refused."""
    run = subprocess.run([sys.executable, "-c", HEIC], env=with_heic, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    *facts, top, bottom = json.loads(run.stdout)
    assert facts == ["heic", 96, 128, "corrupt"]
    for pixel, drawn in ((top, (200, 30, 40)), (bottom, (30, 50, 190))):
        assert max(abs(a - b) for a, b in zip(pixel, drawn, strict=True)) <= 6


def test_without_the_setting_nothing_under_the_gpl_is_in_the_layer():
    """pillow-heif comes with x265, whose licence a closed product cannot take."""
    assert "heif" not in layer.LOCK.read_text()
    assert layer.HEIC_LOCK.read_text().startswith("pillow-heif==")
