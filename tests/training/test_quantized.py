"""QLoRA: refused where it cannot run, made as the paper says, and shipped on the base as it is published."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trained import prepare

from distill import layout
from distill.dataset.examples import read_examples
from distill.errors import ConfigError
from distill.students import StudentSettings
from distill.training import figures, quantized, sft
from distill.training.device import Placement

QLORA = {"rank": 8, "alpha": 16, "quantize": "nf4"}
GPU = Placement("cuda", "sdpa", 1)


def settings(**lora: Any) -> StudentSettings:
    return StudentSettings.model_validate({"base": "base", "method": "lora", "lora": QLORA | lora})


@pytest.mark.parametrize(
    ("placement", "installed", "sharded", "sentence"),
    [
        (Placement("cpu", "sdpa", 1), True, False, "needs a CUDA GPU and there is none; remove it"),
        (GPU, False, False, "needs bitsandbytes, which is not installed: pip install bitsandbytes, or remove it"),
        (GPU, True, True, "keeps a whole base on every GPU; launch with ddp.yaml, or remove it"),
        (GPU, True, False, None),
    ],
)
def test_where_it_cannot_run_it_is_refused(
    placement: Placement, installed: bool, sharded: bool, sentence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantized.importlib.util, "find_spec", lambda _: object() if installed else None)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", str(sharded).lower())
    quantized.require("tiny", settings(quantize=None), placement)
    if sentence is None:
        return quantized.require("tiny", settings(), placement)
    with pytest.raises(ConfigError) as caught:
        quantized.require("tiny", settings(), placement)
    assert str(caught.value).startswith(f"students.tiny.lora.quantize {sentence}")


def test_the_base_is_quantised_as_in_the_paper() -> None:
    made = quantized.config()
    assert (made.load_in_4bit, made.bnb_4bit_quant_type, made.bnb_4bit_use_double_quant) == (True, "nf4", True)
    assert made.bnb_4bit_compute_dtype == torch.bfloat16


def test_a_weight_of_4_bits_counts_whole() -> None:
    packed = SimpleNamespace(quant_state=SimpleNamespace(shape=(4, 6)), numel=lambda: 12)
    assert figures._count(packed) == 24


@pytest.mark.training
def test_an_adapter_is_put_back_on_the_published_base(workspace: Path) -> None:
    """A base with noise on its weights stands for the quantised one, so this runs where nothing can quantise."""
    student = prepare("llama", "lora", epochs=1)
    trained = student.train().model
    whole = sft._adapted(sft.load_base(student.base, student.settings, GPU), student.settings)
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            if "lora" not in name:
                weight.add_(torch.randn_like(weight), alpha=0.01)
    apart = quantized.restore(trained, whole, [next(read_examples(layout.TOKENIZED / "tiny"))])
    assert 0 < apart["mean_nats"] < 0.5
    expected, found = trained.state_dict(), whole.state_dict()
    adapter = [name for name in expected if "lora" in name]
    assert adapter
    assert all(torch.equal(expected[name].float(), found[name].float()) for name in adapter)
    published = sft.load_base(student.base, student.settings, GPU).state_dict()
    inner = "model.layers.0.self_attn.q_proj"
    assert torch.equal(found[f"base_model.model.{inner}.base_layer.weight"], published[f"{inner}.weight"])


@pytest.mark.training
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # by bitsandbytes, as it is imported
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_student_of_a_quantised_base_ships_on_the_published_one(
    workspace: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bitsandbytes runs on CPUs too, too slowly for more than a test."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed; pip install 'distill[gpu]' brings it")
    if torch.cuda.is_available() is not (device == "cuda"):
        pytest.skip(f"this machine trains on another device than {device}")
    if device == "cpu":
        monkeypatch.setattr(quantized, "require", lambda *_: None)
    student = prepare("llama", "lora", lora=QLORA, epochs=4)
    trained = student.train()
    losses = [loss for _, loss in trained.metrics["loss"]]
    assert losses[-1] < losses[0] - 0.1
    assert 0 < trained.metrics["quantized"]["mean_nats"] < 0.1
    assert trained.model.get_base_model().lm_head.weight.dtype == torch.bfloat16
    assert student.ship(trained)["parity"]["mean_nats"] < 0.05
    assert "the base in 4 bits (NF4) meanwhile" in (layout.STUDENTS / "tiny" / "README.md").read_text()
