"""report: one page and one JSON file with everything in them."""

import json

from distill import layout, stage
from distill.config import Params
from distill.curation.store import open_store
from distill.report import page
from distill.report.summary import collect


def body(params: Params) -> stage.Result:
    """Collect the numbers, write the page."""
    summary = collect(params)
    with open_store(layout.STORE) as store:
        path = page.write(summary, store)
    layout.SUMMARY.write_text(json.dumps(summary.headline_numbers(), indent=2) + "\n")
    return stage.Result(f"{path} ({path.stat().st_size / 1000:,.0f} kB)")


if __name__ == "__main__":
    stage.run("report", body)
