"""Statistics against independent references, and the coverage of the interval that is printed."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from distill.evaluation.statistics import estimate, paired_difference, pass_at_k

SCORES = {"a": [1, 0], "b": [1, 1], "c": [0, 0], "d": [1, 0]}


def test_estimate_is_the_mean_over_questions_with_its_t_interval() -> None:
    found = estimate(SCORES)
    shares = [0.5, 1.0, 0.0, 0.5]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(shares), scale=stats.sem(shares))
    assert (found.n, found.k) == (4, 2)
    assert found.mean == pytest.approx(0.5)
    assert found.se == pytest.approx(stats.sem(shares))
    assert (found.low, found.high) == (max(0, low), pytest.approx(min(1, high)))


def test_questions_count_equally_however_many_samples_they_have() -> None:
    assert estimate({"a": [1], "b": [0, 0, 0, 0]}).mean == 0.5


def test_one_question_has_no_error_and_none_has_no_mean() -> None:
    assert math.isnan(estimate({"a": [1]}).se)
    assert math.isnan(estimate({}).mean)


def test_a_missing_sample_is_missing_and_not_wrong() -> None:
    assert estimate({"a": [1], "b": []}).mean == 1.0
    difference = paired_difference({"a": [1], "b": [1]}, {"a": [0], "b": []})
    assert (difference.n, difference.mean) == (1, 1.0)


@pytest.mark.parametrize(("n", "right", "k"), list(itertools.product((1, 2, 5, 8), (0, 1, 2, 5), (1, 2, 5))))
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n: int, right: int, k: int) -> None:
    """Against counting: every way to draw k of n samples."""
    if right > n:
        return
    samples = [1] * right + [0] * (n - right)
    found = pass_at_k({"a": samples}, k)
    if k > n:
        assert found is None
        return
    draws = list(itertools.combinations(samples, k))
    assert found == pytest.approx(sum(any(draw) for draw in draws) / len(draws))


def test_paired_difference_agrees_with_a_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    better = {str(i): list(rng.integers(0, 2, 3)) for i in range(40)}
    worse = {str(i): list(rng.integers(0, 2, 3)) for i in range(40)}
    found = paired_difference(better, worse)
    deltas = [np.mean(better[q]) - np.mean(worse[q]) for q in better]
    reference = stats.ttest_1samp(deltas, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(reference.low), pytest.approx(reference.high))


@pytest.mark.parametrize(("n", "gain", "p_below"), [(6, 1, 0.05), (60, 1, 0.001)])
def test_sign_flip_p(n: int, gain: int, p_below: float) -> None:
    found = paired_difference({str(i): [gain] for i in range(n)}, {str(i): [0] for i in range(n)})
    assert found.p < p_below
    assert found.p == pytest.approx(2 / 2**n, abs=0.005)  # only all-plus and all-minus are as extreme


def test_no_difference_has_p_one() -> None:
    assert paired_difference(SCORES, SCORES).p == 1.0


def test_the_interval_covers_the_truth() -> None:
    """400 simulated evaluations of a model whose skill differs by question: 95 % of the intervals hold its mean."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        skills = rng.beta(2, 2, size=100)  # mean 0.5
        scores = {str(i): list(rng.binomial(1, skill, size=4)) for i, skill in enumerate(skills)}
        found = estimate(scores)
        covered += found.low <= 0.5 <= found.high
    assert 0.92 <= covered / 400 <= 0.98
