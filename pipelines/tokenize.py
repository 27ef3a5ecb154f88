"""tokenize: the data set as ids and labels for one student, proven by an audit."""

import sys

from distill import layout, models, stage
from distill.config import Params
from distill.dataset.tokenize import tokenize


def body(params: Params) -> stage.Result:
    """Tokenise, audit, say how many rows and tokens there are."""
    student = sys.argv[1]
    base = models.read_revision(layout.base_name(student))
    report = tokenize(student, params.student(student), base, params.seed)
    dropped = sum(report["too_long_by_source"].values())
    cut = f", {dropped:,} too long and left out" if dropped else ""
    line = f"{report['rows']:,} rows, {report['trained_tokens']:,} trained tokens of {report['tokens']:,}{cut}; audit passed"
    return stage.Result(line, report)


if __name__ == "__main__":
    stage.run(f"tokenize_{sys.argv[1]}", body)
