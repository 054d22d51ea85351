"""What `darkroom up` hands to the CDK command line. That it deploys is shown in tests/e2e."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from darkroom.errors import DeployError
from darkroom.local import deploy
from darkroom.local.cloud import Cloud


class Cdk:
    """The command line, as far as it is looked at: the settings it was given last."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.fails = False

    def __call__(self, _cloud: Cloud, arguments: list[str], _news: Any) -> None:
        if arguments[0] == "synth":
            given = [value for option, value in pairwise(arguments) if option == "-c"]
            self.settings = dict(one.split("=", 1) for one in given)
        if self.fails:
            raise DeployError("cdk failed")


@pytest.fixture
def cdk(monkeypatch: pytest.MonkeyPatch) -> Cdk:
    cdk = Cdk()
    monkeypatch.setattr(deploy, "_cdk", cdk)
    monkeypatch.setattr(deploy, "_bootstrapped", lambda _: True)
    monkeypatch.setattr(deploy, "check_tools", lambda: None)
    return cdk


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    (tmp_path / "data").mkdir()
    return Cloud(tmp_path, pid=1, port=1, since="")


def chosen(cdk: Cdk) -> dict[str, str]:
    return {name: value for name, value in cdk.settings.items() if name not in deploy.local_settings()}


def test_a_setting_holds_until_it_is_set_anew_or_taken_back(cdk: Cdk, cloud: Cloud):
    """Else `darkroom up` after `make demo` would switch the captions off again, unasked and unsaid."""
    deploy.deploy(cloud, {"captions.enabled": "true", "background": "#000000"})
    said: list[str] = []
    deploy.deploy(cloud, say=said.append)
    assert chosen(cdk) == {"captions.enabled": "true", "background": "#000000"}
    assert said == ["Settings besides cdk.json: captions.enabled=true, background=#000000"]
    deploy.deploy(cloud, {"captions.enabled": "false", "background": ""})
    assert chosen(cdk) == {"captions.enabled": "false"}


def test_a_group_takes_the_place_of_what_was_set_in_it(cdk: Cdk, cloud: Cloud):
    deploy.deploy(cloud, {"captions.enabled": "true", "limits.max_bytes": "1"})
    deploy.deploy(cloud, {"captions": '{"enabled": false}'})
    assert chosen(cdk) == {"captions": '{"enabled": false}', "limits.max_bytes": "1"}


def test_a_setting_that_could_not_be_deployed_is_not_kept(cdk: Cdk, cloud: Cloud):
    cdk.fails = True
    with pytest.raises(DeployError):
        deploy.deploy(cloud, {"captions.enabled": "perhaps"})
    cdk.fails = False
    deploy.deploy(cloud)
    assert chosen(cdk) == {}


def test_what_this_machine_needs_can_be_set_otherwise_and_back(cdk: Cdk, cloud: Cloud):
    deploy.deploy(cloud, {"map_concurrency": "1"})
    assert cdk.settings["map_concurrency"] == "1"
    deploy.deploy(cloud, {"map_concurrency": ""})
    assert cdk.settings == deploy.local_settings()
