"""Draw the problems of every split, and show each reference answer to the verifier that will use it."""

import json
import shutil
from collections.abc import Sequence

from distill import layout, shards, stage
from distill.config import Params
from distill.problems import splits
from distill.records import Outcome, Problem
from distill.verification import grade


def body(params: Params) -> stage.Result:
    """Write `data/problems/train.parquet`, `given.parquet`, one file per evaluation split, and how each is sampled."""

    def check(problems: Sequence[Problem]) -> dict[str, Outcome]:
        return grade.check_gold(problems, params.verify)

    built = splits.build(params.problems, params.seed, check)
    shutil.rmtree(layout.EVAL_PROBLEMS, ignore_errors=True)  # a split that is gone leaves no file behind
    shards.write_file(layout.TRAIN_PROBLEMS, built.train, Problem)
    shards.write_file(layout.GIVEN_PROBLEMS, built.given, Problem)
    for name, rows in built.eval.items():
        shards.write_file(layout.EVAL_PROBLEMS / f"{name}.parquet", rows, Problem)
    sampling = {name: split.model_dump(include={"samples", "answer_line"}) for name, split in built.benchmarks.items()}
    layout.BENCHMARKS.write_text(json.dumps(sampling, indent=2) + "\n")
    for pin in built.pins:
        print(f"problems  to keep these rows, pin them: {pin}", flush=True)
    return stage.Result(splits.describe(built), built.counts)


if __name__ == "__main__":
    stage.run("problems", body)
