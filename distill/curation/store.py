"""The DuckDB store: built in one bulk load beside its place and renamed into it, read by everyone else.

    with open_store(layout.STORE) as store:
        store.execute("SELECT source, count(*) FROM kept GROUP BY source").fetchall()
    -> [("chain_sum", 212), ("gcd", 187), …]

This module owns duckdb. The store is never the live sink of a run: one writer locks every reader out.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from glob import escape
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from distill.config import CurateSettings
from distill.errors import DataError, Incomplete
from distill.prompting import THINK_CLOSE, THINK_OPEN
from distill.records import SCHEMA_VERSION

Answer = tuple[list[str], list[tuple[Any, ...]]]  # the columns, the rows

SCHEMA = Path(__file__).parent / "schema.sql"
LIBRARIES = ("distill", "duckdb", "reasoning-gym", "math-verify")
TEXTS_PER_SORT = 20_000  # 16 kB each stay under 1 GB; a sort with all texts at once would not

LOAD_PROBLEMS = """
INSERT INTO problems
SELECT id, $split, source, domain, prompt, answer, verifier, difficulty, licence, origin, gold_verdict
FROM read_parquet($files) ORDER BY id
"""
# Texts are hashed before the window, which then carries only numbers and ids. Of equal texts the first sample is the
# original; of equal samples, a finished one.
LOAD_TRACES = """
INSERT INTO traces
SELECT
    id, problem_id, sample_index, request_key, model, model_revision, finish_reason, prompt_tokens, completion_tokens,
    max_tokens, seed_label, engine, format, nullif(first_value(id) OVER same_text, id)
FROM (
    SELECT
        * EXCLUDE (text, reasoning, answer_text), sha256(text) AS digest,
        CASE
            WHEN reasoning IS NULL THEN 'no_chain'
            WHEN reasoning = '' THEN 'empty_chain'
            WHEN contains(reasoning || answer_text, $open) THEN 'stray_tag'
            WHEN contains(reasoning || answer_text, $close) THEN 'stray_tag'
            WHEN answer_text = '' THEN 'empty_answer'
            ELSE 'ok'
        END AS format
    FROM read_parquet($files)
)
WINDOW same_text AS (PARTITION BY problem_id, digest ORDER BY finish_reason <> 'stop', sample_index, id)
ORDER BY id
"""
# Ids begin with evenly spread hex digits, so a range of them is a share of the rows, and shards are sorted by id, so
# reading a range skips the rest.
LOAD_TEXTS = """
INSERT INTO texts
SELECT id, reasoning, answer_text, text FROM read_parquet($files) WHERE id >= $low AND id < $high ORDER BY id
"""
LOAD_VERDICTS = """
INSERT INTO verdicts
SELECT trace_id, fingerprint, verdict, extracted, method, evidence, extraction
FROM read_parquet($files) ORDER BY trace_id
"""
# What stages that are out of step with each other would lose in a join.
ORPHANS = {
    "traces belong to no training problem": """
        SELECT id FROM traces ANTI JOIN (SELECT id AS problem_id FROM problems WHERE split = 'train') USING (problem_id)
    """,
    "traces have no verdict": "SELECT id FROM traces ANTI JOIN verdicts ON trace_id = id",
    "verdicts are of traces that are not there": "SELECT trace_id FROM verdicts ANTI JOIN traces ON trace_id = id",
}


def build(store: Path, problems: Mapping[str, Path], traces: Path, verdicts: Path, settings: CurateSettings) -> None:
    """Build the store from the stages' Parquet files; `problems` maps each split to its file.

    Raises `DataError` naming the folder or file that is missing, cannot be read, or does not fit the others.
    """
    import duckdb

    inputs = {"problems": list(problems.values()), "traces": _files(traces), "verdicts": _files(verdicts)}
    digests = {f"{name} sha256": _sha256(files) for name, files in inputs.items()}
    partial, spill = store.with_name(f".{store.name}.partial"), store.with_name(f".{store.name}.spill")
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        "temp_directory": str(spill),
    }
    store.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial, spill)
    try:
        with duckdb.connect(str(partial), config=limits) as connection:
            connection.execute(SCHEMA.read_text())
            for split, file in problems.items():
                _load(connection, LOAD_PROBLEMS, [file], split=split)
            _load(connection, LOAD_TRACES, inputs["traces"], open=THINK_OPEN, close=THINK_CLOSE)
            _load_texts(connection, inputs["traces"])
            _load(connection, LOAD_VERDICTS, inputs["verdicts"])
            _refuse_orphans(connection)
            made_by = {"schema version": str(SCHEMA_VERSION)} | {name: version(name) for name in LIBRARIES} | digests
            connection.executemany("INSERT INTO provenance VALUES (?, ?)", sorted(made_by.items()))
        partial.replace(store)
    finally:
        _remove(partial, spill)


def open_store(store: Path) -> AbstractContextManager[Any]:
    """Open a store for reading: a DuckDB connection that can reach no other file, no network and not its own settings.

    Raises `DataError` when it is missing, held by a writer, or not a store of this version.
    """
    import duckdb

    if not store.exists():
        raise DataError(f"{store} is missing; `dvc repro curate` writes it")
    try:
        connection = duckdb.connect(
            str(store), read_only=True, config={"enable_external_access": False, "lock_configuration": True}
        )
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise DataError(f"{store} is open for writing in another program; close it there") from error
        raise DataError(f"{store} cannot be opened: {_first_line(error)}; `dvc repro -f curate` rebuilds it") from error
    try:
        found = connection.execute("SELECT value FROM provenance WHERE name = 'schema version'").fetchall()
    except duckdb.Error:
        found = []
    if found != [(str(SCHEMA_VERSION),)]:
        connection.close()
        raise DataError(f"{store} is no store of this version of distill; `dvc repro -f curate` writes one")
    return connection


def ask(connection: Any, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
    """Columns and rows of one question. Raises `DataError` with DuckDB's own first line when it cannot be answered."""
    with _one_sentence("the question cannot be answered"):
        result = connection.execute(sql, parameters)
        if result is None:
            raise DataError("there is no question in it; `FROM funnel` is one")
        return [column[0] for column in result.description], result.fetchall()


def _load(connection: Any, statement: str, files: Sequence[Path], **parameters: str) -> None:
    """Run one INSERT over Parquet files. Raises `DataError` naming where they are."""
    where = files[0] if len(files) == 1 else files[0].parent
    # DuckDB takes [ and * in a path for patterns; Python's escaping is one that it reads
    paths = [escape(str(file)) for file in files]
    with _one_sentence(f"{where} cannot be loaded", "delete it and run `dvc repro`"):
        connection.execute(statement, {"files": paths, **parameters})


@contextmanager
def _one_sentence(fault: str, cure: str = "") -> Iterator[None]:
    """Turn what DuckDB raises inside into `DataError`: the fault, DuckDB's first line, the cure."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise DataError(f"{fault}: {_first_line(error)}; raise curate.memory_limit") from error
    except duckdb.Error as error:
        raise DataError(f"{fault}: {_first_line(error)}{cure and '; '}{cure}") from error
    except RuntimeError as error:  # a signal came; DuckDB replaces what its handler raised
        raise Incomplete("interrupted; the same command starts it again") from error


def _load_texts(connection: Any, files: Sequence[Path]) -> None:
    """Fill `texts` in the order of ids, one range of ids after the other."""
    n_traces = connection.execute("SELECT count(*) FROM traces").fetchone()[0]
    n_ranges = max(1, -(-n_traces // TEXTS_PER_SORT))
    bounds = ["", *(f"{index * 16**8 // n_ranges:08x}" for index in range(1, n_ranges)), "~"]
    for low, high in pairwise(bounds):
        _load(connection, LOAD_TEXTS, files, low=low, high=high)


def _refuse_orphans(connection: Any) -> None:
    for what, query in ORPHANS.items():
        ids = [row[0] for row in connection.execute(f"{query} ORDER BY ALL").fetchall()]
        if ids:
            raise DataError(f"{len(ids):,} {what}, as {ids[0]}; `dvc repro` brings the stages into step")


def _files(folder: Path) -> list[Path]:
    """The Parquet files of a folder, in order. Raises `DataError` when there are none."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DataError(f"{folder} holds no Parquet file; `dvc repro` writes it")
    return files


def _sha256(files: Sequence[Path]) -> str:
    """One sha256 over the names and bytes of files. Raises `DataError` when one is missing."""
    digest = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is missing; `dvc repro` writes it")
        with file.open("rb") as stream:
            digest.update(file.name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _remove(partial: Path, spill: Path) -> None:
    """Take away what a build that was killed may have left."""
    for path in (partial, partial.with_name(f"{partial.name}.wal")):
        path.unlink(missing_ok=True)
    shutil.rmtree(spill, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
