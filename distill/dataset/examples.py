"""A student's rows as token ids: what tokenize writes, and audit and train read.

part-00000.parquet   id, source, input_ids, labels (-100 where nothing is trained), n_prompt, n_tokens

Example(id="0d29…", source="gcd", input_ids=[1, 4093, …, 30, 2], labels=[-100, -100, …, 30, 2], n_prompt=71)
"""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from distill.shards import ROWS_PER_SHARD, sha256

IGNORED = -100  # the label that cross-entropy skips
BATCH = 1024  # rows


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a student's training: ids and labels, (seq,) each; the first `n_prompt` are not trained."""

    id: str
    source: str
    input_ids: list[int]
    labels: list[int]
    n_prompt: int

    @property
    def n_tokens(self) -> int:
        """The length of the row."""
        return len(self.input_ids)


def read_examples(folder: Path) -> Iterator[Example]:
    """What `tokenize` wrote, in id order."""
    columns = ("id", "source", "input_ids", "labels", "n_prompt")
    return (Example(**row) for row in read_batches(sorted(folder.glob("*.parquet")), columns))


def draw_examples(folder: Path, n: int, seed: int) -> list[Example]:
    """A choice of `n` rows by the hash of seed and id, in id order: the same rows give the same choice."""
    import pyarrow.parquet as pq

    files = sorted(folder.glob("*.parquet"))
    names = (row["id"] for row in read_batches(files, ("id",)))
    chosen = heapq.nsmallest(n, names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    columns = [field.name for field in fields(Example)]
    table = pq.read_table(files, columns=columns, filters=[("id", "in", chosen)])
    return sorted((Example(**row) for row in table.to_pylist()), key=lambda example: example.id)


def write_examples(folder: Path, examples: Iterator[Example]) -> dict[str, str]:
    """Write `part-00000.parquet` … in the order given. Returns the sha256 of each."""
    folder.mkdir(parents=True)
    files: dict[str, str] = {}
    while True:
        path = folder / f"part-{len(files):05d}.parquet"
        if not _write_shard(path, islice(examples, ROWS_PER_SHARD)) and files:
            path.unlink()
            return files
        files[path.name] = sha256(path)


def _write_shard(path: Path, examples: Iterator[Example]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, count = pa.list_(pa.int32()), pa.int32()
    types = {"id": pa.string(), "source": pa.string(), "input_ids": ids, "labels": ids}
    schema = pa.schema(list((types | {"n_prompt": count, "n_tokens": count}).items()))
    n = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(examples, BATCH)):
            rows = [{name: getattr(example, name) for name in schema.names} for example in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            n += len(batch)
    return n


def read_batches(files: list[Path], columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The rows of Parquet files, a batch in memory at a time."""
    import pyarrow.parquet as pq

    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=list(columns)):
            yield from batch.to_pylist()
