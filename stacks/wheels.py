"""The wheels of the layer, installed without Docker from the lock files. The CDK is not imported for them."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stacks import ROOT

LOCK = ROOT / "functions" / "requirements.txt"
BUILD = ROOT / "build" / "layer"

# Lambda's Amazon Linux 2023 has glibc 2.34. `manylinux2014` would be accepted too, and silently give an older Pillow.
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}


def lock_of(decoder: str) -> Path:
    """What the setting of that name adds."""
    return ROOT / "functions" / f"requirements-{decoder}.txt"


def build_layer(*, architecture: str, python_version: str, decoders: Sequence[str] = ()) -> Path:
    """Install the locked wheels for that machine into `build/layer/…` once; the folder's name carries the locks' hash.

    Raises RuntimeError with the installer's own words if a wheel is missing for that machine.
    """
    locks = [LOCK, *map(lock_of, decoders)]
    contents = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]
    folder = BUILD / f"python{python_version}-{architecture}-{contents}"
    if folder.exists():
        return folder
    BUILD.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=BUILD))  # its own: another synth may be building a layer at this moment
    unfinished.chmod(0o755)
    install = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"),
            *(f"--requirement={lock}" for lock in locks),
            *("--target", str(unfinished / "python")),
            *("--python-platform", PLATFORMS[architecture], "--python-version", python_version),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode:
        raise RuntimeError(f"the layer for {architecture} Python {python_version} cannot be built: {install.stderr}")
    shutil.rmtree(unfinished / "python" / "bin", ignore_errors=True)
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(unfinished)  # another synth was first with the same layer
    return folder
