"""generate: the teacher writes chains of thought for every problem that can be graded."""

from distill import layout, models, shards, stage
from distill.config import Params
from distill.generation.endpoint import Serving
from distill.generation.sampler import sample_problems
from distill.records import Outcome, Problem, Trace


def body(params: Params) -> stage.Result:
    """Sample, export the traces, say what it took."""
    problems = shards.read_rows(layout.TRAIN_PROBLEMS, Problem)
    gradable = [problem for problem in problems if problem.gold_verdict in ("", Outcome.CORRECT)]
    teacher = params.teacher
    serving = Serving(teacher.dtype, teacher.max_model_len, params.serving.teacher)
    sampled = sample_problems(gradable, models.read_revision(layout.TEACHER), params.generate, serving, params.seed)
    shards.write_shards(layout.TRACES, sampled.traces, Trace)
    stats = sampled.stats
    n_skipped = len(problems) - len(gradable)
    skipped = f", {n_skipped} problems left out: their reference answers cannot be graded" if n_skipped else ""
    cached = f", {stats.from_cache:,} of them from the cache" if stats.from_cache else ""
    line = f"{len(sampled.traces):,} traces of {len(gradable):,} problems{cached}{skipped}"
    refused = f", {len(sampled.refusals)} problems refused by the server" if sampled.refusals else ""
    rate = f", {stats.tokens_per_second:,.0f} tokens/s" if stats.tokens_per_second else ""
    return stage.Result(line + refused + rate, stats.metrics())


if __name__ == "__main__":
    stage.run("generate", body)
