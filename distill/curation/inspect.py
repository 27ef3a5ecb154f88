"""What `distill sql` and `distill show` print. Model text is shown as text: its markup and control codes do nothing."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.curation.store import ask, open_store
from distill.errors import DataError

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline; ESC would command the terminal

TRACE = """
SELECT
    t.id AS trace, p.source, p.prompt, x.reasoning AS chain, x.answer_text AS answer, x.text,
    nullif(p.answer, '') AS reference, v.verdict, v.extracted, v.evidence,
    coalesce(j.reason, g.reason) AS "reason against it", nullif(array_to_string(j.concerns, ', '), '') AS concerns,
    array_to_string(s.policies, ', ') AS "picked by", t.finish_reason, t.completion_tokens AS tokens, t.model,
    t.model_revision AS revision, c.*,
    (SELECT string_agg(kind || ' ' || kept_id || ', similarity ' || similarity, '; ' ORDER BY kind) FROM duplicates d
        WHERE d.id IN (t.id, t.problem_id)) AS "copy of",
    (SELECT string_agg(benchmark || ' ' || benchmark_problem || ' by ' || rule || ', score ' || score || ', in '
        || spread || ' problems: ' || matched, chr(10) ORDER BY benchmark, rule) FROM contamination
        WHERE problem_id = t.problem_id) AS "asked by"
FROM traces t
JOIN problems p ON p.id = t.problem_id
JOIN texts x ON x.trace_id = t.id
JOIN verdicts v ON v.trace_id = t.id
JOIN (SELECT trace_id, COLUMNS(* EXCLUDE (trace_id, final_answer)) FROM checks) c ON c.trace_id = t.id
LEFT JOIN judged j ON j.id = t.id
LEFT JOIN given g ON g.id = t.id
LEFT JOIN selections s ON s.trace_id = t.id
WHERE t.id = $id
"""
NAMED = "SELECT id FROM traces WHERE starts_with(id, $trace) ORDER BY id LIMIT 2"


def run_query(store: Path, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of one question to the store, which it cannot change and cannot leave."""
    with open_store(store) as connection:
        return ask(connection, sql)


def show_trace(store: Path, trace: str) -> dict[str, Any]:
    """A trace by the start of its id, with its problem and verdict. Raises `DataError` unless exactly one matches."""
    with open_store(store) as connection:
        ids = [name for (name,) in ask(connection, NAMED, {"trace": trace})[1]]
        if len(ids) != 1:
            raise DataError(f"{'more than one trace' if ids else 'no trace'} begins with {trace!r}")
        columns, [row] = ask(connection, TRACE, {"id": ids[0]})
    return {name: value for name, value in zip(columns, row, strict=True) if name != "trace_id"}


def print_answer(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Print the answer to one question as a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(*(escape(visible(column)) for column in columns), box=None, header_style="bold")
    for row in rows:
        cells = (Text(_cell(value), justify="right" if isinstance(value, int | float) else "left") for value in row)
        table.add_row(*cells)
    Console().print(table)


def print_trace(store: Path, trace: str) -> None:
    """Print one trace, field by field."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for name, value in show_trace(store, trace).items():
        if value is not None:
            console.print(Text(name, style="bold"))
            console.print(Text(visible(str(value))), "")


def visible(text: str) -> str:
    r"""A text with its control codes spelled out, as `\x1b`."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _cell(value: Any) -> str:
    if isinstance(value, bool | None):
        return "" if value is None else str(value).lower()
    return f"{value:,}" if isinstance(value, int) else visible(str(value))
