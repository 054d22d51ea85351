"""The end of a picture's way, to have: its renditions and its original, copied out of the buckets into files."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from darkroom.errors import TargetError
from darkroom.pipeline import results
from darkroom.pipeline.results import NO_VERSION, Row
from darkroom.pipeline.target import Target

ORIGINAL = "original"
CHUNK = 256 * 1024  # bytes


@dataclass(frozen=True)
class Copy:
    rendition: str
    path: Path
    size: int  # bytes

    def document(self) -> dict[str, Any]:
        return {"rendition": self.rendition, "path": str(self.path), "bytes": self.size}


def names(row: Row) -> list[str]:
    """Of the picture's renditions, the smallest first. Raises TargetError if it has none."""
    found = results.by_width(row)
    if not found:
        why = "`darkroom results KEY` says why"
        raise TargetError(f"{row['key']} is {row['status']} and has no renditions: {why}; `--rendition {ORIGINAL}`")
    return found


def copy(target: Target, row: Row, wanted: Sequence[str], folder: Path) -> list[Copy]:
    """Copy these renditions, or the original, into a folder, which is made: `cat-small.webp`, `cat.jpg`. Raises
    TargetError for one that there is not, and for a file that is there already."""
    sources = {name: _source(target, row, name) for name in wanted}
    paths = {name: folder / _file_name(row["key"], name, source["Key"]) for name, source in sources.items()}
    for path in paths.values():
        if path.exists():
            raise TargetError(f"{path} is there already: choose another folder with --output")
    folder.mkdir(parents=True, exist_ok=True)
    return [Copy(name, path, _write(target, name, sources[name], path)) for name, path in paths.items()]


def _source(target: Target, row: Row, name: str) -> dict[str, str]:
    if name == ORIGINAL:
        version = row.get("version_id", NO_VERSION)
        which = {} if version == NO_VERSION else {"VersionId": version}
        return {"Bucket": target.output("UploadsBucketName"), "Key": row["key"], **which}
    there = row.get("renditions", {})
    if name not in there:
        raise TargetError(f"{row['key']} has no rendition {name!r}, but {', '.join([*names(row), ORIGINAL])}")
    return {"Bucket": target.output("RenditionsBucketName"), "Key": there[name]["key"]}


def _file_name(key: str, name: str, of: str) -> str:
    """No path in it, whatever the key says."""
    picture = PurePosixPath("/", key).name.replace("\\", "_")
    if name == ORIGINAL:
        return picture if picture.strip(".") else ORIGINAL
    return f"{PurePosixPath(picture).stem}-{name}{PurePosixPath(of).suffix}"


def _write(target: Target, name: str, source: dict[str, str], path: Path) -> int:
    """How many bytes. A copy that breaks off leaves no file."""
    try:
        body: Any = target.s3.get_object(**source)["Body"]  # type: ignore[arg-type]
    except target.s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchVersion", "404"):
            raise
        raise TargetError(f"the {name} of {path.name} is not in {source['Bucket']} any more") from None
    try:
        with closing(body), path.open("xb") as file:
            return sum(file.write(part) for part in body.iter_chunks(CHUNK))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
