"""Give every trace a verdict."""

import time

from distill import layout, shards, stage
from distill.config import Params
from distill.records import Problem, Trace, Verdict
from distill.verification import grade


def body(params: Params) -> stage.Result:
    """Write `data/verdicts/`: one row per trace."""
    started = time.monotonic()
    problems = shards.read_rows(layout.TRAIN_PROBLEMS, Problem)
    traces = shards.read_rows(layout.TRACES, Trace)
    grading = grade.grade(problems, traces, params.verify, "verify")
    shards.write_shards(layout.VERDICTS, grading.verdicts, Verdict)
    summary = grade.summarise(problems, traces, grading.verdicts)
    run = {"seconds": round(time.monotonic() - started, 2), "parsed": grading.n_parsed, "cached": grading.n_cached}
    return stage.Result(grade.describe(summary), {**summary, **run})


if __name__ == "__main__":
    stage.run("verify", body)
