"""The DuckDB store: opened for reading by everyone but `build`, which writes it.

    with open_store(layout.STORE) as store:
        store.execute("SELECT source, count(*) FROM kept GROUP BY source").fetchall()
    -> [("chain_sum", 212), ("gcd", 187), …]

This module owns duckdb. The store is never the live sink of a run: one writer locks every reader out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from distill.errors import DataError, Incomplete
from distill.records import SCHEMA_VERSION
from distill.settings import CurateSettings

Answer = tuple[list[str], list[tuple[Any, ...]]]  # the columns, the rows

READ_MEMORY = "3GB"  # of one reader; by itself DuckDB would take four fifths of the machine
DISK_FULL = "No space left on device"
INTERRUPTED = "Query interrupted"  # how DuckDB passes on what a signal's handler raised


def create_store(path: Path, spill: Path, settings: CurateSettings) -> AbstractContextManager[Any]:
    """A new DuckDB file, open for writing within the settings' limits."""
    import duckdb

    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        "temp_directory": str(spill),
    }
    return duckdb.connect(str(path), config=limits)


def open_store(store: Path) -> AbstractContextManager[Any]:
    """Open a store for reading: a DuckDB connection that can reach no other file, no network and not its own settings.

    Raises `DataError` when it is missing, held by a writer, or not a store of this version.
    """
    import duckdb

    if not store.exists():
        raise DataError(f"{store} is missing; `dvc repro curate` writes it")
    try:
        connection = duckdb.connect(
            str(store),
            read_only=True,
            config={"enable_external_access": False, "lock_configuration": True, "memory_limit": READ_MEMORY},
        )
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise DataError(f"{store} is open for writing in another program; close it there") from error
        raise DataError(f"{store} cannot be opened: {first_line(error)}; `dvc repro -f curate` rebuilds it") from error
    try:
        found = connection.execute("SELECT value FROM provenance WHERE name = 'schema version'").fetchall()
    except duckdb.Error:
        found = []
    if found != [(str(SCHEMA_VERSION),)]:
        connection.close()
        raise DataError(f"{store} is no store of this version of distill; `dvc repro -f curate` writes one")
    return connection


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function that SQL may call, with the types of its arguments and of its result as DuckDB spells them."""

    name: str
    call: Callable[..., Any]
    takes: tuple[str, ...]
    gives: str


@contextmanager
def open_beside(store: Path, functions: Sequence[Function]) -> Iterator[Any]:
    """A connection of its own, in memory, that sees a store too: tables that are made in it end with it.

    Its owner calls `lock` when they are made. Raises `DataError` as `open_store` does.
    """
    import duckdb
    from duckdb.func import SPECIAL

    with open_store(store):
        pass
    with duckdb.connect(config={"memory_limit": READ_MEMORY}) as connection:
        connection.execute(f"ATTACH {_quoted(str(store))} AS store (READ_ONLY)")
        connection.execute("SET search_path = 'memory,store'")
        for function in functions:
            takes: list[Any] = [duckdb.dtype(name) for name in function.takes]
            gives = duckdb.dtype(function.gives)
            connection.create_function(function.name, function.call, takes, gives, null_handling=SPECIAL)
        yield connection


def lock(connection: Any) -> None:
    """Let a connection reach no other file, no network and not its own settings from here on."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def ask(connection: Any, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
    """Columns and rows of one question. Raises `DataError` with DuckDB's own first line when it cannot be answered."""
    with one_sentence("the question cannot be answered"):
        result = connection.execute(sql, parameters)
        if result is None:
            raise DataError("there is no question in it; `FROM funnel` is one")
        return [column[0] for column in result.description], result.fetchall()


def statements(connection: Any, sql: str) -> list[str]:
    """The kinds of the statements of a text, as SELECT. Raises `DataError` where it is no SQL."""
    with one_sentence("it cannot be read"):
        return [statement.type.name.removeprefix("STATEMENT_TYPE_") for statement in connection.extract_statements(sql)]


def load(connection: Any, statement: str, files: Sequence[Path], **parameters: Any) -> None:
    """Run one INSERT over Parquet files. Raises `DataError` naming where they are."""
    where = files[0] if len(files) == 1 else files[0].parent
    with one_sentence(f"{where} cannot be loaded", "delete it and run `dvc repro`"):
        connection.execute(statement, {"files": patterns(files), **parameters})


def patterns(files: Sequence[Path]) -> list[str]:
    """Paths as DuckDB takes them literally: it reads [ and * as patterns, and Python's escapes of them too."""
    return [escape(str(file)) for file in files]


@contextmanager
def one_sentence(fault: str, cure: str = "") -> Iterator[None]:
    """Turn what DuckDB raises inside into `DataError`: the fault, DuckDB's first line, the cure."""
    import duckdb

    try:
        with within_means(fault):
            yield
    except duckdb.Error as error:
        raise DataError(f"{fault}: {first_line(error)}{cure and '; '}{cure}") from error


@contextmanager
def within_means(fault: str) -> Iterator[None]:
    """Turn an end of memory or disk into `DataError`, and an interruption into `Incomplete`; all else goes through."""
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError) as error:
        if DISK_FULL in str(error):
            cure = "free some and run the same command again; what was there is untouched"
            raise DataError(f"{fault}: the disk is full; {cure}") from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise DataError(f"{fault}: {first_line(error)}; raise curate.memory_limit") from error
        raise
    except RuntimeError as error:
        if INTERRUPTED not in str(error):
            raise
        raise Incomplete("interrupted; the same command starts it again") from error


def first_line(error: Exception) -> str:
    """The first line of what a library says."""
    return str(error).strip().split("\n")[0]
