"""export: the traces that a policy picks, as a Hugging Face data set with its card.

    data/dataset/
      README.md               the card: counts, funnel, teacher, sampling, policy, how to reproduce
      data/train-00000.parquet
      manifest.json           counts, and the sha256 of every file

A row: id, problem_id, source, messages [user turn, assistant turn `<think>\\n…`], prompt, answer, reasoning, …
Equal stores, policies and settings give equal bytes.
"""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from distill.config import ExportSettings, SamplingSettings
from distill.curation import funnel
from distill.curation.store import open_store, policy_text, select
from distill.errors import DataError
from distill.prompting import INSTRUCTION, render_student_turn, render_user_turn

ROWS_PER_FILE = 50_000
TEMPLATE = Path(__file__).parent / "card.md.jinja"
STAND_IN = "tiny-r1"
PICKED = """
SELECT
    t.id, t.problem_id, p.source, p.domain, p.prompt, p.answer, x.reasoning, x.answer_text AS response,
    v.verdict, v.method, t.model AS teacher, t.model_revision AS teacher_revision, t.completion_tokens, p.licence
FROM traces t
JOIN problems p ON p.id = t.problem_id
JOIN texts x ON x.trace_id = t.id
JOIN verdicts v ON v.trace_id = t.id
WHERE t.id IN (SELECT unnest($ids))
ORDER BY t.id
"""


def export(
    store: Path, folder: Path, settings: ExportSettings, sampling: SamplingSettings, seed: int
) -> dict[str, Any]:
    """Write the data set and return its manifest. Raises `DataError` when the policy picks nothing."""
    with open_store(store) as connection:
        ids = select(connection, settings.policy, seed, settings.max_per_problem)
        if not ids:
            raise DataError(f"the policy {settings.policy} picks no trace: {_verdicts(connection)}")
        rows = _read_rows(connection, ids)
        facts = _card_facts(connection, rows, settings, sampling)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _write_parquet(partial / "data", rows)
    (partial / "README.md").write_text(_render_card(facts))
    manifest = {
        "rows": len(rows),
        "problems": len({row["problem_id"] for row in rows}),
        "tokens": sum(row["completion_tokens"] for row in rows),
        "policy": settings.policy,
        "sources": dict(sorted(Counter(row["source"] for row in rows).items())),
        "files": {
            str(path.relative_to(partial)): _sha256(path) for path in sorted(partial.rglob("*")) if path.is_file()
        },
    }
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return manifest


def _read_rows(connection: Any, ids: list[str]) -> list[dict[str, Any]]:
    """The picked rows in id order, with the chat a student is taught."""
    result = connection.execute(PICKED, {"ids": ids})
    columns = [column[0] for column in result.description]
    rows = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
    return [row | {"messages": _messages(row)} for row in rows]


def _messages(row: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": render_user_turn(row["prompt"])},
        {"role": "assistant", "content": render_student_turn(row["reasoning"], row["response"])},
    ]


def _write_parquet(folder: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for index, start in enumerate(range(0, len(rows), ROWS_PER_FILE)):
        table = pa.Table.from_pylist(rows[start : start + ROWS_PER_FILE])
        pq.write_table(table, folder / f"train-{index:05d}.parquet", compression="zstd")


def _card_facts(
    connection: Any, rows: list[dict[str, Any]], settings: ExportSettings, sampling: SamplingSettings
) -> dict[str, Any]:
    """Everything the card says, all of it from the store and the settings."""
    licences = sorted({row["licence"] for row in rows})
    engine, fingerprint = connection.execute(
        "SELECT any_value(engine), any_value(fingerprint) FROM traces JOIN verdicts ON trace_id = id"
    ).fetchone()
    return {
        "licence": licences[0].lower() if len(licences) == 1 and licences[0] != "unknown" else "other",
        "size_category": _size_category(len(rows)),
        "n_rows": f"{len(rows):,}",
        "n_problems": f"{len({row['problem_id'] for row in rows}):,}",
        "policy": settings.policy,
        "policy_text": policy_text(settings.policy).strip(),
        "max_per_problem": settings.max_per_problem,
        "funnel": funnel.measure(connection),
        "sources": _sources(rows),
        "teacher": {"model": rows[0]["teacher"], "revision": rows[0]["teacher_revision"], "engine": engine},
        "sampling": sampling.model_dump(),
        "instruction": INSTRUCTION,
        "verifier": fingerprint,
        "versions": dict(connection.execute("SELECT name, value FROM provenance").fetchall()),
        "example": _indented(min(rows, key=lambda row: (row["completion_tokens"], row["id"]))),
        "stand_in": STAND_IN in rows[0]["teacher"],
    }


def _sources(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row["source"], row["domain"], row["licence"]), []).append(row["problem_id"])
    return [
        {"source": source, "domain": domain, "licence": licence, "n_rows": len(ids), "n_problems": len(set(ids))}
        for (source, domain, licence), ids in sorted(found.items())
    ]


def _render_card(facts: dict[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    # Markdown, not HTML: nothing is escaped, and model text comes only as an indented block that nothing in it can end.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(TEMPLATE.read_text()).render(facts)


def _indented(row: dict[str, Any]) -> str:
    """The chat of one row as a code block: four spaces before every line."""
    text = "\n\n".join(f"{message['role']}: {message['content']}" for message in row["messages"])
    return "\n".join(f"    {line}" for line in text.splitlines())


def _size_category(n: int) -> str:
    """The hub's name for a data set's size."""
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for bound, name in bounds if n < bound), "1M<n<10M")


def _verdicts(connection: Any) -> str:
    counts = connection.execute(
        "SELECT verdict, count(*) AS n FROM verdicts GROUP BY verdict ORDER BY n DESC"
    ).fetchall()
    return ", ".join(f"{n} {verdict}" for verdict, n in counts) or "there are no traces"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
