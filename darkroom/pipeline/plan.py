"""What a change of settings would make of the pictures that are there: a sample of them, made on this machine by
today's settings and by the proposed ones. Nothing in the account is changed."""

import heapq
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from darkroom.errors import DarkroomError, TargetError
from darkroom.local.cloud import PROJECT
from darkroom.pipeline.target import Target

Document = dict[str, Any]
Environment = Mapping[str, str]

AT_ONCE = min(4, os.cpu_count() or 1)  # pictures; one of 100 megapixels takes half a gigabyte
LONGEST = 600  # seconds, of one picture
OF_VALIDATE = "MAX_PIXELS"  # which no other function is given

# How S3 says of one object that it cannot be read: it was deleted, is archived, or is encrypted by a key of one's own.
UNREADABLE = ("NoSuchKey", "InvalidObjectState", "InvalidRequest")


class SettingsRefusedError(DarkroomError):
    """A line for each that the settings' model does not take."""


@dataclass(frozen=True)
class Proposal:
    """What Validate is given, and what it would be."""

    today: Environment
    proposed: Environment

    @property
    def changes_files(self) -> bool:
        return self.recipe != self.today["RECIPE"]

    @property
    def recipe(self) -> str:
        return self.proposed["RECIPE"]

    @property
    def most_bytes(self) -> int:
        """That a picture may have by the more generous of both."""
        return max(int(one["MAX_BYTES"]) for one in (self.today, self.proposed))


@dataclass(frozen=True)
class Rendition:
    """`file` is a path within the folder. `ssim` is of 1, and None of a picture that is too small."""

    name: str
    file: str
    format: str
    width: int
    height: int
    bytes: int
    ssim: float | None


@dataclass(frozen=True)
class Made:
    """By one of both settings: renditions, or why it is rejected."""

    renditions: tuple[Rendition, ...] = ()
    rejected: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Compared:
    """One picture of the sample by both; `problem` says why it could not be made at all."""

    key: str
    size: int
    today: Made = field(default_factory=Made)
    proposed: Made = field(default_factory=Made)
    problem: str | None = None

    def pairs(self) -> Iterator[tuple[str, Rendition | None, Rendition | None]]:
        """By name, in the order of the settings. A rendition may be in one of both only."""
        today, proposed = ({one.name: one for one in made.renditions} for made in (self.today, self.proposed))
        for name in dict.fromkeys([*today, *proposed]):
            yield name, today.get(name), proposed.get(name)

    def document(self) -> Document:
        return asdict(self)


class Sample:
    """So many of all objects that it is shown, spread over the whole listing, and the same ones whenever the bucket is
    the same: those whose keys have the least digests."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._least: list[tuple[bytes, str, int]] = []

    def see(self, listed: Sequence[Document]) -> None:
        shown = ((sha256(one["key"].encode()).digest(), one["key"], one["size"]) for one in listed if one["size"])
        self._least = heapq.nsmallest(self._number, chain(self._least, shown))

    def objects(self) -> list[tuple[str, int]]:
        """Their keys and sizes in bytes, by key."""
        return sorted((key, size) for _, key, size in self._least)


def propose(target: Target, changes: Mapping[str, str]) -> Proposal:
    """The settings of the stack as it is deployed, and those with the changes, in the form of `cdk -c NAME=VALUE`.
    Raises SettingsRefusedError; TargetError for a stack without Darkroom's functions."""
    chosen = {**({"local_cloud": "true"} if target.is_local else {}), **changes}
    asked = [sys.executable, "-m", "stacks.proposed", target.session.region_name]
    done = subprocess.run(
        [*asked, *(f"{name}={value}" for name, value in chosen.items())],
        cwd=PROJECT,
        input=json.dumps(_deployed(target)),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise SettingsRefusedError(done.stderr.strip())
    return Proposal(**json.loads(done.stdout))


def compare(target: Target, proposal: Proposal, objects: Sequence[tuple[str, int]], folder: Path) -> Iterator[Compared]:
    """Each as soon as it and those before it are made; its files are in a folder of its own within this one."""
    with tempfile.TemporaryDirectory(prefix="darkroom-plan-") as originals, ThreadPoolExecutor(AT_ONCE) as workers:
        made = partial(_compared, target, proposal, folder, Path(originals))
        yield from workers.map(made, range(1, len(objects) + 1), objects)


def free_folder(asked: Path | None) -> Path:
    """The one asked for, else a new one here. Raises DarkroomError for one that has something in it."""
    if asked is None:
        names = (f"darkroom-plan{'' if number == 1 else f'-{number}'}" for number in range(1, sys.maxsize))
        return next(folder for name in names if not (folder := Path(name)).exists())
    if asked.exists() and (not asked.is_dir() or any(asked.iterdir())):
        raise DarkroomError(f"{asked} is there already, and not an empty folder: choose another with --output")
    return asked


def _deployed(target: Target) -> Environment:
    """What Validate is given, by the stack's template."""
    answer: Any = target.stacks.get_template(StackName=target.stack)["TemplateBody"]
    template = json.loads(answer) if isinstance(answer, str) else answer
    for resource in template.get("Resources", {}).values():
        environment = resource.get("Properties", {}).get("Environment", {})
        variables = environment.get("Variables", {}) if isinstance(environment, dict) else {}
        if OF_VALIDATE in variables:
            return {name: value for name, value in variables.items() if isinstance(value, str)}
    raise TargetError(f"stack {target.stack} in {target.name} has no Validate: run `{target.deploy_with}`")


def _compared(
    target: Target, proposal: Proposal, within: Path, originals: Path, number: int, listed: tuple[str, int]
) -> Compared:
    (key, size), folder = listed, within / f"{number:03}"
    if size > proposal.most_bytes:
        return Compared(key, size, problem=f"too_large: {size:,} bytes, limit {proposal.most_bytes:,} bytes")
    original = originals / folder.name
    try:
        read = target.s3.get_object(Bucket=target.output("UploadsBucketName"), Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in UNREADABLE:
            raise
        return Compared(key, size, problem=f"cannot be read: {error.response['Error']['Message']}")
    with read["Body"] as body, original.open("wb") as file:
        shutil.copyfileobj(body, file)
    folder.mkdir(parents=True)
    try:
        answer = _made(original, read["Metadata"].get("focus", ""), folder, proposal)
    except DarkroomError as problem:
        return Compared(key, size, problem=str(problem))
    finally:
        original.unlink()
    return Compared(key, size, _read(answer["today"], folder.name), _read(answer["proposed"], folder.name))


def _made(original: Path, focus: str, folder: Path, proposal: Proposal) -> Document:
    """In a process of its own, because a picture may end its decoder. Raises DarkroomError."""
    asked = {
        "picture": str(original),
        "focus": focus,
        "folder": str(folder.resolve()),
        "settings": {"today": proposal.today, "proposed": proposal.proposed},
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "comparison"],
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},  # it asks nobody
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        raise DarkroomError(f"not made within {LONGEST} s") from None
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2]
        raise DarkroomError(said or f"its process ended with {done.returncode}")
    return dict(json.loads(done.stdout))


def _read(made: Document, folder: str) -> Made:
    renditions = (Rendition(**{**one, "file": f"{folder}/{one['file']}"}) for one in made.get("renditions", ()))
    return Made(tuple(renditions), made.get("rejected"))
