r"""Python programs, by what they print or return, run in the sandbox and compared outside it.

A problem's tests are in its `verifier_args`, in the form that APPS, TACO and LiveCodeBench share:

    {"inputs": ["3\n1 2 3\n"], "outputs": ["6\n"]}                        standard input and output
    {"inputs": ["[1, 2]\n5"], "outputs": ["3"], "fn_name": "find"}        a call: one JSON value a line, and the result
    {"inputs": [[[1, 2], 5]], "outputs": [3], "fn_name": "find"}          the same, its values as they are

The program is the one fenced Python block after the chain of thought; two that differ are ambiguous. The comparison is
LiveCodeBench's: printed lines must be equal one by one, white space around them aside, or their words must be equal as
decimal numbers; results of calls must be equal as JSON values, a tuple being a list. Tests run in order and end at the
first that fails.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any

from distill.errors import DataError
from distill.records import Method, Outcome, content_id
from distill.verification import sandbox
from distill.verification.findings import Finding

MAX_PROGRAM = 100_000  # characters
WALL_PER_CPU = 4.0  # wall seconds allowed for each of the processor, so that a busy machine fails no test
WALL_S = 5.0
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)")
_PYTHON = {"", "python", "python3", "py"}


@dataclass(frozen=True, slots=True)
class Tests:
    """Inputs with their expected outputs; `function` is None where they are standard input and output."""

    inputs: list[Any]
    outputs: list[Any]
    function: str | None = None
    key: str = ""  # a hash of all that

    @classmethod
    def parse(cls, arguments: dict[str, Any], where: str) -> "Tests":
        """Tests as data sets spell them. Raises `DataError`, naming `where`."""
        inputs, outputs, function = (arguments.get(name) for name in ("inputs", "outputs", "fn_name"))
        if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs) or not inputs:
            raise DataError(f"{where}: tests must have as many inputs as outputs, at least one, both as lists")
        key = content_id("tests", inputs, outputs, function)
        try:
            if function is None:
                return cls(list(map(_as_text, inputs)), list(map(_as_text, outputs)), None, key)
            if not isinstance(function, str) or not function.isidentifier():
                raise DataError(f"{where}: fn_name must be the name of a function, got {function!r}")
            return cls(list(map(_arguments, inputs)), list(map(_value, outputs)), function, key)
        except ValueError as error:
            raise DataError(f"{where}: a test is not JSON ({error})") from error


@dataclass(frozen=True, slots=True)
class Submission:
    """A program with what it is to pass."""

    program: str
    tests: Tests
    cpu_s: int


def extract(answer_text: str) -> str | Finding:
    """The program in an answer, or why there is none."""
    blocks = [body for language, body in _fenced(answer_text) if language.lower() in _PYTHON]
    if not blocks:
        return Finding(Outcome.NO_ANSWER, Method.NONE, "no fenced Python program after the chain of thought")
    if len({block.strip() for block in blocks}) > 1:
        return Finding(Outcome.AMBIGUOUS, Method.NONE, f"{len(blocks)} fenced programs that differ")
    if len(blocks[0]) > MAX_PROGRAM:
        return Finding(Outcome.LIMIT, Method.NONE, f"a program of more than {MAX_PROGRAM:,} characters")
    return blocks[0]


def _fenced(text: str) -> Iterator[tuple[str, str]]:
    """The closed fenced blocks of a Markdown text, as (language, body)."""
    fence, language, body = "", "", list[str]()
    for line in text.split("\n"):
        match = _FENCE.fullmatch(line.rstrip())
        if not fence:
            if match:
                fence, language, body = match[1], (match[2].split() or [""])[0], []
        elif match and not match[2] and match[1].startswith(fence):
            yield language, "\n".join([*body, ""])
            fence = ""
        else:
            body.append(line)


def run(submissions: Sequence[Submission]) -> Iterator[tuple[int, Finding, float]]:
    """Yield (index, finding, seconds) for every submission; see `sandbox.side_by_side`."""
    return sandbox.side_by_side(lambda batch: [judge(submission) for submission in batch], submissions)


def judge(submission: Submission) -> Finding:
    """Run a program on its tests until one fails."""
    tests, wall_s = submission.tests, submission.cpu_s * WALL_PER_CPU + WALL_S
    job = {**sandbox.limits(ceil(submission.cpu_s), wall_s), "program": submission.program, "function": tests.function}
    passed, n = 0, len(tests.inputs)
    try:
        for said in sandbox.run("programs", {**job, "inputs": tests.inputs}, wall_s + WALL_S):
            if failure := _failure(said, tests, passed):
                outcome, reason = failure
                return Finding(outcome, Method.EXECUTION, f"passed {passed} of {n} tests, then {reason}")
            passed += 1
            if passed == n:
                return Finding(Outcome.CORRECT, Method.EXECUTION, f"passed {n} of {n} tests")
    except sandbox.Ended as end:
        return Finding(
            sandbox.OUTCOMES[end.reason], Method.EXECUTION, f"passed {passed} of {n} tests, then {end.reason}"
        )
    return Finding(Outcome.CRASH, Method.EXECUTION, f"passed {passed} of {n} tests, then the sandbox ended")


def _failure(said: dict[str, Any], tests: Tests, number: int) -> tuple[Outcome, str] | None:
    """What is wrong with what was said of a test, if anything is."""
    status, note = str(said.get("status")), sandbox.note(said)
    if status in sandbox.OUTCOMES:
        return sandbox.OUTCOMES[status], f"over its limit of {status}"
    if status != "ok":
        return Outcome.INCORRECT, f"an error: {note or 'no message'}"
    printed = str(said.get("output", ""))
    same = same_lines if tests.function is None else same_value
    return None if same(printed, tests.outputs[number]) else (Outcome.INCORRECT, "a wrong output")


def same_lines(printed: str, expected: str) -> bool:
    """LiveCodeBench's comparison of standard output: line by line, as text or as decimal numbers."""
    ours, theirs = (text.strip().split("\n") for text in (printed, expected))
    return len(ours) == len(theirs) and all(map(_same_line, ours, theirs))


def same_value(printed: str, expected: Any) -> bool:
    """Whether a result, as JSON, is the expected value."""
    try:
        return bool(json.loads(printed) == expected)
    except (ValueError, RecursionError):
        return False


def _same_line(one: str, other: str) -> bool:
    one, other = one.strip(), other.strip()
    if one == other:
        return True
    try:
        return [Decimal(word) for word in one.split()] == [Decimal(word) for word in other.split()]
    except InvalidOperation:
        return False


def _as_text(value: Any) -> str:
    """Text as it is; a list of lines, as APPS has some, joined."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)


def _arguments(value: Any) -> list[Any]:
    return [json.loads(line) for line in value.split("\n") if line.strip()] if isinstance(value, str) else list(value)


def _value(value: Any) -> Any:
    """An expected result: JSON text where it is that, else the value itself."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
