"""Training and evaluation problems that never meet.

Evaluation splits are built first, then training, then what comes with its responses; a prompt that one of them holds
(case and white space aside) is in no other. Who is short of problems because of that draws more, so every generated
source still reaches its `n`.

Every problem is then shown to the verifier with its own reference answer. What the verifier cannot grade stays in,
marked by `gold_verdict`, and is reported by source: a source may be wanted in spite of it, never unknowingly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from distill.config import NAME
from distill.errors import ConfigError
from distill.problems.sources import GIVEN, Drawn, draw, normalised_prompt
from distill.records import Outcome, Problem, Verifier
from distill.settings import ProblemSettings, Source

TRAIN = "train"

Check = Callable[[Sequence[Problem]], dict[str, Outcome]]  # what the verifier says of each reference, by problem id


@dataclass(slots=True)
class Splits:
    """The rows of each split, and per split and source what came in and what was left out.

    counts["train"]["gcd"] -> {"rows": 100, "repeats": 3, "in_another_split": 1, "not_gradable": 0}
    """

    train: list[Problem] = field(default_factory=list)
    given: list[Problem] = field(default_factory=list)
    eval: dict[str, list[Problem]] = field(default_factory=dict)
    counts: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    def total(self, count: str) -> int:
        """One count over all splits and sources."""
        return sum(source[count] for split in self.counts.values() for source in split.values())


def build(settings: ProblemSettings, seed: int, check: Check) -> Splits:
    """Draw every source of every split. Raises `ConfigError` and `DataError` as sources do."""
    for name in settings.eval:
        if not NAME.fullmatch(name) or name in (TRAIN, GIVEN):
            raise ConfigError(
                f"problems.eval.{name}: a split's name is letters, digits and _, and not 'train' or 'given'"
            )
    splits, taken = Splits(), set[str]()
    for name, sources in settings.eval.items():
        splits.eval[name] = _fill(splits, name, sources, seed, taken, check)
    splits.train = _fill(splits, TRAIN, settings.train, seed, taken, check)
    responses = {name: source.model_copy(update={"verifier": Verifier.NONE}) for name, source in settings.given.items()}
    splits.given = _fill(splits, GIVEN, responses, seed, taken, _ungraded)
    return splits


def _ungraded(problems: Sequence[Problem]) -> dict[str, Outcome]:
    """Responses that come with their problems are no references: none is shown to a verifier."""
    return {problem.id: Outcome.CORRECT for problem in problems}


def _fill(
    splits: Splits, split: str, sources: Mapping[str, Source], seed: int, taken: set[str], check: Check
) -> list[Problem]:
    """Draw one split's sources, in order of their names; adds their prompts to `taken`."""
    rows: list[Problem] = []
    splits.counts[split] = {}
    for name in sorted(sources):
        drawn = draw(name, sources[name], split, seed, taken)
        taken |= {normalised_prompt(problem.prompt) for problem in drawn.problems}
        splits.counts[split][name] = _count(drawn)
        rows += drawn.problems
    return _graded(rows, splits.counts[split], check)


def _count(drawn: Drawn) -> dict[str, int]:
    return {
        "rows": len(drawn.problems),
        "repeats": drawn.n_duplicates,
        "in_another_split": drawn.n_taken,
        "not_gradable": 0,
    }


def _graded(rows: list[Problem], counts: dict[str, dict[str, int]], check: Check) -> list[Problem]:
    """The rows with what the verifier says of their references, failures counted by source."""
    outcomes = check(rows)
    for row in rows:
        counts[row.source]["not_gradable"] += outcomes[row.id] is not Outcome.CORRECT
    return [replace(row, gold_verdict=outcomes[row.id]) for row in rows]


def describe(splits: Splits) -> str:
    """The splits in one line: `200 to train on, 60 to evaluate on (easy 40, hard 20); left out 3 repeats; …`."""
    n_eval = {name: len(rows) for name, rows in splits.eval.items()}
    parts = ", ".join(f"{name} {n:,}" for name, n in n_eval.items())
    clauses = [f"{len(splits.train):,} to train on, {sum(n_eval.values()):,} to evaluate on ({parts})"]
    if splits.given:
        clauses.append(f"{len(splits.given):,} with their responses")
    if n := splits.total("repeats"):
        clauses.append(f"left out {n:,} repeats")
    if n := splits.total("in_another_split"):
        clauses.append(f"left out {n:,} that another split holds")
    return "; ".join([*clauses, _gradability(splits)])


def _gradability(splits: Splits) -> str:
    failing: dict[str, int] = {}
    for sources in splits.counts.values():
        for name, counts in sources.items():
            failing[name] = failing.get(name, 0) + counts["not_gradable"]
    named = ", ".join(f"{name} {n:,}" for name, n in sorted(failing.items()) if n)
    return (
        f"{sum(failing.values()):,} references cannot be graded ({named})" if named else "every reference is gradable"
    )
