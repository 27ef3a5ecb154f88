"""What scores amount to, and how sure one can be. Pure functions over per-question samples.

Questions are the unit: samples of one question are no independent evidence, so every standard error here is
clustered by question (Miller, "Adding Error Bars to Evals", arXiv 2411.00640). A missing sample is missing, not wrong.

    scores = {"9f31…": [1, 0], "77b0…": [1, 1]}     # per question: 1 for each right sample
    estimate(scores)  -> Estimate(n=2, k=2, mean=0.75, se=0.25, low=…, high=…)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Scores = Mapping[str, Sequence[int]]
CONFIDENCE = 0.95
PERMUTATIONS = 20_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` questions of `k` samples each, its standard error, and its 95 % interval. All as shares of 1."""

    n: int
    k: int
    mean: float
    se: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference over the `n` questions that both models answered, with a sign-flip p-value."""

    n: int
    mean: float
    se: float
    low: float
    high: float
    p: float


def estimate(scores: Scores) -> Estimate:
    """pass@1: the mean over questions of the share of right samples.

    SE is the standard deviation over questions of that share, over sqrt(n); the interval is Student's t with n - 1
    degrees of freedom. `k` is the smallest number of samples any question has.
    """
    shares = [sum(samples) / len(samples) for samples in scores.values() if samples]
    k = min((len(samples) for samples in scores.values() if samples), default=0)
    mean, se, low, high = _t_interval(shares)
    return Estimate(len(shares), k, mean, se, max(0.0, low), min(1.0, high))


def paired_difference(better: Scores, worse: Scores, seed: int = 0) -> Difference:
    """The mean over shared questions of `better` minus `worse`, with t interval and sign-flip permutation p.

    Under the hypothesis of no difference each question's sign is a coin toss, so p is the share of PERMUTATIONS tosses
    whose mean is at least as far from zero (with the +1 correction of Phipson and Smyth, 2010).
    """
    shared = sorted(question for question in better if better[question] and worse.get(question))
    deltas = [_share(better[question]) - _share(worse[question]) for question in shared]
    mean, se, low, high = _t_interval(deltas)
    return Difference(len(deltas), mean, se, low, high, _sign_flip_p(deltas, seed))


def pass_at_k(scores: Scores, k: int) -> float | None:
    """Unbiased pass@k: the mean over questions of 1 - C(n - c, k) / C(n, k) (Chen et al., arXiv 2107.03374).

    None when any question has fewer than k samples: there is no number then, rather than a wrong one.
    """
    if not scores or any(len(samples) < k for samples in scores.values()):
        return None
    return sum(_pass_at_k(len(samples), sum(samples), k) for samples in scores.values()) / len(scores)


def _pass_at_k(n: int, right: int, k: int) -> float:
    """1 - prod_{m = n - right + 1 .. n} (1 - k / m), which never overflows."""
    return 1.0 - math.prod(1.0 - k / m for m in range(n - right + 1, n + 1))


def _share(samples: Sequence[int]) -> float:
    return sum(samples) / len(samples)


def _t_interval(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, standard error, and the two ends of the interval. With fewer than two values only the mean is known."""
    from scipy import stats

    n = len(values)
    if n == 0:
        return math.nan, math.nan, math.nan, math.nan
    mean = sum(values) / n
    if n == 1:
        return mean, math.nan, math.nan, math.nan
    se = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * se
    return mean, se, mean - reach, mean + reach


def _sign_flip_p(deltas: Sequence[float], seed: int) -> float:
    import numpy as np

    if not deltas:
        return math.nan
    values = np.asarray(deltas)  # (questions,)
    signs = np.random.default_rng(seed).integers(0, 2, size=(PERMUTATIONS, len(deltas)), dtype=np.int8) * 2 - 1
    tossed = np.abs(signs @ values) / len(deltas)  # (permutations,)
    extreme = int((tossed >= abs(values.mean()) - 1e-12).sum())
    return (extreme + 1) / (PERMUTATIONS + 1)
