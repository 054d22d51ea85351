"""CPU, time, memory, bytes and quality of the default renditions: ours, plain Pillow's and libvips', interleaved."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median

from PIL import Image

from benchmarks import contenders
from benchmarks.clock import Spent, least
from benchmarks.contenders import CONTENDERS
from benchmarks.photos import Photo, targets
from benchmarks.process import in_new_process
from benchmarks.quality import full, reference
from benchmarks.report import Figure, begin, show, tick
from comparison.similarity import ssim
from functions.imaging import Target

# Bars: CPU of all default renditions, ours / libvips.
CPU_BARS = {"webp": 0.85, "jpeg": 0.95, "avif": 0.88}
SSIM_BAR, BYTES_BAR = -0.002, 1.02


@dataclass(frozen=True, slots=True)
class Made:
    spent: Spent
    bytes: int
    ssim: float


Row = tuple[Made, ...]  # of one rendition of one photo, in the order of CONTENDERS


def measure(photos: Sequence[Photo], format_name: str) -> list[Figure]:
    """Print the table of one output format; the figures that have a bar are returned."""
    rows: dict[str, list[Row]] = {}
    for photo in photos:
        begin(f"{format_name}: {photo.path.name}")
        whole = full(photo.data)
        for name, target in targets(photo.facts, format_name).items():
            rows.setdefault(name, []).append(_row(photo, target, whole))
    begin(f"{format_name}: memory")
    _show(rows, _peaks(photos, format_name))
    return _figures(format_name, rows)


def _row(photo: Photo, target: Target, whole: Image.Image) -> Row:
    works = [partial(contender, photo.data, target) for contender in CONTENDERS]
    wanted = reference(whole, target)
    pictures = [work() for work in works]
    return tuple(
        Made(spent, len(picture), ssim(wanted, Image.open(BytesIO(picture)).convert("RGB")))
        for spent, picture in zip(least(works), pictures, strict=True)
    )


def _peaks(photos: Sequence[Photo], format_name: str) -> dict[str, list[float]]:
    """MB for each rendition of the photo with most pixels, in the order of CONTENDERS."""
    photo = max(photos, key=lambda one: one.facts.width * one.facts.height)
    return {
        name: [_peak(photo, contender.__name__, target) for contender in CONTENDERS]
        for name, target in targets(photo.facts, format_name).items()
    }


def _peak(photo: Photo, contender: str, target: Target) -> float:
    tick()
    return in_new_process(make, contender, str(photo.path), json.dumps(asdict(target))).peak


def make(contender: str, path: str, target: str) -> None:
    """One rendition in a process of its own."""
    work: Callable[[bytes, Target], bytes] = getattr(contenders, contender)
    work(Path(path).read_bytes(), Target(**json.loads(target)))


def _show(rows: dict[str, list[Row]], peaks: dict[str, list[float]]) -> None:
    """Medians over the photos; each cell has ours, Pillow's and libvips', a ratio is ours to that of the other."""
    columns = ("ours · Pillow · libvips", "CPU ms", "/ libvips", "/ Pillow", "wall ms", "peak MB", "kB", "SSIM")
    show(columns, [_line(name, made, peaks[name]) for name, made in rows.items()])


def _line(name: str, made: list[Row], peak: list[float]) -> tuple[str, ...]:
    return (
        name,
        _each(made, lambda one: one.spent.cpu * 1000, ".0f"),
        f"{_ratio(made, lambda one: one.spent.cpu):.3f}",
        f"{_ratio(made, lambda one: one.spent.cpu, to=1):.3f}",
        _each(made, lambda one: one.spent.wall * 1000, ".0f"),
        " · ".join(f"{one:.0f}" for one in peak),
        _each(made, lambda one: one.bytes / 1000, ".1f"),
        _each(made, lambda one: one.ssim, ".4f"),
    )


def _each(made: list[Row], of: Callable[[Made], float], form: str) -> str:
    by_contender = zip(*made, strict=True)
    return " · ".join(format(median(of(one) for one in column), form) for column in by_contender)


def _ratio(made: list[Row], of: Callable[[Made], float], to: int = 2) -> float:
    return median(of(row[0]) / of(row[to]) for row in made)


def _figures(format_name: str, rows: dict[str, list[Row]]) -> list[Figure]:
    by_photo = zip(*rows.values(), strict=True)
    totals = [[sum(row[who].spent.cpu for row in renditions) for who in (0, 2)] for renditions in by_photo]
    cpu = Figure(
        f"{format_name}: CPU of all renditions, ours / libvips",
        median(ours / libvips for ours, libvips in totals),
        CPU_BARS[format_name],
    )
    quality = [
        Figure(
            f"{format_name} {name}: SSIM, ours - libvips",
            median(row[0].ssim - row[2].ssim for row in made),
            SSIM_BAR,
            at_least=True,
            form="+.4f",
        )
        for name, made in rows.items()
    ]
    size = [
        Figure(f"{format_name} {name}: bytes, ours / libvips", _ratio(made, lambda one: one.bytes), BYTES_BAR)
        for name, made in rows.items()
    ]
    return [cpu, *quality, *size]
