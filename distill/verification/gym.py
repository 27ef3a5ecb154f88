"""reasoning-gym's tasks, each graded in the one way that is sound for it.

Numeric tasks are compared as exact fractions, here: `07`, `+7`, `7.0`, `14/2` and `x = 7` are 7. The others are scored
by the task's own scorer inside the sandbox, which makes the problem again from its seed; only 1.0 is correct.
Which task is which, and which are refused, is in `distill.verification.tasks`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from distill.records import Method, Outcome
from distill.verification import answers, sandbox, tasks
from distill.verification.findings import Finding
from distill.verification.structure import bare_value

CPU_S = 10  # of one scoring, the making of its task included
WALL_S = 60.0
START_S = 60.0  # to import reasoning-gym on a busy machine
BATCH = 64  # items of one sandbox: reasoning-gym takes a second to import


@dataclass(frozen=True, slots=True)
class Scoring:
    """An answer to a problem that its task makes again from a seed."""

    task: str
    config: str  # JSON
    seed: int
    size: int
    index: int
    gold: str
    answer: str


def compare(gold: str, answer: str) -> Finding:
    """Compare two answers as numbers; text that is no number is never a guess."""
    if max(len(gold), len(answer)) > answers.MAX_CHARACTERS:
        return Finding(Outcome.LIMIT, Method.NONE, f"an answer of more than {answers.MAX_CHARACTERS:,} characters")
    gold_value, answer_value = _number(gold), _number(answer)
    if gold_value is None:
        return Finding(Outcome.UNPARSED_GOLD, Method.NONE, "the reference is not a number")
    if answer_value is None:
        return Finding(Outcome.UNPARSED_ANSWER, Method.NONE, "the answer is not a number")
    equal = gold_value == answer_value
    return Finding(Outcome.CORRECT if equal else Outcome.INCORRECT, Method.EXACT, "compared as exact fractions")


def scoring(arguments: dict[str, Any], gold: str, answer: str) -> Scoring | Finding:
    """What is to be scored, or why the scorer must not see it. `arguments` are the problem's `verifier_args`."""
    allowed = tasks.SCORED[arguments["task"]]
    if len(answer) > answers.MAX_CHARACTERS:
        return Finding(Outcome.LIMIT, Method.NONE, f"an answer of more than {answers.MAX_CHARACTERS:,} characters")
    if not answer:
        return Finding(Outcome.NO_ANSWER, Method.NONE, "the box is empty")
    if not allowed.fullmatch(answer):
        return Finding(Outcome.UNPARSED_ANSWER, Method.NONE, "it holds characters that no answer of this task needs")
    config = json.dumps(arguments["config"], sort_keys=True)
    return Scoring(arguments["task"], config, arguments["seed"], arguments["size"], arguments["index"], gold, answer)


def run(items: Sequence[Scoring]) -> Iterator[tuple[int, Finding, float]]:
    """Yield (index, finding, seconds) for every item; see `sandbox.side_by_side`."""
    return sandbox.side_by_side(_score, items, BATCH)


def _score(batch: Sequence[Scoring]) -> list[Finding]:
    """Score a batch in one sandbox; what is missing when it ends has crashed."""
    items = [asdict(item) | {"config": json.loads(item.config)} for item in batch]
    job = {**sandbox.limits(CPU_S, WALL_S), "items": items}
    findings: list[Finding] = []
    reason = "crash"
    try:
        for said in sandbox.run("scorers", job, START_S + WALL_S):
            findings.append(_finding(said))
    except sandbox.Ended as end:
        reason = end.reason
    if len(findings) < len(batch):
        findings.append(Finding(sandbox.OUTCOMES[reason], Method.EXECUTION, f"the scorer ended by {reason}"))
    lost = Finding(Outcome.CRASH, Method.EXECUTION, "the sandbox ended before it")
    return [*findings, *[lost] * (len(batch) - len(findings))]


def _finding(said: dict[str, Any]) -> Finding:
    """What a scorer's answer means."""
    status, score, note = str(said.get("status")), said.get("score"), sandbox.note(said)
    if status == "ok":
        outcome = Outcome.CORRECT if score == 1.0 else Outcome.INCORRECT
        return Finding(outcome, Method.EXECUTION, f"the task's scorer gives {score}")
    if status == "other":
        return Finding(Outcome.UNPARSED_GOLD, Method.EXECUTION, note)
    outcome = Outcome.TIMEOUT if status == "time" else Outcome.UNPARSED_ANSWER
    return Finding(outcome, Method.EXECUTION, f"the task's scorer ended by {note or status}")


def _number(text: str) -> Fraction | None:
    text = bare_value(answers.normalise(text))
    value = answers.quantity(text)
    return None if value.unit == "%" or value.unit.startswith("_") else answers.number(value.value)
