"""Answers survive torn lines, other processes and kills; a run exports what its parameters ask for and no more."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FaultyTeacher, make_problems

from distill import shards
from distill.errors import DataError
from distill.generation.cache import Answer, RequestCache
from distill.generation.sampler import Sampled
from distill.records import Trace

Run = Callable[..., Sampled]

ANSWER = Answer(
    problem_id="9f31",
    sample_index=0,
    max_tokens=64,
    text="98 = 58 * 1 + 40",
    reasoning=None,
    finish_reason="stop",
    prompt_tokens=9,
    completion_tokens=30,
    seed_label=5,
    engine="fake",
    latency_s=0.1,
    created_at=100.0,
    attempt=1,
)


def land(*answers: Answer) -> Path:
    """Put answers into a segment of their own. Returns the folder of the key."""
    with closing(RequestCache("key")) as cache:
        for answer in answers:
            cache.land(answer)
    return cache.folder


def found(problem: str, sample: int = 0) -> Answer:
    """The answer that another process would find."""
    cache = RequestCache("key")
    entry = cache.find((problem, sample), 64)
    assert entry is not None
    return cache.read(entry)


def test_an_answer_is_on_disk_when_land_returns() -> None:
    with closing(RequestCache("key")) as cache:
        cache.land(ANSWER)
        assert found("9f31") == ANSWER
    assert RequestCache("other").find(("9f31", 0), 64) is None


@pytest.mark.parametrize("keep", [1, 50, -2])
def test_a_torn_last_line_is_skipped_and_counted(keep: int) -> None:
    (segment,) = land(ANSWER, replace(ANSWER, sample_index=1)).glob("*.jsonl")
    first, second = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(first + second[:keep])
    again = RequestCache("key")
    assert again.torn_lines == 1
    assert again.find(("9f31", 0), 64) is not None
    assert again.find(("9f31", 1), 64) is None


def test_an_answer_of_another_version_is_an_error_with_its_line() -> None:
    cache = RequestCache("key")
    cache.folder.mkdir(parents=True)
    (cache.folder / "1.jsonl").write_text('{"kind": "answer", "request_key": "key", "message": "hello"}\n')
    with pytest.raises(DataError, match=r"1\.jsonl:1 is no answer"):
        RequestCache("key")


BUDGETS = [  # (finish reason, asked with, tokens written, budget now, whether it counts)
    ("stop", 64, 30, 64, True),
    ("stop", 64, 30, 128, True),
    ("stop", 64, 30, 30, True),
    ("stop", 64, 30, 29, False),
    ("length", 64, 64, 64, True),
    ("length", 64, 64, 128, False),
    ("length", 64, 64, 32, False),
]


@pytest.mark.parametrize(("reason", "asked", "tokens", "budget", "counts"), BUDGETS)
def test_an_answer_counts_where_the_budget_would_have_given_it(
    reason: str, asked: int, tokens: int, budget: int, counts: bool
) -> None:
    land(replace(ANSWER, finish_reason=reason, max_tokens=asked, completion_tokens=tokens))
    assert (RequestCache("key").find(("9f31", 0), budget) is not None) is counts


def test_the_first_to_land_counts() -> None:
    land(ANSWER)
    land(replace(ANSWER, text="earlier", created_at=99.0))
    assert found("9f31").text == "earlier"


def _land_many(worker: int) -> None:
    land(*[replace(ANSWER, sample_index=i, text=f"{worker} " * 500, created_at=float(worker)) for i in range(200)])


def test_two_processes_at_once_corrupt_nothing() -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_land_many, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    cache = RequestCache("key")
    assert cache.torn_lines == 0
    texts = {found("9f31", index).text for index in range(200)}
    assert texts == {"0 " * 500}
    assert len(list(cache.folder.glob("*.jsonl"))) == 2


# ------------------------------------------------------------------ runs over the cache


def test_a_second_run_asks_nothing(run: Run) -> None:
    problems = make_problems(6)
    with FaultyTeacher() as teacher:
        first = run(teacher, problems)
    again = run(teacher, problems)  # the server is gone
    assert again.traces == first.traces
    assert (again.stats.from_cache, again.stats.sampled) == (12, 0)


def test_exports_are_byte_identical(run: Run, tmp_path: Path) -> None:
    problems = make_problems(6)
    with FaultyTeacher() as teacher:
        for name, order in (("one", problems), ("two", problems[::-1])):
            shards.write_shards(tmp_path / name, run(teacher, order).traces, Trace)
    assert [p.read_bytes() for p in sorted((tmp_path / "one").iterdir())] == [
        p.read_bytes() for p in sorted((tmp_path / "two").iterdir())
    ]


def test_more_samples_add_what_is_missing(run: Run) -> None:
    problems = make_problems(5)
    with FaultyTeacher() as teacher:
        four = run(teacher, problems, samples=4)
        six = run(teacher, problems, samples=6)
        back = run(teacher, problems, samples=4)
    assert six.stats.sampled == 10
    assert {trace.id for trace in four.traces} < {trace.id for trace in six.traces}
    assert back.traces == four.traces


def test_more_problems_cost_only_themselves(run: Run) -> None:
    with FaultyTeacher() as teacher:
        run(teacher, make_problems(5))
        assert run(teacher, make_problems(7)).stats.sampled == 4


def test_a_problem_that_is_there_twice_is_asked_once(run: Run) -> None:
    with FaultyTeacher() as teacher:
        sampled = run(teacher, make_problems(2) * 2)
    assert len(sampled.traces) == sampled.stats.requested == 4


def test_a_longer_budget_asks_again_for_what_was_cut_and_going_back_is_free(run: Run) -> None:
    problems = make_problems(10)
    with FaultyTeacher() as teacher:
        short = run(teacher, problems, max_tokens=10)
        n_cut = short.stats.finish_reasons["length"]
        long = run(teacher, problems, max_tokens=64)
        back = run(teacher, problems, max_tokens=10)
    assert 0 < n_cut < 20
    assert long.stats.sampled == n_cut
    assert back.stats.sampled == 0
    assert back.traces == short.traces


SAMPLER = """
import sys
from fakes import TEACHER, make_problems
from distill.settings import SamplingSettings, ServerSettings
from distill.generation.endpoint import Serving
from distill.generation.sampler import sample_problems
sampling = SamplingSettings(samples=4, max_tokens=64)
sample_problems(make_problems(50), TEACHER, sampling, Serving("bfloat16", 1024, ServerSettings()), 17)
"""


def test_kill_9_at_random_moments_loses_nothing_that_landed(
    run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = make_problems(50)
    with FaultyTeacher(delay_s=0.05) as teacher:
        environment = os.environ | {"DISTILL_TEACHER_URL": teacher.url, "PYTHONPATH": f"{root}:{root}/tests"}
        for kill in range(3):
            n_before = len(teacher.served)
            process = subprocess.Popen([sys.executable, "-c", SAMPLER], cwd=root, env=environment)
            deadline = time.monotonic() + 60
            while len(teacher.served) < n_before + 10 and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(random.Random(kill).uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
            process.wait()
        on_disk = _answers_on_disk(tmp_path)
        teacher.delay_s = 0.0
        sampled = run(teacher, problems, samples=4)
    assert sampled.stats.from_cache == on_disk
    assert sampled.stats.sampled == 200 - on_disk
    in_flight = 3 * 8  # answers that were on their way when a kill came
    assert sum(teacher.served.values()) <= 200 + in_flight
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "other"))
    with FaultyTeacher() as teacher:
        assert run(teacher, problems, samples=4).traces == sampled.traces


def _answers_on_disk(folder: Path) -> int:
    lines = [line for path in folder.rglob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return sum(b'"kind": "answer"' in line and line.endswith(b"}\n") for line in lines)


def test_sigterm_ends_a_run_with_what_landed_kept(root: Path, tmp_path: Path) -> None:
    script = SAMPLER.replace(
        "sample_problems(make", "from distill import stage\nstage.stop_on_signals()\nsample_problems(make"
    )
    with FaultyTeacher(delay_s=0.05) as teacher:
        environment = os.environ | {"DISTILL_TEACHER_URL": teacher.url, "PYTHONPATH": f"{root}:{root}/tests"}
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=root, env=environment, stderr=subprocess.PIPE, text=True
        )
        while len(teacher.served) < 10 and process.poll() is None:
            time.sleep(0.005)
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert "Incomplete: interrupted by SIGTERM" in errors
    assert _answers_on_disk(tmp_path) >= 2  # eight of the ten may have been on their way
