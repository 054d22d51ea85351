"""The code on docs/events.md that checks a signature, as a receiver would run it."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from functions.notify import signature

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text()
NOW = 1_764_144_000
BODY = '{"detail": {"key": "raw/é.jpg"}}'
GENUINE = signature(BODY.encode(), b"new", NOW)
ZEROS = f"t={NOW},v1={'0' * 64}"
CASES: dict[str, tuple[str, str, list[str], int, bool]] = {
    "as it came": (BODY, GENUINE, ["new"], NOW, True),
    "while both secrets hold": (BODY, GENUINE, ["old", "new"], NOW + 299, True),
    "another body": (BODY + " ", GENUINE, ["new"], NOW, False),
    "another secret": (BODY, GENUINE, ["old"], NOW, False),
    "no secret": (BODY, GENUINE, [], NOW, False),
    "too old": (BODY, GENUINE, ["new"], NOW + 301, False),
    "of the future": (BODY, GENUINE, ["new"], NOW - 301, False),
    "the time is another": (BODY, GENUINE.replace(str(NOW), str(NOW + 1)), ["new"], NOW, False),
    "made up": (BODY, ZEROS, ["new"], NOW, False),
    "no signature": (BODY, "", ["new"], NOW, False),
    "half a signature": (BODY, GENUINE[:-1], ["new"], NOW, False),
    "something behind it": (BODY, GENUINE + "\n", ["new"], NOW, False),
}


def code(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.parametrize(("body", "header", "secrets", "now", "genuine"), CASES.values(), ids=CASES)
def test_in_python(body: str, header: str, secrets: list[str], now: int, genuine: bool) -> None:
    names: dict[str, Any] = {}
    exec(code("python"), names)
    given = [one.encode() for one in secrets]
    assert names["is_genuine"](body.encode(), header, given, now) is genuine


def test_in_javascript(tmp_path: Path) -> None:
    """All of them in one process of node."""
    given = [case[:4] for case in CASES.values()]
    asked = f"console.log(JSON.stringify({json.dumps(given)}.map((one) => isGenuine(...one))));"
    file = tmp_path / "receiver.mjs"
    file.write_text(f"{code('javascript')}\n{asked}\n")
    ran = subprocess.run(["node", str(file)], capture_output=True, text=True, check=True)
    assert dict(zip(CASES, json.loads(ran.stdout), strict=True)) == {name: case[4] for name, case in CASES.items()}
