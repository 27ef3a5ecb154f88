"""Rows of files and data sets, read into what a problem needs, by what grades it.

    math, judge, none   a prompt and an answer
    choice              a prompt, its options, and which of them is right: a letter, a position, or its text
    code                a prompt and its tests; the answer is a program that passes them, where the data set has one

Options are shuffled once and for all, each question by its own seed, since data sets put the right one first; the
permutation is kept with the problem. Errors name the row, the column and the setting.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any

from distill.errors import ConfigError, DataError
from distill.prompting import LETTERS, render_choices
from distill.records import Verifier, content_id
from distill.settings import Columns, DatasetSource, FileSource
from distill.verification.code import Tests


@dataclass(frozen=True, slots=True)
class Example:
    """What a row says; `difficulty`, `origin` and `arguments` become JSON columns of the problem."""

    prompt: str
    answer: str
    origin: dict[str, Any]
    difficulty: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the rows of one source; `key` is its name in params, for errors."""

    verifier: Verifier
    columns: Columns
    key: str
    seed: int

    @classmethod
    def of(cls, source: FileSource | DatasetSource, key: str, seed: int) -> "Reader":
        """The reader of a source. Raises `ConfigError` where its columns and its verifier contradict each other."""
        wanted = {Verifier.CHOICE: "options", Verifier.CODE: "tests"}.get(source.verifier)
        for name in ("options", "tests"):
            given = getattr(source.columns, name) is not None
            if given != (name == wanted):
                verb = "is given" if given else "is missing"
                raise ConfigError(f"{key}.columns.{name} {verb}, but the verifier is {source.verifier}")
        return cls(source.verifier, source.columns, key, seed)

    def read(self, row: dict[str, Any], where: str, origin: dict[str, Any]) -> Example:
        """One row. Raises `DataError` naming the row and the column."""
        prompt = self._text(row, "prompt", where)
        if self.verifier is Verifier.CHOICE:
            return self._choice(prompt, row, where, origin)
        if self.verifier is Verifier.CODE:
            return self._code(prompt, row, where, origin)
        return Example(prompt, self._answer(row, where), origin)

    def _answer(self, row: dict[str, Any], where: str) -> str:
        """The reference, of which the data set may hold more than the answer."""
        text, mark = self._text(row, "answer", where), self.columns.answer_after
        if mark is None:
            return text
        _, found, answer = text.rpartition(mark)
        if not found or not answer.strip():
            column = self.columns.answer
            key = f"{self.key}.columns.answer_after"
            raise DataError(f"{where}: column {column!r} has nothing after {mark!r}; set {key} to the mark it has")
        return answer.strip()

    def _choice(self, prompt: str, row: dict[str, Any], where: str, origin: dict[str, Any]) -> Example:
        options, labels = self._options(row, where)
        right = _position(self._value(row, self.columns.answer, where, "answer"), options, labels)
        if right is None:
            raise DataError(f"{where}: column {self.columns.answer!r} names none of the options {options}")
        order = list(range(len(options)))
        random.Random(content_id("options", self.seed, prompt, options)).shuffle(order)
        shown = [options[index] for index in order]
        arguments = {"options": shown, "permutation": order}
        return Example(render_choices(prompt, shown), LETTERS[order.index(right)], origin, arguments=arguments)

    def _options(self, row: dict[str, Any], where: str) -> tuple[list[str], list[str]]:
        """The options of a question, and the labels that the data set gives them."""
        named = self.columns.options
        if isinstance(named, list):
            options, labels = [str(self._value(row, column, where, "options")).strip() for column in named], named
        else:
            value = self._value(row, str(named), where, "options")
            held = value.get("text") if isinstance(value, dict) else value
            options = [str(option).strip() for option in held] if isinstance(held, list) else []
            labels = [str(label) for label in value.get("label", [])] if isinstance(value, dict) else []
        if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options) or not all(options):
            raise DataError(f"{where}: the options must be 2 to {len(LETTERS)} different texts, got {options}")
        return options, labels or list(LETTERS[: len(options)])

    def _code(self, prompt: str, row: dict[str, Any], where: str, origin: dict[str, Any]) -> Example:
        tests = self._value(row, str(self.columns.tests), where, "tests")
        if isinstance(tests, str):
            try:
                tests = json.loads(tests)
            except ValueError as error:
                raise DataError(f"{where}: column {self.columns.tests!r} is not JSON ({error})") from error
        if not isinstance(tests, dict):
            raise DataError(f"{where}: column {self.columns.tests!r} must hold inputs and outputs, got {tests!r}")
        Tests.parse(tests, where)
        kept = {name: tests[name] for name in ("inputs", "outputs", "fn_name") if tests.get(name) is not None}
        program = row.get(self.columns.answer)
        return Example(prompt, program.strip() if isinstance(program, str) else "", origin, arguments=kept)

    def _value(self, row: dict[str, Any], column: str, where: str, role: str) -> Any:
        if column not in row:
            raise DataError(
                f"{where} has no column {column!r} (it has {', '.join(map(str, row))}); set {self.key}.columns.{role}"
            )
        return row[column]

    def _text(self, row: dict[str, Any], role: str, where: str) -> str:
        column = getattr(self.columns, role)
        value = self._value(row, column, where, role)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}: column {column!r} must hold text, got {value!r}")
        return value.strip()


def _position(value: Any, options: list[str], labels: list[str]) -> int | None:
    """Which option is right: by position from 0, by label, or by text. Labels go first, as ARC has 1 to 4."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < len(options) else None
    text = str(value).strip()
    for names in (labels, options):
        if text in names:
            return names.index(text)
    return None
