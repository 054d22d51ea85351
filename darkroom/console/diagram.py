"""The workflow of one execution, drawn from the definition that was deployed: what became of each state is its colour.

States stand in rows by how far they are from the start. The way of a picture that nothing happens to is the first
column; what only a Catch leads to stands to the right of it. Parallel and Map are boxes with their own drawing inside.
On a narrow screen all states stand in one column, and the arrows that pass others go along lanes to the right of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from darkroom.console.signs import path

Machine = dict[str, Any]
Arrow = tuple[str, str]

LETTER = 7.6  # pixels, of the widest usual font at the size of console.css
BOX_HEIGHT = 38
ROW_GAP = 34
COLUMN_GAP = 44
LANE = 11  # pixels between two lanes
UNDER_EDGE = 12  # where an arrow leaves a box on its side, below its top; one that comes in is as far above its bottom
PADDING = 14
TITLE_HEIGHT = 30
NOTE_WIDTH = 32  # a few letters after the name


@dataclass(frozen=True)
class Mark:
    """What became of a state. `look` is a class of console.css, `words` say the same for a screen reader."""

    look: str
    words: str
    note: str = ""
    href: str | None = None
    chosen: bool = False


@dataclass
class Box:
    name: str
    kind: str
    width: float
    height: float
    x: float = 0
    y: float = 0
    inside: list["Chart"] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass
class Chart:
    """One machine, laid out: its own, or that of a branch."""

    boxes: dict[str, Box]
    arrows: list[tuple[str, str, bool, str]]  # from, to, whether it is a Catch, label
    place: dict[str, tuple[int, int]]  # row and column
    right_of: dict[int, float]  # columns
    bottom_of: dict[int, float]  # rows
    lanes: dict[str, float]  # of a narrow chart: where the arrows to a state go along that do not come from just above
    width: float
    height: float


NOT_VISITED = Mark("not-visited", "not visited")


def draw(machine: Machine, marks: Mapping[str, Mark], taken: set[Arrow], *, narrow: bool = False) -> Markup:
    """As SVG. Each state is a link with its name and its outcome in words; the arrows that were taken stand out. The
    narrow drawing and the other one may stand in the same page."""
    chart = lay_out(machine, narrow=narrow)
    kind = "narrow" if narrow else "wide"
    width, height = chart.width + 2 * PADDING, chart.height + 2 * PADDING
    parts = list(_chart(chart, PADDING, PADDING, marks, taken, kind))
    heads = "".join(
        f'<marker id="{kind}-{look}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto">'
        f'<path class="head {look}" d="M0 0.5 8 4 0 7.5z"/></marker>'
        for look in ("left", "taken")
    )
    return Markup(
        f'<svg class="workflow {kind}" role="group" aria-label="The workflow, each state with what happened in it"'
        f' width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"<defs>{heads}</defs>{''.join(parts)}</svg>"
    )


def nested(machine: Machine) -> Iterator[tuple[str, Machine]]:
    """Every state at any depth."""
    for name, state in machine["States"].items():
        yield name, state
        for inner in inner_machines(state):
            yield from nested(inner)


def inner_machines(state: Machine) -> list[Machine]:
    """The branches of a Parallel, what a Map does for each item; none of any other state."""
    item = state.get("ItemProcessor") or state.get("Iterator")
    return [*state.get("Branches", []), *([item] if item else [])]


def lay_out(machine: Machine, *, narrow: bool = False) -> Chart:
    states = machine["States"]
    boxes = {name: _box(name, state, narrow=narrow) for name, state in states.items()}
    arrows = [(name, to, catch, label) for name, state in states.items() for to, catch, label in _arrows(state)]
    place = _stacked(machine, arrows) if narrow else _places(machine, arrows)
    rows, columns = (sorted({at[axis] for at in place.values()}) for axis in (0, 1))
    heights = {row: max(boxes[name].height for name, at in place.items() if at[0] == row) for row in rows}
    widths = {column: max(boxes[name].width for name, at in place.items() if at[1] == column) for column in columns}
    top = {row: sum(heights[one] + ROW_GAP for one in rows if one < row) for row in rows}
    left = {column: sum(widths[one] + COLUMN_GAP for one in columns if one < column) for column in columns}
    for name, (row, column) in place.items():
        box = boxes[name]
        box.x = left[column] + (widths[column] - box.width) / 2
        box.y = top[row] + (heights[row] - box.height) / 2
    width = sum(widths.values()) + COLUMN_GAP * (len(columns) - 1)
    height = sum(heights.values()) + ROW_GAP * (len(rows) - 1)
    right_of = {column: left[column] + widths[column] for column in columns}
    bottom_of = {row: top[row] + heights[row] for row in rows}
    lanes = {end: width + lane * LANE for end, lane in _lanes(place, arrows).items()} if narrow else {}
    return Chart(boxes, arrows, place, right_of, bottom_of, lanes, max(width, *lanes.values(), 0), height)


def _box(name: str, state: Machine, *, narrow: bool) -> Box:
    inside = [lay_out(machine, narrow=narrow) for machine in inner_machines(state)]
    own = len(name) * LETTER + NOTE_WIDTH + 30
    if not inside:
        return Box(name, state["Type"], own, BOX_HEIGHT)
    width = sum(chart.width for chart in inside) + PADDING * (len(inside) + 1)
    height = max(chart.height for chart in inside) + TITLE_HEIGHT + PADDING
    title = own + len(state["Type"]) * LETTER
    return Box(name, state["Type"], max(width, title), height, inside=inside)


def _arrows(state: Machine) -> Iterator[tuple[str, bool, str]]:
    for choice in state.get("Choices", []):
        condition = str(choice.get("Condition", "")).removeprefix("{%").removesuffix("%}")
        yield choice["Next"], False, condition.replace("$states.input.", "").strip()
    if "Default" in state:
        yield state["Default"], False, "otherwise"
    if "Next" in state:
        yield state["Next"], False, ""
    for catch in state.get("Catch", []):
        yield catch["Next"], True, ", ".join(catch["ErrorEquals"])


def _places(machine: Machine, arrows: list[tuple[str, str, bool, str]]) -> dict[str, tuple[int, int]]:
    """Row and column of each state."""
    rows: dict[str, int] = {}
    place: dict[str, tuple[int, int]] = {}

    def walk(name: str, row: int, above: tuple[str, ...]) -> None:
        """The longest way to each; a loop is followed once."""
        if name in above or rows.get(name, -1) >= row:
            return
        rows[name] = row
        for start, end, catch, _ in arrows:
            if start == name and not catch:
                walk(end, row + 1, (*above, name))

    def put(name: str, column: int) -> None:
        while (rows[name], column) in place.values():
            column += 1
        place[name] = rows[name], column

    walk(machine["StartAt"], 0, ())
    at: str | None = machine["StartAt"]
    while at is not None and at not in place:
        put(at, 0)
        at = next((end for start, end, catch, _ in arrows if start == at and not catch), None)
    for name in [name for name in rows if name not in place]:
        put(name, 1)
    while caught := [(rows[start], end) for start, end, _, _ in arrows if start in place and end not in place]:
        row, name = min(caught, key=lambda one: one[0])
        before = next(start for start, end, _, _ in arrows if end == name and start in place)
        rows[name] = row + 1
        put(name, place[before][1])
    for name in machine["States"]:  # nothing leads there
        if name not in place:
            rows[name] = max(rows.values()) + 1
            put(name, 0)
    return place


def _stacked(machine: Machine, arrows: list[tuple[str, str, bool, str]]) -> dict[str, tuple[int, int]]:
    """All in one column: the way of a picture that nothing happens to, and below it each way that leaves it, those
    that leave it last first."""
    order: list[str] = []

    def follow(name: str | None) -> None:
        while name is not None and name not in order:
            order.append(name)
            name = next((end for start, end, catch, _ in arrows if start == name and not catch), None)

    follow(machine["StartAt"])
    while left := [end for at in reversed(order) for start, end, _, _ in arrows if start == at and end not in order]:
        follow(left[0])
    for name in machine["States"]:  # nothing leads there
        follow(name)
    return {name: (row, 0) for row, name in enumerate(order)}


def _lanes(place: dict[str, tuple[int, int]], arrows: list[tuple[str, str, bool, str]]) -> dict[str, int]:
    """The lane, counted from 1, of each state that is reached along one. Those that share one do not meet in it."""
    spans: dict[str, tuple[int, int]] = {}
    for start, end, _, _ in arrows:
        (row, _), (to_row, _) = place[start], place[end]
        if to_row != row + 1:
            low, high = spans.get(end, (to_row, to_row))
            spans[end] = min(low, row), max(high, row)
    lanes: dict[str, int] = {}
    for end, (low, high) in sorted(spans.items(), key=lambda one: one[1][1] - one[1][0]):
        met = {lanes[other] for other in lanes if low <= spans[other][1] and spans[other][0] <= high}
        lanes[end] = next(lane for lane in count(1) if lane not in met)
    return lanes


def _chart(chart: Chart, x: float, y: float, marks: Mapping[str, Mark], taken: set[Arrow], kind: str) -> Iterator[str]:
    yield f'<g transform="translate({x:.1f} {y:.1f})">'
    # those that were taken last, over the others
    for start, end, catch, label in sorted(chart.arrows, key=lambda arrow: arrow[:2] in taken):
        yield _arrow(chart, start, end, catch, label, kind, (start, end) in taken)
    for start, end, catch, label in chart.arrows:
        if label and not catch:
            yield _label(chart, start, end, label)
    for box in chart.boxes.values():
        yield from _drawn(box, marks, taken, kind)
    yield "</g>"


def _drawn(box: Box, marks: Mapping[str, Mark], taken: set[Arrow], kind: str) -> Iterator[str]:
    mark = marks.get(box.name, NOT_VISITED)
    classes = f"state {mark.look}{' chosen' if mark.chosen else ''}{' holds' if box.inside else ''}"
    round_corner = 18 if box.kind in ("Succeed", "Fail") else 7
    seen = " ".join(part for part in (box.name, box.kind if box.inside else mark.note) if part)
    title = f"{seen}: {mark.words}"
    note = f' <tspan class="note">{escape(mark.note)}</tspan>' if mark.note else ""
    shape = (
        f"<title>{escape(title)}</title>"
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{round_corner}"/>'
    )
    if box.inside:
        shape += (
            f'<text x="{box.x + PADDING:.1f}" y="{box.y + 20:.1f}">{escape(box.name)} '
            f'<tspan class="kind" dx="4">{escape(box.kind)}</tspan></text>'
        )
    else:
        shape += (
            f'<text x="{box.middle + 7:.1f}" y="{box.y + box.height / 2 + 4.5:.1f}" text-anchor="middle">'
            f"{escape(box.name)}{note}</text>"
            f'<path class="sign" d="{path(mark.look)}"'
            f' transform="translate({box.x + 9:.1f} {box.y + box.height / 2 - 7:.1f})"/>'
        )
    current = ' aria-current="true"' if mark.chosen else ""
    if mark.href:
        here = f'id="{kind}-state-{quote(box.name)}" href="{escape(mark.href)}" aria-label="{escape(title)}"{current}'
        yield f'<a class="{classes}" {here}>{shape}</a>'
    else:
        yield f'<g class="{classes}" role="img" aria-label="{escape(title)}">{shape}</g>'
    x = box.x + PADDING
    for chart in box.inside:
        yield from _chart(chart, x, box.y + TITLE_HEIGHT, marks, taken, kind)
        x += chart.width + PADDING


def _arrow(chart: Chart, start: str, end: str, catch: bool, label: str, kind: str, taken: bool) -> str:
    classes = f"arrow{' catch' if catch else ''}{' taken' if taken else ''}"
    said = f"from {start} to {end}" + (f": {label}" if label else "")
    line = _corners(way(chart, start, end))
    head = f"{kind}-{'taken' if taken else 'left'}"
    return f'<path class="{classes}" d="{line}" marker-end="url(#{head})"><title>{escape(said)}</title></path>'


def way(chart: Chart, start: str, end: str) -> list[tuple[float, float]]:
    """Through the gaps between rows and columns, so that no arrow seems to begin or end at a box that it passes."""
    a, b = chart.boxes[start], chart.boxes[end]
    (row, column), (to_row, to_column) = chart.place[start], chart.place[end]
    below = a.y + a.height
    if chart.lanes and to_row != row + 1:
        out, into, lane = a.y + UNDER_EDGE, b.y + b.height - UNDER_EDGE, chart.lanes[end]
        return [(a.x + a.width, out), (lane, out), (lane, into), (b.x + b.width, into)]
    if to_row > row and column == to_column:
        return [(a.middle, below), (a.middle, b.y)]
    if to_row > row and to_column < column:
        return [(a.middle, below), (a.middle, b.y + b.height / 2), (b.x + b.width, b.y + b.height / 2)]
    side = a.y + (TITLE_HEIGHT / 2 if a.inside else a.height / 2)
    if to_row > row:
        return [(a.x + a.width, side), (b.middle, side), (b.middle, b.y)]
    gap = chart.right_of[column] + COLUMN_GAP / 3
    under = chart.bottom_of[to_row] + ROW_GAP / 3
    into = b.x + b.width / 4
    return [(a.x + a.width, side), (gap, side), (gap, under), (into, under), (into, b.y + b.height)]


def _corners(points: list[tuple[float, float]], radius: float = 7) -> str:
    """A line along the points, with round corners."""
    (x, y), *_ = points
    line = f"M{x:.1f} {y:.1f}"
    for (x0, y0), (x, y), (x1, y1) in zip(points, points[1:], points[2:], strict=False):
        before, after = abs(x - x0) + abs(y - y0), abs(x1 - x) + abs(y1 - y)
        r = min(radius, before / 2, after / 2)
        if before and after:
            line += f"L{x - (x - x0) / before * r:.1f} {y - (y - y0) / before * r:.1f}"
            line += f"Q{x:.1f} {y:.1f} {x + (x1 - x) / after * r:.1f} {y + (y1 - y) / after * r:.1f}"
    x, y = points[-1]
    return f"{line}L{x:.1f} {y:.1f}"


def _label(chart: Chart, start: str, end: str, label: str) -> str:
    """Beside the first piece of an arrow."""
    box, (row, column), (to_row, to_column) = chart.boxes[start], chart.place[start], chart.place[end]
    beside = to_row != row + 1 if chart.lanes else column != to_column
    x, y = (box.x + box.width + 6, box.y + box.height / 2 - 5) if beside else (box.middle + 7, box.y + box.height + 16)
    return f'<text class="note" x="{x:.1f}" y="{y:.1f}">{escape(label)}</text>'
