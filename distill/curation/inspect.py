"""What `distill sql` and `distill show` print. Model text is printed as text: no markup of it is taken for ours."""

from pathlib import Path
from typing import Any

from distill.curation.store import open_store, query
from distill.errors import DataError

TRACE = """
SELECT
    t.id AS trace, p.source, p.split, p.prompt, x.reasoning AS chain, x.answer_text AS answer, x.text,
    p.answer AS reference, v.verdict, v.extracted, v.evidence, t.finish_reason, t.completion_tokens AS tokens, t.model
FROM traces t
JOIN problems p ON p.id = t.problem_id
JOIN texts x ON x.trace_id = t.id
JOIN verdicts v ON v.trace_id = t.id
WHERE starts_with(t.id, $trace) ORDER BY t.id LIMIT 2
"""


def print_query(store: Path, sql: str) -> None:
    """Print the answer to one question as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns, rows = query(store, sql)
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    Console().print(table)


def print_trace(store: Path, trace: str) -> None:
    """Print one trace, field by field."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for name, value in read_trace(store, trace).items():
        if value is not None:
            console.print(Text(name, style="bold"))
            console.print(Text(str(value)), "")


def read_trace(store: Path, trace: str) -> dict[str, Any]:
    """A trace by the start of its id, with its problem and verdict. Raises `DataError` unless exactly one matches."""
    with open_store(store) as connection:
        result = connection.execute(TRACE, {"trace": trace})
        columns = [column[0] for column in result.description]
        found = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
    if len(found) != 1:
        raise DataError(f"{'no trace' if not found else 'more than one trace'} begins with {trace!r}")
    row = found[0]
    if row["chain"] is not None or row["answer"] is not None:
        del row["text"]  # the chain and the answer are all of it
    return row
