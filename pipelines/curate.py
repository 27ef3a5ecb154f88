"""curate: problems, traces and verdicts into one DuckDB store, and the funnel."""

from distill import layout, stage
from distill.config import Params
from distill.curation import build, funnel, store
from distill.problems.sources import GIVEN


def body(params: Params) -> stage.Result:
    """Build the store, measure the funnel."""
    splits = {path.stem: path for path in sorted(layout.EVAL_PROBLEMS.glob("*.parquet"))}
    problems = {"train": layout.TRAIN_PROBLEMS, GIVEN: layout.GIVEN_PROBLEMS} | splits
    build.build(layout.STORE, problems, layout.TRACES, layout.VERDICTS, params.curate)
    with store.open_store(layout.STORE) as connection:
        measured = funnel.measure(connection)
        funnel.write_bars(connection, layout.FUNNEL_BARS)
    funnel.write(measured, layout.FUNNEL)
    traces, correct, kept = (funnel.count(measured, step) for step in ("traces", "correct", "kept"))
    n_problems = funnel.count(measured, "gradable problems")
    size = layout.STORE.stat().st_size / 1e6
    line = f"{traces:,} traces of {n_problems:,} problems in the store ({size:.1f} MB); {correct:,} correct"
    dropped = sum(rules.get("dropped", 0) for rules in measured["contamination"].values())
    leaks = f"; {dropped:,} problems are asked by an evaluation too" if dropped else ""
    return stage.Result(f"{line}, nothing against {kept:,}{leaks}")


if __name__ == "__main__":
    stage.run("curate", body)
