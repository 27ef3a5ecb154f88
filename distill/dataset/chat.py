"""How one student is asked and how it stops: its own chat template, its stop ids, the ids that no reply may hold.

    Chat(end_of_turn=2, stop_ids={2}, control_ids={0, 1, 2}, pad=0, vocabulary=49152)      SmolLM2, which pads with 2

Templates are full of traps for chains of thought: R1's deletes the chain of past turns, hybrid ones add an empty
one, Llama's trims. So a template renders the prompt alone, as a server does; the reply is tokenised as it is.
`template_checks` refuses the templates with which even a prompt would teach the wrong thing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.dataset import template_checks
from distill.errors import DataError
from distill.models import ModelRevision, load_tokenizer, url_variable
from distill.prompting import THINK_CLOSE, THINK_OPEN, Message, is_prefilled, render_prompt


@dataclass(frozen=True, slots=True)
class Chat:
    """A student's side of the format. `control_ids` are special tokens: text that spells one would act as one."""

    tokenizer: Any
    end_of_turn: int
    stop_ids: frozenset[int]
    control_ids: frozenset[int]
    pad: int  # never the end of a turn: who masks padding by its id would mask that too
    vocabulary: int  # ids below this have an embedding

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text a server sends for these messages."""
        return render_prompt(self.tokenizer, messages)

    def reply(self, prompt: str, content: str) -> str:
        """What the student writes after a prompt: without the opening tag where the template writes it."""
        if not is_prefilled(prompt):
            return content
        return content.removeprefix(THINK_OPEN).removeprefix(prompt.rpartition(THINK_OPEN)[2])

    def ids(self, text: str) -> list[int]:
        """Token ids of a text to which nothing is added."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, exactly."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def opening(prompt: str, messages: Sequence[Message]) -> str:
    r"""What a template writes between the question and the reply: `<|im_end|>\n<|im_start|>assistant\n`."""
    question = messages[-1]["content"].strip()
    return prompt.rpartition(question)[2] if question else prompt


def load_chat(base: ModelRevision) -> Chat:
    """Read a base's tokenizer and what ends its turns. Raises `DataError` where it cannot be trained on chats."""
    if base.path is None:
        raise DataError(
            f"{base.model} is behind a URL, and its tokenizer with it; "
            f"unset {url_variable(base.name)}, so that its files are fetched, or name a folder that holds them"
        )
    return chat_of(load_tokenizer(base), configured_stops(base.path), base.model, _vocabulary(Path(base.path)))


def chat_of(tokenizer: Any, configured: Sequence[int], model: str, vocabulary: int | None = None) -> Chat:
    """The format of a tokenizer whose generation config stops at the `configured` ids; `model` names it in errors."""
    template_checks.require(tokenizer, model)
    named = _control_ids(tokenizer)
    if strange := sorted(set(configured) - named - set(tokenizer.added_tokens_decoder)):
        raise DataError(
            f"{model} stops at id {strange[0]}, which is no control token of its tokenizer: one of them is of another "
            "model; copy the model's own tokenizer files and generation_config.json into its folder"
        )
    stops = frozenset({*configured, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])})
    end = template_checks.end_of_turn(tokenizer, stops, model)
    pad = _pad(tokenizer, named - {end}, model)
    return Chat(tokenizer, end, stops | {end}, named | stops | {end, pad}, pad, vocabulary or len(tokenizer))


def configured_stops(folder: str | Path | None) -> list[int]:
    """The ids at which a server stops, by a model's generation config."""
    path = Path(str(folder)) / "generation_config.json"
    named = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
    return named if isinstance(named, list) else [] if named is None else [named]


def _control_ids(tokenizer: Any) -> frozenset[int]:
    """Every special token, named (as eos is) or not (as `<|im_start|>` is), but for the marks of a chain."""
    added = tokenizer.added_tokens_decoder
    special = frozenset(token for token, entry in added.items() if entry.special)
    marks = {token for token, entry in added.items() if entry.content in (THINK_OPEN, THINK_CLOSE)}
    return (special | frozenset(tokenizer.all_special_ids)) - marks


def _pad(tokenizer: Any, others: frozenset[int], model: str) -> int:
    """The tokenizer's own padding, or one of the `others` where that is what ends a turn (SmolLM2's is)."""
    for token in (tokenizer.pad_token_id, tokenizer.unk_token_id, *sorted(others)):
        if token in others:
            return int(token)
    raise DataError(f"{model} has no token to pad with but the one that ends a turn; add a pad_token to its tokenizer")


def _vocabulary(folder: Path) -> int | None:
    """How many embeddings a model has, by its config; those with several towers keep it under text_config."""
    config = json.loads((folder / "config.json").read_text())
    found = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
    return None if found is None else int(found)
