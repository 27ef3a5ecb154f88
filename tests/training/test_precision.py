"""A run takes the precision that its machine multiplies fast, learns the same in either, and is compared in fp32."""

from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from students import make_base
from trained import prepare, settings

from distill import hardware
from distill.dataset.examples import read_examples
from distill.models import resolve_folder
from distill.training import device, merge, sft

ROUNDING_NATS = 0.01  # by which the losses of a run in bf16 and of one in fp32 differ at most; seen: 0.0036


@pytest.mark.parametrize(
    ("capabilities", "bf16"),
    [
        ({"avx2": True, "avx512_f": True, "amx_bf16": False, "avx512_bf16": False}, False),
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"architecture": "arm64", "neon": True, "bf16": True}, True),
        ({"architecture": "arm64", "neon": True}, False),
    ],
)
def test_a_cpu_that_cannot_multiply_bf16_computes_in_fp32(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], bf16: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(capabilities))
    assert hardware.cpu_multiplies_bf16() is bf16
    assert device.place().bf16 is (bf16 or torch.cuda.is_available())


@pytest.mark.parametrize("bf16", [True, False])
def test_what_is_trained_is_in_fp32_and_a_frozen_base_in_what_is_fast(workspace: Path, bf16: bool) -> None:
    base = resolve_folder("tiny_base", str(make_base(Path("base"), "llama")))
    placement = device.Placement("cpu", "sdpa", 1, bf16)
    assert sft.load_base(base, settings("full"), placement).dtype == torch.float32
    assert sft.load_base(base, settings("lora"), placement).dtype == (torch.bfloat16 if bf16 else torch.float32)


@pytest.mark.training
@pytest.mark.parametrize("method", ["full", "lora"])
def test_both_precisions_learn_the_same(workspace: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    student = prepare("llama", method)

    def losses(bf16: bool) -> list[float]:
        monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: bf16)
        trained = student.train()
        sft.finish(trained)
        assert trained.metrics["precision"] == ("bf16 autocast, fp32 trained weights" if bf16 else "fp32")
        assert all(weight.dtype == torch.float32 for weight in trained.model.parameters() if weight.requires_grad)
        return [loss for _, loss in trained.metrics["loss"]]

    rounded, exact = losses(True), losses(False)
    assert rounded != exact, "both computed in one precision"
    assert rounded == pytest.approx(exact, abs=ROUNDING_NATS)


@pytest.mark.training
@pytest.mark.parametrize("method", ["full", "lora"])
def test_parity_is_computed_by_an_attention_that_knows_fp32(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Eager attention stands for flash attention, which refuses fp32 and runs on GPUs alone."""
    student = prepare("qwen2", method)
    monkeypatch.setattr(device, "attention", lambda _: "eager")
    trained = student.train()
    assert trained.model.config._attn_implementation == "eager"
    apart = merge.measure_parity(trained.model, student.base.path, list(read_examples(Path("data/tokenized/tiny")))[:1])
    assert trained.model.config._attn_implementation == "sdpa"
    assert apart["mean_nats"] > 0


@pytest.mark.parametrize(("free_gb", "where"), [(80, "cuda"), (60, "cuda"), (59, "cpu")])
def test_a_model_in_fp32_that_no_gpu_has_room_for_is_compared_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, free_gb: int, where: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free_gb << 30, 80 << 30))
    assert device.roomiest((56 << 30) - 1) == where
