"""The report's page over a store of R1's size: seconds, memory, megabytes.

    python benchmarks/page.py [--n 800000] [--folder DIR]

A store of 8,000 made traces of 16 kB is built as curate builds it, then multiplied in SQL: every row again under
other ids, still in their order. Three models answer 1,000 evaluation problems, four samples each. The report stage is
then run as DVC runs it. What was made is deleted at the end.
"""

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from made_traces import make
from scale import Run, run_stage, say, size_of

from distill import config, layout, shards
from distill.config import Params
from distill.models import ModelRevision, write_revision
from distill.problems.sources import GIVEN
from distill.records import Problem, Score, Trace, Verdict, trace_id
from distill.settings import CurateSettings

REPOSITORY = Path(__file__).resolve().parents[1]
PROFILE = REPOSITORY / "pipelines/profiles/smoke.yaml"
SEED_TRACES = 8_000
BYTES_PER_TRACE = 6_500  # of the store on disk
BYTES_OF_SEED = 1_000_000_000
SAMPLES = 4
MODELS = ("tiny_qwen_base", "tiny_qwen", "teacher")
IDS = {
    "problems": ("id",),
    "traces": ("id", "problem_id"),
    "texts": ("trace_id",),
    "verdicts": ("trace_id",),
    "checks": ("trace_id",),
    "selections": ("trace_id",),
    "duplicates": ("id", "kept_id"),
    "contamination": ("problem_id",),
}
GENERATED = {"wall_s": 1.0, "tokens_per_second": 1.0, "sampled": 1, "prompt_tokens": 1, "completion_tokens": 1}


def make_store(n: int) -> None:
    """A store of n traces in the current folder, with the funnel that curate measures of it."""
    from distill.curation import build, funnel
    from distill.curation.store import create_store, open_store

    problems = {"train": layout.TRAIN_PROBLEMS, GIVEN: layout.GIVEN_PROBLEMS}
    problems |= {path.stem: path for path in sorted(layout.EVAL_PROBLEMS.glob("*.parquet"))}
    settings = CurateSettings(memory_limit="4GB", threads=2)
    build.build(layout.STORE, problems, layout.TRACES, layout.VERDICTS, settings)
    with create_store(layout.STORE, Path("spill"), settings) as connection:
        for copy in range(1, n // SEED_TRACES):
            for table, columns in IDS.items():
                connection.execute(_again(table, columns, copy))
    with open_store(layout.STORE) as connection:
        layout.FUNNEL.write_text(json.dumps(funnel.measure(connection)))


def _again(table: str, columns: tuple[str, ...], copy: int) -> str:
    """An INSERT of a table's own rows under ids that begin with the copy's number, in order behind all others."""
    renamed = ", ".join(f"format('~{copy:05d}{{}}', {column}) AS {column}" for column in columns)
    trained = " AND split = 'train'" if table == "problems" else ""
    own = f"{columns[0]} < '~'{trained} ORDER BY {columns[0]}"
    return f"INSERT INTO {table} SELECT * REPLACE ({renamed}) FROM {table} WHERE {own}"


def make_answers() -> None:
    """Scores, answers and verdicts of three models; the words are those of the made traces."""
    verdicts = {row.trace_id: row for row in shards.read_rows(layout.VERDICTS, Verdict)}
    words = [(row, verdicts[row.id]) for row in shards.read_rows(layout.TRACES, Trace)]
    splits = {path.stem: shards.read_rows(path, Problem) for path in sorted(layout.EVAL_PROBLEMS.glob("*.parquet"))}
    asked = [(name, problem) for name, split in splits.items() for problem in split]
    for place, model in enumerate(MODELS):
        rows = []
        for index, (benchmark, problem) in enumerate(asked):
            for sample in range(SAMPLES):
                written, said = words[(index * SAMPLES + sample + place * 997) % len(words)]
                name = trace_id(problem.id, sample, model)
                trace = replace(written, id=name, problem_id=problem.id, sample_index=sample, model=model)
                rows.append((benchmark, trace, replace(said, trace_id=name)))
        _write_answers(layout.SCORES / model, model, rows)
        write_revision(ModelRevision(model, model, None, "made"))


def _write_answers(folder: Path, model: str, rows: list[tuple[str, Trace, Verdict]]) -> None:
    scores = [
        Score(
            trace_id=trace.id, model=model, benchmark=benchmark, problem_id=trace.problem_id,
            sample_index=trace.sample_index, verdict=said.verdict, extracted=said.extracted,
            completion_tokens=trace.completion_tokens, finish_reason=trace.finish_reason,
        )
        for benchmark, trace, said in rows
    ]  # fmt: skip
    shards.write_shards(folder / "traces", [trace for _, trace, _ in rows], Trace)
    shards.write_file(folder / "verdicts.parquet", [said for *_, said in rows], Verdict)
    shards.write_file(folder / "scores.parquet", scores, Score)


def make_run(n: int) -> Params:
    """All that the report reads, in the current folder."""
    shutil.copy(PROFILE, config.PARAMS_FILE)
    make(Path(), SEED_TRACES)
    make_store(n)
    make_answers()
    layout.METRICS.mkdir(parents=True, exist_ok=True)
    (layout.METRICS / "generate.json").write_text(json.dumps(GENERATED))
    card = layout.STUDENTS / "tiny_qwen" / "README.md"
    card.parent.mkdir(parents=True)
    card.write_text("---\ntags: [reasoning]\n---\n\n# tiny_qwen\n")
    return config.load()


def draw(params: Params) -> float:
    """Seconds of the trace browser's part alone."""
    from distill.curation.store import open_store
    from distill.report import browser

    started = time.perf_counter()
    with open_store(layout.STORE) as store:
        browser.section(store, params)
    return time.perf_counter() - started


def measure(n: int, folder: Path) -> tuple[Run, float, float]:
    """The report stage over n traces: the run, the seconds that drawing takes, and the megabytes of store and page."""
    with tempfile.TemporaryDirectory(prefix="distill-page-", dir=folder) as name, contextlib.chdir(name):
        started = time.perf_counter()
        params = make_run(n)
        say(f"made {n:,} traces in {time.perf_counter() - started:.0f} s; the store has {size_of(layout.STORE):.2f} GB")
        run = run_stage("report", Path(name))
        return run, draw(params), 1000 * size_of(layout.REPORT / "index.html")


def main() -> None:
    """Make, measure, print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=800_000, help=f"how many traces, in {SEED_TRACES:,}s")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the disk is")
    args = parser.parse_args()
    needed, free = BYTES_OF_SEED + args.n * BYTES_PER_TRACE, shutil.disk_usage(args.folder).free
    if needed > free:
        sys.exit(f"{args.n:,} traces need {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free in {args.folder}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the workspace is deleted then too
    run, seconds, megabytes = measure(args.n, args.folder)
    print(
        f"{args.n:,} traces: report {run.seconds:.1f} s (the trace browser {seconds:.1f} s), "
        f"{run.peak_gib:.2f} GiB at most, page {megabytes:.2f} MB"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; what was made is deleted")
