"""What needs no trainer: the order of rows, micro-batches, whole checkpoints, the loss history."""

from pathlib import Path

import pytest

from distill.config import StudentSettings
from distill.dataset.examples import Example
from distill.errors import ConfigError
from distill.training.device import micro_batch_size, place
from distill.training.merge import round_stochastically
from distill.training.resume import MARKER, last_checkpoint
from distill.training.rows import LengthBatches
from distill.training.watch import thin

LENGTHS = [(7 * i) % 100 + 1 for i in range(230)]


@pytest.mark.parametrize("n", [1, 8, 15, 16, 17, 230])
def test_every_row_comes_once_an_epoch(n: int) -> None:
    assert sorted(LengthBatches(LENGTHS[:n], 16, 1)) == list(range(n))


def test_rows_of_a_batch_are_of_like_length() -> None:
    order = list(LengthBatches(LENGTHS, 16, 1))
    batches = [[LENGTHS[row] for row in order[start : start + 16]] for start in range(0, 224, 16)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert padded < 1.15 * sum(map(sum, batches))


def test_order_follows_from_seed_and_epoch() -> None:
    first, again = LengthBatches(LENGTHS, 16, 1), LengthBatches(LENGTHS, 16, 1)
    orders = []
    for epoch in range(3):
        first.set_epoch(epoch)
        orders.append(list(first))
    again.set_epoch(2)  # as a resumed run does, which never drew the epochs before
    assert list(again) == orders[2]
    assert orders[0] != orders[1]
    assert list(LengthBatches(LENGTHS, 16, 2)) != orders[0]


@pytest.mark.parametrize(
    ("batch_size", "longest", "tokens", "expected"),
    [(16, 100, 8192, 16), (16, 1024, 8192, 8), (12, 1024, 8192, 6), (16, 32768, 8192, 1), (7, 4096, 8192, 1)],
)
def test_micro_batches_fit(batch_size: int, longest: int, tokens: int, expected: int) -> None:
    assert micro_batch_size(batch_size, longest, tokens) == expected


def test_a_batch_that_cannot_be_dealt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    chosen = StudentSettings(base="b", method="full", learning_rate=1e-3, batch_size=16)
    with pytest.raises(ConfigError, match="batch_size 16 is no multiple of the 3 processes"):
        place(chosen, 100)


def test_a_checkpoint_cut_short_is_skipped(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step, whole in ((2, True), (10, True), (12, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / MARKER).touch()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-12").exists()


def test_loss_history_is_thinned_by_means() -> None:
    history = [(step, float(step)) for step in range(1, 501)]
    thinned = thin(history, 100)
    assert len(thinned) == 100
    assert thinned[0] == [5, 3.0]
    assert thin(history[:50]) == [[step, loss] for step, loss in history[:50]]


def test_a_row_knows_its_length() -> None:
    assert Example("a", "gcd", [1, 2, 3], [-100, 2, 3], 1).n_tokens == 3


def test_rounding_keeps_an_update_smaller_than_bf16_can_show() -> None:
    """To the nearest, an update of a tenth of a step would vanish from every weight."""
    import torch

    held = torch.tensor([1.0, -1.5, 0.0, 3.0e-39, -65280.0])  # values of bf16, one of them subnormal
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(round_stochastically(held, generator).float(), held.to(torch.bfloat16).float())

    step = 2.0**-7  # between 1 and its neighbour
    for sign in (1.0, -1.0):
        updated = torch.full((100_000,), sign * (1.0 + step / 10))
        rounded = round_stochastically(updated, generator).float()
        assert set(rounded.tolist()) == {sign, sign * (1.0 + step)}
        assert abs(float((rounded - updated).mean())) < step / 100
