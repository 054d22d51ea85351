"""The table of pictures in docs/formats.md shows what the code makes now."""

import io
import re
from pathlib import Path

from PIL import Image, ImageChops, ImageStat

from benchmarks.gallery import pictures

ROOT = Path(__file__).resolve().parents[2]
DRAWN = ROOT / "docs" / "pictures"


def test_the_page_shows_every_picture_and_no_other():
    """A row forgotten, or a file left over, would go unnoticed."""
    shown = set(re.findall(r"\(pictures/([^)]+)\)", (ROOT / "docs" / "formats.md").read_text()))
    assert shown == {file.name for file in DRAWN.iterdir()}


def test_the_pictures_are_what_the_code_makes():
    """`make gallery` was run since the last change that can be seen; another encoder's last bits are none."""
    made = dict(pictures())
    assert set(made) == {file.name for file in DRAWN.iterdir()}
    for name, content in made.items():
        now, then = (Image.open(picture).convert("RGBA") for picture in (io.BytesIO(content), DRAWN / name))
        assert now.size == then.size, name
        assert max(ImageStat.Stat(ImageChops.difference(now, then)).mean) < 2, name
