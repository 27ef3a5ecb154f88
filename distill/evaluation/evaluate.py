"""One model on every evaluation split: sampled as the teacher is, graded as the traces are, every sample kept.

    data/scores/<model>/scores.parquet    Score rows
    data/scores/<model>/traces/           the samples themselves
    data/scores/<model>/verdicts.parquet  what the verifier said of each, and why

All splits are asked in one server start. A model's answers are cached by its weights, so a base is sampled once however
often its student is trained anew.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill import layout, models, shards
from distill.config import Params
from distill.dataset import probe
from distill.errors import ConfigError
from distill.evaluation.statistics import Estimate, estimate
from distill.generation import endpoint
from distill.generation.endpoint import Serving
from distill.generation.sampler import Sampled, sample_problems
from distill.models import ModelRevision
from distill.records import Outcome, Problem, Score, Trace, Verdict
from distill.verification import judge
from distill.verification.grade import grade

Sampler = Callable[..., Sampled]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one model, its estimate on each benchmark, and what the sampling took."""

    model: str
    scores: list[Score]
    estimates: dict[str, Estimate]
    sampling: dict[str, Any]

    def line(self) -> str:
        """`easy 31.5 % ± 3.1 (n 120, k 1), hard 8.0 % ± 2.2 (n 60, k 1)`."""
        return ", ".join(
            f"{name} {100 * e.mean:.1f} % ± {100 * e.se:.1f} (n {e.n}, k {e.k})" for name, e in self.estimates.items()
        )

    def metrics(self) -> dict[str, Any]:
        """Per benchmark the estimate, tokens and outcomes; beside them what the sampling took."""
        return {name: self._benchmark(name) for name in self.estimates} | {"sampling": self.sampling}

    def _benchmark(self, name: str) -> dict[str, Any]:
        rows = [score for score in self.scores if score.benchmark == name]
        return asdict(self.estimates[name]) | {
            "mean_tokens": sum(score.completion_tokens for score in rows) / len(rows),
            "outcomes": dict(sorted(Counter(score.verdict for score in rows).items())),
            "finish_reasons": dict(sorted(Counter(score.finish_reason for score in rows).items())),
        }


def model_names(params: Params) -> list[str]:
    """Every model that is evaluated: the teacher, each student's base, each student."""
    return [layout.TEACHER, *(name for s in params.students for name in (layout.base_name(s), s))]


def evaluate(name: str, params: Params, sample: Sampler = sample_problems) -> Evaluation:
    """Evaluate one model and write its scores. Raises `ConfigError` when params know no such model."""
    if name not in model_names(params):
        raise ConfigError(f"there is no model {name!r}; params.yaml names {', '.join(model_names(params))}")
    asked = judge.accepted(params)
    splits = read_splits()
    problems = [problem for split in splits.values() for problem in split]
    model = _revision(name, params)
    if name in params.students:
        require_own_template(model)
    sampled = sample(problems, model, params.evaluate, _serving(name, params), params.seed)
    verdicts = grade(
        problems, sampled.traces, params.verify, f"grade {name}", None, asked, params.evaluate.answer_line
    ).verdicts
    scores = _scores(name, splits, sampled.traces, verdicts)
    _write(layout.SCORES / name, sampled.traces, verdicts, scores)
    estimates = {split: estimate(*tally(scores, split)) for split in splits}
    return Evaluation(name, scores, estimates, sampled.stats.metrics())


def require_own_template(student: ModelRevision) -> None:
    """See that a student behind a URL is asked as it was trained; here it is served with its own folder's template."""
    for url in endpoint.from_environment(student):
        root = url.url.removesuffix("/v1")
        probe.require_server(root, url.model, models.load_tokenizer(student), student.name, url.headers)


def read_splits() -> dict[str, list[Problem]]:
    """The evaluation problems of each split that can be graded."""
    files = sorted(layout.EVAL_PROBLEMS.glob("*.parquet"))
    rows = {file.stem: shards.read_rows(file, Problem) for file in files}
    return {name: [row for row in split if row.gold_verdict in ("", Outcome.CORRECT)] for name, split in rows.items()}


def by_question(scores: Sequence[Score], benchmark: str | None = None) -> dict[str, list[int]]:
    """Per question its samples, 1 for right and 0 for not; of one benchmark, or of all."""
    found: dict[str, list[int]] = {}
    for score in sorted(scores, key=lambda score: (score.problem_id, score.sample_index)):
        if benchmark in (None, score.benchmark):
            found.setdefault(score.problem_id, []).append(int(score.verdict == Outcome.CORRECT))
    return found


def tally(scores: Sequence[Score], benchmark: str | None = None) -> tuple[list[int], list[int]]:
    """Right samples and samples of each question, of one benchmark or of all."""
    samples = list(by_question(scores, benchmark).values())
    return [sum(question) for question in samples], [len(question) for question in samples]


def read_scores(name: str) -> list[Score]:
    """The scores of a model that has been evaluated."""
    return shards.read_rows(layout.SCORES / name / "scores.parquet", Score)


def _revision(name: str, params: Params) -> ModelRevision:
    """A student is what its folder holds; teacher and bases are what the models stage resolved."""
    trained = name in params.students
    return models.resolve_folder(name, str(layout.STUDENTS / name)) if trained else models.read_revision(name)


def _serving(name: str, params: Params) -> Serving:
    placement = params.serving.teacher if name == layout.TEACHER else params.serving.students
    return Serving(params.teacher.dtype, params.teacher.max_model_len, placement)


def _scores(
    name: str, splits: dict[str, list[Problem]], traces: Sequence[Trace], verdicts: Sequence[Verdict]
) -> list[Score]:
    benchmark = {problem.id: split for split, problems in splits.items() for problem in problems}
    verdict = {row.trace_id: row for row in verdicts}
    return [
        Score(
            trace_id=trace.id,
            model=name,
            benchmark=benchmark[trace.problem_id],
            problem_id=trace.problem_id,
            sample_index=trace.sample_index,
            verdict=verdict[trace.id].verdict,
            extracted=verdict[trace.id].extracted,
            completion_tokens=trace.completion_tokens,
            finish_reason=trace.finish_reason,
            extraction=verdict[trace.id].extraction,
        )
        for trace in traces
    ]


def _write(folder: Path, traces: Sequence[Trace], verdicts: Sequence[Verdict], scores: Sequence[Score]) -> None:
    """Write a model's folder whole: into a neighbour first, renamed last."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shards.write_shards(partial / "traces", traces, Trace)
    shards.write_file(partial / "verdicts.parquet", verdicts, Verdict)
    shards.write_file(partial / "scores.parquet", scores, Score)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
