"""report: the page, the tables behind it, each student's card with its results, and the headline as JSON."""

import json

from distill import layout, stage
from distill.config import Params
from distill.report import model_card, numbers, page
from distill.report.summary import open_summary


def body(params: Params) -> stage.Result:
    """Collect the numbers; write the page, the cards and the tables."""
    with open_summary(params) as (summary, connection):
        path = page.write(summary, connection)
    for student in params.students:
        model_card.write(summary, student)
    numbers.write_tables(summary.tables, layout.REPORT / "tables")
    layout.SUMMARY.write_text(json.dumps(summary.headline_numbers(), indent=2) + "\n")
    return stage.Result(f"{path} ({path.stat().st_size / 1000:,.0f} kB)")


if __name__ == "__main__":
    stage.run("report", body)
