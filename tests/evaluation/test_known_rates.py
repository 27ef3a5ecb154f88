"""Models of known rates through the real stages: every number comes out as the table prescribed."""

import json
from collections import Counter
from pathlib import Path

import known as known_run
import pytest
from known import ACTS, FAILURES, MODELS, Known

from distill import layout, shards
from distill.curation.store import open_store
from distill.evaluation.evaluate import by_question, read_scores, tally
from distill.evaluation.statistics import estimate
from distill.records import Score, Trace, Verdict

BENCHMARKS = ("sums", "letters")


@pytest.fixture(autouse=True)
def inside(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test reads the run's own data."""
    monkeypatch.chdir(known.folder)


def test_the_table_holds_every_act(known: Known) -> None:
    assert {act.name for act in known.acts.values()} == set(ACTS)
    for model in MODELS:
        done = {act.name for (name, _, _), act in known.acts.items() if name == model}
        assert done >= {"right", *FAILURES}
    rates = {sum(samples) for model in MODELS for samples in known.expected(model, "sums").right.values()}
    assert len(rates) > 2, "problems do not differ"
    assert sum("hang" in planned.faults for planned in known.table.values()) == known_run.N_HANGS * len(MODELS)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize("model", MODELS)
def test_scores_are_the_table(known: Known, model: str, benchmark: str) -> None:
    expected = known.expected(model, benchmark)
    rows = [score for score in read_scores(model) if score.benchmark == benchmark]
    assert Counter(row.verdict for row in rows) == expected.outcomes
    assert Counter(row.finish_reason for row in rows) == expected.finish_reasons
    assert by_question(rows) == expected.right
    assert {(row.problem_id, row.sample_index): row.completion_tokens for row in rows} == {
        key[1:]: planned.tokens for key, planned in known.table.items() if key[0] == model and key[1] in expected.right
    }
    found = estimate(*tally(rows))
    assert (found.n, found.k) == (expected.n, expected.k)
    assert found.mean == pytest.approx(float(expected.pass_at_1), abs=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_every_row_says_what_was_done(known: Known, model: str) -> None:
    problems = {problem.id: problem for name in BENCHMARKS for problem in known.problems[name]}
    rows = read_scores(model)
    assert len(rows) == len({(row.problem_id, row.sample_index) for row in rows}) == 10 * 4 + 6 * 2
    for row in rows:
        act, problem = known.acts[model, row.problem_id, row.sample_index], problems[row.problem_id]
        assert (row.verdict, row.finish_reason, row.looped) == (act.verdict, act.finish_reason, act.looped), act
        assert row.extraction == act.extraction, act
        assert (row.source, row.domain, row.answer) == (problem.source, problem.domain, problem.answer)
        assert row.prompt_tokens > 0
        if act.verdict == "correct":
            assert row.extracted == row.answer
            assert row.method in ("string", "exact")
        if act.name == "wrong":
            assert row.extracted == known_run.other_answer(problem)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize("model", MODELS)
def test_metrics_are_the_table(known: Known, model: str, benchmark: str) -> None:
    expected = known.expected(model, benchmark)
    metrics = json.loads((layout.METRICS / f"evaluate_{model}.json").read_text())[benchmark]
    samples = expected.outcomes.total()
    said = ("correct", "incorrect", "no_answer", "truncated")
    shares = {
        "no_answer": expected.outcomes["no_answer"],
        "truncated": expected.outcomes["truncated"],
        "abstained": sum(n for verdict, n in expected.outcomes.items() if verdict not in said),
        "looped": expected.looped,
    }
    assert {name: metrics[name] * samples for name in shares} == pytest.approx(shares)
    assert metrics["mean"] == pytest.approx(float(expected.pass_at_1), abs=1e-12)
    assert metrics["mean_tokens"] * samples == pytest.approx(expected.tokens)
    assert (metrics["samples"], metrics["missing"]) == (samples, 0)
    assert metrics["outcomes"] == expected.outcomes


def test_every_sample_was_answered_once(known: Known) -> None:
    """What failed on its way was asked again, and no answer was asked for twice."""
    assert set(known.served.values()) == {1, len(MODELS)}
    assert known.served.total() == len(known.table)
    n_faults = sum(len(planned.faults) for planned in known.table.values())
    assert known.requests == len(known.table) + n_faults
    failures: Counter[str] = Counter()
    for path in layout.METRICS.glob("*.json"):
        metrics = json.loads(path.read_text())
        failures.update(metrics.get("sampling", metrics).get("failures", {}))
    assert failures.total() == n_faults
    assert failures["gone"] >= known_run.N_HANGS * len(MODELS)


def test_traces_and_verdicts_are_the_table(known: Known) -> None:
    expected = known.expected("teacher", "train")
    traces = {trace.id: trace for trace in shards.read_rows(layout.TRACES, Trace)}
    verdicts = shards.read_rows(layout.VERDICTS, Verdict)
    assert Counter(row.verdict for row in verdicts) == expected.outcomes
    assert len(traces) == len(verdicts) == expected.outcomes.total()
    for row in verdicts:
        trace = traces[row.trace_id]
        assert row.verdict == known.acts["teacher", trace.problem_id, trace.sample_index].verdict
    steps = json.loads(layout.FUNNEL.read_text())["steps"]
    counted = {step["step"]: step["n"] for step in steps if step["reason"] is None}
    assert counted["traces"] == expected.outcomes.total()
    assert counted["correct"] == expected.outcomes["correct"]


def test_a_benchmark_by_name_is_never_trained_on(known: Known) -> None:
    """Of the training file's two leaked questions one is left out as a copy, the other is found out by curate."""
    counts = json.loads((layout.METRICS / "problems.json").read_text())
    assert counts["train"]["doubles"]["in_another_split"] == 1
    assert counts["sums"]["sums"]["rows"] == 10
    assert {problem.licence for problem in known.problems["sums"]} == {"CC0-1.0"}
    assert all(problem.prompt.startswith("Here is a sum.\n\n") for problem in known.problems["sums"])
    (leaked,) = [problem for problem in known.problems["train"] if "Aya" in problem.prompt]
    with open_store(layout.STORE) as store:
        hits = store.execute("SELECT DISTINCT problem_id, benchmark FROM contamination").fetchall()
        kept = {name for (name,) in store.execute("SELECT problem_id FROM kept").fetchall()}
    assert hits == [(leaked.id, "sums")]
    assert leaked.id not in kept
    assert kept


def test_the_run_again_asks_nothing(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is in the cache, so no server is needed, and the same bytes come out."""
    path = layout.SCORES / "pupil" / "scores.parquet"
    before = path.read_bytes()
    monkeypatch.setenv("DVC_ROOT", str(known.folder))
    known_run.serve_from("http://127.0.0.1:9", monkeypatch)
    result = known_run.run("evaluate", known.params, "pupil")
    assert result.metrics is not None
    assert result.metrics["sampling"]["sampled"] == 0
    assert path.read_bytes() == before
    assert len(shards.read_rows(Path(path), Score)) == 52
