r"""Expressions that have one normal form: sums of products of letters, \pi, i and square roots, over the fractions.

    equal(r"\sqrt{8}", r"2\sqrt{2}")            ->  True
    equal("(x+1)(x+2)", "x^2+3x+1")             ->  False
    equal(r"\frac{a\pi}{2}", r"a\pi/2")         ->  True
    equal(r"\ln 4", r"2\ln 2")                  ->  None: not of this kind, the parser's

An expression is a dictionary from monomials to fractions, and a monomial the powers of its generators: letters, \pi, i
(whose square is -1) and the root of each prime (whose square is that prime). Roots of different square-free numbers are
linearly independent over the fractions (Besicovitch, J. London Math. Soc. 15, 1940), so two expressions are equal if
and only if their dictionaries are. That e and \pi are independent of each other is taken for granted, as everyone does.

Only what every reader takes the same way is read: `1/2x`, `x2`, `2\frac{1}{2}x`, words, functions, bars and indices are
left to the parser. It is bounded by its own limits, and needs no process that can be killed.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

Monomial = tuple[tuple[str, int], ...]
Sum = dict[Monomial, Fraction]

MAX_CHARACTERS = 200
MAX_DEPTH = 8
MAX_TERMS = 40
MAX_POWER = 20
MAX_ROOT = 10**6
MAX_BITS = 2_000  # of one coefficient
_GREEK = "alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|varphi|omega|pi"
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>\d{{1,50}}(?:\.\d{{1,50}})?)|(?P<letter>[A-Za-z](?![A-Za-z]{{2}})|\\(?:{_GREEK})(?![a-zA-Z]))"
    r"|(?P<times>\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])|\*)|(?P<frac>\\frac)|(?P<sqrt>\\sqrt(?!\s*\[))|(?P<sign>[-+/^(){}]))"
)
_CALLED = re.compile(r"[fghFGHP]\s?\(|\\frac\{d")  # a function's value or a derivative, more often than a product


class _NotOfThisKind(Exception):
    """The text is nothing that this module reads."""


def equal(one: str, other: str) -> bool | None:
    """Whether two expressions are equal; None where one of them is not of this kind."""
    left, right = read(one), read(other)
    return None if left is None or right is None else left == right


@lru_cache(maxsize=4096)
def read(text: str) -> Sum | None:
    """The normal form of a normalised answer, or None."""
    if len(text) > MAX_CHARACTERS or _CALLED.search(text):
        return None
    try:
        return _Reader(_tokens(text)).everything()
    except (_NotOfThisKind, IndexError, ZeroDivisionError):
        return None


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of everything that stands there."""
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _NotOfThisKind
        found.append((match[match.lastgroup] if match.lastgroup == "sign" else match.lastgroup, match[0].strip()))
        position = match.end()
        position += len(text[position:]) - len(text[position:].lstrip())
    return found


class _Reader:
    """Reads tokens by recursive descent; what is not plain raises."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = [*tokens, ("end", "")]
        self.at = 0
        self.depth = 0

    def everything(self) -> Sum:
        found = self.sum()
        self.take("end")
        return found

    def kind(self) -> str:
        return self.tokens[self.at][0]

    def take(self, kind: str) -> str:
        if self.kind() != kind:
            raise _NotOfThisKind
        self.at += 1
        return self.tokens[self.at - 1][1]

    def sum(self) -> Sum:
        """Products with signs before them."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _NotOfThisKind
        total = self.signed()
        while self.kind() in ("+", "-"):
            total = _add(total, self.signed())
        self.depth -= 1
        return total

    def signed(self) -> Sum:
        if self.kind() in ("+", "-"):
            minus = self.take(self.kind()) == "-"
            found = self.product()
            return {monomial: -value for monomial, value in found.items()} if minus else found
        return self.product()

    def product(self) -> Sum:
        """Factors side by side or with an operator; after a `/`, one factor and an end."""
        found = self.power()
        while True:
            kind = self.kind()
            if kind == "times":
                self.take("times")
                found = _multiply(found, self.power())
            elif kind == "/":
                self.take("/")
                found = _multiply(found, _invert(self.power()))
                if self.kind() not in ("end", "+", "-", ")", "}"):
                    raise _NotOfThisKind  # 1/2x
            elif kind in ("letter", "frac", "sqrt", "("):
                if kind == "frac" and self.tokens[self.at - 1][0] == "number":
                    raise _NotOfThisKind  # a mixed number
                found = _multiply(found, self.power())
            else:
                return found

    def power(self) -> Sum:
        base = self.atom()
        if self.kind() != "^":
            return base
        self.take("^")
        sign = 1
        if self.kind() == "{":
            self.take("{")
            if self.kind() == "-":
                self.take("-")
                sign = -1
            exponent = self.take("number")
            self.take("}")
        else:
            exponent = self.take("number")
            if len(exponent) > 1:
                raise _NotOfThisKind  # x^12 is x^1 times 2 in LaTeX, and is meant as x^{12}
        if not exponent.isdecimal() or int(exponent) > MAX_POWER or self.kind() == "^":
            raise _NotOfThisKind
        found: Sum = {(): Fraction(1)}
        for _ in range(int(exponent)):
            found = _multiply(found, base)
        return found if sign > 0 else _invert(found)

    def atom(self) -> Sum:
        kind = self.kind()
        if kind == "number":
            return {(): value} if (value := Fraction(self.take(kind))) else {}
        if kind == "letter":
            return {((self.take(kind), 1),): Fraction(1)}
        if kind == "(":
            return self.group("(", ")", self.sum)
        self.take(kind)
        if kind == "frac":
            top = self.group("{", "}", self.sum)
            return _multiply(top, _invert(self.group("{", "}", self.sum)))
        if kind == "sqrt":
            return _root(self.group("{", "}", self.sum))
        raise _NotOfThisKind

    def group(self, opened: str, closed: str, inside: Callable[[], Sum]) -> Sum:
        self.take(opened)
        found = inside()
        self.take(closed)
        return found


def _add(one: Sum, other: Sum) -> Sum:
    total = dict(one)
    for monomial, value in other.items():
        total[monomial] = total.get(monomial, Fraction(0)) + value
        if not total[monomial]:
            del total[monomial]
    return total


def _multiply(one: Sum, other: Sum) -> Sum:
    total: Sum = {}
    for left, a in one.items():
        for right, b in other.items():
            monomial, factor = _product(left, right)
            total[monomial] = total.get(monomial, Fraction(0)) + a * b * factor
    total = {monomial: value for monomial, value in total.items() if value}
    if len(total) > MAX_TERMS or any(value.numerator.bit_length() > MAX_BITS for value in total.values()):
        raise _NotOfThisKind
    return total


def _product(one: Monomial, other: Monomial) -> tuple[Monomial, Fraction]:
    """The product of two monomials: i and the roots are taken to their powers 0 and 1, and the rest is a factor."""
    powers = dict(one)
    factor = Fraction(1)
    for generator, power in other:
        powers[generator] = powers.get(generator, 0) + power
    for generator in [generator for generator in powers if generator == "i" or generator[0] == "√"]:
        square = -1 if generator == "i" else int(generator[1:])
        pairs, powers[generator] = divmod(powers[generator], 2)
        factor *= Fraction(square) ** pairs
    return tuple(sorted((generator, power) for generator, power in powers.items() if power)), factor


def _invert(found: Sum) -> Sum:
    """One over a single term; zero and sums have no such form here."""
    if len(found) != 1:
        raise _NotOfThisKind
    [(monomial, value)] = found.items()
    inverse, factor = _product((), tuple((generator, -power) for generator, power in monomial))
    return {inverse: factor / value}


def _root(found: Sum) -> Sum:
    """The root of a fraction: sqrt(p/q) = sqrt(pq)/q."""
    if not found:
        return {}
    if list(found) != [()]:
        raise _NotOfThisKind
    value = found[()]
    rest, outside = abs(value.numerator) * value.denominator, 1
    if rest > MAX_ROOT:
        raise _NotOfThisKind
    generators = ["i"] if value < 0 else []
    prime = 2
    while prime * prime <= rest:
        while rest % (prime * prime) == 0:
            rest //= prime * prime
            outside *= prime
        if rest % prime == 0:
            rest //= prime
            generators.append(f"√{prime}")
        prime += 1
    generators += [f"√{rest}"] if rest > 1 else []
    return {tuple(sorted((generator, 1) for generator in generators)): Fraction(outside, value.denominator)}
