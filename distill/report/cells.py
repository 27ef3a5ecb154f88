"""Numbers as the page shows them: each a link to the query that gives it, with the cell it is.

    cell(results, row, "mean", "percent")
    -> <a class="q" href="#query-results" data-row="0" data-column="mean" data-shape="percent">78.0</a>

A test runs every query of a page and compares every cell. What is no number (None, NaN) is a dash.
"""

import math
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from distill.evaluation.statistics import p_text
from distill.report.numbers import Table

SHAPES: dict[str, Callable[[Any], str]] = {
    "percent": lambda value: f"{100 * value:.1f}",
    "share": lambda value: f"{100 * value:.0f} %",
    "points": lambda value: f"{100 * value:+.1f}",
    "gain": lambda value: f"{value:+.1f}",
    "count": lambda value: f"{value:,.0f}",
    "tokens": lambda value: f"{value:,.0f}",
    "p": p_text,
    "usd": lambda value: f"${value:,.2f}" if value >= 0.1 else f"${value:.5f}",
    "hours": lambda value: f"{value:,.2f} h" if value >= 0.1 else f"{60 * value:.1f} min",
    "minutes": lambda value: f"{value:,.1f} min",
    "nats": lambda value: f"{value:.4f}",
    "gb": lambda value: f"{value:,.1f} GB",
}
DASH = "–"


def show(value: Any, shape: str) -> str:
    """A value in one of the shapes."""
    return DASH if value is None or (isinstance(value, float) and math.isnan(value)) else SHAPES[shape](value)


def cell(table: Table, row: dict[str, Any], column: str, shape: str) -> Markup:
    """A number with the way to its query."""
    index = next(i for i, other in enumerate(table.rows) if other is row)
    link = f'href="#query-{escape(table.name)}" data-row="{index}" data-column="{escape(column)}" data-shape="{shape}"'
    return Markup(f'<a class="q" {link}>{escape(show(row[column], shape))}</a>')
