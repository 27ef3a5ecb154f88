"""Killing evaluate at any moment costs nothing that had landed, and the scores are those of a run left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import known
import pytest
import workspace
from fakes import FaultyTeacher

from distill import config, layout

IN_FLIGHT = 4
DELAY_S = 0.02


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyTeacher]:
    """A teacher of known acts that takes its time, and a workspace with problems to evaluate it on."""
    known.prepare(tmp_path, monkeypatch)
    params = config.load()
    known.run("models", params)
    known.run("problems", params)
    problems = known.read_problems()
    with FaultyTeacher(delay_s=DELAY_S) as teacher:
        teacher.script = known.script(known.plan(problems, params), problems, params, with_faults=False)
        yield teacher


def start(server: FaultyTeacher, state: Path) -> subprocess.Popen[bytes]:
    """`python -m pipelines.evaluate teacher`, as DVC runs it, with its cache in `state`."""
    environment = os.environ | {
        "PYTHONPATH": str(workspace.ROOT),
        "DISTILL_TEACHER_URL": server.url,
        "DISTILL_CONCURRENCY": str(IN_FLIGHT),
        "DVC_ROOT": str(state),
    }
    command = [sys.executable, "-m", "pipelines.evaluate", "teacher"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def landed(state: Path) -> set[int]:
    """The seed labels of the answers that are whole on disk."""
    lines = [line for path in state.rglob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return {json.loads(line)["seed_label"] for line in lines if b'"kind": "answer"' in line and line.endswith(b"}\n")}


def served(server: FaultyTeacher) -> Counter[int]:
    """How often each seed label was answered whole."""
    return Counter({seed: n for (_, seed), n in dict(server.served).items()})


def scores() -> dict[str, bytes]:
    """The files of the teacher's scores, by their paths."""
    folder = layout.SCORES / layout.TEACHER
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def moments(n_samples: int) -> list[Callable[[FaultyTeacher], bool]]:
    """When to kill: before anything is asked, after so many answers in all, and while the last are graded."""
    rng = random.Random(n_samples)
    counts = [1, *sorted(rng.sample(range(2, n_samples - IN_FLIGHT), 3)), n_samples - 1]
    reached = [lambda server, n=n: len(server.served) >= n for n in counts]
    return [lambda _: True, *reached, lambda server: len(server.served) == n_samples]


@pytest.mark.timeout(180)
def test_kills_lose_nothing_and_ask_nothing_twice(server: FaultyTeacher, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    n_samples = 10 * 4 + 6 * 2
    safe: dict[int, int] = {}  # by label of a landed answer, how often it had been answered when it was seen on disk
    for index, due in enumerate(moments(n_samples)):
        process = start(server, killed)
        while not due(server):
            assert process.poll() is None, f"it ended by itself before moment {index}"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        ended = process.wait()
        done = ended == 0 and len(server.served) == n_samples  # it was quicker than the signal
        assert done or ended == -signal.SIGKILL
        time.sleep(10 * DELAY_S)  # the server finishes what it was writing to nobody
        found, counts = landed(killed), served(server)
        assert set(safe) <= found, f"moment {index} lost an answer"
        safe |= {label: counts[label] for label in found - set(safe)}
        assert done or not (layout.SCORES / layout.TEACHER).exists()
    assert len(safe) > n_samples // 2, "it was killed too early to prove anything"
    assert start(server, killed).wait() == 0
    counts = served(server)
    assert {label: counts[label] for label in safe} == safe, "what had landed was asked again"
    assert len(counts) == n_samples
    assert counts.total() - n_samples <= IN_FLIGHT * len(moments(n_samples)), "more was repeated than was in flight"
    after_kills = scores()
    assert start(server, whole).wait() == 0
    assert scores() == after_kills
    assert set(after_kills) == {"scores.parquet", "verdicts.parquet", "traces/part-00000.parquet"}
