from itertools import pairwise

import pytest
from stores import A, make_given, make_problem, make_store, make_trace

from distill.curation import funnel, policies
from distill.curation.store import ask, open_store
from distill.errors import ConfigError, DataError
from distill.settings import ExportSettings


def pick(connection, policy="verified", seed=17, **caps):
    return policies.select(connection, ExportSettings(policy=policy, **caps), seed)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with open_store(make_store(tmp_path_factory.mktemp("store"))) as connection:
        yield connection


# ------------------------------------------------------------------ what each picks

EASY, EVEN, HARD, TIED = (make_problem(name, "sums") for name in ("easy", "even", "hard", "tied"))
CONCERNED = make_problem("concerned", "words")
CHAINS = [
    "first I think in English, then " + "我们再检查一遍这个结果" * 3,
    " ".join(str(n * n) for n in range(1_300)),
    "let us run it\n```python\nprint(7)\n```\nand see",
    "I must check that again. " * 100,
    "so it is \\boxed{12}, or not",
    "nothing is wrong with this one",
]


def sampled(problem, outcomes, answers=None):
    """A trace for each letter: r(ight), w(rong), c(ut); chains differ in every word, tokens grow."""
    rows = []
    for index, letter in enumerate(outcomes):
        said = answers[index] if answers else "7" if letter == "r" else f"{index}"
        chain = f"step{index} by{index} step{index}"
        if letter == "c":
            trace = make_trace(problem, index, None, None, tokens=640, finish_reason="length", text=chain)
        else:
            trace = make_trace(problem, index, chain, f"\\boxed{{{said}}}", tokens=100 + index)
        rows.append((trace, {"r": "correct", "w": "incorrect", "c": "truncated"}[letter]))
    return rows


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Problems with known pass rates and votes, and one right trace for each concern that a policy may have."""
    problems = [EASY, EVEN, HARD, TIED, CONCERNED]
    rows = [
        *sampled(EASY, "r" * 16),
        *sampled(EVEN, "rrwwc"),
        *sampled(HARD, "w" * 15 + "r", answers=["8"] * 9 + ["9"] * 6 + ["7"]),
        *sampled(TIED, "rrww", answers=["7", "7", "8", "8"]),
        *((make_trace(CONCERNED, i, chain, "\\boxed{7}", tokens=50 + i), "correct") for i, chain in enumerate(CHAINS)),
    ]
    given = [make_given("g0"), make_given("g1"), make_given("g2", "I <think> not")]
    store = make_store(tmp_path_factory.mktemp("known"), rows, problems, given)
    names = {problem.id: problem.prompt.split()[1].rstrip("?") for problem in problems}
    with open_store(store) as connection:

        def named(ids):
            query = "SELECT problem_id, sample_index FROM traces WHERE id IN $ids"
            found = ask(connection, query, {"ids": ids})[1]
            return sorted(f"{names.get(problem, 'given')}{index}" for problem, index in found)

        yield connection, named


ALL_CONCERNED = [f"concerned{index}" for index in range(6)]
ALL_EASY = [f"easy{index}" for index in range(16)]
EXPECTED = {
    "verified": [*ALL_CONCERNED, *ALL_EASY, "even0", "even1", "hard15", "tied0", "tied1"],
    "all": [
        *ALL_CONCERNED, *ALL_EASY, *(f"even{i}" for i in range(4)), *(f"hard{i}" for i in range(16)),
        *(f"tied{i}" for i in range(4)),
    ],
    "majority": [*ALL_CONCERNED, *ALL_EASY, *(f"hard{i}" for i in range(9))],
    "shortest_correct": ["concerned0", "easy0", "even0", "hard15", "tied0"],
    "longest_correct": ["concerned5", "easy15", "even1", "hard15", "tied1"],
    "one_per_problem": ["concerned0", "easy0", "even0", "hard15", "tied0"],
    "pass_rate_band": [*ALL_CONCERNED, "even0", "even1", "hard15", "tied0", "tied1"],
    "r1": ["concerned3", "concerned4", "concerned5", *ALL_EASY, "even0", "even1", "hard15", "tied0", "tied1"],
}  # fmt: skip


@pytest.mark.parametrize("policy", list(EXPECTED))
def test_every_policy(known, policy):
    connection, named = known
    ids = pick(connection, policy)
    assert named(ids) == sorted([*EXPECTED[policy], "given0", "given0"])
    assert ids == sorted(ids)


def test_long_and_short_chains_are_mixed(tmp_path):
    problems = [make_problem(f"p{index}") for index in range(60)]
    rows = [row for problem in problems for row in sampled(problem, "rrr")]
    with open_store(make_store(tmp_path, rows, problems)) as connection:
        ids = pick(connection, "long_short_mix")
        _, lengths = ask(connection, "SELECT completion_tokens FROM traces WHERE id IN $ids", {"ids": ids})
    assert len(ids) == 60
    assert {tokens for (tokens,) in lengths} == {100, 102}
    assert 6 <= sum(tokens == 102 for (tokens,) in lengths) <= 20


def test_every_policy_is_tested_and_says_why():
    assert {*EXPECTED, "long_short_mix", "given"} == set(policies.shipped())
    for name in policies.shipped():
        assert policies.query(name).startswith("-- ")


def test_selections_are_what_the_policies_pick(known):
    connection, _ = known
    query = "SELECT trace_id FROM selections WHERE list_contains(policies, $name) OR list_contains(policies, 'given')"
    for policy in EXPECTED:
        _, rows = ask(connection, query, {"name": policy})
        assert {trace for (trace,) in rows} == set(pick(connection, policy))


def test_concerns_are_columns_and_no_reasons(known):
    connection, _ = known
    _, rows = ask(connection, "SELECT concerns, reason FROM judged WHERE source = 'words' ORDER BY sample_index")
    assert rows == [
        (["mixed_language"], None), (["long_paragraph"], None), (["code_block"], None), (["repetition"], None),
        (["other_answer_in_chain"], None), ([], None),
    ]  # fmt: skip


def test_given_responses(known):
    connection, _ = known
    _, rows = ask(connection, "SELECT prompt, reason FROM given ORDER BY prompt")
    assert rows == [
        ("Write a line about g0.", None), ("Write a line about g1.", None), ("Write a line about g2.", "stray_tag"),
    ]  # fmt: skip
    assert funnel.count(funnel.measure(connection), "traces") == 47, "they are in no funnel: nobody was asked for them"


def test_wilson_agrees_with_scipy(small):
    from scipy.stats import binomtest

    for n in (1, 4, 16, 64):
        for k in range(n + 1):
            [ours] = ask(small, "SELECT wilson_low($k, $n), wilson_high($k, $n)", {"k": k, "n": n})[1]
            theirs = binomtest(k, n).proportion_ci(method="wilson")
            assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-5)


# ------------------------------------------------------------------ caps


def test_the_caps_are_seeded_draws(known):
    connection, named = known
    draws = [
        [tuple(pick(connection, seed=seed, max_per_problem=1, max_per_source=3)) for seed in range(12)] for _ in "ab"
    ]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 6
    for ids in draws[0]:
        picked = [name.rstrip("0123456789") for name in named(list(ids))]
        assert len(picked) == 3 + 1 + 2, "three of the sums, one of the words, two given"
        assert max(picked.count(problem) for problem in ("easy", "even", "hard", "tied", "concerned")) == 1


def test_the_draw_of_a_problem_does_not_see_the_others(small, tmp_path):
    traces = [make_trace(A, 0, "six plus one", "7"), make_trace(A, 1, "count", "7")]
    with open_store(make_store(tmp_path, [(trace, "correct") for trace in traces])) as alone:
        for seed in range(5):
            assert pick(alone, seed=seed, max_per_problem=1) == pick(small, seed=seed, max_per_problem=1)


# ------------------------------------------------------------------ one's own


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "OWN", tmp_path)
    return tmp_path / "mine.sql"


def test_an_unknown_policy_names_the_known(own):
    own.write_text("SELECT id FROM kept")
    with pytest.raises(ConfigError, match=r"'best'; the policies are all, given, long_short_mix, .*, mine, one_per"):
        policies.query("best")
    (own.parent / "r1.sql").write_text("SELECT id FROM kept")
    with pytest.raises(ConfigError, match=r"r1.sql has the name of a policy that comes with distill; rename it"):
        policies.query("r1")


@pytest.mark.parametrize("name", ["../../secrets", "/etc/passwd", "", "verified.sql", "VERIFIED"])
def test_a_policy_is_a_name_and_no_path(name):
    with pytest.raises(ConfigError, match="the policies are"):
        policies.query(name)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id FROM judged -- the comment ends here", "picks 3 traces that cannot be taught, as .*format = 'ok'"),
        ("SELECT problem_id FROM kept", "the policy mine is wrong: .*id"),
        ("SELECT id FROM keptt", "the policy mine is wrong: .*keptt"),
        ("SELEC id", "the policy mine is wrong: .*syntax error"),
        ("", "one SELECT, which reads the store and changes nothing"),
        ("DELETE FROM traces", "one SELECT, which reads the store and changes nothing"),
        ("SELECT id FROM kept; DROP TABLE traces", "one SELECT"),
        ("SELECT id FROM kept) SELECT 1; DROP TABLE traces; --", "the policy mine is wrong"),
        ("COPY traces TO 'out.csv'", "one SELECT"),
        ("ATTACH 'other.duckdb'", "one SELECT"),
        ("INSTALL httpfs", "one SELECT"),
        ("SET enable_external_access = true", "one SELECT"),
        ("SELECT content AS id FROM read_text('/etc/passwd')", "disabled by configuration"),
        ("SELECT id FROM read_csv('https://example.org/ids.csv')", "disabled by configuration|httpfs"),
        ("SELECT file AS id FROM glob('/*')", "disabled by configuration"),
        ("SELECT id FROM '/etc/passwd'", "the policy mine is wrong"),
        ("SELECT getenv('HOME') AS id", "the policy mine is wrong"),
        ("SELECT id FROM query('COPY traces TO ''x.csv''')", "the policy mine is wrong"),
    ],
)
def test_a_policy_reads_the_store_and_nothing_else(small, own, query, words):
    own.write_text(query)
    with pytest.raises(DataError, match=words) as fault:
        pick(small, "mine")
    assert "\n" not in str(fault.value)


def test_a_policy_that_names_a_trace_twice_picks_it_once(small, own):
    own.write_text("SELECT id FROM kept UNION ALL SELECT id FROM kept")
    assert len(pick(small, "mine")) == 2


# ------------------------------------------------------------------ the funnel


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
    assert (measured["concerns"], measured["contamination"]) == ({}, {})
    assert measured["copies"] == {"trace, exact": 1}
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
    funnel.write_bars(small, tmp_path / "funnel.csv")
    bars = (tmp_path / "funnel.csv").read_text().splitlines()
    assert (bars[0], bars[4], len(bars)) == ("source,bar,n,tokens", 'gcd,"traces, truncated",-1,-640', 22)
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
