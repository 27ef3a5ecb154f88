r"""The LaTeX parser's side of a comparison. Runs only inside the workers of `distill.verification.pool`.

Math-Verify parses and compares; around it stand the rules that its false "correct" answers call for:
- LaTeX extraction alone and no string fall-back: a text that does not parse is said to be unparsed, and no regular
  expression fishes a number out of it.
- Constants are compared by relative error, on 240 digits; Math-Verify takes everything below 1e-6 for equal.
- Its own timeouts are off: SIGALRM does not stop a big-integer operation. The pool kills the process.
"""

import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from distill.records import Method, Outcome
from distill.verification import answers
from distill.verification import math as mathematics
from distill.verification.findings import Finding

DIGITS = 240  # more than the 200 that one number may have
TOLERANCE = 1e-210  # relative, between constants; decimals are read as fractions, so no double is among them
_DECIMAL = re.compile(r"(\d*)\.(\d+)")
_DROPPED = re.compile(r"'|\?|\.\.|\\(?:[lc]?dots|prime|approx|sim|mid|pmod|bmod)(?![a-zA-Z])")
_PERCENT = re.compile(r"(\d+|\\frac\{\d+\}\{\d+\})%")  # antlr 4.9.3 silently stops at a percent sign

# What the parser must get right before any verdict is believed: (reference, answer, whether they are equal).
SELF_TEST = (
    (r"\sqrt{8}", r"2\sqrt{2}", True),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}", True),
    (r"x^2-1", r"(x-1)(x+1)", True),
    (r"\sin^2 x+\cos^2 x", "1", True),
    (r"9\%", "0.09", True),
    (r"50\%+x", r"x+\frac{1}{2}", True),
    (r"2\pi", r"\pi+\pi", True),
    ("[0,\\sqrt{2})", "[0,\\sqrt{2})", True),
    (r"3\sqrt{2}", "3", False),
    ("5", "2x+3=5", False),
    (r"10^{-9}\pi", r"10^{-8}\pi", False),
    (r"(1,\pi)", r"\{1,\pi\}", False),
    ("x+1", "x-1", False),
    (r"\frac{\pi}{2}", r"\frac{\pi}{3}", False),
    ("5", "five apples", False),
    (r"9\%", "0.9", False),
)


def compare(pair: tuple[str, str]) -> Finding:
    """Compare a (reference, answer) pair, with the parser where it is needed."""
    return mathematics.compare_with(*pair, ask=_ask)


def check(gold: str) -> Finding:
    """Whether the parser reads a reference, so that other spellings of it can be graded."""
    return mathematics.check(gold, ask=_ask)


def preload() -> None:
    """Import the parser, so that a worker forked from this process has it at once."""
    import math_verify  # noqa: F401

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)


def _ask(gold: str, answer: str) -> Finding:
    left = _parse(gold)
    if left is None:
        return Finding(Outcome.UNPARSED_GOLD, Method.NONE, "the reference is not LaTeX that the parser reads")
    right = _parse(answer)
    if right is None:
        return Finding(Outcome.UNPARSED_ANSWER, Method.NONE, "the answer is not LaTeX that the parser reads")
    try:
        equal = _equal(gold, left, right)
    except MemoryError:
        raise
    except Exception as error:  # SymPy raises anything at all on what it cannot compare
        return Finding(Outcome.CRASH, Method.NONE, f"the comparison failed with {type(error).__name__}")
    evidence = "equal as expressions" if equal else "not equal as expressions"
    return Finding(Outcome.CORRECT if equal else Outcome.INCORRECT, Method.SYMBOLIC, evidence)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Any:
    """A SymPy expression, or None when the text is no LaTeX or has no value (1/0)."""
    import sympy
    from latex2sympy2_extended.latex2sympy2 import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    value = answers.number(text)
    if value is not None:
        return sympy.Rational(value.numerator, value.denominator)
    if not _well_formed(text):
        return None
    # its own removal of units would read 5m as 5
    spelling = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all")
    found = parse(
        f"\\boxed{{{_as_fractions(text)}}}",
        [LatexExtractionConfig(False, boxed_match_priority=0, normalization_config=spelling)],
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
    )
    if len(found) != 1 or isinstance(found[0], str):
        return None
    return _defined(found[0])


def _defined(value: Any) -> Any:
    """A parsed value with `i` as the imaginary unit, which the parser reads as a letter; None when it has no value.

    A derivative has none here: nothing says what `y` is, so that `dy/dx` and `dy/dt` would both be 0.
    """
    import sympy

    if not isinstance(value, sympy.Basic):
        return value
    value = value.xreplace({symbol: sympy.I for symbol in value.free_symbols if str(symbol) == "i"})
    return None if value.has(sympy.nan, sympy.zoo, sympy.Derivative) else value


def _as_fractions(text: str) -> str:
    r"""`1.5x + 50%` as `\frac{15}{10}x + \frac{50}{100}`: the parser would read doubles, and stumble over `%`."""
    text = _DECIMAL.sub(lambda m: rf"\frac{{{m[1]}{m[2]}}}{{{10 ** len(m[2])}}}", text)
    return _PERCENT.sub(r"\\frac{\1}{100}", text)


def _well_formed(text: str) -> bool:
    """Whether a text could be one expression.

    The parser drops what it does not know (`f'` is f, `5\\ldots` is 5) and multiplies what stands side by side, so
    unbalanced braces, words, neighbouring numbers, `x2`, primes, dots and questions are turned away here.
    """
    if text.count("{") != text.count("}") or _DROPPED.search(text):
        return False
    plain = re.sub(r"\\(?:begin|end)\{[a-z]*\}|\\[A-Za-z]+", "@", text)
    return not re.search(r"(?<!_)\d\s+\d|[A-Za-z]{3,}|[A-Za-z]\d|\d\s?_", plain)


def _equal(gold: str, left: Any, right: Any) -> bool:
    from math_verify import verify

    if left == right:
        return True
    if _is_constant(left) and _is_constant(right):
        return _equal_constants(gold, left, right)
    return _cancels(left, right) or bool(verify([left], [right], timeout_seconds=None, raise_on_error=True))


def _cancels(left: Any, right: Any) -> bool:
    """Whether the difference of two expressions expands to nothing: most of algebra, in a tenth of simplify's time."""
    import sympy

    if not (isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr)):
        return False
    return bool(sympy.expand(left.doit() - right.doit()) == 0)


def _is_constant(value: Any) -> bool:
    return bool(getattr(value, "is_number", False))


def _equal_constants(gold: str, left: Any, right: Any) -> bool:
    """Whether two constants agree, on 210 digits or as a decimal reference and what it rounds."""
    import sympy

    left, right = left.doit(), right.doit()
    if left.is_Rational and right.is_Rational and left == right:
        return True
    one, other = sympy.N(left, DIGITS), sympy.N(right, DIGITS)
    if not (one.is_finite and other.is_finite):
        return bool(one == other)
    if abs(one - other) <= TOLERANCE * max(abs(one), abs(other)):
        return True
    return _rounds_to(other, gold)


def _rounds_to(value: Any, decimal: str) -> bool:
    """Whether a real constant whose expansion does not end is a decimal when rounded."""
    digits = str(value)
    endless = len(digits.rstrip("0")) > DIGITS - 10
    return bool(value.is_real) and endless and mathematics.rounds_to(Fraction(digits), decimal)
