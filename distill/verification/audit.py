"""What a person should look at: verdicts and references that the other answers speak against.

    likely false negative    an answer that the rules did not call correct, where most samples of the problem that gave
                             an answer are correct and this one is no plainly different number; or where a judge calls
                             it the reference in other words
    likely wrong reference   an answer that most samples of a problem agree on, and that is not the reference

Nothing is changed by it. A verdict changes when a rule does, a reference when its source does.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum
from fractions import Fraction

from distill.records import Outcome, Problem, Verdict, Verifier
from distill.verification import answers
from distill.verification.grade import Case, Judge
from distill.verification.math import canonical

MAJORITY = 0.5
MIN_SAMPLES = 3  # that gave an answer, before they outvote a reference
NEAR = 0.01  # relative difference of two numbers below which rounding may be what divides them
MAX_ASKED = 500  # answers that a judge is asked about
MAX_TRACES = 5
_NO_VOTE = {Outcome.TRUNCATED, Outcome.NO_ANSWER, Outcome.AMBIGUOUS}


class Kind(StrEnum):
    """Which of the two may be wrong."""

    FALSE_NEGATIVE = "likely false negative"
    WRONG_GOLD = "likely wrong reference"


@dataclass(frozen=True, slots=True)
class Suspect:
    """An answer to a problem with what speaks against its verdict, or against the reference."""

    kind: str
    problem_id: str
    source: str
    prompt: str
    gold: str
    answer: str
    verdict: str
    evidence: str
    why: str
    n_gave_it: int
    n_answered: int
    similarity: float  # of answer and reference as text, 0 to 1
    traces: list[str]


def find(
    problems: Iterable[Problem], verdicts: Iterable[Verdict], problem_of: dict[str, str], judge: Judge | None = None
) -> list[Suspect]:
    """Every suspect, likely wrong references first, then what is most like its reference."""
    votes: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.verdict not in _NO_VOTE and verdict.extracted is not None:
            votes[problem_of[verdict.trace_id]].append(verdict)
    wrong_golds: list[Suspect] = []
    candidates: list[Suspect] = []
    for problem in problems:
        if problem.verifier != Verifier.CODE and problem.id in votes:
            groups = _by_answer(votes[problem.id])
            wrong_golds += _against_gold(problem, groups)
            candidates += _against_verdict(problem, groups)
    taken = {(suspect.problem_id, suspect.answer) for suspect in wrong_golds}
    candidates = [suspect for suspect in candidates if (suspect.problem_id, suspect.answer) not in taken]
    negatives = [suspect for suspect in _judged(candidates, judge) if suspect.why]
    return sorted(wrong_golds, key=lambda s: -s.n_gave_it) + sorted(negatives, key=lambda s: -s.similarity)


def _by_answer(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Verdicts by what they are about: one group for all correct ones, one for each other answer in any spelling."""
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        groups["" if verdict.verdict == Outcome.CORRECT else canonical(verdict.extracted or "")].append(verdict)
    return groups


def _against_gold(problem: Problem, groups: dict[str, list[Verdict]]) -> list[Suspect]:
    n = sum(map(len, groups.values()))
    answer, group = max(groups.items(), key=lambda item: len(item[1]))
    if not answer or n < MIN_SAMPLES or len(group) <= MAJORITY * n:
        return []
    return [_suspect(Kind.WRONG_GOLD, problem, group, n, f"{len(group)} of {n} samples agree on it")]


def _against_verdict(problem: Problem, groups: dict[str, list[Verdict]]) -> list[Suspect]:
    """Every answer that may be the reference in other words; `why` is empty where only a judge could say so."""
    n, correct = sum(map(len, groups.values())), len(groups.get("", []))
    found = []
    for answer, group in groups.items():
        if answer and not _plainly_different(problem.answer, answer):
            why = f"{correct} of {n} samples are correct" if correct > MAJORITY * n else ""
            found.append(_suspect(Kind.FALSE_NEGATIVE, problem, group, n, why))
    return found


def _plainly_different(gold: str, answer: str) -> bool:
    """Whether both are numbers, and too far apart for rounding."""
    left, right = (answers.number(canonical(text)) for text in (gold, answer))
    return left is not None and right is not None and abs(left - right) > Fraction(NEAR) * abs(left)


def _suspect(kind: Kind, problem: Problem, group: Sequence[Verdict], n: int, why: str) -> Suspect:
    first = group[0]
    answer = first.extracted or ""
    return Suspect(
        kind=kind,
        problem_id=problem.id,
        source=problem.source,
        prompt=problem.prompt,
        gold=problem.answer,
        answer=answer,
        verdict=Counter(verdict.verdict for verdict in group).most_common(1)[0][0],
        evidence=first.evidence,
        why=why,
        n_gave_it=len(group),
        n_answered=n,
        similarity=round(_similarity(problem.answer, answer), 3),
        traces=[verdict.trace_id for verdict in group[:MAX_TRACES]],
    )


def _similarity(one: str, other: str) -> float:
    one, other = canonical(one)[:500], canonical(other)[:500]
    left, right = answers.number(one), answers.number(other)
    if left is not None and right is not None:
        return math.exp(-float(abs(left - right) / (abs(left) or 1)))
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _judged(suspects: list[Suspect], judge: Judge | None) -> list[Suspect]:
    """Ask the judge about what is most like its reference; its yes becomes the reason."""
    if judge is None or not suspects:
        return suspects
    suspects = sorted(suspects, key=lambda suspect: -suspect.similarity)
    asked = suspects[:MAX_ASKED]
    findings = judge([Case(suspect.prompt, suspect.gold, suspect.answer) for suspect in asked])
    said = [
        replace(suspect, why="; ".join(filter(None, [suspect.why, "the judge calls it the same"])))
        if finding.outcome is Outcome.CORRECT
        else suspect
        for suspect, finding in zip(asked, findings, strict=True)
    ]
    return said + suspects[MAX_ASKED:]
