"""What Validate would be given if settings were changed: `python -m stacks.proposed REGION NAME=VALUE ...`, with what
that of the deployed stack is given as JSON on stdin. Prints both as JSON, or ends with what is wrong with a setting."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from stacks.settings import Settings, SettingsError, read_settings

Environment = Mapping[str, str]


def deployed(given: Environment) -> dict[str, Any]:
    """The settings that gave Validate this environment, as far as it depends on them."""
    renditions = json.loads(given["RENDITIONS"])
    limits = {"max_bytes": int(given["MAX_BYTES"]), "max_pixels": int(given["MAX_PIXELS"])}
    if animated := json.loads(given.get("MAX_ANIMATED_PIXELS", "null")):
        limits["max_animated_pixels"] = animated
    return {
        "upload_prefix": given["UPLOAD_PREFIX"],
        "renditions": {one["name"]: {name: one[name] for name in one if name != "name"} for one in renditions},
        "quality": json.loads(given["QUALITY"]),
        "background": given["BACKGROUND"],
        "keep_copyright": json.loads(given["KEEP_COPYRIGHT"]),
        "keep_location": json.loads(given.get("KEEP_LOCATION", "false")),
        **{name: json.loads(given.get(name.upper(), "false")) for name in Settings().decoders},
        "limits": limits,
    }


def proposed(given: Environment, changes: Mapping[str, str], region: str) -> dict[str, Environment]:
    """Both by this checkout, so that they differ in nothing but the changes. Raises SettingsError."""
    today = deployed(given)
    return {
        "today": read_settings(today, region).for_validate(),
        "proposed": read_settings({**today, **changes}, region).for_validate(),
    }


def main(region: str, *chosen: str) -> None:
    changes = dict(one.split("=", 1) for one in chosen)
    try:
        both = proposed(json.load(sys.stdin), changes, region)
    except SettingsError as wrong:
        sys.exit(str(wrong))
    sys.stdout.write(json.dumps(both))


if __name__ == "__main__":
    main(*sys.argv[1:])
