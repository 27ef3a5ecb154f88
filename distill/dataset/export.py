"""export: the traces that a policy picks, as a Hugging Face data set with its card.

    data/dataset/
      README.md                          the card: counts, funnel, teacher, sampling, policy, how to reproduce
      data/train-00000-of-00001.parquet  rows in the order of their ids
      sharegpt/train-…                   the same in every other format that is asked for, see `formats`
      dataset_info.json                  where LLaMA-Factory finds them
      manifest.json                      counts, what decided them, and the sha256 of every file

A row, shortened; `messages` is what a student is taught, the other columns are where it comes from:

    {"id": "c07a…", "source": "gcd", "messages": [{"role": "user", "content": "Find the Greatest…"},
     {"role": "assistant", "content": "<think>\\n98 = 58 * 1 + 40…\\n</think>\\n\\nThe answer is \\\\boxed{2}."}],
     "answer": "2", "verdict": "correct", "teacher": "data/models/tiny-r1", "completion_tokens": 131, …}

Equal stores, policies and settings give equal bytes.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from distill.curation import policies
from distill.curation.store import ask, open_store, within_means
from distill.dataset import card, formats
from distill.dataset.formats import Format, Row
from distill.errors import DataError
from distill.progress import track
from distill.records import SCHEMA_VERSION
from distill.settings import ExportSettings, SamplingSettings
from distill.shards import sha256

MANIFEST = "manifest.json"
ROWS_PER_FILE = 10_000  # of R1's chains, about 80 MB
ROWS_PER_GROUP = 2_000  # DuckDB unpacks texts by 2,048 rows

PICK = "CREATE TEMP TABLE picked AS SELECT unnest($ids) AS id"
# The ranges let DuckDB skip all other rows: the store keeps these tables in the order of ids.
ROWS = """
SELECT
    t.id, t.problem_id, p.source, p.domain, p.verifier, p.prompt AS problem, p.answer, x.reasoning, x.answer_text,
    v.verdict, v.method, t.model AS teacher, t.model_revision AS teacher_revision, t.completion_tokens, p.licence
FROM picked
JOIN traces t USING (id)
JOIN problems p ON p.id = t.problem_id
JOIN texts x ON x.trace_id = t.id
JOIN verdicts v ON v.trace_id = t.id
WHERE picked.id BETWEEN $first AND $last AND t.id BETWEEN $first AND $last
    AND x.trace_id BETWEEN $first AND $last AND v.trace_id BETWEEN $first AND $last
ORDER BY t.id
"""

Write = Callable[[list[Row]], object]


def export(
    store: Path, folder: Path, settings: ExportSettings, sampling: SamplingSettings, seed: int
) -> dict[str, Any]:
    """Write the data set and return its manifest. Raises `DataError` when the policy picks nothing."""
    with _replacing(folder) as partial, open_store(store) as connection:
        ids = policies.select(connection, settings, seed)
        if not ids:
            raise DataError(f"the policy {settings.policy} picks no trace; the verdicts are {_verdicts(connection)}")
        ask(connection, PICK, {"ids": ids})
        with within_means(f"{folder} cannot be written"):
            _write_rows(connection, ids, partial, formats.chosen(settings.formats))
        facts = card.collect(connection, settings, sampling, seed)
        (partial / "README.md").write_text(card.render(facts), encoding="utf-8")
        _write_json(partial / "dataset_info.json", formats.dataset_info(settings.formats))
        manifest = _manifest(facts, settings, partial)
        _write_json(partial / MANIFEST, manifest)
    return manifest


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder to write; it takes the place of `folder` when the block ends well, and is gone when it does not."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_rows(connection: Any, ids: list[str], folder: Path, chosen: Sequence[Format]) -> None:
    """Write the rows of sorted ids in every format. Memory holds a few row groups, however many rows there are."""
    files = [_chunks(ids_of_file, ROWS_PER_GROUP) for ids_of_file in _chunks(ids, ROWS_PER_FILE)]
    with track("export", len(ids), "rows") as progress, ThreadPoolExecutor(1) as pool:
        groups = _read_ahead(pool, connection, chain.from_iterable(files))
        for index, groups_of_file in enumerate(files):
            name = f"train-{index:05d}-of-{len(files):05d}"
            with ExitStack() as stack:
                writers = [stack.enter_context(_open_file(folder, format, name)) for format in chosen]
                for rows in islice(groups, len(groups_of_file)):
                    for write in writers:
                        write(rows)
                    progress.advance(len(rows))


def _read_ahead(pool: Executor, connection: Any, groups: Iterable[list[str]]) -> Iterator[list[Row]]:
    """The rows of each group; while one is written the next is read, for the most part outside of Python's lock."""
    waiting: Future[list[Row]] | None = None
    for group in groups:
        following = pool.submit(_read_rows, connection, group)
        if waiting:
            yield waiting.result()
        waiting = following
    if waiting:
        yield waiting.result()


@contextmanager
def _open_file(folder: Path, format: Format, name: str) -> Iterator[Write]:
    """A file of one format; what it yields renders rows and appends them."""
    path = folder / format.folder / f"{name}.{format.suffix}"
    path.parent.mkdir(exist_ok=True)
    if format.schema is None:
        with path.open("w", encoding="ascii", newline="\n") as stream:
            # ASCII, so that a reader who takes U+2028 for the end of a line finds none
            yield lambda rows: stream.writelines(json.dumps(format.render(row)) + "\n" for row in rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = format.schema()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist([format.render(row) for row in rows], schema))


def _read_rows(connection: Any, ids: list[str]) -> list[Row]:
    """The rows of sorted ids that follow each other among those picked."""
    columns, rows = ask(connection, ROWS, {"first": ids[0], "last": ids[-1]})
    return [_row(dict(zip(columns, row, strict=True))) for row in rows]


def _chunks(ids: list[str], size: int) -> list[list[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _row(row: Row) -> Row:
    messages = formats.render_turns(row["problem"], row["verifier"], row["reasoning"], row["answer_text"])
    return row | {
        "messages": messages,
        "teacher": card.public_name(row["teacher"]),
        "schema_version": SCHEMA_VERSION,
    }


def _manifest(facts: dict[str, Any], settings: ExportSettings, folder: Path) -> dict[str, Any]:
    """Counts, what decided them, and the sha256 of every file written so far."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    return {
        "schema_version": SCHEMA_VERSION,
        "rows": facts["n_rows"],
        "given_rows": facts["n_given"],
        "problems": facts["n_problems"],
        "tokens": facts["n_tokens"],
        "sources": facts["rows_by_source"],
        "formats": {format.name: _holdings(folder, format, facts["n_rows"]) for format in facts["formats"]},
        **settings.model_dump(exclude={"formats"}),
        "seed": facts["seed"],
        "sampling": facts["sampling"].model_dump(include=set(SamplingSettings.model_fields), exclude_none=True),
        "inputs": facts["inputs"],
        "files": dict(zip(names, sha256_of_files(paths), strict=True)),
    }


def _holdings(folder: Path, format: Format, n_rows: int) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.glob(format.pattern)]
    return {"rows": n_rows, "files": len(sizes), "bytes": sum(sizes)}


def _verdicts(connection: Any) -> str:
    """The verdicts of the store in words: `14 incorrect, 3 truncated`."""
    _, counts = ask(connection, "SELECT verdict, count(*) AS n FROM verdicts GROUP BY verdict ORDER BY n DESC, verdict")
    return ", ".join(f"{n:,} {verdict}" for verdict, n in counts) or "none: there are no traces"


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def sha256_of_files(paths: Sequence[Path]) -> list[str]:
    """The sha256 of each file, several at a time: hashing leaves Python's lock."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(sha256, paths))
