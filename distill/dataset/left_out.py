"""Which rows tokenize leaves out whole, counted by reason and source, and how many are too many.

audit.json: "left_out": {"too long": {"gcd": 2, "products": 1}, "without one chain": {"gcd": 1}}
"""

from collections import Counter
from typing import Any

from distill.dataset import audit
from distill.dataset.chat import Chat, opening
from distill.dataset.examples import Example
from distill.errors import DataError

CURES = {
    "too long": "raise max_length, or teach shorter chains",
    "with a control token": "look at the teacher's texts, which spell a token that should have ended them",
    "without one chain": "export a policy whose traces hold one <think>…</think> and an answer",
}
Counts = dict[str, Counter[str]]


def reason(row: dict[str, Any], example: Example, chat: Chat, max_length: int) -> str | None:
    """Why a row cannot be trained on, if so. Model text is hostile: a chain may spell the token that ends a turn."""
    if example.n_tokens > max_length:
        return "too long"
    if chat.control_ids.intersection(example.input_ids[example.n_prompt : -1]):
        return "with a control token"
    *asked, answer = row["messages"]
    prompt = chat.prompt(asked)
    whole = audit.one_chain(opening(prompt, asked), chat.reply(prompt, answer["content"]))
    return None if whole else "without one chain"


def require_few(report: dict[str, Any], limit: float, student: str) -> None:
    """Raise `DataError` when no row is left, or when a larger share than `limit` is left out."""
    lost = sum(sum(sources.values()) for sources in report["left_out"].values())
    total = report["rows"] + lost
    if not total:
        raise DataError(f"no row is left for {student}: the data set is empty; look at data/funnel.json")
    if report["rows"] and lost <= limit * total:
        return
    what = f"{lost:,} of {total:,} rows are left out for {student}, more than students.{student}.max_left_out {limit:g}"
    if not report["rows"]:
        what = f"no row is left for {student}"
    cures = "; ".join(CURES[reason] for reason in report["left_out"])
    raise DataError(f"{what}: {', '.join(describe(report))}; {cures}")


def describe(report: dict[str, Any]) -> list[str]:
    """A part for each reason: `3 too long (2 gcd, 1 products)`."""
    return [
        f"{sum(sources.values()):,} {reason} ({', '.join(f'{n:,} {source}' for source, n in sources.items())})"
        for reason, sources in report["left_out"].items()
    ]


def sort(counts: Counts) -> dict[str, dict[str, int]]:
    """The counts in an order of their own, so that they are the same from run to run."""
    return {reason: dict(sorted(counts[reason].items())) for reason in sorted(counts)}
