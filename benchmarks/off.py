"""What the optional parts cost a picture: nothing where they are off, and what where they are on.

`--against COMMIT` compares what is off with that commit, which is to be from before there were such parts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from PIL import Image

from benchmarks import first_call
from benchmarks.cold_start import ENVIRONMENT
from benchmarks.local import ROOT, worktree
from benchmarks.process import Usage, in_new_process
from benchmarks.report import Figure, begin, show, tick
from darkroom.local.pictures import animated_gif, encoded, landscape, with_chunk
from functions.imaging import RenditionSetting, plan
from stacks.settings import FREED, Settings, read_settings

ROUNDS = 7
BAR = 1.03  # of CPU, which differs by as much from run to run
SMALL, LARGE = (640, 480), (4000, 3000)

# Each in a new process.
VALIDATE, RESIZE, RENDITIONS = "Validate's first call", "Resize's first call", "all renditions"

GPS = 0x8825  # the tag of EXIF whose value is where a picture was taken
PQ_OF_BT2020 = bytes([9, 16, 0, 1])  # as ITU-T H.273 numbers them
LOGO = "logo.png"
OFF = "off"

CODE = ("functions", "watermarks")  # what the functions' code is, in their folder
CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]
DEFAULT = Settings()


@dataclass(frozen=True, slots=True)
class Part:
    """An optional one that is on, or none that is. `settings` over cdk.json. `small` is the picture of the first calls,
    `large` that of which all renditions are made."""

    name: str
    small: bytes
    large: bytes
    settings: Mapping[str, str] = field(default_factory=dict)
    focus: str = ""


def parts() -> Iterator[Part]:
    """Of each kind of picture first how it is with everything off."""
    jpeg = _photo(*SMALL), _photo(*LARGE)
    yield Part(f"{OFF}: JPEG", *jpeg)
    yield Part("keep_location", *jpeg, {"keep_location": "true"})
    yield Part("crop: attention (thumb)", *jpeg, {"renditions.thumb.crop": "attention"})
    yield Part("a focus with the upload", *jpeg, focus="0.3,0.6")
    yield Part("watermark (large)", *jpeg, {"renditions.large.watermark.file": LOGO})
    yield Part("heic", *jpeg, {"heic": "true"})
    yield Part("jxl", *jpeg, {"jxl": "true"})
    yield Part("animated (large)", *jpeg, {"renditions.large.animated": "true"})
    gif = animated_gif()
    yield Part(f"{OFF}: GIF of 6 frames", gif, gif)
    yield Part("animated (large)", gif, gif, {"renditions.large.animated": "true"})
    png = encoded(landscape(*SMALL), "PNG")
    yield Part(f"{OFF}: PNG", png, png)
    numbered = with_chunk(png, b"cICP", PQ_OF_BT2020)
    yield Part("HDR: PQ and BT.2020", numbered, numbered)


def _photo(width: int, height: int) -> bytes:
    """With EXIF that says where it was taken."""
    exif = Image.Exif()
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return encoded(landscape(width, height), "JPEG", quality=90, exif=exif)


@dataclass(frozen=True, slots=True)
class Tried:
    """A part, and where it is: a folder with `functions`, the environment of Validate, and the bytes of the layer."""

    part: Part
    folder: Path
    environment: Mapping[str, str]
    layer: int
    scratch: Path

    @property
    def code(self) -> int:
        files = [file for name in CODE for file in (self.folder / name).rglob("*")]
        return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts)

    def calls(self) -> dict[str, Usage]:
        small, large = self._written(self.part.small), self._written(self.part.large)
        renditions = [json.dumps({"rendition": one}) for one in self._planned()]
        return {
            VALIDATE: self._called("validate", small, "{}"),
            RESIZE: self._called("resize", small, renditions[0]),
            RENDITIONS: self._called("resize", large, *renditions),
        }

    def _called(self, name: str, picture: str, *requests: str) -> Usage:
        arguments = name, picture, self.part.focus, *requests
        environment = dict(self.environment) | (FREED if name == "validate" else {})
        environment["PYTHONPYCACHEPREFIX"] = str(self.scratch / "compiled")  # goes when the folders of the code go
        return in_new_process(first_call.of_any_commit, *arguments, environment=environment, functions_of=self.folder)

    def _written(self, picture: bytes) -> str:
        file = self.scratch / hashlib.sha256(picture).hexdigest()
        if not file.exists():
            file.write_bytes(picture)
        return str(file)

    def _planned(self) -> list[dict[str, Any]]:
        """As Validate plans them, of this checkout: an earlier one takes what it knows."""
        with Image.open(BytesIO(self.part.large)) as picture:
            size, moves = picture.size, getattr(picture, "n_frames", 1) > 1
        settings = read_settings(CONTEXT | self.part.settings)
        asked = [RenditionSetting.of(one) for one in json.loads(settings.for_validate()["RENDITIONS"])]
        quality = settings.quality.model_dump()
        return [
            {**asdict(one), "key": one.file_name, "quality": quality.get(one.format)}
            for one in plan(*size, asked, moves=moves)
        ]


def measure(against: str | None = None) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name:
        scratch = Path(name)
        (scratch / LOGO).write_bytes(encoded(landscape(200, 100).convert("RGBA"), "PNG"))
        before = scratch / "before"
        # the project has no watermark of its own
        with patch("stacks.settings.WATERMARKS", scratch), worktree(before, against) if against else nullcontext():
            tried = [_of_this_checkout(part, scratch) for part in parts()]
            if against:
                tried.insert(1, _of_another(tried[0].part, before, against, scratch))
            spent = _spent(tried)
            _show(tried, spent)
    return _figures(tried, spent) if against else []


def _of_this_checkout(part: Part, scratch: Path) -> Tried:
    """A copy of the functions' code, with what is beside it only for this part."""
    settings = read_settings(CONTEXT | part.settings)
    folder = scratch / ("marked" if settings.watermarks else "plain")
    if not folder.exists():
        shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
        if settings.watermarks:
            (folder / "watermarks").mkdir()
            shutil.copy(scratch / LOGO, folder / "watermarks")
    layer = _bytes_of_layer(ROOT, *(name for name, is_there in settings.decoders.items() if is_there))
    return Tried(part, folder, ENVIRONMENT | settings.for_validate(), layer, scratch)


def _of_another(part: Part, folder: Path, commit: str, scratch: Path) -> Tried:
    environment = json.loads(
        _said("import json; from benchmarks.cold_start import *; print(json.dumps(ENVIRONMENT))", folder)
    )
    return Tried(replace(part, name=f"{commit}: JPEG"), folder, environment, _bytes_of_layer(folder), scratch)


@cache
def _bytes_of_layer(checkout: Path, *decoders: str) -> int:
    kind = f"architecture={DEFAULT.architecture!r}, python_version={DEFAULT.python_version!r}"
    kind += f", decoders={[*decoders]}" if decoders else ""  # of which an earlier checkout may know nothing
    folder = Path(_said(f"from stacks.layer import build_layer; print(build_layer({kind}))", checkout).strip())
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _said(code: str, checkout: Path) -> str:
    """What a program in that checkout prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout


def _spent(tried: Sequence[Tried]) -> list[dict[str, list[Usage]]]:
    """Of each in turns, every second time from the last to the first."""
    spent = [defaultdict[str, list[Usage]](list) for _ in tried]
    begin("what is off, and what is on")
    for number in range(ROUNDS + 1):
        tick()
        for one, usages in [*zip(tried, spent, strict=True)][:: -1 if number % 2 else 1]:
            for how, usage in one.calls().items():
                usages[how] += [usage] * bool(number)  # the first fills the caches of files and of compiled modules
    return [dict(one) for one in spent]


def _show(tried: Sequence[Tried], spent: Sequence[Mapping[str, Sequence[Usage]]]) -> None:
    """CPU with its ratio to the same picture's where everything is off."""
    rows, off = [], spent[0]
    for one, usages in zip(tried, spent, strict=True):
        if one.part.name.startswith(OFF):
            off = usages
        modules = (usages[how][0].modules for how in (VALIDATE, RESIZE))
        cpu = (f"{_cpu(usages[how]) * 1000:.0f}, {_ratio(usages[how], off[how]):.3f}" for how in usages)
        rows.append((one.part.name, f"{one.layer / 1e6:.2f}", f"{one.code / 1e3:.1f}", *modules, *cpu))
    columns = "layer, MB", "code, kB", "modules of Validate", "of Resize"
    show(("", *columns, *(f"{how}, ms of CPU" for how in (VALIDATE, RESIZE, RENDITIONS))), rows)


def _figures(tried: Sequence[Tried], spent: Sequence[Mapping[str, Sequence[Usage]]]) -> list[Figure]:
    """Of all that is off, against the other commit."""
    now, before = spent[:2]
    return [
        Figure("bytes of the layer, now / before", tried[0].layer / tried[1].layer, 1.0),
        *(Figure(f"CPU of {how}, now / before", _ratio(now[how], before[how]), BAR) for how in now),
    ]


def _cpu(usages: Sequence[Usage]) -> float:
    """The least: what is above it is the machine's doing."""
    return min(one.cpu for one in usages)


def _ratio(ours: Sequence[Usage], theirs: Sequence[Usage]) -> float:
    return _cpu(ours) / _cpu(theirs)
