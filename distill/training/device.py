"""What the machine at hand trains best in: where, in which precision, by which attention, how many rows at once.

    Placement(device="cpu", attention="sdpa", n_processes=1, bf16=False)
    Batching(order=Steps(…), packed=False, micro_batch=8, accumulation=2)

Nothing here changes what a step computes but for rounding: a step always sees the same `batch_size` rows.
"""

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass

from distill.errors import ConfigError
from distill.hardware import cpu_multiplies_bf16
from distill.students import StudentSettings
from distill.training.packing import Packs
from distill.training.presets import Recipe
from distill.training.rows import Steps, cut

MICRO_BATCH_TOKENS = {"cpu": 16_384, "cuda": 32_768}  # positions whose activations are kept at once
# What a pass costs beside its positions, in positions. Measured on the CPU (35 with tiny-qwen, 20 with SmolLM2-135M);
# for a GPU an estimate of what launching its kernels takes.
PASS_POSITIONS = {"cpu": 32, "cuda": 1_024}
WORKING_BYTES = 4 << 30  # a forward pass of one row beside a model's weights; its logits of 1,024 tokens are 0.6 GB
SAMPLED = 100  # steps by which the size of a micro-batch is chosen


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a run takes place, by which implementation of attention, and whether it multiplies in bf16 or in fp32."""

    device: str
    attention: str
    n_processes: int
    bf16: bool = True


@dataclass(frozen=True, slots=True)
class Batching:
    """How the rows of a step are dealt: `micro_batch` rows or packs at a time, `accumulation` times a process."""

    order: Steps | Packs
    packed: bool
    micro_batch: int
    accumulation: int

    def describe(self) -> str:
        """For the metrics and the card: `rows of like length together, padded; 8 x 2 at a time`."""
        what = "rows packed best-fit, no padding" if self.packed else "rows of like length together, padded"
        return f"{what}; {self.micro_batch} x {self.accumulation} at a time"


def place() -> Placement:
    """Choose the device, its attention and its precision."""
    # TRL refuses to run on several GPUs without a launcher (`accelerate launch`); one of them is used then.
    if "LOCAL_RANK" not in os.environ:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Placement(
        device, attention(device), int(os.environ.get("WORLD_SIZE", "1")), device == "cuda" or cpu_multiplies_bf16()
    )


def attention(device: str) -> str:
    """Flash attention (its package, or its kernels) on GPUs since Ampere, else PyTorch's own."""
    import torch
    from transformers.utils.import_utils import is_flash_attn_2_available

    if device == "cuda" and torch.cuda.get_device_capability()[0] >= 8 and is_flash_attn_2_available(True):
        return "flash_attention_2"
    return "sdpa"


def roomiest(n_bytes: int) -> str:
    """The GPU where a model of so many bytes has room beside all that is there, else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    gc.collect()  # a trainer that is done holds its optimizer in a cycle
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    return "cuda" if n_bytes + WORKING_BYTES < free else "cpu"


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
            f"batch_size {recipe.batch_size} is no multiple of the {placement.n_processes} processes launched; "
            "set batch_size to one, or DISTILL_PROCESSES to a divisor of it"
        )
    steps = Steps(lengths, recipe.batch_size, seed)
    tokens = MICRO_BATCH_TOKENS[placement.device]
    if not is_packed(settings.packing, placement):
        sampled = [[lengths[row] for row in step] for step in steps.of_epoch(0)[:SAMPLED]]
        fitting = [n for n in range(1, share + 1) if share % n == 0 and n * max(lengths) <= tokens] or [1]
        micro_batch = cheapest(fitting, sampled, PASS_POSITIONS[placement.device])
        if placement.n_processes > 1:
            steps.multiple = micro_batch * placement.n_processes
        return Batching(steps, False, micro_batch, share // micro_batch)
    capacity = max(settings.max_length, tokens if placement.device == "cuda" else 0)
    packs = Packs(steps, capacity, recipe.epochs, placement.n_processes)
    return Batching(packs, True, 1, packs.per_step // placement.n_processes)


def cheapest(sizes: Sequence[int], steps: Sequence[Sequence[int]], per_pass: int) -> int:
    """The size of micro-batch with which steps of rows of these lengths, sorted, cost least: positions, and passes."""

    def cost(size: int) -> int:
        parts = [part for step in steps for part in cut(step, size)]
        return sum(len(part) * max(part) + per_pass for part in parts)

    return min(sizes, key=cost)
