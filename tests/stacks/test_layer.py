"""The dependency layer: built once, whole, whoever else is building at the same moment."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from stacks import layer


def test_layers_built_at_once_do_not_mix(tmp_path, monkeypatch):
    """Two for one machine and one for another: each folder holds only what was installed for it."""
    together = Barrier(3, timeout=20)

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
