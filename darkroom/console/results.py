"""The wall of pictures, and the page of one picture."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from darkroom import documentation
from darkroom.console import placeholder
from darkroom.console.pages import NotFound, Pages, link
from darkroom.pipeline import by_key, links, results
from darkroom.pipeline.results import Row
from darkroom.pipeline.target import Target
from darkroom.text import as_json

ON_A_WALL = 48
COUNTED = 1000  # rows of each status, and then it is only said that there are more
STUCK = timedelta(minutes=20)  # a picture takes seconds; one whose caption waits for a busy model takes 17 minutes more
LARGEST_PREVIEW = 4 * 1024 * 1024  # bytes of an original on the wall, where there is no rendition
SHOWN_BY_BROWSERS = ("jpeg", "png", "gif", "webp", "avif", "bmp")
SHOWN_ELSEWHERE = (
    "key",
    "status",
    "error.",
    "caption.text",
    "caption.reason",
    "renditions.",
    "notes",
    results.EXPLAINED,
)  # of the row's facts
IDENTIFIERS = (
    "etag",
    "execution",
    "perceptual_hash",
    "placeholder",
    "recipe",
    "sequencer",
    "shown_version_id",
    "version_id",
)
EXAMPLE_HOST = "https://images.example.com"


def routes(pages: Pages) -> list[Route]:
    return [
        Route("/results", pages.view(wall)),
        Route("/results/news", pages.view(news)),
        Route("/picture", pages.view(picture)),
    ]


def wall(pages: Pages, request: Request, target: Target) -> Response:
    asked = request.query_params
    status, prefix, text = asked.get("status", ""), asked.get("prefix", "").strip(), asked.get("key", "").strip()
    prefix = results.with_prefix(target, prefix) if prefix else ""
    if status not in ("", *results.STATUSES):
        raise NotFound("there is no such status")
    if text and (exact := results.find(target, text)):
        return RedirectResponse(link("/picture", key=exact["key"]), 303)
    following: dict[str, str] = {}
    looked_at = 0
    if prefix or text:
        found, after, looked_at = by_key.page(
            target, status or None, prefix=prefix, text=text, after=asked.get("after", ""), limit=ON_A_WALL
        )
        following = {"after": after} if after else {}
    else:
        found, older = results.page(target, status or None, limit=ON_A_WALL, token=asked.get("older") or None)
        following = {"older": older} if older else {}
    counts = by_key.counts(target, COUNTED, prefix)
    return pages.page(
        request,
        "results.html",
        target=target,
        tiles=[tile(row) for row in found],
        counts=counts,
        total=results.Count(sum(one.number for one in counts.values()), all(one.complete for one in counts.values())),
        stuck=stuck(target),
        stuck_minutes=int(STUCK.total_seconds() // 60),
        following=following,
        looked_at=looked_at,
        asked={"status": status, "prefix": prefix, "key": text},
        first="older" not in asked and "after" not in asked,
        # where only some are shown, only what happens from now on is news
        seen=found[0]["updated_at"] if found and not (status or prefix or text) else results.written(datetime.now(UTC)),
        folder=target.upload_prefix,
    )


def news(pages: Pages, request: Request, target: Target) -> Response:
    """Whether anything has changed since the wall was shown."""
    seen = request.query_params.get("seen", "")
    changed = any(row["updated_at"] > seen for row in islice(results.rows(target, since=seen, at_once=2), 2))
    here = {name: request.query_params.get(name) for name in ("status", "prefix", "key")}
    return pages.part("results_news.html", changed=changed, here=link("/results", **here))


def stuck(target: Target, most: int = 20) -> list[Row]:
    """Rows that have been PROCESSING for longer than a picture takes that is not throttled, the oldest last."""
    long_ago = results.written(datetime.now(UTC) - STUCK)
    return list(islice(results.rows(target, "PROCESSING", until=long_ago, at_once=most), most))


def is_stuck(row: Row) -> bool:
    return bool(row["status"] == "PROCESSING" and datetime.fromisoformat(row["updated_at"]) < datetime.now(UTC) - STUCK)


def tile(row: Row) -> dict[str, Any]:
    """What the wall shows of a picture: the smallest rendition but the thumb, whatever became of a newer version, else
    the original if it is small."""
    renditions = row.get("renditions") or {}
    sizes = [name for name in results.by_width(row) if renditions[name]["width"] >= 320] or results.by_width(row)
    source = None
    if sizes:
        source = link("/rendition", key=renditions[sizes[0]]["key"])
    elif row["status"] != "DELETED" and 0 < row.get("size", 0) <= LARGEST_PREVIEW:
        source = original_of(row)
    return {
        "row": row,
        "source": source,
        "placeholder": placeholder.data_uri(row["placeholder"]) if row.get("placeholder") else None,
        "stuck": is_stuck(row),
    }


def picture(pages: Pages, request: Request, target: Target) -> Response:
    key = request.query_params.get("key", "")
    row = results.find(target, key) if key else None
    if row is None:
        raise NotFound(f"no row in {target.name} has that key: it was not uploaded, or its execution has not begun")
    renditions = row.get("renditions") or {}
    urls = links.renditions(target, row)
    host = request.query_params.get("host", f"{links.base(target) or EXAMPLE_HOST}/")
    older = results.of_older(row)
    browser_shows = not renditions or (row.get("format") in SHOWN_BY_BROWSERS and not older)
    largest = results.by_width(row)[-1] if renditions else None
    facts = [(name, value) for name, value in results.facts(row) if not name.startswith(SHOWN_ELSEWHERE)]
    return pages.page(
        request,
        "picture.html",
        target=target,
        row=row,
        tile=tile(row),
        renditions=[{"name": name, **renditions[name], "url": urls.get(name)} for name in results.by_width(row)],
        original=original_of(row) if row["status"] != "DELETED" else None,
        large=original_of(row) if browser_shows else link("/rendition", key=renditions[largest]["key"]),
        browser_shows=browser_shows,
        older=older,
        srcset=srcset(row, host),
        host=host,
        facts=[one for one in facts if one[0] not in IDENTIFIERS],
        identifiers=[one for one in facts if one[0] in IDENTIFIERS],
        document=as_json(row, indent=2),
        entry=documentation.of_row(row),
    )


def original_of(row: Row) -> str:
    return link("/original", key=row["key"], version=row.get("version_id"))


def srcset(row: Row, host: str) -> str:
    """Of the renditions that show the same picture: one that fills its box is cropped, and so another picture."""
    width, height = row.get("width"), row.get("height")
    if not width or not height:
        return ""
    same = [one for one in (row.get("renditions") or {}).values() if _same_shape(one, float(width / height))]
    formats = {one["format"] for one in same}
    best = [one for one in same if one["format"] == ("webp" if "webp" in formats else min(formats))]
    best.sort(key=lambda one: one["width"])
    return ", ".join(f"{host}{quote(one['key'])} {one['width']}w" for one in best)


def _same_shape(rendition: dict[str, Any], ratio: float) -> bool:
    """Within the one pixel that rounding may take."""
    width, height = float(rendition["width"]), float(rendition["height"])
    return abs(width - height * ratio) <= max(1.0, ratio) or abs(height - width / ratio) <= max(1.0, 1 / ratio)
