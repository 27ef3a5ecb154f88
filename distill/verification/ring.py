r"""Expressions that can be decided: quotients of sums of products of letters, \pi, i, square roots and logarithms.

    equal(r"\sqrt{8}", r"2\sqrt{2}")            ->  True
    equal("(x+1)(x+2)", "x^2+3x+1")             ->  False
    equal(r"\frac{a\pi}{2}", r"a\pi/2")         ->  True
    equal(r"\frac{x^2-1}{x-1}", "x+1")          ->  True
    equal(r"\ln 4", r"2\ln 2")                  ->  True
    equal(r"\sin x", r"\cos x")                 ->  None: not of this kind, the parser's

A sum is a dictionary from monomials to fractions, and a monomial the powers of its generators: letters, \pi, i (whose
square is -1), the root of each prime (whose square is that prime) and the logarithm of each prime. Roots of different
square-free numbers are linearly independent over the fractions (Besicovitch, J. London Math. Soc. 15, 1940), and so are
logarithms of primes (factors are unique), so two sums are equal if and only if their dictionaries are. That e, \pi and
products of logarithms are independent of each other is taken for granted, as everyone does. Sums have no zero divisors,
so quotients are compared crosswise.

Only what every reader takes the same way is read: `1/2x`, `x2`, `2\frac{1}{2}x`, words, functions, bars and indices are
left to the parser. It is bounded by its own limits, and needs no process that can be killed.
"""

import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import prod

Monomial = tuple[tuple[str, int], ...]
Sum = dict[Monomial, Fraction]
Quotient = tuple[Sum, Sum]  # what is above the line, and what is below: never nothing

MAX_CHARACTERS = 200
MAX_DEPTH = 8
MAX_TERMS = 40
MAX_POWER = 20
MAX_FACTORED = 10**6
MAX_BITS = 2_000  # of one coefficient
_GREEK = "alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|varphi|omega|pi"
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>\d{{1,50}}(?:\.\d{{1,50}})?)|(?P<letter>[A-Za-z](?![A-Za-z]{{2}})|\\(?:{_GREEK})(?![a-zA-Z]))"
    r"|(?P<times>\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])|\*)|(?P<frac>\\frac)|(?P<sqrt>\\sqrt(?!\s*\[))|(?P<log>\\l(?:n|og)(?![a-zA-Z_]))|(?P<sign>[-+/^(){}]))"
)
_CALLED = re.compile(r"[fghFGHP]\s?\(|\\frac\{d")  # a function's value or a derivative, more often than a product


_ONE: Sum = {(): Fraction(1)}
_ENDS = frozenset({"end", "+", "-", ")", "}"})


class _NotOfThisKind(Exception):
    """The text is nothing that this module reads."""


def equal(one: str, other: str) -> bool | None:
    """Whether two expressions are equal; None where one of them is not of this kind.

    The base of `\\log` is unsaid: what is equal is so in any base, but log 100 and 2 may be equal or not.
    """
    left, right = read(one), read(other)
    if left is None or right is None:
        return None
    try:
        same = _multiply(left[0], right[1]) == _multiply(right[0], left[1])
    except _NotOfThisKind:
        return None
    return True if same else None if "\\log" in one + other else False


@lru_cache(maxsize=4096)
def read(text: str) -> Quotient | None:
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

    def everything(self) -> Quotient:
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

    def sum(self) -> Quotient:
        """Products with signs before them."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _NotOfThisKind
        total = self.signed()
        while self.kind() in ("+", "-"):
            total = _plus(total, self.signed())
        self.depth -= 1
        return total

    def signed(self) -> Quotient:
        if self.kind() in ("+", "-"):
            minus = self.take(self.kind()) == "-"
            above, below = self.product()
            return {monomial: -value for monomial, value in above.items()} if minus else above, below
        return self.product()

    def product(self) -> Quotient:
        """Factors side by side or with an operator; after a `/`, one factor and an end."""
        found = self.power()
        while True:
            kind = self.kind()
            if kind == "times":
                self.take("times")
                found = _times(found, self.power())
            elif kind == "/":
                self.take("/")
                found = _times(found, _invert(self.power()))
                self.need(_ENDS)  # 1/2x
            elif kind in ("letter", "frac", "sqrt", "log", "("):
                if kind == "frac" and self.tokens[self.at - 1][0] == "number":
                    raise _NotOfThisKind  # a mixed number
                found = _times(found, self.power())
            else:
                return found

    def need(self, kinds: frozenset[str]) -> None:
        if self.kind() not in kinds:
            raise _NotOfThisKind

    def power(self) -> Quotient:
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
        found: Quotient = (_ONE, _ONE)
        for _ in range(int(exponent)):
            found = _times(found, base)
        return found if sign > 0 else _invert(found)

    def atom(self) -> Quotient:
        kind = self.kind()
        if kind == "number":
            return _number(Fraction(self.take(kind))), _ONE
        if kind == "letter":
            return {((self.take(kind), 1),): Fraction(1)}, _ONE
        if kind == "(":
            return self.group("(", ")", self.sum)
        if kind == "log":
            return self.logarithm(self.take(kind).removeprefix("\\")), _ONE
        self.take(kind)
        if kind == "frac":
            top = self.group("{", "}", self.sum)
            return _times(top, _invert(self.group("{", "}", self.sum)))
        if kind == "sqrt":
            return _root(self.group("{", "}", self.sum)), _ONE
        raise _NotOfThisKind

    def logarithm(self, name: str) -> Sum:
        """Of a number in brackets; of a bare one only where nothing after it could belong to it, as in `\\ln 2x`."""
        if self.kind() == "number":
            value = Fraction(self.take("number"))
            self.need(_ENDS | {"times"})
        else:
            opened = self.kind()
            above, below = self.group(opened, {"(": ")", "{": "}"}.get(opened, ""), self.sum)
            value = _plain(above) / _plain(below)
            if self.kind() == "^":
                raise _NotOfThisKind
        return _logarithm(name, value)

    def group(self, opened: str, closed: str, inside: Callable[[], Quotient]) -> Quotient:
        self.take(opened)
        found = inside()
        self.take(closed)
        return found


def _number(value: Fraction) -> Sum:
    return {(): value} if value else {}


def _plain(found: Sum) -> Fraction:
    """A sum that is a number."""
    if not set(found) <= {()}:
        raise _NotOfThisKind
    return found.get((), Fraction(0))


def _plus(one: Quotient, other: Quotient) -> Quotient:
    if one[1] == other[1]:
        return _add(one[0], other[0]), one[1]
    return _add(_multiply(one[0], other[1]), _multiply(other[0], one[1])), _multiply(one[1], other[1])


def _times(one: Quotient, other: Quotient) -> Quotient:
    return _multiply(one[0], other[0]), _multiply(one[1], other[1])


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


def _invert(found: Quotient) -> Quotient:
    """One over it. A single term goes above the line, so that most quotients stay sums; nothing has no inverse."""
    above, below = found
    if not above:
        raise _NotOfThisKind
    if len(above) > 1:
        return below, above
    [(monomial, value)] = above.items()
    inverse, factor = _product((), tuple((generator, -power) for generator, power in monomial))
    return _multiply(below, {inverse: factor / value}), _ONE


def _root(found: Quotient) -> Sum:
    """The root of a fraction: sqrt(p/q) = sqrt(pq)/q."""
    value = _plain(found[0]) / _plain(found[1])
    if not value:
        return {}
    factors = _factors(abs(value.numerator) * value.denominator)
    outside = prod(prime ** (power // 2) for prime, power in factors.items())
    generators = [f"√{prime}" for prime, power in factors.items() if power % 2] + (["i"] if value < 0 else [])
    return {tuple(sorted((generator, 1) for generator in generators)): Fraction(outside, value.denominator)}


def _logarithm(name: str, value: Fraction) -> Sum:
    """The logarithms of its primes; `name` keeps \\ln and \\log apart, whose base may be another."""
    if value <= 0:
        raise _NotOfThisKind
    powers = _factors(value.numerator)
    powers.subtract(_factors(value.denominator))
    return {((f"{name} {prime}", 1),): Fraction(power) for prime, power in powers.items() if power}


def _factors(n: int) -> Counter[int]:
    """The primes of a number, with their powers."""
    if n > MAX_FACTORED:
        raise _NotOfThisKind
    found: Counter[int] = Counter()
    prime = 2
    while prime * prime <= n:
        while n % prime == 0:
            found[prime] += 1
            n //= prime
        prime += 1
    if n > 1:
        found[n] += 1
    return found
