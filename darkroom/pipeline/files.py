"""Which files an upload takes, and the key of each."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from darkroom.errors import TargetError
from darkroom.text import plain

LONGEST_KEY = 1024  # bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html

# By either, a file of a folder is taken for a picture: a broken one by its name, one with another name by its bytes.
# The pipeline alone says what it is.
EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp"),
        *(".avif", ".heic", ".heif", ".jxl"),
    )
)
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"\xff\x0a", b"\0\0\0\x0cJXL ")
INSIDE = {b"WEBP": 8, b"ftypavif": 4, b"ftypavis": 4, b"ftyphei": 4, b"ftypmif1": 4}  # where that stands

HIDDEN = "the name begins with a dot"
LINK = "a link leads out of the folder, or nowhere"
NO_FILE = "it is neither a file nor a folder"
NO_PICTURE = "it is not a picture by its name or its first bytes (--all takes these too)"


@dataclass
class Chosen:
    """`files` by their keys; of the folders' others, why each was left out or cannot be sent."""

    files: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # names, by reason
    unreadable: dict[str, str] = field(default_factory=dict)  # reasons, by name


def choose(paths: Sequence[Path], prefix: str, *, everything: bool = False) -> Chosen:
    """Each key and the file it is for. A file gets its name; files of a folder keep their place below it.

    Of a folder only pictures are taken, unless `everything` is asked for; never what has a name that begins with a
    dot, or a link that leads out of the folder. Raises TargetError for a path that is not there, a file whose name no
    key can carry, two files for one key, or no file at all.
    """
    chosen = Chosen()
    for path in paths:
        if path.is_file():
            _add(chosen, key_of(path.name, prefix), path)
        elif path.is_dir():
            _choose_in(path, prefix, chosen, everything=everything)
        else:
            raise TargetError(f"no such file or folder: {path}")
    if not chosen.files and not chosen.unreadable:
        others = f", and {len(rest)} other files: --all takes them" if (rest := chosen.left_out.get(NO_PICTURE)) else ""
        raise TargetError(f"there is no picture in {', '.join(map(str, paths))}{others}")
    return chosen


def key_of(name: str, prefix: str) -> str:
    """The key of a file of that name. Raises TargetError for one that no key can carry."""
    key = prefix + name.strip("/")
    if key == prefix:
        raise TargetError("a picture needs a name")
    if problem := _no_key(key):
        raise TargetError(f"{plain(name)}: {problem}")
    return key


def _choose_in(folder: Path, prefix: str, chosen: Chosen, *, everything: bool) -> None:
    for file in _walk(folder, chosen):
        name = file.relative_to(folder).as_posix()
        key = prefix + name
        try:
            if problem := _no_key(key):
                chosen.unreadable[name] = problem
            elif everything or is_picture(file):
                _add(chosen, key, file)
            else:
                chosen.left_out[NO_PICTURE].append(name)
        except OSError as problem:
            chosen.unreadable[name] = problem.strerror or str(problem)


def _walk(folder: Path, chosen: Chosen) -> Iterator[Path]:
    """The files in it, sorted. A link may lead to any file that the caller may read, and the folder may be out of
    somebody's archive: so no other folder is entered by a link, and only links to files in this one are followed."""
    whole = folder.resolve()

    def unreadable(problem: OSError) -> None:
        chosen.unreadable[os.path.relpath(problem.filename, folder)] = problem.strerror or str(problem)

    for at, folders, files in os.walk(folder, onerror=unreadable):
        inside = []
        for name in sorted([*folders, *files]):
            path = Path(at, name)
            try:
                reason = _why_not(path, whole)
                if reason is not None:
                    chosen.left_out[reason].append(path.relative_to(folder).as_posix())
                elif path.is_file():
                    yield path
                else:
                    inside.append(name)
            except OSError as problem:
                unreadable(problem)
        folders[:] = inside


def _why_not(path: Path, folder: Path) -> str | None:
    """Why nothing of that name is taken out of the folder. Raises OSError for what cannot be looked at."""
    if path.name.startswith("."):
        return HIDDEN
    if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(folder)):
        return LINK
    return None if path.is_file() or path.is_dir() else NO_FILE


def is_picture(file: Path) -> bool:
    """Whether its name or its first bytes are a picture's. Raises OSError for one that cannot be read."""
    if file.suffix.lower() in EXTENSIONS:
        return True
    with file.open("rb") as opened:
        first = opened.read(12)
    return first.startswith(SIGNATURES) or any(first.startswith(what, at) for what, at in INSIDE.items())


def _add(chosen: Chosen, key: str, file: Path) -> None:
    if key in chosen.files:
        raise TargetError(f"{chosen.files[key]} and {file} would both become {key}: upload them one by one")
    chosen.files[key] = file


def _no_key(key: str) -> str | None:
    """Why S3 takes no such key."""
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "its name is not text in UTF-8, and S3 takes no other: rename it"
    return f"its key would be {length} bytes long, S3 takes {LONGEST_KEY}" if length > LONGEST_KEY else None
