"""Training and evaluation problems that never meet.

Evaluation splits are built first, then training, then what comes with its responses; a prompt that one of them holds
(case and white space aside) is in no other. Who is short of problems because of that draws more, so every generated
source still reaches its `n`.

Every problem is then shown to the verifier with its own reference answer. What the verifier cannot grade stays in,
marked by `gold_verdict`, and is reported by source: a source may be wanted in spite of it, never unknowingly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from distill import config
from distill.problems.sources import GIVEN, TRAIN, Drawn, draw
from distill.records import Outcome, Problem, Verifier
from distill.settings import Benchmark, BenchmarkUse, DatasetSource, ProblemSettings, Source

Check = Callable[[Sequence[Problem]], dict[str, Outcome]]  # what the verifier says of each reference, by problem id


@dataclass(slots=True)
class Splits:
    """The rows of each split, and per split and source what came in and what was left out.

    counts["train"]["gcd"] -> {"rows": 100, "repeats": 3, "in_another_split": 1, "not_gradable": 0}
    pins -> ["problems.train.deepscaler.revision: b6ae8c60f5c1f2b594e2140b91c49c9ad0949e29"]

    `pins` are the settings that would keep what the hub was asked for: one for each source without a commit.
    """

    train: list[Problem] = field(default_factory=list)
    given: list[Problem] = field(default_factory=list)
    eval: dict[str, list[Problem]] = field(default_factory=dict)
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    counts: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    pins: list[str] = field(default_factory=list)

    def total(self, count: str) -> int:
        """One count over all splits and sources."""
        return sum(source[count] for split in self.counts.values() for source in split.values())


def build(settings: ProblemSettings, seed: int, check: Check) -> Splits:
    """Draw every source of every split. Raises `ConfigError` and `DataError` as sources do."""
    splits, taken = Splits(benchmarks=config.benchmarks(settings)), set[str]()
    for name, benchmark in splits.benchmarks.items():
        use = settings.eval[name]
        by_name = f"{config.BENCHMARKS / use.benchmark}.yaml: sources" if isinstance(use, BenchmarkUse) else None
        part = _Part(name, by_name or f"problems.eval.{name}", benchmark.sources, check, benchmark.prompt)
        splits.eval[name] = _fill(splits, part, seed, taken)
    splits.train = _fill(splits, _Part(TRAIN, "problems.train", settings.train, check), seed, taken)
    responses = {name: source.model_copy(update={"verifier": Verifier.NONE}) for name, source in settings.given.items()}
    splits.given = _fill(splits, _Part(GIVEN, "problems.given", responses, _ungraded), seed, taken)
    return splits


@dataclass(frozen=True, slots=True)
class _Part:
    """A split to be drawn; `key` is the setting that holds its sources."""

    name: str
    key: str
    sources: Mapping[str, Source]
    check: Check
    wording: str = "{problem}"


def _ungraded(problems: Sequence[Problem]) -> dict[str, Outcome]:
    """Responses that come with their problems are no references: none is shown to a verifier."""
    return {problem.id: Outcome.CORRECT for problem in problems}


def _fill(splits: Splits, part: _Part, seed: int, taken: set[str]) -> list[Problem]:
    """Draw one split's sources, in order of their names; adds their prompts to `taken`."""
    rows: list[Problem] = []
    counts = splits.counts[part.name] = {}
    for name in sorted(part.sources):
        source, key = part.sources[name], f"{part.key}.{name}"
        drawn = draw(name, source, part.name, seed, taken, key, part.wording)
        if isinstance(source, DatasetSource) and drawn.commit != source.revision and drawn.commit:
            splits.pins.append(f"{key}.revision: {drawn.commit}")
        taken |= drawn.prompts
        counts[name] = _count(drawn)
        rows += drawn.problems
    return _graded(rows, counts, part.check)


def _count(drawn: Drawn) -> dict[str, int]:
    return {
        "rows": len(drawn.problems),
        "repeats": drawn.n_duplicates,
        "in_another_split": drawn.n_taken,
        "not_gradable": 0,
    }


def _graded(rows: list[Problem], counts: dict[str, dict[str, int]], check: Check) -> list[Problem]:
    """The rows with what the verifier says of their references, failures counted by source.

    It says nothing of what has no reference to be shown: a judge's question, tests without a program.
    """
    outcomes = check(rows)
    for row in rows:
        counts[row.source]["not_gradable"] += outcomes.get(row.id, Outcome.CORRECT) is not Outcome.CORRECT
    return [replace(row, gold_verdict=outcomes.get(row.id, "")) for row in rows]


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
