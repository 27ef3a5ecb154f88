"""What needs no trainer: the order of rows, whole checkpoints, the loss history."""

from collections.abc import Callable
from pathlib import Path

import pytest

from distill.dataset.examples import Example
from distill.training.merge import round_stochastically
from distill.training.resume import MARKER, STATE, last_checkpoint, seal
from distill.training.rows import HOLLOW, Rows, Steps
from distill.training.watch import thin

LENGTHS = [(7 * i) % 100 + 1 for i in range(230)]


@pytest.mark.parametrize("n", [1, 8, 15, 16, 17, 230])
def test_every_row_comes_once_an_epoch(n: int) -> None:
    assert sorted(Steps(LENGTHS[:n], 16, 1)) == list(range(n))


def test_a_step_holds_short_rows_and_long_ones_neighbours_of_like_length() -> None:
    """Were a step of short rows alone, each of their tokens would count for more than a long row's."""
    steps = [[LENGTHS[row] for row in step] for step in Steps(LENGTHS, 16, 1).of_epoch(0)[:-1]]
    mean = sum(LENGTHS) / len(LENGTHS)
    assert all(0.5 * mean < sum(step) / len(step) < 1.5 * mean for step in steps)
    assert all(step == sorted(step) for step in steps)


@pytest.mark.parametrize(("n", "multiple"), [(1, 8), (15, 8), (16, 8), (230, 6), (230, 1)])
def test_hollow_rows_fill_the_last_step_and_train_nothing(n: int, multiple: int) -> None:
    steps = Steps(LENGTHS[:n], 16, 1, multiple)
    order = list(steps)
    assert len(order) == len(steps) == -(-n // multiple) * multiple
    assert sorted(row for row in order if row != HOLLOW) == list(range(n))
    assert order[n:] == [HOLLOW] * (len(order) - n)
    hollow = Rows([])[HOLLOW]
    assert set(hollow["labels"]) == {-100}
    assert len(hollow["labels"]) == len(hollow["input_ids"])


def test_order_follows_from_seed_and_epoch() -> None:
    first, again = Steps(LENGTHS, 16, 1), Steps(LENGTHS, 16, 1)
    orders = []
    for epoch in range(3):
        first.set_epoch(epoch)
        orders.append(list(first))
    again.set_epoch(2)  # as a resumed run does, which never drew the epochs before
    assert list(again) == orders[2]
    assert orders[0] != orders[1]
    assert list(Steps(LENGTHS, 16, 2)) != orders[0]


def checkpoint(work: Path, step: int) -> Path:
    """A sealed checkpoint."""
    folder = work / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_bytes(bytes(100))
    (folder / STATE).write_text(f'{{"global_step": {step}}}')
    seal(folder)
    return folder


def overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / MARKER).unlink(), "an interruption cut it short"),
    (overwrite(MARKER, b"{"), "its manifest cannot be read"),
    (lambda folder: (folder / "optimizer.pt").unlink(), "optimizer.pt is missing"),
    (overwrite("optimizer.pt", bytes(60)), "optimizer.pt has 60 of 100 bytes"),
    (overwrite("optimizer.pt", bytes(99) + b"x"), "the bytes of optimizer.pt are not those that were written"),
]


@pytest.mark.parametrize(("spoil", "what"), SPOILT)
def test_a_checkpoint_that_is_not_whole_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object], what: str
) -> None:
    assert last_checkpoint(tmp_path) is None
    older, newer = checkpoint(tmp_path, 9), checkpoint(tmp_path, 12)
    assert last_checkpoint(tmp_path) == str(newer)
    spoil(newer)
    assert last_checkpoint(tmp_path) == str(older)
    assert f"checkpoint-12 cannot be used: {what}; it is set aside as broken-checkpoint-12" in caplog.text
    assert (tmp_path / "broken-checkpoint-12").exists()
    assert not newer.exists()


def test_a_checkpoint_of_another_step_is_set_aside(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9).rename(tmp_path / "checkpoint-10")
    assert last_checkpoint(tmp_path) is None


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
