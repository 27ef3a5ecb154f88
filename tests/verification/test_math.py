import json
from pathlib import Path

import pytest

from distill.errors import DistillError
from distill.records import Outcome
from distill.verification import answers, engines, math, pool, symbolic
from distill.verification.findings import NeedsParser
from distill.verification.structure import Shape, shape

CASES = [json.loads(line) for line in Path("tests/cases/math.jsonl").read_text().splitlines()]


def test_every_case_of_the_table_comes_out_as_written():
    pairs = [(case["gold"], case["answer"]) for case in CASES]
    found = {done.index: done.answer for done in pool.run(symbolic.compare, pairs, 5.0, engines.PRELOAD)}
    wrong = [
        (case["gold"][:40], case["answer"][:40], case["verdict"], found[index].outcome.value)
        for index, case in enumerate(CASES)
        if found[index].outcome != case["verdict"]
    ]
    assert wrong == []


def test_table_is_large_and_half_negative():
    assert len(CASES) >= 120
    assert sum(case["verdict"] != Outcome.CORRECT for case in CASES) * 2 >= len(CASES)
    assert all(case["verdict"] != Outcome.CORRECT for case in CASES if len(case["answer"]) > 200)


HOSTILE = {
    "a million digits": "7" * 10**6,
    "a million braces": "{" * 10**6,
    "a million boxes' worth of backslashes": "\\" * 10**6,
    "deep fractions": "\\frac{" * 3000 + "1" + "}{2}" * 3000,
    "a tower of powers": "9^{9^{9^{9^{9}}}}",
    "a huge factorial": "(10^9)!",
    "a nested factorial": "((((9!)!)!)!)!",
    "a huge power by products": "(2^{9999})^{9999}",
    "a huge sum": "\\sum_{k=1}^{99999999} \\frac{1}{k^{k}}",
    "a hard integral": "\\int_0^1 \\sin(x^x) \\cos(e^{x^7}) dx",
    "many variables": "(a+b+c+d+e+f+g+h)^{99}",
    "a large set": "\\{" + ",".join(map(str, range(2000))) + "\\}",
    "code": "__import__('os').system('echo owned')",
}


def test_hostile_answers_are_bounded_and_never_correct():
    pairs = [("5", answer) for answer in HOSTILE.values()]
    found = {done.index: done.answer for done in pool.run(symbolic.compare, pairs, 0.7, engines.PRELOAD)}
    assert sorted(found) == list(range(len(pairs)))
    assert not [name for index, name in enumerate(HOSTILE) if found[index].outcome is Outcome.CORRECT]


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("\\left(\\dfrac{1}{2},\\ −3\\right).", "(\\frac{1}{2}, -3)"),
        ("$\\text{yes}$", "yes"),
        ("10²", "10^{2}"),
        ("３", "3"),
        ("\\frac12", "\\frac{1}{2}"),
        ("50 \\%", "50 %"),
        ("1\\,234", "1234"),
        ("\\boxed{7}", "7"),
    ],
)
def test_normalise(text: str, spelling: str):
    assert answers.normalise(text) == spelling


def test_normalising_twice_changes_nothing():
    for case in CASES:
        once = answers.normalise(case["answer"][:500])
        if once.count("boxed") == 0:
            assert answers.normalise(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\{3, 1\\}", Shape("{", "}", ("3", "1"))),
        ("[0, 2)", Shape("[", ")", ("0", "2"))),
        ("1, 2", Shape("", "", ("1", "2"))),
        ("1,234", None),
        ("f(x, y)", None),
        ("(1)(2)", None),
    ],
)
def test_shape(text: str, expected: Shape | None):
    assert shape(text) == expected


@pytest.mark.parametrize("answer", ["12", "12.0", "24/2", "\\frac{24}{2}", "13", "1,234", "Monday", "1, 2"])
def test_numbers_words_and_lists_need_no_parser(answer: str):
    math.compare("12", answer) if answer != "Monday" else math.compare("Tuesday", answer)


def test_algebra_needs_the_parser():
    with pytest.raises(NeedsParser):
        math.compare("x^2-1", "(x-1)(x+1)")


def test_a_verifier_that_fails_its_self_test_refuses_to_work(monkeypatch):
    import hostile

    monkeypatch.setattr(symbolic, "compare", hostile.lie)
    engines.prove_parser.cache_clear()
    with pytest.raises(DistillError, match="fails its self-test"):
        engines.prove_parser(1.0)
