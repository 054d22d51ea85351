"""The stack as this checkout makes it: CloudFormation's template and the assets, in a folder.

The app is called as `cdk synth` calls it, without that: node's start and end take longer than all of the app's own work
in Python.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from darkroom.errors import DeployError
from darkroom.local.cloud import PROJECT

# News of the CDK itself: asking for it needs the internet, and node's age would bury what matters.
QUIET = {
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_DISABLE_VERSION_CHECK": "true",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": ",".join(str(major) for major in range(18, 40)),
    "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "true",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "true",
    "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true",
    # Two thirds of a synth's time. `make check` and `make deploy` keep it.
    "CDK_VALIDATION": "false",
}

# What `cdk synth` adds to the context of cdk.json; `tests/darkroom/test_synth.py` compares.
OF_THE_COMMAND = {
    "aws:cdk:enable-path-metadata": True,
    "aws:cdk:enable-asset-metadata": True,
    "aws:cdk:disable-version-reporting": True,
    "aws:cdk:bundling-stacks": ["**"],
    "@aws-cdk/core:failSynthOnValidationErrors": False,
}

FORGOTTEN_AFTER = 3600  # seconds; an assembly has 34 MB

# All that a template and its assets are made of, besides the settings: files and folders.
SOURCES = (
    *("app.py", "cdk.json", "stacks", "functions", "statemachine", "watermarks"),
    *("requirements.txt", "package-lock.json"),  # the CDK's versions
)


def assembly(settings: Mapping[str, str], region: str) -> Path:
    """The folder of what these settings make: an earlier one, if it was made of the same. Raises DeployError."""
    made = PROJECT / "build" / "assemblies" / made_of({**settings, "region": region})
    made.parent.mkdir(parents=True, exist_ok=True)
    _forget_unused(made)
    if not made.is_dir():
        with tempfile.TemporaryDirectory(dir=made.parent) as name:
            folder = Path(name) / made.name
            synthesise(folder, settings, region)
            if made_of({**settings, "region": region}) != made.name:
                return assembly(settings, region)  # somebody has changed something meanwhile
            try:
                folder.rename(made)
            except OSError:
                if not made.is_dir():  # else another process was quicker
                    raise
    os.utime(made)
    return made


def _forget_unused(wanted: Path) -> None:
    """All others that nobody has asked for in an hour: a deployment may be reading one."""
    for other in wanted.parent.iterdir():
        with suppress(FileNotFoundError):  # another process forgets it, too
            if other != wanted and time.time() - other.stat().st_mtime > FORGOTTEN_AFTER:
                with tempfile.TemporaryDirectory(dir=wanted.parent) as name:
                    other.rename(Path(name) / other.name)  # or half of it would be taken for the whole


def synthesise(folder: Path, settings: Mapping[str, str], region: str) -> None:
    """With these settings over cdk.json, as of `cdk -c NAME=VALUE`. Raises DeployError."""
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=PROJECT,
        env={**os.environ, **QUIET, **variables(folder, settings, region)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise DeployError(f"app.py failed: {done.stderr.strip().rpartition(chr(10))[2]}")


def variables(folder: Path, settings: Mapping[str, str], region: str) -> dict[str, str]:
    """What the app is told, and where it writes."""
    context = json.loads((PROJECT / "cdk.json").read_text())["context"]
    return {
        "CDK_OUTDIR": str(folder),
        "CDK_CONTEXT_JSON": json.dumps({**context, **settings, **OF_THE_COMMAND}),
        "CDK_DEFAULT_REGION": region,
    }


def made_of(settings: Mapping[str, str]) -> str:
    """Another one, in hexadecimal digits, when another template or asset may come of it."""
    digest = hashlib.sha256(json.dumps([sys.version, sorted(settings.items())]).encode())
    if "settings" in settings:  # the name of a file of them
        digest.update((PROJECT / settings["settings"]).read_bytes())
    for source in SOURCES:
        path = PROJECT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"\0{file.relative_to(PROJECT)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
