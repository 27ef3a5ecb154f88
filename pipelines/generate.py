"""generate: the teacher writes chains of thought for every problem that can be graded."""

from collections.abc import Sequence

from distill import layout, models, shards, stage
from distill.config import Params
from distill.generation.endpoint import Serving
from distill.generation.plan import Stop
from distill.generation.sampler import sample_problems
from distill.records import Outcome, Problem, Sampling, Trace
from distill.verification.grade import grade_traces


def body(params: Params) -> stage.Result:
    """Sample, export the traces, say what it took."""
    problems = shards.read_rows(layout.TRAIN_PROBLEMS, Problem)
    gradable = [problem for problem in problems if problem.gold_verdict in ("", Outcome.CORRECT)]
    by_id = {problem.id: problem for problem in gradable}
    teacher = params.teacher
    serving = Serving(teacher.dtype, teacher.max_model_len, params.serving.teacher)

    def right(traces: Sequence[Trace]) -> set[str]:
        verdicts = grade_traces([by_id[trace.problem_id] for trace in traces], traces, params.verify, label="")
        return {verdict.trace_id for verdict in verdicts if verdict.verdict == Outcome.CORRECT}

    model = models.read_revision(layout.TEACHER)
    sampled = sample_problems(gradable, model, params.generate, serving, params.seed, right, must_reason=True)
    shards.write_shards(layout.TRACES, sampled.traces, Trace)
    shards.write_file(layout.SAMPLING, sampled.rows(), Sampling)
    stats = sampled.stats
    n_skipped = len(problems) - len(gradable)
    skipped = f", {n_skipped} problems left out: their reference answers cannot be graded" if n_skipped else ""
    cached = f", {stats.from_cache:,} of them from the cache" if stats.from_cache else ""
    line = f"{len(sampled.traces):,} traces of {len(gradable):,} problems{cached}{skipped}"
    want, n_enough = params.generate.want, stats.stops[Stop.ENOUGH]
    enough = f", {n_enough:,} problems have the {want} verified ones that are wanted" if want else ""
    refused = f", {len(sampled.refusals)} problems refused by the server" if sampled.refusals else ""
    rate = f", {stats.tokens_per_second:,.0f} tokens/s" if stats.tokens_per_second else ""
    return stage.Result(line + enough + refused + rate, stats.metrics())


if __name__ == "__main__":
    stage.run("generate", body)
