"""Charts as SVG, drawn here: each with its numbers in words, and beside a table that has them all."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 720, 190
LEFT, BOTTOM, TOP = 44, 22, 8


def columns(title: str, labels: Sequence[str], series: Mapping[str, Sequence[int]]) -> Markup:
    """A column for each label, of one piece for each of the series, whose names are classes of console.css."""
    sums = [sum(values[at] for values in series.values()) for at in range(len(labels))]
    top = scale(max(sums, default=0))
    slot = (WIDTH - LEFT) / max(1, len(labels))
    parts = [*_grid(top)]
    for at, label in enumerate(labels):
        y = float(HEIGHT - BOTTOM)
        pieces = [(name, values[at]) for name, values in series.items() if values[at]]
        for name, value in pieces:
            height = value / top * (HEIGHT - BOTTOM - TOP)
            y -= height
            parts.append(
                f'<rect class="fill {escape(name.lower())}" x="{LEFT + at * slot + slot * 0.12:.1f}" y="{y:.1f}"'
                f' width="{slot * 0.76:.1f}" height="{height:.1f}">'
                f"<title>{escape(label)}: {value} {escape(name)}</title></rect>"
            )
    parts += _labels(labels, slot)
    return _svg(title, parts)


def scale(most: int) -> int:
    """The next round number above."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if most <= step * factor * 4 and (step * factor * 4 >= 4):
                return step * factor * 4
        step *= 10


def _grid(top: int) -> list[str]:
    parts = []
    for quarter in range(5):
        y = HEIGHT - BOTTOM - quarter / 4 * (HEIGHT - BOTTOM - TOP)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * quarter // 4}</text>'
        )
    return parts


def _labels(labels: Sequence[str], slot: float) -> list[str]:
    every = max(1, round(max(64, 8 * max(map(len, labels), default=0)) / slot))
    return [
        f'<text class="axis{" less" if at // every % 2 == 0 else ""}" x="{LEFT + at * slot + slot / 2:.1f}"'
        f' y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(label)}</text>"
        for at, label in enumerate(labels)
        if at % every == 0
    ]


def _svg(title: str, parts: Sequence[str]) -> Markup:
    head = f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(title)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")
