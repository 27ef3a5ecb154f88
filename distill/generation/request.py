"""What is asked of a model, and the key by which its answer is known again.

The key covers all that decides an answer's distribution: weights, chat template, system prompt, sampling. The token
budget is not part of it: a longer budget continues an answer or leaves it as it is. Which host served it is not part
of it either.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.generation.cache import Answer
from distill.models import ModelRevision, load_tokenizer
from distill.prompting import (
    CODE_INSTRUCTION,
    INSTRUCTION,
    THINK_CLOSE,
    THINK_OPEN,
    Message,
    is_prefilled,
    render_messages,
    render_prompt,
    template_hash,
)
from distill.records import Problem, content_id
from distill.settings import SamplingSettings


@dataclass(frozen=True, slots=True)
class Question:
    """One request: the path under the server's URL, its body, and the text that its reply goes on from."""

    path: str
    body: dict[str, Any]
    before: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every problem of a run is asked: the key, whether the template opens the chain, and the sampling."""

    key: str
    prefilled: bool
    sampling: SamplingSettings
    seed: int
    tokenizer: Any = field(default=None, repr=False, compare=False)  # None behind a URL that keeps it to itself

    @property
    def can_continue(self) -> bool:
        """Whether a cut answer can be gone on with: that takes the text of the prompt, so the model's template."""
        return self.tokenizer is not None

    def messages(self, problem: Problem) -> list[Message]:
        """The chat messages of one problem."""
        return render_messages(problem.prompt, self.sampling.system_prompt, problem.verifier)

    def seed_label(self, problem: str, sample_index: int) -> int:
        """A seed of its own for every sample, in 31 bits."""
        return int(content_id("seed", self.seed, problem, sample_index)[:8], 16) >> 1

    def question(self, problem: Problem, budget: int, partial: Answer | None) -> Question:
        """What to ask for an answer of at most `budget` tokens, gone on from `partial` where there is one."""
        sampling: dict[str, Any] = {"n": 1, "temperature": self.sampling.temperature, "top_p": self.sampling.top_p}
        if loops := self.sampling.repetition:
            sampling["repetition_detection"] = {"max_pattern_size": loops.max_pattern, "min_count": loops.min_count}
        if partial is None:
            return Question("chat/completions", {"messages": self.messages(problem), "max_tokens": budget, **sampling})
        before = self.text_of(partial)
        prompt = render_prompt(self.tokenizer, self.messages(problem)) + before
        left = budget - partial.completion_tokens
        # The template wrote the tokens that begin a text already.
        body = {"prompt": prompt, "max_tokens": left, "add_special_tokens": False, **sampling}
        return Question("completions", body, before)

    def text_of(self, answer: Answer) -> str:
        """An answer as one text, from where the prompt ends. A server that splits off the chain says it in two."""
        if answer.reasoning is None:
            return answer.text
        opened = answer.reasoning if self.prefilled else f"{THINK_OPEN}\n{answer.reasoning}"
        return f"{opened}\n{THINK_CLOSE}\n\n{answer.text}" if answer.text else opened


def recipe(model: ModelRevision, sampling: SamplingSettings, dtype: str, seed: int) -> Recipe:
    """The recipe of a run. A model behind a URL keeps its template to itself, so its name stands for it."""
    tokenizer = load_tokenizer(model) if model.path else None
    template = template_hash(str(tokenizer.chat_template)) if tokenizer else "url"
    prefilled = bool(tokenizer) and is_prefilled(render_prompt(tokenizer, render_messages("?")))
    settings = sampling.model_dump(include={"temperature", "top_p", "system_prompt"})
    if sampling.repetition:
        settings["repetition"] = sampling.repetition.model_dump()
    instructions = [INSTRUCTION, CODE_INSTRUCTION]
    key = content_id("request", model.model, model.revision, template, instructions, settings, dtype, seed)
    return Recipe(key, prefilled, sampling, seed, tokenizer)


def context_of(model: ModelRevision, wanted: int) -> int:
    """The context to serve a model with: what is wanted, but no more than the model was made for."""
    config = json.loads((Path(model.path) / "config.json").read_text()) if model.path else {}
    return min(wanted, int(config.get("max_position_embeddings", wanted)))
