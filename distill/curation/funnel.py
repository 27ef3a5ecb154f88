"""From problems to kept traces: how many enter each step, and what each reason takes out.

    {"steps": [{"step": "answered", "reason": null, "n": 1225, "tokens": 268943},
               {"step": "answered", "reason": "incorrect", "n": -413, "tokens": -91200}, …],
     "sources": {"gcd": {"problems": 120, "traces": 360, …, "kept": 281, "tokens_per_kept_trace": 349.5}, …}}

The steps are `problems`, `gradable problems`, `traces`, `finished`, `answered`, `correct` and `kept`.
"""

import json
from pathlib import Path
from typing import Any

from distill.curation.store import ask


def measure(store: Any) -> dict[str, Any]:
    """The funnel of an open store, and the cost of each source."""
    columns, rows = ask(store, "FROM funnel")
    cost_columns, costs = ask(store, "FROM cost")
    return {
        "steps": [dict(zip(columns, row, strict=True)) for row in rows],
        "sources": {source: dict(zip(cost_columns[1:], numbers, strict=True)) for source, *numbers in costs},
    }


def count(funnel: dict[str, Any], step: str) -> int:
    """How many rows enter a step."""
    return next(int(row["n"]) for row in funnel["steps"] if row["step"] == step and row["reason"] is None)


def write(funnel: dict[str, Any], path: Path) -> None:
    """Write the funnel where `dvc metrics show` and the report read it."""
    path.write_text(json.dumps(funnel, indent=2) + "\n")
