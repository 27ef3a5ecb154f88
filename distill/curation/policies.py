"""Policies: which traces a student may see. One query each, over the store's views.

A policy returns the column `id`. It chooses and never destroys: every trace stays in the store, so that another policy
costs no GPU time. Those of `distill/curation/policies/` come with distill, your own go to `pipelines/policies/`.

    select(store, ExportSettings(policy="verified", max_per_problem=1), seed=17) -> ["0003c6…", "00a17f…", …]

A policy reads the store and nothing else: it is one SELECT, on a connection that cannot write, open files or reach a
network.
"""

from pathlib import Path
from typing import Any

from distill.curation.store import ask, statements
from distill.errors import ConfigError, DataError
from distill.settings import ExportSettings

FOLDER = Path(__file__).parent / "policies"
OWN = Path("pipelines/policies")

# The md5 of seed and id is a draw that stays the same when other traces come or go.
CAPPED = """
WITH picked AS (
{policy}
), of_problems AS (
    SELECT id, problem_id, source, format
    FROM (SELECT DISTINCT id FROM picked) JOIN traces t USING (id) JOIN checks ON trace_id = id
    JOIN (SELECT id AS problem_id, source FROM problems) USING (problem_id)
    QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY md5($seed || t.id)) <= $per_problem
)
SELECT id, format FROM of_problems
QUALIFY row_number() OVER (PARTITION BY source ORDER BY md5($seed || id)) <= $per_source
ORDER BY id
"""
NO_CAP = 2**62


def shipped() -> list[str]:
    """The policies that come with distill."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def names() -> list[str]:
    """The policies there are: those that come with distill, and the user's own."""
    return sorted({path.stem for folder in (FOLDER, OWN) for path in folder.glob("*.sql")})


def query(policy: str) -> str:
    """The query of a policy, its comment included. Raises `ConfigError` when there is no such policy, or two."""
    found = [path for folder in (FOLDER, OWN) if (path := folder / f"{policy}.sql").is_file()]
    if not found or policy not in names():
        raise ConfigError(f"export.policy is {policy!r}; the policies are {', '.join(names())}")
    if len(found) > 1:
        raise ConfigError(f"{found[1]} has the name of a policy that comes with distill; rename it")
    return found[0].read_text().strip()


def select(store: Any, settings: ExportSettings, seed: int) -> list[str]:
    """The ids of the traces that the policies of the settings pick, sorted, within their caps.

    Raises `DataError` when a query is wrong, or picks a trace that has no chain of thought to learn from.
    """
    ids = _picked(store, settings.policy, settings, seed, fit="ok")
    if store.execute("SELECT 1 FROM problems WHERE split = 'given' LIMIT 1").fetchone():
        ids += _picked(store, settings.given_policy, settings, seed, fit="given")
    return sorted(set(ids))


def _picked(store: Any, policy: str, settings: ExportSettings, seed: int, fit: str) -> list[str]:
    caps = {"per_problem": settings.max_per_problem or NO_CAP, "per_source": settings.max_per_source or NO_CAP}
    text = query(policy)
    try:
        if statements(store, text) != ["SELECT"]:
            raise DataError("it must be one SELECT, which reads the store and changes nothing")
        _, rows = ask(store, CAPPED.format(policy=text), {"seed": str(seed), **caps})
    except DataError as error:
        raise DataError(f"the policy {policy} is wrong: {error}") from error
    unfit = [(trace, fault) for trace, fault in rows if fault != fit]
    if unfit:
        trace, fault = unfit[0]
        raise DataError(
            f"the policy {policy} picks {len(unfit):,} traces that cannot be taught, as {trace} ({fault}); "
            f"let it ask for format = '{fit}'"
        )
    return [trace for trace, _ in rows]
