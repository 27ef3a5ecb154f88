"""From problems to kept traces: how many entered each step, and what each reason took out.

{"steps": [{"step": "traces", "reason": null, "n": 1740, "tokens": 517143},
           {"step": "traces", "reason": "incorrect", "n": -431, "tokens": -128804}, …],
 "sources": {"gcd": {"traces": 360, "kept": 281, "tokens": 98211, "tokens_per_kept_trace": 349.5}, …}}
"""

from typing import Any


def measure(connection: Any) -> dict[str, Any]:
    """The funnel and the cost per source of an open store."""
    steps = connection.execute("SELECT step, reason, n, tokens FROM funnel").fetchall()
    sources = connection.execute("SELECT source, traces, kept, tokens, tokens_per_kept_trace FROM cost").fetchall()
    return {
        "steps": [dict(zip(("step", "reason", "n", "tokens"), _plain(row), strict=True)) for row in steps],
        "sources": {
            row[0]: dict(zip(("traces", "kept", "tokens", "tokens_per_kept_trace"), _plain(row[1:]), strict=True))
            for row in sources
        },
    }


def count(funnel: dict[str, Any], step: str) -> int:
    """How many rows entered a step."""
    return next((int(row["n"]) for row in funnel["steps"] if row["step"] == step and row["reason"] is None), 0)


def _plain(row: tuple[Any, ...]) -> list[Any]:
    """DuckDB's sums of integers come as HUGEINT; JSON knows int."""
    return [int(value) if isinstance(value, int) else value for value in row]
