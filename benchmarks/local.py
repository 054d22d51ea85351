"""How long the local cloud takes: this checkout against another commit, in turns, each by its own `make` and commands.

Both are worktrees of their own in a scratch folder, with their own packages, cloud and home. uv's and npm's caches, and
what the CDK has unpacked for this machine, are warm.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import typer

from benchmarks.report import Figure, begin, show, tick

ROOT = Path(__file__).resolve().parents[1]
AGAINST = "84e73d3"  # before the local cloud was made quicker
ROUNDS = 3
UPLOADS = (10, 160)

CLONE, NEW, AGAIN = (
    "clone, warm caches: make demo",
    "everything installed, new cloud: make demo",
    "darkroom up, nothing changed",
)
FIRST, LARGE, DOWN = "slowest of the first pictures of a new cloud", "a photo of 12 megapixels, warm", "make down"
SUSTAINED = "pictures a second, the demo's photo.jpg, uploads: "

# In seconds, and of what is sustained in pictures a second, which is a floor.
BARS = {CLONE: 30.0, NEW: 20.0, AGAIN: 5.0, FIRST: 4.0, SUSTAINED: 4.0, LARGE: 1.0, DOWN: 2.0}


@dataclass
class Checkout:
    """Of one commit, with a cloud of its own."""

    folder: Path
    home: Path

    def run(self, *command: str) -> tuple[float, str]:
        """Seconds, and what was printed."""
        theirs = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DARKROOM_", "CDK_"))
        }
        theirs.pop("PYTHONDONTWRITEBYTECODE", None)
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**theirs, "DARKROOM_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed in {self.folder}:\n{done.stdout}{done.stderr}")
        return time.monotonic() - began, done.stdout

    def darkroom(self, *arguments: str) -> tuple[float, str]:
        return self.run(str(self.folder / ".venv" / "bin" / "darkroom"), *arguments)

    def down(self) -> None:
        if (self.folder / ".venv" / "bin" / "darkroom").exists():
            self.darkroom("down")

    def measure(self, pictures: Path) -> dict[str, float]:
        """By the name of the figure."""
        found = {CLONE: self.run("make", "demo")[0]}
        self._begin_anew()
        found[NEW], table = self.run("make", "demo")
        found[FIRST] = max(map(float, re.findall(r"(?:SUCCEEDED|REJECTED) +([0-9.]+) s", table)))
        found[AGAIN] = self.darkroom("up")[0]
        for folder in sorted(pictures.glob("[0-9]*"), key=lambda one: int(one.name)):
            found[f"{SUSTAINED}{folder.name}"] = int(folder.name) / self.darkroom("upload", str(folder))[0]
        found[LARGE] = self._quickest(pictures / "large")
        found[DOWN] = self.run("make", "down")[0]
        shutil.rmtree(self.home)
        return found

    def _quickest(self, folder: Path) -> float:
        """Of pictures that are uploaded one after the other: the first one waits for a process to start."""
        said = [self.darkroom("upload", str(file), "--json")[1] for file in sorted(folder.iterdir())]
        return min(float(json.loads(text)[0]["seconds"]) for text in said)

    def _begin_anew(self) -> None:
        self.run("make", "down")
        shutil.rmtree(self.home)

    def forget_what_is_installed(self) -> None:
        for name in (".venv", "node_modules", "build"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def measure(against: str | None = None, rounds: int = ROUNDS, uploads: Sequence[int] = UPLOADS) -> list[Figure]:
    """Of each side the median of so many rounds, and their ratio; the bars are for this checkout."""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name, checkouts(Path(name), against) as both:
        pictures = _pictures(Path(name) / "pictures", uploads)
        found: dict[str, list[dict[str, float]]] = {commit: [] for commit in both}
        begin(f"The local cloud, rounds of {' and '.join(both)}")
        for _ in range(rounds):
            for commit, checkout in both.items():
                checkout.forget_what_is_installed()
                found[commit].append(checkout.measure(pictures))
                tick()
    old, new = ({row: median(one[row] for one in of) for row in of[0]} for of in found.values())
    show(
        ("", *found, "ratio"),
        [(row, f"{old[row]:.2f}", f"{new[row]:.2f}", f"{new[row] / old[row]:.2f}") for row in new],
    )
    pixels, cores = _pixels(), os.cpu_count() or 1
    show(
        ("photo.jpg without a cloud: examined once, four renditions, one for its caption", ""),
        [("seconds of CPU", f"{pixels:.2f}"), (f"pictures a second on {cores} CPUs, at most", f"{cores / pixels:.2f}")],
    )
    return [_figure(name, value) for name, value in new.items()]


def _pixels() -> float:
    """What no cloud can do without, in seconds of CPU."""
    from benchmarks.clock import least
    from benchmarks.photos import LIMITS, targets
    from darkroom.local.pictures import photo
    from functions.imaging import examine, for_caption, render

    data = photo(4000, 3000)  # as the demo draws it
    works: list[Callable[[], object]] = [partial(examine, data, LIMITS), partial(for_caption, data)]
    works += [partial(render, data, target) for target in targets(examine(data, LIMITS), "webp").values()]
    return sum(one.cpu for one in least(works))


def _figure(name: str, value: float) -> Figure:
    sustained = name.startswith(SUSTAINED)
    return Figure(name, value, BARS[SUSTAINED if sustained else name], at_least=sustained, form=".2f")


@contextmanager
def checkouts(scratch: Path, against: str | None) -> Iterator[Mapping[str, Checkout]]:
    """Of the other commit and of this one, by their short names. What is not committed here is left out."""
    commits = [_git("rev-parse", "--short", commit) for commit in (against or AGAINST, "HEAD")]
    if len(set(commits)) == 1:
        raise typer.BadParameter(f"{commits[0]} is this commit", param_hint="--against")
    with ExitStack() as left:
        made: dict[str, Checkout] = {}
        for commit in commits:
            left.enter_context(worktree(scratch / commit, commit))
            made[commit] = Checkout(scratch / commit, scratch / f"home-{commit}")
            left.callback(made[commit].down)
        yield made


@contextmanager
def worktree(folder: Path, commit: str) -> Iterator[None]:
    _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        yield
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _pictures(folder: Path, uploads: Sequence[int]) -> Path:
    """The demo's photo many times under other names, and one of 12 megapixels a few times."""
    from darkroom.local.pictures import draw, photo

    drawn = folder / "demo"
    drawn.mkdir(parents=True)
    draw(drawn)
    for count in uploads:
        (folder / str(count)).mkdir()
        for number in range(count):
            shutil.copy(drawn / "photo.jpg", folder / str(count) / f"{count}-{number:03}.jpg")
    (folder / "large").mkdir()
    for number in range(3):
        (folder / "large" / f"large-{number}.jpg").write_bytes(photo(4000, 3000))
    return folder
