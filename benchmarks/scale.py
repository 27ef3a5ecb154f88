r"""Curation and export at scale: the real stages over made traces of 16,000 characters, with faults planted in them.

    python benchmarks/scale.py                      50,000, 200,000 and 800,000 traces; the last needs 36 GB of disk
    python benchmarks/scale.py --n 50000 --peers    and the two searches beside open-r1's and datasketch

Verdicts are given, so `curate` and `export` are what is timed, each as a process of its own that starts cold; the
second `curate` finds every trace measured. Memory is the most that a stage and its children held together. What
`made_traces.py` planted is looked for in the store, and so is what it did not plant; the exit code is 1 when an exact
copy or an exact leak is missed. Everything lies in a temporary folder that is deleted at the end.

Peers. Contamination: 8-grams of words in lower case, looked up by `datasets.map` in two processes over rows that hold
a problem and a text, as open-r1's decontaminate.py does, though in one pass over all benchmarks; ours reads each
problem once. Copies: datasketch, installed into `.venv.datasketch`, over the same 5-grams of the same traces, each
side one thread of a process of its own. Figures are medians of the rounds, sides in turn.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
PEER = REPOSITORY / ".venv.datasketch/bin/python"
SIZES = [50_000, 200_000, 800_000]
BYTES_PER_TRACE = 45_000  # of disk: texts in Parquet, in the store and in the data set, and what curate keeps
BYTES_OF_PEERS = 60_000  # per trace: the rows as Arrow files, twice
NEAR_PROBLEMS = 750  # 6,000 traces
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
    from distill.config import CheckSettings
    from distill.curation.inspect import run_query

    limit = CheckSettings()
    repeated = f"tail_ratio < {limit.tail_ratio} OR repeated_share > {limit.repeated_share}"
    for kind, planted, test in (
        ("mixed languages", made.mixed, f"foreign_share > {limit.foreign_share}"),
        ("looping tails", made.looping, repeated),
    ):
        _, rows = run_query(store, f"SELECT trace_id FROM checks WHERE {test}")
        said = {name for (name,) in rows}
        yield Found(kind, len(said & set(planted)), len(planted), len(said - set(planted)))


# ------------------------------------------------------------------ beside the peers


def compare(workspace: Path, rounds: int) -> None:
    """Both searches beside the peers', on one workspace's traces."""
    contamination(workspace, rounds)
    near_copies(workspace, rounds)


def timed(sides: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each side, in turn, and what each returned last."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    returned = {}
    for number in range(rounds):
        for name, side in sides.items():
            started = time.perf_counter()
            returned[name] = side()
            seconds[name].append(time.perf_counter() - started)
            say(f"round {number + 1}: {name} {seconds[name][-1]:.2f} s")
    return {name: statistics.median(found) for name, found in seconds.items()}, returned


def contamination(workspace: Path, rounds: int) -> None:
    """Per row and per problem, ours beside open-r1's way."""
    import datasets

    from distill import layout, shards
    from distill.config import ContaminationSettings
    from distill.curation.contamination import find
    from distill.curation.phrases import Question
    from distill.records import Problem

    def questions(path: Path) -> list[Question]:
        return [Question(row.id, row.prompt) for row in shards.read_rows(workspace / path, Problem)]

    train = questions(layout.TRAIN_PROBLEMS)
    splits = sorted((workspace / layout.EVAL_PROBLEMS).glob("*.parquet"))
    benchmarks = {path.stem: questions(path.relative_to(workspace)) for path in splits}
    marks = marker({name: [question.text for question in found] for name, found in benchmarks.items()})
    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_parquet(str(row_file(workspace, train)), cache_dir=str(workspace / "rows"))
    problems = datasets.Dataset.from_list([{"problem_id": question.id, "problem": question.text} for question in train])

    def theirs(data: Any) -> set[tuple[str, str]]:
        marked = data.map(marks, num_proc=2, load_from_cache_file=False)
        names = marked["problem_id"]
        hits = {(names[i], name) for name in benchmarks for i, hit in enumerate(marked[f"contaminated_{name}"]) if hit}
        data.cleanup_cache_files()
        return hits

    settings = ContaminationSettings()
    find(train[:8], benchmarks, settings)  # imports are not in the time
    sides = {
        "ours": lambda: find(train, benchmarks, settings),
        "rows": lambda: theirs(rows),
        "problems": lambda: theirs(problems),
    }
    seconds, found = timed(sides, rounds)
    hits = {(hit.problem_id, hit.benchmark) for hit in found["ours"] if hit.rule == "ngram_8"}
    row, mapped = (1e6 * seconds[name] / len(rows) for name in ("ours", "rows"))
    print(
        f"contamination, {len(rows):,} rows of {len(train):,} problems against {sum(map(len, benchmarks.values())):,}"
    )
    print(f"  a row      ours {row:.1f} us, datasets.map {mapped:.1f} us: {mapped / row:.1f} x")
    one, other = (1e6 * seconds[name] / len(train) for name in ("ours", "problems"))
    print(f"  a problem  ours {one:.1f} us, datasets.map {other:.1f} us: {other / one:.1f} x (four rules against one)")
    for what, width in (("problems", 1), ("problem and benchmark", 2)):
        both, mine, its = differences({hit[:width] for hit in hits}, {hit[:width] for hit in found["rows"]})
        print(f"  8-grams    {what}: {both:,} by both, {mine:,} by ours alone, {its:,} by open-r1's alone", flush=True)


def differences(ours: set[Any], theirs: set[Any]) -> tuple[int, int, int]:
    """How many are in both, and in one alone."""
    return len(ours & theirs), len(ours - theirs), len(theirs - ours)


def marker(benchmarks: dict[str, list[str]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Marks a row whose problem shares eight words in a row with a benchmark."""

    def grams(text: str) -> set[str]:
        words = text.lower().split()
        return {" ".join(words[start : start + 8]) for start in range(len(words) - 7)}

    lookups = {name: set().union(*map(grams, texts)) for name, texts in benchmarks.items()}

    def mark(row: dict[str, Any]) -> dict[str, Any]:
        found = grams(row["problem"])
        for name, lookup in lookups.items():
            row[f"contaminated_{name}"] = any(gram in lookup for gram in found)
        return row

    return mark


def row_file(workspace: Path, train: Sequence[Any]) -> Path:
    """The traces as a data set has them: each with its problem and its text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    prompts, path = {question.id: question.text for question in train}, workspace / "rows.parquet"
    schema = pa.schema([(name, pa.string()) for name in ("problem_id", "problem", "generation")])
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches(workspace):
            problems = [prompts[name] for name in batch["problem_id"].to_pylist()]
            writer.write_table(pa.table([batch["problem_id"], problems, batch["text"]], schema=schema))
    return path


def batches(workspace: Path) -> Iterator[Any]:
    """The problems and texts of all traces, a row group at a time."""
    import pyarrow.parquet as pq

    from distill import layout, shards

    for path in sorted((workspace / layout.TRACES).glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(shards.ROW_GROUP_SIZE, columns=["problem_id", "text"])


def near_copies(workspace: Path, rounds: int) -> None:
    """Milliseconds a trace, ours beside datasketch, and whether the pairs are the same."""
    from distill.config import CurateSettings

    texts = workspace / "texts.json"
    groups: dict[str, list[str]] = {}
    for batch in batches(workspace):
        for problem, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            groups.setdefault(problem, []).append(text)
    chosen = [groups[problem] for problem in sorted(groups)[:NEAR_PROBLEMS]]
    texts.write_text(json.dumps(chosen))
    n = sum(map(len, chosen))
    sides: dict[str, list[dict[str, Any]]] = {"ours": [], "datasketch": []}
    for number in range(rounds):
        for side, found in sides.items():
            python = sys.executable if side == "ours" else str(PEER)
            found.append(in_process(python, side, texts, CurateSettings().near_duplicate))
            say(f"round {number + 1}: {side} {found[-1]['seconds']:.2f} s")
    ours, theirs = (1e3 * statistics.median(run["seconds"] for run in found) / n for found in sides.values())
    both, mine, its = differences(*({tuple(pair) for pair in found[-1]["pairs"]} for found in sides.values()))
    print(f"near copies, {n:,} traces of {len(chosen):,} problems")
    print(f"  a trace    ours {ours:.2f} ms, datasketch {theirs:.2f} ms: {theirs / ours:.1f} x")
    print(f"  pairs      {both:,} by both, {mine:,} by ours alone, {its:,} by datasketch's alone", flush=True)


def in_process(python: str, side: str, texts: Path, threshold: float) -> dict[str, Any]:
    """Run one side in a process of its own, with one thread."""
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [python, __file__, "--side", side, "--texts", str(texts), "--threshold", str(threshold)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def install() -> None:
    """Put datasketch into an environment of its own, which nothing else needs, unless it is there."""
    if not PEER.exists():
        subprocess.run([sys.executable, "-m", "venv", PEER.parent.parent], check=True)
    if subprocess.run([PEER, "-c", "import datasketch"], capture_output=True, check=False).returncode:
        say("installing datasketch")
        subprocess.run([PEER, "-m", "pip", "install", "--quiet", "datasketch"], check=True)


def our_pairs(problems: list[list[str]], threshold: float) -> list[tuple[int, int, int]]:
    """Signatures of many texts at once, clusters within each problem, as `curate` does it."""
    from distill.curation.duplicates import cluster
    from distill.curation.quality import signatures

    found, start = [], 0
    rows = signatures([text for texts in problems for text in texts])
    for number, texts in enumerate(problems):
        copies = cluster(rows[start : start + len(texts)], threshold)
        found += [(number, kept, copy) for copy, kept, _ in copies]
        start += len(texts)
    return found


def their_pairs(problems: list[list[str]], threshold: float) -> list[tuple[int, int, int]]:
    """datasketch as its documentation has it: a MinHash a text, an index a problem, the similarity of what it finds."""
    from datasketch import MinHash, MinHashLSH

    found = []
    for number, texts in enumerate(problems):
        index, seen = MinHashLSH(threshold=threshold, num_perm=128), []
        for position, text in enumerate(texts):
            words, signature = text.split(), MinHash(num_perm=128)
            signature.update_batch({" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)})
            near = [other for other in index.query(signature) if seen[other].jaccard(signature) >= threshold]
            found += [(number, other, position) for other in near]
            index.insert(position, signature)
            seen.append(signature)
    return found


def be_side(side: str, texts: Path, threshold: float) -> None:
    """Warm up with one problem, then measure."""
    search = {"ours": our_pairs, "datasketch": their_pairs}[side]
    problems = json.loads(texts.read_text())
    search(problems[:1], threshold)
    started = time.perf_counter()
    pairs = search(problems, threshold)
    print(json.dumps({"seconds": time.perf_counter() - started, "pairs": pairs}))


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
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threshold", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        return be_side(args.side, args.texts, args.threshold)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the workspace is deleted then too
    if args.peers:
        install()
    findings: dict[str, list[Found]] = {}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---:|' * len(COLUMNS)}", flush=True)
    for place, n in enumerate(args.n):
        peers = partial(compare, rounds=args.rounds) if args.peers and place == 0 else None
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
