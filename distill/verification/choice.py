r"""Multiple choice: which letter an answer gives, however it is written.

    \boxed{C}   \boxed{\text{(C)}}   \boxed{C) 12 m}   \boxed{12 m}        a letter, or the option's own text, in a box
    The answer is **C**.   Answer: (C)                                     said, where there is no box
    (C)                                                                    alone on the last line

Two letters are ambiguous, and so is a letter beside the text of another option. Options were shuffled when the problem
was made; the letters are those that the model saw.
"""

import re
from collections.abc import Sequence

from distill.prompting import LETTERS, boxed_answers
from distill.records import Extraction, Method, Outcome
from distill.verification import answers
from distill.verification.extraction import MAX_BOXES, Extracted
from distill.verification.findings import Finding

MAX_TEXT = 20_000  # characters at the end that may say the answer where no box does
_SAID = re.compile(
    r"\b(?:answer|option|choice)\b(?: (?:is|must be|would be))?[ \t]*:?[ \t]*(?:option |choice )?([^\n]{1,300})",
    re.IGNORECASE,
)
_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\].:,]*(?:\s|$)")
_MORE = re.compile(r"(?:(?:and|or|&|/|,)?\s*[(\[]?[A-Z][)\].,]*\s*)+")
_MARKUP = re.compile(r"\\(?:text|textbf|mathbf|mathrm|mathsf|bf|rm|boldsymbol)(?![a-z])|[*_`${}]|\\[()\[\]]")


def extract(text: str, options: Sequence[str]) -> Extracted | Finding:
    """The letter that a text gives, as one of `options`, or why none."""
    if text.count("\\boxed{") > MAX_BOXES:
        return Finding(Outcome.AMBIGUOUS, Method.NONE, f"more than {MAX_BOXES} boxed answers")
    boxes = boxed_answers(text)
    given = boxes or _said(text[-MAX_TEXT:])
    if not given:
        return Finding(Outcome.NO_ANSWER, Method.NONE, "no boxed or stated letter after the chain of thought")
    named = set().union(*(_named(part, options) for part in given))
    if len(named) > 1:
        return Finding(Outcome.AMBIGUOUS, Method.NONE, f"it names {' and '.join(sorted(named))}")
    if not named:
        outcome = Outcome.UNPARSED_ANSWER if boxes else Outcome.NO_ANSWER
        return Finding(outcome, Method.NONE, "what it gives is no letter and no option")
    return Extracted(named.pop(), Extraction.BOX if boxes else Extraction.OPTION)


def compare(gold: str, answer: str) -> Finding:
    """Compare two letters."""
    outcome = Outcome.CORRECT if gold == answer else Outcome.INCORRECT
    return Finding(outcome, Method.STRING, "compared as letters")


def _said(text: str) -> list[str]:
    """What the last sentence that states an answer states; else a last line that is a letter alone."""
    plain = _MARKUP.sub("", text).strip()
    if said := _SAID.findall(plain):
        return [said[-1]]
    last = plain.rsplit("\n", 1)[-1].strip()
    return [last] if _LETTER.fullmatch(last) else []


def _named(part: str, options: Sequence[str]) -> set[str]:
    """The letters that a part names."""
    letters = LETTERS[: len(options)]
    plain = " ".join(_MARKUP.sub(" ", part).split()).strip(" .,;:")
    texts = {letter for letter, option in zip(letters, options, strict=True) if _same_text(plain, option)}
    if texts:
        return texts
    match = _LETTER.match(plain)
    if match is None or match[1].upper() not in letters or (match[1].islower() and match.end() < len(plain)):
        return set()
    letter, rest = match[1].upper(), plain[match.end() :].strip()
    others = set(re.findall(r"[A-Z]", rest)) & set(letters) if _MORE.fullmatch(rest) else set()
    beside = {other for other, option in zip(letters, options, strict=True) if rest and _same_text(rest, option)}
    return {letter} | others | beside


def _same_text(given: str, option: str) -> bool:
    return _spelling(given) == _spelling(option) != ""


def _spelling(text: str) -> str:
    return answers.normalise(_MARKUP.sub(" ", text[: answers.MAX_CHARACTERS])).casefold().strip(" .,;:")
