"""export: the traces that a policy picks, as a Hugging Face data set with its card.

    data/dataset/
      README.md                          the card: counts, funnel, teacher, sampling, policy, how to reproduce
      data/train-00000-of-00001.parquet  rows in the order of their ids
      manifest.json                      counts, and the sha256 of every file

A row, shortened; `messages` is what a student is taught, the other columns are where it comes from:

    {"id": "c07a…", "source": "gcd", "messages": [{"role": "user", "content": "Find the Greatest…"},
     {"role": "assistant", "content": "<think>\\n98 = 58 * 1 + 40…\\n</think>\\n\\nThe answer is \\\\boxed{2}."}],
     "answer": "2", "verdict": "correct", "teacher": "data/models/tiny-r1", "completion_tokens": 131, …}

Equal stores, policies and settings give equal bytes.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from distill.config import ExportSettings, SamplingSettings
from distill.curation import policies
from distill.curation.store import ask, open_store
from distill.dataset import card
from distill.errors import DataError
from distill.prompting import render_student_turn, render_user_turn
from distill.records import SCHEMA_VERSION

ROWS_PER_FILE = 10_000  # of R1's chains, about 80 MB
ROWS_PER_GROUP = 1_000

# The range lets DuckDB skip all other texts: the store keeps them in the order of ids.
ROWS = """
SELECT
    t.id, t.problem_id, p.source, p.domain, p.verifier, p.prompt, p.answer, x.reasoning, x.answer_text AS response,
    v.verdict, v.method, t.model AS teacher, t.model_revision AS teacher_revision, t.completion_tokens, p.licence
FROM traces t
JOIN problems p ON p.id = t.problem_id
JOIN texts x ON x.trace_id = t.id
JOIN verdicts v ON v.trace_id = t.id
WHERE t.id IN (SELECT unnest($ids)) AND x.trace_id BETWEEN $first AND $last
ORDER BY t.id
"""


def export(
    store: Path, folder: Path, settings: ExportSettings, sampling: SamplingSettings, seed: int
) -> dict[str, Any]:
    """Write the data set and return its manifest. Raises `DataError` when the policy picks nothing."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with open_store(store) as connection:
        ids = policies.select(connection, settings.policy, seed, settings.max_per_problem)
        if not ids:
            raise DataError(f"the policy {settings.policy} picks no trace; the verdicts are {_verdicts(connection)}")
        _write_rows(connection, ids, partial / "data")
        facts = card.collect(connection, ids, settings, sampling, seed)
    (partial / "README.md").write_text(card.render(facts))
    manifest = _manifest(facts, settings, seed, partial)
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return manifest


def schema() -> Any:
    """The Arrow schema of a row, in the order of columns that a reader meets."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    before = ("id", "problem_id", "source", "domain", "verifier")
    after = ("prompt", "answer", "reasoning", "response", "verdict", "method", "teacher", "teacher_revision")
    return pa.schema(
        [
            *((name, pa.string()) for name in before),
            ("messages", pa.list_(message)),
            *((name, pa.string()) for name in after),
            ("completion_tokens", pa.int64()),
            ("licence", pa.string()),
            ("schema_version", pa.int64()),
        ]
    )


def _write_rows(connection: Any, ids: list[str], folder: Path) -> None:
    """Write the rows of sorted ids. Memory holds the texts of one row group, however many rows there are."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    files = _chunks(ids, ROWS_PER_FILE)
    for index, ids_of_file in enumerate(files):
        path = folder / f"train-{index:05d}-of-{len(files):05d}.parquet"
        with pq.ParquetWriter(path, schema(), compression="zstd") as writer:
            for ids_of_group in _chunks(ids_of_file, ROWS_PER_GROUP):
                writer.write_table(_read_rows(connection, ids_of_group))


def _read_rows(connection: Any, ids: list[str]) -> Any:
    """The rows of sorted ids as an Arrow table."""
    import pyarrow as pa

    columns, rows = ask(connection, ROWS, {"ids": ids, "first": ids[0], "last": ids[-1]})
    return pa.Table.from_pylist([_row(dict(zip(columns, row, strict=True))) for row in rows], schema=schema())


def _chunks(ids: list[str], size: int) -> list[list[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": render_user_turn(row["prompt"], row["verifier"])},
        {"role": "assistant", "content": render_student_turn(row["reasoning"], row["response"])},
    ]
    teacher = card.public_name(row["teacher"])
    return row | {"messages": messages, "teacher": teacher, "schema_version": SCHEMA_VERSION}


def _manifest(facts: dict[str, Any], settings: ExportSettings, seed: int, folder: Path) -> dict[str, Any]:
    """Counts, what decided them, and the sha256 of every file written so far."""
    return {
        "schema_version": SCHEMA_VERSION,
        "rows": facts["n_rows"],
        "problems": facts["n_problems"],
        "tokens": facts["n_tokens"],
        "policy": settings.policy,
        "max_per_problem": settings.max_per_problem,
        "seed": seed,
        "sources": {source["source"]: source["rows"] for source in facts["sources"]},
        "files": {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()},
    }


def _verdicts(connection: Any) -> str:
    """The verdicts of the store in words: `14 incorrect, 3 truncated`."""
    _, counts = ask(connection, "SELECT verdict, count(*) AS n FROM verdicts GROUP BY verdict ORDER BY n DESC, verdict")
    return ", ".join(f"{n:,} {verdict}" for verdict, n in counts) or "none: there are no traces"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
