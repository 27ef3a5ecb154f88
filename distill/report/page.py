"""The page: one HTML file that works from disk and names no address outside itself, under a policy that forbids any.

Model text is hostile: it enters through jinja2 with autoescape on, and the content security policy allows one style
sheet, named by its hash, and nothing else.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from distill import layout
from distill.report import cells, figures
from distill.report.summary import ALL, Summary, shown

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
    )


def fill(template: str, **values: Any) -> str:
    """A template of this package with its values: escaped, and under the policy."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    css = (TEMPLATES / "page.css").read_text()
    css_hash = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return environment.get_template(template).render(css=Markup(css), css_hash=css_hash, **values)


def write(summary: Summary, store: Any) -> Path:
    """Write the page to `data/report/index.html`."""
    path = layout.REPORT / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(summary, store))
    return path
