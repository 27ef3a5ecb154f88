r"""Answers as text: one spelling for each, and their numbers read exactly.

Everything here is string work and `fractions.Fraction`: linear in the text, no parser, microseconds an answer.

    normalise(r"\left(\dfrac{1}{2},\ −3\right).")  ->  r"(\frac{1}{2}, -3)"
    number("1,234.50")                              ->  Fraction(2469, 2)
    number(r"3\frac{1}{2}")                         ->  Fraction(7, 2)

Readings that had to be chosen, in favour of precision:
- Commas group digits only when the whole answer is such a number: `1,234` is one number, `1, 234` and `(1,234)` are
  two. A decimal comma is never read: `3,5` is two numbers.
- Leading zeros and trailing zeros mean nothing: `07` is 7 and `7.50` is 15/2.
- A digit string beside a fraction is a mixed number: `3\frac{1}{2}` is 7/2, as schools write it.
- `2e3` is 2000.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

MAX_CHARACTERS = 10_000  # of an answer before it is even normalised
MAX_DIGITS = 1000  # of one number; Fraction stays in microseconds
MAX_EXPONENT = 1000

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SYMBOLS = str.maketrans({"−": "-", "–": "-", "×": r"\times ", "÷": "/", "⋅": r"\cdot ", "·": r"\cdot ", "π": r"\pi ",
                          "√": r"\sqrt", "∞": r"\infty ", "∪": r"\cup ", "≤": r"\le ", "≥": r"\ge ", "±": r"\pm ",
                          "∅": r"\emptyset ", "⁄": "/", "°": " degrees", "€": "", "£": "",
                          "\u200b": "", "\u2009": "", "\u202f": "", "\u2060": "", "\ufeff": ""})  # fmt: skip

# Applied in this order, each where its mark is in the text; each pattern is linear in the text.
_REWRITES = [
    (mark, re.compile(pattern), replacement)
    for mark, pattern, replacement in (
        ("", r"\s+", " "),  # first: later patterns would go quadratic over long white space
        ("**", r"^\s?\*\*([^*]+)\*\*\s?$", r"\1"),  # Markdown's bold
        ("**", r"\*\*", "^"),
        ("$", r"\\\$|\$", ""),
        ("\\", r"\\[,!]", ""),
        ("\\", r"\\[()\[\]]|\\displaystyle(?![a-zA-Z])|\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])", ""),
        ("~", r"~", " "),
        ("\\", r"\\[:;> ]|\\q?quad(?![a-zA-Z])", " "),
        ("\\", r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        ("{", r"\{,\}", ","),
        ("\\", r"\\%", "%"),
        ("percent", r"\s*(?:\\text\{\s*percent\s*\}|\bpercent\b)", "%"),
        ("\\", r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])", " degrees"),
        ("\\", r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        ("\\", r"\\frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}"),
        ("\\", r"\\sqrt\s?(\d)", r"\\sqrt{\1}"),
        ("\\", r"\\(?:leq|leqslant)(?![a-zA-Z])", r"\\le"),
        ("\\", r"\\(?:geq|geqslant)(?![a-zA-Z])", r"\\ge"),
        ("\\", r"\\varnothing(?![a-zA-Z])|\\\{\s?\\\}", r"\\emptyset"),
        ("", r"\s+(?:and|or)\s+", ", "),
        ("", r"\s+", " "),
    )
]

_UNSIGNED = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+\.?\d*|\.\d+)"
_DECIMAL = re.compile(rf"[+-]?\s?{_UNSIGNED}")
_PLAIN = re.compile(
    r"-?(?:(?:(\d{1,18})|(\d{1,3}(?:,\d{3}){1,5}))(?:\.(\d{1,18}))?"
    r"|\\[dt]?frac\{(\d{1,18})\}\{(\d{1,18})\}|(\d{1,18})/(\d{1,18}))",
    re.ASCII,
)
_SCIENTIFIC = re.compile(
    rf"(?P<head>[+-]?(?:{_UNSIGNED}))(?:[eE](?P<e>[+-]?\d+)|\s?(?:\\times|\\cdot|\*)\s?10\^(?P<b>\{{\s?[+-]?\d+\s?\}}|\d))"
)
_POWER_OF_TEN = re.compile(r"(?P<sign>-?)10\^(?P<b>\{\s?[+-]?\d+\s?\}|\d)")
_INTEGER = r"[+-]?\d+"
_FRAC = rf"\\frac\s?(?:\{{\s?(?P<n>{_INTEGER})\s?\}}|(?P<n1>\d))\s?(?:\{{\s?(?P<d>{_INTEGER})\s?\}}|(?P<d1>\d))"
_LATEX_FRACTION = re.compile(rf"(?P<sign>[+-]?)\s?(?P<whole>\d*)\s?{_FRAC}")
_REPEATING = re.compile(r"(?P<sign>-?)(?P<whole>\d*)\.(?P<fixed>\d*)\s?\\overline\s?\{\s?(?P<period>\d+)\s?\}")
_PLAIN_FRACTION = re.compile(r"(?P<sign>[+-]?)\s?(?:(?P<whole>\d+) )?(?P<n>\d+)\s?/\s?(?P<d>[+-]?\d+)")
_MULTIPLIERS = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_MULTIPLIED = re.compile(rf"(.+) ({'|'.join(_MULTIPLIERS)})")
_SHORT_UNITS = set(re.findall(r"\w+", "mm cm m km in ft yd mi mg g kg lb oz ms s h hr ml cl l hz w kw j n v mph kph"))
_WITH_UNIT = re.compile(r"(?P<value>.*?[\d})])(?P<space>\s?)(?P<unit>[A-Za-z]+(?:[ /][A-Za-z]+)*\s?(?:\^\{?[23]\}?)?)")
_WITH_BASE = re.compile(r"(?P<value>[0-9A-Fa-f]+)_(?P<open>\{)?\s?(?P<base>\d+)\s?(?(open)\})")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with what trails it: a unit, a base (`_2`) or `%`; the unit is empty when nothing does."""

    value: str
    unit: str


def normalise(text: str) -> str:
    r"""One spelling of an answer: Unicode folded, LaTeX's layout commands gone, `\text{}` opened, no final dot."""
    if not text.isascii():
        text = _fold(text)
    for mark, pattern, replacement in _REWRITES:
        if mark in text:
            text = pattern.sub(replacement, text)
    text = text.strip().removesuffix(".").strip()
    inner = re.fullmatch(r"\\boxed\{(.*)\}", text, re.DOTALL)
    return inner[1].strip() if inner else text


def _fold(text: str) -> str:
    """Unicode's digits, signs and symbols as ASCII and LaTeX."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+", lambda m: f"^{{{m[0].translate(_SUPERSCRIPT)}}}", text)  # NFKC: 10² is 102
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉]+", lambda m: f"_{{{m[0].translate(_SUBSCRIPT)}}}", text)
    text = re.sub(r"[¼-¾⅐-⅞]", lambda m: _vulgar_fraction(m[0]), text)  # NFKC: 3½ is 31/2
    return unicodedata.normalize("NFKC", text.translate(_SYMBOLS)).translate(_SYMBOLS)


def _vulgar_fraction(character: str) -> str:
    """½ as LaTeX."""
    top, bottom = unicodedata.normalize("NFKC", character).split("⁄")
    return rf"\frac{{{top}}}{{{bottom}}}"


def number(text: str) -> Fraction | None:
    """The exact value of a normalised integer, decimal, fraction, mixed number or power of ten; None for all else."""
    if len(text) > MAX_DIGITS:
        return None
    if _DECIMAL.fullmatch(text):
        return Fraction(text.replace(",", "").replace(" ", ""))
    if match := _MULTIPLIED.fullmatch(text):
        head = number(match[1])
        return None if head is None else head * _MULTIPLIERS[match[2]]
    if match := _SCIENTIFIC.fullmatch(text):
        return _scaled(Fraction(match["head"].replace(",", "")), match["e"] or match["b"])
    if match := _POWER_OF_TEN.fullmatch(text):
        return _scaled(Fraction(-1 if match["sign"] else 1), match["b"])
    if match := _REPEATING.fullmatch(text):
        return _repeating(match["sign"], match["whole"], match["fixed"], match["period"])
    if match := _LATEX_FRACTION.fullmatch(text):
        return _fraction(match["sign"], match["whole"], match["n"] or match["n1"], match["d"] or match["d1"])
    if match := _PLAIN_FRACTION.fullmatch(text):
        return _fraction(match["sign"], match["whole"], match["n"], match["d"])
    return None


def plain_number(text: str) -> tuple[int, int] | None:
    """Numerator and denominator of a number in its plainest spelling, which is read the same before normalisation.

    Nine of ten answers are such; this takes a microsecond where `normalise` takes forty.
    """
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    whole, grouped, places, top, bottom, top_2, bottom_2 = match.groups()
    if whole is not None or grouped is not None:
        digits = whole if grouped is None else grouped.replace(",", "")
        top_number, bottom_number = (int(digits + places), 10 ** len(places)) if places else (int(digits), 1)
    else:
        top_number, bottom_number = int(top or top_2), int(bottom or bottom_2)
    if bottom_number == 0:
        return None
    return (-top_number if text[0] == "-" else top_number), bottom_number


def _scaled(head: Fraction, exponent: str) -> Fraction | None:
    power = int(exponent.strip("{} "))
    return head * Fraction(10) ** power if abs(power) <= MAX_EXPONENT else None


def _repeating(sign: str, whole: str, fixed: str, period: str) -> Fraction:
    """0.1\\overline{6} is (16 - 1) / 90: https://en.wikipedia.org/wiki/Repeating_decimal."""
    shift, repeats = int(f"1{'0' * len(fixed)}"), int("9" * len(period))
    value = Fraction(int(f"{whole}{fixed}" or 0), shift) + Fraction(int(period), shift * repeats)
    return -value if sign else value


def _fraction(sign: str, whole: str | None, top: str, bottom: str) -> Fraction | None:
    if int(bottom) == 0 or (whole and "-" in top + bottom):
        return None
    value = int(whole or 0) + Fraction(int(top), int(bottom))
    return -value if sign == "-" else value


def decimal_step(text: str) -> Fraction | None:
    """The weight of the last digit of a decimal with a point (`3.14` gives 1/100), None for any other text."""
    plain = text.lstrip("+- ")
    if not (_DECIMAL.fullmatch(text) and "." in plain):
        return None
    return Fraction(1, 10 ** len(plain.partition(".")[2]))


def significant_digits(text: str) -> int:
    """How many digits of a decimal count, leading zeros left out."""
    return len(re.sub(r"\D", "", text).lstrip("0"))


def quantity(text: str) -> Quantity:
    """Split off a trailing percent sign, base or unit, where what precedes it is a number.

    A unit is a short one after a space, or a word of three letters or more; `5m` and `5x` stay algebra.
    """
    if text.endswith("%") and number(head := text[:-1].strip()) is not None:
        return Quantity(head, "%")
    if match := _WITH_BASE.fullmatch(text):
        return Quantity(match["value"], f"_{match['base']}")
    match = _WITH_UNIT.fullmatch(text) if len(text) <= MAX_DIGITS else None
    if match and number(text) is None and number(match["value"]) is not None:
        unit = re.sub(r" ?(\^)\{?(\d)\}?", r"\1\2", match["unit"].lower()).strip()
        word = re.split(r"[\^/ ]", unit)[0]
        known = word in _SHORT_UNITS and (match["space"] or len(word) > 1)
        if known or len(word) >= 3:
            return Quantity(match["value"], unit.removesuffix("s") if len(unit) > 2 else unit)
    return Quantity(text, "")
