"""Where everything lives, and who writes it. Paths are relative to the repository's root, where every stage runs."""

import os
from pathlib import Path

DATA = Path("data")
REVISIONS = DATA / "revisions"  # models: one JSON per model, its exact revision
TRAIN_PROBLEMS = DATA / "problems" / "train.parquet"  # problems
GIVEN_PROBLEMS = DATA / "problems" / "given.parquet"  # problems: those that come with their responses
EVAL_PROBLEMS = DATA / "problems" / "eval"  # problems: one Parquet file per split
BENCHMARKS = DATA / "benchmarks.json"  # problems: how each split is sampled, where its benchmark says so
TRACES = DATA / "traces"  # generate: Parquet shards
SAMPLING = DATA / "sampling.parquet"  # generate: why each problem was asked no more
VERDICTS = DATA / "verdicts"  # verify: Parquet shards
STORE = DATA / "store.duckdb"  # curate
FUNNEL = DATA / "funnel.json"  # curate
FUNNEL_BARS = DATA / "funnel.csv"  # curate: the same by source, for `dvc plots`
DATASET = DATA / "dataset"  # export
TOKENIZED = DATA / "tokenized"  # tokenize: one folder per student
STUDENTS = DATA / "students"  # train: one folder per student
SCORES = DATA / "scores"  # evaluate: one folder per model
REPORT = DATA / "report"  # report
METRICS = DATA / "metrics"  # every stage: what it measured of its run
SUMMARY = DATA / "report.json"  # report: the headline numbers, for `dvc metrics show`

TEACHER = "teacher"


def state_dir() -> Path:
    """What outlives a DVC output: paid answers, verdicts, checkpoints, logs.

    DVC sets DVC_ROOT to the main repository, also in the temporary copies of queued experiments, so they share it.
    """
    return Path(os.environ.get("DVC_ROOT", ".")) / ".distill"


def base_name(student: str) -> str:
    """The name under which a student's base model is scored."""
    return f"{student}_base"
