"""What `darkroom up` hands to the CDK command line. That it deploys is shown in tests/e2e."""

from pathlib import Path
from typing import Any

import pytest

from darkroom.errors import DeployError
from darkroom.local import deploy
from darkroom.local.cloud import Cloud
from tests.darkroom.conftest import darkroom


class Cdk:
    """The app and the command line, as far as they are looked at: what they were given, and the stack there is."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.source = "as it is"
        self.fails = False
        self.stacks: dict[str, Any] = {"CDKToolkit": {}}
        self.commands: list[str] = []

    def synthesise(self, _folder: Path, settings: dict[str, str], _region: str) -> None:
        self.settings = settings
        if self.fails:
            raise DeployError("cdk failed")

    def made_of(self, settings: dict[str, str]) -> str:
        return f"{self.source} {settings}"

    def run(self, _cloud: Cloud, arguments: list[str], _news: Any, **_where: Any) -> None:
        self.commands.append(arguments[0])
        if arguments[0] == "deploy":
            self.update()

    def update(self, status: str = "UPDATE_COMPLETE") -> None:
        self.stacks["Darkroom"] = {
            "StackId": "one",
            "CreationTime": "first",
            "LastUpdatedTime": len(self.commands),
            "StackStatus": status,
        }


@pytest.fixture
def cdk(monkeypatch: pytest.MonkeyPatch) -> Cdk:
    cdk = Cdk()
    monkeypatch.setattr(deploy, "_cdk", cdk.run)
    monkeypatch.setattr(deploy, "synthesise", cdk.synthesise)
    monkeypatch.setattr(deploy, "made_of", cdk.made_of)
    monkeypatch.setattr(deploy, "_stacks", lambda _: dict(cdk.stacks))
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
    assert said[0] == "Settings besides cdk.json: captions.enabled=true, background=#000000"
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


def test_what_has_not_changed_is_not_deployed_again(cdk: Cdk, cloud: Cloud):
    said: list[str] = []
    for _ in range(2):
        deploy.deploy(cloud, say=said.append)
    assert cdk.commands == ["deploy"]
    assert said == ["The stack is deployed already, and nothing of what it is made of has changed"]


@pytest.mark.parametrize("change", ["source", "setting", "deployed by hand", "half deployed", "gone"])
def test_what_has_changed_is_deployed_again(cdk: Cdk, cloud: Cloud, change: str):
    """Also what somebody has changed without `darkroom up`: the stack is not the one that it deployed."""
    deploy.deploy(cloud)
    if change == "source":
        cdk.source = "changed"
    elif change == "deployed by hand":
        cdk.commands.append("update-stack")
        cdk.update()
    elif change == "half deployed":
        cdk.update("UPDATE_ROLLBACK_COMPLETE")
    elif change == "gone":
        del cdk.stacks["Darkroom"]
    deploy.deploy(cloud, {"captions.enabled": "true"} if change == "setting" else {})
    assert cdk.commands.count("deploy") == 2


def test_an_account_that_has_none_gets_its_bootstrap(cdk: Cdk, cloud: Cloud):
    cdk.stacks.clear()
    deploy.deploy(cloud)
    assert sorted(cdk.commands) == ["bootstrap", "deploy"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("quality=200", 'quality = "200": must be a group of webp, jpeg, avif'),
        ("quality.webp=200", 'quality.webp = "200": must be a whole number from 1 to 100'),
        ("captions.enable=true", "there is no such setting: did you mean captions.enabled?"),
    ],
)
def test_a_wrong_setting_is_said_once_and_before_anything_starts(
    setting: str, said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("darkroom.cli.local.started", lambda *_: pytest.fail("it starts"))
    result = darkroom("up", "--set", setting)
    assert result.exit_code == 2
    words = " ".join(result.stderr.replace("│", "").split())  # the frame breaks the lines
    assert words.count(said) == 1


def test_a_setting_is_looked_at_with_those_that_hold(cloud: Cloud, cdk: Cdk):
    """A group replaces its members, and an empty value takes one back."""
    deploy.deploy(cloud, {"functions.resize.reserved_concurrency": "2"})
    more = {"functions.resize.provisioned_concurrency": "3"}
    with pytest.raises(DeployError, match="more are provisioned than reserved"):
        deploy.check_settings(cloud.home, more)
    deploy.check_settings(cloud.home, {**more, "functions.resize.reserved_concurrency": ""})
    assert cdk.settings
