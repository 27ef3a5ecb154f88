r"""Worked chains of thought for five reasoning-gym tasks: what the embedded teacher is taught.

Each writer solves one problem the way a careful pupil does: step by step, with a self-check, and now and then a slip
that is noticed and put right. The chain of `58 + 26`:

    I work from left to right.
    58+26: ones 8+6=14, write 4 carry 1; tens 5+2+1=8, write 8. So 58+26=84.
    Check: 84-26=58, yes.

A slip reads `8+6=15. Wait, 8+6=14`. The corrected value is always the right one, so a chain never ends in a wrong
answer.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Any

PLACES = ("ones", "tens", "hundreds", "thousands", "ten-thousands", "hundred-thousands")

# Two ranges of difficulty to learn from. What the pipeline asks is in its profiles, within these or a little beyond.
EASY: dict[str, dict[str, Any]] = {
    "chain_sum": {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 2},
    "products": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
    "gcd": {"min_value": 1, "max_value": 100},
    "count_bits": {"min_n": 1, "max_n": 255},
    "leg_counting": {"min_animals": 2, "max_animals": 3, "min_instances": 1, "max_instances": 5},
}
HARD: dict[str, dict[str, Any]] = {
    "chain_sum": {"min_terms": 3, "max_terms": 4, "min_digits": 2, "max_digits": 3},
    "products": {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 3},
    "gcd": {"min_value": 50, "max_value": 300},
    "count_bits": {"min_n": 256, "max_n": 4095},
    "leg_counting": {"min_animals": 4, "max_animals": 5, "min_instances": 1, "max_instances": 9},
}


@dataclass(frozen=True, slots=True)
class Example:
    """A problem with a worked chain: the question verbatim, the chain, and the sentence that holds the boxed answer."""

    question: str
    reasoning: str
    response: str


class Pupil:
    """Writes calculations, and slips in a share of them; every slip is put right at once."""

    def __init__(self, rng: random.Random, slip_rate: float) -> None:
        self.rng = rng
        self.slip_rate = slip_rate

    def fact(self, expression: str, value: int) -> str:
        """`8+6=14`, or with a slip `8+6=15. Wait, 8+6=14`."""
        if self.rng.random() >= self.slip_rate:
            return f"{expression}={value}"
        wrong = value + self.rng.choice((-2, -1, 1, 2, 10))
        return f"{expression}={wrong}. Wait, {expression}={value}"

    def add(self, a: int, b: int) -> str:
        """Column addition of two numbers >= 0; the last sentence is `So a+b=c`."""
        parts, carry = [], 0
        for place, x, y in _columns(a, b):
            terms = f"{x}+{y}" + ("+1" if carry else "")
            total = x + y + carry
            written = f"write {total % 10}" + (" carry 1" if total > 9 else "")
            parts.append(f"{PLACES[place]} {self.fact(terms, total)}, {written}")
            carry = total // 10
        tail = "; carry 1 in front" if carry else ""
        return f"{a}+{b}: {'; '.join(parts)}{tail}. So {a}+{b}={a + b}."

    def subtract(self, a: int, b: int) -> str:
        """Column subtraction with a >= b >= 0; the last sentence is `So a-b=c`."""
        parts, borrow = [], 0
        for place, x, y in _columns(a, b):
            lent = x - borrow < y
            top = x + 10 if lent else x
            terms = f"{top}-{y}" + ("-1" if borrow else "")
            parts.append(f"{PLACES[place]} {self.fact(terms, top - y - borrow)}" + (" borrow 1" if lent else ""))
            borrow = int(lent)
        return f"{a}-{b}: {'; '.join(parts)}. So {a}-{b}={a - b}."

    def multiply_digit(self, a: int, digit: int) -> str:
        """A number times one digit, column by column; the last sentence is `So a*d=c`."""
        parts, carry = [], 0
        for place, x in enumerate(reversed([int(d) for d in str(a)])):
            product = self.fact(f"{x}*{digit}", x * digit)
            total = x * digit + carry
            plus = f", {self.fact(f'{x * digit}+{carry}', total)}" if carry else ""
            written = f"write {total % 10}" + (f" carry {total // 10}" if total > 9 else "")
            parts.append(f"{PLACES[place]} {product}{plus}, {written}")
            carry = total // 10
        return f"{a}*{digit}: {'; '.join(parts)}. So {a}*{digit}={a * digit}."


def _columns(a: int, b: int) -> list[tuple[int, int, int]]:
    """(place, digit of a, digit of b) from the ones up, over the longer number."""
    width = max(len(str(a)), len(str(b)))
    digits = zip(reversed(f"{a:0{width}}"), reversed(f"{b:0{width}}"), strict=True)
    return [(place, int(x), int(y)) for place, (x, y) in enumerate(digits)]


# ------------------------------------------------------------------ one writer per task


def chain_sum(pupil: Pupil, metadata: dict[str, Any]) -> tuple[str, int]:
    """`58 + 26 - 7`: from left to right, one signed step at a time."""
    first, *rest = metadata["expression"].split(" ")
    total, lines = int(first), ["I work from left to right."]
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        step = int(term) if sign == "+" else -int(term)
        lines.append(_signed_step(pupil, total, step))
        total += step
    last = int(rest[-1]) if rest[-2] == "+" else -int(rest[-1])
    lines.append(f"Check: {_joined(total, -last)}={total - last}, yes.")
    return "\n".join(lines), total


def _signed_step(pupil: Pupil, a: int, b: int) -> str:
    """`a + b` for signed numbers, led back to adding or subtracting numbers >= 0."""
    if a >= 0 and b >= 0:
        return pupil.add(a, b)
    if a < 0 and b < 0:
        return f"Both are negative. {pupil.add(-a, -b)} So {_joined(a, b)}={a + b}."
    if a >= 0 and -b <= a:
        return pupil.subtract(a, -b)
    big, small = max(abs(a), abs(b)), min(abs(a), abs(b))
    sign = "negative" if a + b < 0 else "positive"
    steps = pupil.subtract(big, small)
    return f"{big} is larger than {small}, the result is {sign}. {steps} So {_joined(a, b)}={a + b}."


def _joined(a: int, b: int) -> str:
    return f"{a}+{b}" if b >= 0 else f"{a}-{-b}"


def products(pupil: Pupil, metadata: dict[str, Any]) -> tuple[str, int]:
    """`58 * 26`: one partial product per digit of the second number, then their sum."""
    a, b = (int(part) for part in metadata["expression"].split(" * "))
    lines, total = [f"I split {b} into its digits."], 0
    for place, digit in enumerate(reversed([int(d) for d in str(b)])):
        partial = a * digit * 10**place
        shifted = f" With {place} zero{'s' * (place > 1)}: {partial}." if place else ""
        lines.append(pupil.multiply_digit(a, digit) + shifted)
        if place:
            lines.append(pupil.add(total, partial))
        total += partial
    last = (a % 10) * (b % 10)
    lines.append(f"Check the last digit: {a % 10}*{b % 10}={last} ends in {last % 10}, and so does {total}, yes.")
    return "\n".join(lines), total


def greatest_common_divisor(pupil: Pupil, metadata: dict[str, Any]) -> tuple[str, int]:
    """Euclid's algorithm: the remainder of the larger by the smaller, until it is 0."""
    a, b = sorted(metadata["numbers"], reverse=True)
    lines = [f"Euclid: divide {a} by {b} and keep the remainder."]
    result = gcd(a, b)
    while b:
        quotient, remainder = divmod(a, b)
        lines.append(f"{pupil.fact(f'{b}*{quotient}', b * quotient)}, {pupil.fact(f'{a}-{b * quotient}', remainder)}.")
        a, b = b, remainder
    first, second = metadata["numbers"]
    lines.append(f"The remainder is 0, so the last divisor {result} is the GCD.")
    lines.append(f"Check: {result}*{first // result}={first} and {result}*{second // result}={second}, yes.")
    return "\n".join(lines), result


def count_bits(pupil: Pupil, metadata: dict[str, Any]) -> tuple[str, int]:
    """Halve the number until it is 0, and count the remainders that are 1."""
    n, ones, lines = metadata["number"], 0, ["I halve it and count the remainders that are 1."]
    while n:
        ones += n % 2
        lines.append(f"{pupil.fact(f'{n}/2', n // 2)} remainder {n % 2}, ones {ones}.")
        n //= 2
    binary = bin(metadata["number"])[2:]
    lines.append(f"Check: the bits are {binary}, that is {ones} ones, yes.")
    return "\n".join(lines), ones


def leg_counting(pupil: Pupil, metadata: dict[str, Any]) -> tuple[str, int]:
    """Legs of each kind, added up as they come."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    total, lines = 0, ["I count the legs of each kind and add them up."]
    for animal, count in metadata["animals"].items():
        legs = ANIMALS[animal] * count
        each = f"One {animal} has {ANIMALS[animal]} legs: {pupil.fact(f'{count}*{ANIMALS[animal]}', legs)}."
        lines.append(f"{each} {pupil.fact(f'{total}+{legs}', total + legs)}.")
        total += legs
    kinds = "+".join(str(ANIMALS[animal] * count) for animal, count in metadata["animals"].items())
    lines.append(f"Check: {kinds}={total}, yes.")
    return "\n".join(lines), total


WRITERS: dict[str, Callable[[Pupil, dict[str, Any]], tuple[str, int]]] = {
    "chain_sum": chain_sum,
    "products": products,
    "gcd": greatest_common_divisor,
    "count_bits": count_bits,
    "leg_counting": leg_counting,
}
SLIP_RATE = 0.04  # per calculation: about one chain in four holds a slip


def write_chain(task: str, question: str, metadata: dict[str, Any], rng: random.Random) -> tuple[Example, int]:
    """A worked example of one problem, and its answer as the chain found it."""
    reasoning, answer = WRITERS[task](Pupil(rng, SLIP_RATE), metadata)
    return Example(question, reasoning, f"The answer is \\boxed{{{answer}}}."), answer
