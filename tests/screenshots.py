"""Pictures of every view of the page, light and dark, wide and narrow: `python -m tests.screenshots FOLDER`.

On a local cloud of its own, with what happens on a day: pictures, some rejected, some that failed because a grant was
taken away, and a row that is written here as one left PROCESSING.
"""

import io
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageChops, ImageOps
from playwright.sync_api import Browser, Page

from darkroom.cli.terminal import step
from darkroom.local import pictures
from tests.browser import Served, chromium, console
from tests.e2e.conftest import Deployed, FunctionRole, eventually, own_cloud

THEMES = ("light", "dark")
WIDTHS = {"wide": (1280, 860), "narrow": (390, 844)}
TALLEST = 2400  # pixels of a page
LIGHTS = ((255, 255, 255), (255, 214, 170), (190, 200, 245), (255, 176, 140), (170, 180, 220), (255, 240, 205))
IN_PAGES = {"results-dark-wide": "results", "execution-failed-light-wide": "execution", "letters-light-wide": "letters"}


def drawn(width: int, height: int, hour: int) -> bytes:
    """The demo's landscape in the light of an hour of the day."""
    picture = pictures.landscape(width, height)
    light = LIGHTS[hour % len(LIGHTS)]
    picture = ImageChops.multiply(picture, Image.new("RGB", picture.size, light))
    file = io.BytesIO()
    (ImageOps.mirror(picture) if hour % 2 else picture).save(file, "JPEG", quality=88)
    return file.getvalue()


def fill(deployed: Deployed) -> None:
    shapes = [(1600, 1067), (1067, 1600), (1600, 900), (1200, 1200), (1600, 1000), (1000, 1500), (1800, 800)]
    for number, (width, height) in enumerate(shapes):
        deployed.picture(f"raw/2026/hills-{number + 1}.jpg", drawn(width, height, number))
    deployed.picture("raw/2026/window.png", pictures.transparent_png())
    deployed.picture("raw/scans/torn.jpg", pictures.corrupt_jpeg())
    deployed.picture("raw/scans/notes.jpg", b"Words, whatever the name says.\n")
    deployed.picture("raw/scans/nothing.png", b"")
    with FunctionRole(deployed, "resize").without("s3:PutObject"):
        for name in ("bridge", "harbour", "lighthouse"):
            deployed.picture(f"raw/2026/{name}.jpg", drawn(1500, 1000, len(name)))
        eventually(lambda: len(deployed.letters()) == 3, "three letters")
    row = deployed.row("raw/2026/hills-1.jpg")
    then = (datetime.now(UTC) - timedelta(minutes=47)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    kept = {name: row[name] for name in ("execution", "etag", "sequencer", "size", "version_id")}
    stuck = {"key": "raw/2026/pier.jpg", "status": "PROCESSING", "created_at": then, "updated_at": then}
    deployed.aws.results.put_item(Item={**kept, **stuck})


def views(deployed: Deployed) -> dict[str, str]:
    def execution(key: str) -> str:
        return f"/execution?arn={quote(deployed.row(key)['execution'], safe='')}"

    return {
        "results": "/results",
        "rejected": "/results?status=REJECTED",
        "processing": "/results?status=PROCESSING",
        "picture": "/picture?key=raw/2026/hills-3.jpg",
        "picture-failed": "/picture?key=raw/2026/bridge.jpg",
        "picture-rejected": "/picture?key=raw/scans/torn.jpg",
        "picture-stuck": "/picture?key=raw/2026/pier.jpg",
        "executions": "/executions",
        "execution": execution("raw/2026/hills-3.jpg"),
        "execution-failed": execution("raw/2026/bridge.jpg"),
        "logs": execution("raw/2026/bridge.jpg").replace("/execution?", "/execution/logs?"),
        "letters": "/letters",
        "redrive-before": "/letters/redrive?all=yes",
        "backfills": "/backfills",
        "health": "/health",
        "trouble": "/picture?key=raw/nowhere.jpg",
    }


def shoot(browser: Browser, served: Served, deployed: Deployed, folder: Path) -> None:
    for theme in THEMES:
        for name, (width, height) in WIDTHS.items():
            page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": height})
            served.enter(page)
            for view, path in views(deployed).items():
                page.goto(served.at(path))
                settled(page)
                keep(page, folder / f"{view}-{theme}-{name}.png")
            page.goto(served.at("/upload"))
            files = [
                {"name": "hills-8.jpg", "mimeType": "image/jpeg", "buffer": drawn(1600, 1000, 3)},
                {"name": "recipe.jpg", "mimeType": "image/jpeg", "buffer": b"Only words."},
                {"name": "hills-9.jpg", "mimeType": "image/jpeg", "buffer": drawn(2400, 1600, 5)},
            ]
            page.get_by_label("Drop pictures here").set_input_files(files)
            page.locator("li.way[data-status=SUCCEEDED]").first.wait_for()
            settled(page)
            keep(page, folder / f"upload-{theme}-{name}.png")
            page.close()
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    served.enter(page)
    page.goto(served.at("/letters/redrive?all=yes"))
    page.get_by_role("button", name="Redrive 3 letters").click()
    eventually(
        lambda: page.locator("#redrive").get_by_text("Done.").is_visible() or page.wait_for_timeout(200),
        "the end of the redrive",
    )
    keep(page, folder / "redriven-light-wide.png")
    page.close()


def settled(page: Page) -> None:
    """Every picture that is in sight has come, or will not."""
    page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager'; })")
    come = "[...document.querySelectorAll('img[data-picture]')].every(one => one.matches('.there, .broken *'))"
    eventually(lambda: page.evaluate(come), "the pictures")
    page.wait_for_timeout(300)  # until the last has faded in


def keep(page: Page, file: Path) -> None:
    height = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
    width = page.viewport_size["width"] if page.viewport_size else 0
    page.screenshot(path=file, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})


def shrink(folder: Path) -> None:
    """Those of README.md and docs/console.md, small: WebP, 1,280 pixels wide and no higher than they are telling."""
    for source, name in IN_PAGES.items():
        picture = Image.open(folder / f"{source}.png").convert("RGB")
        picture.crop((0, 0, picture.width, min(picture.height, 900))).save(
            folder / f"{name}.webp", quality=82, method=6
        )


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="darkroom-screenshots-") as name, own_cloud(home := Path(name)) as deployed:
        with step("Uploading, and breaking some"):
            fill(deployed)
        with step(f"Taking pictures of every view into {folder}"), console(home) as served, chromium() as browser:
            shoot(browser, served, deployed, folder)
            shrink(folder)


if __name__ == "__main__":
    main()
