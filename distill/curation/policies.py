"""Policies: which traces a student may see. One query each in `policies/`, over the store's views.

A policy returns the column `id`. It chooses and never destroys: every trace stays in the store, so that another policy
costs no GPU time.

    select(store, "verified", seed=17, max_per_problem=1) -> ["0003c6…", "00a17f…", …]
"""

from pathlib import Path
from typing import Any

from distill.curation.store import ask
from distill.errors import ConfigError, DataError

FOLDER = Path(__file__).parent / "policies"

# The md5 of seed and id is a draw that stays the same when other traces come or go.
CAPPED = """
WITH picked AS (
{policy}
)
SELECT id, format FROM (SELECT DISTINCT id FROM picked) JOIN traces USING (id)
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY md5($seed || id)) <= $most
ORDER BY id
"""


def names() -> list[str]:
    """The policies there are."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def text(policy: str) -> str:
    """The query of a policy, its comment included. Raises `ConfigError` when there is no such policy."""
    if policy not in names():
        raise ConfigError(f"export.policy is {policy!r}; the policies are {', '.join(names())}")
    return (FOLDER / f"{policy}.sql").read_text().strip()


def select(store: Any, policy: str, seed: int, max_per_problem: int | None = None) -> list[str]:
    """The ids of the traces that a policy picks, sorted; of each problem at most `max_per_problem`, by a seeded draw.

    Raises `DataError` when the query is wrong, or picks a trace that has no chain of thought to learn from.
    """
    most = max_per_problem if max_per_problem is not None else 2**62
    query = CAPPED.format(policy=text(policy))
    try:
        _, rows = ask(store, query, {"seed": str(seed), "most": most})
    except DataError as error:
        raise DataError(f"the policy {policy} is wrong: {error}") from error
    unfit = [(trace, fault) for trace, fault in rows if fault != "ok"]
    if unfit:
        trace, fault = unfit[0]
        raise DataError(
            f"the policy {policy} picks {len(unfit):,} traces that cannot be taught, as {trace} ({fault}); "
            "let it ask for format = 'ok'"
        )
    return [trace for trace, _ in rows]
