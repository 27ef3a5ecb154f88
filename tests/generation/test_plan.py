"""What is asked next: the deficit and no more, in rounds, by the answers alone."""

import random
from pathlib import Path

import pytest
from fakes import make_problems

from distill.generation.cache import Entry
from distill.generation.plan import Course, Job, Rules, Stop
from distill.settings import GenerateSettings, SamplingSettings

(PROBLEM,) = make_problems(1)


def settle(course: Course, job: Job, word: str, tokens: int = 10) -> None:
    """An answer that is right, wrong, cut or refused."""
    if word == "refused":
        return course.refuse(job)
    reason = "length" if word == "cut" else "stop"
    answer = Entry(job.slot, job.budget, reason, tokens, created_at=0.0, segment=Path(), offset=0, length=0)
    return course.settle(job, answer, word == "right")


def play(rules: Rules, outcomes: dict[int, list[str]]) -> tuple[list[list[tuple[int, int]]], Course]:
    """Run a course to its end; sample i comes out as the words of `outcomes[i]`, one a request. Returns the rounds."""
    course, rounds, words = Course(PROBLEM, rules), [], {index: iter(found) for index, found in outcomes.items()}
    while jobs := course.next_round():
        rounds.append([(job.sample_index, job.budget) for job in jobs])
        for job in random.Random(len(rounds)).sample(jobs, len(jobs)):  # in any order
            settle(course, job, next(words[job.sample_index]))
    return rounds, course


def test_all_samples_are_one_round() -> None:
    rounds, course = play(Rules(3, (64,)), {0: ["wrong"], 1: ["cut"], 2: ["right"]})
    assert rounds == [[(0, 64), (1, 64), (2, 64)]]
    assert course.stop is Stop.ALL


def test_each_round_asks_for_the_deficit() -> None:
    outcomes = {0: ["right"], 1: ["wrong"], 2: ["wrong"], 3: ["right"], 4: ["right"]}
    rounds, course = play(Rules(8, (64,), want=3), outcomes)
    assert rounds == [[(0, 64), (1, 64), (2, 64)], [(3, 64), (4, 64)]]
    assert course.stop is Stop.ENOUGH
    assert course.verified == {0, 3, 4}


def test_a_cut_trace_goes_on_before_a_fresh_one_begins() -> None:
    outcomes = {0: ["cut", "cut", "wrong"], 1: ["right"]}
    rounds, course = play(Rules(8, (8, 16, 32), want=1), outcomes)
    assert rounds == [[(0, 8)], [(0, 16)], [(0, 32)], [(1, 8)]]
    assert course.stop is Stop.ENOUGH


def test_a_cut_trace_is_left_when_a_sibling_was_enough() -> None:
    rounds, course = play(Rules(2, (8, 16), want=1), {0: ["wrong"], 1: ["right"]})
    assert rounds == [[(0, 8)], [(1, 8)]]
    rounds, course = play(Rules(4, (8, 16), want=2), {0: ["cut", "right"], 1: ["right"]})
    assert rounds == [[(0, 8), (1, 8)], [(0, 16)]]
    assert course.stop is Stop.ENOUGH


def test_every_cut_trace_goes_on_when_all_are_wanted() -> None:
    rounds, _ = play(Rules(3, (8, 16)), {0: ["cut", "cut"], 1: ["right"], 2: ["cut", "right"]})
    assert rounds == [[(0, 8), (1, 8), (2, 8)], [(0, 16), (2, 16)]]


@pytest.mark.parametrize(
    ("rules", "outcome", "stop", "asked"),
    [
        (Rules(4, (64,), want=1), "wrong", Stop.SAMPLES, 4),
        (Rules(9, (64,), want=1, give_up_after=3), "wrong", Stop.GAVE_UP, 3),
        (Rules(9, (64,), want=1, tokens_per_problem=25), "wrong", Stop.TOKENS, 3),
        (Rules(9, (64,), want=2), "refused", Stop.REFUSED, 2),
        (Rules(3, (64,)), "refused", Stop.REFUSED, 3),
        (Rules(9, (64,), want=1, give_up_after=3), "cut", Stop.GAVE_UP, 3),
    ],
)
def test_why_a_course_stops(rules: Rules, outcome: str, stop: Stop, asked: int) -> None:
    rounds, course = play(rules, {index: [outcome] for index in range(9)})
    assert course.stop is stop
    assert sum(map(len, rounds)) == asked


def test_no_course_asks_twice_for_the_same() -> None:
    """Random outcomes under random rules: every request once, fresh samples in order, never beyond the rules."""
    rng = random.Random(5)
    for _ in range(300):
        rules = Rules(rng.randint(1, 8), (8, 16, 32)[: rng.randint(1, 3)], rng.choice([None, 1, 2]))
        words = {index: iter(rng.choices(["right", "wrong", "cut", "refused"], k=3)) for index in range(8)}
        course, seen = Course(PROBLEM, rules), []
        while jobs := course.next_round():
            assert rules.want is None or len(jobs) <= rules.want - len(course.verified)
            seen += [(job.sample_index, job.budget) for job in jobs]
            for job in jobs:
                settle(course, job, next(words[job.sample_index]))
        assert course.stop is not None
        assert len(seen) == len(set(seen))
        first = [index for index, budget in seen if budget == rules.budgets[0]]
        assert first == list(range(course.begun))
        assert course.begun <= rules.samples


def test_rules_come_from_params() -> None:
    assert Rules.of(SamplingSettings(samples=2, max_tokens=9)) == Rules(2, (9,))
    chosen = GenerateSettings(samples=8, want=2, budget_steps=[8, 16], max_tokens=32, give_up_after=4)
    assert Rules.of(chosen) == Rules(8, (8, 16, 32), want=2, give_up_after=4)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"give_up_after": 2}, "give_up_after is given without want"),
        ({"want": 9, "samples": 4}, "want is 9 but samples is 4"),
        ({"budget_steps": [16, 8], "max_tokens": 32}, "must rise and end below max_tokens"),
        ({"budget_steps": [32], "max_tokens": 32}, "must rise and end below max_tokens"),
    ],
)
def test_limits_that_contradict_each_other(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        GenerateSettings.model_validate(settings)
