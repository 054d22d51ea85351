"""Put the stack that every picture goes through into the local cloud, with the real CDK command line."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from darkroom.errors import DeployError
from darkroom.local import homes
from darkroom.local.cloud import ACCOUNT, PROJECT, REGION, Cloud

News = Callable[[str], None]
Step = Callable[[str], AbstractContextManager[News]]

CDK = PROJECT / "node_modules" / ".bin" / "cdk"

MOST_AT_ONCE = 40  # what an inline Map takes

PLAIN = ("--no-notices", "--no-color", "--ci")

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


def local_settings() -> dict[str, str]:
    """What differs from AWS: nothing outlives the stack, and functions run on this machine's own Python."""
    machine = platform.machine().lower()
    return {
        "removal_policy": "destroy",
        "architecture": "arm64" if machine in ("arm64", "aarch64") else "x86_64",
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "local_cloud": "true",
        # Each Resize at once is a process here, with its own start: more than cores only wait for each other.
        # `darkroom upload` of 12 photos, 12 megapixels each, 2 cores, nothing warm: 64 s all at once, 33 s two at once.
        "map_concurrency": str(min(os.cpu_count() or 1, MOST_AT_ONCE)),
    }


@contextmanager
def silently(_: str) -> Iterator[News]:
    yield lambda _: None


def deploy(
    cloud: Cloud,
    settings: Mapping[str, str] | None = None,
    *,
    say: Callable[[str], object] = str,
    step: Step = silently,
) -> None:
    """Synthesise the stack with these settings, in the form of `cdk -c NAME=VALUE`, and deploy what changed.

    The settings of earlier deployments hold until they are given anew; an empty value takes one back. Each
    `step` is entered with its title and is told its news. Raises DeployError.
    """
    check_tools()
    assembly = cloud.home / "cdk.out"
    chosen = chosen_settings(cloud, settings or {})
    if chosen:
        say(f"Settings besides cdk.json: {', '.join(f'{name}={value}' for name, value in chosen.items())}")
    with step("Synthesising the stack") as news:
        _cdk(cloud, _synth(assembly, {**local_settings(), **chosen}), news)
    if not _bootstrapped(cloud):
        with step("Bootstrapping the account for the CDK") as news:
            _cdk(cloud, ["bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", str(assembly)], news)
    with step("Deploying the stack") as news:
        _cdk(
            cloud,
            [
                "deploy",
                "--all",
                "--app",
                str(assembly),
                "--require-approval",
                "never",
                "--progress",
                "events",
            ],
            news,
        )
    homes.write(_settings_file(cloud), json.dumps(chosen).encode())


def template(folder: Path, settings: Mapping[str, str], region: str) -> dict[str, Any]:
    """The stack's template as this checkout makes it for that region, synthesised into that folder. Raises
    DeployError."""
    check_tools()
    done = subprocess.run(
        [str(CDK), *_synth(folder, settings), *PLAIN],
        cwd=PROJECT,
        env={**os.environ, **QUIET, "AWS_REGION": region},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise DeployError(f"cdk synth failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    return dict(json.loads((folder / "Darkroom.template.json").read_text()))


def check_tools() -> None:
    """Raises DeployError if `deploy` could not even begin."""
    if shutil.which("node") is None:
        raise DeployError("node is not installed: the CDK command line needs version 20 or newer of it")
    if not CDK.exists():
        raise DeployError(f"there is no CDK command line in {PROJECT / 'node_modules'}: run `make install`")


def _synth(folder: Path, settings: Mapping[str, str]) -> list[str]:
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ["synth", "--quiet", "--app", f'"{sys.executable}" app.py', "--output", str(folder), *options]


def chosen_settings(cloud: Cloud, settings: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Over cdk.json and what is local: those of earlier deployments that hold, and over them these. A group replaces
    its members."""
    file = _settings_file(cloud)
    before = json.loads(file.read_text()) if file.exists() else {}
    groups = tuple(f"{name}." for name in settings)
    kept = {name: value for name, value in before.items() if not name.startswith(groups)}
    return {name: value for name, value in {**kept, **settings}.items() if value}


def _settings_file(cloud: Cloud) -> Path:
    """Among the data, so that it goes when the stack goes."""
    return cloud.home / "data" / "settings.json"


def _bootstrapped(cloud: Cloud) -> bool:
    from darkroom.pipeline.target import local

    return "CDKToolkit" in {stack["StackName"] for stack in local(cloud).stacks.describe_stacks()["Stacks"]}


def _cdk(cloud: Cloud, arguments: Sequence[str], news: News) -> None:
    """Run the CDK command line; all it prints goes to `deploy.log` beside the cloud's own log."""
    last: deque[str] = deque(maxlen=20)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with open(cloud.home / "deploy.log", "a", opener=homes.private) as log:
        log.write(f"\n$ cdk {' '.join(arguments)}\n")
        process = subprocess.Popen(
            [str(CDK), *arguments, *PLAIN],
            cwd=PROJECT,
            env={**cloud.environment(), **QUIET, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None  # it was asked for
        try:
            for line in process.stdout:
                log.write(line)
                if line.strip():
                    last.append(line.rstrip())
                    news(line)
        except KeyboardInterrupt:  # which the terminal sent it too; another sender may not have
            process.terminate()
            process.wait()
            raise
    if process.wait():
        said = "\n  ".join(last)
        raise DeployError(f"cdk {arguments[0]} failed (all of it: {cloud.home / 'deploy.log'}):\n  {said}")
