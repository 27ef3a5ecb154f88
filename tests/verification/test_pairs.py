import json

import pytest
from typer.testing import CliRunner

from distill.cli import app
from distill.errors import DataError
from distill.settings import VerifySettings
from distill.verification import sandbox
from distill.verification.pairs import grade_lines

SETTINGS = VerifySettings()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.mark.parametrize(
    ("row", "verdict", "extracted"),
    [
        ({"gold": "\\frac{1}{2}", "answer": "0.5"}, "correct", "0.5"),
        ({"gold": 7, "answer": 7.0}, "correct", "7.0"),
        ({"gold": "7", "text": "<think>3 + 4</think>It is \\boxed{7}."}, "correct", "7"),
        ({"gold": "7", "text": "<think>\\boxed{7}"}, "no_answer", None),
        ({"gold": "7", "text": "\\boxed{7}", "finish_reason": "length"}, "truncated", None),
        ({"gold": "7", "text": "Answer: 7"}, "no_answer", None),
        ({"gold": "\\ln 4", "answer": "2\\ln 2"}, "correct", "2\\ln 2"),
        ({"gold": "e^{3x}", "answer": "e^{x}e^{2x}"}, "correct", "e^{x}e^{2x}"),
        ({"gold": "7", "answer": "9^{9^{9}}"}, "limit", "9^{9^{9}}"),
        ({"gold": "B", "answer": "(b)", "kind": "choice", "options": ["3 m", "12 m"]}, "correct", "B"),
        ({"gold": "B", "text": "It is **A**.", "kind": "choice", "options": ["3 m", "12 m"]}, "no_answer", None),
        ({"gold": "B", "text": "The answer is **A**.", "kind": "choice", "options": ["3 m", "12 m"]}, "incorrect", "A"),
    ],
)
def test_a_line(row, verdict, extracted):
    [found] = grade_lines([json.dumps(row)], "pairs", SETTINGS)
    assert (found["verdict"], found["extracted"]) == (verdict, extracted)
    assert found["evidence"]


@pytest.mark.skipif(sandbox.why_unavailable() is not None, reason=f"no sandbox: {sandbox.CURE}")
def test_a_program():
    row = {"gold": "", "kind": "code", "inputs": ["1\n"], "outputs": ["2\n"], "answer": "print(int(input()) + 1)"}
    fenced = row | {"answer": "```python\nprint(3)\n```"}
    right, wrong = grade_lines([json.dumps(row), json.dumps(fenced)], "pairs", SETTINGS)
    assert (right["verdict"], wrong["verdict"]) == ("correct", "incorrect")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "pairs line 2 is not JSON"),
        ("[]", "pairs line 2 must be an object with gold"),
        ('{"answer": "7"}', "pairs line 2 must be an object with gold"),
        ('{"gold": "7"}', "pairs line 2 must hold either answer"),
        ('{"gold": "7", "answer": "7", "kind": "maths"}', "pairs line 2: kind must be one of math, choice, code"),
        ('{"gold": "A", "answer": "A", "kind": "choice"}', "pairs line 2: a choice needs options"),
        ('{"gold": "", "answer": "x", "kind": "code"}', "pairs line 2: tests must have as many inputs as outputs"),
    ],
)
def test_a_bad_line_is_named(line, message):
    with pytest.raises(DataError, match=message):
        grade_lines(['{"gold": "7", "answer": "7"}', line], "pairs", SETTINGS)


def test_lines_come_out_in_order_whoever_decides_them():
    rows = [
        {"gold": "e^{4x}", "answer": f"e^{{{n}x}}"} if n % 2 else {"gold": "2", "answer": str(n)} for n in range(40)
    ]
    result = CliRunner().invoke(app, ["grade", "-"], input="\n\n".join(map(json.dumps, rows)))
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["extracted"] for row in found] == [row["answer"] for row in rows]
    assert [n for n, row in enumerate(found) if row["verdict"] == "correct"] == [2]


def test_the_answer_line_is_taken_where_it_is_asked_for():
    result = CliRunner().invoke(app, ["grade", "--answer-line", "-"], input='{"gold": "7", "text": "Answer: 7"}')
    assert json.loads(result.stdout)["verdict"] == "correct"
