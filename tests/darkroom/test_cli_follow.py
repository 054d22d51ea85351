"""`--follow` shows what there is, then each change once, until Ctrl-C, which is no failure."""

import json
import time
from collections.abc import Callable, Iterator
from threading import current_thread, main_thread

import pytest

from darkroom.pipeline import executions, results
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import darkroom


class Time:
    """What happens while the command sleeps: one thing after the other, then Ctrl-C. Other threads go on sleeping."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self._happenings = iter(happenings)
        self._really_sleep = time.sleep

    def sleep(self, seconds: float) -> None:
        if current_thread() is not main_thread():
            self._really_sleep(seconds)
            return
        happening = next(self._happenings, None)
        if happening is None:
            raise KeyboardInterrupt
        happening()


def put(target: Target, key: str, status: str, minute: int) -> None:
    updated = f"2024-05-01T10:{minute:02}:00.000Z"
    target.results.put_item(Item={"key": f"raw/{key}", "status": status, "updated_at": updated})


@pytest.fixture
def rows(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Two rows at first. While they are followed one ends, nothing happens, an old one is claimed anew, one fails."""
    put(target, "old.jpg", "SUCCEEDED", 1)
    put(target, "new.jpg", "PROCESSING", 2)
    happenings = Time(
        lambda: put(target, "new.jpg", "SUCCEEDED", 3),
        lambda: None,
        lambda: put(target, "old.jpg", "PROCESSING", 4),
        lambda: put(target, "old.jpg", "FAILED", 5),
    )
    monkeypatch.setattr(results.time, "sleep", happenings.sleep)
    return target


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "old SUCCEEDED, new PROCESSING, new SUCCEEDED, old PROCESSING, old FAILED"),
        (["--limit", "1"], "new PROCESSING, new SUCCEEDED, old PROCESSING, old FAILED"),
        (["--status", "FAILED"], "old FAILED"),
        (["--status", "PROCESSING"], "new PROCESSING, new SUCCEEDED, old PROCESSING, old FAILED"),
        (["--prefix", "n"], "new PROCESSING, new SUCCEEDED"),
    ],
)
def test_each_change_is_one_line_of_json(options: list[str], said: str):
    result = darkroom("--aws", "results", "--follow", "--json", *options)
    assert result.exit_code == 0
    changes = [json.loads(line) for line in result.stdout.splitlines()]
    assert ", ".join(f"{one['key'][4:-4]} {one['status']}" for one in changes) == said


@pytest.mark.usefixtures("rows")
def test_on_a_pipe_each_change_is_one_plain_line_and_ctrl_c_is_a_success():
    result = darkroom("--aws", "results", "--follow")
    assert result.exit_code == 0
    header, *lines = result.stdout.splitlines()
    assert header.split()[:2] == ["picture", "status"]
    assert lines[-1].split()[:2] == ["raw/old.jpg", "FAILED"]
    for name, said in (("status", {"SUCCEEDED", "PROCESSING", "FAILED"}), ("updated (UTC)", {"2024-05-01"})):
        assert {line[header.index(name) :].split()[0] for line in lines} == said  # though cells between are empty
    assert "No longer following" in result.stderr


@pytest.mark.usefixtures("rows")
def test_on_a_terminal_the_table_has_each_picture_once_the_newest_on_top(
    on_terminal: Callable[..., tuple[int, str]],
):
    code, sent = on_terminal("--aws", "results", "--follow")
    assert code == 0
    last = sent.rpartition("picture")[2]
    assert last.index("raw/old.jpg") < last.index("raw/new.jpg")
    assert (last.count("raw/old.jpg"), last.count("FAILED"), last.count("PROCESSING")) == (1, 1, 0)


def test_executions_are_followed_from_start_to_end(target: Target, monkeypatch: pytest.MonkeyPatch):
    """Also one that has left the newest, and only as long as it runs."""
    arns: dict[str, str] = {}

    def start(key: str) -> None:
        event = json.dumps({"detail": {"object": {"key": key}}})
        started = target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input=event)
        arns[key] = started["executionArn"]

    start("raw/a.jpg")
    happenings = Time(
        lambda: start("raw/b.jpg"),
        lambda: target.states.stop_execution(executionArn=arns["raw/b.jpg"]),
        lambda: target.states.stop_execution(executionArn=arns["raw/a.jpg"]),
        lambda: None,
    )
    monkeypatch.setattr(executions, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(executions.time, "sleep", happenings.sleep)
    seen = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(seen.append((one["key"], one["status"])) or () for one in executions.changes(target))
    assert [one for one in seen if one] == [
        ("raw/a.jpg", "RUNNING"),
        ("raw/b.jpg", "RUNNING"),
        ("raw/b.jpg", "ABORTED"),
        ("raw/a.jpg", "ABORTED"),
    ]


def test_executions_are_followed_on_a_pipe(target: Target, monkeypatch: pytest.MonkeyPatch):
    def start(key: str) -> None:
        event = json.dumps({"detail": {"object": {"key": key}}})
        target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input=event)

    start("raw/a.jpg")
    monkeypatch.setattr(executions.time, "sleep", Time(lambda: start("raw/b.jpg")).sleep)
    result = darkroom("--aws", "executions", "--follow")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()][1:3] == ["raw/a.jpg", "raw/b.jpg"]


def test_only_some_looks_read_back_as_far_as_a_late_row_may_be(target: Target, monkeypatch: pytest.MonkeyPatch):
    """At a hundred pictures a second the rows of a minute are megabytes, and nearly all of them are known."""
    put(target, "new.jpg", "SUCCEEDED", 5)
    happenings = Time(lambda: put(target, "late.jpg", "SUCCEEDED", 4), lambda: None, lambda: None)
    read_since: list[str] = []
    rows = results.rows
    monkeypatch.setattr(results, "rows", lambda *a, **k: (read_since.append(k.get("since", "")), rows(*a, **k))[1])
    monkeypatch.setattr(results, "LOOKS", 3)
    monkeypatch.setattr(results.time, "sleep", happenings.sleep)
    shown = darkroom("--aws", "results", "--follow", "--json").stdout
    assert [json.loads(line)["key"] for line in shown.splitlines()] == ["raw/new.jpg", "raw/late.jpg"]
    assert read_since[-3:] == ["2024-05-01T10:04:55", "2024-05-01T10:04:55", "2024-05-01T10:04:00"]
