"""The rules against a labelled set, and docs/curation.md's table against what they do on it."""

import json
import re
from pathlib import Path

import pytest

from distill.curation import contamination
from distill.curation.phrases import Question, folded, key, numbers, operators, words
from distill.settings import ContaminationSettings

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "contamination.jsonl").read_text(encoding="utf-8").splitlines()
]
EVERY_RULE = ContaminationSettings(drop_by=["exact", "ngram_8", "ngram_13", "fuzzy"])
DEFAULT = ContaminationSettings()
ASKED = "A farmer owns 17 sheep and 23 goats; he sells 8 of each, then buys 5 cows. How many animals graze on his farm?"


def find(train: str | list[str], asked: str = ASKED, settings: ContaminationSettings = DEFAULT):
    prompts = [train] if isinstance(train, str) else train
    questions = [Question(f"t{index}", prompt) for index, prompt in enumerate(prompts)]
    return contamination.find(questions, {"bench": [Question("line 1", asked)]}, settings)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is 12+7 ?", "what is  12 + 7", True),
        ("What is 12+7?", "What is 12-7?", False),
        ("Compute $x^{2}$.", "compute x^2", True),
        ("x^2", "x^3", False),
        (r"\(\dfrac{1}{2}\)", r"$\frac12$", True),
        ("It costs 1,250 euros.", "It costs 1250 euros", True),
        ("1.5", "15", False),
        ("5!", "5", False),
        ("Stop!", "stop", True),
        ("a well - known fact", "a well known fact", True),
        ("“Half” of it…", '"half" of it', True),
        (r"\left( x \right)", "(x)", True),
    ],
)
def test_key(one, other, same):
    assert (key(one) == key(other)) is same


def test_words_numbers_operators():
    text = folded(r"Find  $\dfrac{1}{2}$ of 1,234.5 two-digit NUMBERS: −3 ≤ x!")
    assert words(text) == ["find", "frac", "1", "2", "of", "1,234.5", "two", "digit", "numbers", "3", "x"]
    assert numbers(words(text)) == ("1", "1234.5", "2", "3")
    assert operators(folded("two-digit a - b^2")) == ("-", "^")


def test_evidence():
    [exact, fuzzy, n13, n8] = find(ASKED.upper().replace("?", " ?"))
    assert [hit.rule for hit in (exact, fuzzy, n13, n8)] == ["exact", "fuzzy", "ngram_13", "ngram_8"]
    assert all(hit.problem_id == "t0" and hit.benchmark == "bench" and hit.score == 1.0 for hit in (exact, n13, n8))
    assert n8.matched == " ".join(words(folded(ASKED)))
    assert n8.benchmark_problem == "line 1"
    assert all(contamination.decides(hit, EVERY_RULE) for hit in (exact, fuzzy, n13, n8))


def test_rules_that_are_left_out_are_not_looked_for():
    for rule in EVERY_RULE.drop_by:
        alone = ContaminationSettings(rules=[rule], drop_by=[rule])
        assert [hit.rule for hit in find(ASKED, settings=alone)] == [rule]


def test_a_short_question_is_found_by_its_key_alone():
    assert [hit.rule for hit in find("what is 17*24", "What is 17 * 24?")] == ["exact"]
    assert find("What is 17 * 25?", "What is 17 * 24?") == []


def test_the_stretch_in_common_is_the_evidence():
    [hit] = [hit for hit in find(f"Read this. {ASKED[:60]}, then tell a joke.") if hit.rule == "ngram_8"]
    assert hit.matched == "a farmer owns 17 sheep and 23 goats he sells 8 of each"
    assert 0 < hit.score < 1


def test_other_numbers_are_another_problem():
    hits = find(ASKED.replace("17", "19").replace("23", "31"))
    assert {hit.rule for hit in hits} == {"ngram_8", "ngram_13"}
    assert not any(contamination.decides(hit, EVERY_RULE) for hit in hits)


def test_a_template_proves_nothing():
    template = "Solve the following riddle with care and give the answer as one whole number and nothing else. "
    train = [f"{template}Which number is {n} more than {2 * n}?" for n in range(100, 112)]
    hits = find(train, f"{template}How many corners has a cube?", EVERY_RULE)
    assert {hit.rule for hit in hits} == {"ngram_8", "ngram_13"}
    assert {hit.spread for hit in hits} == {12}
    assert not any(contamination.decides(hit, EVERY_RULE) for hit in hits)
    rare = find(train[:3], f"{template}How many corners has a cube?", EVERY_RULE)
    assert {hit.spread for hit in rare} == {3}


def test_every_benchmark_is_named_once_a_rule():
    questions = [Question("q0", "Something else altogether."), Question("q1", ASKED), Question("q2", ASKED)]
    hits = contamination.find([Question("t", ASKED)], {"one": questions, "two": questions}, DEFAULT)
    assert len(hits) == 8
    assert {hit.benchmark_problem for hit in hits} == {"q1"}


def test_nothing_asked_or_nothing_trained():
    assert contamination.find([], {"bench": [Question("q", ASKED)]}, DEFAULT) == []
    assert contamination.find([Question("t", ASKED)], {}, DEFAULT) == []
    assert find("?", "!") == [] or find("?", "!")[0].rule == "exact"


# ------------------------------------------------------------------ the labelled set


@pytest.fixture(scope="module")
def found() -> dict[str, set[int]]:
    """Which cases each rule finds, and which the default settings drop; a case counts by its own question alone."""
    train = [Question(str(index), case["train"]) for index, case in enumerate(CASES)]
    asked = {str(index): [Question("q", case["eval"])] for index, case in enumerate(CASES)}
    hits = [hit for hit in contamination.find(train, asked, DEFAULT) if hit.benchmark == hit.problem_id]
    rules = {rule: {int(hit.problem_id) for hit in hits if hit.rule == rule} for rule in EVERY_RULE.drop_by}
    return rules | {"dropped": {int(hit.problem_id) for hit in hits if contamination.decides(hit, DEFAULT)}}


def rates(found: set[int]) -> tuple[float, float]:
    """Precision and recall."""
    right = sum(CASES[index]["contaminated"] for index in found)
    return right / len(found), right / sum(case["contaminated"] for case in CASES)


def test_the_set_is_large_and_balanced():
    assert len(CASES) >= 200
    assert 0.4 < sum(case["contaminated"] for case in CASES) / len(CASES) < 0.6


def test_docs_give_the_rates(found, root):
    rows = re.findall(r"^\| `(\w+)`.*\| (0\.\d\d|1\.00) \| (0\.\d\d|1\.00) \|", docs(root), re.MULTILINE)
    assert {name: (float(p), float(r)) for name, p, r in rows} == {
        name: tuple(round(rate, 2) for rate in rates(cases)) for name, cases in found.items()
    }


def docs(root: Path) -> str:
    return (root / "docs" / "curation.md").read_text()


def test_what_must_be_found_and_what_must_not(found):
    kinds = {kind: {i for i, case in enumerate(CASES) if case["kind"] == kind} for kind in {c["kind"] for c in CASES}}
    for kind in ("verbatim", "case_and_space", "short_verbatim"):
        assert kinds[kind] <= found["exact"], kind
    assert not found["exact"] & {i for i, case in enumerate(CASES) if not case["contaminated"]}
    for kind in ("common_phrase", "boilerplate", "unrelated", "same_topic"):
        assert not kinds[kind] & found["dropped"], kind
