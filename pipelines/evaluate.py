"""evaluate: one model (the teacher, a student's base, or a student) on every evaluation split."""

import sys

from distill import stage
from distill.config import Params
from distill.evaluation.evaluate import evaluate


def body(params: Params) -> stage.Result:
    """Sample, grade, estimate."""
    evaluation = evaluate(sys.argv[1], params)
    return stage.Result(evaluation.line(), evaluation.metrics())


if __name__ == "__main__":
    stage.run(f"evaluate_{sys.argv[1]}", body)
