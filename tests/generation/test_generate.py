"""The generate stage on a faulty teacher: what it reads, what it writes, what it says."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import TEACHER, FaultyTeacher, make_problems

from distill import config, layout, models, shards, stage
from distill.records import Outcome, Problem, Trace


def test_generate_samples_what_can_be_graded(workspace: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    params = config.load(root / "pipelines/profiles/smoke.yaml")
    gold = [Outcome.CORRECT, Outcome.CORRECT, "", Outcome.UNPARSED_GOLD, Outcome.INCORRECT]
    problems = [
        replace(problem, gold_verdict=str(verdict)) for problem, verdict in zip(make_problems(5), gold, strict=True)
    ]
    shards.write_file(layout.TRAIN_PROBLEMS, problems, Problem)
    models.write_revision(TEACHER)
    body = stage_body(root / "pipelines/generate.py")
    with FaultyTeacher(["503", "reset"]) as teacher:
        monkeypatch.setenv("DISTILL_TEACHER_URL", teacher.url)
        result = body(params)
        written = {path.name: path.read_bytes() for path in layout.TRACES.iterdir()}
        again = body(params)
    traces = shards.read_rows(layout.TRACES, Trace)
    assert {trace.problem_id for trace in traces} == {problem.id for problem in problems[:3]}
    assert result.line.startswith("6 traces of 3 problems, 2 problems left out")
    assert again.line.startswith("6 traces of 3 problems, 6 of them from the cache")
    assert result.metrics["failures"] == {"busy": 1, "gone": 1}
    assert {path.name: path.read_bytes() for path in layout.TRACES.iterdir()} == written


def stage_body(script: Path) -> Callable[[config.Params], stage.Result]:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.body
