r"""The two searches of curation beside the peers', on the workspace that `scale.py --peers` made.

Contamination: 8-grams of words in lower case, looked up by `datasets.map` in two processes over rows that hold
a problem and a text, as open-r1's decontaminate.py does, though in one pass over all benchmarks; ours reads each
problem once. Copies: datasketch, installed into `.venv.datasketch`, over the same 5-grams of the same traces, each
side one thread of a process of its own. Figures are medians of the rounds, sides in turn.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PEER = REPOSITORY / ".venv.datasketch/bin/python"
NEAR_PROBLEMS = 750  # 6,000 traces


def say(text: str) -> None:
    """Progress goes to stderr, the table to stdout."""
    print(text, file=sys.stderr, flush=True)


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
    from distill.curation.contamination import find
    from distill.curation.phrases import Question
    from distill.records import Problem
    from distill.settings import ContaminationSettings

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
        "8-grams": lambda: find(train, benchmarks, ContaminationSettings(rules=["ngram_8"], drop_by=["ngram_8"])),
        "rows": lambda: theirs(rows),
        "problems": lambda: theirs(problems),
    }
    seconds, found = timed(sides, rounds)
    hits = {(hit.problem_id, hit.benchmark) for hit in found["ours"] if hit.rule == "ngram_8"}
    print(
        f"contamination, {len(rows):,} rows of {len(train):,} problems against {sum(map(len, benchmarks.values())):,}"
    )
    for what, side in (("8-grams", "8-grams"), ("all four rules", "ours")):
        row, mapped = (1e6 * seconds[name] / len(rows) for name in (side, "rows"))
        print(f"  a row      ours, {what}: {row:.1f} us, datasets.map {mapped:.1f} us: {mapped / row:.1f} x")
        one, other = (1e6 * seconds[name] / len(train) for name in (side, "problems"))
        print(f"  a problem  ours, {what}: {one:.1f} us, datasets.map {other:.1f} us: {other / one:.1f} x")
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
    from distill.settings import CurateSettings

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
    command = [python, __file__, side, str(texts), str(threshold)]
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


if __name__ == "__main__":
    be_side(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
