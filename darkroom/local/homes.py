"""The folder of a local cloud, its home. Only its owner may read it, and no symbolic link in it is followed.

Whoever can read it has the root key; whoever can write in it decides what the cloud runs.
"""

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from darkroom.errors import CloudError

ROOT_KEY = "root.json"


def check(home: Path) -> None:
    """Raises CloudError for a home that another user owns, or may have prepared."""
    found = home.stat()
    if found.st_uid != os.geteuid():
        raise CloudError(f"{home} belongs to user {found.st_uid}: set DARKROOM_HOME to a folder of your own")
    inside = list(home.iterdir())
    if inside and found.st_mode & 0o022:
        mode = oct(found.st_mode & 0o777)
        raise CloudError(f"others may write in {home} (mode {mode}): `chmod 700` it, if you trust what is in it")
    _refuse_links(inside)


def claim(home: Path) -> None:
    """Make the folder, or take the one that is there, for its owner alone. Raises CloudError as `check` does."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    check(home)
    home.chmod(0o700)
    for folder, folders, files in os.walk(home):
        if folder == str(home) and "tmp" in folders:
            folders.remove("tmp")  # the functions' own; the next start throws it away unread
        _refuse_links([Path(folder, name) for name in (*folders, *files)])
    for path in home.iterdir():
        with suppress(FileNotFoundError):  # another command has just put it in its place
            if path.is_file():  # an earlier version left them to everybody
                path.chmod(0o600)


def _refuse_links(paths: list[Path]) -> None:
    for path in paths:
        if path.is_symlink():
            raise CloudError(f"{path} is a symbolic link, which the local cloud does not follow: remove it")


def private(path: str, flags: int) -> int:
    """An opener for `open`: what it makes is its owner's alone, and it follows no symbolic link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def write(path: Path, data: bytes) -> None:
    """The whole file or none of it, for its owner alone."""
    new = path.with_name(f"{path.name}.new")
    with open(new, "wb", opener=private) as file:
        file.write(data)
    new.replace(path)


def make_root_key(home: Path) -> None:
    """Unless it has one: the data of a cloud lives on, and so does its key.

    No key of AWS looks like this one, so AWS refuses a command that goes there by mistake. 160 bits are random, as in
    AWS's own secrets.
    """
    if not (home / ROOT_KEY).exists():
        key = {"id": f"darkroom{secrets.token_hex(8)}", "secret": secrets.token_hex(20)}
        write(home / ROOT_KEY, json.dumps(key).encode())


def root_key(home: Path) -> dict[str, str]:
    """As variables for any AWS tool. Raises CloudError."""
    try:
        key = json.loads((home / ROOT_KEY).read_text())
    except FileNotFoundError:
        said = f"the local cloud of {home} has no root key, as one of an earlier version"
        raise CloudError(f"{said}: `darkroom down`, then `darkroom up`") from None
    return {"AWS_ACCESS_KEY_ID": key["id"], "AWS_SECRET_ACCESS_KEY": key["secret"]}
