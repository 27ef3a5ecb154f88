import pytest

from distill.config import GymSource
from distill.problems.sources import GYM_TASKS, load_source
from distill.records import Outcome
from distill.verification import gym

N = 12


@pytest.mark.parametrize("task", sorted(GYM_TASKS))
def test_a_task_accepts_its_own_answer_and_no_other(task: str):
    problems = load_source(task, GymSource(kind="gym", task=task, n=N), "train", seed=3)
    for index, problem in enumerate(problems):
        assert gym.compare(problem.answer, problem.answer).outcome is Outcome.CORRECT
        assert gym.compare(problem.answer, f" ${problem.answer}$. ").outcome is Outcome.CORRECT
        for wrong in (
            "",
            "banana",
            "None",
            "[]",
            f"{problem.answer}1",
            f"{problem.answer} {problem.answer}",
            "eval(1)",
        ):
            assert gym.compare(problem.answer, wrong).outcome is not Outcome.CORRECT, (problem.answer, wrong)
        other = problems[(index + 1) % N].answer
        same = float(other) == float(problem.answer)
        assert (gym.compare(problem.answer, other).outcome is Outcome.CORRECT) == same


@pytest.mark.parametrize("answer", ["7", "07", "+7", "7.0", "14/2", "x = 7", "$7$", "7 legs", "(7)", "7^\\circ"])
def test_spellings_of_seven(answer: str):
    assert gym.compare("7", answer).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("8", Outcome.INCORRECT),
        ("7.0000001", Outcome.INCORRECT),
        ("7%", Outcome.UNPARSED_ANSWER),
        ("7_8", Outcome.UNPARSED_ANSWER),
        ("7, 8", Outcome.UNPARSED_ANSWER),
        ("7" * 2000, Outcome.UNPARSED_ANSWER),
        ("7" * 10**6, Outcome.LIMIT),
    ],
)
def test_what_is_not_seven(answer: str, outcome: Outcome):
    assert gym.compare("7", answer).outcome is outcome
