"""Do the intervals hold the truth as often as they say? 1,000 simulated evaluations for each claim, all seeded.

A model has a skill for each question, drawn from a population; the truth is the population's mean. docs/statistics.md
has the same table from more evaluations.
"""

import math

import numpy as np
import pytest
from scipy import stats

from distill.evaluation.statistics import Estimate, estimate, gap_closed, paired_difference

EVALUATIONS = 1000
# The band of the claim, for a share of 1,000: 95 % is held to 93 to 97.
LOW, HIGH = 0.93, 0.97
SKILLS = {"even": (2.0, 2.0), "split": (0.5, 0.5), "weak": (1.0, 4.0), "hard": (0.5, 4.5)}
SIZES = [(n, k) for n in (30, 500) for k in (1, 10, 64)]
# Of 30 yes-or-no questions with one in ten right, 1 to 6 come out right in 93.2 % and 0 to 6 in 97.4 %, and no interval
# can do anything between: Wilson's holds the truth for 0 to 6.
LATTICE = ("hard", 30, 1)


def evaluations(shape: tuple[float, float], n: int, k: int, seed: int = 0) -> np.ndarray:
    """Right samples of each question, (evaluations, questions)."""
    rng = np.random.default_rng([seed, n, k])
    return rng.binomial(k, rng.beta(*shape, size=(EVALUATIONS, n)))


def estimates(shape: tuple[float, float], n: int, k: int) -> list[Estimate]:
    return [estimate(right, [k] * n) for right in evaluations(shape, n, k).tolist()]


def covered(found: list[Estimate], truth: float) -> float:
    return float(np.mean([e.low <= truth <= e.high for e in found]))


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("name", SKILLS)
def test_the_interval_of_an_estimate_holds_the_population_mean(name: str, n: int, k: int) -> None:
    share = covered(estimates(SKILLS[name], n, k), SKILLS[name][0] / sum(SKILLS[name]))
    assert LOW <= share <= (0.985 if (name, n, k) == LATTICE else HIGH)


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("name", SKILLS)
def test_the_interval_of_a_paired_difference_holds_the_difference(name: str, n: int, k: int) -> None:
    """A student that closes a third of the distance to 1 on every question."""
    rng = np.random.default_rng([1, n, k])
    before = rng.beta(*SKILLS[name], size=(EVALUATIONS, n))
    after = before + (1 - before) / 3
    truth = (1 - SKILLS[name][0] / sum(SKILLS[name])) / 3
    pairs = zip((rng.binomial(k, after) / k).tolist(), (rng.binomial(k, before) / k).tolist(), strict=True)
    found = [paired_difference(a, b, flips=1) for a, b in pairs]
    share = np.mean([d.low <= truth <= d.high for d in found])
    assert LOW <= share <= HIGH


@pytest.mark.parametrize(("n", "k", "most"), [(30, 10, 0.78), (30, 64, 0.45), (500, 10, 0.78), (500, 64, 0.45)])
def test_the_run_to_run_error_falls_short_of_the_error_of_skill(n: int, k: int, most: float) -> None:
    found = estimates(SKILLS["even"], n, k)
    share = np.mean([abs(e.mean - 0.5) <= 1.96 * e.run_se for e in found])
    assert share < most
    assert np.mean([e.se / e.run_se for e in found]) > (1.6 if k == 10 else 3.5)


def test_samples_taken_as_independent_do_not_cover() -> None:
    """The band can fail: Wilson's interval on all 64 x 500 samples as if they were as many questions."""
    right = evaluations(SKILLS["even"], 500, 64).sum(axis=1)
    ends = [stats.binomtest(int(r), 32_000).proportion_ci(method="wilson") for r in right[:200]]
    assert np.mean([e.low <= 0.5 <= e.high for e in ends]) < 0.5


def test_the_plain_t_interval_does_not_cover_a_hard_benchmark() -> None:
    """Why it is Wilson's form: mean ± t se falls out of the band where the estimate's interval stays in it."""
    found = estimates(SKILLS["hard"], 30, 10)
    reach = stats.t.ppf(0.975, 29)
    assert np.mean([abs(e.mean - 0.1) <= reach * e.se for e in found]) < LOW <= covered(found, 0.1)


@pytest.mark.parametrize(("shape", "least"), [((0.1, 4.9), 0.95), ((1.0, 49.0), 0.95), ((0.05, 9.95), 0.94)])
def test_next_to_zero_the_interval_errs_on_the_wide_side(shape: tuple[float, float], least: float) -> None:
    """Some 2 in 100 or 5 in 1,000 right, of 30 questions: a t interval holds the truth in 70 to 93 % of these."""
    found = estimates(shape, 30, 64)
    truth = shape[0] / sum(shape)
    reach = stats.t.ppf(0.975, 29)
    assert covered(found, truth) >= least > np.mean([abs(e.mean - truth) <= reach * e.se for e in found])


def test_sign_flip_p_is_uniform_under_no_difference() -> None:
    """So that p < 0.05 in 5 % of comparisons of equal models."""
    rng = np.random.default_rng(0)
    skills = rng.beta(0.5, 0.5, size=(EVALUATIONS, 60))
    a, b = rng.binomial(64, skills) / 64, rng.binomial(64, skills) / 64
    ps = [paired_difference(x, y, flips=499).p for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(ps) <= level) == pytest.approx(level, abs=3.5 * math.sqrt(level * (1 - level) / 1000))


@pytest.mark.parametrize(("n", "k"), [(140, 1), (60, 8)])
def test_the_interval_of_the_gap_closed_holds_it(n: int, k: int) -> None:
    """A base at 20 %, a student at 50 %, a teacher at 80 %: half of the gap."""
    rng = np.random.default_rng(2)
    skills = [rng.beta(10 * p, 10 * (1 - p), size=(300, n)) for p in (0.2, 0.5, 0.8)]
    shares = [rng.binomial(k, skill) / k for skill in skills]
    found = [gap_closed(*row, draws=1_000) for row in zip(*shares, strict=True)]
    assert 0.91 <= np.mean([g.low <= 0.5 <= g.high for g in found]) <= 0.98
