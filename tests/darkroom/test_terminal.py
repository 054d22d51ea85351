"""A long wait shows how far it is: a bar on a terminal, plain lines on a pipe."""

import io
import re
from pathlib import Path
from queue import Queue

import pytest
from rich.console import Console

from darkroom.cli import terminal
from darkroom.cli.watch import send_all
from darkroom.pipeline import uploads
from darkroom.pipeline.target import Target


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 80 columns is sent on stderr."""
    sent = io.StringIO()
    console = Console(file=sent, force_terminal=True, width=80, markup=False, highlight=False)
    monkeypatch.setattr(terminal, "rich_console", lambda **_: console)
    return sent


def lines(screen: io.StringIO) -> list[str]:
    return [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()))]


def test_on_a_terminal_uploads_are_one_line_that_changes(target: Target, tmp_path: Path, screen: io.StringIO):
    """The pictures that are done, the bytes that S3 was sent, and the newest news."""
    for name, content in (("a.jpg", b"12345"), ("b.jpg", b"123")):
        (tmp_path / name).write_bytes(content)
    send_all(target, {f"raw/{name}": tmp_path / name for name in ("a.jpg", "b.jpg")})
    drawn = [line for line in lines(screen) if "━" in line]
    assert re.fullmatch(r"━+ 2 of 2  8 B of 8 B sent  raw/[ab]\.jpg", drawn[-1])
    assert max(map(len, drawn)) <= 80
    assert screen.getvalue().count("\x1b[1A") <= 1  # the cursor goes up once, when all is done: there is one line


def test_what_is_sent_again_is_not_counted_twice(target: Target, tmp_path: Path):
    """The client reads a file from its beginning when it tries again."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    told: list[int] = []
    sending = uploads.Sending({"raw/a.jpg": path}, told.append)
    with uploads._Body(path, sending) as body:
        body.read()
        body.seek(0)
        body.read(2)
    assert sum(told) == 2
    assert target


def test_a_step_that_counts_moves_a_bar(screen: io.StringIO):
    """As the CDK counts the resources of a stack."""
    with terminal.step("Deploying the stack") as news:
        news("Darkroom |  3/8 | 10:00:00 | CREATE_COMPLETE | AWS::S3::Bucket | Uploads")
    half = "╸"  # of a character, where the bar ends: 3/8 of 20 characters are 7.5
    assert any(f" {'━' * 7}{half}━" in line and "Deploying the stack: Darkroom" in line for line in lines(screen))


def test_on_a_pipe_a_step_is_plain_lines(monkeypatch: pytest.MonkeyPatch):
    said: Queue[str] = Queue()
    monkeypatch.setattr(terminal, "SILENCE_SECONDS", 0.01)
    monkeypatch.setattr(terminal, "say", said.put)
    with terminal.progress("Uploading", total=2, total_bytes=8) as shown:
        shown.add_bytes(8)
        shown.add("raw/\x1b[2Ja.jpg")
        assert [said.get(timeout=300) for _ in range(2)] == ["Uploading ...", "  1 of 2: raw/\\x1b[2Ja.jpg"]
    assert said.get(timeout=300).startswith("Uploading: ")  # nothing is said twice
    assert said.empty()
