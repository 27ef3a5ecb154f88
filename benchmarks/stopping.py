"""What stopping saves: tokens for a verified trace, against a fixed number of samples and against the optimum.

    python benchmarks/stopping.py              plays the recorded samples in outcomes.json
    python benchmarks/stopping.py --record     records them anew: tiny-r1 on its tasks, easy and hard (3 minutes)

The optimum asks one sample after the other and stops at the one that makes enough; nothing can spend less without
knowing the outcome. Ours asks each round's deficit at once. All three play the same recorded samples.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from distill.generation.cache import Entry
from distill.generation.plan import Course, Rules
from distill.records import Problem

OUTCOMES = Path(__file__).parent / "outcomes.json"
SAMPLES = 8
Played = tuple[int, int]  # tokens spent, traces kept
Recorded = list[tuple[bool, int]]  # of one problem: right or not, and its tokens


def ours(samples: Recorded, want: int) -> Played:
    """The course of one problem, as generate runs it."""
    course = Course(_problem(), Rules(SAMPLES, (1,), want=want))
    while jobs := course.next_round():
        for job in jobs:
            right, tokens = samples[job.sample_index]
            course.settle(job, Entry(job.slot, 1, "stop", tokens, 0.0, Path(), 0, 0), right)
    return sum(entry.completion_tokens for entry in course.answers.values()), min(want, len(course.verified))


def one_by_one(samples: Recorded, want: int) -> Played:
    """The strictly sequential optimum."""
    spent = kept = 0
    for right, tokens in samples:
        if kept == want:
            break
        spent, kept = spent + tokens, kept + right
    return spent, kept


def fixed(samples: Recorded, want: int) -> Played:
    """All samples, of which as many are kept as are wanted."""
    return sum(tokens for _, tokens in samples), min(want, sum(right for right, _ in samples))


def cost(play: Callable[[Recorded, int], Played], problems: list[Recorded], want: int) -> float:
    """Tokens for a kept trace."""
    played = [play(samples, want) for samples in problems]
    return sum(spent for spent, _ in played) / sum(kept for _, kept in played)


def record() -> None:
    """Sample tiny-r1 and write what was right, and how long it was."""
    from distill import config, models
    from distill.generation.endpoint import Serving
    from distill.generation.sampler import sample_problems
    from distill.problems.sources import load_source
    from distill.verification.grade import grade_traces

    params = config.load(Path("pipelines/profiles/laptop.yaml"))
    wanted = {f"{split}/{name}": source.model_copy(update={"n": 30})
              for split, benchmark in config.benchmarks(params.problems).items()
              for name, source in benchmark.sources.items()}  # fmt: skip
    problems = [problem for name, source in wanted.items() for problem in load_source(name, source, "benchmark", 5)]
    teacher = models.resolve_folder("teacher", params.teacher.model)
    serving = Serving(params.teacher.dtype, params.teacher.max_model_len, params.serving.teacher)
    settings = params.generate.model_copy(update={"samples": SAMPLES})
    traces = sample_problems(problems, teacher, settings, serving, 5).traces
    right = {v.trace_id: v.verdict == "correct" for v in grade_traces(problems, traces, params.verify, "grade")}
    found: dict[str, Recorded] = {}
    for trace in sorted(traces, key=lambda trace: (trace.problem_id, trace.sample_index)):
        found.setdefault(trace.problem_id, []).append((right[trace.id], trace.completion_tokens))
    OUTCOMES.write_text(json.dumps(list(found.values()), separators=(",", ":")) + "\n")


def main() -> None:
    """Print the cost of each way, for one and for more wanted traces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    if parser.parse_args().record:
        record()
    problems: list[Recorded] = [
        [(bool(right), n) for right, n in samples] for samples in json.loads(OUTCOMES.read_text())
    ]
    rate = sum(right for samples in problems for right, _ in samples) / (SAMPLES * len(problems))
    print(
        f"{len(problems)} problems, {SAMPLES} recorded samples each, {100 * rate:.0f} % right; tokens for a kept trace:"
    )
    for want in (1, 2, 4):
        mine, best, all_of_them = (cost(play, problems, want) for play in (ours, one_by_one, fixed))
        print(f"want {want}: distill {mine:,.0f}, one by one {best:,.0f} ({mine / best:.3f} x), "
              f"fixed n = {SAMPLES} {all_of_them:,.0f} ({all_of_them / mine:.2f} x ours)")  # fmt: skip


def _problem() -> Problem:
    return Problem(id="0", source="", domain="", prompt="", answer="", verifier="math")


if __name__ == "__main__":
    main()
