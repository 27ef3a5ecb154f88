"""Figures as inline SVG: no script, no image, and colours that follow the page's light or dark theme.

Each function returns markup of its own making around numbers and escaped labels; model text never enters a figure.
Widths are in user units of a 640-wide view box, so a figure fits any column.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from distill.report.markup import visible

WIDTH = 640
LABEL = 150  # room for row labels on the left
RIGHT = 70  # room for numbers on the right
ROW = 26
CLOSE = "</svg></div>"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart: a label, a value with its interval, the text beside it, and a class for its colour."""

    label: str
    value: float
    low: float
    high: float
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its name, a class for its colour, and (x, y) points in the order of x."""

    label: str
    kind: str
    points: list[tuple[float, float]]


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
            f'<g class="{bar.kind}"><text x="0" y="{y + 4}">{escape(visible(bar.label))}</text>'
            f'<line class="reach" x1="{x(bar.low)}" x2="{x(bar.high)}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{x(bar.value)}" cy="{y}" r="5"/>'
            f'<text class="number" x="{WIDTH}" y="{y + 4}">{escape(bar.text)}</text></g>'
        )
    return Markup("".join([*rows, CLOSE]))


def amounts(bars: Sequence[Bar]) -> Markup:
    """Horizontal bars from zero, as for a funnel; only label, value, text and kind of each bar are read."""
    most = max((bar.value for bar in bars), default=1) or 1
    rows = [_svg_open(ROW * len(bars))]
    for index, bar in enumerate(bars):
        y, width = ROW * index, (WIDTH - LABEL - RIGHT) * bar.value / most
        rows.append(
            f'<g class="{bar.kind}"><text x="0" y="{y + 17}">{escape(visible(bar.label))}</text>'
            f'<rect x="{LABEL}" y="{y + 4}" width="{max(width, 1):.1f}" height="{ROW - 8}" rx="2"/>'
            f'<text class="number" x="{WIDTH}" y="{y + 17}">{escape(bar.text)}</text></g>'
        )
    return Markup("".join([*rows, CLOSE]))


def lines(series: Sequence[Line], unit: str, percent: bool) -> Markup:
    """Lines through (x, y) points, each named at its end; with `percent` y goes from 0 to 100 %."""
    points = [point for line in series for point in line.points]
    if len({x for x, _ in points}) < 2:
        return Markup("")
    left, right, top, bottom = 44, WIDTH - LABEL, 12, 190
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = (0.0, 1.0) if percent else (min(y for _, y in points), max(y for _, y in points))

    def at(x: float, y: float) -> tuple[float, float]:
        share = (y_high - y) / ((y_high - y_low) or 1)
        return round(left + (x - x_low) / (x_high - x_low) * (right - left), 1), round(top + share * (bottom - top), 1)

    drawn = [_svg_open(bottom + 34)]
    for step in range(5):
        value = y_low + (y_high - y_low) * step / 4
        y = at(x_low, value)[1]
        text = f"{100 * value:.0f} %" if percent else f"{value:.2f}"
        drawn.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/><text x="0" y="{y + 4}">{text}</text>'
        )
    for line, label_y in zip(series, _apart([at(*line.points[-1])[1] for line in series]), strict=True):
        path = " ".join("{},{}".format(*at(*point)) for point in line.points)
        drawn.append(
            f'<g class="{line.kind}"><polyline class="curve" points="{path}"/>'
            f'<text x="{right + 8}" y="{label_y + 4}">{escape(visible(line.label))}</text></g>'
        )
    drawn.append(f'<text x="{left}" y="{bottom + 22}">{x_low:,.0f}</text>')
    drawn.append(f'<text class="number" x="{right}" y="{bottom + 22}">{x_high:,.0f} {unit}</text>')
    return Markup("".join([*drawn, CLOSE]))


def _apart(heights: Sequence[float], least: float = 15) -> list[float]:
    """The heights of labels, moved down where two would touch."""
    placed: dict[int, float] = {}
    below = -least
    for index in sorted(range(len(heights)), key=lambda index: heights[index]):
        below = placed[index] = max(heights[index], below + least)
    return [placed[index] for index in range(len(heights))]


def histogram(kind: str, values: Sequence[int], n_bins: int = 24) -> Markup:
    """How many values lie in each of equal bins; nothing without values."""
    if not values:
        return Markup("")
    low, high = min(values), max(values)
    held = Counter((value - low) * n_bins // (high + 1 - low) for value in values)
    return columns([(kind, [held[index] for index in range(n_bins)])], f"{low}", f"{high} tokens")


def columns(groups: Sequence[tuple[str, Sequence[int]]], start: str, end: str) -> Markup:
    """Counts of each kind, bin by bin, drawn one over the other; what the first bin starts and the last ends with."""
    most = max((count for _, counts in groups for count in counts), default=1) or 1
    width = (WIDTH - 20) / max(len(groups[0][1]), 1)
    rows = [_svg_open(180)]
    for kind, counts in groups:
        for index, count in enumerate(counts):
            height = 140 * count / most
            rows.append(
                f'<rect class="{kind}" x="{10 + index * width:.1f}" y="{150 - height:.1f}" '
                f'width="{width - 2:.1f}" height="{height:.1f}"/>'
            )
    ends = f'<text x="10" y="172">{start}</text><text class="number" x="{WIDTH - 10}" y="172">{end}</text>'
    return Markup("".join([*rows, ends, CLOSE]))


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
