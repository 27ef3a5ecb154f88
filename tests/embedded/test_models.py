"""The committed models: small, in bf16, complete, and with the keys that vLLM reads."""

import json
from pathlib import Path

import pytest

from distill.embedded import architectures

MODELS = Path(__file__).parents[2] / "data" / "models"
LIMIT_MB = {"tiny-r1": 12.0, "tiny-qwen": 6.0}
FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.mark.parametrize("name", LIMIT_MB)
def test_files_are_complete_and_small(name: str) -> None:
    folder = MODELS / name
    assert {file.name for file in folder.iterdir()} == FILES
    assert sum(file.stat().st_size for file in folder.iterdir()) / 1e6 <= LIMIT_MB[name]


@pytest.mark.parametrize("name", LIMIT_MB)
def test_every_weight_is_bf16(name: str) -> None:
    from safetensors import safe_open

    with safe_open(MODELS / name / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"BF16"}  # noqa: SIM118


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny-r1", {"architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": 512, "qk_rope_head_dim": 64}),
        ("tiny-r1", {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "rope_parameters": architectures.YARN}),
        ("tiny-r1", {"max_position_embeddings": 163840, "dtype": "bfloat16"}),
        ("tiny-qwen", {"architectures": ["Qwen2ForCausalLM"], "dtype": "bfloat16"}),
    ],
)
def test_config_holds(name: str, expected: dict[str, object]) -> None:
    config = json.loads((MODELS / name / "config.json").read_text())
    assert {key: config.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "end", "pad"),
    [("tiny-r1", "<|end_of_sentence|>", "<|pad|>"), ("tiny-qwen", "<|im_end|>", "<|endoftext|>")],
)
def test_generation_stops_at_the_end_of_turn(name: str, end: str, pad: str) -> None:
    from transformers import AutoTokenizer

    settings = json.loads((MODELS / name / "generation_config.json").read_text())
    tokens = AutoTokenizer.from_pretrained(MODELS / name)
    assert settings["eos_token_id"] == tokens.convert_tokens_to_ids(end)
    assert settings["pad_token_id"] == tokens.convert_tokens_to_ids(pad)
