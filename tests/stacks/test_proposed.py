"""What Validate would be given by other settings than those of the deployed stack."""

import pytest

from stacks.proposed import proposed
from stacks.settings import SettingsError, read_settings

REGION = "eu-central-1"
CHOSEN = {
    "upload_prefix": "in/",
    "renditions": {
        "hero": {"width": 900, "height": 300, "fit": "cover", "crop": "entropy", "formats": ["avif"]},
        "moving": {"width": 200, "height": 200, "animated": True},
    },
    "quality.avif": 40,
    "background": "#000000",
    "keep_copyright": True,
    "keep_location": True,
    "limits.max_animated_pixels": 7_000_000,
    "heic": True,
    "jxl": True,
    "limits.max_pixels": 5_000_000,
}


@pytest.mark.parametrize("context", [{}, CHOSEN])
def test_without_a_change_it_is_what_the_deployed_one_is_given(context):
    """Whatever cdk.json says by now."""
    given = read_settings(context).for_validate()
    assert proposed(given, {}, REGION) == {"today": given, "proposed": given}


def test_a_change_is_over_what_is_deployed():
    given = read_settings(CHOSEN).for_validate()
    changed = proposed(given, {"quality.webp": "60", "renditions.hero.height": "450"}, REGION)["proposed"]
    renditions = CHOSEN["renditions"] | {"hero": {**CHOSEN["renditions"]["hero"], "height": 450}}
    expected = read_settings({**CHOSEN, "quality.webp": 60, "renditions": renditions}).for_validate()
    assert changed == expected


def test_a_group_takes_the_place_of_the_deployed_one():
    given = read_settings(CHOSEN).for_validate()
    changed = proposed(given, {"limits": '{"max_bytes": 9}'}, REGION)["proposed"]
    assert (changed["MAX_BYTES"], changed["MAX_PIXELS"]) == ("9", "100000000")


@pytest.mark.parametrize("changes", [{"quality.webp": "0"}, {"qualty.webp": "60"}, {"renditions": "{"}])
def test_a_wrong_one_is_refused_as_everywhere(changes):
    with pytest.raises(SettingsError) as ours:
        proposed(read_settings({}).for_validate(), changes, REGION)
    with pytest.raises(SettingsError) as theirs:
        read_settings(changes)
    assert str(ours.value) == str(theirs.value)
