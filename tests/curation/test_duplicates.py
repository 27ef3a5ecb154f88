import random

import numpy as np

from distill.curation import duplicates
from distill.curation.phrases import Question
from distill.curation.quality import signatures

STORY = (
    "On {day} {name} carries {n} crates of pears to the market by the river, sells all but {k} of them before noon, "
    "and gives half of what is left to a neighbour. How many crates come home in the evening?"
)


def ask(questions: list[str], common: int = 10) -> dict[str, tuple[str, bool]]:
    found = duplicates.problem_copies([Question(f"q{i}", text) for i, text in enumerate(questions)], common)
    return {copy.id: (copy.kept_id, copy.exact) for copy in found}


def test_clusters_are_stars():
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2**32, 128, dtype=np.uint32)
    near, chained, other = base.copy(), base.copy(), rng.integers(0, 2**32, 128, dtype=np.uint32)
    near[:10] += 1
    chained[:20] += 1
    found = duplicates.cluster(np.stack([base, near, other, base, chained]), 0.9)
    assert found == [(1, 0, 0.922), (3, 0, 1.0)], "what is near to a copy alone is kept"


def test_no_rows_and_one():
    assert duplicates.cluster(np.zeros((0, 128), dtype=np.uint32), 0.9) == []
    assert duplicates.cluster(np.zeros((1, 128), dtype=np.uint32), 0.9) == []


def test_clusters_do_not_depend_on_chance():
    rng = random.Random(5)
    texts = [" ".join(rng.choices("abcdefghij", k=80)) for _ in range(40)]
    texts += texts[:5]
    assert duplicates.cluster(signatures(texts), 0.9) == [(40 + i, i, 1.0) for i in range(5)]


def test_problems_by_key_and_by_words():
    original = STORY.format(day="Monday", name="Asha", n=48, k=12)
    found = ask([
        original,
        original.upper().replace(",", " ,"),
        original.replace("all but", "all except"),
        STORY.format(day="Monday", name="Asha", n=52, k=12),  # other numbers
        "How many crates are 48 crates and 12 crates?",
    ])  # fmt: skip
    assert found == {"q1": ("q0", True), "q2": ("q0", False)}


def test_a_template_makes_no_copies():
    questions = [f"Find the greatest common divisor of these two whole numbers: {n} and 36" for n in range(100, 140)]
    assert ask(questions) == {}


def test_many_problems_of_one_template_take_linear_time():
    """Every question meets all others in every band; each is compared with what is kept there, not with all."""
    questions = [
        STORY.format(day="Monday", name=f"Asha{chr(97 + i % 26)}{chr(97 + i // 26)}", n=48, k=12) for i in range(600)
    ]
    found = ask(questions, common=10_000)
    assert len(found) > 500
    assert len({kept for kept, _ in found.values()}) < 100
