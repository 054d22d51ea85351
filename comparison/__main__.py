"""Makes the renditions of one picture by each of several settings: `python -m comparison`, with a request as JSON on
stdin. The answer, as JSON on stdout, has the plan of each, its files, and how like the lossless picture they are.

A request: `picture`, the path of the original; `focus`, what its uploader wrote as that; `folder`, where the files go;
and `settings`, by name the environment that Validate would read them from.
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from comparison.similarity import WINDOW, ssim
from functions.examiner import Examiner
from functions.imaging import Facts, Limits, Rejected, Target, render
from functions.imaging.crop import focal_point
from functions.storage import Source
from functions.validate import Settings, planned_renditions

BEST = 100  # of JPEG's qualities
MOST_MEMORY = 2 << 30  # bytes, to examine a picture
LEAST_SIDE = WINDOW + WINDOW // 2  # pixels: both grids of windows have one

Reference = Callable[[Target], bytes]


def compared(data: bytes, folder: Path, settings: Mapping[str, Settings], focus: str = "") -> dict[str, Any]:
    """What each makes of the picture: `renditions`, or why it is `rejected`. Each file's name begins with that of the
    settings."""

    @cache
    def verdict(limits: Limits, cpu_seconds: int) -> Facts:
        with closing(Examiner(limits, cpu_seconds, MOST_MEMORY)) as examiner:
            return examiner.examine(lambda: data)

    @cache
    def reference(target: Target) -> bytes:
        return render(data, target).data

    def made(name: str, chosen: Settings) -> dict[str, Any]:
        try:
            facts = verdict(chosen.limits, chosen.max_cpu_seconds)
        except Rejected as rejected:
            return {"rejected": {"code": rejected.code, "message": rejected.message}}
        source: Source = {"bucket": "", "key": f"{chosen.upload_prefix}picture", "version_id": "", "etag": ""}
        planned = planned_renditions(source, {**asdict(facts), "content_hash": ""}, chosen, "")
        targets = [replace(Target.of(one), focus=focal_point(focus)) for one in planned]  # as Resize does
        files = [f"{name}-{one['key'].rpartition('/')[2]}" for one in planned]
        return {
            "renditions": [
                {"name": one["name"], **_written(data, target, folder / file, reference)}
                for one, target, file in zip(planned, targets, files, strict=True)
            ]
        }

    return {name: made(name, chosen) for name, chosen in settings.items()}


def _written(data: bytes, target: Target, file: Path, reference: Reference) -> dict[str, Any]:
    rendered = render(data, target)
    file.write_bytes(rendered.data)
    return {
        "file": file.name,
        "format": rendered.format,
        "width": rendered.width,
        "height": rendered.height,
        "bytes": len(rendered.data),
        "ssim": _similarity(rendered.data, reference(_lossless(target)), target),
    }


def _lossless(target: Target) -> Target:
    """The same picture with next to nothing lost. PNG itself loses nothing, but is scaled by another path than the
    other formats, and might be cropped elsewhere where that depends on its pixels. Of an animation its first frame."""
    if target.format == "png":
        return target
    return replace(target, format="jpeg", quality=BEST, keep_copyright=False, animated=False)


def _similarity(one: bytes, other: bytes, target: Target) -> float | None:
    """None of pictures too small for it."""
    if min(target.width, target.height) < LEAST_SIDE:
        return None
    return round(ssim(_seen(one, target.background), _seen(other, target.background)), 4)


def _seen(data: bytes, background: str) -> Image.Image:
    """Without transparency."""
    picture = Image.open(BytesIO(data)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, background), picture)


def main() -> None:
    asked = json.load(sys.stdin)
    settings = {name: Settings.read(environment) for name, environment in asked["settings"].items()}
    answer = compared(Path(asked["picture"]).read_bytes(), Path(asked["folder"]), settings, asked["focus"])
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
