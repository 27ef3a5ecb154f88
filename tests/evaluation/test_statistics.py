"""Statistics against independent references: SciPy, enumeration with fractions, tables worked by hand."""

import itertools
import math
import tracemalloc
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from distill.evaluation import repeats, statistics
from distill.evaluation.repeats import g_pass_at_k, maj_at_k, mg_pass_at_k, pass_at_k
from distill.evaluation.statistics import estimate, gap_closed, holm, paired_difference

# estimate


def test_estimate_is_the_mean_over_questions_with_its_clustered_error() -> None:
    found = estimate([1, 2, 0, 3], [2, 2, 2, 4])
    shares = [0.5, 1.0, 0.0, 0.75]
    assert (found.n, found.k) == (4, 2)
    assert found.mean == pytest.approx(np.mean(shares))
    assert found.se == pytest.approx(stats.sem(shares))
    assert estimate([1, 0], [1, 4]).mean == 0.5  # questions count equally however many samples they have


@pytest.mark.parametrize(("right", "n"), [(12, 40), (1, 40), (250, 500)])
def test_one_sample_a_question_gives_the_wilson_interval_but_for_t_and_one_degree(right: int, n: int) -> None:
    found = estimate([1] * right + [0] * (n - right), [1] * n)
    p, size, t = right / n, n - 1, stats.t.ppf(0.975, n - 1)
    for end in (found.low, found.high):  # the ends solve |share - p| = t sqrt(p (1 - p) / size)
        assert abs(p - end) == pytest.approx(t * math.sqrt(end * (1 - end) / size))
    reference = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.012)


def test_the_effective_size_is_that_of_the_clustered_error() -> None:
    right = np.random.default_rng(3).binomial(8, np.random.default_rng(4).beta(2, 2, 200))
    found = estimate(right.tolist(), [8] * 200)
    half = (found.high - found.low) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, 199) * found.se, rel=0.02)  # far from 0 and 1 it is the t interval


def test_none_right_is_no_certainty() -> None:
    """Each question counts as one trial then, and a single right sample makes that no narrower."""
    none, one = estimate([0] * 30, [64] * 30), estimate([1] + [0] * 29, [64] * 30)
    assert (none.mean, none.se, none.low) == (0.0, 0.0, 0.0)
    assert none.high == pytest.approx(0.122, abs=0.001)
    assert one.low > 0
    assert none.high < one.high < none.high + 0.01
    every = estimate([64] * 30, [64] * 30)
    assert (every.low, every.high) == (pytest.approx(1 - none.high), 1.0)


def test_a_question_without_samples_is_missing_and_not_wrong() -> None:
    assert estimate([1, 0], [1, 0]).mean == 1.0
    assert estimate([1, 0, 1], [2, 0, 2]) == estimate([1, 1], [2, 2])
    assert estimate([1, 1], [2, 2]).high < 1


def test_one_question_has_no_error_and_none_has_no_mean() -> None:
    one, none = estimate([1], [1]), estimate([], [])
    assert one.mean == 1.0
    assert all(math.isnan(value) for value in (one.se, one.low, one.high, none.mean, none.se))
    assert (none.n, none.k, none.run_se) == (0, 0, None)


def test_run_se_is_what_sampling_again_would_move() -> None:
    skills = np.array([0.1, 0.5, 0.9, 0.5])
    runs = np.random.default_rng(0).binomial(8, np.tile(skills, (4000, 1)))  # (runs, questions)
    moved = (runs / 8).mean(axis=1).std(ddof=1)
    said = np.mean([estimate(run.tolist(), [8] * 4).run_se for run in runs[:500]])
    assert said == pytest.approx(moved, rel=0.05)
    assert estimate([1, 1], [2, 1]).run_se is None


# pass@k, G-Pass@k, maj@k


CASES = [(r, n, k) for n in (1, 5, 8) for r in (0, 1, 2, 5) for k in (1, 2, 5) if r <= n and k <= n]


@pytest.mark.parametrize(("right", "n", "k"), CASES)
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(right: int, n: int, k: int) -> None:
    draws = list(itertools.combinations([1] * right + [0] * (n - right), k))
    assert pass_at_k([right], [n], k) == float(Fraction(sum(map(any, draws)), len(draws)))


@pytest.mark.parametrize(("right", "n", "k", "tau"), [
    (5, 16, 8, 0.5), (12, 16, 8, 0.75), (16, 16, 16, 1.0), (9, 20, 10, 0.7), (30, 64, 32, 0.25), (3, 16, 8, 0.0),
])  # fmt: skip
def test_g_pass_at_k_is_the_tail_of_the_hypergeometric_law(right: int, n: int, k: int, tau: float) -> None:
    need = max(1, {0.7: 7}.get(tau, math.ceil(tau * k)))
    assert g_pass_at_k([right], [n], k, tau) == pytest.approx(stats.hypergeom.sf(need - 1, n, right, k))


def test_g_pass_at_k_runs_from_pass_at_k_to_all_right() -> None:
    right, n = [5, 9, 0], [16, 16, 16]
    assert g_pass_at_k(right, n, 4, 0.01) == pass_at_k(right, n, 4)
    assert g_pass_at_k([9], [16], 4, 1.0) == pytest.approx(math.comb(9, 4) / math.comb(16, 4))
    with pytest.raises(ValueError, match=r"tau is a share of the k samples, from 0 to 1, got 1\.5"):
        g_pass_at_k(right, n, 4, 1.5)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 8])
def test_mg_pass_at_k_is_twice_the_area_above_one_half(k: int) -> None:
    middles = 0.5 + (np.arange(5040) + 0.5) / 10_080  # 5040 is a multiple of every k, so no step is cut
    heights = {need: stats.hypergeom.sf(need - 1, 10, 6, k) for need in range(1, k + 1)}
    area = np.mean([heights[math.ceil(tau * k)] for tau in middles])
    assert mg_pass_at_k([6], [10], k) == pytest.approx(area)
    assert mg_pass_at_k([10], [10], k) == pytest.approx(1.0)
    if k % 2 == 0:  # the paper's sum
        assert mg_pass_at_k([6], [10], k) == pytest.approx(2 / k * sum(heights[i] for i in range(k // 2 + 1, k + 1)))


def by_enumeration(answers: list[str | None], right: list[bool], k: int) -> Fraction:
    """The majority's chance with fractions, subset by subset."""
    total, subsets = Fraction(0), list(itertools.combinations(range(len(answers)), k))
    for subset in subsets:
        votes = Counter("right" if right[i] else f"wrong {answers[i]}" for i in subset if right[i] or answers[i])
        top = [key for key in votes if votes[key] == max(votes.values())]
        total += Fraction(sum(key == "right" for key in top), max(1, len(top)))
    return total / len(subsets)


@pytest.mark.parametrize(("answers", "right", "k", "expected"), [
    (["7", "7", "8"], [1, 1, 0], 3, 1.0),
    (["7", "8"], [1, 0], 2, 0.5),
    (["7", "8", "9"], [1, 0, 0], 3, 1 / 3),
    (["8", "9"], [0, 0], 2, 0.0),
    (["7", "7.0", "8", "8"], [1, 1, 0, 0], 4, 0.5),
    (["7", "7.0", r"\frac{14}{2}", "8", "8"], [1, 1, 1, 0, 0], 5, 1.0),
    (["8", "8.0", "7"], [0, 0, 1], 3, 1 / 3),
    ([None, None, "7"], [0, 0, 1], 3, 1.0),
    ([None, None, None], [0, 0, 0], 3, 0.0),
    ([None, "8"], [1, 0], 2, 0.5),
    (["7", "8", "8"], [1, 0, 0], 1, 1 / 3),
])  # fmt: skip
def test_maj_at_k_by_hand(answers: list[str | None], right: list[int], k: int, expected: float) -> None:
    assert maj_at_k(answers, [bool(ok) for ok in right], k) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_maj_at_k_is_exact_by_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    answers = [None if a == 0 else str(a) for a in rng.integers(0, 4, 9)]
    right = [a == "3" for a in answers]
    for k in range(1, 10):
        assert maj_at_k(answers, right, k) == pytest.approx(float(by_enumeration(answers, right, k)))


def test_maj_at_k_of_many_subsets_is_drawn_from_a_fixed_seed() -> None:
    answers, right = ["7"] * 6 + ["8"] * 8 + ["9"] * 2, [True] * 6 + [False] * 10
    assert math.comb(16, 7) > repeats.MAX_SUBSETS
    found = maj_at_k(answers, right, 7)
    assert found == maj_at_k(answers, right, 7)
    assert found == pytest.approx(float(by_enumeration(answers, right, 7)), abs=0.03)


def test_fewer_than_k_samples_give_no_number() -> None:
    for number in (pass_at_k, mg_pass_at_k, lambda r, n, k: g_pass_at_k(r, n, k, 0.5)):
        assert number([1, 1], [4, 3], 4) is None
        assert number([1, 0], [4, 0], 1) is None
        assert number([], [], 1) is None
        assert number([1, 1], [4, 3], 3) is not None
    assert maj_at_k(["7"], [True], 2) is None
    assert maj_at_k([], [], 1) is None


# differences


def test_paired_difference_has_the_paired_t_interval() -> None:
    a, b = np.random.default_rng(1).integers(0, 4, (2, 40)) / 3
    found = paired_difference(a.tolist(), b.tolist())
    reference = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert (found.n, found.mean) == (40, pytest.approx(np.mean(a - b)))


def exact_p(deltas: list[float]) -> float:
    signed = [sum(s * d for s, d in zip(signs, deltas, strict=True)) for signs in
              itertools.product((1, -1), repeat=len(deltas))]  # fmt: skip
    return sum(abs(value) >= abs(sum(deltas)) - 1e-9 for value in signed) / len(signed)


@pytest.mark.parametrize("deltas", [
    [1.0] * 6, [1.0] * 5 + [-1.0], [0.3, -0.1, 0.2, 0.7, 0.1], [1 / 3, 2 / 3, -1 / 3, 1 / 3, 1 / 3, 1.0, -2 / 3], [0.5],
])  # fmt: skip
def test_sign_flip_p_is_exact_for_few_questions(deltas: list[float]) -> None:
    padded = [*deltas, *[0.0] * 50]  # questions that do not differ change nothing
    assert paired_difference(padded, [0.0] * len(padded)).p == pytest.approx(exact_p(deltas))


@pytest.mark.parametrize(("plus", "minus"), [(15, 3), (20, 10), (11, 9), (150, 110)])
def test_sign_flip_p_of_many_questions_is_the_sign_test_up_to_its_draws(plus: int, minus: int) -> None:
    exact = stats.binomtest(plus, plus + minus).pvalue  # of equal steps the flips are a sign test
    found = paired_difference([1.0] * plus + [0.0] * minus, [0.0] * plus + [1.0] * minus).p
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000) + 1 / 20_000)


def test_drawn_p_is_seeded_and_never_zero() -> None:
    a, b = [1.0] * 200, [0.0] * 200
    assert paired_difference(a, b).p == 1 / 20_001
    mixed = list(np.random.default_rng(0).random(200))
    assert paired_difference(mixed, mixed[::-1], seed=1) == paired_difference(mixed, mixed[::-1], seed=1)


def test_equal_models_have_p_one_and_no_question_has_no_p() -> None:
    assert paired_difference([0.5, 1.0], [0.5, 1.0]).p == 1.0
    assert math.isnan(paired_difference([], []).p)
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 1.0], [1.0])


def test_memory_stays_bounded() -> None:
    rng = np.random.default_rng(0)
    a, b, c = (rng.random(10_000).tolist() for _ in range(3))
    tracemalloc.start()
    try:
        paired_difference(a, b, flips=2_000)
        gap_closed(a, b, [x + 1 for x in c], draws=1_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6  # 1,000 x 10,000 int64 would be 80 MB


@pytest.mark.parametrize(("ps", "expected"), [
    ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 x 0.005, 3 x 0.01, 2 x 0.03, then no less than that
    ([0.5, 0.6], [1.0, 1.0]),
    ([0.02], [0.02]),
    ([], []),
])  # fmt: skip
def test_holm_by_hand(ps: list[float], expected: list[float]) -> None:
    assert holm(ps) == pytest.approx(expected)


# gap closed and the page


def test_gap_closed_is_the_share_of_the_way() -> None:
    rng = np.random.default_rng(0)
    base, student, teacher = (rng.binomial(4, p, 400) / 4 for p in (0.2, 0.5, 0.8))
    found = gap_closed(base, student, teacher)
    assert found.value == pytest.approx((student.mean() - base.mean()) / (teacher.mean() - base.mean()))
    index = np.random.default_rng(5).integers(0, 400, (4000, 400))  # a bootstrap of its own
    means = [column[index].mean(axis=1) for column in (base, student, teacher)]
    ends = np.quantile((means[1] - means[0]) / (means[2] - means[0]), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(ends), abs=0.01)
    assert found == gap_closed(base, student, teacher)


@pytest.mark.parametrize("teacher", [
    [0.0, 1.0] * 20,  # the same as the base
    [1.0] + [0.0, 1.0] * 19 + [1.0],  # one question better: the interval holds zero
    [1.0] * 7 + [0.0] * 33,  # significant, yet some draws have no gap at all
    [1.0],
])  # fmt: skip
def test_gap_closed_is_no_number_where_the_gap_may_be_none(teacher: list[float]) -> None:
    base = [0.0, 1.0] * 20 if teacher[:2] != [1.0] * 2 else [0.0] * 40
    found = gap_closed(base[: len(teacher)], [1.0] * len(teacher), teacher)
    assert (found.value, found.low, found.high) == (None, None, None)


def test_the_page_names_the_limits_of_the_code(root: Path) -> None:
    page = " ".join((root / "docs" / "statistics.md").read_text().split())
    assert f"Up to {statistics.EXACT_FLIPS} questions that differ" in page
    assert f"{statistics.FLIPS:,} drawn ones from a fixed seed" in page
    assert f"all subsets up to {repeats.MAX_SUBSETS:,}" in page
    assert f"in one of {statistics.DRAWS:,} draws" in page
