"""The folder of a local cloud: its owner's alone, whoever prepared it."""

import os
import stat
from pathlib import Path

import pytest

from darkroom.local import cloud, homes
from tests.darkroom.conftest import darkroom


@pytest.fixture
def home() -> Path:
    return cloud.home_folder()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(home: Path) -> list[str]:
    return [str(path.relative_to(home)) for path in (home, *home.rglob("*")) if mode(path) & 0o077]


def test_nobody_else_may_read_anything_in_it(home: Path):
    """Also what MiniStack writes, whatever the umask of the shell."""
    before = os.umask(0)
    try:
        assert darkroom("up", "--no-deploy").exit_code == 0
        assert {"root.json", "cloud.json", "cloud.log", "lock", "tls", "data"} <= {path.name for path in home.iterdir()}
    finally:
        os.umask(before)
        assert darkroom("down").exit_code == 0
    assert list((home / "data" / "state").iterdir())
    assert open_to_others(home) == []


def test_a_home_of_before_is_closed(tmp_path: Path):
    """It was open to every reader."""
    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "home" / "cloud.log").write_text("a secret")
    homes.claim(tmp_path / "home")
    assert open_to_others(tmp_path / "home") == []


def test_it_keeps_its_key(tmp_path: Path):
    """As its data lives on, so do the shells that were told the key; another cloud has another."""
    keys = []
    for home in (tmp_path, tmp_path, tmp_path / "other"):
        homes.claim(home)
        homes.make_root_key(home)
        keys.append(homes.root_key(home))
    assert keys[0] == keys[1] != keys[2]
    assert not keys[0]["AWS_ACCESS_KEY_ID"].startswith(("AKIA", "ASIA", "test"))
    assert len(keys[0]["AWS_SECRET_ACCESS_KEY"]) == 40


@pytest.mark.parametrize(
    "name",
    ["cloud.json.new", "cloud.log", "lock", "deploy.log", "root.json", "tls", "data/state", "tls/server.key.new"],
)
def test_a_link_that_somebody_prepared_is_not_followed(name: str, home: Path, tmp_path: Path):
    target = tmp_path / "precious"
    target.write_text("keep")
    (home / name).parent.mkdir(parents=True)
    (home / name).symlink_to(target)
    result = darkroom("up", "--no-deploy")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        f"darkroom: {home / name} is a symbolic link, which the local cloud does not follow: remove it",
    )
    assert target.read_text() == "keep"
    assert not (home / "cloud.json").exists()


def test_a_link_that_comes_later_is_not_followed_either(tmp_path: Path):
    """Neither by a file that is written at once nor by one that grows."""
    (tmp_path / "precious").write_text("keep")
    for name in ("cloud.json.new", "deploy.log"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        homes.write(tmp_path / "cloud.json", b"overwritten")
    with pytest.raises(OSError, match="symbolic link"):
        homes.private(str(tmp_path / "deploy.log"), os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    assert (tmp_path / "precious").read_text() == "keep"


@pytest.mark.parametrize("command", [["up", "--no-deploy"], ["down"], ["env"], ["status"], ["results"]])
def test_a_home_that_others_may_have_prepared_is_refused(command: list[str], home: Path):
    """What is in it says where the cloud is, and what is deployed in it."""
    home.mkdir()
    (home / "lock").touch()
    home.chmod(0o777)
    result = darkroom(*command)
    assert result.exit_code == 1
    assert f"others may write in {home} (mode 0o777)" in result.stderr


def test_an_empty_folder_is_closed_and_taken(tmp_path: Path):
    tmp_path.chmod(0o777)
    homes.claim(tmp_path)
    assert mode(tmp_path) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("command", [["up", "--no-deploy"], ["down"], ["env"], ["status"], ["results"]])
def test_a_home_of_somebody_else_is_refused(command: list[str], home: Path):
    home.mkdir(mode=0o700)
    (home / "lock").touch()
    os.chown(home, 65534, 65534)
    result = darkroom(*command)
    assert result.exit_code == 1
    assert f"{home} belongs to user 65534: set DARKROOM_HOME to a folder of your own" in result.stderr


def test_links_in_its_own_throwaway_folder_are_no_matter(tmp_path: Path):
    """The functions' processes have some there, also after a kill. It is removed before it is used again."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "layer").symlink_to(tmp_path)
    homes.claim(tmp_path)
