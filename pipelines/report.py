"""report: one page, one JSON file and the tables with everything in them."""

import json

from distill import layout, stage
from distill.config import Params
from distill.report import numbers, page
from distill.report.summary import open_summary


def body(params: Params) -> stage.Result:
    """Collect the numbers; write the page and the tables."""
    with open_summary(params) as (summary, connection):
        path = page.write(summary, connection)
    numbers.write_tables(summary.tables, layout.REPORT / "tables")
    layout.SUMMARY.write_text(json.dumps(summary.headline_numbers(), indent=2) + "\n")
    return stage.Result(f"{path} ({path.stat().st_size / 1000:,.0f} kB)")


if __name__ == "__main__":
    stage.run("report", body)
