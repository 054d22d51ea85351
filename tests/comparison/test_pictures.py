"""One picture by two sets of settings: with the files that the functions would make, and measured against no loss."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from comparison.__main__ import compared
from darkroom.local.pictures import animated_gif, encoded, landscape, photo, transparent_png
from functions.imaging import Target, render
from functions.validate import Settings
from stacks.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"renditions": {"small": {"width": 60, "height": 60}}}


def given(**settings: Any) -> dict[str, str]:
    return read_settings({**SMALL, **settings}).for_validate()


def both(data: bytes, folder: Path, today: dict[str, str], proposed: dict[str, str]) -> tuple[Any, Any]:
    made = compared(data, folder, {"today": Settings.read(today), "proposed": Settings.read(proposed)})
    return made["today"], made["proposed"]


def test_its_files_are_those_of_the_functions(tmp_path: Path):
    """To the byte, as `python -m comparison` writes them."""
    original = tmp_path / "original"
    original.write_bytes(photo(96, 64, orientation=6))
    asked = {"picture": str(original), "focus": "", "folder": str(tmp_path), "settings": {"today": given()}}
    command = [sys.executable, "-m", "comparison"]
    done = subprocess.run(command, input=json.dumps(asked), cwd=ROOT, capture_output=True, text=True, check=True)
    [made] = json.loads(done.stdout)["today"]["renditions"]
    theirs = render(original.read_bytes(), Target("webp", 40, 60, quality=80)).data
    assert (tmp_path / made["file"]).read_bytes() == theirs
    assert (made["name"], made["width"], made["height"], made["bytes"]) == ("small", 40, 60, len(theirs))


@pytest.mark.parametrize("format_name", ["webp", "jpeg", "avif"])
@pytest.mark.parametrize("picture", [photo(200, 150), transparent_png(200, 150)], ids=["photo", "transparent"])
def test_less_quality_is_fewer_bytes_and_less_like_the_picture(tmp_path: Path, picture: bytes, format_name: str):
    renditions = {"small": {"width": 128, "height": 128, "formats": [format_name]}}
    qualities = [given(renditions=renditions, quality={format_name: quality}) for quality in (90, 20)]
    today, proposed = (made["renditions"][0] for made in both(picture, tmp_path, *qualities))
    assert today["bytes"] > proposed["bytes"]
    assert 1 >= today["ssim"] > proposed["ssim"] > 0.5


@pytest.mark.parametrize("crop", ["center", "entropy"])
def test_a_crop_is_measured_against_the_same_part(tmp_path: Path, crop: str):
    """Else a picture would be unlike itself."""
    wide = encoded(landscape(400, 100), "JPEG", quality=95)
    renditions = {"thumb": {"width": 64, "height": 64, "fit": "cover", "crop": crop, "formats": ["webp", "png"]}}
    made, _ = both(wide, tmp_path, *[given(renditions=renditions, quality={"webp": 100})] * 2)
    webp, png = made["renditions"]
    assert webp["ssim"] > 0.98
    assert png["ssim"] == 1


def test_a_focus_is_kept_as_resize_does(tmp_path: Path):
    """And it is measured against that part."""
    wide = encoded(landscape(400, 100), "JPEG", quality=95)
    thumb = given(renditions={"thumb": {"width": 64, "height": 64, "fit": "cover"}}, quality={"webp": 100})
    made = compared(wide, tmp_path, {"today": Settings.read(thumb)}, "0,0.5")["today"]["renditions"][0]
    theirs = render(wide, Target("webp", 64, 64, fit="cover", quality=100, focus=(0.0, 0.5)))
    assert (tmp_path / made["file"]).read_bytes() == theirs.data
    assert theirs.data != render(wide, Target("webp", 64, 64, fit="cover", quality=100)).data
    assert made["ssim"] > 0.98


def test_of_an_animation_the_first_frame_is_measured(tmp_path: Path):
    renditions = {"small": {"width": 60, "height": 60, "animated": True}}
    made, _ = both(animated_gif(96, 64), tmp_path, *[given(renditions=renditions)] * 2)
    assert made["renditions"][0]["ssim"] > 0.8


def test_a_picture_that_is_taken_by_one_of_both_is_made_by_that_one(tmp_path: Path):
    today, proposed = both(photo(96, 64), tmp_path, given(limits={"max_pixels": 100}), given())
    assert today["rejected"]["code"] == "too_many_pixels"
    assert len(proposed["renditions"]) == 1
    assert [file.name for file in tmp_path.iterdir()] == [proposed["renditions"][0]["file"]]


def test_a_picture_too_small_for_it_has_no_similarity(tmp_path: Path):
    made, _ = both(photo(96, 11), tmp_path, *[given(renditions={"small": {"width": 96, "height": 96}})] * 2)
    assert made["renditions"][0]["ssim"] is None
    made, _ = both(photo(96, 12), tmp_path, *[given(renditions={"small": {"width": 96, "height": 96}})] * 2)
    assert made["renditions"][0]["ssim"] > 0.8
