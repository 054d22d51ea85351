"""How the pipeline is doing: how many pictures, how fast, what was rejected, and what needs a person."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import quantiles

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from darkroom.console import charts
from darkroom.console.pages import Pages
from darkroom.console.results import COUNTED, STUCK, stuck
from darkroom.pipeline import by_key, executions, letters, results
from darkroom.pipeline.results import ENDED, Row
from darkroom.pipeline.target import Target

STUCK_SHOWN = 20
MOST = 500  # rows of each status: where there are more, the page shows only the time that they reach back, and says so

# How far back, and the minutes of one column.
SPANS = {
    "hour": (timedelta(hours=1), 1),
    "day": (timedelta(days=1), 20),
    "week": (timedelta(days=7), 180),
}
SECONDS = (1, 2, 3, 5, 10, 20, 30, 60, 120, 300)  # edges of the columns of times


def routes(pages: Pages) -> list[Route]:
    return [Route("/health", pages.view(health))]


def health(pages: Pages, request: Request, target: Target) -> Response:
    span = request.query_params.get("span", "hour")
    length, minutes = SPANS.get(span, SPANS["hour"])
    now = datetime.now(UTC)
    since = now - length
    rows, only_since = results.changed_since(target, results.written(since), MOST)
    times = times_to_row(target, rows)
    labels, series = per_column(rows, now, length, minutes)
    codes = Counter(row["error"]["code"] for row in rows if row["status"] == "REJECTED").most_common()
    counts, edges = spread(times)
    middle, slow = half_and_most(times)
    return pages.page(
        request,
        "health.html",
        target=target,
        span=span if span in SPANS else "hour",
        spans=list(SPANS),
        counts=by_key.counts(target, COUNTED),
        rows=len(rows),
        only_since=only_since,
        most=MOST,
        minutes=minutes,
        flow=charts.columns(_flow_in_words(rows, span, only_since, minutes), labels, series),
        flow_table=[
            (label, [values[at] for values in series.values()])
            for at, label in enumerate(labels)
            if any(values[at] for values in series.values())
        ],
        statuses=list(series),
        times=times,
        middle=middle,
        slow=slow,
        spread=charts.columns(
            "Pictures by the seconds from the start of the execution to the row", edges, {"plain": counts}
        ),
        spread_table=list(zip(edges, counts, strict=True)),
        codes=codes,
        stuck=stuck(target, STUCK_SHOWN),
        stuck_most=STUCK_SHOWN,
        stuck_minutes=int(STUCK.total_seconds() // 60),
        letters=letters.count(target),
    )


def per_column(
    rows: list[Row], now: datetime, length: timedelta, minutes: int
) -> tuple[list[str], dict[str, list[int]]]:
    """How many pictures came to their end in each column, by status; the last column is the one that goes on."""
    count = int(length / timedelta(minutes=minutes))
    begin = now.replace(second=0, microsecond=0) + timedelta(minutes=1) - count * timedelta(minutes=minutes)
    series = {status: [0] * count for status in ENDED}
    for row in rows:
        at = int((datetime.fromisoformat(row["updated_at"]) - begin) / timedelta(minutes=minutes))
        if row["status"] in series and 0 <= at < count:
            series[row["status"]][at] += 1
    shape = "%d %b %H:%M" if length > timedelta(days=1) else "%H:%M"
    return [f"{begin + at * timedelta(minutes=minutes):{shape}}" for at in range(count)], series


def times_to_row(target: Target, rows: list[Row]) -> list[float]:
    """Seconds from the start of each execution to the row it wrote, of the newest thousand executions: one request."""
    listed, _ = executions.listing(target)
    began = {one["executionArn"]: one["startDate"] for one in listed}
    return sorted(
        (datetime.fromisoformat(row["updated_at"]) - began[row["execution"]]).total_seconds()
        for row in rows
        if row["status"] in ("SUCCEEDED", "REJECTED", "FAILED") and row.get("execution") in began
    )


def half_and_most(times: list[float]) -> tuple[float, float] | tuple[None, None]:
    """Within how many seconds half of them were, and 95 of 100: never longer than the slowest."""
    if not times:
        return None, None
    cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    return cuts[49], cuts[94]


def spread(times: list[float]) -> tuple[list[int], list[str]]:
    """How many took how long."""
    counts = [0] * (len(SECONDS) + 1)
    for time in times:
        counts[sum(time >= edge for edge in SECONDS)] += 1
    edges = ["<1", *(f"{low}-{high}" for low, high in pairwise(SECONDS)), f">{SECONDS[-1]}"]
    return counts, edges


def _flow_in_words(rows: list[Row], span: str, only_since: str | None, minutes: int) -> str:
    by_status = Counter(row["status"] for row in rows).most_common()
    each = "minute" if minutes == 1 else f"{minutes} minutes"
    counted = ", ".join(f"{count} {status}" for status, count in by_status) or "none"
    when = f"after {only_since}" if only_since else f"of the last {span}"
    return f"Pictures that came to their end, for each {each} {when}: {counted}"
