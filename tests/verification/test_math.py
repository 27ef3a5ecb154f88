import json
from pathlib import Path

import pytest

from distill.errors import DistillError
from distill.records import Outcome
from distill.settings import VerifySettings
from distill.verification import answers, engines, math, pool, symbolic
from distill.verification.findings import NeedsParser
from distill.verification.structure import Shape, shape

CASES = [json.loads(line) for line in Path("tests/cases/math.jsonl").read_text().splitlines()]


CPU_S = VerifySettings().timeout_s


def test_every_case_of_the_table_comes_out_as_written():
    pairs = [(case["gold"], case["answer"]) for case in CASES]
    found = {done.index: done.answer for done in pool.run(symbolic.compare, pairs, CPU_S, engines.PRELOAD)}
    wrong = [
        (case["gold"][:40], case["answer"][:40], case["verdict"], found[index].outcome.value)
        for index, case in enumerate(CASES)
        if found[index].outcome != case["verdict"]
    ]
    assert wrong == []


def test_table_is_large_and_half_negative():
    assert len(CASES) >= 400
    assert sum(case["verdict"] != Outcome.CORRECT for case in CASES) * 2 >= len(CASES)
    assert all(case["verdict"] != Outcome.CORRECT for case in CASES if len(case["answer"]) > 200)


def test_hostile_answers_are_bounded_and_never_correct():
    cases = [json.loads(line) for line in Path("tests/cases/hostile.jsonl").read_text().splitlines()]
    assert len(cases) >= 60
    pairs = [(case["gold"], "".join(text * times for text, times in case["parts"])) for case in cases]
    found = {done.index: done for done in pool.run(symbolic.compare, pairs, CPU_S, engines.PRELOAD)}
    assert sorted(found) == list(range(len(pairs)))
    outcomes = {case["name"]: found[index].answer.outcome for index, case in enumerate(cases)}
    assert not [name for name, outcome in outcomes.items() if outcome in (Outcome.CORRECT, Outcome.CRASH)]
    assert outcomes["a million digits"] is Outcome.LIMIT
    assert outcomes["a binomial"] is Outcome.TIMEOUT  # so that some of them do reach the limit of time


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


def test_functions_need_the_parser():
    with pytest.raises(NeedsParser):
        math.compare("\\sin 2x", "2\\sin x\\cos x")


def test_a_verifier_that_fails_its_self_test_refuses_to_work(monkeypatch):
    import hostile

    monkeypatch.setattr(symbolic, "compare", hostile.lie)
    engines.prove_parser.cache_clear()
    with pytest.raises(DistillError, match="fails its self-test"):
        engines.prove_parser(1.0)
