r"""Curation and export at scale: the real stages over made traces of 16,000 characters, with faults planted in them.

    python benchmarks/scale.py                      50,000, 200,000 and 800,000 traces; the last needs 36 GB of disk
    python benchmarks/scale.py --n 50000 --peers    and the two searches beside their peers, see `scale_peers.py`

Verdicts are given, so `curate` and `export` are what is timed, each as a process of its own that starts cold; the
second `curate` finds every trace measured. Memory is the most that a stage and its children held together. What
`made_traces.py` planted is looked for in the store, and so is what it did not plant; the exit code is 1 when an exact
copy or an exact leak is missed. Everything lies in a temporary folder that is deleted at the end.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import scale_peers

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
SIZES = [50_000, 200_000, 800_000]
BYTES_PER_TRACE = 45_000  # of disk: texts in Parquet, in the store and in the data set, and what curate keeps
BYTES_OF_PEERS = 60_000  # per trace: the rows as Arrow files, twice
COLUMNS = [
    "traces", "GB of text", "curate s", "export s", "second curate s", "curate GiB", "export GiB", "store GB",
    "data set GB", "kept", "planted found",
]  # fmt: skip


def say(text: str) -> None:
    """Progress goes to stderr, the tables to stdout."""
    print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------ the stages


@dataclass(frozen=True, slots=True)
class Run:
    """One stage: wall seconds, and the most memory that all its processes held together."""

    seconds: float
    peak_gib: float


def run_stage(name: str, workspace: Path) -> Run:
    """Run a stage as DVC does, its tree's memory sampled ten times a second."""
    env = os.environ | {"DVC_ROOT": str(workspace), "PYTHONPATH": str(REPOSITORY)}
    peak, started = 0, time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{name}"], cwd=workspace, env=env, stdout=sys.stderr
    ) as process:
        try:
            while process.returncode is None:
                peak = max(peak, held(process.pid))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            seconds = time.perf_counter() - started
        finally:  # a stage that is interrupted tidies up first
            process.terminate()
            process.wait()
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    return Run(seconds, peak / 2**30)


def held(pid: int) -> int:
    """Resident bytes of a process and all its children."""
    import psutil

    total, root = 0, psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def write_params(workspace: Path) -> None:
    """The laptop's params with the limits that are measured."""
    from ruamel.yaml import YAML

    from distill import config

    yaml = YAML()
    tree = yaml.load(REPOSITORY / "pipelines/profiles/laptop.yaml")
    tree["curate"] |= {"memory_limit": "4GB", "threads": 2}
    yaml.dump(tree, workspace / config.PARAMS_FILE)
    config.load(workspace / config.PARAMS_FILE)


def size_of(path: Path) -> float:
    """GB of a file or a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e9


def measure(n: int, folder: Path, peers: Callable[[Path], None] | None) -> tuple[list[str], "list[Found]"]:
    """Make n traces, run the stages on them, and look for what was planted: a row of the table, and the findings."""
    from made_traces import make

    from distill import layout
    from distill.curation.inspect import run_query

    with tempfile.TemporaryDirectory(prefix="distill-scale-", dir=folder) as name:
        workspace, started = Path(name), time.perf_counter()
        write_params(workspace)
        made = make(workspace, n)
        seconds = time.perf_counter() - started
        say(f"made {made.n_traces:,} traces in {seconds:.0f} s, {made.n_bytes / 1e6 / seconds:.0f} MB of text a second")
        first, export, second = (run_stage(stage, workspace) for stage in ("curate", "export", "curate"))
        store = workspace / layout.STORE
        _, [(kept,)] = run_query(store, "SELECT count(*) FROM kept")
        found = look_for(store, made)
        row = [
            f"{made.n_traces:,}", f"{made.n_bytes / 1e9:.2f}", f"{first.seconds:.0f}", f"{export.seconds:.0f}",
            f"{second.seconds:.0f}", f"{max(first.peak_gib, second.peak_gib):.2f}", f"{export.peak_gib:.2f}",
            f"{size_of(store):.2f}", f"{size_of(workspace / layout.DATASET):.2f}", f"{kept:,}",
            f"{sum(kind.n_found for kind in found):,} of {sum(kind.n_planted for kind in found):,}",
        ]  # fmt: skip
        say(f"the workspace holds {1e6 * size_of(workspace) / made.n_traces:.1f} kB a trace")
        if peers:
            peers(workspace)
    return row, found


# ------------------------------------------------------------------ what was planted


@dataclass(frozen=True, slots=True)
class Found:
    """How many of a planted kind were found, and how often the same was said of what nobody planted."""

    kind: str
    n_found: int
    n_planted: int
    false_alarms: int
    required: bool = False


def look_for(store: Path, made: Any) -> list[Found]:
    """Everything planted, in the tables of a store."""
    return [*_copies(store, made), *_leaks(store, made), *_faulty(store, made)]


def _copies(store: Path, made: Any) -> Iterator[Found]:
    from distill.curation.inspect import run_query

    _, rows = run_query(store, "SELECT kind, id, kept_id, exact FROM duplicates")
    kept = {name: kept_id for kind, name, kept_id, _ in rows if kind == "trace"}
    for kind, pairs, is_exact in (("exact copies", made.exact, True), ("near copies", made.near, False)):
        planted = {frozenset(pair) for pair in pairs}
        n_found = sum(kept.get(one, one) == kept.get(other, other) for one, other in pairs)
        said = [row for row in rows if row[0] == "trace" and row[3] == is_exact]
        false_alarms = sum(frozenset((name, kept_id)) not in planted for _, name, kept_id, _ in said)
        yield Found(kind, n_found, len(pairs), false_alarms, required=is_exact)
    yield Found("copies of problems", 0, 0, sum(kind == "problem" for kind, *_ in rows))


def _leaks(store: Path, made: Any) -> Iterator[Found]:
    """Exact leaks by the rule exact, embedded ones by an ngram_13 that drops its problem; a template's does not."""
    from distill.curation.inspect import run_query

    _, rows = run_query(store, "SELECT problem_id, rule, decides FROM contamination")
    exact = {name for name, rule, _ in rows if rule == "exact"}
    run = {name for name, rule, decides in rows if rule == "ngram_13" and decides}
    dropped = {name for name, _, decides in rows if decides}
    yield Found("exact leaks", len(exact & made.leaked), len(made.leaked), len(exact - made.leaked), required=True)
    false_alarms = len(dropped - made.leaked - made.embedded)
    yield Found("embedded leaks", len(run & made.embedded), len(made.embedded), false_alarms)


def _faulty(store: Path, made: Any) -> Iterator[Found]:
    from distill.curation.inspect import run_query
    from distill.settings import CheckSettings

    limit = CheckSettings()
    repeated = f"tail_ratio < {limit.tail_ratio} OR repeated_share > {limit.repeated_share}"
    for kind, planted, test in (
        ("mixed languages", made.mixed, f"foreign_share > {limit.foreign_share}"),
        ("looping tails", made.looping, repeated),
    ):
        _, rows = run_query(store, f"SELECT trace_id FROM checks WHERE {test}")
        said = {name for (name,) in rows}
        yield Found(kind, len(said & set(planted)), len(planted), len(said - set(planted)))


# ------------------------------------------------------------------ all sizes


def enough_disk(n: int, folder: Path, with_peers: bool) -> bool:
    """Whether n traces fit on the disk; says what is needed where they do not."""
    needed = n * (BYTES_PER_TRACE + with_peers * BYTES_OF_PEERS)
    free = shutil.disk_usage(folder).free
    say(f"{n:,} traces need {needed / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free in {folder}")
    return needed < free


def main() -> None:
    """Measure every size, print the table and then what was found of what was planted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=SIZES, help="how many traces; several sizes one by one")
    parser.add_argument("--peers", action="store_true", help="on the traces of the first size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the disk is")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the workspace is deleted then too
    if args.peers:
        scale_peers.install()
    findings: dict[str, list[Found]] = {}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---:|' * len(COLUMNS)}", flush=True)
    for place, n in enumerate(args.n):
        peers = partial(scale_peers.compare, rounds=args.rounds) if args.peers and place == 0 else None
        if enough_disk(n, args.folder, bool(peers)):
            row, findings[f"{n:,}"] = measure(n, args.folder, peers)
            print(f"| {' | '.join(row)} |", flush=True)
    print("\n| traces | planted | found | of | said of others |\n|---:|---|---:|---:|---:|")
    for size, found in findings.items():
        for kind in found:
            print(f"| {size} | {kind.kind} | {kind.n_found:,} | {kind.n_planted:,} | {kind.false_alarms:,} |")
    missed = [kind for found in findings.values() for kind in found if kind.required and kind.n_found < kind.n_planted]
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; what was made is deleted")
