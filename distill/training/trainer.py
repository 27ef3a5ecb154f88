"""TRL's SFTTrainer with an order of rows that survives an interruption, and without work that a CPU cannot spare."""

from typing import Any

from trl.trainer.sft_trainer import SFTTrainer

from distill.dataset.examples import IGNORED
from distill.training.device import Batching
from distill.training.packing import PackedRows, Packs
from distill.training.rows import Rows


class OrderedTrainer(SFTTrainer):
    """SFTTrainer whose rows come as `follow` says, and whose tokens are told to `count`."""

    sampler: Any = None
    count: Any = None

    def follow(self, batching: Batching) -> None:
        """Take rows, or packs of them, in the order of `batching`."""
        self.sampler = batching.order
        table = self.train_dataset
        self.train_dataset = PackedRows(table, batching.order) if isinstance(batching.order, Packs) else Rows(table)

    def _get_train_sampler(self, *_: Any) -> Any:
        return self.sampler

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean negative log-likelihood over the trained tokens of a step, in nats.

        TRL's fused head scores trained positions alone where it has Triton kernels. On the CPU it scores all of them,
        prompts and padding too, and projects each twice; the model's own head on the trained columns gives the same.
        """
        self.count(*sizes(inputs))
        if self.args.device.type != "cpu" or self.aux_loss_enabled:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        loss = masked_loss(model, inputs, num_items_in_batch)
        # The count is of all processes, whose gradients are then averaged.
        return loss if num_items_in_batch is None else loss * self.accelerator.num_processes

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Checkpoints of a run get no card; the student that ships has its own."""


def sizes(inputs: dict[str, Any]) -> tuple[int, int, int]:
    """Tokens, positions and rows of a batch, without hollow rows; a pack has a boundary before and after each row."""
    positions, trained = inputs["input_ids"].numel(), (inputs["labels"] != IGNORED).any(1)
    if "attention_mask" in inputs:
        return int(inputs["attention_mask"][trained].sum()), positions, int(trained.sum())
    return (positions, positions, len(inputs["cu_seq_lens_q"]) - 1) if trained.any() else (0, positions, 0)


def masked_loss(model: Any, inputs: dict[str, Any], n_trained: Any = None) -> Any:
    """Summed loss of the trained positions over `n_trained`: their count in the whole step, else in this batch.

    Of a pack the model gets positions in place of a mask: where they start anew it draws a boundary of its own.
    """
    import torch

    labels = inputs["labels"][:, 1:]  # (batch, seq - 1)
    trained = labels != IGNORED
    columns = trained.any(0).nonzero()[:, 0]  # those in which no row is trained get no logits
    output = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs.get("attention_mask"),
        position_ids=inputs.get("position_ids"),
        logits_to_keep=columns,
        use_cache=False,
    )
    logits = output.logits[trained[:, columns]].float()  # (n trained here, vocabulary)
    total = torch.nn.functional.cross_entropy(logits, labels[trained], reduction="sum")
    return total / (trained.sum() if n_trained is None else n_trained)
