"""A student's rows as TRL reads them, and the order in which they are trained.

Rows of like length share a batch, so little of it is padding; the batches come in a random order. The order follows
from the seed and the epoch alone, never from the state of a random generator, so a resumed run sees the same.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CHUNK = 50  # batches that are sorted by length together: enough for little padding, few enough to stay random


class LengthBatches:
    """Row numbers of one epoch after the other, neighbours of like length (a sampler, in PyTorch's words)."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is next; the trainer calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return (row for batch in self.of_epoch(self.epoch) for row in batch)

    def of_epoch(self, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch."""
        draw = random.Random(f"{self.seed}:{epoch}")
        rows = list(range(len(self.lengths)))
        draw.shuffle(rows)
        batches = []
        for chunk in _cut(rows, CHUNK * self.batch_size):
            batches += _cut(sorted(chunk, key=lambda row: self.lengths[row]), self.batch_size)
        draw.shuffle(batches)
        # The one batch that may not be full has to come last, or every later one would straddle two lengths.
        batches.sort(key=len, reverse=True)
        return batches


def load_rows(tokenized: Path, cache: Path) -> Any:
    """The audited rows as a `datasets.Dataset` that is mapped from `cache`, not held in memory."""
    from datasets import Dataset

    files = [str(path) for path in sorted(tokenized.glob("*.parquet"))]
    return Dataset.from_parquet(files, cache_dir=str(cache), columns=["input_ids", "labels", "n_tokens"])


def _cut(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
