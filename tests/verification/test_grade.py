import dataclasses

import pytest

from distill.errors import DataError
from distill.records import Outcome, Problem, Trace, problem_id
from distill.settings import VerifySettings
from distill.verification import cache, grade
from distill.verification.findings import Finding

SETTINGS = VerifySettings(timeout_s=5.0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def problem(answer: str = "12", verifier: str = "math", source: str = "s") -> Problem:
    prompt = f"What is {answer}?"
    return Problem(
        id=problem_id(prompt, answer, verifier), source=source, domain="math",
        prompt=prompt, answer=answer, verifier=verifier,
    )  # fmt: skip


def trace(of: Problem, answer_text: str | None, index: int = 0, finish_reason: str = "stop") -> Trace:
    return Trace(
        id=f"{of.id[:10]}{index:010x}", problem_id=of.id, sample_index=index, request_key="k", model="m",
        model_revision="r", text=answer_text or "", reasoning=None, answer_text=answer_text,
        finish_reason=finish_reason, prompt_tokens=1, completion_tokens=1, max_tokens=9, seed_label=0, engine="e",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verifier", "answer_text", "finish_reason", "outcome", "extracted"),
    [
        ("math", "So \\boxed{12}", "stop", Outcome.CORRECT, "12"),
        ("gym", "So \\boxed{12.0}", "stop", Outcome.CORRECT, "12.0"),
        ("math", "So \\boxed{13}", "stop", Outcome.INCORRECT, "13"),
        ("math", "\\boxed{12}", "length", Outcome.TRUNCATED, None),
        ("math", "\\boxed{12}", "repetition", Outcome.TRUNCATED, None),
        ("math", None, "stop", Outcome.NO_ANSWER, None),
        ("math", "It is 12.", "stop", Outcome.NO_ANSWER, None),
        ("math", "\\boxed{}", "stop", Outcome.NO_ANSWER, ""),
        ("math", "\\boxed{12} or \\boxed{13}", "stop", Outcome.AMBIGUOUS, None),
        ("math", "\\boxed{12}, that is \\boxed{\\frac{24}{2}}", "stop", Outcome.CORRECT, "\\frac{24}{2}"),
        ("math", "\\boxed{12}" * 51, "stop", Outcome.AMBIGUOUS, None),
        ("math", "\\boxed{2x+3=12}", "stop", Outcome.INCORRECT, "2x+3=12"),
        ("none", "anything", "stop", Outcome.UNAVAILABLE, None),
        ("judge", "\\boxed{12}", "stop", Outcome.UNAVAILABLE, "12"),
    ],
)
def test_way_of_a_trace(verifier, answer_text, finish_reason, outcome, extracted):
    asked = problem(verifier=verifier)
    [verdict] = grade.grade_traces([asked], [trace(asked, answer_text, 0, finish_reason)], SETTINGS, "test")
    assert (verdict.verdict, verdict.extracted) == (outcome, extracted)
    assert verdict.evidence


def test_verdicts_are_sorted_and_the_parser_is_asked_once():
    asked = problem("e^{3x}")
    traces = [trace(asked, "\\boxed{e^{x}e^{2x}}", index) for index in (3, 1, 2)]
    first = grade.grade([asked], traces, SETTINGS, "test")
    assert [v.trace_id for v in first.verdicts] == sorted(t.id for t in traces)
    assert {v.verdict for v in first.verdicts} == {Outcome.CORRECT}
    assert (first.n_engine, first.n_cached) == (1, 0)
    again = grade.grade([asked], traces[::-1], SETTINGS, "test")
    assert again.verdicts == first.verdicts
    assert (again.n_engine, again.n_cached) == (1, 1)


def test_cache_survives_a_torn_line_and_keeps_nothing_that_is_not_final():
    found = Finding(Outcome.CORRECT, "symbolic", "so")
    with cache.Cache("f") as written:
        written.put("a", found)
        written.put("b", dataclasses.replace(found, outcome=Outcome.TIMEOUT))
    with written.path.open("a") as file:
        file.write('{"key": "c", "outco')
    with cache.Cache("f") as torn:
        assert torn.get("a") == found
        assert torn.get("b") is None
        torn.put("d", found)
    assert cache.Cache("f").get("d") == found


def test_gold_is_shown_to_the_verifier():
    wanted = {
        "12": Outcome.CORRECT,
        "\\frac{\\sqrt{3}}{2}": Outcome.CORRECT,
        "(1, x^2]": Outcome.CORRECT,
        "Monday": Outcome.CORRECT,
        "\\frac{1}{": Outcome.UNPARSED_GOLD,
        "the set of all sets that do not hold 7": Outcome.UNPARSED_GOLD,
        "9^{9^{9^9}}": Outcome.LIMIT,
    }
    problems = [problem(answer) for answer in wanted]
    found = grade.check_gold(problems, SETTINGS)
    assert {row.answer: found[row.id] for row in problems} == wanted
    no_number = problem("a", "gym")
    assert grade.check_gold([no_number], SETTINGS) == {no_number.id: Outcome.UNPARSED_GOLD}


def test_summary_counts_by_source_and_reads_well():
    one, two = problem("1", source="a"), problem("2", source="b")
    traces = [trace(one, "\\boxed{1}"), trace(two, "\\boxed{3}"), trace(two, None, 1, "length")]
    verdicts = grade.grade_traces([one, two], traces, SETTINGS, "test")
    summary = grade.summarise({one.id: "a", two.id: "b"}, {row.id: row.problem_id for row in traces}, verdicts)
    assert summary["sources"]["a"] == {"n": 1, "correct": 1.0, "outcomes": {"correct": 1}}
    assert grade.describe(summary) == "3 traces: 1 correct, 1 incorrect, 1 truncated (0 timeouts)"


def test_a_trace_without_its_problem_is_an_error():
    with pytest.raises(DataError, match="not among the problems"):
        grade.grade_traces([], [trace(problem(), "\\boxed{12}")], SETTINGS, "test")
