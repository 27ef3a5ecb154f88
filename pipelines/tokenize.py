"""tokenize: the data set as ids and labels for one student, proven by an audit."""

import sys

from distill import layout, models, stage
from distill.config import Params
from distill.dataset.tokenize import describe, tokenize

STUDENT = sys.argv[1] if len(sys.argv) > 1 else ""  # one without a name is refused as an unknown one


def body(params: Params) -> stage.Result:
    """Tokenise, audit, say how many rows and tokens there are."""
    settings = params.student(STUDENT)
    report = tokenize(STUDENT, settings, models.read_revision(layout.base_name(STUDENT)), params.seed)
    return stage.Result(f"{describe(report)}, audit passed", report)


if __name__ == "__main__":
    stage.run(f"tokenize_{STUDENT}", body)
