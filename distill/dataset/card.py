"""The data set's card: what its README.md says, all of it from the store and the settings.

`collect` gathers the facts, `card.md.jinja` words them. Model text comes only as an indented block, which nothing in it
can end.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from distill.curation import funnel, policies
from distill.curation.inspect import visible
from distill.curation.store import ask
from distill.dataset import formats
from distill.prompting import INSTRUCTION
from distill.settings import ExportSettings, SamplingSettings

TEMPLATE = Path(__file__).parent / "card.md.jinja"
STAND_IN = "tiny-r1"
DIGEST = " sha256"  # ends the names of inputs in the store's provenance
LICENCE = re.compile(r"[a-z0-9.-]+")  # the hub's own names for licences
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

SOURCES = """
SELECT
    source, domain, licence, split = 'given' AS given, count(*) AS rows, count(DISTINCT t.problem_id) AS problems,
    sum(completion_tokens)::BIGINT AS tokens
FROM picked JOIN traces t USING (id) JOIN problems p ON p.id = t.problem_id GROUP BY ALL ORDER BY ALL
"""
RUNS = """
SELECT DISTINCT model, model_revision AS revision, engine, max_tokens, fingerprint AS verifier
FROM picked JOIN traces t USING (id) JOIN problems p ON p.id = t.problem_id JOIN verdicts v ON v.trace_id = t.id
WHERE split <> 'given' ORDER BY ALL
"""
# Nobody counted the tokens of given responses, so they would all be the shortest.
SHORTEST = """
SELECT p.prompt, p.verifier, x.reasoning, x.answer_text
FROM (
    SELECT t.id, problem_id FROM picked JOIN traces t USING (id) JOIN problems p ON p.id = t.problem_id
    ORDER BY split = 'given', completion_tokens, t.id LIMIT 1
) t JOIN problems p ON p.id = t.problem_id JOIN texts x ON x.trace_id = t.id
"""
SPLITS = "SELECT split, count(*) AS n FROM problems GROUP BY split ORDER BY split"
# A hit that does not decide is an n-gram of a template, or a rule by which nothing is dropped.
CONTAMINATION = """
SELECT
    benchmark, rule, count(DISTINCT problem_id) AS problems,
    count(DISTINCT problem_id) FILTER (decides) AS decisive,
    count(DISTINCT problem_id) FILTER (problem_id IN (SELECT problem_id FROM picked JOIN traces USING (id))) AS exported
FROM contamination GROUP BY ALL ORDER BY ALL
"""
COPIES = """
SELECT count(*) FROM duplicates
WHERE kind = 'trace' AND id IN (FROM picked) AND kept_id IN (FROM picked)
"""


def collect(connection: Any, settings: ExportSettings, sampling: SamplingSettings, seed: int) -> dict[str, Any]:
    """Everything the card says of the traces in the table `picked`."""
    runs = [run | {"model": public_name(run["model"])} for run in _rows(connection, RUNS)]
    facts = _counts(_rows(connection, SOURCES))
    picking = [settings.policy, settings.given_policy] if facts["n_given"] else [settings.policy]
    return {
        **facts,
        **_overlap(connection),
        **_provenance(connection),
        "formats": formats.chosen(settings.formats),
        "llama_factory": list(formats.dataset_info(settings.formats)),
        "policy": settings.policy,
        "given_policy": settings.given_policy,
        "queries": {policy: policies.query(policy) for policy in picking},
        "caps": _caps(settings),
        "seed": seed,
        "funnel": funnel.measure(connection),
        "runs": runs,
        "teachers": sorted({run["model"] for run in runs}),
        "stand_in": any(STAND_IN in run["model"] for run in runs),
        "sampling": sampling,
        "instruction": INSTRUCTION,
        "limits": dict(ask(connection, "FROM limits")[1]),
        "example": _example(_rows(connection, SHORTEST)[0]),
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


def _counts(sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the sources; one may stand in several rows, for each domain and licence."""
    n_rows = sum(source["rows"] for source in sources)
    by_source: Counter[str] = Counter()
    for source in sources:
        by_source[source["source"]] += source["rows"]
    return {
        "sources": sources,
        "rows_by_source": dict(by_source),
        "n_rows": n_rows,
        "n_given": sum(source["rows"] for source in sources if source["given"]),
        "n_problems": sum(source["problems"] for source in sources),
        "n_tokens": sum(source["tokens"] for source in sources),
        "licences": sorted({_hub_licence(source["licence"]) for source in sources}),
        "size_category": next((name for bound, name in SIZES if n_rows < bound), "1M<n<10M"),
    }


def _overlap(connection: Any) -> dict[str, Any]:
    """What evaluations ask too, and how many rows are copies of other rows."""
    splits: dict[str, int] = dict(ask(connection, SPLITS)[1])
    return {
        "contamination": _rows(connection, CONTAMINATION),
        "n_candidates": splits.pop("train") + splits.pop("given", 0),
        "benchmarks": dict(ask(connection, "SELECT name, questions FROM benchmarks ORDER BY name")[1]),
        "n_copies": ask(connection, COPIES)[1][0][0],
    }


def _provenance(connection: Any) -> dict[str, dict[str, str]]:
    """The versions that made the store, and the sha256 of what it was made of."""
    made_by: dict[str, str] = dict(ask(connection, "FROM provenance ORDER BY name")[1])
    inputs = {name.removesuffix(DIGEST): value for name, value in made_by.items() if name.endswith(DIGEST)}
    return {"versions": made_by, "inputs": inputs}


def _caps(settings: ExportSettings) -> list[str]:
    """The caps in words: `at most 2 per problem`."""
    caps = {"problem": settings.max_per_problem, "source": settings.max_per_source}
    return [f"at most {most:,} per {what}" for what, most in caps.items() if most]


def _rows(connection: Any, query: str) -> list[dict[str, Any]]:
    columns, rows = ask(connection, query)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _hub_licence(licence: str) -> str:
    return licence.lower() if LICENCE.fullmatch(licence.lower()) else "other"


def _example(row: dict[str, Any]) -> str:
    """The chat of one row as a code block: four spaces before every line."""
    turns = formats.render_turns(row["prompt"], row["verifier"], row["reasoning"], row["answer_text"])
    text = visible("\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns))
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _cell(value: object) -> str:
    """A value that cannot leave its cell of a Markdown table."""
    return visible(str(value)).replace("\n", " ").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
