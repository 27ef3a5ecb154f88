"""Programs and their tests, and none is run: what is the same output, and where the program of an answer is."""

import time

import pytest

from distill.errors import DataError
from distill.records import Method, Outcome
from distill.verification import code
from distill.verification.findings import Finding


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1 2\n", "1 2", True),
        ("\n 1 2 \n\n", "1 2", True),
        ("1  2", "1 2", True),
        ("1.0 2e0", "1 2", True),
        ("-0", "0", True),
        ("a \nb", "a\nb ", True),
        ("nan", "nan", True),
        ("", "", True),
        ("a  b", "a b", False),
        ("YES", "yes", False),
        ("1\n2", "1 2", False),
        ("1\n\n2", "1\n2", False),
        ("1", "1 1", False),
        ("", "1", False),
        ("0.30000000000000004", "0.3", False),
        ("1 sNaN", "1 2", False),
        ("1e999999999999999999999", "1", False),
        ("1e-999999999", "0", False),
        ("9" * 10**5, "9" * 10**5 + "0", False),
    ],
)
def test_same_lines(printed: str, expected: str, same: bool):
    assert code.same_lines(printed, expected) is same


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1", 1, True),
        ("1.0", 1, True),
        ("null", None, True),
        ("[[1, 2], []]", [[1, 2], []], True),
        ('{"a": [1]}', {"a": [1]}, True),
        ('"1"', 1, False),
        ("[1, 2]", [2, 1], False),
        ("[1]", 1, False),
        ("null", 0, False),
        ("NaN", float("nan"), False),
        ("", None, False),
        ("1 2", 1, False),
        ("[" * 10**5, [], False),
        ("9" * 10**5, 9, False),
    ],
)
def test_same_value(printed: str, expected: object, same: bool):
    assert code.same_value(printed, expected) is same


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Here:\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("```py\nprint(1)\n```", "print(1)\n"),
        ("``` Python3 title=x\nprint(1)\n```  ", "print(1)\n"),
        ("~~~python\nprint(1)\n~~~", "print(1)\n"),
        ("~~~python\nprint('''\n```\n''')\n~~~", "print('''\n```\n''')\n"),
        ("````python\nprint('''\n```\n''')\n````", "print('''\n```\n''')\n"),
        ("   ```python\n   print(1)\n   ```", "   print(1)\n"),
        ("```python\nprint(1)\n```\nand\n```python\nprint(1)\n\n```", "print(1)\n"),
        ("```cpp\nint x;\n```\n```python\nprint(1)\n```\n```json\n{}\n```", "print(1)\n"),
        ("```python\n```", ""),
    ],
)
def test_a_program_is_found(text: str, program: str):
    assert code.extract(text) == program


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("", Outcome.NO_ANSWER),
        ("print(1)", Outcome.NO_ANSWER),
        ("`print(1)`", Outcome.NO_ANSWER),
        ("```python\nprint(1)", Outcome.NO_ANSWER),
        ("```python\nprint(1)\n~~~", Outcome.NO_ANSWER),
        ("```cpp\nint x;\n```", Outcome.NO_ANSWER),
        ("    ```python\n    print(1)\n    ```", Outcome.NO_ANSWER),
        ("```python\nprint(1)\n```\n```python\nprint(2)\n```", Outcome.AMBIGUOUS),
        ("```python\nprint(1)\n```\n```\nprint(2)\n```", Outcome.AMBIGUOUS),
        ("```python\nx = " + "1" * code.MAX_PROGRAM + "\n```", Outcome.LIMIT),
    ],
)
def test_no_program_is_found(text: str, outcome: Outcome):
    finding = code.extract(text)
    assert isinstance(finding, Finding)
    assert (finding.outcome, finding.method) == (outcome, Method.NONE)


@pytest.mark.parametrize("text", ["```x\n" * 20_000, f"```{'a' * 100_000}`", f"```{' ' * 100_000}`", "`" * 100_000])
def test_extraction_is_quick(text: str):
    started = time.process_time()
    assert isinstance(code.extract(text), Finding)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("arguments", "tests"),
    [
        ({"inputs": ["1\n"], "outputs": ["2\n"]}, code.Tests(["1\n"], ["2\n"])),
        ({"inputs": [["1", "2"]], "outputs": [["3"]]}, code.Tests(["1\n2"], ["3"])),
        ({"inputs": ["[1, 2]\n5\n"], "outputs": ["[3]"], "fn_name": "f"}, code.Tests([[[1, 2], 5]], [[3]], "f")),
        ({"inputs": [[[1, 2], 5]], "outputs": ["text"], "fn_name": "f"}, code.Tests([[[1, 2], 5]], ["text"], "f")),
    ],
)
def test_tests_as_data_sets_spell_them(arguments: dict, tests: code.Tests):
    parsed = code.Tests.parse(arguments, "problem 7")
    assert (parsed.inputs, parsed.outputs, parsed.function) == (tests.inputs, tests.outputs, tests.function)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "as many inputs as outputs"),
        ({"inputs": [], "outputs": []}, "at least one"),
        ({"inputs": ["1"], "outputs": []}, "as many inputs as outputs"),
        ({"inputs": "1", "outputs": "2"}, "both as lists"),
        ({"inputs": ["1"], "outputs": ["1"], "fn_name": "f()"}, "the name of a function, got 'f()'"),
        ({"inputs": ["1"], "outputs": ["1"], "fn_name": 3}, "the name of a function, got 3"),
        ({"inputs": ["[1"], "outputs": ["1"], "fn_name": "f"}, "not JSON"),
    ],
)
def test_tests_that_are_none_are_named(arguments: dict, reason: str):
    with pytest.raises(DataError, match="problem 7: ") as error:
        code.Tests.parse(arguments, "problem 7")
    assert reason in str(error.value)
