"""The DuckDB store: built in one bulk load beside its place and renamed into it, read by everyone else.

    with open_store(layout.STORE) as store:
        store.execute("SELECT source, count(*) FROM kept GROUP BY source").fetchall()
    -> [("chain_sum", 212), ("gcd", 187), …]

This module owns duckdb. A store is never the live sink of a run: one writer locks every reader out.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distill.config import CurateSettings
from distill.errors import ConfigError, DataError
from distill.records import SCHEMA_VERSION

SCHEMA = Path(__file__).parent / "schema.sql"
POLICIES = Path(__file__).parent / "policies"
LIBRARIES = ("distill", "duckdb", "reasoning-gym", "math-verify")

# Text goes in last and in id order, so that equal inputs give equal tables; sorting ids alone keeps memory low.
LOAD_PROBLEMS = """
INSERT INTO problems
SELECT id, $split, source, domain, prompt, answer, verifier, difficulty, licence, origin, gold_verdict
FROM read_parquet($path)
"""
LOAD_TRACES = """
INSERT INTO traces
SELECT
    id, problem_id, sample_index, request_key, model, model_revision, finish_reason, prompt_tokens, completion_tokens,
    max_tokens, seed_label, engine, reasoning IS NOT NULL,
    nullif(first_value(id) OVER (PARTITION BY problem_id, md5(text) ORDER BY sample_index, id), id)
FROM read_parquet($path)
"""
LOAD_TEXTS = "INSERT INTO texts SELECT id, reasoning, answer_text, text FROM read_parquet($path)"
LOAD_VERDICTS = """
INSERT INTO verdicts SELECT trace_id, fingerprint, verdict, extracted, method, evidence FROM read_parquet($path)
"""


def build(store: Path, problems: Mapping[str, Path], traces: Path, verdicts: Path, settings: CurateSettings) -> None:
    """Build the store from the stages' Parquet files; `problems` maps each split to its file.

    Raises `DataError` naming the folder or file that is missing or cannot be read.
    """
    import duckdb

    for path in (*problems.values(), traces, verdicts):
        if not path.exists():
            raise DataError(f"{path} is missing; `dvc repro` writes it")
    store.parent.mkdir(parents=True, exist_ok=True)
    partial = store.with_name(f".{store.name}.partial")
    partial.unlink(missing_ok=True)
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        "temp_directory": f"{partial}.tmp",
    }
    try:
        with duckdb.connect(str(partial), config=limits) as connection:
            connection.execute(SCHEMA.read_text())
            _load(connection, problems, traces, verdicts)
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConstraintException) as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"the store cannot be built: {_first_line(error)}") from error
    partial.replace(store)


def _load(connection: Any, problems: Mapping[str, Path], traces: Path, verdicts: Path) -> None:
    """Fill every table, each from one query over Parquet."""
    for split, path in problems.items():
        connection.execute(LOAD_PROBLEMS, {"split": split, "path": str(path)})
    for statement, folder in ((LOAD_TRACES, traces), (LOAD_TEXTS, traces), (LOAD_VERDICTS, verdicts)):
        connection.execute(statement, {"path": f"{folder}/*.parquet"})
    made_by = {"schema": str(SCHEMA_VERSION)} | {name: version(name) for name in LIBRARIES}
    connection.executemany("INSERT INTO provenance VALUES (?, ?)", sorted(made_by.items()))


def open_store(store: Path) -> AbstractContextManager[Any]:
    """Open a store for reading, without access to files or the network.

    Raises `DataError` when it is missing, locked by a writer, or no store.
    """
    import duckdb

    if not store.exists():
        raise DataError(f"{store} is missing; `dvc repro curate` writes it")
    try:
        connection = duckdb.connect(str(store), read_only=True, config={"enable_external_access": False})
        tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    except duckdb.IOException as error:
        raise DataError(f"{store} cannot be opened: {_first_line(error)}; `dvc repro -f curate` rebuilds it") from error
    if not {"problems", "traces", "verdicts"} <= tables:
        raise DataError(f"{store} is a database but not a store of distill; `dvc repro -f curate` writes one")
    return connection


def query(store: Path, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of one question. Raises `DataError` with DuckDB's own first line when it cannot be answered."""
    import duckdb

    with open_store(store) as connection:
        try:
            result = connection.execute(sql)
            return [column[0] for column in result.description], result.fetchall()
        except duckdb.Error as error:
            raise DataError(f"the question cannot be answered: {_first_line(error)}") from error


def policy_names() -> list[str]:
    """The policies there are, by name."""
    return sorted(path.stem for path in POLICIES.glob("*.sql"))


def policy_text(policy: str) -> str:
    """The query of a policy, its comment included. Raises `ConfigError` when there is no such policy."""
    if policy not in policy_names():
        raise ConfigError(f"export.policy is {policy!r}; {POLICIES.name}/ holds {', '.join(policy_names())}")
    return (POLICIES / f"{policy}.sql").read_text()


def select(connection: Any, policy: str, seed: int, max_per_problem: int | None) -> list[str]:
    """The ids of the traces that a policy picks, sorted; of a problem at most `max_per_problem`, by a seeded draw."""
    picked = f"""
        WITH picked AS ({policy_text(policy)})
        SELECT id FROM picked JOIN traces USING (id)
        QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY md5($seed || id)) <= $most
        ORDER BY id
    """
    most = max_per_problem if max_per_problem is not None else 2**62
    return [row[0] for row in connection.execute(picked, {"seed": str(seed), "most": most}).fetchall()]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
