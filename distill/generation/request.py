"""What is asked of a model, and the key by which its answer is known again.

The key covers all that decides an answer's distribution: weights, chat template, system prompt, sampling. The token
budget is not part of it: a longer budget continues an answer or leaves it as it is. Which host served it is not part
of it either.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.config import SamplingSettings
from distill.models import ModelRevision
from distill.prompting import INSTRUCTION, Message, is_prefilled, render_messages, render_prompt, template_hash
from distill.records import Problem, content_id


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every problem of a run is asked: the key, whether the template opens the chain, and the sampling."""

    key: str
    prefilled: bool
    sampling: SamplingSettings
    seed: int

    def messages(self, problem: Problem) -> list[Message]:
        """The chat messages of one problem."""
        return render_messages(problem.prompt, self.sampling.system_prompt)

    def seed_label(self, problem: str, sample_index: int) -> int:
        """A seed of its own for every sample, in 31 bits."""
        return int(content_id("seed", self.seed, problem, sample_index)[:8], 16) >> 1


def recipe(model: ModelRevision, sampling: SamplingSettings, dtype: str, seed: int) -> Recipe:
    """The recipe of a run. A model behind a URL keeps its template to itself, so its name stands for it."""
    template, prefilled = _read_template(model) if model.path else ("url", False)
    settings = sampling.model_dump(exclude={"samples", "max_tokens"})
    key = content_id("request", model.model, model.revision, template, INSTRUCTION, settings, dtype, seed)
    return Recipe(key, prefilled, sampling, seed)


def _read_template(model: ModelRevision) -> tuple[str, bool]:
    """The hash of a local model's chat template, and whether it ends inside an opened chain."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model.path)
    return template_hash(str(tokenizer.chat_template)), is_prefilled(render_prompt(tokenizer, render_messages("?")))


def context_of(model: ModelRevision, wanted: int) -> int:
    """The context to serve a model with: what is wanted, but no more than the model was made for."""
    config = json.loads((Path(model.path) / "config.json").read_text()) if model.path else {}
    return min(wanted, int(config.get("max_position_embeddings", wanted)))
