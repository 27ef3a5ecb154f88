"""FLOPs, utilisation and the stop at a diverging loss, on numbers that can be done by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from distill.errors import DataError
from distill.progress import Tracker
from distill.training import figures
from distill.training.watch import WINDOW, Watch


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("NVIDIA H100 80GB HBM3", 0.5),
        ("NVIDIA H100 PCIe", 989 / 756 / 2),
        ("NVIDIA GeForce GTX 980", None),
        (None, None),
    ],
)
def test_utilisation_is_of_a_known_peak_or_unknown(name: str | None, share: float | None) -> None:
    found = figures.utilisation(989e12 / 2, name)
    assert found == (None if share is None else pytest.approx(share))


def model(tied: bool, frozen: bool) -> Any:
    import torch

    embedding = torch.nn.Embedding(10, 4)
    head = SimpleNamespace(weight=embedding.weight if tied else torch.nn.Parameter(torch.zeros(10, 4)))
    layer = torch.nn.Parameter(torch.zeros(4, 4), requires_grad=not frozen)
    shape = SimpleNamespace(num_attention_heads=2, hidden_size=4, num_hidden_layers=3, head_dim=None)
    weights = [embedding.weight, layer] if tied else [embedding.weight, layer, head.weight]
    return SimpleNamespace(
        config=SimpleNamespace(get_text_config=lambda: shape),
        get_input_embeddings=lambda: embedding,
        get_output_embeddings=lambda: head,
        parameters=lambda: weights,
    )


@pytest.mark.parametrize("tied", [True, False])
def test_flops_of_a_token(tied: bool) -> None:
    """Six a weight, a frozen one four, the embedding once; attention of rows of 2 and 4 tokens: 6 x 3 x 4 x 20 / 6."""
    assert figures.weight_flops(model(tied, frozen=False)) == 6 * (40 + 16)
    assert figures.weight_flops(model(tied, frozen=True)) == 6 * 40 + 4 * 16
    assert figures.flops_per_token(model(tied, False), [2, 4]) == pytest.approx(6 * 56 + 6 * 3 * 4 * 20 / 6)


def watch(losses: list[float]) -> Watch:
    watched = Watch(Tracker("", len(losses), "steps"), "tiny", 2e-3)
    for step, loss in enumerate(losses, 1):
        watched.on_log(None, SimpleNamespace(global_step=step), None, {"loss": loss})
    return watched


FALLING = [4.0 * 0.95**i for i in range(60)]


def test_a_diverging_loss_stops_the_run_with_its_step() -> None:
    with pytest.raises(DataError) as caught:
        watch(FALLING + [6.0] * 100)
    assert str(caught.value) == (
        "the loss of tiny diverges: at step 80 it has been above 3 times its best (0.330, at step 60) for 20 steps; "
        "lower students.tiny.learning_rate, which is 0.002"
    )


@pytest.mark.parametrize(
    "losses", [FALLING, FALLING + [6.0] * (WINDOW - 1) + FALLING[40:], [5.0] * 100, [1.0, 9.0] * 80]
)
def test_a_loss_that_falls_stays_or_jumps_is_no_divergence(losses: list[float]) -> None:
    assert len(watch(losses).loss) == len(losses)


def test_useful_share_is_tokens_over_positions() -> None:
    watched = watch([1.0, 1.0])
    watched.count(90, 100, 4)
    watched.count(60, 100, 4)
    measured = figures.measure(watched, 1.0, "cpu")
    assert (measured["useful_token_share"], measured["tokens_per_step"], measured["documents_per_step"]) == (
        0.75,
        75,
        4,
    )
    assert measured["mfu"] is None
    watched.on_log(None, SimpleNamespace(global_step=2), None, {"loss": 1.0})
    assert "75 % of positions useful" in watched.progress.line()
