r"""Mathematical answers: exact where two numbers are compared, symbolic only where it must be.

The way of one pair, each step only when the one before cannot decide:
    1. the same text after normalisation                        -> correct, by string
    2. lists, sets, intervals and unions: delimiters as text, then item by item
    3. both sides are numbers                                   -> correct or incorrect, by exact fractions
    4. both sides are words                                     -> correct or incorrect, by string
    5. both sides have a normal form                            -> correct or incorrect, by `ring`
    6. static limits on what a parser may see                   -> limit
    7. the LaTeX parser, in a process that can be killed        -> see `distill.verification.symbolic`

Readings that had to be chosen:
- The reference decides how exact an answer must be: where it is a decimal of at least four significant digits, an exact
  answer that no decimal writes out may round to it (`0.3333` takes `\frac13`); an exact reference takes no rounded
  decimal, and two decimals are equal only exactly. Math-Verify rounds to six *places*, so all tiny numbers are equal.
- A reference of 9 % takes `9\%`, 9 and 0.09; everywhere else a percent sign is a hundredth, so 9 does not take `9\%`.
- A unit or base on one side alone is ignored; two different ones are `unparsed_answer`, since nothing is converted.
- `x = 5` answers 5, and the reverse; any other equation against a value is incorrect.
- A bare list equals a set in any order and a tuple in its order, never an interval in `[`. Unions are compared piece by
  piece.
- `0 < x \le 5` is `(0,5]`, and `\mathbb{R}` is `(-\infty,\infty)`. A reference `(1,4)` may be a point, so that it takes
  no inequality: `unparsed_answer`.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from distill.records import Method, Outcome
from distill.verification import answers, ring
from distill.verification.answers import MAX_CHARACTERS
from distill.verification.findings import Finding, NeedsParser
from distill.verification.structure import Shape, as_interval, bare_value, is_relation, shape

MAX_PARSED = 1_000  # characters of one value that the parser may see
MAX_NESTING = 20
MAX_ITEMS = 50
MAX_CELLS = 100  # of a matrix
MAX_NODES = 300  # numbers, letters, commands and operators of one value
ROUNDED_DIGITS = 4  # significant digits that a decimal reference needs to stand for a number that it is not
_BOMBS = {
    "more than 200 digits in one number": re.compile(r"\d{201}"),
    "a tower of powers": re.compile(r"\^\s?\{?-?\s?\d+\s?\}?\s?\^|\^\s?\{[^{}]{0,99}\^\s?\{[^{}]{0,99}\^"),
    "an exponent of more than four digits": re.compile(r"\^\s?(?:\{[^{}]{0,99})?\d{5}"),
    "a factorial of more than three digits": re.compile(r"\d{4,}[\s)}]*!|![\s)}]*!"),
    "a sum or product of more than 999 terms": re.compile(r"\\(?:sum|prod)(?![a-z]).*\d{4}"),
    "text that is code": re.compile(r"__|[A-Za-z]\.[a-z]{2,}\(|\b(?:import|eval|exec|lambda|getattr|open|system)\b"),
}
_NODE = re.compile(r"\\[A-Za-z]+|[A-Za-z]|\d+|[-+*/^=!]")
_WORDS = re.compile(r"[A-Za-z]{3,}|[A-Za-z]{2,}(?:[ -][A-Za-z]+)+|[Nn]o|NO")

_SAME_NUMBER = Finding(Outcome.CORRECT, Method.EXACT, "equal as exact fractions")
_OTHER_NUMBER = Finding(Outcome.INCORRECT, Method.EXACT, "not equal as exact fractions")

Ask = Callable[[str, str], Finding]


def compare(gold: str, answer: str) -> Finding:
    """Compare without a parser. Raises `NeedsParser` when only that can decide."""
    return compare_with(gold, answer, _refuse)


def compare_with(gold: str, answer: str, ask: Ask) -> Finding:
    """Compare two answers; `ask(gold, answer)` decides single values that are neither numbers nor words."""
    if quick := _compare_plain(gold, answer):
        return quick
    if max(len(gold), len(answer)) > MAX_CHARACTERS:
        return Finding(Outcome.LIMIT, Method.NONE, f"an answer of more than {MAX_CHARACTERS:,} characters")
    gold, answer = answers.normalise(gold), answers.normalise(answer)
    if not gold:
        return Finding(Outcome.UNPARSED_GOLD, Method.NONE, "the reference is empty")
    if not answer:
        return Finding(Outcome.NO_ANSWER, Method.NONE, "the box is empty")
    if max(nesting(gold), nesting(answer)) > MAX_NESTING:
        return Finding(Outcome.LIMIT, Method.NONE, f"nesting deeper than {MAX_NESTING}")
    return _compare(gold, answer, ask)


def _compare_plain(gold: str, answer: str) -> Finding | None:
    """Two numbers in their plainest spelling; None for all else, and where rounding may count."""
    left, right = answers.plain_number(gold), answers.plain_number(answer)
    if left is None or right is None:
        return None
    if left[0] * right[1] == right[0] * left[1]:
        return _SAME_NUMBER
    return None if "." in gold else _OTHER_NUMBER


def check(gold: str, ask: Ask | None = None) -> Finding:
    """Whether a reference can be graded at all: its values are numbers, words, or read by `ring` or the parser.

    Equality of text is not enough here: it would let a reference pass that grades every other spelling wrong.
    """
    if len(gold) > MAX_CHARACTERS:
        return Finding(Outcome.LIMIT, Method.NONE, f"a reference of more than {MAX_CHARACTERS:,} characters")
    gold = bare_value(answers.normalise(gold))
    if nesting(gold) > MAX_NESTING:
        return Finding(Outcome.LIMIT, Method.NONE, f"nesting deeper than {MAX_NESTING}")
    parts = shape(gold)
    if parts:
        return _all([check(item, ask) for item in parts.items])
    value = answers.quantity(gold).value
    if not value:
        return Finding(Outcome.UNPARSED_GOLD, Method.NONE, "the reference is empty")
    if answers.number(value) is not None or _WORDS.fullmatch(gold):
        return Finding(Outcome.CORRECT, Method.EXACT, "a number or a word")
    if ring.read(value) is not None:
        return Finding(Outcome.CORRECT, Method.EXACT, "an exact expression")
    if reason := static_limit(value):
        return Finding(Outcome.LIMIT, Method.NONE, reason)
    return (ask or _refuse)(value, value)


def canonical(text: str) -> str:
    """One text for all spellings that the same number has, and for those of a text that normalisation knows."""
    text = bare_value(answers.normalise(text[:MAX_CHARACTERS]))
    value = answers.number(text)
    return text if value is None else str(value)


def same_text(one: str, other: str) -> bool:
    """Whether two answers are one after normalisation, or the same number."""
    return canonical(one) == canonical(other)


def nesting(text: str) -> int:
    """How deep the brackets of a text go."""
    depth = deepest = 0
    for character in re.findall(r"[(\[{)\]}]", text):
        depth += 1 if character in "([{" else -1
        deepest = max(deepest, depth)
    return deepest


def static_limit(text: str) -> str | None:
    """Why a text must not reach the parser, or None."""
    if len(text) > MAX_PARSED:
        return f"more than {MAX_PARSED:,} characters"
    if text.count("&") + text.count(r"\\") >= MAX_CELLS:
        return f"a matrix of more than {MAX_CELLS} cells"
    if len(_NODE.findall(text)) > MAX_NODES:
        return f"more than {MAX_NODES} numbers, letters and operators"
    return next((reason for reason, bomb in _BOMBS.items() if bomb.search(text)), None)


def _refuse(gold: str, answer: str) -> Finding:
    raise NeedsParser


def _compare(gold: str, answer: str, ask: Ask) -> Finding:
    if is_relation(gold) != is_relation(answer) or shape(gold) is None or shape(answer) is None:
        gold, answer = _without_names(gold, answer)
    if gold == answer:
        return Finding(Outcome.CORRECT, Method.STRING, "the same text")
    if (as_interval(gold) or as_interval(answer)) and not (is_relation(gold) and is_relation(answer)):
        if gold.startswith("(") and gold.endswith(")") and r"\infty" not in gold:
            return Finding(Outcome.UNPARSED_ANSWER, Method.NONE, "the reference may be a point or an interval")
        gold, answer = as_interval(gold) or gold, as_interval(answer) or answer
    left, right = shape(gold), shape(answer)
    if left is None and right is None:
        return _compare_values(gold, answer, ask)
    return _compare_shapes(left or Shape("{", "}", (gold,)), right or Shape("{", "}", (answer,)), ask)


def _without_names(gold: str, answer: str) -> tuple[str, str]:
    """`x = 5` against 5 is 5 against 5; two equations keep their names."""
    if is_relation(gold) and is_relation(answer):
        return gold, answer
    return bare_value(gold), bare_value(answer)


def _compare_shapes(gold: Shape, answer: Shape, ask: Ask) -> Finding:
    if len(gold.items) != len(answer.items):
        return _incorrect(f"{len(gold.items)} values were expected and {len(answer.items)} given")
    if len(gold.items) > MAX_ITEMS:
        return Finding(Outcome.LIMIT, Method.NONE, f"a list of more than {MAX_ITEMS} values")
    if not gold.may_equal(answer):
        return _incorrect("the brackets are of another kind")
    if gold.ordered or answer.ordered:
        return _all([_compare(*pair, ask) for pair in zip(gold.items, answer.items, strict=True)])
    return _match(gold.items, answer.items, ask)


def _match(gold: tuple[str, ...], answer: tuple[str, ...], ask: Ask) -> Finding:
    """Pair every expected value with one given value, in any order."""
    left, findings = list(answer), []
    for item in gold:
        tried = []
        for candidate in left:
            tried.append(_compare(item, candidate, ask))
            if tried[-1].outcome is Outcome.CORRECT:
                left.remove(candidate)
                break
        findings.append(max(tried, key=_certainty))
    return _all(findings)


def _certainty(finding: Finding) -> int:
    """A match is final; a comparison that could not be made outweighs one that said no."""
    return {Outcome.CORRECT: 2, Outcome.INCORRECT: 0}.get(finding.outcome, 1)


def _all(findings: list[Finding]) -> Finding:
    """The finding of a whole list: the first value that is not correct, undecided ones first."""
    wrong = [finding for finding in findings if finding.outcome is not Outcome.CORRECT]
    if wrong:
        return max(wrong, key=_certainty)
    symbolic = any(finding.method is Method.SYMBOLIC for finding in findings)
    return Finding(Outcome.CORRECT, Method.SYMBOLIC if symbolic else Method.EXACT, "every value agrees")


def _compare_values(gold: str, answer: str, ask: Ask) -> Finding:
    left, right = answers.quantity(gold), answers.quantity(answer)
    if left.unit and right.unit and left.unit != right.unit:
        return Finding(Outcome.UNPARSED_ANSWER, Method.NONE, "the units differ, and none is converted")
    numbers = answers.number(left.value), answers.number(right.value)
    if numbers[0] is not None and numbers[1] is not None:
        return _compare_numbers(left, right, numbers[0], numbers[1])
    if is_relation(gold) != is_relation(answer):
        return _incorrect("one side is an equation or inequality, the other a value")
    if gold.isalpha() and answer.isalpha() and len(gold) == len(answer) == 1:
        return Finding(Outcome.INCORRECT, Method.STRING, "another letter")
    if _WORDS.fullmatch(gold) and _WORDS.fullmatch(answer):
        same = gold.casefold() == answer.casefold()
        return Finding(Outcome.CORRECT if same else Outcome.INCORRECT, Method.STRING, "compared as words")
    equal = ring.equal(left.value, right.value)
    if equal:
        return Finding(Outcome.CORRECT, Method.EXACT, "equal as exact expressions")
    if equal is False and answers.decimal_step(left.value) is None:
        return _incorrect("not equal as exact expressions")
    if reason := static_limit(left.value) or static_limit(right.value):
        return Finding(Outcome.LIMIT, Method.NONE, reason)
    return ask(left.value, right.value)


def _compare_numbers(left: answers.Quantity, right: answers.Quantity, gold: Fraction, answer: Fraction) -> Finding:
    readings = {gold}
    if left.unit == "%" and right.unit != "%":
        readings.add(gold / 100)
    if right.unit == "%" and left.unit != "%":
        answer /= 100
    if answer in readings:
        return _SAME_NUMBER
    if not _terminates(answer) and rounds_to(answer, left.value):
        return Finding(Outcome.CORRECT, Method.EXACT, "the reference is the answer, rounded")
    return _OTHER_NUMBER


def rounds_to(value: Fraction, decimal: str) -> bool:
    """Whether `value`, rounded to the places that a decimal of enough digits shows, is that decimal."""
    step = answers.decimal_step(decimal)
    shown = answers.number(decimal)
    if step is None or shown is None or answers.significant_digits(decimal) < ROUNDED_DIGITS:
        return False
    return abs(shown - value) <= step / 2


def _terminates(value: Fraction) -> bool:
    """Whether a fraction has a finite decimal expansion."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _incorrect(evidence: str) -> Finding:
    return Finding(Outcome.INCORRECT, Method.EXACT, evidence)
