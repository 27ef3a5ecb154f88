"""LiveCodeBench, converted by the script beside its file: what the hub has, what is read, and what is graded."""

import base64
import json
import pickle
import runpy
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import workspace

from distill import config
from distill.problems import splits
from distill.problems.sources import load_source
from distill.settings import FileSource, ProblemSettings, VerifySettings
from distill.verification import grade, sandbox

TRAIN = {"gcd": {"kind": "gym", "task": "gcd", "n": 5}}


def pack(cases: list[dict[str, str]]) -> str:
    """Hidden tests as the hub's files hold them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


def contest(private: str, starter: str = "", metadata: str = "{}") -> dict[str, str]:
    """One row of LiveCodeBench, its columns in order."""
    return {
        "question_title": "t",
        "question_content": "Print the sum of two numbers.",
        "platform": "atcoder",
        "question_id": "abc301_a",
        "contest_id": "abc301",
        "contest_date": "2023-05-13T00:00:00",
        "starter_code": starter,
        "difficulty": "easy",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": private,
        "metadata": metadata,
    }


def shipped() -> FileSource:
    """The source of the file that ships."""
    settings = ProblemSettings.model_validate({"train": TRAIN, "eval": {"it": "livecodebench"}})
    source = config.benchmarks(settings)["it"].sources["livecodebench"]
    assert isinstance(source, FileSource)
    return source


def converter(root: Path) -> Callable[[dict[str, str]], dict[str, Any]]:
    """The script beside the benchmark's file."""
    return runpy.run_path(str(root / config.BENCHMARKS / "livecodebench.py"))["convert"]


def test_livecodebench_is_converted_and_read(root: Path, tmp_path: Path) -> None:
    convert = converter(root)
    hidden = [{"input": "40 2\n", "output": "42\n", "testtype": "stdin"}]
    rows = [convert(contest(pack(hidden))), convert(contest(json.dumps(hidden)) | {"question_content": "Again."})]
    assert rows[0]["tests"] == {"inputs": ["1 2\n", "40 2\n"], "outputs": ["3\n", "42\n"]}
    assert "standard input" in rows[0]["prompt"]
    path = tmp_path / "livecodebench.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    drawn = load_source("lcb", shipped().model_copy(update={"path": str(path)}), "lcb", seed=17)
    assert [row.verifier for row in drawn] == ["code", "code"]
    assert json.loads(drawn[0].verifier_args)["inputs"] == ["1 2\n", "40 2\n"]


@pytest.mark.skipif(sandbox.why_unavailable() is not None, reason=f"no sandbox: {sandbox.CURE}")
def test_programs_are_graded_by_the_hidden_tests(root: Path, tmp_path: Path) -> None:
    """Of two programs that pass the public test, one fails a hidden one; and a method is called as contests call it."""
    convert = converter(root)
    hidden = [{"input": "40 2\n", "output": "42\n"}]
    called = contest(pack([{"input": "[40, 2]\n2", "output": "84"}]), "class Solution:\n    ", '{"func_name": "add"}')
    called |= {"public_test_cases": json.dumps([{"input": "[1, 2]\n1", "output": "3"}]), "question_content": "Add."}
    path = tmp_path / "livecodebench.jsonl"
    path.write_text("".join(f"{json.dumps(convert(row))}\n" for row in (contest(pack(hidden)), called)))
    source = shipped().model_copy(update={"path": str(path)})
    stdin, method = load_source("lcb", source, "lcb", seed=17)
    programs = {
        "print(sum(map(int, input().split())))": (stdin, "correct"),
        "print(3)": (stdin, "incorrect"),
        "class Solution:\n    def add(self, numbers, times):\n        return sum(numbers) * times": (method, "correct"),
    }
    traces = [
        replace(workspace.trace(problem, "", sample=i), answer_text=f"```python\n{program}\n```")
        for i, (program, (problem, _)) in enumerate(programs.items())
    ]
    found = grade.grade_traces([stdin, method], traces, VerifySettings(), "")
    verdicts = {row.trace_id: row.verdict for row in found}
    assert [verdicts[trace.id] for trace in traces] == [verdict for _, verdict in programs.values()]


def test_a_function_of_livecodebench_is_called_by_its_name(root: Path) -> None:
    convert = converter(root)
    starter = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        "
    row = convert(contest(pack([]), starter, '{"func_name": "add"}'))
    assert row["tests"]["fn_name"] == "add"
    assert "```python\nclass Solution:\n    def add(self, a: int, b: int) -> int:\n```" in row["prompt"]


class Attack:
    """An object whose pickle runs a command."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        import os

        return os.system, ("touch owned",)


def test_a_pickle_that_runs_code_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = converter(root)
    monkeypatch.chdir(tmp_path)
    packed = base64.b64encode(zlib.compress(pickle.dumps(Attack()))).decode()
    with pytest.raises(pickle.UnpicklingError, match="not a string; this is no file of LiveCodeBench"):
        convert(contest(packed))
    assert not (tmp_path / "owned").exists()


def test_tests_without_a_program_are_no_failed_reference(tmp_path: Path) -> None:
    """Their prompts stay, and stay gradable: nothing is known against them."""
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({"prompt": "Add.", "tests": {"inputs": ["1"], "outputs": ["1"]}}))
    source = {"kind": "file", "path": str(path), "verifier": "code", "columns": {"tests": "tests"}}
    settings = ProblemSettings.model_validate({"train": TRAIN, "eval": {"code": {"f": source}}})
    built = splits.build(settings, 17, lambda problems: grade.check_gold(problems, VerifySettings()))
    (row,) = built.eval["code"]
    assert row.gold_verdict == ""
    assert built.counts["code"]["f"]["not_gradable"] == 0
