"""Any text survives the embedded tokenizers, digits stay single, and the templates render byte for byte."""

from pathlib import Path
from typing import Any

import pytest

from distill.embedded import corpus, tokenizer
from distill.prompting import THINK_CLOSE, THINK_OPEN, is_prefilled, render_messages, render_prompt

MODELS = Path(__file__).parents[2] / "data" / "models"
DIALECTS = {"tiny-r1": tokenizer.TINY_R1, "tiny-qwen": tokenizer.TINY_QWEN}
CORPUS = ["<think>\n58+26: ones 8+6=14, write 4 carry 1.\n</think>\n\nThe answer is \\boxed{84}."] * 20
ASK = "\n\nPlease reason step by step, and put your final answer within \\boxed{}."

TURNS = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "U1"},
    {"role": "assistant", "content": "<think>\nchain\n</think>\n\nA1"},
    {"role": "user", "content": "U2"},
]
RENDERED = {
    "tiny-r1": "<|begin_of_sentence|>S<|User|>U1<|Assistant|>A1<|end_of_sentence|><|User|>U2<|Assistant|><think>\n",
    "tiny-qwen": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\n"
    "<think>\nchain\n</think>\n\nA1<|im_end|>\n<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n",
}
ASKED = {
    "tiny-r1": f"<|begin_of_sentence|><|User|>1 + 1 ={ASK}<|Assistant|><think>\n",
    "tiny-qwen": f"<|im_start|>user\n1 + 1 ={ASK}<|im_end|>\n<|im_start|>assistant\n",
}


def built(name: str) -> Any:
    return tokenizer.build_tokenizer(CORPUS, DIALECTS[name])


def committed(name: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODELS / name)


WAYS = {f"{make.__name__}-{name}": (make, name) for make in (built, committed) for name in DIALECTS}


@pytest.fixture(params=WAYS.values(), ids=WAYS, scope="module")
def named(request: pytest.FixtureRequest) -> tuple[str, Any]:
    make, name = request.param
    return name, make(name)


@pytest.mark.parametrize(
    "text",
    [
        "58+26=84",
        "  two  blanks \t tab\r\nline \n\n",
        "<think>\nWait, 8+6=14\n</think>\n\n\\boxed{-7}",
        "naïve Größe 数学 🙂 \u0000 \u200b",
        "don't I'll we're  .  ,",
        "",
    ],
)
def test_text_comes_back_exactly(named: tuple[str, Any], text: str) -> None:
    _, tokens = named
    ids = tokens(text, add_special_tokens=False).input_ids
    assert tokens.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize(("name", "expected"), [("tiny-r1", "e\u0301"), ("tiny-qwen", "\u00e9")])
def test_only_qwens_loader_composes_accents(name: str, expected: str) -> None:
    tokens = committed(name)  # transformers reads every qwen2 folder with Qwen2's own normaliser (NFC)
    assert tokens.decode(tokens("e\u0301").input_ids) == expected


@pytest.mark.parametrize("name", DIALECTS)
def test_a_server_splits_as_training_did(name: str) -> None:
    from transformers import PreTrainedTokenizerFast

    as_trained, as_served = PreTrainedTokenizerFast.from_pretrained(MODELS / name), committed(name)
    for example in corpus.draw(5, (0.02, 0.02, 0.02)):
        for text in corpus.turns(example, with_chains=True):
            assert as_served(text).input_ids == as_trained(text).input_ids


def test_every_digit_is_one_token(named: tuple[str, Any]) -> None:
    _, tokens = named
    ids = tokens("1234567890 1000 42", add_special_tokens=False).input_ids
    assert [piece for piece in map(tokens.decode, ids) if piece != " "] == list("1234567890100042")


def test_think_tags_are_single_and_survive(named: tuple[str, Any]) -> None:
    _, tokens = named
    for tag in (THINK_OPEN, THINK_CLOSE):
        ids = tokens(tag, add_special_tokens=False).input_ids
        assert len(ids) == 1
        assert tokens.decode(ids, skip_special_tokens=True) == tag


def test_end_and_pad_are_different_special_tokens(named: tuple[str, Any]) -> None:
    name, tokens = named
    assert tokens.eos_token == DIALECTS[name].end_of_turn
    assert tokens.pad_token == DIALECTS[name].pad
    assert tokens.eos_token_id != tokens.pad_token_id
    assert tokens.decode([tokens.eos_token_id, tokens.pad_token_id], skip_special_tokens=True) == ""


def test_a_conversation_renders_byte_for_byte(named: tuple[str, Any]) -> None:
    name, tokens = named
    assert render_prompt(tokens, TURNS) == RENDERED[name]


def test_a_question_renders_byte_for_byte(named: tuple[str, Any]) -> None:
    name, tokens = named
    prompt = render_prompt(tokens, render_messages("1 + 1 ="))
    assert prompt == ASKED[name]
    assert is_prefilled(prompt) == (name == "tiny-r1")
