"""Packs hold whole rows, change nothing that a step computes, and are refused where they would be slow."""

from pathlib import Path
from typing import Any

import pytest

from distill.errors import ConfigError
from distill.students import StudentSettings
from distill.training import device
from distill.training.device import Batching, Placement, cheapest, is_packed, plan
from distill.training.packing import PackedRows, Packs, best_fit, spread
from distill.training.presets import Recipe
from distill.training.rows import HOLLOW_IDS, Steps

LENGTHS = [(7 * i) % 100 + 1 for i in range(230)]
CPU, BARE, FLASH = Placement("cpu", "sdpa", 1), Placement("cuda", "sdpa", 1), Placement("cuda", "flash_attention_2", 1)


def recipe(batch_size: int = 16, epochs: int = 3) -> Recipe:
    return Recipe("micro", 1e-3, epochs, batch_size, 0.1, {})


def settings(packing: str, max_length: int = 128) -> StudentSettings:
    return StudentSettings.model_validate({"base": "b", "method": "full", "packing": packing, "max_length": max_length})


@pytest.mark.parametrize(
    ("lengths", "packs"),
    [
        ([6, 5, 4, 3, 2], [[0, 2], [1, 3, 4]]),  # 10 and 10: both full
        ([10, 10], [[0], [1]]),
        ([3], [[0]]),
        ([12, 1], [[0], [1]]),  # longer than a pack: alone, not cut
        ([7, 5, 3, 5], [[0, 2], [1, 3]]),  # 3 goes where it leaves no room, not where it came first
    ],
)
def test_the_longest_row_first_each_where_it_fits_best(lengths: list[int], packs: list[list[int]]) -> None:
    assert best_fit(lengths, 10) == packs


def test_packs_are_spread_to_as_many_as_a_step_has() -> None:
    assert sorted(map(sorted, spread([[1, 2, 3, 4], [5]], 3))) == [[1, 3], [2, 4], [5]]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 230])
@pytest.mark.parametrize("n_processes", [1, 2])
def test_a_step_holds_the_same_rows_packed_or_not(n: int, n_processes: int) -> None:
    steps = Steps(LENGTHS[:n], 16, 1)
    packs = Packs(steps, 128, 3, n_processes)
    assert packs.per_step % n_processes == len(packs) % n_processes == 0
    for epoch in range(3):
        packs.set_epoch(epoch)
        dealt = list(packs)
        assert len(dealt) == len(packs)
        for i, step in enumerate(steps.of_epoch(epoch)):
            mine = dealt[i * packs.per_step : (i + 1) * packs.per_step]
            assert sorted(row for pack in mine for row in pack) == sorted(step)
            assert all(sum(LENGTHS[row] for row in pack) <= 128 for pack in mine)


def test_a_pack_is_rows_end_to_end() -> None:
    class Table:
        def __getitem__(self, rows: list[int]) -> dict[str, Any]:
            return {"input_ids": [[row] * 2 for row in rows], "labels": [[-100, row] for row in rows]}

    packed: Any = PackedRows(Table(), None)  # type: ignore[arg-type]
    assert packed[(3, 5)] == {"input_ids": [3, 3, 5, 5], "labels": [-100, 3, -100, 5], "seq_lengths": [2, 2]}
    assert packed[()] == {"input_ids": HOLLOW_IDS, "labels": [-100, -100], "seq_lengths": [2]}


@pytest.mark.parametrize(
    ("packing", "placement", "packed"),
    [("auto", CPU, False), ("auto", BARE, False), ("auto", FLASH, True), ("bfd", CPU, True), ("none", FLASH, False)],
)
def test_rows_are_packed_where_attention_gains_by_it(packing: str, placement: Placement, packed: bool) -> None:
    assert is_packed(packing, placement) is packed
    batching = plan(LENGTHS, settings(packing), recipe(), placement, 1)
    assert batching.packed is packed
    assert ("packed best-fit" if packed else "like length together, padded") in batching.describe()


def test_packing_without_flash_attention_is_refused_on_a_gpu() -> None:
    with pytest.raises(ConfigError, match=r"sdpa computes attention across the whole pack; install flash-attn"):
        plan(LENGTHS, settings("bfd"), recipe(), BARE, 1)


def test_a_batch_that_cannot_be_dealt_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size 16 is no multiple of the 3 processes"):
        plan(LENGTHS, settings("none"), recipe(), Placement("cpu", "sdpa", 3), 1)


@pytest.mark.parametrize(
    ("lengths", "per_pass", "size"),
    [
        ([50, 50, 50, 50], 10, 4),  # no padding: the fewest passes
        ([10, 10, 90, 90], 10, 2),
        ([10, 30, 60, 90], 10, 1),
        ([10, 30, 60, 90], 200, 4),
    ],
)
def test_a_micro_batch_is_as_large_as_its_padding_allows(lengths: list[int], per_pass: int, size: int) -> None:
    assert cheapest([1, 2, 4], [lengths], per_pass) == size


def test_micro_batches_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = [100] * 64
    sizes = {}
    for tokens in (50, 100, 499, 800, 10_000):
        monkeypatch.setitem(device.MICRO_BATCH_TOKENS, "cpu", tokens)
        batching = plan(alike, settings("none"), recipe(), CPU, 1)
        sizes[tokens] = batching.micro_batch
        assert batching.micro_batch * batching.accumulation == 16
    assert sizes == {50: 1, 100: 1, 499: 4, 800: 8, 10_000: 16}


@pytest.mark.training
@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_and_padded_losses_and_gradients_agree(tmp_path: Path, architecture: str, attention: str) -> None:
    """In fp32, to 1e-5: a boundary that leaked would show as whole nats."""
    import torch
    from students import make_base
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from distill.training.trainer import masked_loss

    model = AutoModelForCausalLM.from_pretrained(
        make_base(tmp_path / "base", architecture), dtype=torch.float32, attn_implementation=attention
    )
    draw = torch.Generator().manual_seed(0)
    ids = [torch.randint(0, 200, (n,), generator=draw).tolist() for n in (5, 31, 12, 20, 7)]
    rows = [{"input_ids": row, "labels": [-100] * 3 + row[3:]} for row in ids]
    padded = DataCollatorForLanguageModeling(pad_token_id=0)(rows)
    table = {name: [row[name] for row in rows] for name in ("input_ids", "labels")}
    pack = PackedRows(_Columns(table), None)[tuple(range(5))]  # type: ignore[arg-type]
    packed = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([pack])

    losses, gradients = [], []
    for inputs in (padded, packed):
        model.zero_grad()
        loss = masked_loss(model, inputs)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)


class _Columns:
    """A table as `datasets` gives it: a list of row numbers picks from every column."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns

    def __getitem__(self, rows: list[int]) -> dict[str, list[Any]]:
        return {name: [column[row] for row in rows] for name, column in self.columns.items()}


def test_the_stage_says_how_it_deals() -> None:
    assert Batching(Steps([1], 1, 0), True, 1, 7).describe() == "rows packed best-fit, no padding; 1 x 7 at a time"
