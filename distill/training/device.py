"""What the machine at hand trains best in: where, in which precision, how many rows at once.

    Placement(device="cpu", micro_batch=8, accumulation=1)

Nothing here changes what a step computes but for rounding: a step always sees `batch_size` rows.
"""

import os
from dataclasses import dataclass

from distill.config import StudentSettings
from distill.errors import ConfigError

MICRO_BATCH_TOKENS = {"cpu": 16_384, "cuda": 32_768}  # padded tokens whose activations are kept at once


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a run takes place. `micro_batch` rows at a time, `accumulation` times, make a step on this device."""

    device: str
    micro_batch: int
    accumulation: int


def place(settings: StudentSettings, longest: int) -> Placement:
    """Choose device and micro-batch for rows of at most `longest` tokens.

    Raises `ConfigError` when a step's rows cannot be dealt evenly to the processes of a launch.
    """
    # TRL refuses to run on several GPUs without a launcher (`accelerate launch`); one of them is used then.
    if "LOCAL_RANK" not in os.environ:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    share, rest = divmod(settings.batch_size, n_processes)
    if rest:
        raise ConfigError(f"batch_size {settings.batch_size} is no multiple of the {n_processes} processes launched")
    micro_batch = micro_batch_size(share, longest, MICRO_BATCH_TOKENS[device])
    return Placement(device, micro_batch, share // micro_batch)


def micro_batch_size(batch_size: int, longest: int, tokens: int) -> int:
    """The largest divisor of `batch_size` whose longest rows fit into `tokens`, at least 1."""
    fitting = (n for n in range(batch_size, 0, -1) if batch_size % n == 0 and n * longest <= tokens)
    return next(fitting, 1)
