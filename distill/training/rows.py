"""A student's rows as TRL reads them, and the order in which they are trained.

    Steps(lengths, batch_size=4, seed=17)  ->  21, 3, 8, 40,   7, 16, 2, 30, …   each step from short to long

The rows of a step are drawn at random, so every step has long ones and short ones and about as many tokens: the loss is
a mean over a step's tokens, and in a step of short rows alone each of them would count for more. Within a step, rows of
like length are neighbours, so that the micro-batches that are cut from it have little padding. The order follows from
the seed and the epoch alone, never from the state of a random generator, so a resumed run sees the same.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distill.dataset.examples import IGNORED

HOLLOW = -1  # the number of a row in which nothing is trained
HOLLOW_IDS = [0, 0]  # two, since the first token of a row predicts and is not predicted


class Steps:
    """Row numbers of one epoch after the other (a sampler, in PyTorch's words).

    The last step may have fewer rows; hollow ones fill it up to a multiple of `multiple`, since several processes take
    as many each: accelerate would fill it with rows of the epoch's beginning, and train those twice.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, multiple: int = 1) -> None:
        self.lengths, self.batch_size, self.seed, self.multiple = lengths, batch_size, seed, multiple
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is next; the trainer calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths) + -len(self.lengths) % self.multiple

    def __iter__(self) -> Iterator[int]:
        yield from (row for step in self.of_epoch(self.epoch) for row in step)
        yield from [HOLLOW] * (len(self) - len(self.lengths))

    def of_epoch(self, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch, from short to long; hollow ones are not among them."""
        rows = list(range(len(self.lengths)))
        random.Random(f"{self.seed}:{epoch}").shuffle(rows)
        return [sorted(step, key=self.lengths.__getitem__) for step in cut(rows, self.batch_size)]


class Rows:
    """Rows as TRL's collator reads them, by their number."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        if number == HOLLOW:
            return {"input_ids": HOLLOW_IDS, "labels": [IGNORED] * len(HOLLOW_IDS)}
        row = self.table[number]
        return {name: row[name] for name in ("input_ids", "labels")}


def load_rows(tokenized: Path, cache: Path) -> Any:
    """The audited rows as a `datasets.Dataset` that is mapped from `cache`, not held in memory."""
    from datasets import Dataset

    files = [str(path) for path in sorted(tokenized.glob("*.parquet"))]
    return Dataset.from_parquet(files, cache_dir=str(cache), columns=["input_ids", "labels", "n_tokens"])


def cut(rows: Sequence[int], size: int) -> list[Sequence[int]]:
    """`rows` in parts of `size`, the last of which may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
