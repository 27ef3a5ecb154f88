"""`distill verify --audit`: suspects as a page and as a table, under `.distill/audit/`.

`index.html` shows the first of each kind with their prompts; `suspects.jsonl` holds them all, an object a line.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from distill import layout
from distill.report.page import fill
from distill.verification.audit import Kind, Suspect

MAX_SHOWN = 200  # of each kind, on the page
MAX_PROMPT = 2_000  # characters of a prompt on the page


def write(suspects: Sequence[Suspect], n_verdicts: int) -> Path:
    """Write page and table. Returns the page."""
    folder = layout.state_dir() / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(suspect), ensure_ascii=True) for suspect in suspects]
    (folder / "suspects.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    page = folder / "index.html"
    groups = {str(kind): [suspect for suspect in suspects if suspect.kind == kind] for kind in Kind}
    text = fill("audit.html.jinja", groups=groups, n_verdicts=n_verdicts, shown=MAX_SHOWN, max_prompt=MAX_PROMPT)
    page.write_text(text, encoding="utf-8", errors="replace")
    return page


def describe(suspects: Sequence[Suspect], n_verdicts: int, page: Path) -> str:
    """The counts, and where to look."""
    counts = Counter(suspect.kind for suspect in suspects)
    found = ", ".join(f"{counts[kind]:,} {kind}s" for kind in Kind)
    return f"{n_verdicts:,} verdicts: {found}\n{page}\n{page.with_name('suspects.jsonl')}"
