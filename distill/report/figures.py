"""The report's figures, drawn from its tables."""

from typing import Any

from markupsafe import Markup

from distill.evaluation.statistics import ALL
from distill.report import charts
from distill.report.charts import Bar, Line
from distill.report.numbers import Table
from distill.report.summary import Summary


def draw(summary: Summary) -> dict[str, Markup]:
    """Every figure of the page by its name."""
    tables = summary.tables
    return {
        "scores": scores(tables["results"]),
        "gains": gains(tables["differences"]),
        "funnel": funnel(tables["funnel"]),
        "lengths": lengths(tables["trace_lengths"]),
        "budget": budget(tables["budget"]),
    }


def scores(results: Table) -> Markup:
    """Every model on all problems, with its interval."""
    return charts.intervals(
        [_interval(row, row["model"], row["role"], ".1f") for row in results.find(benchmark=ALL)], 0, 1
    )


def gains(differences: Table) -> Markup:
    """Every student against its base, benchmark by benchmark."""
    rows = differences.find(versus="base")
    bars = [_interval(row, f"{row['student']}, {row['benchmark']}", "student", "+.1f") for row in rows]
    low = min(-0.1, *(row["low"] for row in rows))
    return charts.intervals(bars, low, max(0.5, *(row["high"] for row in rows)), zero=True)


def funnel(steps: Table) -> Markup:
    """What enters each step, and under it what each reason takes out."""
    bars = []
    for row in steps.rows:
        kind = "rejected" if row["reason"] else "kept" if row["step"] == "kept" else "teacher"
        label = f"– {row['reason']}" if row["reason"] else row["step"]
        bars.append(Bar(label, abs(row["n"]), 0, 0, f"{abs(row['n']):,}", kind))
    return charts.amounts(bars)


def lengths(traces: Table) -> Markup:
    """How long kept and rejected traces are."""
    if not traces.rows:
        return Markup("")
    width = traces.rows[0]["width"]
    first, last = traces.rows[0]["bin"], traces.rows[-1]["bin"]
    counts = {row["bin"]: row for row in traces.rows}
    groups = [
        (kind, [counts[i][kind] if i in counts else 0 for i in range(first, last + 1)]) for kind in ("rejected", "kept")
    ]
    start = traces.rows[0]["tokens"]
    return charts.columns(groups, f"{start:,.0f}", f"{start + width * (last - first + 1):,.0f} tokens")


def budget(cuts: Table) -> Markup:
    """pass@1 of every model on all problems against where its answers are cut."""
    lines: dict[str, Line] = {}
    for row in cuts.find(benchmark=ALL):
        line = lines.setdefault(row["model"], Line(row["model"], row["role"], []))
        line.points.append((row["budget"], row["mean"]))
    return charts.lines(list(lines.values()), "tokens", percent=True)


def loss(losses: Table, student: str) -> Markup:
    """The training loss of a student."""
    points = [(row["step"], row["loss"]) for row in losses.find(model=student)]
    return charts.lines([Line(student, "student", points)], "steps", percent=False)


def _interval(row: dict[str, Any], label: str, kind: str, shape: str) -> Bar:
    mean, low, high = row["mean"], row["low"], row["high"]
    return Bar(label, mean, mean if low is None else low, mean if high is None else high, f"{100 * mean:{shape}}", kind)
