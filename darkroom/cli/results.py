"""The end of a picture's way: results."""

import csv
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from darkroom.cli.app import PICTURES, Json, command, keys
from darkroom.cli.follow import Follow, follow
from darkroom.cli.terminal import FACTS, Column, say, show_json, show_json_list, show_table
from darkroom.errors import DarkroomError
from darkroom.text import pixels, plain, size

if TYPE_CHECKING:
    from darkroom.pipeline.results import Row
    from darkroom.pipeline.target import Target

Status = Literal["PROCESSING", "SUCCEEDED", "REJECTED", "FAILED", "DELETED"]

COLUMNS = (
    Column("picture", "folded", usual=32),
    Column("status", usual=10),
    Column("pixels", expendable=1, usual=11),
    Column("size", expendable=2, usual=9),
    Column("renditions", expendable=3),
    Column("caption or error", "cut", usual=60),
    Column("updated (UTC)"),
)
CSV_COLUMNS = (
    *("key", "status", "format", "width", "height", "frames", "size", "renditions", "caption"),
    *("taken_at", "camera", "lens", "latitude", "longitude", "altitude", "orientation", "animated", "has_alpha"),
    *("bits", "color_profile", "perceptual_hash", "content_hash"),
    *("error_code", "error_message", "version_id", "shown_version_id", "execution", "created_at", "updated_at"),
)

# What a cell must not begin with: https://owasp.org/www-community/attacks/CSV_Injection. Where numbers are written with
# a comma, a spreadsheet begins a cell after a semicolon, quoted or not, and some do so after a tab or a new line.
FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")

ALIKE_COLUMNS = (Column("picture", "folded"), Column("differs in"), Column("pixels"), Column("size"))
MOST_ALIKE = 20  # unless asked for more

SHOWN = 100  # rows of a table, unless asked for more

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOMENT = "a date or time (UTC unless it says otherwise), `today`, `yesterday`, or how long ago: 30m, 2h, 7d, 1w"


@command(
    PICTURES,
    examples={
        "results": "the newest 100 rows",
        "results photo.jpg": "everything in one picture's row",
        "results --status REJECTED --since today": "what was refused today (UTC), and why",
        "results --prefix 2026/": "the first 100 below raw/2026/, in the order of their keys",
        "results --prefix 2026/ --since 2h --limit 50": "the newest 50 of the last two hours below raw/2026/",
        "results --until 2026-11-23 --csv > rows.csv": "for a spreadsheet, up to the end of that day",
        "results --follow --status FAILED": "those that failed, then each that fails, until Ctrl-C",
        "results --like photo.jpg": "the 20 that look most like it, also those of the same bytes",
        "results --json | jq -r '.[].key'": "only the keys, for a program",
    },
)
def results(
    ctx: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", autocompletion=keys, help="One picture, with or without the upload prefix."),
    ] = None,
    status: Annotated[
        Status | None,
        typer.Option(metavar="STATUS", help="Only rows that are PROCESSING, SUCCEEDED, REJECTED, FAILED or DELETED."),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only keys that begin with this, with or without the upload prefix."),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="Only rows updated at this time or later.")] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Only rows updated before this time, or until the end of this date."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="With --prefix: only the keys behind this one, to go on from there."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", autocompletion=keys, help="Those of the newest 2,000 that look most like this picture."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", min=1, help="How many at most. Without it a table has 100, and JSON and CSV all."
        ),
    ] = None,
    follow_on: Follow = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV on stdout for a spreadsheet, with `'` before a formula.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show rows of the results table, newest first; with a prefix and no time, in the order of their keys. With KEY,
    show everything in one row.

    WHEN is a date or time (UTC unless it says otherwise): 2026-11-24, 2026-11-24T10:30, 2026-11-24T10:30+01:00; or
    today, yesterday; or how long ago: 30m, 2h, 7d, 1w.

    One index finds a status and a time, another one a prefix, so few rows are read. For a prefix and a time, a table is
    made of what the newest few thousand rows of that time have, and a line says how to go on.
    """
    from darkroom.pipeline import results

    if sum((as_csv, as_json)) > 1 or (as_csv and follow_on):
        raise typer.BadParameter("cannot be used with --json or --follow", param_hint="--csv")
    if like is not None:
        if key is not None or status or prefix or since or until or after or follow_on or as_csv:
            raise typer.BadParameter("can be used with --limit and --json only", param_hint="--like")
        _show_alike(ctx.obj.target(), like, limit or MOST_ALIKE, as_json=as_json)
        return
    chosen: dict[str, Any] = {
        "since": moment(since, "--since") if since else "",
        "until": moment(until, "--until", whole_day=True) if until else results.LATEST,
    }
    if key is not None:
        if prefix or since or until or after or limit or follow_on:
            raise typer.BadParameter(
                "names one picture, so it cannot be used with an option for a list", param_hint="KEY"
            )
        _show_one(ctx.obj.target(), key, status, as_csv=as_csv, as_json=as_json)
        return
    by_key = bool(prefix) and not (since or until or follow_on)
    if after and not by_key:
        raise typer.BadParameter("goes on with a --prefix, without a time or --follow", param_hint="--after")
    target: Target = ctx.obj.target()
    chosen["prefix"] = results.with_prefix(target, prefix) if prefix else ""
    if follow_on:
        if until:
            raise typer.BadParameter("ends the list, so it cannot be used with --follow", param_hint="--until")
        changes = results.changes(target, status, prefix=chosen["prefix"], since=chosen["since"], limit=limit or 20)
        follow(changes, lambda row: row["key"], COLUMNS, line, as_json=as_json)
        return
    behind = {"prefix": chosen["prefix"], "after": results.with_prefix(target, after) if after else ""}
    if as_json or as_csv:
        rows = _by_key(target, status, limit, behind) if by_key else _newest(target, status, limit, chosen)
        (show_json_list if as_json else show_csv)(rows)
    elif by_key:
        _table_by_key(target, status, limit or SHOWN, behind)
    else:
        _table_of_newest(target, status, limit or SHOWN, chosen)


def _show_alike(target: "Target", key: str, limit: int, *, as_json: bool) -> None:
    from darkroom.pipeline.alike import BITS, alike

    found, looked = alike(target, key, limit)
    if as_json:
        show_json([one.document() for one in found])
        return
    say(f"Of the newest {looked:,} pictures, those that look most like it")
    lines = []
    for one in found:
        how = "same file" if one.same_file else f"{one.differs} of {BITS} bits"
        lines.append((one.row["key"], how, *line(one.row)[2:4]))
    show_table(ALIKE_COLUMNS, lines)


def _by_key(target: "Target", status: Status | None, limit: int | None, chosen: dict[str, Any]) -> "Iterator[Row]":
    from darkroom.pipeline import by_key

    at_once = min(limit or by_key.AT_ONCE, by_key.AT_ONCE)
    return islice(by_key.rows(target, status, at_once=at_once, **chosen), limit)


def _newest(target: "Target", status: Status | None, limit: int | None, chosen: dict[str, Any]) -> "Iterator[Row]":
    from darkroom.pipeline import results

    at_once = None if chosen["prefix"] else limit
    return islice(results.rows(target, status, at_once=at_once, **chosen), limit)


def _table_by_key(target: "Target", status: Status | None, limit: int, chosen: dict[str, Any]) -> None:
    from darkroom.pipeline import by_key

    page = by_key.page(target, status, limit=limit, **chosen)
    show_table(COLUMNS, map(line, page.rows))
    if page.after:
        say(f"There are more: `--after {shlex.quote(page.after)}` goes on, `--limit` shows more at once")


def _table_of_newest(target: "Target", status: Status | None, limit: int, chosen: dict[str, Any]) -> None:
    from darkroom.pipeline import by_key, results

    look = by_key.look(target, status, limit=limit, **chosen)
    if look.rows or not look.back_to:
        show_table(COLUMNS, map(line, look.rows))
    if look.back_to:
        next_until = results.written(datetime.fromisoformat(look.back_to) + timedelta(milliseconds=1))
        found = f"Found {len(look.rows)} among the newest rows of that time, back to {look.back_to}"
        say(f"{found}: `--until {next_until}` goes on")
    elif look.more:
        say(f"The newest {limit:,} are shown: `--limit` shows more")


def _show_one(target: "Target", key: str, status: Status | None, *, as_csv: bool, as_json: bool) -> None:
    from darkroom.pipeline import links, results

    row = results.row(target, key)
    if status is not None and row["status"] != status:
        raise DarkroomError(f"{row['key']} is {row['status']}, not {status}")
    if as_json:
        show_json(row)
    elif as_csv:
        show_csv([row])
    else:
        urls = links.renditions(target, row)
        show_table(FACTS, [*results.facts(row), *((f"urls.{name}", url) for name, url in urls.items())])


def show_csv(rows: Iterable["Row"]) -> None:
    """As the csv module reads it back, but for what a spreadsheet would run; on a terminal, which would obey what a key
    may contain, without that."""
    shown: Any = plain if sys.stdout.isatty() else lambda value: value
    writer = csv.writer(sys.stdout, lineterminator="\n")  # typer.echo would take escape codes out of a key
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        writer.writerow([shown(inert(value)) for value in csv_line(row)])
    sys.stdout.flush()


def inert(value: object) -> object:
    """A text that no spreadsheet takes for a formula: an apostrophe before it makes it a text."""
    return FORMULA.sub(r"\1'", value) if isinstance(value, str) else value


def moment(text: str, option: str, *, whole_day: bool = False, now: datetime | None = None) -> str:
    """The beginning of an `updated_at`. `whole_day` makes of a day its end. Raises BadParameter."""
    now = now or datetime.now(UTC)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
    days = {"today": midnight, "yesterday": midnight - timedelta(days=1)}
    try:
        if ago := re.fullmatch(r"(\d{1,6})([smhdw])", text):
            when = now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        else:
            when = days[text] if text in days else datetime.fromisoformat(text)
            when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
            if whole_day and (text in days or re.fullmatch(r"[\d-]+", text)):
                when += timedelta(days=1)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not {MOMENT}", param_hint=option) from None
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def line(found: "Row") -> Sequence[object]:
    """The row as a line of a table with COLUMNS. Of an older version that is shown there is only the number of its
    renditions."""
    from darkroom.pipeline.results import caption_or_error, of_newest, shows_older, updated

    newest = of_newest(found)
    return (
        found["key"],
        found["status"],
        pixels(newest),
        size(found.get("size")),
        f"{len(found['renditions'])}{' older' if shows_older(found) else ''}" if found.get("renditions") else "",
        caption_or_error(newest),
        updated(found),
    )


def csv_line(found: "Row") -> Sequence[object]:
    """The row as a line of CSV with CSV_COLUMNS: renditions as their names, the smallest first."""
    from darkroom.pipeline.results import by_width

    error, metadata = found.get("error", {}), found.get("metadata", {})
    told = {
        **found,
        **metadata,
        **metadata.get("gps", {}),
        "renditions": " ".join(by_width(found)),
        "caption": found.get("caption", {}).get("text", ""),
        "error_code": error.get("code", ""),
        "error_message": error.get("message", ""),
    }
    return [told.get(name, "") for name in CSV_COLUMNS]
