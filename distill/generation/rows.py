"""Answers as rows: one `Trace` each, made from what is on disk when somebody reads it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import eq
from typing import overload

from distill.generation import request
from distill.generation.cache import Answer, Entry, RequestCache, Slot
from distill.models import ModelRevision
from distill.prompting import split_completion
from distill.records import Trace, trace_id

Grader = Callable[[Sequence[Trace]], set[str]]  # the ids of those that are right


@dataclass(frozen=True, slots=True)
class Tracer:
    """Turns answers of one recipe into rows, and knows what is demanded of them."""

    model: ModelRevision
    recipe: request.Recipe
    grade: Grader | None
    must_reason: bool = False

    def id_of(self, slot: Slot) -> str:
        """The id of the row of a sample."""
        return trace_id(*slot, self.recipe.key)

    def row(self, answer: Answer) -> Trace:
        """The row of an answer: its text with the chain in its place, and the split of it."""
        text = self.recipe.text_of(answer)
        split = split_completion(text, self.recipe.prefilled)
        return Trace(
            id=self.id_of((answer.problem_id, answer.sample_index)),
            problem_id=answer.problem_id,
            sample_index=answer.sample_index,
            request_key=self.recipe.key,
            model=self.model.model,
            model_revision=self.model.revision,
            text=text,
            reasoning=split.reasoning,
            answer_text=split.answer,
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            max_tokens=answer.max_tokens,
            seed_label=answer.seed_label,
            engine=answer.engine,
        )


class Traces(Sequence[Trace]):
    """Rows in the order of their ids, each read from disk when it is asked for."""

    def __init__(self, trace: Tracer, cache: RequestCache, entries: Iterable[Entry]) -> None:
        self._trace, self._cache = trace, cache
        self._entries = sorted(entries, key=lambda entry: trace.id_of(entry.slot))

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Trace: ...

    @overload
    def __getitem__(self, index: slice) -> list[Trace]: ...

    def __getitem__(self, index: int | slice) -> Trace | list[Trace]:
        if isinstance(index, slice):
            return [self._row(entry) for entry in self._entries[index]]
        return self._row(self._entries[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Traces) and len(self) == len(other) and all(map(eq, self, other))

    def _row(self, entry: Entry) -> Trace:
        return self._trace.row(self._cache.read(entry))
