"""A worked chain ends in reasoning-gym's own answer, and every equation in it holds or is put right at once."""

import random
import re
from functools import cache
from typing import Any

import pytest

from distill.embedded import chains, facts
from distill.prompting import boxed_answers

N = 200
RANGES = {"easy": chains.EASY, "hard": chains.HARD}
CASES = [(name, task) for name, configs in RANGES.items() for task in configs]

EQUATION = re.compile(r"(?<![\d*/+-])(\d[\d*/+-]*)=(-?\d+)( remainder ([01]))?")


@cache
def problems(name: str, task: str) -> list[Any]:
    import reasoning_gym

    return list(reasoning_gym.create_dataset(task, seed=1234, size=N, **RANGES[name][task]))


def written(name: str, task: str, slip_rate: float = chains.SLIP_RATE) -> list[str]:
    rng = random.Random(5)
    return [chains.WRITERS[task](chains.Pupil(rng, slip_rate), item["metadata"])[0] for item in problems(name, task)]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_box_holds_the_gyms_answer(name: str, task: str) -> None:
    for item in problems(name, task):
        example, answer = chains.write_chain(task, item["question"], item["metadata"], random.Random(0))
        assert example.question == item["question"]
        assert boxed_answers(example.response) == [str(answer)] == [item["answer"]]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_every_equation_holds_or_is_put_right(name: str, task: str) -> None:
    for chain in written(name, task, slip_rate=0.2):
        assert faults(chain) == []


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("ones 8+6=14, write 4", []),
        ("ones 8+6=15. Wait, 8+6=14, write 4", []),
        ("ones 8+6=15, write 5", ["8+6=15"]),
        ("ones 8+6=15. Wait, 8+6=13", ["8+6=15", "8+6=13"]),
        ("9/2=4 remainder 1", []),
        ("9/2=4 remainder 0", ["9/2=4 remainder 0"]),
        ("Check: 7-12=-5, yes.", []),
    ],
)
def test_the_equation_check_itself(chain: str, expected: list[str]) -> None:
    assert faults(chain) == expected


def test_slips_occur_at_their_rate_and_not_without() -> None:
    share = sum("Wait, " in chain for _, task in CASES for chain in written("easy", task)) / (len(CASES) * N)
    assert 0.1 < share < 0.6
    assert not any("Wait, " in chain for name, task in CASES for chain in written(name, task, slip_rate=0.0))


@pytest.mark.parametrize("task", chains.EASY)
def test_easy_chains_are_short(task: str) -> None:
    assert max(len(chain) for chain in written("easy", task)) < 1000  # characters


def test_number_facts_hold() -> None:
    rng = random.Random(0)
    for _ in range(100):
        assert faults(facts.write_facts(rng)) == []


def faults(text: str) -> list[str]:
    """The equations of a text that do not hold and are not followed by `. Wait,` and the right one."""
    found = []
    for match in EQUATION.finditer(text):
        if not holds(match[1], int(match[2]), match[4]):
            put_right = re.match(rf"\. Wait, {re.escape(match[1])}=(-?\d+)( remainder ([01]))?", text[match.end() :])
            if not (put_right and holds(match[1], int(put_right[1]), put_right[3])):
                found.append(match[0])
    return found


def holds(expression: str, value: int, remainder: str | None) -> bool:
    """Whether a sum, product or whole halving has this value; a remainder is checked where one is shown."""
    if "/" in expression:
        number, divisor = map(int, expression.split("/"))
        return number // divisor == value and remainder in (None, str(number % divisor))
    return sum(signed_products(expression)) == value


def signed_products(expression: str) -> list[int]:
    """`4-2*3` as [4, -6]."""
    terms = []
    for sign, term in re.findall(r"([+-]?)([\d*]+)", expression):
        value = 1
        for factor in term.split("*"):
            value *= int(factor)
        terms.append(-value if sign == "-" else value)
    return terms
