import json

import pytest

from distill.problems.sources import load_source
from distill.records import Outcome, Problem
from distill.settings import GymSource
from distill.verification import gym, sandbox, tasks

N = 12
WRONG = ("", "banana", "None", "[]", "eval(1)")
needs_sandbox = pytest.mark.skipif(sandbox.why_unavailable() is not None, reason=f"no sandbox: {sandbox.CURE}")


def problems_of(task: str, n: int) -> list[Problem]:
    return load_source(task, GymSource(kind="gym", task=task, n=n), "train", seed=3)


@pytest.mark.parametrize("task", sorted(tasks.NUMERIC))
def test_a_numeric_task_accepts_its_own_answer_and_no_other(task: str):
    problems = problems_of(task, N)
    for index, problem in enumerate(problems):
        assert gym.compare(problem.answer, problem.answer).outcome is Outcome.CORRECT
        assert gym.compare(problem.answer, f" ${problem.answer}$. ").outcome is Outcome.CORRECT
        for wrong in (*WRONG, f"{problem.answer}1", f"{problem.answer} {problem.answer}"):
            assert gym.compare(problem.answer, wrong).outcome is not Outcome.CORRECT, (problem.answer, wrong)
        other = problems[(index + 1) % N].answer
        same = float(other) == float(problem.answer)
        assert (gym.compare(problem.answer, other).outcome is Outcome.CORRECT) == same


@needs_sandbox
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files that the ARC tasks leave open
def test_a_scored_task_accepts_its_own_answer_and_no_other():
    tried = []  # task, answer, whether it is right
    findings: dict[int, Outcome] = {}
    items = {}
    for task in sorted(tasks.SCORED):
        one, other = problems_of(task, 2)
        arguments = json.loads(one.verifier_args)
        answers = [(one.answer, True), *((wrong, False) for wrong in WRONG)]
        if other.answer.casefold() != one.answer.casefold():
            answers.append((other.answer, False))
        for answer, right in answers:
            item = gym.scoring(arguments, one.answer, answer)
            if isinstance(item, gym.Scoring):
                items[len(tried)] = item
            else:
                findings[len(tried)] = item.outcome
            tried.append((task, answer, right))
    indices = list(items)
    findings |= {indices[index]: found.outcome for index, found, _ in gym.run(list(items.values()))}
    bad = [(*tried[i], findings[i]) for i in range(len(tried)) if (findings[i] is Outcome.CORRECT) != tried[i][2]]
    assert bad == []
    assert len(tried) > 6 * len(tasks.SCORED)


def test_every_task_has_its_place():
    from reasoning_gym.factory import DATASETS

    assert set(DATASETS) == tasks.NUMERIC | set(tasks.SCORED) | set(tasks.REFUSED)


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
