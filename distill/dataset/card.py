"""The data set's card: what its README.md says, all of it from the store and the settings.

`collect` gathers the facts, `card.md.jinja` words them. Model text comes only as an indented block, which nothing in it
can end.
"""

import re
from pathlib import Path
from typing import Any

from distill.config import ExportSettings, SamplingSettings
from distill.curation import funnel, policies
from distill.curation.inspect import visible
from distill.curation.store import ask
from distill.prompting import INSTRUCTION, render_student_turn, render_user_turn

TEMPLATE = Path(__file__).parent / "card.md.jinja"
STAND_IN = "tiny-r1"
LICENCE = re.compile(r"[a-z0-9.-]+")  # the hub's own names for licences
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

SOURCES = """
SELECT source, domain, licence, count(*) AS rows, count(DISTINCT t.problem_id) AS problems,
    sum(completion_tokens)::BIGINT AS tokens
FROM traces t JOIN problems p ON p.id = t.problem_id
WHERE t.id IN (SELECT unnest($ids)) GROUP BY ALL ORDER BY ALL
"""
RUNS = """
SELECT DISTINCT model, model_revision AS revision, engine, max_tokens, fingerprint AS verifier
FROM traces t JOIN verdicts v ON v.trace_id = t.id WHERE t.id IN (SELECT unnest($ids)) ORDER BY ALL
"""
SHORTEST = """
SELECT p.prompt, p.verifier, x.reasoning, x.answer_text
FROM traces t JOIN problems p ON p.id = t.problem_id JOIN texts x ON x.trace_id = t.id
WHERE t.id = (SELECT id FROM traces WHERE id IN (SELECT unnest($ids)) ORDER BY completion_tokens, id LIMIT 1)
"""


def collect(
    connection: Any, ids: list[str], settings: ExportSettings, sampling: SamplingSettings, seed: int
) -> dict[str, Any]:
    """Everything the card says of the traces with these ids."""
    sources = _rows(connection, SOURCES, ids)
    runs = [run | {"model": public_name(run["model"])} for run in _rows(connection, RUNS, ids)]
    return {
        "n_rows": len(ids),
        "n_problems": sum(source["problems"] for source in sources),
        "n_tokens": sum(source["tokens"] for source in sources),
        "licences": sorted({_hub_licence(source["licence"]) for source in sources}),
        "size_category": next((name for bound, name in SIZES if len(ids) < bound), "1M<n<10M"),
        "policy": settings.policy,
        "policy_text": policies.text(settings.policy),
        "max_per_problem": settings.max_per_problem,
        "seed": seed,
        "funnel": funnel.measure(connection),
        "sources": sources,
        "runs": runs,
        "teachers": sorted({run["model"] for run in runs}),
        "stand_in": any(STAND_IN in run["model"] for run in runs),
        "sampling": sampling,
        "instruction": INSTRUCTION,
        "versions": dict(ask(connection, "FROM provenance")[1]),
        "example": _example(_rows(connection, SHORTEST, ids)[0]),
    }


def render(facts: dict[str, Any]) -> str:
    """The card as Markdown, with the hub's YAML before it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters |= {"cell": _cell, "number": "{:,}".format}
    return environment.from_string(TEMPLATE.read_text()).render(facts)


def public_name(model: str) -> str:
    """What to call a model in public: its name in params, but of an absolute path the last part only."""
    return Path(model).name if Path(model).is_absolute() else model


def _rows(connection: Any, query: str, ids: list[str]) -> list[dict[str, Any]]:
    columns, rows = ask(connection, query, {"ids": ids})
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _hub_licence(licence: str) -> str:
    return licence.lower() if LICENCE.fullmatch(licence.lower()) else "other"


def _example(row: dict[str, str]) -> str:
    """The chat of one row as a code block: four spaces before every line."""
    user = render_user_turn(row["prompt"], row["verifier"])
    assistant = render_student_turn(row["reasoning"], row["answer_text"])
    text = visible(f"user: {user}\n\nassistant: {assistant}")
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _cell(value: object) -> str:
    """A value that cannot leave its cell of a Markdown table."""
    return visible(str(value)).replace("\n", " ").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
