"""Small students for tests: byte-level tokenizers with every kind of chat template, and random models.

The plain styles (chatml, r1, llama3) are the shortest that have a trap; those in `cases/templates/` have the logic of
the real ones.
"""

from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Deletes the chain of every assistant turn and opens one for the next, as DeepSeek-R1's does.
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}{% else %}"
    "<|Assistant|>{{ m.content.split('</think>')[-1] }}<|end_of_sentence|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
# Trims every turn, as Llama-3's does.
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def real(name: str) -> str:
    """The text of a template in `cases/templates/`."""
    return (Path(__file__).parent / "cases" / "templates" / f"{name}.jinja").read_text()


QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>",
)  # fmt: skip
DEEPSEEK = ("<|begin_of_sentence|>", "<|end_of_sentence|>", "<|User|>", "<|Assistant|>")
# name -> template, control tokens, eos token, pad token, bos token
STYLES: dict[str, tuple[str, tuple[str, ...], str, str, str | None]] = {
    "chatml": (CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|im_end|>", "<|im_end|>", None),
    "r1": (
        R1,
        ("<|bos|>", "<|end_of_sentence|>", "<|User|>", "<|Assistant|>", "<|pad|>"),
        "<|end_of_sentence|>",
        "<|pad|>",
        "<|bos|>",
    ),
    "llama3": (
        LLAMA3,
        ("<|bos|>", "<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
        "<|eot_id|>",
        "<|end_of_text|>",
        "<|bos|>",
    ),
    "plain_chatml": (real("chatml"), QWEN, "<|im_end|>", "<|endoftext|>", None),
    "qwen25": (real("qwen25"), QWEN, "<|im_end|>", "<|endoftext|>", None),
    "qwen3": (real("qwen3"), QWEN, "<|im_end|>", "<|endoftext|>", None),
    "smollm2": (real("smollm2"), QWEN, "<|im_end|>", "<|im_end|>", None),
    "llama31": (real("llama31"), LLAMA, "<|eot_id|>", "<|finetune_right_pad_id|>", "<|begin_of_text|>"),
    "llama32": (real("llama32"), LLAMA, "<|eot_id|>", "<|finetune_right_pad_id|>", "<|begin_of_text|>"),
    "r1_distill": (real("r1_distill"), DEEPSEEK, "<|end_of_sentence|>", "<|end_of_sentence|>", "<|begin_of_sentence|>"),
}


def make_tokenizer(style: str) -> Any:
    """One token per byte, one per control token, and <think> and </think> of their own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    template, control, eos, pad, bos = STYLES[style]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    core.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in ("<think>", "</think>")])
    names = {"eos_token": eos, "pad_token": pad} | ({"bos_token": bos} if bos else {})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **names)
    tokenizer.chat_template = template
    return tokenizer


def make_base(folder: Path, architecture: str) -> Path:
    """A random model in bf16 with tokenizer and generation config, as the hub would give it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    tokenizer = make_tokenizer("llama3" if architecture == "llama" else "chatml")
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 64,
        "head_dim": 32,  # the smallest that vLLM serves
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "tie_word_embeddings": architecture != "llama",
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = AutoConfig.for_model(architecture, **shape)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_rows(n: int) -> list[dict[str, Any]]:
    """Rows of an exported data set: additions with a chain."""
    from distill.prompting import render_student_turn, render_user_turn

    def row(i: int) -> dict[str, Any]:
        chain, answer = f"{i} and {i} make {2 * i}." * (1 + i % 3), f"The answer is \\boxed{{{2 * i}}}."
        return {
            "id": f"{i:020x}",
            "source": ("double", "twice", "sum")[i % 3],
            "teacher": "data/models/tiny-r1",
            "teacher_revision": "sha256:00",
            "messages": [
                {"role": "user", "content": render_user_turn(f"What is {i} + {i}?")},
                {"role": "assistant", "content": render_student_turn(chain, answer)},
            ],
        }

    return [row(i) for i in range(n)]


def write_dataset(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as `export` leaves them."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train-00000.parquet")
    (folder / "manifest.json").write_text(json.dumps({"rows": len(rows)}))
    return folder
