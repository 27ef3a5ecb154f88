"""Build the store: one bulk load beside its place, then what is found of it, then renamed into place.

Reading every trace is what takes long, and is kept (`scan`). The rest is made anew each time, so a store is the same
whether or not its traces were read before.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from distill.curation import contamination, duplicates, policies, scan
from distill.curation.benchmarks import read_questions
from distill.curation.duplicates import Copy
from distill.curation.phrases import Question
from distill.curation.quality import column_names
from distill.curation.store import create_store, load, patterns, within_means
from distill.errors import ConfigError, DataError
from distill.problems.sources import GIVEN
from distill.progress import waiting
from distill.prompting import THINK_CLOSE, THINK_OPEN
from distill.records import SCHEMA_VERSION
from distill.settings import CurateSettings

SCHEMA = Path(__file__).parent / "schema.sql"
LIBRARIES = ("distill", "duckdb", "reasoning-gym", "math-verify", "rensa", "rapidfuzz")
TEXTS_PER_SORT = 20_000  # 16 kB each stay under 1 GB; a sort with all texts at once would not
ROWS_PER_FETCH = 20_000

LOAD_PROBLEMS = """
INSERT INTO problems
SELECT
    id, $split, source, domain, prompt, if($split = 'given', '', answer), verifier, difficulty, licence, origin,
    gold_verdict
FROM read_parquet($files) ORDER BY id
"""
LOAD_TRACES = """
INSERT INTO traces
SELECT
    id, problem_id, sample_index, request_key, model, model_revision, finish_reason, prompt_tokens, completion_tokens,
    max_tokens, seed_label, engine, left(sha256(text), 20)
FROM read_parquet($files) ORDER BY id
"""
# Ids begin with evenly spread hex digits, so a range of them is a share of the rows, and shards are sorted by id, so
# reading a range skips the rest.
LOAD_TEXTS = """
INSERT INTO texts
SELECT id, reasoning, answer_text, if(reasoning IS NULL OR answer_text IS NULL, text, NULL)
FROM read_parquet($files) WHERE id >= $low AND id < $high ORDER BY id
"""
LOAD_VERDICTS = """
INSERT INTO verdicts
SELECT trace_id, fingerprint, verdict, extracted, method, evidence, extraction
FROM read_parquet($files) ORDER BY trace_id
"""
# A response that came with its problem becomes a trace that nobody wrote and nothing graded.
LOAD_GIVEN = (
    """
INSERT INTO traces
SELECT left(sha256('given' || id), 20) AS trace, id, 0, 'given', 'given', '', 'stop', 0, 0, 0, 0, 'given',
    left(sha256(answer), 20)
FROM read_parquet($files) ORDER BY trace
""",
    """
INSERT INTO texts
SELECT left(sha256('given' || id), 20) AS trace, NULL, answer, NULL FROM read_parquet($files) ORDER BY trace
""",
    """
INSERT INTO verdicts
SELECT left(sha256('given' || id), 20) AS trace, 'none', 'unavailable', NULL, 'none',
    'it came with its problem; nothing is graded', 'none'
FROM read_parquet($files) ORDER BY trace
""",
    f"""
INSERT INTO checks BY NAME
SELECT left(sha256('given' || id), 20) AS trace_id, length(answer) AS characters,
    if(contains(answer, '{THINK_OPEN}') OR contains(answer, '{THINK_CLOSE}'), 'stray_tag', 'given') AS format
FROM read_parquet($files) ORDER BY trace_id
""",
)
UNREAD = "SELECT id, text_sha256 FROM traces WHERE model <> 'given'"
ONLY_UNREAD = """
EXCEPT SELECT trace_id, text_sha256 FROM read_parquet($files)
"""
# Two runs at once may have measured the same text twice, and found the same.
LOAD_CHECKS = """
INSERT INTO checks BY NAME
SELECT DISTINCT ON (trace_id) {columns}
FROM read_parquet($files) SEMI JOIN traces ON id = trace_id AND traces.text_sha256 = read_parquet.text_sha256
ORDER BY trace_id
"""
# What stages that are out of step with each other would lose in a join.
ORPHANS = {
    "traces belong to no training problem": """
        SELECT id FROM traces ANTI JOIN (SELECT id AS problem_id FROM problems WHERE split = 'train') USING (problem_id)
    """,
    "traces have no verdict": "SELECT id FROM traces ANTI JOIN verdicts ON trace_id = id",
    "verdicts are of traces that are not there": "SELECT trace_id FROM verdicts ANTI JOIN traces ON trace_id = id",
}
# Of copies the right one is kept, then a finished one, then the earlier sample.
SIBLINGS = """
SELECT problem_id, t.id, t.text_sha256, signature
FROM traces t
JOIN verdicts v ON v.trace_id = t.id
JOIN (SELECT DISTINCT ON (trace_id, text_sha256) trace_id, text_sha256, signature FROM read_parquet($files)) s
    ON s.trace_id = t.id AND s.text_sha256 = t.text_sha256
SEMI JOIN (SELECT problem_id FROM traces GROUP BY problem_id HAVING count(*) > 1) siblings USING (problem_id)
ORDER BY problem_id, v.verdict <> 'correct', finish_reason <> 'stop', sample_index, t.id
"""


def build(store: Path, problems: Mapping[str, Path], traces: Path, verdicts: Path, settings: CurateSettings) -> None:
    """Build the store from the stages' Parquet files; `problems` maps each split to its file.

    Raises `DataError` naming the folder or file that is missing, cannot be read, or does not fit the others, and
    `ConfigError` for a benchmark file that cannot be used.
    """
    benchmarks = _benchmarks(settings, taken=problems)
    inputs = {"problems": list(problems.values()), "traces": _files(traces), "verdicts": _files(verdicts)}
    digests = {f"{name} sha256": _sha256(files) for name, files in inputs.items()}
    partial = store.with_name(f".{store.name}.partial")
    spill = Path(settings.temp_directory or store.parent) / f".{store.name}.spill"
    store.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial, spill)
    try:
        with (
            within_means("the store cannot be built"),
            create_store(partial, spill, settings) as connection,
        ):
            connection.execute(SCHEMA.read_text())
            limits = settings.checks.model_dump() | {"near_duplicate": settings.near_duplicate}
            connection.executemany("INSERT INTO limits VALUES (?, ?)", sorted(limits.items()))
            _load_rows(connection, problems, inputs)
            _refuse_orphans(connection)
            for statement in LOAD_GIVEN if GIVEN in problems else ():
                load(connection, statement, [problems[GIVEN]])
            _read_traces(connection, inputs["traces"])
            _find_copies(connection, settings)
            _find_leaks(connection, benchmarks, settings)
            _select(connection)
            made_by = {"schema version": str(SCHEMA_VERSION)} | {name: version(name) for name in LIBRARIES} | digests
            connection.executemany("INSERT INTO provenance VALUES (?, ?)", sorted(made_by.items()))
        partial.replace(store)
    finally:
        _remove(partial, spill)


def _load_rows(connection: Any, problems: Mapping[str, Path], inputs: Mapping[str, Sequence[Path]]) -> None:
    """What the stages wrote, as it is."""
    with waiting("curate: loading"):
        for split, file in problems.items():
            load(connection, LOAD_PROBLEMS, [file], split=split)
        load(connection, LOAD_TRACES, inputs["traces"])
        load(connection, LOAD_VERDICTS, inputs["verdicts"])
        _load_texts(connection, inputs["traces"])


def _load_texts(connection: Any, files: Sequence[Path]) -> None:
    """Fill `texts` in the order of ids, one range of ids after the other."""
    n_traces = connection.execute("SELECT count(*) FROM traces").fetchone()[0]
    n_ranges = max(1, -(-n_traces // TEXTS_PER_SORT))
    bounds = ["", *(f"{index * 16**8 // n_ranges:08x}" for index in range(1, n_ranges)), "~"]
    for low, high in pairwise(bounds):
        load(connection, LOAD_TEXTS, files, low=low, high=high)


def _refuse_orphans(connection: Any) -> None:
    for what, query in ORPHANS.items():
        ids = [row[0] for row in connection.execute(f"{query} ORDER BY ALL").fetchall()]
        if ids:
            raise DataError(f"{len(ids):,} {what}, as {ids[0]}; `dvc repro` brings the stages into step")


def _read_traces(connection: Any, files: Sequence[Path]) -> None:
    """Measure the traces that no run has measured, then take the measures of all."""
    kept = scan.kept_files()
    unread = UNREAD + ONLY_UNREAD if kept else UNREAD
    scan.scan(files, dict(connection.execute(unread, {"files": patterns(kept)} if kept else {}).fetchall()))
    if kept := scan.kept_files():
        columns = ", ".join(("trace_id", *column_names()))
        connection.execute(LOAD_CHECKS.format(columns=columns), {"files": patterns(kept)})


def _find_copies(connection: Any, settings: CurateSettings) -> None:
    """Fill `duplicates`: traces within their problems, then problems."""
    with waiting("curate: looking for copies"):
        copies = list(_trace_copies(connection, settings.near_duplicate))
        _insert(connection, "duplicates", [_copy("trace", copy) for copy in copies])
        answers = dict(connection.execute("SELECT id, answer FROM problems").fetchall())
        found = duplicates.problem_copies(_questions(connection), settings.contamination.common)
        _insert(connection, "duplicates", [_copy("problem", c, answers[c.id] == answers[c.kept_id]) for c in found])


def _trace_copies(connection: Any, threshold: float) -> Iterator[Copy]:
    import numpy as np

    kept = scan.kept_files()
    rows: Iterator[Any] = _stream(connection, SIBLINGS, files=patterns(kept)) if kept else iter(())
    for _, group in groupby(rows, lambda row: row[0]):
        siblings = list(group)
        found = np.frombuffer(b"".join(row[3] for row in siblings), dtype=np.uint32).reshape(len(siblings), -1)
        for index, of, similarity in duplicates.cluster(found, threshold):
            copy, original = siblings[index], siblings[of]
            yield Copy(copy[1], original[1], similarity, exact=copy[2] == original[2])


def _copy(kind: str, copy: Copy, same_answer: bool = True) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": copy.id,
        "kept_id": copy.kept_id,
        "similarity": copy.similarity,
        "exact": copy.exact,
        "same_answer": same_answer,
    }


def _questions(connection: Any, split: str | None = None) -> list[Question]:
    """The prompts of a split; without one of all that may be trained on, those of the teacher first."""
    chosen = "split IN ('train', 'given') ORDER BY split DESC, id" if split is None else "split = $split ORDER BY id"
    parameters = {} if split is None else {"split": split}
    rows = connection.execute(f"SELECT id, prompt FROM problems WHERE {chosen}", parameters).fetchall()
    return [Question(*row) for row in rows]


def _benchmarks(settings: CurateSettings, taken: Iterable[str]) -> dict[str, list[Question]]:
    """The questions of every benchmark file, read before anything that takes long."""
    files = settings.contamination.benchmarks
    if both := sorted(set(files) & set(taken)):
        raise ConfigError(f"curate.contamination.benchmarks.{both[0]} has the name of a split; rename it")
    return {name: read_questions(name, file) for name, file in sorted(files.items())}


def _find_leaks(connection: Any, files: Mapping[str, Sequence[Question]], settings: CurateSettings) -> None:
    """Fill `contamination`: the training prompts against every evaluation split and every benchmark file."""
    rules = settings.contamination
    splits = connection.execute("SELECT DISTINCT split FROM problems WHERE split NOT IN ('train', 'given')").fetchall()
    asked: dict[str, Sequence[Question]] = {split: _questions(connection, split) for (split,) in sorted(splits)}
    asked |= files
    with waiting("curate: looking for evaluation questions among the problems"):
        hits = contamination.find(_questions(connection), asked, rules)
    _insert(connection, "benchmarks", [{"name": name, "questions": len(of)} for name, of in asked.items()])
    rows = [asdict(hit) | {"decides": contamination.decides(hit, rules)} for hit in hits]
    _insert(connection, "contamination", rows)


def _select(connection: Any) -> None:
    """Fill `selections` by running every policy that comes with distill."""
    picks = (f"SELECT '{name}' AS policy, id FROM ({policies.query(name)})" for name in policies.shipped())
    connection.execute(f"""
        INSERT INTO selections
        SELECT id, list(DISTINCT policy ORDER BY policy) FROM ({" UNION ALL ".join(picks)}) GROUP BY id ORDER BY id
    """)


def _stream(connection: Any, query: str, **parameters: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, a batch in memory at a time."""
    result = connection.execute(query, parameters)
    while rows := result.fetchmany(ROWS_PER_FETCH):
        yield from rows


def _insert(connection: Any, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a table in one go."""
    import pyarrow as pa

    if rows:
        connection.register("found", pa.Table.from_pylist(list(rows)))
        connection.execute(f"INSERT INTO {table} BY NAME FROM found")
        connection.unregister("found")


def _files(folder: Path) -> list[Path]:
    """The Parquet files of a folder, in order. Raises `DataError` when there are none."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DataError(f"{folder} holds no Parquet file; `dvc repro` writes it")
    return files


def _sha256(files: Iterable[Path]) -> str:
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
