"""What several samples of a question amount to: pass@k, G-Pass@k, and the vote of a majority.

    right, n = [1, 2, 0, 1], [2, 2, 2, 2]           # right samples and samples of each of four questions
    pass_at_k(right, n, 2)                          -> 0.75
    g_pass_at_k(right, n, 2, 1.0)                   -> 0.25
    maj_at_k(["7", "7.0", "8", None], [True, True, False, False], 3)   -> 0.75

None wherever a question has fewer than k samples: there is no number then, rather than a wrong one.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

MAX_SUBSETS = 2_000


def pass_at_k(right: Sequence[int], n: Sequence[int], k: int) -> float | None:
    """Unbiased pass@k: the mean over questions of 1 - C(n - c, k) / C(n, k) (Chen et al., arXiv 2107.03374)."""
    return _mean_at_least(right, n, k, 1)


def g_pass_at_k(right: Sequence[int], n: Sequence[int], k: int, tau: float) -> float | None:
    """G-Pass@k: the chance that at least ceil(tau k) of k samples are right (Liu et al., arXiv 2412.13147).

    Of k drawn without replacement, so hypergeometric. At least one must be right: tau towards 0 is pass@k.
    """
    if not 0 <= tau <= 1:
        raise ValueError(f"tau is a share of the k samples, from 0 to 1, got {tau}")
    return _mean_at_least(right, n, k, max(1, math.ceil(tau * k - 1e-9)))  # 0.7 * 10 is above 7


def mg_pass_at_k(right: Sequence[int], n: Sequence[int], k: int) -> float | None:
    """mG-Pass@k: twice the integral of G-Pass@k over tau from 0.5 to 1 (Liu et al., arXiv 2412.13147).

    G-Pass@k is a step in tau, so the integral is a sum of steps. It is the paper's sum for every even k; for odd k that
    sum leaves out the half step at 0.5, and a perfect model would score (k - 1) / k.
    """
    total = 0.0
    for need in range(k // 2 + 1, k + 1):
        step = _mean_at_least(right, n, k, need)
        if step is None:
            return None
        total += step * (2 / k) * (0.5 if 2 * need == k + 1 else 1.0)
    return total


def maj_at_k(answers: Sequence[str | None], right: Sequence[bool], k: int) -> float | None:
    """The chance that the majority of k samples of one question is right.

    Samples vote for their answer; all right ones for the same, however it is spelled; None abstains unless it is
    right. A tie counts as the share of its answers that are right, as if a coin were tossed; where nobody votes it is
    0. With more than k samples it is the mean over subsets of k: all of them up to MAX_SUBSETS, else as many drawn
    ones, from a fixed seed.
    """
    import numpy as np

    if k < 1 or len(answers) < k:
        return None
    keys: dict[str | None, int] = {}  # wrong answers, from 1
    votes = [
        0 if ok else -1 if answer is None else keys.setdefault(answer, len(keys) + 1)
        for answer, ok in zip(answers, right, strict=True)
    ]
    cast = np.asarray(votes)[:, None] == np.arange(len(keys) + 1)  # (samples, answers)
    counts = cast[_subsets(len(votes), k)].sum(axis=1)  # (subsets, answers)
    most = counts.max(axis=1, keepdims=True)
    won = (counts == most) & (most > 0)
    return float((won[:, 0] / np.maximum(1, won.sum(axis=1))).mean())


@lru_cache(maxsize=16)
def _subsets(n: int, k: int) -> Any:
    """Subsets of k of n as indices, (subsets, k): all, or MAX_SUBSETS drawn ones."""
    import numpy as np

    if math.comb(n, k) <= MAX_SUBSETS:
        return np.array(list(combinations(range(n), k)))
    return np.random.default_rng(0).random((MAX_SUBSETS, n)).argsort(axis=1)[:, :k]


def _mean_at_least(right: Sequence[int], n: Sequence[int], k: int, need: int) -> float | None:
    if not n or k < 1 or min(n) < k:
        return None
    return math.fsum(_at_least(r, size, k, need) for r, size in zip(right, n, strict=True)) / len(n)


@lru_cache(maxsize=65_536)
def _at_least(right: int, n: int, k: int, need: int) -> float:
    """The chance of at least `need` right among k drawn without replacement: a tail of the hypergeometric law."""
    ways = sum(math.comb(right, hits) * math.comb(n - right, k - hits) for hits in range(need, min(right, k) + 1))
    return ways / math.comb(n, k)
