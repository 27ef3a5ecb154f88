"""tokenize: the data set as ids and labels for one student, proven by an audit, and a page that shows both."""

import sys

from distill import layout, models, stage
from distill.config import Params
from distill.dataset.chat import load_chat
from distill.dataset.tokenize import describe, tokenize
from distill.report import tokens

STUDENT = sys.argv[1] if len(sys.argv) > 1 else ""  # one without a name is refused as an unknown one


def body(params: Params) -> stage.Result:
    """Tokenise, audit, draw the page, say how many rows and tokens there are."""
    settings, base = params.student(STUDENT), models.read_revision(layout.base_name(STUDENT))
    report = tokenize(STUDENT, settings, base, params.seed)
    tokens.write(STUDENT, base, load_chat(base), report, params.seed)
    metrics = {name: value for name, value in report.items() if name != "probe"}
    return stage.Result(f"{describe(report)}, audit passed", metrics)


if __name__ == "__main__":
    stage.run(f"tokenize_{STUDENT}", body)
