"""Read every trace once: its checks and its signature, kept in `.distill/checks/` by what was read.

    .distill/checks/<fingerprint>/<name>.parquet    trace_id, text_sha256, the fields of `Checks`, signature (512 bytes)

A row stands for a text, not for a run: a trace that is continued has another text and is measured again, everything
else is found. Each file holds what one row group of a shard gave and is renamed into place when it is whole, so a scan
that is killed goes on where it was.
"""

import os
import resource
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from distill import layout
from distill.curation.quality import VERSION, Checks, measure, signatures
from distill.errors import DataError
from distill.progress import Tracker, track
from distill.records import content_id
from distill.shards import schema_of

AHEAD = 4  # row groups handed out for each worker
MEMORY_BYTES = 4 * 2**30  # address space of a worker
MAX_WORKERS = 32
COLUMNS = ("id", "reasoning", "answer_text", "text")


def cache_folder() -> Path:
    """Where the measures of this version are kept."""
    return layout.state_dir() / "checks" / content_id("checks", VERSION, version("rensa"))


def scan(files: Sequence[Path], wanted: Mapping[str, str], label: str = "curate") -> None:
    """Measure the traces of Parquet shards whose ids are in `wanted`, with the hash of the text of each.

    Raises `DataError` when a worker dies of a row group.
    """
    groups = _row_groups(files, wanted)
    if not groups:
        return
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    n_workers = min(len(os.sched_getaffinity(0)), MAX_WORKERS, len(groups))
    context = get_context("forkserver")
    with (
        track(label, sum(len(ids) for _, _, ids in groups), "traces read") as progress,
        ProcessPoolExecutor(n_workers, context, initializer=_confine) as pool,
    ):
        waiting: dict[Future[int], str] = {}
        for file, index, ids in groups:
            if len(waiting) == AHEAD * n_workers:
                _collect(waiting, progress)
            future = pool.submit(_measure_group, file, index, {name: wanted[name] for name in ids}, folder)
            waiting[future] = f"row group {index} of {file}"
        while waiting:
            _collect(waiting, progress)


def _collect(waiting: dict[Future[int], str], progress: Tracker) -> None:
    """Wait for a row group to be done and count it."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        where = waiting.pop(future)
        try:
            progress.advance(future.result())
        except (BrokenProcessPool, MemoryError) as error:
            raise DataError(
                f"{where} ended the process that read it, out of memory perhaps; `dvc repro curate` goes on"
            ) from error


def _row_groups(files: Sequence[Path], wanted: Mapping[str, str]) -> list[tuple[Path, int, list[str]]]:
    """Every row group that holds wanted traces, and their ids."""
    import pyarrow.parquet as pq

    groups = []
    for file in files:
        with pq.ParquetFile(file) as opened:
            for index in range(opened.num_row_groups):
                held = opened.read_row_group(index, columns=["id"]).column("id").to_pylist()
                if ids := [name for name in held if name in wanted]:
                    groups.append((file, index, ids))
    return groups


def _confine() -> None:
    """Bound a worker's memory, and leave the other cores to the other workers."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.environ["RAYON_NUM_THREADS"] = "1"


def _measure_group(file: Path, index: int, digests: Mapping[str, str], folder: Path) -> int:
    """Measure one row group's wanted traces and keep them. Returns how many there were."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        table = opened.read_row_group(index, columns=list(COLUMNS))
    rows = [row for row in table.to_pylist() if row["id"] in digests]
    measured = [measure(row["reasoning"], row["answer_text"], row["text"]) for row in rows]
    found = signatures([row["text"] for row in rows])
    columns: dict[str, list[Any]] = defaultdict(list)
    for row, checks, signature in zip(rows, measured, found, strict=True):
        kept = {"trace_id": row["id"], "text_sha256": digests[row["id"]], **asdict(checks)}
        for name, value in {**kept, "signature": signature.tobytes()}.items():
            columns[name].append(value)
    _write(folder / f"{content_id(sorted(digests.items()))}.parquet", columns)
    return len(rows)


def schema() -> Any:
    """The Arrow schema of a kept row."""
    import pyarrow as pa

    before = [pa.field("trace_id", pa.string()), pa.field("text_sha256", pa.string())]
    return pa.schema([*before, *schema_of(Checks), pa.field("signature", pa.binary())])


def _write(path: Path, columns: Mapping[str, list[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(pa.table(dict(columns), schema=schema()), partial, compression="zstd")
    partial.replace(path)


def kept_files() -> list[Path]:
    """The files of the cache, if any."""
    return sorted(cache_folder().glob("*.parquet"))
