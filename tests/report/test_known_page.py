"""Models of known rates through the real stages: every number of the page is what the table prescribed."""

import math
from collections import Counter
from collections.abc import Iterator

import pytest
from known import MODELS, Expected, Known
from scipy import stats

from distill.report import page
from distill.report.summary import Summary, open_summary

BENCHMARKS = ("sums", "letters")
ABSTAINS = ("ambiguous", "unparsed_answer")


@pytest.fixture
def summary(known: Known, monkeypatch: pytest.MonkeyPatch) -> Iterator[Summary]:
    monkeypatch.chdir(known.folder)
    with open_summary(known.params) as (summary, _):
        yield summary


def shares(expected: Expected) -> dict[str, float]:
    """Per problem the share of its samples that are right."""
    return {problem: sum(right) / len(right) for problem, right in expected.right.items()}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize("model", MODELS)
def test_results(known: Known, summary: Summary, model: str, benchmark: str) -> None:
    expected = known.expected(model, benchmark)
    row, n_samples = summary.result(model, benchmark), sum(expected.outcomes.values())
    assert (row["n"], row["k"]) == (expected.n, expected.k)
    assert row["mean"] == pytest.approx(float(expected.pass_at_1), abs=1e-12)
    assert row["se"] == pytest.approx(stats.sem(list(shares(expected).values())))
    assert row["low"] < row["mean"] < row["high"]
    for column, word in (("no_answer", "no_answer"), ("truncated", "truncated")):
        assert row[column] == pytest.approx(expected.outcomes[word] / n_samples)
    unsure = sum(expected.outcomes[word] for word in ABSTAINS)
    assert row["abstained"] == pytest.approx(unsure / n_samples)
    assert row["at_most"] == pytest.approx(row["mean"] + unsure / n_samples)  # every problem has as many samples
    assert row["looped"] == pytest.approx(expected.looped / n_samples)
    assert row["tokens"] == pytest.approx(expected.tokens / n_samples)


def test_all_benchmarks_together(known: Known, summary: Summary) -> None:
    for model in MODELS:
        both = [share for benchmark in BENCHMARKS for share in shares(known.expected(model, benchmark)).values()]
        row = summary.result(model)
        assert (row["n"], row["k"]) == (len(both), 2)
        assert row["mean"] == pytest.approx(math.fsum(both) / len(both))


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize(("versus", "other"), [("base", "pupil_base"), ("teacher", "teacher")])
def test_differences(known: Known, summary: Summary, benchmark: str, versus: str, other: str) -> None:
    after, before = shares(known.expected("pupil", benchmark)), shares(known.expected(other, benchmark))
    deltas = [after[problem] - before[problem] for problem in after]
    row = summary.difference("pupil", benchmark, versus)
    interval = stats.ttest_1samp(deltas, 0).confidence_interval(0.95)
    assert row["n"] == len(deltas)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((sum(deltas) / len(deltas), *interval))
    exact = stats.permutation_test(
        (deltas,), lambda x: abs(x.sum()), permutation_type="samples", n_resamples=math.inf, alternative="greater"
    )
    assert row["p"] == pytest.approx(exact.pvalue)
    assert row["p"] <= row["p_holm"] <= 2 * row["p"] + 1e-12


def test_with_more_samples(known: Known, summary: Summary) -> None:
    table = summary.tables["at_k"]
    assert {(row["benchmark"], row["k"]) for row in table.rows} == {
        ("sums", 1), ("sums", 2), ("sums", 4), ("letters", 1), ("letters", 2), ("all", 1), ("all", 2),
    }  # fmt: skip
    for model in MODELS:
        right = known.expected(model, "sums").right
        row = table.one(model=model, benchmark="sums", k=4)
        assert row["pass"] == pytest.approx(sum(any(samples) for samples in right.values()) / len(right))
        assert row["every"] == pytest.approx(sum(all(samples) for samples in right.values()) / len(right))
        assert row["half"] == pytest.approx(sum(sum(samples) >= 2 for samples in right.values()) / len(right))
        assert row["maj"] == pytest.approx(sum(vote(known, model, problem) for problem in right) / len(right))


def vote(known: Known, model: str, problem: str) -> float:
    """The chance that the majority is right, from the acts alone: what is wrong in one way is one answer."""
    acts = [known.acts[model, problem, index] for index in range(4)]
    cast = Counter("right" if act.verdict == "correct" else act.name for act in acts)
    votes = {name: cast[name] for name in ("right", "wrong", "garbled", "two_answers") if cast[name]}
    top = [name for name, n in votes.items() if n == max(votes.values())]
    return ("right" in top) / len(top) if top else 0.0


def test_budget(known: Known, summary: Summary) -> None:
    for row in summary.tables["budget"].rows:
        if row["benchmark"] != "all":
            right = known.expected(row["model"], row["benchmark"]).right
            planned = {(p, i): known.table[row["model"], p, i] for p in right for i in range(len(right[p]))}
            kept = [act.act.verdict == "correct" and act.tokens <= row["budget"] for act in planned.values()]
            assert row["mean"] == pytest.approx(sum(kept) / len(kept))


def test_letters(known: Known, summary: Summary) -> None:
    asked = known.problems["letters"]
    rows = summary.tables["letters"].rows
    assert {row["benchmark"] for row in rows} == {"letters"}
    for row in rows:
        gold = sum(problem.answer == row["letter"] for problem in asked) / len(asked)
        assert row["gold"] == pytest.approx(gold)
    for model in MODELS:
        assert 0 < sum(row["given"] for row in rows if row["model"] == model) <= 1


def test_funnel_and_cost(known: Known, summary: Summary) -> None:
    expected = known.expected("teacher", "train")
    steps = {row["step"]: row for row in summary.tables["funnel"].rows if row["reason"] is None}
    assert steps["traces"]["n"] == sum(expected.outcomes.values())
    assert steps["traces"]["tokens"] == expected.tokens
    assert steps["correct"]["n"] == expected.outcomes["correct"]
    spending = summary.tables["spending"].one(student="pupil")
    assert spending["kept"] == steps["kept"]["n"] > 0
    assert spending["tokens_per_kept_trace"] == pytest.approx(expected.tokens / steps["kept"]["n"])
    gain = summary.difference("pupil")
    assert spending["points"] == pytest.approx(100 * gain["mean"])


def test_the_page_says_so(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(known.folder)
    with open_summary(known.params) as (summary, connection):
        html = page.render(summary, connection)
    row = summary.result("pupil")
    assert f"to {100 * row['mean']:.1f} % on 16 unseen problems" in html
