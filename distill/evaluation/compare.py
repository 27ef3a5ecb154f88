"""Two models, or two experiments, side by side: paired by problem, tested, and said in words.

    compare("tiny_qwen", "smollm2_135m").rows[0]
    -> Row(pair="tiny_qwen, smollm2_135m", benchmark="easy", n=100, only_a=0, only_b=0, k=(1, 1), a=0.4, b=0.22,
           difference=-0.18, low=-0.298, high=-0.062, p=0.0053, adjusted_p=0.0106,
           verdict="A is 18.0 points better (p 0.011)")

Every row is one paired test (docs/statistics.md); the adjusted p is Holm's over the rows of the comparison.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from distill.errors import DistillError
from distill.evaluation.experiments import Side, Tallies, find
from distill.evaluation.statistics import ALL, CONFIDENCE, holm, p_text, paired_difference

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

NO_DIFFERENCE = "no difference shown"
NO_PAIR = "no question in common"


@dataclass(frozen=True, slots=True)
class Row:
    """One benchmark of one pair of models. Rates are of the `n` questions that both answered, as shares of 1.

    `difference` is B minus A. `k` is the fewest samples of a question in A and in B. None where there is no number.
    """

    pair: str
    benchmark: str
    n: int
    only_a: int
    only_b: int
    k: tuple[int, int]
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    adjusted_p: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, what the two sides are, and the models that only one of two experiments holds."""

    a: str
    b: str
    only_a: list[str]
    only_b: list[str]
    rows: list[Row]

    def as_json(self) -> str:
        """The same as one JSON object."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def compare(a: str, b: str) -> Comparison:
    """Set two models or two experiments side by side.

    Raises `DistillError` when one is unknown, when no model is in both experiments, or when no question is in both.
    """
    left, right = find(a), find(b)
    pairs = _pairs(left, right)
    named = [(first if first == second else f"{first}, {second}", first, second) for first, second in pairs]
    rows = [row for pair, first, second in named for row in weigh(pair, left.read(first), right.read(second))]
    if not any(row.n for row in rows):
        raise DistillError(
            f"{a} and {b} share no question: {sum(row.only_a for row in rows)} are only in the first and "
            f"{sum(row.only_b for row in rows)} only in the second; compare evaluations of the same problems"
        )
    experiments = left.model is None and right.model is None
    return Comparison(
        a=_described(left),
        b=_described(right),
        only_a=sorted(set(left.models) - set(right.models)) if experiments else [],
        only_b=sorted(set(right.models) - set(left.models)) if experiments else [],
        rows=conclude(rows),
    )


def weigh(pair: str, a: Tallies, b: Tallies) -> list[Row]:
    """One row per benchmark, and one of all together where that pairs more questions; nothing is concluded yet."""
    benchmarks = sorted(a.keys() | b.keys())
    rows = [_row(pair, name, a.get(name, {}), b.get(name, {})) for name in benchmarks]
    together = _row(pair, ALL, _pooled(a), _pooled(b))
    return [*rows, together] if together.n > max((row.n for row in rows), default=0) else rows


def conclude(rows: Sequence[Row]) -> list[Row]:
    """The rows with Holm's p over all that have one, and the verdict by it."""
    adjusted = iter(holm([row.p for row in rows if row.p is not None]))
    return [_concluded(row, next(adjusted)) if row.p is not None else row for row in rows]


def print_comparison(found: Comparison, console: "Console | None" = None) -> None:
    """Print a table per pair of models, narrow enough for 80 characters, and one sentence per row."""
    from rich.console import Console

    console = console or Console()
    for line in (f"A  {found.a}", f"B  {found.b}"):
        console.print(_plain(line), soft_wrap=True)
    for pair in dict.fromkeys(row.pair for row in found.rows):
        rows = [row for row in found.rows if row.pair == pair]
        console.print()
        console.print(_table(pair, rows))
        for row in rows:
            console.print(_plain(f"{row.benchmark}: {row.verdict}{_left_out(row)}"), soft_wrap=True)
    for side, models in (("A", found.only_a), ("B", found.only_b)):
        if models:
            console.print(_plain(f"only in {side}, not compared: {', '.join(models)}"), soft_wrap=True)


def _pairs(a: Side, b: Side) -> list[tuple[str, str]]:
    """Which models are compared. A model against an experiment is compared with its namesake there."""
    if a.model and b.model:
        return [(a.model, b.model)]
    shared = [
        model for model in a.models if model in b.models and a.model in (None, model) and b.model in (None, model)
    ]
    if not shared:
        first, second = (", ".join([side.model] if side.model else side.models) for side in (a, b))
        raise DistillError(f"{a.name} and {b.name} have no model in common: A holds {first}, B holds {second}")
    return [(model, model) for model in shared]


def _row(pair: str, benchmark: str, a: dict[str, tuple[int, int]], b: dict[str, tuple[int, int]]) -> Row:
    shared = sorted(a.keys() & b.keys())
    only_a, only_b = len(a) - len(shared), len(b) - len(shared)
    if not shared:
        return Row(pair, benchmark, 0, only_a, only_b, (0, 0), None, None, None, None, None, None, None, NO_PAIR)
    rates_a, rates_b = ([side[problem][0] / side[problem][1] for problem in shared] for side in (a, b))
    found = paired_difference(rates_b, rates_a)
    return Row(
        pair=pair,
        benchmark=benchmark,
        n=found.n,
        only_a=only_a,
        only_b=only_b,
        k=(min(a[problem][1] for problem in shared), min(b[problem][1] for problem in shared)),
        a=math.fsum(rates_a) / found.n,
        b=math.fsum(rates_b) / found.n,
        difference=found.mean,
        low=None if math.isnan(found.low) else found.low,
        high=None if math.isnan(found.high) else found.high,
        p=found.p,
        adjusted_p=None,
        verdict=NO_DIFFERENCE,
    )


def _pooled(tallies: Tallies) -> dict[str, tuple[int, int]]:
    """All benchmarks as one; a problem of several is one question with all its samples."""
    pooled: dict[str, tuple[int, int]] = {}
    for problems in tallies.values():
        for problem, (right, n) in problems.items():
            before = pooled.get(problem, (0, 0))
            pooled[problem] = (before[0] + right, before[1] + n)
    return pooled


def _concluded(row: Row, adjusted: float) -> Row:
    if adjusted > 1 - CONFIDENCE or row.difference is None:
        return replace(row, adjusted_p=adjusted)
    better = "B" if row.difference > 0 else "A"
    words = f"{better} is {100 * abs(row.difference):.1f} points better (p {p_text(adjusted)})"
    return replace(row, adjusted_p=adjusted, verdict=words)


def _table(pair: str, rows: Sequence[Row]) -> "RenderableType":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=_plain(f"{pair}: pass@1 in %"), title_justify="left")
    table.add_column("benchmark", overflow="fold", max_width=16)
    for heading in ("n", "k", "A", "B", "B - A [95 %]", "p", "Holm"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(_plain(row.benchmark), *(_plain(cell) for cell in _cells(row)))
    return table


def _cells(row: Row) -> list[str]:
    k = f"{row.k[0]}" if row.k[0] == row.k[1] else f"{row.k[0]}/{row.k[1]}"
    if row.a is None or row.b is None or row.difference is None or row.p is None or row.adjusted_p is None:
        return ["0", *["-"] * 6]
    ends = "" if row.low is None or row.high is None else f" [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
    rates = [f"{100 * rate:.1f}" for rate in (row.a, row.b)]
    return [f"{row.n}", k, *rates, f"{100 * row.difference:+.1f}{ends}", p_text(row.p), p_text(row.adjusted_p)]


def _left_out(row: Row) -> str:
    """How many questions have no partner; nothing where all have one."""
    if not row.only_a + row.only_b:
        return ""
    return f" (left out: {row.only_a} questions only in A, {row.only_b} only in B)"


def _described(side: Side) -> str:
    return f"{side.model} ({side.place})" if side.model else f"{side.name} ({side.place})"


def _plain(text: str) -> Any:
    """A text of somebody's file as rich shows it: no markup, no control characters."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
