"""curate: problems, traces and verdicts into one DuckDB store, and the funnel."""

import json

from distill import layout, stage
from distill.config import Params
from distill.curation import funnel, store


def body(params: Params) -> stage.Result:
    """Build the store, measure the funnel."""
    splits = {path.stem: path for path in sorted(layout.EVAL_PROBLEMS.glob("*.parquet"))}
    problems = {"train": layout.TRAIN_PROBLEMS} | splits
    store.build(layout.STORE, problems, layout.TRACES, layout.VERDICTS, params.curate)
    with store.open_store(layout.STORE) as connection:
        measured = funnel.measure(connection)
    layout.FUNNEL.write_text(json.dumps(measured, indent=2) + "\n")
    kept, traces = funnel.count(measured, "kept"), funnel.count(measured, "traces")
    size = layout.STORE.stat().st_size / 1e6
    return stage.Result(f"{traces:,} traces in the store ({size:.1f} MB), nothing against {kept:,} of them")


if __name__ == "__main__":
    stage.run("curate", body)
