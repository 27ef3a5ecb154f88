"""Figures as inline SVG: no script, no image, and colours that follow the page's light or dark theme.

Each function returns markup of its own making around numbers and escaped labels; model text never enters a figure.
Widths are in user units of a 640-wide view box, so a figure fits any column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 640
LABEL = 150  # room for row labels on the left
RIGHT = 70  # room for numbers on the right
ROW = 26


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart: a label, a value with its interval, the text beside it, and a class for its colour."""

    label: str
    value: float
    low: float
    high: float
    text: str
    kind: str


def intervals(bars: Sequence[Bar], low: float, high: float, zero: bool = False) -> Markup:
    """Dots with their 95 % intervals on one axis from `low` to `high`; `zero` draws a line there."""
    scale = (WIDTH - LABEL - RIGHT) / (high - low)

    def x(value: float) -> float:
        return round(LABEL + (min(max(value, low), high) - low) * scale, 1)

    height = ROW * len(bars) + 24
    rows = [_svg_open(height), _axis(low, high, x, height)]
    if zero:
        rows.append(f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{height - 20}"/>')
    for index, bar in enumerate(bars):
        y = ROW * index + ROW / 2
        rows.append(
            f'<g class="{bar.kind}"><text x="0" y="{y + 4}">{escape(bar.label)}</text>'
            f'<line class="reach" x1="{x(bar.low)}" x2="{x(bar.high)}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{x(bar.value)}" cy="{y}" r="5"/>'
            f'<text class="number" x="{WIDTH}" y="{y + 4}">{escape(bar.text)}</text></g>'
        )
    return Markup("".join([*rows, "</svg></div>"]))


def amounts(bars: Sequence[Bar]) -> Markup:
    """Horizontal bars from zero, as for a funnel; only label, value, text and kind of each bar are read."""
    most = max((bar.value for bar in bars), default=1) or 1
    rows = [_svg_open(ROW * len(bars))]
    for index, bar in enumerate(bars):
        y, width = ROW * index, (WIDTH - LABEL - RIGHT) * bar.value / most
        rows.append(
            f'<g class="{bar.kind}"><text x="0" y="{y + 17}">{escape(bar.label)}</text>'
            f'<rect x="{LABEL}" y="{y + 4}" width="{max(width, 1):.1f}" height="{ROW - 8}" rx="2"/>'
            f'<text class="number" x="{WIDTH}" y="{y + 17}">{escape(bar.text)}</text></g>'
        )
    return Markup("".join([*rows, "</svg></div>"]))


def curve(points: Sequence[tuple[float, float]], label: str) -> Markup:
    """A line through (step, value) points, with the ends of both axes named."""
    if len(points) < 2:
        return Markup("")
    left, top, bottom = 40, 10, 150
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_span, y_span = (max(xs) - min(xs)) or 1, (max(ys) - min(ys)) or 1

    def at(point: tuple[float, float]) -> str:
        x = left + (point[0] - min(xs)) / x_span * (WIDTH - left - 10)
        return f"{x:.1f},{top + (max(ys) - point[1]) / y_span * (bottom - top):.1f}"

    path = " ".join(at(point) for point in points)
    return Markup(
        f'{_svg_open(180)}<polyline class="curve" points="{path}"/>'
        f'<text x="0" y="{top + 6}">{max(ys):.2f}</text><text x="0" y="{bottom + 4}">{min(ys):.2f}</text>'
        f'<text x="{left}" y="174">step {xs[0]:g}</text><text class="number" x="{WIDTH}" y="174">{xs[-1]:g}</text>'
        f"<title>{escape(label)}</title></svg></div>"
    )


def histogram(groups: Sequence[tuple[str, Sequence[int]]], n_bins: int = 24) -> Markup:
    """Two (or more) distributions of counts over the same bins, drawn one over the other."""
    values = [value for _, group in groups for value in group]
    if not values:
        return Markup("")
    low, high = min(values), max(values) + 1
    width = (high - low) / n_bins
    counts = [
        [sum(low + i * width <= v < low + (i + 1) * width for v in group) for i in range(n_bins)] for _, group in groups
    ]
    most = max(max(row) for row in counts) or 1
    column = (WIDTH - 20) / n_bins
    rows = [_svg_open(180)]
    for (kind, _), row in zip(groups, counts, strict=True):
        for index, count in enumerate(row):
            height = 140 * count / most
            rows.append(
                f'<rect class="{kind}" x="{10 + index * column:.1f}" y="{150 - height:.1f}" '
                f'width="{column - 2:.1f}" height="{height:.1f}"/>'
            )
    ends = f'<text x="10" y="172">{low}</text><text class="number" x="{WIDTH - 10}" y="172">{high - 1} tokens</text>'
    return Markup("".join([*rows, ends, "</svg></div>"]))


def _svg_open(height: float) -> str:
    return f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height:g}" role="img">'


def _axis(low: float, high: float, x: object, height: float) -> str:
    """Grid lines and percent labels every 25 points."""
    assert callable(x)
    first, ticks = int(low * 4 + (low > 0)), []
    for quarter in range(first, int(high * 4) + 1):
        at = x(quarter / 4)
        ticks.append(f'<line class="grid" x1="{at}" x2="{at}" y1="0" y2="{height - 20}"/>')
        ticks.append(f'<text class="tick" x="{at}" y="{height - 4}">{25 * quarter}</text>')
    return "".join(ticks)
