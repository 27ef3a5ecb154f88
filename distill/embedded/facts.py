"""Number facts in plain lines: what the student's base reads beside direct answers.

A base model has met arithmetic before it is ever distilled; these lines stand for that. They hold single steps only,
never a worked problem, so the base knows that 8*7 is 56 and yet cannot chain steps. A few lines of one document:

    8*7=56
    43-19=24. 24+19=43
    87 divided by 24: 24*3=72, 87-72=15.
    58 and 126: ones 8 6; tens 5 2; hundreds 0 1.
    One spider has 8 legs, 3 of them 3*8=24.
    Given 47, 6, 130: first 47, second 6, third 130.

The last kind is reading, not arithmetic: a student that cannot repeat a number of the question learns no chain from a
thousand of them, however many sums it knows.
"""

import random
from collections.abc import Callable
from itertools import zip_longest

FACTS_PER_DOCUMENT = 14
PLACES = ("ones", "tens", "hundreds")
ORDER = ("first", "second", "third")


def write_facts(rng: random.Random) -> str:
    """One document of random facts. Each comes twice, in shuffled order: the second time is there to be copied."""
    facts = [rng.choice(KINDS)(rng) for _ in range(FACTS_PER_DOCUMENT)]
    return "\n".join(rng.sample(facts * 2, len(facts) * 2)) + "\n"


def _sum_of_digits(rng: random.Random) -> str:
    a, b, carry = rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 1)
    return f"{a}+{b}+1={a + b + 1}" if carry else f"{a}+{b}={a + b}"


def _difference_of_digits(rng: random.Random) -> str:
    small = rng.randint(0, 9)
    top, lent = rng.randint(small, small + 9), rng.randint(0, 1)
    return f"{top}-{small}-1={top - small - 1}" if lent and top > small else f"{top}-{small}={top - small}"


def _sum(rng: random.Random) -> str:
    a, b = rng.randint(0, 99), rng.randint(0, 49)
    return f"{a}+{b}={a + b}. {a + b}-{b}={a}"


def _difference(rng: random.Random) -> str:
    a, b = sorted((rng.randint(0, 100), rng.randint(0, 100)), reverse=True)
    return f"{a}-{b}={a - b}. {a - b}+{b}={a}"


def _product(rng: random.Random) -> str:
    a, b = rng.randint(0, 9), rng.randint(0, 9)
    return f"{a}*{b}={a * b}"


def _product_and_carry(rng: random.Random) -> str:
    a, b, carry = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 8)
    return f"{a}*{b}={a * b}, {a * b}+{carry}={a * b + carry}"


def _division(rng: random.Random) -> str:
    b = rng.randint(1, 50)
    a = rng.randint(b, 100)
    return f"{a} divided by {b}: {b}*{a // b}={a // b * b}, {a}-{a // b * b}={a % b}."


def _half(rng: random.Random) -> str:
    n = rng.randint(1, 2 ** rng.randint(1, 8) - 1)
    return f"{n}/2={n // 2} remainder {n % 2}"


def _places(rng: random.Random) -> str:
    a, b = (rng.randint(1, 10 ** rng.randint(1, 3) - 1) for _ in range(2))
    rows = zip_longest(PLACES, reversed(str(a)), reversed(str(b)), fillvalue="0")
    pairs = [f"{place} {x} {y}" for place, x, y in rows][: max(len(str(a)), len(str(b)))]
    return f"{a} and {b}: {'; '.join(pairs)}."


def _copy(rng: random.Random) -> str:
    numbers = [rng.randint(0, 10 ** rng.randint(1, 3) - 1) for _ in range(rng.randint(1, 3))]
    said = [f"{order} {number}" for order, number in zip(ORDER, numbers, strict=False)]
    return f"Given {', '.join(map(str, numbers))}: {', '.join(said)}."


def _legs_of_each(rng: random.Random) -> str:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    herd = [(rng.randint(1, 5), animal) for animal in rng.sample(sorted(ANIMALS), rng.randint(1, 3))]
    each = [f"one {animal} has {ANIMALS[animal]} legs" for _, animal in herd]
    return f"{', '.join(f'{count} {animal}s' for count, animal in herd)}: {', '.join(each)}."


def _legs(rng: random.Random) -> str:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    animal, count = rng.choice(sorted(ANIMALS)), rng.randint(1, 5)
    legs = ANIMALS[animal]
    return f"One {animal} has {legs} legs, {count} of them {count}*{legs}={count * legs}."


KINDS: tuple[Callable[[random.Random], str], ...] = (
    _sum_of_digits,
    _difference_of_digits,
    _sum,
    _difference,
    _product,
    _product_and_carry,
    _division,
    _half,
    _places,
    _legs,
    _legs_of_each,
    _copy,
    _copy,
    _copy,
)
