"""One model on every evaluation split: sampled as the teacher is, graded as the traces are, every sample kept.

    data/scores/<model>/scores.parquet    Score rows
    data/scores/<model>/traces/           the samples themselves
    data/scores/<model>/verdicts.parquet  what the verifier said of each, and why

Each split is sampled as its benchmark says, or else as `evaluate` says; all are asked in one server start. A model's
answers are cached by its weights, so a base is sampled once however often its student is trained anew.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill import layout, models, shards
from distill.config import Params
from distill.curation import quality
from distill.dataset import probe
from distill.errors import ConfigError, DataError
from distill.evaluation.statistics import Estimate, estimate
from distill.generation import endpoint
from distill.generation.endpoint import Serving
from distill.generation.sampler import Sampled, sample_problems
from distill.models import ModelRevision
from distill.records import FinishReason, Outcome, Problem, Score, Trace, Verdict
from distill.settings import CheckSettings, EvaluateSettings
from distill.verification import judge
from distill.verification.grade import Judge, grade

Sampler = Callable[..., Sampled]
SAID = (Outcome.CORRECT, Outcome.INCORRECT, Outcome.NO_ANSWER, Outcome.TRUNCATED)  # of all else the verifier abstains
LOOPS = CheckSettings()  # fixed, unlike `curate.checks`: what counts as a loop is the same in every evaluation


@dataclass(frozen=True, slots=True)
class Split:
    """The problems of a benchmark that can be graded, how many samples of each, and whether `Answer:` lines count."""

    problems: list[Problem]
    samples: int
    answer_line: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one model, its estimate on each benchmark, and what the sampling took.

    `missing` counts per benchmark the samples that were wanted and that the server will never give.
    """

    model: str
    scores: list[Score]
    estimates: dict[str, Estimate]
    missing: dict[str, int]
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
        """Shares are of the samples; of pass@1 too, every one of these but `looped` is among the wrong."""
        rows = [score for score in self.scores if score.benchmark == name]

        def share(holds: Callable[[Score], bool]) -> float | None:
            return sum(map(holds, rows)) / len(rows) if rows else None

        return asdict(self.estimates[name]) | {
            "samples": len(rows),
            "missing": self.missing[name],
            "mean_tokens": sum(score.completion_tokens for score in rows) / len(rows) if rows else None,
            "no_answer": share(lambda score: score.verdict == Outcome.NO_ANSWER),
            "truncated": share(lambda score: score.verdict == Outcome.TRUNCATED),
            "abstained": share(lambda score: score.verdict not in SAID),
            "looped": share(lambda score: score.looped),
            "outcomes": dict(sorted(Counter(score.verdict for score in rows).items())),
            "finish_reasons": dict(sorted(Counter(score.finish_reason for score in rows).items())),
        }


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model that is evaluated: `role` is teacher, base or student, `student` the one it belongs to, if any."""

    name: str
    role: str
    student: str | None


def evaluated(params: Params) -> list[Evaluated]:
    """Every model that is evaluated: the teacher, then each student behind its base."""
    pairs = ((Evaluated(layout.base_name(s), "base", s), Evaluated(s, "student", s)) for s in params.students)
    return [Evaluated(layout.TEACHER, "teacher", None), *(model for pair in pairs for model in pair)]


def model_names(params: Params) -> list[str]:
    """The name of every model that is evaluated."""
    return [model.name for model in evaluated(params)]


def evaluate(name: str, params: Params, sample: Sampler = sample_problems) -> Evaluation:
    """Evaluate one model and write its scores. Raises `ConfigError` when params know no such model."""
    if name not in model_names(params):
        raise ConfigError(f"there is no model {name!r}; params.yaml names {', '.join(model_names(params))}")
    asked = judge.accepted(params)
    splits = read_splits(params.evaluate)
    problems = [problem for split in splits.values() for problem in split.problems]
    samples = {problem.id: split.samples for split in splits.values() for problem in split.problems}
    model = _revision(name, params)
    if name in params.students:
        require_own_template(model)
    serving = _serving(name, params)
    sampled = sample(problems, model, params.evaluate, serving, params.seed, samples_of=samples)
    verdicts = list(_grade(name, splits.values(), sampled.traces, params, asked))
    scores = list(_scores(name, splits, sampled.traces, verdicts))
    _write(layout.SCORES / name, sampled.traces, verdicts, scores)
    estimates = {split: estimate(*tally(scores, split)) for split in splits}
    found = Counter(score.benchmark for score in scores)
    missing = {name: len(split.problems) * split.samples - found[name] for name, split in splits.items()}
    return Evaluation(name, scores, estimates, missing, sampled.stats.metrics())


def require_own_template(student: ModelRevision) -> None:
    """See that a student behind a URL is asked as it was trained; here it is served with its own folder's template."""
    for url in endpoint.from_environment(student):
        root = url.url.removesuffix("/v1")
        probe.require_server(root, url.model, models.load_tokenizer(student), student.name, url.headers)


def read_splits(settings: EvaluateSettings) -> dict[str, Split]:
    """Every evaluation split, as the problems stage left it; `settings` say what its benchmark does not.

    Raises `DataError` before that stage ran.
    """
    if not layout.BENCHMARKS.exists():
        raise DataError(f"{layout.BENCHMARKS} is missing; `dvc repro` writes it")
    splits = {}
    for name, own in json.loads(layout.BENCHMARKS.read_text()).items():
        rows = shards.read_rows(layout.EVAL_PROBLEMS / f"{name}.parquet", Problem)
        gradable = [row for row in rows if row.gold_verdict in ("", Outcome.CORRECT)]
        answer_line = settings.answer_line if own["answer_line"] is None else own["answer_line"]
        splits[name] = Split(gradable, own["samples"] or settings.samples, answer_line)
    return splits


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


def _grade(
    name: str, splits: Iterable[Split], traces: Sequence[Trace], params: Params, asked: Judge | None
) -> Iterator[Verdict]:
    """The verdict of every trace, those together whose answers are looked for in the same form."""
    for answer_line in (False, True):
        alike = [split for split in splits if split.answer_line == answer_line]
        chosen = {problem.id: problem for split in alike for problem in split.problems}
        theirs = (trace for trace in traces if trace.problem_id in chosen)
        total = sum(len(split.problems) * split.samples for split in alike)
        if total:
            label = f"grade {name}"
            yield from grade(chosen.values(), theirs, params.verify, label, total, asked, answer_line).verdicts


def _scores(
    name: str, splits: Mapping[str, Split], traces: Iterable[Trace], verdicts: Iterable[Verdict]
) -> Iterator[Score]:
    of = {problem.id: (benchmark, problem) for benchmark, split in splits.items() for problem in split.problems}
    verdict = {row.trace_id: row for row in verdicts}
    for trace in traces:
        benchmark, problem = of[trace.problem_id]
        found = verdict[trace.id]
        yield Score(
            trace_id=trace.id,
            model=name,
            benchmark=benchmark,
            problem_id=trace.problem_id,
            sample_index=trace.sample_index,
            verdict=found.verdict,
            extracted=found.extracted,
            completion_tokens=trace.completion_tokens,
            finish_reason=trace.finish_reason,
            extraction=found.extraction,
            source=problem.source,
            domain=problem.domain,
            answer=problem.answer,
            method=found.method,
            prompt_tokens=trace.prompt_tokens,
            looped=looped(trace),
        )


def looped(trace: Trace) -> bool:
    """Whether the server ended a text because it repeats itself, or its end does, by the checks that curate has."""
    tail = trace.text[-quality.TAIL :]
    return (
        trace.finish_reason == FinishReason.REPETITION
        or quality.tail_ratio(tail) < LOOPS.tail_ratio
        or quality.repeated_share(tail) > LOOPS.repeated_share
        or quality.repeated_sentences(trace.text) >= LOOPS.repeated_sentences
    )


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
