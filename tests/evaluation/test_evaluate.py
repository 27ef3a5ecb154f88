"""evaluate on samples of known outcome: every number comes back exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import workspace

from distill import layout, shards
from distill.errors import ConfigError
from distill.evaluation.evaluate import by_question, evaluate, model_names, read_scores
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
    write_revision(ModelRevision("teacher", "a/teacher", None, "sha256:0"))
    return problems


def test_known_outcomes_come_back(asked: list[Problem]) -> None:
    """Of the easy ones three are right, two wrong, one cut; of the hard ones one is right and three give no answer."""
    answers: dict[str, str | None] = {p.id: p.answer for p in asked[:3]}
    answers |= {p.id: "-7" for p in asked[3:5]} | {asked[5].id: None} | {asked[6].id: asked[6].answer}

    def sample(problems: Sequence[Problem], *_: Any) -> Sampled:
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
