from itertools import pairwise

import pytest
from stores import NAMES, A, make_store, make_trace

from distill.curation import funnel, policies
from distill.curation.store import open_store
from distill.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with open_store(make_store(tmp_path_factory.mktemp("store"))) as connection:
        yield connection


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("verified", {"a0", "a1"}),
        ("all", {"a0", "a1", "b0", "c0"}),
        ("shortest_correct", {"a1"}),
        ("one_per_problem", {"a0"}),
    ],
)
def test_every_policy(small, policy, expected):
    ids = policies.select(small, policy, seed=17)
    assert {NAMES[trace] for trace in ids} == expected
    assert ids == sorted(ids)


def test_every_policy_is_tested_and_says_why():
    assert policies.names() == ["all", "one_per_problem", "shortest_correct", "verified"]
    for name in policies.names():
        assert policies.text(name).startswith("-- ")


def test_an_unknown_policy_names_the_known():
    with pytest.raises(ConfigError, match="'best'; the policies are all, one_per_problem, shortest_correct, verified"):
        policies.text("best")


def test_the_cap_is_a_seeded_draw(small):
    drawn = [policies.select(small, "verified", seed, max_per_problem=1) for seed in range(12)]
    assert drawn == [policies.select(small, "verified", seed, max_per_problem=1) for seed in range(12)]
    assert {NAMES[trace] for ids in drawn for trace in ids} == {"a0", "a1"}
    assert all(len(ids) == 1 for ids in drawn)


def test_the_draw_of_a_problem_does_not_see_the_others(small, tmp_path):
    traces = [make_trace(A, 0, "six plus one", "7"), make_trace(A, 1, "count", "7")]
    with open_store(make_store(tmp_path, [(trace, "correct") for trace in traces])) as alone:
        for seed in range(5):
            assert policies.select(alone, "verified", seed, 1) == policies.select(small, "verified", seed, 1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id FROM judged -- the comment ends here", "picks 3 traces that cannot be taught, as .*format = 'ok'"),
        ("SELECT problem_id FROM kept", "the policy mine is wrong: .*id"),
        ("SELECT id FROM keptt", "the policy mine is wrong: .*keptt"),
        ("DELETE FROM traces", "the policy mine is wrong"),
    ],
)
def test_a_wrong_policy_is_one_sentence(small, tmp_path, monkeypatch, query, words):
    (tmp_path / "mine.sql").write_text(query)
    monkeypatch.setattr(policies, "FOLDER", tmp_path)
    with pytest.raises(DataError, match=words) as fault:
        policies.select(small, "mine", seed=17)
    assert "\n" not in str(fault.value)


def test_a_policy_that_names_a_trace_twice_picks_it_once(small, tmp_path, monkeypatch):
    (tmp_path / "mine.sql").write_text("SELECT id FROM kept UNION ALL SELECT id FROM kept")
    monkeypatch.setattr(policies, "FOLDER", tmp_path)
    assert len(policies.select(small, "mine", seed=17)) == 2


def test_the_funnel(small, tmp_path):
    measured = funnel.measure(small)
    assert [tuple(step.values()) for step in measured["steps"]] == [
        ("problems", None, 4, 0),
        ("problems", "unparsed_gold", -1, 0),
        ("gradable problems", None, 3, 0),
        ("traces", None, 8, 930),
        ("traces", "truncated", -1, -640),
        ("finished", None, 7, 290),
        ("finished", "no_answer", -1, -40),
        ("answered", None, 6, 250),
        ("answered", "incorrect", -1, -40),
        ("correct", None, 5, 210),
        ("correct", "duplicate", -1, -50),
        ("correct", "no_chain", -1, -40),
        ("correct", "stray_tag", -1, -40),
        ("kept", None, 2, 80),
    ]
    assert measured["sources"] == {
        "gcd": {
            "problems": 2, "traces": 6, "finished": 5, "answered": 5, "correct": 4, "kept": 2, "tokens": 850,
            "tokens_per_kept_trace": 425.0,
        },
        "sums": {
            "problems": 1, "traces": 2, "finished": 2, "answered": 1, "correct": 1, "kept": 0, "tokens": 80,
            "tokens_per_kept_trace": None,
        },
    }  # fmt: skip
    assert funnel.count(measured, "correct") == 5
    funnel.write(measured, tmp_path / "funnel.json")
    assert '"tokens": 930' in (tmp_path / "funnel.json").read_text()


def test_what_leaves_a_step_is_what_the_next_one_lacks(small):
    """Each step, less its reasons, is the next: nothing is dropped without a reason."""
    steps = [step for step in funnel.measure(small)["steps"] if "problems" not in step["step"]]
    entering = [step for step in steps if step["reason"] is None]
    for step, after in pairwise(entering):
        assert sum(row["n"] for row in steps if row["step"] == step["step"]) == after["n"]
        assert sum(row["tokens"] for row in steps if row["step"] == step["step"]) == after["tokens"]


def test_an_empty_store_has_a_funnel(tmp_path):
    with open_store(make_store(tmp_path, [])) as connection:
        measured = funnel.measure(connection)
    assert funnel.count(measured, "traces") == funnel.count(measured, "kept") == 0
    assert measured["sources"] == {}
