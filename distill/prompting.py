r"""All knowledge of formats: the user turn, the `<think>` split, the boxed answer, the text a student is taught.

Every stage renders and parses through this module, so a student is trained on exactly what it is later asked, and
every model is graded by the same reading of its text. The conventions are DeepSeek-R1's: no system
prompt, the instruction at the end of the user turn, the chain between `<think>` and `</think>`, the answer in
`\boxed{}` (https://github.com/deepseek-ai/DeepSeek-R1, "Usage Recommendations").
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.errors import DataError

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."
CODE_INSTRUCTION = "Please reason step by step, and put your final program, in Python, within one ```python block."
CHOICE_LINE = "Answer with the letter of the one right option."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_MARK = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
_GROUPING = re.compile(r"\\boxed\{|\\.|[{}]", re.DOTALL)

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's text, split. `answer` is None when a chain was opened and never closed."""

    reasoning: str | None
    answer: str | None


def render_user_turn(question: str, verifier: str = "") -> str:
    """The user turn of a problem: the question, an empty line, R1's instruction or, for programs, its like."""
    return f"{question.strip()}\n\n{CODE_INSTRUCTION if verifier == 'code' else INSTRUCTION}"


def render_messages(question: str, system_prompt: str | None = None, verifier: str = "") -> list[Message]:
    """The chat messages that ask a model one problem."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": render_user_turn(question, verifier)}]


def render_choices(question: str, options: Sequence[str]) -> str:
    """A multiple-choice question with its options, a letter each."""
    lines = [f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question.strip(), "", *lines, "", CHOICE_LINE])


def split_completion(text: str, prefilled: bool) -> Completion:
    """Split a completion at its last `</think>`.

    `prefilled` says that the template already ended in an opened `<think>`, as R1's does, so the text starts inside
    the chain. A text that neither opens nor closes a chain, from a template that opens none, is an answer without
    reasoning.
    """
    head, closed, tail = text.rpartition(THINK_CLOSE)
    if closed:
        return Completion(head.strip().removeprefix(THINK_OPEN).strip(), tail.strip())
    if prefilled or THINK_OPEN in text:
        return Completion(None, None)
    return Completion(None, text.strip())


def is_prefilled(rendered_prompt: str) -> bool:
    """Whether a rendered prompt leaves the model inside an opened chain of thought."""
    return rendered_prompt.rstrip().endswith(THINK_OPEN)


def render_student_turn(reasoning: str, answer: str) -> str:
    """The assistant turn a student is taught. The chain is inline: most templates drop a separate reasoning field."""
    return f"{THINK_OPEN}\n{reasoning.strip()}\n{THINK_CLOSE}\n\n{answer.strip()}"


def boxed_answers(text: str) -> list[str]:
    r"""The contents of every balanced `\boxed{…}` of a text, in order; unbalanced ones are left out. Linear time."""
    opened: list[int | None] = []  # where each open group began; None for a group that is no box
    found: list[tuple[int, str]] = []
    for token in _GROUPING.finditer(text):
        if token[0] == "}":
            start = opened.pop() if opened else None
            if start is not None:
                found.append((start, text[start : token.start()]))
        elif token[0].endswith("{") and token[0] != "\\{":
            opened.append(token.end() if token[0] == "\\boxed{" else None)
    return [content for _, content in sorted(found)]


def render_prompt(tokenizer: Any, messages: Sequence[Message]) -> str:
    """The text a server sends for these messages: the model's own template, with the generation prompt."""
    return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))


def template_hash(template: str) -> str:
    """A short name for a chat template's exact text."""
    return hashlib.sha256(template.encode()).hexdigest()[:16]


def read_template(path: Path) -> str:
    """A chat template's text. Raises `DataError` where the file is missing or is no valid jinja."""
    from jinja2 import Environment, TemplateSyntaxError

    try:
        template = path.read_text(encoding="utf-8")
        # transformers knows one tag more, with which some templates mark what a model wrote.
        Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False).parse(_MARK.sub("", template))
    except OSError as error:
        raise DataError(f"the chat template {path} cannot be read: {error.strerror}; put the file there") from error
    except UnicodeDecodeError as error:
        raise DataError(f"the chat template {path} is no text in UTF-8; save it as that") from error
    except TemplateSyntaxError as error:
        raise DataError(f"the chat template {path} is no valid jinja: line {error.lineno}, {error.message}") from error
    return template
