"""evaluate on samples of known outcome: every number comes back exactly."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import workspace
from fakes import FaultyTeacher

from distill import layout, shards
from distill.errors import ConfigError, DataError
from distill.evaluation.evaluate import by_question, evaluate, looped, model_names, read_scores
from distill.generation.sampler import Sampled
from distill.generation.stats import Stats
from distill.models import ModelRevision, write_revision
from distill.records import Problem


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """Ten problems in two splits, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    problems = [workspace.problem(i) for i in range(10)]
    shards.write_file(layout.EVAL_PROBLEMS / "easy.parquet", problems[:6], Problem)
    shards.write_file(layout.EVAL_PROBLEMS / "hard.parquet", problems[6:], Problem)
    write_sampling(easy=None, hard=None)
    write_revision(ModelRevision("teacher", "a/teacher", None, "sha256:0"))
    return problems


def write_sampling(answer_line: bool | None = None, **samples: int | None) -> None:
    """What the problems stage leaves of the benchmarks."""
    splits = {name: {"samples": n, "answer_line": answer_line} for name, n in samples.items()}
    layout.BENCHMARKS.write_text(json.dumps(splits))


def test_known_outcomes_come_back(asked: list[Problem]) -> None:
    """Of the easy ones three are right, two wrong, one cut; of the hard ones one is right and three give no answer."""
    answers: dict[str, str | None] = {p.id: p.answer for p in asked[:3]}
    answers |= {p.id: "-7" for p in asked[3:5]} | {asked[5].id: None} | {asked[6].id: asked[6].answer}

    def sample(problems: Sequence[Problem], *_: Any, **__: Any) -> Sampled:
        found = [workspace.trace(p, answers[p.id]) for p in problems if p.id in answers]
        silent = [workspace.trace(p, "", chain="hm") for p in problems if p.id not in answers]
        return Sampled(traces=sorted(found + silent, key=lambda trace: trace.id), stats=Stats(), refusals={})

    done = evaluate("teacher", workspace.params(), sample)
    assert done.estimates["easy"].mean == pytest.approx(3 / 6)
    assert done.estimates["hard"].mean == pytest.approx(1 / 4)
    assert done.metrics()["easy"]["outcomes"] == {"correct": 3, "incorrect": 2, "truncated": 1}
    assert done.metrics()["hard"]["outcomes"]["correct"] == 1
    assert done.line().startswith("easy 50.0 %")
    scores = read_scores("teacher")
    assert len(scores) == len(by_question(scores)) == 10
    assert {path.name for path in (layout.SCORES / "teacher").iterdir()} == {
        "scores.parquet",
        "traces",
        "verdicts.parquet",
    }


def test_an_unknown_model_is_named_with_the_known_ones(asked: list[Problem]) -> None:
    with pytest.raises(ConfigError, match=r"no model 'techer'; params\.yaml names teacher, tiny_qwen_base"):
        evaluate("techer", workspace.params())


def test_every_student_comes_with_its_base() -> None:
    assert model_names(workspace.params()) == ["teacher", "tiny_qwen_base", "tiny_qwen"]


def test_every_benchmark_has_its_own_number_of_samples(
    asked: list[Problem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run with more samples asks for what the first did not, and for nothing else."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with FaultyTeacher() as server:
        monkeypatch.setenv("DISTILL_TEACHER_URL", server.url)
        write_sampling(easy=4, hard=None)
        first = evaluate("teacher", workspace.params())
        n_first = len(server.requests)
        write_sampling(easy=16, hard=None)
        second = evaluate("teacher", workspace.params())
        n_second = len(server.requests) - n_first
    assert (n_first, n_second) == (6 * 4 + 4 * 1, 6 * 12)
    assert [(e.n, e.k) for e in first.estimates.values()] == [(6, 4), (4, 1)]
    assert [(e.n, e.k) for e in second.estimates.values()] == [(6, 16), (4, 1)]
    assert set(server.served.values()) == {1}
    assert {score.trace_id for score in first.scores} < {score.trace_id for score in second.scores}


def test_what_the_server_refuses_is_missing_and_not_wrong(
    asked: list[Problem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    write_sampling(easy=2, hard=None)
    with FaultyTeacher() as server:
        server.refuses = asked[0].prompt
        monkeypatch.setenv("DISTILL_TEACHER_URL", server.url)
        metrics = evaluate("teacher", workspace.params()).metrics()
    assert (metrics["easy"]["n"], metrics["easy"]["samples"], metrics["easy"]["missing"]) == (5, 10, 2)
    assert (metrics["hard"]["n"], metrics["hard"]["missing"]) == (4, 0)


@pytest.mark.parametrize(("own", "verdict"), [(None, "no_answer"), (True, "correct")])
def test_a_benchmark_may_take_an_answers_line(asked: list[Problem], own: bool | None, verdict: str) -> None:
    write_sampling(answer_line=own, easy=None, hard=None)

    def sample(problems: Sequence[Problem], *_: Any, **__: Any) -> Sampled:
        rows = [replace(workspace.trace(p, p.answer), answer_text=f"Answer: {p.answer}") for p in problems]
        return Sampled(traces=sorted(rows, key=lambda trace: trace.id), stats=Stats(), refusals={})

    done = evaluate("teacher", workspace.params(), sample)
    assert {score.verdict for score in done.scores} == {verdict}


@pytest.mark.parametrize(
    ("text", "finish_reason", "is_loop"),
    [
        ("I add 2 and 3, which makes 5.", "stop", False),
        ("I add 2 and 3, which makes 5.", "repetition", True),
        ("I add. " * 4 + "I am done.", "stop", False),
        ("I add. " * 5 + "I am done.", "length", True),
        ("wait, " * 700, "length", True),
        ("", "length", False),
    ],
)
def test_what_a_loop_is(text: str, finish_reason: str, is_loop: bool) -> None:
    trace = replace(workspace.trace(workspace.problem(1), "1"), text=text, finish_reason=finish_reason)
    assert looped(trace) is is_loop


def test_before_the_problems_stage_there_is_nothing_to_evaluate(asked: list[Problem]) -> None:
    layout.BENCHMARKS.unlink()
    with pytest.raises(DataError, match=r"data/benchmarks\.json is missing; `dvc repro` writes it"):
        evaluate("teacher", workspace.params())
