"""From problems to kept traces: how many enter each step, what each reason takes out, and what was found on the way.

    {"steps": [{"step": "answered", "reason": null, "n": 1225, "tokens": 268943},
               {"step": "answered", "reason": "incorrect", "n": -413, "tokens": -91200}, …],
     "sources": {"gcd": {"problems": 120, "traces": 360, …, "kept": 281, "tokens_per_kept_trace": 349.5}, …},
     "concerns": {"repetition": 3}, "copies": {"near_duplicate": 2}, "contamination": {"hard": {"ngram_8": 12}}}

The steps are `problems`, `gradable problems`, `traces`, `finished`, `answered`, `correct` and `kept`. The same for each
source, a row a bar, is what `dvc plots` draws:

    source,bar,n,tokens
    gcd,"answered, incorrect",-63,-21200
"""

import csv
import json
from pathlib import Path
from typing import Any

from distill.curation.store import ask

CONCERNS = "SELECT concern, count(*) FROM (SELECT unnest(concerns) AS concern FROM judged) GROUP BY ALL ORDER BY ALL"
COPIES = """
SELECT kind || if(exact, ', exact', ', near') AS what, count(*) FROM duplicates GROUP BY ALL ORDER BY ALL
"""
CONTAMINATION = """
SELECT benchmark, rule, count(DISTINCT problem_id) FROM contamination GROUP BY ALL
UNION ALL SELECT benchmark, 'dropped', count(DISTINCT problem_id) FROM contamination WHERE decides GROUP BY ALL
ORDER BY ALL
"""
BARS = "SELECT source, concat_ws(', ', step, reason) AS bar, n, tokens FROM funnel_by_source"


def measure(store: Any) -> dict[str, Any]:
    """The funnel of an open store, the cost of each source, and what the checks found."""
    columns, rows = ask(store, "FROM funnel")
    cost_columns, costs = ask(store, "FROM cost")
    leaks: dict[str, dict[str, int]] = {}
    for benchmark, rule, n in ask(store, CONTAMINATION)[1]:
        leaks.setdefault(benchmark, {})[rule] = n
    return {
        "steps": [dict(zip(columns, row, strict=True)) for row in rows],
        "sources": {source: dict(zip(cost_columns[1:], numbers, strict=True)) for source, *numbers in costs},
        "concerns": dict(ask(store, CONCERNS)[1]),
        "copies": dict(ask(store, COPIES)[1]),
        "contamination": leaks,
    }


def count(funnel: dict[str, Any], step: str) -> int:
    """How many rows enter a step."""
    return next(int(row["n"]) for row in funnel["steps"] if row["step"] == step and row["reason"] is None)


def write(funnel: dict[str, Any], path: Path) -> None:
    """Write the funnel where `dvc metrics show` and the report read it."""
    path.write_text(json.dumps(funnel, indent=2) + "\n")


def write_bars(store: Any, path: Path) -> None:
    """Write the funnel of each source where `dvc plots` reads it."""
    columns, rows = ask(store, BARS)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
