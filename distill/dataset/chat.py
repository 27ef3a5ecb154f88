"""How one student is asked and how it stops: its own chat template, its stop ids, the ids that no reply may hold.

    Chat(end_of_turn=2, stop_ids={2}, control_ids={0, 1, 2})      SmolLM2: pad and <|im_end|> share id 2

Templates are full of traps for chains of thought: R1's deletes the chain of past turns, hybrid ones add an empty
one, Llama's trims. So a template renders the prompt alone, as a server does; the reply is tokenised as it is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.errors import DataError
from distill.models import ModelRevision
from distill.prompting import THINK_CLOSE, THINK_OPEN, Message, is_prefilled, render_prompt

PROBE = "ANSWER"  # stands for a reply when a template is asked how it ends a turn
CLOCK = "strftime_now"  # the function by which a template writes today's date


@dataclass(frozen=True, slots=True)
class Chat:
    """A student's side of the format. `control_ids` are special tokens: text that spells one would act as one."""

    tokenizer: Any
    end_of_turn: int
    stop_ids: frozenset[int]
    control_ids: frozenset[int]

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text a server sends for these messages."""
        return render_prompt(self.tokenizer, messages)

    def reply(self, prompt: str, content: str) -> str:
        """What the student writes after a prompt: without the opening tag where the template writes it."""
        return content.removeprefix(f"{THINK_OPEN}\n") if is_prefilled(prompt) else content

    def ids(self, text: str) -> list[int]:
        """Token ids of a text to which nothing is added."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, exactly."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def load_chat(base: ModelRevision) -> Chat:
    """Read a base's tokenizer and what ends its turns. Raises `DataError` where it cannot be trained on chats."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    return chat_of(tokenizer, configured_stops(base.path), base.model)


def chat_of(tokenizer: Any, configured: Sequence[int], model: str) -> Chat:
    """The format of a tokenizer whose generation config stops at the `configured` ids; `model` names it in errors."""
    if not tokenizer.chat_template:
        raise DataError(f"{model} has no chat template; take its -Instruct version, or add chat_template.jinja")
    if CLOCK in str(tokenizer.chat_template):
        raise DataError(
            f"the chat template of {model} writes today's date, so training and serving would differ; "
            f"write a fixed date in place of {CLOCK}(…) in a copy of the model"
        )
    stops = frozenset({*configured, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])})
    end = _end_of_turn(tokenizer, stops, model)
    marks = {tokenizer.convert_tokens_to_ids(mark) for mark in (THINK_OPEN, THINK_CLOSE)}
    control = frozenset(tokenizer.all_special_ids) | {end} | stops
    return Chat(tokenizer, end, stops | {end}, control - marks)


def configured_stops(folder: str | Path | None) -> list[int]:
    """The ids at which a server stops, by a model's generation config."""
    path = Path(str(folder)) / "generation_config.json"
    named = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
    return named if isinstance(named, list) else [] if named is None else [named]


def _end_of_turn(tokenizer: Any, stops: frozenset[int], model: str) -> int:
    """The id with which the template ends a reply.

    A base model may end its turns with a control token at which its generation config does not stop (Qwen2.5's
    bases do); it is taken, and the student that ships stops at it.
    """
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": PROBE}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    tail = tokenizer(rendered.rpartition(PROBE)[2], add_special_tokens=False).input_ids
    closing = [token for token in tail if token in stops] or [
        token for token in tail[:1] if token in tokenizer.added_tokens_decoder
    ]
    if not closing and tail and tokenizer.decode(tail).strip():
        raise DataError(
            f"the chat template of {model} ends a turn with {tokenizer.decode(tail)!r}, which is no control token; "
            "add the token that ends a turn to its template and to eos_token_id in generation_config.json"
        )
    if not closing and tokenizer.eos_token_id is None:
        raise DataError(f"{model} has no token that ends a turn; set eos_token in its tokenizer_config.json")
    return int(closing[0] if closing else tokenizer.eos_token_id)
