"""Uploads, with how far they are."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from darkroom.cli.terminal import Progress, progress, say
from darkroom.pipeline.target import Target
from darkroom.pipeline.uploads import Ended, Sending, Upload, send, send_and_follow
from darkroom.text import pictures, some


def watch(
    target: Target, files: dict[str, Path], timeout: float, metadata: Mapping[str, str] | None = None
) -> tuple[list[Ended], dict[str, str]]:
    """As `send_and_follow`, showing how far it is; in the order they came to their end, and why others could not be
    read, by key."""
    ended: list[Ended] = []
    sending = Sending(files, say=say, metadata=metadata or {})
    following = send_and_follow(target, files, timeout, sending)
    title = f"Uploading {pictures(len(files))} and following each to its end"
    with _shown(title, sending, ended) as shown, closing(following):
        for end in following:
            ended.append(end)
            shown.add(f"{end.upload.key} {end.status}")
    return ended, sending.unreadable


def send_all(
    target: Target, files: dict[str, Path], metadata: Mapping[str, str] | None = None
) -> tuple[list[Upload], dict[str, str]]:
    """As `send`, showing how far it is."""
    sending = Sending(files, say=say, metadata=metadata or {})
    begun = send(target, files, sending)
    with _shown(f"Uploading {pictures(len(files))}", sending, None) as shown, closing(begun):
        for one in begun:
            shown.add(one.key)
    return list(sending.sent.values()), sending.unreadable


def say_unreadable(unreadable: Mapping[str, str]) -> None:
    """Each file that could not be read, and why."""
    for name, reason in sorted(unreadable.items()):
        say(f"Not sent: {name}: {reason}")


@contextmanager
def _shown(title: str, sending: Sending, ended: Sequence[Ended] | None) -> Iterator[Progress]:
    """How far it is, and which files could not be read; after Ctrl-C or an error also which pictures S3 has, which it
    has not, and how many were seen to their end."""
    try:
        with progress(title, total=len(sending.files), total_bytes=sending.size) as shown:
            sending.told = shown.add_bytes
            yield shown
    except (KeyboardInterrupt, Exception):
        reached = f"{len(sending.sent)} of {len(sending.files)} uploaded"
        if ended is not None:
            reached = f"{len(ended)} of {len(sending.files)} at their end"
        say(f"Stopped with {reached}.")
        seen = {end.upload.key for end in ended or ()}
        under_way = [key for key in list(sending.sent) if key not in seen]
        for what, keys in (
            ("In S3, where the pipeline goes on with them: see `darkroom results`", under_way),
            ("Not uploaded: give the same command again for them", sending.unsent),
        ):
            if keys:
                say(f"{what} ({len(keys)}): {some(keys)}")
        raise
    finally:
        say_unreadable(sending.unreadable)
