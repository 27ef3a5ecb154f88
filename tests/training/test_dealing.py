"""How rows are dealt changes what a run costs, never what it computes: in fp32, whole runs agree."""

from pathlib import Path
from typing import Any

import pytest
from trained import Student, prepare

from distill.training import device, sft

pytestmark = pytest.mark.training


@pytest.fixture
def in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without autocast, whose rounding differs with the shape of a batch."""
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: False)


def losses(student: Student, **changed: Any) -> list[float]:
    trained = student.train(**changed)
    sft.finish(trained)
    return [loss for _, loss in trained.metrics["loss"]]


@pytest.mark.usefixtures("in_fp32")
@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
def test_a_packed_run_is_the_padded_run(workspace: Path, architecture: str) -> None:
    student = prepare(architecture, learning_rate=1e-3, max_length=512)
    packed, padded = losses(student, packing="bfd"), losses(student, packing="none")
    assert packed == pytest.approx(padded, abs=1e-5)


@pytest.mark.usefixtures("in_fp32")
@pytest.mark.parametrize("packing", ["none", "bfd"])
def test_four_times_one_row_is_once_four(workspace: Path, monkeypatch: pytest.MonkeyPatch, packing: str) -> None:
    student = prepare("qwen2", learning_rate=1e-3, batch_size=4, max_length=2048)
    monkeypatch.setitem(device.PASS_POSITIONS, "cpu", 1_000_000)
    together = losses(student, packing=packing)
    monkeypatch.setitem(device.MICRO_BATCH_TOKENS, "cpu", 1)
    alone = losses(student, packing=packing, max_length=1)
    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.usefixtures("in_fp32")
def test_selective_checkpointing_computes_the_same(workspace: Path) -> None:
    student = prepare("qwen2", learning_rate=1e-3)
    kept, recomputed = losses(student), losses(student, gradient_checkpointing="selective")
    assert recomputed == pytest.approx(kept, abs=1e-6)
    assert losses(student, gradient_checkpointing=True) == pytest.approx(kept, abs=1e-6)
