import json

import pytest
import workspace

from distill.records import Outcome, Problem, Trace, Verdict
from distill.report import audit as page
from distill.verification import audit
from distill.verification.audit import Kind
from distill.verification.findings import Finding


def sampled(answer: str, given: list[tuple[str, str]], number: int = 1) -> tuple[Problem, list[Trace], list[Verdict]]:
    problem = workspace.problem(number, f"What is {{}}, as {answer}?")
    problem = Problem(**{**{name: getattr(problem, name) for name in problem.__slots__}, "answer": answer})
    traces = [workspace.trace(problem, text, index) for index, (text, _) in enumerate(given)]
    verdicts = [workspace.verdict(trace, word, text) for trace, (text, word) in zip(traces, given, strict=True)]
    return problem, traces, verdicts


def look(*cases: tuple[Problem, list[Trace], list[Verdict]], judge=None) -> list[audit.Suspect]:
    problem_of = {trace.id: trace.problem_id for _, traces, _ in cases for trace in traces}
    return audit.find([case[0] for case in cases], [v for case in cases for v in case[2]], problem_of, judge)


RIGHT = [("3 m", "correct")] * 3


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ([*RIGHT, ("three metres", "unparsed_answer")], [Kind.FALSE_NEGATIVE]),
        ([*RIGHT, ("3 meters long", "incorrect")], [Kind.FALSE_NEGATIVE]),
        ([*RIGHT, ("", "no_answer"), ("1", "truncated")], []),
        ([("3 m", "correct"), ("x", "incorrect"), ("y", "incorrect")], []),
        ([("5 m", "incorrect")] * 3 + [("3 m", "correct")], [Kind.WRONG_GOLD]),
        ([("5 m", "incorrect")] * 2 + [("3 m", "correct")] * 2, []),
        ([("5 m", "incorrect")] * 2, []),
        ([(text, "incorrect") for text in ("5", "5.0", "\\frac{10}{2}", "4")], [Kind.WRONG_GOLD]),
    ],
)  # fmt: skip
def test_what_is_suspect(given, kinds):
    assert [suspect.kind for suspect in look(sampled("3 m", given))] == kinds


def test_numbers_that_plainly_differ_are_no_suspects_and_near_ones_are():
    given = [("3", "correct")] * 3 + [("4", "incorrect"), ("3.001", "incorrect")]
    assert [suspect.answer for suspect in look(sampled("3", given))] == ["3.001"]


def test_a_judge_may_speak_for_an_answer():
    def judge(cases):
        return [Finding(Outcome.CORRECT if case.answer == "p" else Outcome.INCORRECT, "judge", "") for case in cases]

    case = sampled("q", [("q", "correct"), ("p", "incorrect"), ("r", "incorrect")])
    assert look(case) == []
    [suspect] = look(case, judge=judge)
    assert (suspect.answer, suspect.why) == ("p", "the judge calls it the same")


def test_page_and_table_hold_hostile_text(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    hostile = "<script>alert(5)</script>"
    suspects = look(sampled("3 m", [*RIGHT, (hostile, "unparsed_answer")]))
    written = page.write(suspects, 4)
    assert "<script" not in written.read_text()
    assert "&lt;script&gt;" in written.read_text()
    [row] = map(json.loads, written.with_name("suspects.jsonl").read_text().splitlines())
    assert (row["answer"], row["n_gave_it"], row["n_answered"]) == (hostile, 1, 4)
    assert "1 likely false negative" in page.describe(suspects, 4, written)
