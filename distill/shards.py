"""Rows on disk: Parquet shards that are byte-identical whenever the rows are.

Rows are sorted by their first field and dealt to shards by the hash in it, so a shard changes only when its own rows
do. A folder of shards is written whole: into a neighbour first, renamed last.
"""

import hashlib
import shutil
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from distill.errors import DataError

Row = TypeVar("Row")
ROWS_PER_SHARD = 50_000
ROW_GROUP_SIZE = 2048


def sha256(path: Path) -> str:
    """The sha256 of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def schema_of(row_type: type) -> Any:
    """The Arrow schema of a row type: its fields in order, `| None` as nullable."""
    import pyarrow as pa

    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    hints = typing.get_type_hints(row_type)

    def field(name: str) -> Any:
        hint = hints[name]
        optional = isinstance(hint, types.UnionType)
        plain = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
        return pa.field(name, arrow[plain], nullable=optional)

    return pa.schema([field(item.name) for item in fields(row_type)])


def write_file(path: Path, rows: Iterable[Any], row_type: type) -> int:
    """Write rows to one Parquet file, sorted by their first field. Returns how many there were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = fields(row_type)[0].name
    ordered = sorted((asdict(row) for row in rows), key=lambda row: row[first])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    table = pa.Table.from_pylist(ordered, schema=schema_of(row_type))
    pq.write_table(table, partial, compression="zstd", row_group_size=ROW_GROUP_SIZE)
    partial.replace(path)
    return len(ordered)


def write_shards(folder: Path, rows: Sequence[Any], row_type: type) -> int:
    """Write rows as `part-00000.parquet` … into a folder that replaces what was there. Returns how many there were.

    A list may be in any order; a sequence that reads its rows when they are asked for is in the order of their first
    field, and only one shard of it is in memory at a time.
    """
    first = fields(row_type)[0].name
    ordered = sorted(rows, key=lambda row: getattr(row, first)) if isinstance(rows, list) else rows
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for index, start in enumerate(range(0, max(1, len(rows)), ROWS_PER_SHARD)):
        write_file(partial / f"part-{index:05d}.parquet", ordered[start : start + ROWS_PER_SHARD], row_type)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return len(rows)


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """Read a Parquet file, or every shard of a folder. Raises `DataError` when it is missing or of another shape."""
    return list(iterate_rows(path, row_type))


def iterate_rows(path: Path, row_type: type[Row]) -> Iterator[Row]:
    """The rows of a Parquet file or a folder of shards, a row group in memory at a time; only `row_type`'s columns.

    Raises `DataError` as `read_rows` does.
    """
    columns = [item.name for item in fields(row_type)]  # type: ignore[arg-type]
    for file in _open(path):
        missing = set(columns) - set(file.schema_arrow.names)
        if missing:
            raise DataError(f"{path} lacks the columns {sorted(missing)}; delete it and run `dvc repro`")
        for batch in file.iter_batches(ROW_GROUP_SIZE, columns=columns):
            yield from (row_type(**row) for row in batch.to_pylist())


def read_some(path: Path, row_type: type[Row], ids: Collection[str]) -> list[Row]:
    """The rows whose first field is one of these ids; of row groups without one nothing else is read.

    Raises `DataError` when the path is missing.
    """
    columns = [item.name for item in fields(row_type)]  # type: ignore[arg-type]
    wanted, found = set(ids), []
    for file in _open(path):
        for group in range(file.num_row_groups):
            names = file.read_row_group(group, columns=columns[:1]).column(0).to_pylist()
            places = [place for place, name in enumerate(names) if name in wanted]
            if places:
                rows = file.read_row_group(group, columns=columns).take(places)
                found += [row_type(**row) for row in rows.to_pylist()]
    return found


def count_rows(path: Path) -> int:
    """How many rows a file or a folder of shards holds, by its footers. Raises `DataError` when it is missing."""
    return sum(file.metadata.num_rows for file in _open(path))


def _open(path: Path) -> Iterator[Any]:
    """The Parquet files of a path, opened one after the other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise DataError(f"{path} is missing; `dvc repro` writes it")
    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                yield opened
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{file} cannot be read as Parquet ({error}); delete it and run `dvc repro`") from error
