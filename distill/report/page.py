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
from distill.evaluation.statistics import ALL
from distill.report import browser, cells, figures
from distill.report.markup import visible
from distill.report.summary import Summary, shown

TEMPLATES = Path(__file__).parent / "templates"


def render(summary: Summary, store: Any) -> str:
    """The page as text, from the numbers and the connection they came from."""
    tables = summary.tables
    return fill(
        "page.html.jinja",
        summary=summary,
        tables=tables,
        figures=figures.draw(summary),
        losses={student: figures.loss(tables["losses"], student) for student in summary.students},
        audits={student: summary.metrics.get(f"tokenize_{student}", {}) for student in summary.students},
        number=lambda name, row, column, shape: cells.cell(tables[name], row, column, shape),
        shown=shown,
        ALL=ALL,
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


def write(summary: Summary, store: Any) -> Path:
    """Write the page to `data/report/index.html`."""
    path = layout.REPORT / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(summary, store), encoding="utf-8", errors="replace")
    return path
