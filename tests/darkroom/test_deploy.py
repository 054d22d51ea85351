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

    def assembly(self, settings: dict[str, str], _region: str) -> Path:
        self.settings = settings
        if self.fails:
            raise DeployError("cdk failed")
        return Path()

    def made_of(self, settings: dict[str, str]) -> str:
        return f"{self.source} {settings}"

    def run(self, _cloud: Cloud, arguments: list[str], _news: Any, **_where: Any) -> None:
        self.commands.append(arguments[0])
        if arguments[0] == "deploy":
            self.update()

    def update(self, status: str = "UPDATE_COMPLETE") -> None:
        name = self.settings["stack"]
        self.stacks[name] = {
            "StackId": name,
            "CreationTime": "first",
            "LastUpdatedTime": len(self.commands),
            "StackStatus": status,
        }


@pytest.fixture
def cdk(monkeypatch: pytest.MonkeyPatch) -> Cdk:
    cdk = Cdk()
    monkeypatch.setattr(deploy, "_cdk", cdk.run)
    monkeypatch.setattr(deploy, "assembly", cdk.assembly)
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


def test_each_stack_has_settings_of_its_own(cdk: Cdk, cloud: Cloud):
    """Those that hold, and whether anything has changed."""
    deploy.deploy(cloud, {"background": "#000000"})
    deploy.deploy(cloud, {"background": "#ffffff"}, stack="Staging")
    assert (cdk.settings["stack"], chosen(cdk)) == ("Staging", {"background": "#ffffff"})
    deploy.deploy(cloud)
    deploy.deploy(cloud, stack="Staging")
    assert cdk.commands == ["deploy", "deploy"]
    deploy.deploy(cloud, {"heic": "true"})
    assert (cdk.settings["stack"], chosen(cdk)) == ("Darkroom", {"background": "#000000", "heic": "true"})


def test_a_file_of_settings_takes_the_place_of_all_that_were_set(cdk: Cdk, cloud: Cloud, tmp_path: Path):
    """What is gone from the file is gone from the stack. What this machine needs is not the file's to say."""
    file = tmp_path / "staging.json"
    file.write_text('{"stack": "Staging", "heic": true, "limits": {"max_bytes": 7}, "architecture": "s390"}')
    deploy.deploy(cloud, {"background": "#000000"}, stack="Staging")
    settings = deploy.of_file(file)
    stack = settings.pop("stack")
    deploy.deploy(cloud, settings, stack=stack, anew=True)
    assert chosen(cdk) == {"heic": "true", "limits": '{"max_bytes": 7}'}
    assert cdk.settings["architecture"] == deploy.local_settings()["architecture"]


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("{", ["up", "--settings", "FILE"], "staging.json is not JSON: Expecting property name"),
        ("[]", ["up", "--settings", "FILE"], "staging.json must be a JSON object of settings"),
        ('{"stack": "a b"}', ["up", "--settings", "FILE"], 'stack = "a b": must be text of the form'),
        ('{"heic": 7}', ["up", "--settings", "FILE"], 'heic = "7": must be true or false'),
        ('{"stack": "A"}', ["--stack", "B", "up", "--settings", "FILE"], "`stack` says A, and --stack says B"),
        ("{}", ["up", "--no-deploy", "--settings", "FILE"], "a setting needs a deployment"),
        ("{}", ["--stack", "a_b", "up"], 'stack = "a_b": must be text of the form'),
    ],
)
def test_a_wrong_file_or_name_is_said_before_anything_starts(
    text: str, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "staging.json"
    file.write_text(text)
    monkeypatch.setattr("darkroom.cli.local.started", lambda *_, **__: pytest.fail("it starts"))
    result = darkroom(*(str(file) if one == "FILE" else one for one in arguments))
    assert result.exit_code == 2
    words = result.stderr.replace("│", "").split()  # which break where the folder's name is long
    assert said.replace(" ", "") in "".join(words)


def test_a_stack_is_named_by_its_file_by_the_option_or_by_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[Any] = []
    monkeypatch.setattr("darkroom.cli.local._check", lambda *_: None)
    monkeypatch.setattr(
        "darkroom.cli.local.started",
        lambda *given, **more: started.append((*given, more)) or Cloud(tmp_path, pid=1, port=1, since=""),
    )
    file = tmp_path / "staging.json"
    file.write_text('{"stack": "Staging", "heic": true}')
    darkroom("up", "--settings", file, "--set", "background=#000000")
    darkroom("--stack", "Other", "up")
    monkeypatch.setenv("DARKROOM_STACK", "Third")
    darkroom("up", "--set", "heic=true")
    assert started == [
        (None, {"heic": "true", "background": "#000000"}, "Staging", {"anew": True}),
        (None, {}, "Other", {"anew": False}),
        (None, {"heic": "true"}, "Third", {"anew": False}),
    ]


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
