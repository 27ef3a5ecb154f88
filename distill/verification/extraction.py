r"""What of a text is graded: the part after the chain of thought that the question asked for.

    box           the content of the last \boxed{}; boxes that differ are ambiguous
    answer_line   what follows "Answer:" on the last line that has it, where an evaluation allows it and there is no box
    program       the one fenced Python block
    option        a letter, boxed or said

Never "the last number": a text without an answer in the form asked for has no answer. Which form it was is recorded.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from distill.prompting import boxed_answers
from distill.records import Extraction, FinishReason, Method, Outcome
from distill.verification.findings import Finding

MAX_BOXES = 50
_ANSWER_LINE = re.compile(
    r"^[ \t>*_#]*(?:the )?(?:final )?answer(?: is)?[ \t*_]*:[ \t*_]*(\S.*)$", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """The answer as the model spelled it, and the form it came in."""

    text: str
    how: Extraction


def ended(finish_reason: str, answer_text: str | None) -> str | Finding:
    """The text after the chain of thought, or why there is none to be graded."""
    if finish_reason != FinishReason.STOP:
        return Finding(Outcome.TRUNCATED, Method.NONE, f"the server stopped it: {finish_reason}")
    if answer_text is None:
        return Finding(Outcome.NO_ANSWER, Method.NONE, "the chain of thought was never closed")
    return answer_text


def final_box(text: str, same: Callable[[str, str], bool], answer_line: bool = False) -> Extracted | Finding:
    """The final answer of a text. `same` says whether two boxes hold the same one."""
    if text.count("\\boxed{") > MAX_BOXES:
        return Finding(Outcome.AMBIGUOUS, Method.NONE, f"more than {MAX_BOXES} boxed answers")
    boxes = boxed_answers(text)
    if not boxes:
        lines = _ANSWER_LINE.findall(text) if answer_line else []
        if lines:
            return Extracted(lines[-1].strip().rstrip("*_ \t"), Extraction.ANSWER_LINE)
        return Finding(Outcome.NO_ANSWER, Method.NONE, "no boxed answer after the chain of thought")
    if any(not same(box, boxes[-1]) for box in boxes[:-1]):
        return Finding(Outcome.AMBIGUOUS, Method.NONE, "boxed answers that differ")
    return Extracted(boxes[-1], Extraction.BOX)
