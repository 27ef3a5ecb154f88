"""Grade any file of answers by the same rules and engines as the pipeline: `distill grade pairs.jsonl`.

A line in, an object a line:

    {"gold": "\\\\frac{1}{2}", "answer": "0.5"}
    {"gold": "7", "text": "<think>3 + 4</think>It is \\\\boxed{7}."}
    {"gold": "B", "answer": "(b)", "kind": "choice", "options": ["3 m", "12 m"]}
    {"gold": "", "text": "…```python…", "kind": "code", "inputs": ["1\\n"], "outputs": ["2\\n"]}

A line out for each, in the same order:

    {"verdict": "correct", "method": "exact", "extracted": "0.5", "evidence": "equal as exact fractions"}
"""

import json
from collections.abc import Iterable
from typing import Any

from distill.errors import DataError
from distill.prompting import split_completion
from distill.records import Extraction, FinishReason, Problem, TraceAnswer, Verifier
from distill.settings import VerifySettings
from distill.verification import choice, code, engines
from distill.verification.engines import Work
from distill.verification.extraction import Extracted
from distill.verification.findings import Finding
from distill.verification.grade import MAX_EXTRACTED, Rules

KINDS = (Verifier.MATH, Verifier.CHOICE, Verifier.CODE)


def grade_lines(
    lines: Iterable[str], name: str, settings: VerifySettings, answer_line: bool = False
) -> list[dict[str, Any]]:
    """Grade lines of JSON; blank ones are passed over. Raises `DataError` naming the line that cannot be read."""
    rules = Rules({}, answer_line)
    asked: dict[str, Finding | Work] = {}
    given: dict[str, Extracted | None] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{name} line {number}"
            row = _row(line, where)
            problem = _problem(row, where)
            rules.problems[where] = problem
            asked[where], given[where] = _judge(rules, problem, row, where)
    findings = engines.settle(asked.items(), settings)
    return [_answer(findings[where], given[where]) for where in asked]


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("gold"), str | int | float):
        raise DataError(
            f'{where} must be an object with gold, and with answer or text, as {{"gold": "7", "answer": "7"}}'
        )
    if ("answer" in row) == ("text" in row):
        raise DataError(f"{where} must hold either answer (the bare answer) or text (a whole trace)")
    return row


def _problem(row: dict[str, Any], where: str) -> Problem:
    """The reference of a row; its place is its name, so that every error about it says where it stands."""
    kind = row.get("kind", Verifier.MATH)
    if kind not in KINDS:
        raise DataError(f"{where}: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == Verifier.CHOICE and not _are_texts(row.get("options")):
        raise DataError(f"{where}: a choice needs options, a list of texts")
    arguments: dict[str, Any] = {key: row[key] for key in ("options", "inputs", "outputs", "fn_name") if key in row}
    if kind == Verifier.CODE:
        code.Tests.parse(arguments, where)
    return Problem(
        id=where, source="", domain="", prompt="", answer=str(row["gold"]).strip(), verifier=Verifier(kind),
        verifier_args=json.dumps(arguments),
    )  # fmt: skip


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) for item in value)


def _judge(rules: Rules, problem: Problem, row: dict[str, Any], where: str) -> tuple[Finding | Work, Extracted | None]:
    """What is found of a whole trace, or of a bare answer, which needs no box."""
    if "text" in row:
        answer_text = split_completion(str(row["text"]), prefilled=False).answer
        reason = str(row.get("finish_reason", FinishReason.STOP))
        return rules.judge(TraceAnswer(id=where, problem_id=where, finish_reason=reason, answer_text=answer_text))
    answer = str(row["answer"])
    extracted: Extracted | Finding = Extracted(answer, Extraction.NONE)
    if problem.verifier == Verifier.CHOICE:
        extracted = choice.extract(f"\\boxed{{{answer}}}", json.loads(problem.verifier_args)["options"])
    elif problem.verifier == Verifier.CODE and "```" in answer:
        extracted = rules.extract(problem, answer)
    if isinstance(extracted, Finding):
        return extracted, None
    return rules.compare(problem, extracted.text), extracted


def _answer(finding: Finding, extracted: Extracted | None) -> dict[str, Any]:
    return {
        "verdict": finding.outcome,
        "method": finding.method,
        "extracted": extracted.text[:MAX_EXTRACTED] if extracted else None,
        "evidence": finding.evidence,
    }
