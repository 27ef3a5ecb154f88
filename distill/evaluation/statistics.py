"""What scores amount to, and how sure one can be. Pure functions over sufficient statistics, aligned by question.

Questions are the unit: samples of one question are no independent evidence, so every standard error here is
clustered by question (Miller, "Adding Error Bars to Evals", arXiv 2411.00640). A missing sample is missing, not wrong.

    right, n = [1, 2, 0, 1], [2, 2, 2, 2]     # right samples and samples of each of four questions
    estimate(right, n)  -> Estimate(n=4, k=2, mean=0.5, se=0.204, low=0.079, high=0.921, run_se=0.177)

docs/statistics.md says what each number is, what it is not, and how often its interval holds the truth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ALL = "all"  # every problem, of all benchmarks
CONFIDENCE = 0.95
FLIPS = 20_000
EXACT_FLIPS = 14  # 2 ** 14 sign vectors are fewer than FLIPS
DRAWS = 10_000
CHUNK = 2_000_000  # numbers in memory at a time while drawing: 16 MB of float64


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` questions of at least `k` samples each, and its 95 % interval. All as shares of 1.

    `se` says how far the mean may be from the skill on the population of questions. `run_se` says only how much it
    would move if these very questions were sampled again; None when a question has fewer than two samples.
    """

    n: int
    k: int
    mean: float
    se: float
    low: float
    high: float
    run_se: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference over the `n` questions that both models answered, with a sign-flip p-value."""

    n: int
    mean: float
    se: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class GapClosed:
    """The share of the way from base to teacher that a student went; all None where that ratio is no number."""

    value: float | None
    low: float | None
    high: float | None


def estimate(right: Sequence[int], n: Sequence[int]) -> Estimate:
    """pass@1: the mean over questions of right / n. A question without samples is missing and left out.

    SE is the standard deviation over questions of that share, over sqrt(questions). The interval is Wilson's with
    Student's t in place of z, on an effective sample size (see `_effective`): Franco, Little, Louis and Slud (2019),
    "Comparative Study of Confidence Intervals for Proportions in Complex Sample Surveys", recommend that form.
    With one question there is no SE and no interval (nan), with none no mean.
    """
    asked = [(r, k) for r, k in zip(right, n, strict=True) if k]
    shares = [r / k for r, k in asked]
    mean, se = _mean_and_se(shares)
    low = high = math.nan
    if len(shares) > 1:
        size = _effective(mean, se, len(shares), sum(r for r, _ in asked), sum(k for _, k in asked))
        low, high = _score_interval(mean, size, _t_quantile(len(shares) - 1))
    return Estimate(len(shares), min((k for _, k in asked), default=0), mean, se, low, high, _run_se(asked))


def paired_difference(a: Sequence[float], b: Sequence[float], seed: int = 0, flips: int = FLIPS) -> Difference:
    """The mean over questions of `a` minus `b`, two aligned sequences of shares, with t interval and sign-flip p.

    If there is no difference, the sign of each question's is a coin toss, so p is the share of sign vectors whose
    mean is at least as far from zero: of all of them up to EXACT_FLIPS questions that differ, else of `flips` drawn
    ones, with the +1 correction of Phipson and Smyth (2010).
    """
    deltas = [x - y for x, y in zip(a, b, strict=True)]
    mean, se = _mean_and_se(deltas)
    reach = _t_quantile(len(deltas) - 1) * se if len(deltas) > 1 else math.nan
    return Difference(len(deltas), mean, se, mean - reach, mean + reach, _sign_flip_p(deltas, seed, flips))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (1979), in the order of `ps`: the i-th smallest times (m - i), made monotone.

    They hold the chance of any false alarm among the m tests at the level, however these depend on each other.
    """
    adjusted = [math.nan] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def gap_closed(
    base: Sequence[float], student: Sequence[float], teacher: Sequence[float], seed: int = 0, draws: int = DRAWS
) -> GapClosed:
    """(student - base) / (teacher - base) over aligned shares, with the percentile interval of a bootstrap by question.

    No number (None) where the teacher is not shown to differ from the base: the 95 % interval of that difference holds
    zero, or it is zero or of the other sign in any of the draws. A ratio whose denominator may be zero is none.
    """
    import numpy as np

    gap = paired_difference(teacher, base, flips=1)
    if gap.n < 2 or gap.low <= 0 <= gap.high:
        return GapClosed(None, None, None)
    gains = np.column_stack([np.subtract(student, base), np.subtract(teacher, base)])  # (questions, 2)
    drawn = _resampled_sums(gains, seed, draws)  # (draws, 2)
    if (drawn[:, 1] * gap.mean <= 1e-12).any():
        return GapClosed(None, None, None)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return GapClosed(float(gains[:, 0].sum() / gains[:, 1].sum()), float(low), float(high))


def p_text(p: float) -> str:
    """`0.031`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _effective(mean: float, se: float, questions: int, right: int, samples: int) -> float:
    """How many independent samples would have this SE: mean (1 - mean) / se², which is never below questions - 1.

    It is at most the number of samples, as in Dean and Pagano (2015), and at most `questions` times the number of
    samples of the rarer kind: with one right sample among thousands the SE knows nothing of clustering, and with none
    it is zero, where each question counts as one trial.
    """
    if se < 1e-12:
        return questions
    rarer = min(right, samples - right)
    return min(mean * (1 - mean) / se**2, samples, questions * rarer)


def _score_interval(share: float, size: float, quantile: float) -> tuple[float, float]:
    """Where |share - p| = quantile * sqrt(p (1 - p) / size), solved for p: the two ends of Wilson's interval."""
    shrink = 1 + quantile**2 / size
    middle = (share + quantile**2 / (2 * size)) / shrink
    reach = quantile / shrink * math.sqrt(share * (1 - share) / size + quantile**2 / (4 * size**2))
    return (0.0 if share == 0 else max(0.0, middle - reach)), (1.0 if share == 1 else min(1.0, middle + reach))


def _run_se(asked: Sequence[tuple[int, int]]) -> float | None:
    """sqrt(sum of s² / k) / N over questions, where s² / k = share (1 - share) / (k - 1)."""
    if not asked or any(k < 2 for _, k in asked):
        return None
    return math.sqrt(sum(r / k * (1 - r / k) / (k - 1) for r, k in asked)) / len(asked)


def _mean_and_se(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error; nan where there are too few values for one."""
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n) if n > 1 else math.nan


@lru_cache(maxsize=1024)
def _t_quantile(degrees: int) -> float:
    from scipy import special

    return float(special.stdtrit(degrees, (1 + CONFIDENCE) / 2))


def _sign_flip_p(deltas: Sequence[float], seed: int, flips: int) -> float:
    """Questions that do not differ add nothing to any sum, so only the others are flipped."""
    import numpy as np

    if not deltas:
        return math.nan
    values = np.array([delta for delta in deltas if delta])  # (differing,)
    least = abs(values.sum()) - 1e-9 * np.abs(values).sum()  # sums that are equal but for rounding are as extreme
    if len(values) <= EXACT_FLIPS:
        signs = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1  # (vectors, differing)
        return float((_flipped(signs, values) >= least).mean())
    rng = np.random.default_rng(seed)
    extreme, rows = 0, max(1, CHUNK // len(values))
    for start in range(0, flips, rows):
        shape = (min(rows, flips - start), len(values))
        bits = np.unpackbits(np.frombuffer(rng.bytes(shape[0] * (shape[1] + 7) // 8 + 1), np.uint8))
        extreme += int((_flipped(bits[: shape[0] * shape[1]].reshape(shape), values) >= least).sum())
    return (extreme + 1) / (flips + 1)


def _flipped(signs: Any, values: Any) -> Any:
    """|sum| of the values for each row of signs, 1 for plus and 0 for minus."""
    import numpy as np

    return np.abs(2 * (signs.astype(np.float64) @ values) - values.sum())


def _resampled_sums(rows: Any, seed: int, draws: int) -> Any:
    """Column sums of `draws` resamples of the rows; equal rows are drawn together, which is the same and faster."""
    import numpy as np

    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    size = max(1, CHUNK // len(distinct))
    sizes = [min(size, draws - start) for start in range(0, draws, size)]
    return np.concatenate([rng.multinomial(len(rows), counts / len(rows), s) @ distinct for s in sizes])  # (draws, ...)
