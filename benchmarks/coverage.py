"""How often 95 % intervals hold the truth: ours, Student's t, the run-to-run error, samples taken as independent.

    python benchmarks/coverage.py 5000     # simulated evaluations of each kind

Skills of questions come from a population; the truth is its mean. Prints the table of docs/statistics.md.
"""

import sys
from math import nan

import numpy as np
from scipy import stats

from distill.evaluation.statistics import estimate, paired_difference, wilson

SKILLS = {
    "Beta(2, 2), mean 0.5": (2.0, 2.0),
    "Beta(0.5, 0.5), mean 0.5": (0.5, 0.5),
    "Beta(1, 4), mean 0.2": (1.0, 4.0),
    "Beta(0.5, 4.5), mean 0.1": (0.5, 4.5),
    "Beta(0.1, 4.9), mean 0.02": (0.1, 4.9),
}


def main(evaluations: int) -> None:
    """One row per population, number of questions and number of samples."""
    print("| skills of questions | N | k | interval | difference | t | run-to-run | independent |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, shape in SKILLS.items():
        for n in (30, 500):
            for k in (1, 10, 64):
                shares = " | ".join(f"{100 * share:.1f}" for share in measure(shape, n, k, evaluations))
                print(f"| {name} | {n} | {k} | {shares} |".replace("nan", "-"), flush=True)


def measure(shape: tuple[float, float], n: int, k: int, evaluations: int) -> list[float]:
    """The share of intervals that hold the truth, of each of the five."""
    rng = np.random.default_rng([9, n, k])
    truth, reach = shape[0] / sum(shape), stats.t.ppf(0.975, n - 1)
    skill = rng.beta(*shape, size=(evaluations, n))
    held: list[tuple[bool, ...]] = []
    for right, better in zip(rng.binomial(k, skill), rng.binomial(k, skill + (1 - skill) / 3), strict=True):
        e = estimate(right.tolist(), [k] * n)
        d = paired_difference((better / k).tolist(), (right / k).tolist(), flips=1)
        low, high = wilson(int(right.sum()), n * k)
        held.append(
            (
                e.low <= truth <= e.high,
                d.low <= (1 - truth) / 3 <= d.high,
                abs(e.mean - truth) <= reach * e.se,
                abs(e.mean - truth) <= 1.96 * (e.run_se or 0.0),
                low <= truth <= high,
            )
        )
    shares = np.mean(held, axis=0).tolist()
    return [*shares[:3], shares[3] if k > 1 else nan, shares[4]]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
