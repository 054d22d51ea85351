"""Every file of a folder through the real functions, against what its `expected.csv` says of each. `make corpus`.

`expected.csv` has the columns `path` and `expect`: `accept`, `reject`, or `either`, where decoders disagree.
Exit code 1 if a file ends otherwise, if anything is raised, or if a rendition carries more than its pixels.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import typer
from PIL import Image, ImageChops, ImageOps, ImageStat

from darkroom.cli.terminal import say, show_table
from functions import resize, validate
from functions.storage import Storage
from stacks.settings import Format, Settings

UPLOADS, RENDITIONS = "uploads", "renditions"

DEFAULTS = Settings()
FORMATS: dict[str, tuple[Format, ...]] = {"thumb": ("webp", "jpeg", "png", "avif"), "small": ("webp", "png")}
SETTINGS = DEFAULTS.model_copy(  # the default renditions, one of them in every format
    update={
        "renditions": {
            name: rendition.model_copy(update={"formats": FORMATS.get(name, rendition.formats)})
            for name, rendition in DEFAULTS.renditions.items()
        }
    }
)

ENDS = ("accepted", "rejected", "raised")
AGREES = {("accept", "accepted"), ("reject", "rejected"), ("either", "accepted"), ("either", "rejected")}

# One scene, stored in nine ways: https://github.com/recurser/exif-orientation-examples
FAMILY = re.compile(r"(?:.*/)?exif-orientation-examples/(\w+)_\d\.jpg")
LARGEST_DIFFERENCE = 2  # of 255

# What exiftool calls the containers of what comes with a picture, and what must not come out under any name.
FOREIGN = {"EXIF", "XMP", "IPTC", "MakerNotes", "Photoshop", "MPF", "ICC_Profile"}
PRIVATE = re.compile(r"GPS|SerialNumber|Owner|Thumbnail|Preview|JpgFromRaw", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class End:
    """Where a file's way ended. `said` is the reject's message or what was raised; seconds of CPU, peak in MB."""

    path: str
    expect: str
    ended: str
    code: str
    said: str
    seconds: float
    peak: float

    @property
    def agrees(self) -> bool:
        return (self.expect, self.ended) in AGREES


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda hands a handler, as far as its log lines look."""

    function_name: str = "corpus"
    memory_limit_in_mb: int = DEFAULTS.functions.resize.memory
    invoked_function_arn: str = "arn:corpus"
    aws_request_id: str = "corpus"


class Folders:
    """S3, as far as the functions ask for it: a folder for each bucket."""

    def __init__(self, **buckets: Path) -> None:
        self._buckets = buckets

    def get_object(self, *, Bucket: str, Key: str, **_: str) -> dict[str, Any]:
        data = (self._buckets[Bucket] / Key.removeprefix(SETTINGS.upload_prefix)).read_bytes()
        return {"ContentLength": len(data), "Body": BytesIO(data)}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: str) -> None:
        file = self._buckets[Bucket] / Key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(Body)


def run(corpus: Path, renditions: Path) -> bool:
    """True if nothing is wrong."""
    os.environ.update(SETTINGS.for_validate(), RENDITIONS_BUCKET=RENDITIONS)
    storage = Storage(Folders(uploads=corpus, renditions=renditions))  # type: ignore[arg-type]
    rows = expected(corpus / "expected.csv")
    _, _, before = in_a_process_of_its_own(lambda: ("", "", ""))
    ends = []
    for number, row in enumerate(rows, 1):
        path = row["path"]
        outcome, seconds, peak = in_a_process_of_its_own(partial(way_of, path, storage, renditions))
        ends.append(End(path, row["expect"], *outcome, seconds, peak))
        if number % 25 == 0 or number == len(rows):
            say(f"  {number} of {len(rows)} files: {path}")
    report(ends, before)
    private = is_private(corpus, renditions)
    equal = families_agree([end.path for end in ends if end.ended == "accepted"], corpus, renditions)
    return all(end.agrees for end in ends) and private and equal


def expected(file: Path) -> list[dict[str, str]]:
    """Ends with what is wrong with the list."""
    try:
        with file.open() as lines:
            read = csv.DictReader(lines)
            columns, rows = read.fieldnames or [], list(read)
    except OSError as problem:
        sys.exit(f"{file}: {problem.strerror}")
    if missing := [name for name in ("path", "expect") if name not in columns]:
        sys.exit(f"{file}: has the columns {', '.join(columns)}, and not {', '.join(missing)}")
    return rows


def way_of(path: str, storage: Storage, renditions: Path) -> tuple[str, str, str]:
    """Through both functions: how it ended, the reject's code, and what was said."""
    source = {"bucket": UPLOADS, "key": SETTINGS.upload_prefix + path, "version_id": "1", "etag": "1"}
    event = {"source": source, "execution": "corpus"}
    verdict = validate.handler(event, Context(), storage)
    validate.examiner().close()  # so that what it cost is counted
    if not verdict["accepted"]:
        return "rejected", verdict["error"]["code"], verdict["error"]["message"]
    for planned in verdict["renditions"]:
        resize.handler({**event, "rendition": planned}, Context(), storage)
        with Image.open(renditions / planned["key"]) as made:
            assert made.size == (planned["width"], planned["height"]), f"{planned} is {made.size}"
    return "accepted", "", ""


def in_a_process_of_its_own(work: Callable[[], tuple[str, str, str]]) -> tuple[tuple[str, str, str], float, float]:
    """What the work gives, or how it died; its seconds of CPU; its peak in MB, with what was loaded before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the functions' own log lines
        try:
            answer = work()
        except Exception:
            answer = "raised", "", traceback.format_exc().strip().splitlines()[-1]
        with os.fdopen(writing, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        written = pipe.read()
    _, status, usage = os.wait4(child, 0)
    died = "raised", "", f"the process ended with {os.waitstatus_to_exitcode(status)}"
    return tuple(json.loads(written)) if written else died, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def report(ends: Sequence[End], before: float) -> None:
    counted = Counter((end.expect, end.ended) for end in ends)
    expectations = sorted({end.expect for end in ends})
    show_table(("expected", *ENDS), [(expect, *(counted[expect, ended] for ended in ENDS)) for expect in expectations])
    disagreeing = [(end.path, end.expect, end.ended, end.said) for end in ends if not end.agrees]
    typer.echo(f"\ndisagreeing      {len(disagreeing)}")
    if disagreeing:
        show_table(("", "", "", ""), disagreeing)
    codes = Counter(end.code for end in ends if end.ended == "rejected")
    show_table(("\nrejected as", "files"), codes.most_common())
    slowest, largest = max(ends, key=lambda end: end.seconds), max(ends, key=lambda end: end.peak)
    typer.echo(f"\nslowest file     {slowest.seconds:.2f} s of CPU for all its renditions: {slowest.path}")
    typer.echo(f"highest memory   {largest.peak:.0f} MB, of which {before:.0f} MB before the picture: {largest.path}")


def is_private(corpus: Path, renditions: Path) -> bool:
    """Whether exiftool finds nothing in the renditions but pixels. Of the originals it says how many had something."""
    if not shutil.which("exiftool"):
        typer.echo("\nprivacy          NOT CHECKED: exiftool is not installed (Debian: libimage-exiftool-perl)")
        return True
    had = exiftool(corpus)
    found = exiftool(renditions)
    private = sum(any(PRIVATE.search(tag) for tag in tags) for tags in had.values())
    typer.echo(f"\nprivacy          {private} originals name a place, a serial number, an owner or hold a thumbnail")
    typer.echo(f"                 {len(found)} renditions, {sum(map(bool, found.values()))} with anything but pixels")
    if any(found.values()):
        show_table(("", ""), [(path, " ".join(tags)) for path, tags in found.items() if tags])
    return not any(found.values())


def exiftool(folder: Path) -> dict[str, list[str]]:
    """Of each picture the tags that came with its pixels."""
    command = ["exiftool", "-json", "-G0", "-a", "-u", "-ee", "-r", "-q", str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # 1 if a file is broken
    return {
        file["SourceFile"]: [tag for tag in file if tag.split(":")[0] in FOREIGN or PRIVATE.search(tag)]
        for file in json.loads(answer or "[]")
    }


def families_agree(paths: Sequence[str], corpus: Path, renditions: Path) -> bool:
    """Whether pictures of one scene, stored in different orientations, give renditions that are equal.

    Measured is the mean absolute difference over all pixels and channels between a rendition and the median of its
    family, of the member where it is largest. Beside it the same for a full decode, turned and resized with Lanczos:
    the members are separate JPEGs and differ by themselves. WebP's own loss is no matter of orientation; PNG decides.
    """
    members = defaultdict(list)
    for path in paths:
        if family := FAMILY.fullmatch(path):
            members[family[1]].append(path)
    lines, fine = [], True
    for scene, files in members.items():
        for name in ("thumb.png", "small.png", "thumb.webp", "small.webp"):
            ours = [opened(next((renditions / path).glob(f"*/{name}"))) for path in files]
            theirs = [plain(corpus / path, ours[0].size, name) for path in files]
            lines.append((scene, name, *(f"{furthest(pictures):.2f}" for pictures in (ours, theirs))))
            fine &= name.endswith("webp") or furthest(ours) < LARGEST_DIFFERENCE
    if lines:
        show_table(("\nfamily", "rendition", "worst difference of 255", "plain Pillow's"), lines)
    return fine


def plain(file: Path, size: tuple[int, int], name: str) -> Image.Image:
    with Image.open(file) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    encoded = BytesIO()
    ImageOps.fit(upright, size, Image.Resampling.LANCZOS).save(encoded, Path(name).suffix[1:], quality=80)
    return opened(encoded)


def opened(file: Path | BytesIO) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("RGB")


def furthest(pictures: Sequence[Image.Image]) -> float:
    middle = median(pictures)
    return max(sum(ImageStat.Stat(ImageChops.difference(middle, one)).mean) / 3 for one in pictures)


def median(pictures: Sequence[Image.Image]) -> Image.Image:
    """Of each pixel and channel: a bubble sort of whole pictures."""
    by_brightness = list(pictures)
    for end in range(len(by_brightness) - 1, 0, -1):
        for at in range(end):
            two = by_brightness[at], by_brightness[at + 1]
            by_brightness[at : at + 2] = ImageChops.darker(*two), ImageChops.lighter(*two)
    return by_brightness[len(by_brightness) // 2]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(not run(Path(sys.argv[1]), Path(made)))
