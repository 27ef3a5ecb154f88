"""kill -9 at random moments of a run: what had landed is neither lost nor asked again, and the export is the same.

    python benchmarks/kills.py --kills 100

A run of 6,000 samples against the faulty teacher of the tests is killed and started again, as `dvc repro` would, until
the kills are used up; then it runs to its end. A second cache is filled by one run that nobody disturbs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from fakes import TEACHER, FaultyTeacher, make_problems  # noqa: E402

PROBLEMS, SAMPLES, IN_FLIGHT = 1500, 4, 8


def sample(export: str) -> None:
    """One run, as generate does it: sample, then export."""
    from distill import shards
    from distill.generation.endpoint import Serving
    from distill.generation.sampler import sample_problems
    from distill.records import Trace
    from distill.settings import GenerateSettings, ServerSettings

    settings, serving = GenerateSettings(samples=SAMPLES, max_tokens=64), Serving("bfloat16", 1024, ServerSettings())
    sampled = sample_problems(make_problems(PROBLEMS), TEACHER, settings, serving, 17)
    shards.write_shards(Path(export), sampled.traces, Trace)


def landed(state: Path) -> set[int]:
    """The seed labels of the answers that are whole on disk."""
    lines = [line for path in state.rglob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return {json.loads(line)["seed_label"] for line in lines if b'"kind": "answer"' in line and line.endswith(b"}\n")}


def start(teacher: FaultyTeacher, state: Path) -> subprocess.Popen[bytes]:
    """A run in a process of its own."""
    environment = os.environ | {
        "DISTILL_TEACHER_URL": teacher.url, "DISTILL_CONCURRENCY": str(IN_FLIGHT), "DVC_ROOT": str(state)
    }  # fmt: skip
    command = [sys.executable, __file__, "--export", str(state / "export")]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def main() -> None:
    """Kill, go on, compare, print; exit 1 when anything was lost, asked again or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--export")
    args = parser.parse_args()
    if args.export:
        return sample(args.export)
    rng = random.Random(args.kills)
    lost = again = 0
    with tempfile.TemporaryDirectory() as folder, FaultyTeacher(delay_s=0.05) as teacher:
        killed, whole = Path(folder, "killed"), Path(folder, "whole")
        safe: dict[int, int] = {}  # label of a landed answer: how often it had been asked for when it was seen on disk
        for _ in range(args.kills):
            n_before, process = len(teacher.requests), start(teacher, killed)
            while len(teacher.requests) == n_before and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(0.1)  # the server finishes what it was writing to nobody
            found, asked = landed(killed), count(teacher)
            lost += len(set(safe) - found)
            safe |= {label: asked[label] for label in found - set(safe)}
        n_landed = len(safe)
        start(teacher, killed).wait()
        asked = count(teacher)
        again = sum(asked[label] > times for label, times in safe.items())
        start(teacher, whole).wait()
        same = exported(killed) == exported(whole) and bool(exported(whole))
    print(f"{args.kills} kills; {n_landed:,} answers had landed before the last: {lost} lost, {again} asked again; "
          f"export {'byte-identical to' if same else 'DIFFERENT from'} that of an undisturbed run")  # fmt: skip
    sys.exit(bool(lost or again or not same))


def count(teacher: FaultyTeacher) -> dict[int, int]:
    """How often each label was asked for."""
    found: dict[int, int] = {}
    for body in list(teacher.requests):
        found[body["seed"]] = found.get(body["seed"], 0) + 1
    return found


def exported(state: Path) -> dict[str, bytes]:
    """The export's files."""
    return {path.name: path.read_bytes() for path in (state / "export").glob("*.parquet")}


if __name__ == "__main__":
    main()
