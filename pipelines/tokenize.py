"""tokenize: the data set as ids and labels for one student, proven by an audit."""

import sys

from distill import layout, models, stage
from distill.config import Params
from distill.dataset.tokenize import describe, tokenize


def body(params: Params) -> stage.Result:
    """Tokenise, audit, say how many rows and tokens there are."""
    student = sys.argv[1]
    settings = params.student(student)
    report = tokenize(student, settings, models.read_revision(layout.base_name(student)), params.seed)
    return stage.Result(f"{describe(report)}, audit passed", report)


if __name__ == "__main__":
    stage.run(f"tokenize_{sys.argv[1]}", body)
