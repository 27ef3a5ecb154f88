"""Every number of the report, as tables: one SQL query each over the scores and the store.

    with open_numbers(params) as connection:
        ask_table(connection, "results").rows[0]
    -> {"model": "teacher", "role": "teacher", "benchmark": "easy", "n": 100, "k": 1, "mean": 0.78, "se": 0.042, …}

The queries lie in `queries/`, what they ask in `relations.sql`. What SQL has no word for (intervals, permutations, the
bootstrap) is `distill.evaluation.statistics`, called from it. The page, `data/report.json`, the closing table, the
plots and the model cards all read these tables, so they cannot disagree; `distill sql` answers the same queries.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill import config, layout
from distill.config import Params
from distill.curation import store
from distill.curation.store import Function
from distill.errors import DataError
from distill.evaluation import repeats, statistics
from distill.evaluation.evaluate import evaluated

HERE = Path(__file__).parent
QUERIES = HERE / "queries"
RELATIONS = HERE / "relations.sql"

COUNTS, SHARES = "INTEGER[]", "DOUBLE[]"
ESTIMATE = "STRUCT(n INTEGER, k INTEGER, mean DOUBLE, se DOUBLE, low DOUBLE, high DOUBLE, run_se DOUBLE)"
DIFFERENCE = "STRUCT(n INTEGER, mean DOUBLE, se DOUBLE, low DOUBLE, high DOUBLE, p DOUBLE)"
GAP = 'STRUCT("value" DOUBLE, low DOUBLE, high DOUBLE)'

FUNCTIONS = (
    Function("estimate", lambda right, n: asdict(statistics.estimate(right, n)), (COUNTS,) * 2, ESTIMATE),
    Function("paired_difference", lambda a, b: asdict(statistics.paired_difference(a, b)), (SHARES,) * 2, DIFFERENCE),
    Function("holm", statistics.holm, (SHARES,), SHARES),
    Function("gap_closed", lambda b, s, t: asdict(statistics.gap_closed(b, s, t)), (SHARES,) * 3, GAP),
    Function("pass_at_k", repeats.pass_at_k, (COUNTS, COUNTS, "INTEGER"), "DOUBLE"),
    Function("g_pass_at_k", repeats.g_pass_at_k, (COUNTS, COUNTS, "INTEGER", "DOUBLE"), "DOUBLE"),
    Function("mg_pass_at_k", repeats.mg_pass_at_k, (COUNTS, COUNTS, "INTEGER"), "DOUBLE"),
    Function("maj_at_k", repeats.maj_at_k, ("VARCHAR[]", "BOOLEAN[]", "INTEGER"), "DOUBLE"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """The answer to one of the queries."""

    name: str
    sql: str
    columns: list[str]
    rows: list[dict[str, Any]]

    def find(self, **wanted: Any) -> list[dict[str, Any]]:
        """The rows whose columns have these values."""
        return [row for row in self.rows if all(row[name] == value for name, value in wanted.items())]

    def one(self, **wanted: Any) -> dict[str, Any]:
        """The row whose columns have these values."""
        [row] = self.find(**wanted)
        return row


def names() -> list[str]:
    """The queries that there are."""
    return sorted(path.stem for path in QUERIES.glob("*.sql"))


@contextmanager
def open_numbers(params: Params) -> Iterator[Any]:
    """A connection to the store, the scores and the functions; it can change nothing and reach nothing else.

    Raises `DataError` naming the file that is missing.
    """
    with store.open_beside(layout.STORE, FUNCTIONS) as connection:
        _fill(connection, params)
        store.lock(connection)
        yield connection


def ask_table(connection: Any, name: str) -> Table:
    """The answer to the query of a name."""
    sql = (QUERIES / f"{name}.sql").read_text()
    columns, rows = store.ask(connection, sql)
    return Table(name, sql, columns, [dict(zip(columns, row, strict=True)) for row in rows])


def ask_all(connection: Any) -> dict[str, Table]:
    """Every table by its name."""
    return {name: ask_table(connection, name) for name in names()}


def write_tables(tables: dict[str, Table], folder: Path) -> None:
    """Write each table as a .csv, for `dvc plots` and for spreadsheets."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables.values():
        with (folder / f"{table.name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, table.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table.rows)


def answer(question: str) -> store.Answer:
    """Columns and rows of one question in SQL, or of the query of that name; before evaluation, of the store alone."""
    sql = (QUERIES / f"{question}.sql").read_text() if question in names() else question
    opened = open_numbers(config.load()) if layout.SCORES.exists() else store.open_store(layout.STORE)
    with opened as connection:
        return store.ask(connection, sql)


def _fill(connection: Any, params: Params) -> None:
    """Make the relations, and put in what is measured, what was answered and what it costs."""
    models = evaluated(params)
    files = [layout.SCORES / model.name / "scores.parquet" for model in models]
    for file in files:
        if not file.exists():
            raise DataError(f"{file} is missing; `dvc repro` writes it")
    with store.one_sentence(f"{layout.SCORES} cannot be loaded", "delete it and run `dvc repro`"):
        connection.execute("SET VARIABLE score_files = $files", {"files": store.patterns(files)})
        connection.execute(RELATIONS.read_text())
    _insert(connection, "models", [(m.name, m.role, m.student, place) for place, m in enumerate(models)])
    price = params.price
    per_million = price.usd_per_million_prompt_tokens, price.usd_per_million_completion_tokens
    _insert(connection, "prices", [(price.usd_per_hour, *per_million)])
    metrics = read_folder(layout.METRICS)
    for stage, measured in metrics.items():
        _insert(connection, "metrics", [(stage, *pair) for pair in _flat(measured)])
    for student in params.students:
        losses = metrics.get(f"train_{student}", {}).get("loss", [])
        _insert(connection, "losses", [(student, *point) for point in losses])


def read_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON objects of a folder by their names. Raises `DataError` naming the file that is none."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = dict(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}); `dvc repro` writes it") from error
    return found


def _insert(connection: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def _flat(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested JSON, each by its path: ("parity.mean_nats", 0.0004)."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, int | float):
            yield f"{above}{name}", float(value)
