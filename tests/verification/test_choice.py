import pytest

from distill.records import Extraction, Outcome
from distill.verification import choice
from distill.verification.extraction import Extracted

OPTIONS = ["3 m", "12 m", "a circle", "none of these"]


@pytest.mark.parametrize(
    ("text", "letter", "how"),
    [
        ("\\boxed{C}", "C", Extraction.BOX),
        ("\\boxed{c}", "C", Extraction.BOX),
        ("\\boxed{(C)}", "C", Extraction.BOX),
        ("\\boxed{\\text{C}}", "C", Extraction.BOX),
        ("\\boxed{\\textbf{(C)}}", "C", Extraction.BOX),
        ("\\boxed{C. a circle}", "C", Extraction.BOX),
        ("\\boxed{a circle}", "C", Extraction.BOX),
        ("\\boxed{\\text{A circle}}", "C", Extraction.BOX),
        ("\\boxed{C}, so \\boxed{(C)}", "C", Extraction.BOX),
        ("The answer is C.", "C", Extraction.OPTION),
        ("The answer is **C**.", "C", Extraction.OPTION),
        ("Answer: (C)", "C", Extraction.OPTION),
        ("So it is A? No: the correct option is B", "B", Extraction.OPTION),
        ("I think so.\n\n**(D)**", "D", Extraction.OPTION),
    ],
)
def test_letters_that_are_read(text, letter, how):
    assert choice.extract(text, OPTIONS) == Extracted(letter, how)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("\\boxed{A} or \\boxed{B}", Outcome.AMBIGUOUS),
        ("\\boxed{A and B}", Outcome.AMBIGUOUS),
        ("\\boxed{A, B}", Outcome.AMBIGUOUS),
        ("\\boxed{A) a circle}", Outcome.AMBIGUOUS),
        ("The answer is A or B.", Outcome.AMBIGUOUS),
        ("\\boxed{E}", Outcome.UNPARSED_ANSWER),
        ("\\boxed{a square}", Outcome.UNPARSED_ANSWER),
        ("\\boxed{}", Outcome.UNPARSED_ANSWER),
        ("A circle is round.", Outcome.NO_ANSWER),
        ("", Outcome.NO_ANSWER),
        ("\\boxed{A}" * 51, Outcome.AMBIGUOUS),
    ],
)
def test_letters_that_are_not(text, outcome):
    assert choice.extract(text, OPTIONS).outcome is outcome
