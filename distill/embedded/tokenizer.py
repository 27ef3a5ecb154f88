"""Tokenizers of the embedded models: a small byte-level BPE in which every digit is a token of its own.

Single digits are what column arithmetic needs, and what Qwen2.5 and SmolLM2 do too; the byte alphabet means that any
text encodes and comes back exactly. `<think>` and `</think>` are single tokens, not special ones, so they survive
`skip_special_tokens`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.prompting import THINK_CLOSE, THINK_OPEN

VOCABULARY = 640  # 256 bytes and the commonest pieces of the five tasks' language


@dataclass(frozen=True, slots=True)
class Dialect:
    """What sets the two tokenizers apart: control tokens and the chat template."""

    template: str
    end_of_turn: str
    pad: str
    control: tuple[str, ...]


TINY_R1 = Dialect(
    template="tiny-r1.jinja",
    end_of_turn="<|end_of_sentence|>",
    pad="<|pad|>",
    control=("<|begin_of_sentence|>", "<|end_of_sentence|>", "<|pad|>", "<|User|>", "<|Assistant|>"),
)
TINY_QWEN = Dialect(
    template="tiny-qwen.jinja",
    end_of_turn="<|im_end|>",
    pad="<|endoftext|>",
    control=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
)


def build_tokenizer(corpus: Iterable[str], dialect: Dialect) -> Any:
    """Train the BPE on a corpus and dress it as a transformers tokenizer with the dialect's chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(dialect.control),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(corpus, trainer)
    core.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in (THINK_OPEN, THINK_CLOSE)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=dialect.end_of_turn, pad_token=dialect.pad, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = (Path(__file__).parent / dialect.template).read_text().rstrip("\n")
    return tokenizer


def save_tokenizer(tokens: Any, max_length: int, folder: Path) -> None:
    """Write a tokenizer into a model's folder, so that every version of transformers reads the same one from it.

    transformers 5 gives a Qwen2 folder Qwen2's pre-tokenizer whatever `tokenizer.json` says, and older versions know
    no `TokenizersBackend`. So the files say what is read, and name the class that all versions know.
    """
    from transformers import AutoTokenizer

    tokens.model_max_length = max_length
    tokens.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    for key in ("backend", "is_local", "local_files_only"):  # how it was loaded here
        settings.pop(key, None)
    path.write_text(json.dumps(settings, indent=2) + "\n")
