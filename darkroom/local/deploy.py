"""Put the stack that every picture goes through into the local cloud, with the real CDK command line."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from darkroom.errors import DeployError
from darkroom.local import homes
from darkroom.local.cloud import ACCOUNT, PROJECT, REGION, Cloud, one_at_a_time
from darkroom.local.synth import QUIET, assembly, made_of
from darkroom.pipeline.target import STACK

News = Callable[[str], None]
Step = Callable[[str], AbstractContextManager[News]]

CDK = PROJECT / "node_modules" / ".bin" / "cdk"

MOST_AT_ONCE = 40  # what an inline Map takes

PLAIN = ("--no-notices", "--no-color", "--ci")


def local_settings(stack: str = STACK) -> dict[str, str]:
    """What differs from AWS: nothing outlives the stack, and functions run on this machine's own Python."""
    machine = platform.machine().lower()
    return {
        "stack": stack,
        "removal_policy": "destroy",
        "architecture": "arm64" if machine in ("arm64", "aarch64") else "x86_64",
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "local_cloud": "true",
        "api.enabled": "true",
        "delivery.enabled": "true",
        "events.enabled": "true",
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
    stack: str = STACK,
    anew: bool = False,
    say: Callable[[str], object] = str,
    step: Step = silently,
) -> None:
    """Synthesise the stack with these settings, in the form of `cdk -c NAME=VALUE`, and deploy it, if anything of what
    it is made of has changed since it was deployed.

    The settings of its earlier deployments hold until they are given anew, each or, with `anew`, all of them; an empty
    value takes one back. Each `step` is entered with its title and is told its news. Raises DeployError.
    """
    check_tools()
    with one_at_a_time(cloud.home, "deploying"):
        chosen = chosen_settings(cloud.home, settings or {}, stack=stack, anew=anew)
        if chosen:
            say(f"Settings besides cdk.json: {', '.join(f'{name}={value}' for name, value in chosen.items())}")
        chosen_here = {**local_settings(stack), **chosen}
        source, stacks = made_of(chosen_here), _stacks(cloud)
        file = _file(cloud.home, "deployed", stack)
        if _noted(file) == {"source": source, "stack": _identity(stacks, stack)}:
            say("The stack is deployed already, and nothing of what it is made of has changed")
            return
        _deploy(cloud, chosen_here, bootstrapped="CDKToolkit" in stacks, step=step)
        deployed = {"source": source, "stack": _identity(_stacks(cloud), stack)}
        homes.write(_file(cloud.home, "settings", stack), json.dumps(chosen).encode())
        homes.write(file, json.dumps(deployed).encode())


def _deploy(cloud: Cloud, settings: Mapping[str, str], *, bootstrapped: bool, step: Step) -> None:
    """The bootstrap is made beside the synth: they need nothing of each other."""
    with ThreadPoolExecutor(1) as beside:
        bootstrap = None if bootstrapped else beside.submit(_bootstrap, cloud)
        with step("Synthesising the stack"):
            folder = assembly(settings, REGION)
        if bootstrap is not None:
            with step("Bootstrapping the account for the CDK"):
                bootstrap.result()
    with step("Deploying the stack") as news:
        how = ("--all", "--app", str(folder), "--require-approval", "never", "--progress", "events")
        _cdk(cloud, ["deploy", *how], news)


def _bootstrap(cloud: Cloud) -> None:
    """Where there is no cdk.json: the CDK command line would synthesise its app first."""
    _cdk(cloud, ["bootstrap", f"aws://{ACCOUNT}/{REGION}"], lambda _: None, folder=cloud.home)


def template(settings: Mapping[str, str], region: str) -> dict[str, Any]:
    """The stack's template as this checkout makes it for that region. Raises DeployError."""
    check_tools()
    [made] = assembly(settings, region).glob("*.template.json")
    return dict(json.loads(made.read_text()))


def check_tools() -> None:
    """Raises DeployError if `deploy` could not even begin."""
    if shutil.which("node") is None:
        raise DeployError("node is not installed: the CDK command line needs version 20 or newer of it")
    if not CDK.exists():
        raise DeployError(f"there is no CDK command line in {PROJECT / 'node_modules'}: run `make install`")


def of_file(path: Path) -> dict[str, str]:
    """The settings of a file, in the form of `cdk -c NAME=VALUE`, without those that are this machine's own. Raises
    DeployError."""
    try:
        found = json.loads(path.read_text())
    except ValueError as problem:
        raise DeployError(f"{path} is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise DeployError(f"{path} must be a JSON object of settings, such as cdk.json has")
    ours = local_settings().keys() - {"stack"}
    return {name: _text(value) for name, value in found.items() if name not in ours}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def check_settings(home: Path, settings: Mapping[str, str], *, stack: str = STACK, anew: bool = False) -> None:
    """Raises DeployError with a line for each that the settings' model does not take.

    That is asked in a process of its own: the operator's tool knows nothing of the stack's code.
    """
    all_of_them = {**local_settings(stack), **chosen_settings(home, settings, stack=stack, anew=anew)}
    chosen = [f"{name}={value}" for name, value in all_of_them.items()]
    asked = [sys.executable, "-m", "stacks.settings", REGION, *chosen]
    done = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise DeployError(done.stderr.strip())


def chosen_settings(
    home: Path, settings: Mapping[str, str] = MappingProxyType({}), *, stack: str = STACK, anew: bool = False
) -> dict[str, str]:
    """Over cdk.json and what is local: those of the stack's earlier deployments that hold, and over them these. A group
    replaces its members."""
    before = {} if anew else _noted(_file(home, "settings", stack))
    groups = tuple(f"{name}." for name in settings)
    kept = {name: value for name, value in before.items() if not name.startswith(groups)}
    return {name: value for name, value in {**kept, **settings}.items() if value}


def _file(home: Path, what: Literal["settings", "deployed"], stack: str) -> Path:
    """What was chosen for a stack; or of what it was made when it was deployed last, and which that was. Among the
    data, so that it goes when the stack goes."""
    return home / "data" / (f"{what}.json" if stack == STACK else f"{what}-{stack}.json")


def _noted(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def _stacks(cloud: Cloud) -> dict[str, Any]:
    """By their names."""
    from darkroom.pipeline.target import local

    return {stack["StackName"]: stack for stack in local(cloud).stacks.describe_stacks()["Stacks"]}


def _identity(stacks: Mapping[str, Any], name: str) -> list[str] | None:
    """Of the stack as it was deployed last; None of one that is not complete."""
    stack = stacks.get(name)
    if stack is None or stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return None
    return [stack["StackId"], str(stack.get("LastUpdatedTime", stack["CreationTime"]))]


def _cdk(cloud: Cloud, arguments: Sequence[str], news: News, folder: Path = PROJECT) -> None:
    """Run the CDK command line; all it prints goes to `deploy.log` beside the cloud's own log."""
    last: deque[str] = deque(maxlen=20)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with open(cloud.home / "deploy.log", "a", opener=homes.private) as log:
        log.write(f"\n$ cdk {' '.join(arguments)}\n")
        process = subprocess.Popen(
            [str(CDK), *arguments, *PLAIN],
            cwd=folder,
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
