"""What the machine at hand trains best in: where, by which attention, packed or not, how many rows at once.

    Placement(device="cpu", attention="sdpa", n_processes=1)
    Batching(order=LengthBatches(…), packed=False, micro_batch=8, accumulation=2)

Nothing here changes what a step computes but for rounding: a step always sees the same `batch_size` rows.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from distill.errors import ConfigError
from distill.students import StudentSettings
from distill.training.packing import Packs
from distill.training.presets import Recipe
from distill.training.rows import LengthBatches

MICRO_BATCH_TOKENS = {"cpu": 16_384, "cuda": 32_768}  # positions whose activations are kept at once


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a run takes place, and by which implementation of attention."""

    device: str
    attention: str
    n_processes: int


@dataclass(frozen=True, slots=True)
class Batching:
    """How the rows of a step are dealt: `micro_batch` rows or packs at a time, `accumulation` times a process."""

    order: LengthBatches | Packs
    packed: bool
    micro_batch: int
    accumulation: int

    def describe(self) -> str:
        """For the metrics and the card: `rows of like length, padded; 8 x 2 at a time`."""
        what = "rows packed best-fit, no padding" if self.packed else "rows of like length, padded"
        return f"{what}; {self.micro_batch} x {self.accumulation} at a time"


def place() -> Placement:
    """Choose the device and its attention."""
    # TRL refuses to run on several GPUs without a launcher (`accelerate launch`); one of them is used then.
    if "LOCAL_RANK" not in os.environ:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Placement(device, attention(device), int(os.environ.get("WORLD_SIZE", "1")))


def attention(device: str) -> str:
    """Flash attention (its package, or its kernels) on GPUs since Ampere, else PyTorch's own."""
    import torch
    from transformers.utils.import_utils import is_flash_attn_2_available

    if device == "cuda" and torch.cuda.get_device_capability()[0] >= 8 and is_flash_attn_2_available(True):
        return "flash_attention_2"
    return "sdpa"


def is_packed(packing: str, placement: Placement) -> bool:
    """Whether rows are packed. Raises `ConfigError` where attention would pay for a pack as for one long row.

    sdpa keeps the rows of a pack apart by a mask of (pack, pack), right but quadratic: on the CPU that is for tests.
    """
    flash = placement.attention.startswith("flash")
    if packing == "bfd" and placement.device == "cuda" and not flash:
        raise ConfigError(
            f"packing is bfd, but {placement.attention} computes attention across the whole pack; "
            "install flash-attn (or kernels), or set packing: none"
        )
    return flash if packing == "auto" else packing == "bfd"


def plan(
    lengths: Sequence[int], settings: StudentSettings, recipe: Recipe, placement: Placement, seed: int
) -> Batching:
    """Deal rows of these lengths. Raises `ConfigError` when a step's rows cannot be dealt evenly to the processes."""
    share, rest = divmod(recipe.batch_size, placement.n_processes)
    if rest:
        raise ConfigError(
            f"batch_size {recipe.batch_size} is no multiple of the {placement.n_processes} processes launched"
        )
    order = LengthBatches(lengths, recipe.batch_size, seed)
    tokens = MICRO_BATCH_TOKENS[placement.device]
    if not is_packed(settings.packing, placement):
        micro_batch = micro_batch_size(share, max(lengths), tokens)
        return Batching(order, False, micro_batch, share // micro_batch)
    capacity = max(settings.max_length, tokens if placement.device == "cuda" else 0)
    packs = Packs(order, capacity, recipe.epochs, placement.n_processes)
    return Batching(packs, True, 1, packs.per_step // placement.n_processes)


def micro_batch_size(batch_size: int, longest: int, tokens: int) -> int:
    """The largest divisor of `batch_size` whose longest rows fit into `tokens`, at least 1."""
    fitting = (n for n in range(batch_size, 0, -1) if batch_size % n == 0 and n * longest <= tokens)
    return next(fitting, 1)
