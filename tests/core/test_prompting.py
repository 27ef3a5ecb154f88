"""Formats, byte by byte."""

import pytest

from distill.prompting import (
    Completion,
    boxed_answers,
    is_prefilled,
    render_messages,
    render_student_turn,
    render_user_turn,
    split_completion,
)

SPLITS = [
    # text, prefilled, reasoning, answer
    ("2 + 2 = 4\n</think>\n\nIt is \\boxed{4}.", True, "2 + 2 = 4", "It is \\boxed{4}."),
    ("<think>\n2 + 2\n</think>\n\n\\boxed{4}", False, "2 + 2", "\\boxed{4}"),
    ("<think>\n2 + 2\n</think>\n\n\\boxed{4}", True, "2 + 2", "\\boxed{4}"),
    ("still thinking", True, None, None),
    ("<think>\nstill thinking", False, None, None),
    ("\\boxed{4}", False, None, "\\boxed{4}"),
    ("a</think>b</think>c", True, "a</think>b", "c"),
    ("</think>\\boxed{1}", True, "", "\\boxed{1}"),
    ("", True, None, None),
    ("", False, None, ""),
]


@pytest.mark.parametrize(("text", "prefilled", "reasoning", "answer"), SPLITS)
def test_split_completion(text: str, prefilled: bool, reasoning: str | None, answer: str | None) -> None:
    assert split_completion(text, prefilled) == Completion(reasoning, answer)


BOXES = [
    (r"\boxed{4}", ["4"]),
    (r"first \boxed{1}, then \boxed{\frac{1}{2}}", ["1", r"\frac{1}{2}"]),
    (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
    (r"\boxed{\left\{1\right.}", [r"\left\{1\right."]),
    (r"\boxed{unclosed", []),
    (r"\boxed{}", [""]),
    (r"\boxed{a\boxed{b}}", [r"a\boxed{b}", "b"]),
    ("no box", []),
]


@pytest.mark.parametrize(("text", "boxes"), BOXES)
def test_boxed_answers(text: str, boxes: list[str]) -> None:
    assert boxed_answers(text) == boxes


def test_an_unclosed_megabyte_is_read_in_linear_time() -> None:
    assert boxed_answers("\\boxed{" * 50_000) == []


def test_turns() -> None:
    assert render_user_turn(" What is 2 + 2? ") == (
        "What is 2 + 2?\n\nPlease reason step by step, and put your final answer within \\boxed{}."
    )
    assert render_messages("x", None) == [{"role": "user", "content": render_user_turn("x")}]
    assert render_messages("x", "Be brief.")[0] == {"role": "system", "content": "Be brief."}
    assert render_student_turn(" 2 + 2\n", "\\boxed{4}\n") == "<think>\n2 + 2\n</think>\n\n\\boxed{4}"


def test_what_a_student_is_taught_splits_back() -> None:
    assert split_completion(render_student_turn("a\n\nb", "c"), prefilled=False) == Completion("a\n\nb", "c")


@pytest.mark.parametrize(("prompt", "prefilled"), [("<|Assistant|><think>\n", True), ("assistant\n", False)])
def test_is_prefilled(prompt: str, prefilled: bool) -> None:
    assert is_prefilled(prompt) is prefilled
