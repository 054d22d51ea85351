"""The policies of docs/policies with the names of a stack; on the deployed stack they are used by `tests/e2e`."""

import json
import re
from pathlib import Path

import pytest

from darkroom.pipeline.policies import FOLDER
from tests.darkroom.conftest import darkroom


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_policy_names_everything_of_the_stack_and_nothing_by_a_bare_star(path: Path):
    """But what has no resource to name."""
    result = darkroom("--aws", "policy", path.stem)
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert "$" not in result.stdout
    assert len(result.stdout) < 6144  # of a managed policy
    stars = [one["Sid"] for one in printed["Statement"] if one["Resource"] == "*"]
    assert stars == (["RulesThatHaveNoResource"] if path.stem == "smoke" else [])
    assert set(re.findall(r"arn:aws:\w+:(\S*?):(\d*):", result.stdout)) <= {("eu-central-1", "123456789012"), ("", "")}


@pytest.mark.usefixtures("account")
def test_without_a_stack_there_are_no_names_to_put_in():
    result = darkroom("--aws", "policy", "viewer")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "run `make deploy`" in result.stderr
