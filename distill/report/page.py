"""The page: one HTML file that works from disk, with no address outside itself.

Model text is hostile: it enters through jinja2 with autoescape on, or as inert JSON (`browser`), and the content
security policy allows one style sheet and one script, each named by its hash, and nothing else.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from distill import layout
from distill.report import browser, charts
from distill.report.charts import Bar
from distill.report.markup import visible
from distill.report.summary import ALL, Summary

TEMPLATES = Path(__file__).parent / "templates"
LENGTHS = "SELECT completion_tokens FROM judged WHERE (reason IS NULL) = $kept"


def render(summary: Summary, store: Any) -> str:
    """The page as text, from the numbers and an open store."""
    return fill(
        "page.html.jinja",
        summary=summary,
        models=[(row.model, row.role) for row in summary.scores if row.benchmark == ALL],
        score_chart=_score_chart(summary),
        gain_chart=_gain_chart(summary),
        funnel_chart=_funnel_chart(summary),
        length_chart=charts.histogram([("rejected", _lengths(store, False)), ("kept", _lengths(store, True))]),
        trainings=_trainings(summary),
        generate=summary.metrics.get("generate", {"tokens_per_second": None}),
        tokens_per_kept=summary.tokens_per_kept_trace(),
        usd_per_kept=summary.usd_per_kept_trace(),
        browser=browser.section(store, summary.params),
        script=browser.SCRIPT,
    )


def fill(template: str, script: str = "", **values: Any) -> str:
    """A template of this package with its values: visible, escaped, under a policy that lets this script run alone."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, finalize=_finalize
    )
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    own = {"css": Markup(css), "script": Markup(script), "policy": Markup(_policy(css, script))}
    return environment.get_template(template).render(own | values)


def _finalize(value: Any) -> Any:
    """What a template shows of a value: of a text that is no markup of ours, nothing hides."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(css: str, script: str) -> str:
    """The content security policy: one style sheet, one script, by their hashes; no address, no markup from a text."""
    scripts = f"script-src {_hash(script)}; " if script else ""
    closed = "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    return f"default-src 'none'; {scripts}style-src {_hash(css)}; {closed}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _score_chart(summary: Summary) -> Markup:
    rows = [row for row in summary.scores if row.benchmark == ALL]
    bars = [
        Bar(row.model, e.mean, e.low, e.high, f"{100 * e.mean:.1f}", row.role) for row in rows for e in [row.estimate]
    ]
    return charts.intervals(bars, 0.0, 1.0)


def _gain_chart(summary: Summary) -> Markup:
    gains = [(f"{gain.student}, {gain.benchmark}", gain.difference) for gain in summary.gains]
    bars = [Bar(label, d.mean, d.low, d.high, f"{100 * d.mean:+.1f}", "student") for label, d in gains]
    low = min(-0.1, *(d.low for _, d in gains))
    return charts.intervals(bars, low, max(0.5, *(d.high for _, d in gains)), zero=True)


def _funnel_chart(summary: Summary) -> Markup:
    """What entered each step, and under it what each reason took out."""
    bars = []
    for step in summary.funnel["steps"]:
        kind = "rejected" if step["reason"] else "kept" if step["step"] == "kept" else "teacher"
        label = f"– {step['reason']}" if step["reason"] else step["step"]
        bars.append(Bar(label, abs(step["n"]), 0, 0, f"{abs(step['n']):,}", kind))
    return charts.amounts(bars)


def _trainings(summary: Summary) -> list[tuple[str, dict[str, Any]]]:
    """Each student's training metrics, with its loss curve drawn."""
    found = []
    for student in summary.students:
        metrics = summary.metrics.get(f"train_{student}", {})
        missing = {"rows": "?", "steps": "?", "tokens_per_second": None, "parity": None}
        chart = charts.curve([(step, loss) for step, loss in metrics.get("loss", [])], f"loss of {student}")
        found.append((student, missing | metrics | {"chart": chart}))
    return found


def _lengths(store: Any, kept: bool) -> list[int]:
    return [row[0] for row in store.execute(LENGTHS, {"kept": kept}).fetchall()]


def write(summary: Summary, store: Any) -> Path:
    """Write the page to `data/report/index.html`."""
    path = layout.REPORT / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(summary, store), encoding="utf-8", errors="replace")
    return path
