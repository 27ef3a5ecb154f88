"""What `distill sql` and `distill show` print. Model text is shown as text: its markup and control codes do nothing."""

import re
from pathlib import Path
from typing import Any

from distill.curation.store import ask, open_store
from distill.errors import DataError

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline; ESC would command the terminal

TRACE = """
SELECT
    t.id AS trace, p.source, p.prompt, x.reasoning AS chain, x.answer_text AS answer, x.text,
    p.answer AS reference, v.verdict, v.extracted, v.evidence, t.format, t.duplicate_of,
    t.finish_reason, t.completion_tokens AS tokens, t.model, t.model_revision AS revision
FROM traces t
JOIN problems p ON p.id = t.problem_id
JOIN texts x ON x.trace_id = t.id
JOIN verdicts v ON v.trace_id = t.id
WHERE starts_with(t.id, $trace) ORDER BY t.id LIMIT 2
"""


def run_query(store: Path, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of one question to the store, which it cannot change and cannot leave."""
    with open_store(store) as connection:
        return ask(connection, sql)


def show_trace(store: Path, trace: str) -> dict[str, Any]:
    """A trace by the start of its id, with its problem and verdict. Raises `DataError` unless exactly one matches."""
    with open_store(store) as connection:
        columns, rows = ask(connection, TRACE, {"trace": trace})
    if len(rows) != 1:
        raise DataError(f"{'no trace' if not rows else 'more than one trace'} begins with {trace!r}")
    row = dict(zip(columns, rows[0], strict=True))
    if row["chain"] is not None or row["answer"] is not None:
        del row["text"]  # the chain and the answer are all of it
    return row


def print_query(store: Path, sql: str) -> None:
    """Print the answer to one question as a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    columns, rows = run_query(store, sql)
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
