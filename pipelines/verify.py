"""Give every trace a verdict."""

import time
from collections.abc import Iterator
from dataclasses import asdict

from distill import layout, shards, stage
from distill.config import Params
from distill.records import Problem, TraceAnswer, Verdict
from distill.verification import grade, judge


def body(params: Params) -> stage.Result:
    """Write `data/verdicts/`: one row per trace."""
    started = time.monotonic()
    problems = shards.read_rows(layout.TRAIN_PROBLEMS, Problem)
    n_traces = shards.count_rows(layout.TRACES)
    problem_of: dict[str, str] = {}

    def answers() -> Iterator[TraceAnswer]:
        for row in shards.iterate_rows(layout.TRACES, TraceAnswer):
            problem_of[row.id] = row.problem_id
            yield row

    asked = judge.accepted(params)
    grading = grade.grade(problems, answers(), params.verify, "verify", n_traces, asked)
    shards.write_shards(layout.VERDICTS, grading.verdicts, Verdict)
    summary = grade.summarise({problem.id: problem.source for problem in problems}, problem_of, grading.verdicts)
    run = {
        "seconds": round(time.monotonic() - started, 2),
        "engine_work": grading.n_engine,
        "cached": grading.n_cached,
        "judged": grading.n_judged,
        "slowest": [asdict(slow) for slow in grading.slowest],
    }
    return stage.Result(grade.describe(summary), {**summary, **run})


if __name__ == "__main__":
    stage.run("verify", body)
